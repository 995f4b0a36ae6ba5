"""Operators on arrays at hand: one look-up leads from the operands' types to a compiled kernel.

In: a function of two arrays. Out: the same function, which outside of any trace records itself once
for each pair of types, and runs the compiled graph from then on. Must not know: what the function
computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jitml.ir.dtypes import DType, is_bool, is_inexact
from jitml.ir.errors import IntegerOverflowError
from jitml.ir.types import ArrayType
from jitml.pipeline.cache import Cache
from jitml.trace.core import array_type, current_trace, trace_graph
from jitml.trace.numbers import DEFAULT_DTYPES, literal
from jitml_runtime import Array

if TYPE_CHECKING:
    from jitml.pipeline.compile import Compiled

Function = Callable[[Any, Any], Any]


def operator(function: Function, slow: Function, takes_numbers: bool) -> Function:
    """`slow`, with a short cut to compiled `function` for two arrays and, if it takes them, an
    array and a number.
    """
    name = getattr(function, "__name__", "operator")

    def compile_for(key: tuple[Any, ...]) -> Compiled:
        from jitml.pipeline.compile import compile_graph

        traced = trace_graph(lambda x, y: [function(x, y)], key[1:], name)
        return compile_graph(traced.graph)

    compiled: Cache[tuple[Any, ...], Compiled] = Cache(compile_for, 4096)
    known = compiled.get

    def apply(x: Any, y: Any) -> Any:
        if type(x) is not Array or current_trace() is not None:
            return slow(x, y)
        if type(y) is not Array:
            number = _as_array(y, x) if takes_numbers else None
            if number is None:
                return slow(x, y)
            y = number
        key = (DEFAULT_DTYPES.is_wide, array_type(x), array_type(y))
        return (known(key) or compiled(key)).run((x, y))[0]

    return apply


def _as_array(y: Any, x: Array) -> Array | None:
    """A Python number as a weak array of the dtype of `x`; None where the two have another dtype
    together.
    """
    kind, dtype = type(y), x.dtype
    fits = is_inexact(dtype) if kind is float else kind is int and not is_bool(dtype)
    if not fits or (x.weak_type and dtype != DEFAULT_DTYPES.of(kind)):
        return None
    try:
        return _NUMBERS((y or repr(y), kind, dtype))
    except IntegerOverflowError:  # which the operation itself may know how to avoid
        return None


def _number(key: tuple[Any, type, DType]) -> Array:
    """The array of a number, which is told as text where it is 0 (0.0 is equal to -0.0)."""
    from jitml.pipeline.compile import number_array

    y, kind, dtype = key
    return number_array(literal(kind(y), ArrayType(dtype, (), True)))


_NUMBERS: Cache[tuple[Any, type, DType], Array] = Cache(_number, 1024)
