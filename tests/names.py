"""Which of JAX's public names jitml has: `python tests/names.py` prints the table.

In: public_names.txt, a line for each module of JAX, its name and then its public names (deprecated
ones aside). `python tests/names.py --update` writes it anew from the JAX that is installed.
Out: for each module how many names jitml has, and those that it lacks, with the reason.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from pathlib import Path

LIST = Path(__file__).with_name("public_names.txt")

MODULES = [
    "jax", "jax.numpy", "jax.numpy.linalg", "jax.numpy.fft", "jax.lax", "jax.lax.linalg", "jax.nn",
    "jax.nn.initializers", "jax.random", "jax.tree", "jax.tree_util", "jax.scipy.fft",
    "jax.scipy.integrate", "jax.scipy.interpolate", "jax.scipy.linalg", "jax.scipy.ndimage",
    "jax.scipy.optimize", "jax.scipy.signal", "jax.scipy.special", "jax.scipy.stats", "jax.ops",
    "jax.image", "jax.debug", "jax.dtypes", "jax.dlpack", "jax.errors", "jax.export",
    "jax.sharding", "jax.typing", "jax.flatten_util", "jax.test_util",
]  # fmt: skip

# Modules of which every name must be there, but for those of REASONS.
COMPLETE = ["jax.nn", "jax.numpy", "jax.ops", "jax.scipy.special", "jax.tree"]

REASONS: dict[str, str] = {}
# Names left out on purpose: module.name, and why.
LEFT_OUT: dict[str, str] = {
    "jax.lax.precv": "receives from another device of several; here there is one",
    "jax.lax.psend": "sends to another device of several; here there is one",
}


def public_names(module: types.ModuleType) -> list[str]:
    """The names of a module that are no modules, not private, no primitives and not deprecated."""
    found = []
    for name in dir(module):
        if name.startswith("_") or name.endswith("_p"):
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = getattr(module, name)
            except AttributeError:  # a deprecation that has run out
                continue
        is_deprecated = any("deprecat" in str(w.message) for w in caught)
        if not is_deprecated and not isinstance(value, types.ModuleType):
            found.append(name)
    return found


def update() -> None:
    """Write the list anew from JAX."""
    lines = []
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        lines.append(" ".join([name, *public_names(module)]))
    LIST.write_text("\n".join(lines) + "\n", "utf-8")


def wanted() -> dict[str, list[str]]:
    """The public names of each module of JAX."""
    rows = [line.split() for line in LIST.read_text("utf-8").splitlines()]
    return {name: names for name, *names in rows}


def missing(module: str, names: list[str]) -> list[str]:
    """The names that the module of the same name in jitml lacks."""
    try:
        ours = importlib.import_module(module.replace("jax", "jitml", 1))
    except ImportError:
        return names
    return [name for name in names if not hasattr(ours, name)]


def reason(module: str, name: str) -> str | None:
    """Why a name is left out."""
    return LEFT_OUT.get(f"{module}.{name}", REASONS.get(module))


def main() -> None:
    if "--update" in sys.argv:
        update()
    for module, names in wanted().items():
        lacking = missing(module, names)
        print(f"{module:24} {len(names) - len(lacking):4} of {len(names):4}")
        for name in lacking:
            print(f"    {name}: {reason(module, name) or 'not built yet'}")


if __name__ == "__main__":
    main()
