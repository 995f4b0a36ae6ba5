"""A hook of mkdocs: the pages that are made, which are the API reference from docstrings and the
tables of accuracy.

In: jitml's modules, tests/scalar/ACCURACY.md. Out: pages in Markdown by name. `pages` makes them,
without mkdocs.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = [
    "jitml", "numpy", "numpy.linalg", "numpy.fft", "lax", "nn", "random", "scipy.special",
    "scipy.linalg", "scipy.stats", "scipy.signal", "scipy.fft", "scipy.ndimage",
    "scipy.interpolate", "scipy.optimize", "scipy.integrate", "custom_derivatives",
    "ad_checkpoint", "tree", "tree_util", "optim", "display", "debug", "checkify", "export",
    "ffi", "sharding", "image", "ops", "dtypes", "dlpack", "errors", "flatten_util", "core",
    "config", "test_util", "as_jax", "stages", "typing", "experimental",
]  # fmt: skip


def pages() -> dict[str, str]:
    """All pages that are made, by their path below the pages that are written."""
    made = {f"reference/{name}.md": _page(_module(name)) for name in MODULES}
    listed = "\n".join(
        f"- [`{_module(name).__name__}`]({name}.md): {_summary(_module(name))}" for name in MODULES
    )
    made["reference/index.md"] = f"# Reference\n\nMade from docstrings.\n\n{listed}\n"
    made["accuracy.md"] = (ROOT / "tests" / "scalar" / "ACCURACY.md").read_text("utf-8")
    return made


def _module(name: str) -> types.ModuleType:
    return importlib.import_module("jitml" if name == "jitml" else f"jitml.{name}")


def public_names(module: types.ModuleType) -> list[str]:
    """What a module offers: `__all__`, or else what it defines; modules have pages of their own."""
    own = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
    ]
    names = getattr(module, "__all__", own)
    return [n for n in names if not isinstance(getattr(module, n), types.ModuleType)]


def _summary(x: Any) -> str:
    """The first sentence of a docstring, on one line."""
    first = (inspect.getdoc(x) or "").partition("\n\n")[0]
    return " ".join(first.split())


def _page(module: types.ModuleType) -> str:
    parts = [f"# {module.__name__}", _markdown(inspect.getdoc(module) or "")]
    parts += [_entry(name, getattr(module, name)) for name in sorted(public_names(module))]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, value: Any) -> str:
    """The section of one name: signature, docstring and, for classes, methods."""
    is_documented = callable(value) or isinstance(value, property)
    if not is_documented:
        return f"## {name}\n\n`{_short(repr(value))}`"
    text = _markdown(inspect.getdoc(value) or "")
    parts = [f"## {name}", f"```\n{name}{_signature(value)}\n```", text]
    if isinstance(value, type):
        parts += list(_methods(value))
    return "\n\n".join(parts)


def _methods(class_: type) -> Iterator[str]:
    for name, value in vars(class_).items():
        if name[0] == "_" or not inspect.getdoc(value):
            continue
        if isinstance(value, (types.FunctionType, property, staticmethod, classmethod)):
            yield f"**`.{name}`** {_summary(value)}"


def _signature(value: Callable[..., Any]) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(…)"
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations that are strings
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _markdown(docstring: str) -> str:
    """A docstring as Markdown: examples become code, signs that Markdown would take are kept."""
    parts = []
    for block in docstring.split("\n\n"):
        if block.lstrip().startswith(">>>") or block.startswith("    "):
            parts.append(f"```\n{inspect.cleandoc(block)}\n```")
        else:
            parts.append(_escaped(block))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Text outside of `code` with the signs of Markdown and HTML taken literally."""
    pieces = text.split("`")
    for n in range(0, len(pieces), 2):
        pieces[n] = re.sub(r"([*_<\[])", r"\\\1", pieces[n])
    return "`".join(pieces)


def on_config(config: Any) -> Any:
    """Put the made pages into the navigation."""
    listed = [f"reference/{name}.md" for name in ["index", *MODULES]]
    config.nav = [*config.nav, {"Reference": [{Path(path).stem: path} for path in listed]}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the made pages to those that mkdocs has found."""
    from mkdocs.structure.files import File

    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files
