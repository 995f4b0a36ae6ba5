"""Operands of `jitml.lax`: dtypes are not promoted, shapes not broadcast; Python numbers adapt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.numpy.operands import broadcast_together, cast, is_number, operand, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

_KIND_ORDER = "biufc"


def strict(name: str, *arguments: Any) -> list[Any]:
    """Arrays as they are; Python numbers in the dtype of the arrays, where it can hold them."""
    xs = [x if is_number(x) else operand(x, name) for x in arguments]
    model = next((type_of(x) for x in xs if not is_number(x)), None)
    if model is None:
        return [operand(x) for x in xs]
    return [
        cast(x, model.dtype, model.weak) if is_number(x) and _fits(x, model.dtype) else operand(x)
        for x in xs
    ]


def matched(name: str, *arguments: Any) -> list[Any]:
    """As `strict`, and where all have one rank with axes of size 1 repeated."""
    xs = strict(name, *arguments)
    shapes = {type_of(x).shape for x in xs} - {()}
    return broadcast_together(name, xs) if len({*map(len, shapes)}) == 1 else xs


def _fits(number: Any, dtype: DType) -> bool:
    needed = "b" if isinstance(number, bool) else "i"
    if isinstance(number, float):
        needed = "f"
    if isinstance(number, complex):
        needed = "c"
    return _KIND_ORDER.index(needed) <= _KIND_ORDER.index(dtypes.kind(dtype).replace("u", "i"))


def _documented(function: Callable[..., Any], name: str, summary: str, example: str) -> Any:
    function.__name__ = function.__qualname__ = name
    call, result = example.split(" -> ")
    function.__doc__ = f"{summary}\n\n    >>> print({call})\n    {result}\n    "
    return function


def unary(
    name: str, op: Callable[[Any], Any], summary: str, example: str
) -> Callable[[ArrayLike], Array]:
    """A function of one array, which takes what its op takes."""

    def function(x: ArrayLike) -> Array:
        return settle(op(operand(x, name)))

    return operation(_documented(function, name, summary, example))  # type: ignore[no-any-return]


def tuned(
    name: str, op: Callable[[Any], Any], summary: str, example: str
) -> Callable[[ArrayLike], Array]:
    """As `unary`; it can be told how exact it must be, and is as exact as it can."""

    def function(x: ArrayLike, *, accuracy: object = None) -> Array:
        return settle(op(operand(x, name)))

    return operation(_documented(function, name, summary, example))  # type: ignore[no-any-return]


def binary(
    name: str, op: Callable[[Any, Any], Any], summary: str, example: str
) -> Callable[[ArrayLike, ArrayLike], Array]:
    """A function of two arrays of one dtype and rank, or 0-d; axes of size 1 fit any size."""

    def function(x: ArrayLike, y: ArrayLike) -> Array:
        return settle(op(*matched(name, x, y)))

    return operation(_documented(function, name, summary, example))  # type: ignore[no-any-return]
