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

DISTRIBUTIONS = [
    "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma",
    "gennorm", "geom", "gumbel_l", "gumbel_r", "laplace", "logistic", "multinomial",
    "multivariate_normal", "nbinom", "norm", "pareto", "poisson", "t", "truncnorm", "uniform",
    "vonmises", "wrapcauchy",
]  # fmt: skip

MODULES = [
    "jax", "jax.numpy", "jax.numpy.linalg", "jax.numpy.fft", "jax.lax", "jax.lax.linalg", "jax.nn",
    "jax.nn.initializers", "jax.random", "jax.tree", "jax.tree_util", "jax.scipy.fft",
    "jax.scipy.integrate", "jax.scipy.interpolate", "jax.scipy.linalg", "jax.scipy.ndimage",
    "jax.scipy.optimize", "jax.scipy.signal", "jax.scipy.sparse.linalg", "jax.scipy.special",
    "jax.scipy.stats", "jax.experimental.ode", "jax.ops", "jax.image", "jax.debug", "jax.dtypes",
    "jax.dlpack", "jax.errors", "jax.export", "jax.sharding", "jax.typing",
    "jax.flatten_util", "jax.test_util",
    *(f"jax.scipy.stats.{name}" for name in DISTRIBUTIONS),
]  # fmt: skip

# Modules of which every name must be there, but for those of REASONS.
COMPLETE = [
    "jax", "jax.debug", "jax.dlpack", "jax.dtypes", "jax.errors", "jax.experimental.ode",
    "jax.export", "jax.flatten_util",
    "jax.image", "jax.lax", "jax.nn", "jax.nn.initializers", "jax.numpy", "jax.ops", "jax.random",
    "jax.scipy.fft", "jax.scipy.integrate", "jax.scipy.interpolate", "jax.scipy.ndimage",
    "jax.scipy.optimize", "jax.scipy.signal", "jax.scipy.sparse.linalg", "jax.scipy.special",
    "jax.scipy.stats", "jax.sharding", "jax.test_util", "jax.tree",
    "jax.tree_util", "jax.typing",
    *(f"jax.scipy.stats.{name}" for name in DISTRIBUTIONS),
]  # fmt: skip

REASONS: dict[str, str] = {}
# Names left out on purpose: module.name, and why.
_MUTABLE = "arrays that change: arrays never do, so that results are the same under any transform"
_CONVENTION = "how XLA's programs are called; jitml's version is in the bytes"
_CONTAINERS = "containers are found by the name of their class"
_SYMBOLIC = "sizes that are symbols: each shape has its own program"
LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        [f"jax.{n}" for n in ("Ref", "new_ref", "empty_ref", "free_ref", "freeze", "ad")], _MUTABLE
    ),
    "jax.ds": "slices of arrays that change; lax.dynamic_slice_in_dim takes a start that is data",
    "jax.live_arrays": "arrays are not kept in a list; memory_stats() counts their bytes",
    "jax.memory": "kinds of memory to move arrays between; here there is one",
    "jax.make_user_context": "a value that traces depend on: functions watch what they read",
    "jax.debug.DebugEffect": "JAX's mark of an effect; ops say of themselves what they do",
    "jax.debug.OrderedDebugEffect": "JAX's mark of an effect; ops say of themselves what they do",
    "jax.errors.InconclusiveDimensionOperation": _SYMBOLIC,
    **dict.fromkeys(
        [
            f"jax.export.{n}"
            for n in ("SymbolicScope", "is_symbolic_dim", "symbolic_args_specs", "symbolic_shape")
        ],
        _SYMBOLIC,
    ),
    "jax.export.DisabledSafetyCheck": "checks of custom calls of XLA; there are none",
    "jax.export.maximum_supported_calling_convention_version": _CONVENTION,
    "jax.export.minimum_supported_calling_convention_version": _CONVENTION,
    "jax.export.register_namedtuple_serialization": _CONTAINERS,
    "jax.export.register_pytree_node_serialization": _CONTAINERS,
    "jax.errors.JaxprTypeError": "a mistake of JAX's own; jitml's are InternalError",
    "jax.sharding.ManualAxisType": "along which axes values vary, which one device does not need",
    "jax.tree_util.default_registry": "registries of containers: there is one",
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
    public = getattr(ours, "__all__", ())

    def is_there(name: str) -> bool:
        value = getattr(ours, name, None)  # a module that some test has imported does not count
        own = isinstance(value, types.ModuleType) and name not in public
        return hasattr(ours, name) and not own

    return [name for name in names if not is_there(name)]


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
