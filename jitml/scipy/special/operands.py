"""Arguments of special functions: promoted to one float dtype, broadcast to one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.eager import operation
from jitml.ir.errors import DTypeError
from jitml.numpy.operands import (
    Operand,
    broadcast_together,
    fail,
    kind,
    promoted,
    settle,
)
from jitml.typing import Array, ArrayLike


def floats(name: str, *arguments: Any, to_complex: bool = False) -> list[Operand]:
    """The arguments as operands of one float dtype (or complex, where that has a meaning)."""
    xs = promoted(name, *arguments, to_inexact=True)
    if kind(xs[0]) == "c" and not to_complex:
        fail(DTypeError, f"{name}: takes real numbers", "take the real part with .real")
    return broadcast_together(name, xs)


def unary(
    name: str, op: Callable[[Any], Any], summary: str, call: str, result: str
) -> Callable[[ArrayLike], Array]:
    """A function of one real array that is an op."""

    def function(x: ArrayLike) -> Array:
        return settle(op(*floats(name, x)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{summary}\n\n    >>> print({call})\n    {result}\n    "
    function.__module__ = "jitml.scipy.special"
    return operation(function)
