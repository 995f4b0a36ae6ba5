"""Functions are called as JAX's: names, kinds and defaults of all parameters are the same."""

from __future__ import annotations

import enum
import importlib
import inspect
from typing import Any

import names
import pytest

jax = pytest.importorskip("jax")

MODULES = [
    "jax.image", "jax.lax", "jax.lax.linalg", "jax.nn", "jax.nn.initializers", "jax.ops",
    "jax.scipy.fft", "jax.scipy.integrate", "jax.scipy.linalg", "jax.scipy.ndimage",
    "jax.scipy.optimize", "jax.scipy.signal",
]  # fmt: skip
# What differs, and why.
DECLARED = {
    "jax.lax.random_gamma_grad": "JAX does not tell the names of its two parameters",
    "jax.lax.scan": "`_split_transpose` is of how JAX computes derivatives",
}
SCATTERS = (
    "gather", "scatter", "scatter_add", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub",
)  # fmt: skip
SEGMENTS = ("segment_max", "segment_min", "segment_prod", "segment_sum")
DECLARED |= {f"jax.lax.{name}": "the `order` of updates is ours" for name in SCATTERS}
DECLARED |= {f"jax.ops.{name}": "the `order` of updates is ours" for name in SEGMENTS}


def default(value: Any) -> Any:
    """What stands for a default: enumerations and marks of what is not given are each library's."""
    if type(value) is object:
        return "not given"
    return value.name if isinstance(value, enum.Enum) else value


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, default(p.default)) for p in found]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.filterwarnings("ignore")
def test_parameters_are_jaxs(module: str) -> None:
    theirs = importlib.import_module(module)
    ours = importlib.import_module(module.replace("jax", "jitml", 1))
    differing = []
    for name in names.wanted()[module]:
        one, their = getattr(ours, name, None), getattr(theirs, name)
        if isinstance(their, type) or not (callable(one) and callable(their)):
            continue
        try:
            expected = parameters(their)
        except (TypeError, ValueError):
            continue
        if parameters(one) != expected and f"{module}.{name}" not in DECLARED:
            differing.append(f"{name}{inspect.signature(one)} and {inspect.signature(their)}")
    assert differing == []
