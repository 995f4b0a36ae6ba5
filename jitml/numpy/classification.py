"""What kind of number each element is: NaN, infinite, real; and `nan_to_num`."""

from __future__ import annotations

import math
from typing import Any

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.types import ArrayType
from jitml.numpy.elementwise import imag, real
from jitml.numpy.operands import cast, kind, operand, settle, strong
from jitml.numpy.rows import Unary, named, numeric, of_reals
from jitml.numpy.types import finfo
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "iscomplex", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "nan_to_num",
]  # fmt: skip


def _equals(x: Any, limit: float) -> Any:
    if kind(x) == "f":
        return ew.eq(x, limit)
    return full_of(ArrayType(dtypes.BOOL, type_of(x).shape), False)


def _test(
    name: str, of_float: Unary, of_integer: bool, summary: str, call: str, result: str
) -> Unary:
    """A truth about floats: a constant for integers, part by part for complex numbers."""

    def function(x: ArrayLike, /) -> Array:
        x = operand(x, name)
        if kind(x) == "c":
            join = ew.and_ if of_integer else ew.or_
            return settle(join(of_float(ew.real(x)), of_float(ew.imag(x))))
        if kind(x) == "f":
            return settle(of_float(x))
        return settle(full_of(ArrayType(dtypes.BOOL, type_of(x).shape), of_integer))

    return operation(named(function, name, summary, call, result))


isnan = _test("isnan", lambda x: ew.ne(x, x), False, "Whether not a number.", "isnan(1.0)", "False")
isfinite = _test(
    "isfinite", ew.is_finite, True, "Whether neither NaN nor infinite.", "isfinite(1.0)", "True"
)
isinf = _test(
    "isinf", lambda x: ew.eq(ew.abs_(x), math.inf), False,
    "Whether infinite, of either sign.", "isinf(1.0)", "False",
)  # fmt: skip
isposinf = numeric(
    "isposinf", of_reals("isposinf", lambda x: _equals(x, math.inf)),
    "Whether +∞.", "isposinf(1.0)", "False",
)  # fmt: skip
isneginf = numeric(
    "isneginf", of_reals("isneginf", lambda x: _equals(x, -math.inf)),
    "Whether −∞.", "isneginf(1.0)", "False",
)  # fmt: skip


def isreal(x: ArrayLike) -> Array:
    """Whether the imaginary part is 0.

    >>> print(isreal(1j))
    False
    """
    return settle(ew.eq(operand(imag(x)), 0))


def iscomplex(x: ArrayLike) -> Array:
    """Whether the imaginary part is not 0.

    >>> print(iscomplex(1j))
    True
    """
    return settle(ew.ne(operand(imag(x)), 0))


def nan_to_num(
    x: ArrayLike,
    copy: bool = True,
    nan: ArrayLike = 0.0,
    posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Array:
    """Numbers in the place of NaN and of infinities (by default 0 and the largest).

    >>> print(nan_to_num(float("nan")))
    0.0
    """
    value = operand(x, "nan_to_num")
    if kind(value) == "c":
        parts = [nan_to_num(part, copy, nan, posinf, neginf) for part in (real(value), imag(value))]
        return settle(ew.complex_(*parts))
    if kind(value) != "f":
        return settle(value)
    dtype = type_of(value).dtype
    limit = finite_limit(dtype)

    def filled(condition: Any, filler: Any, y: Any) -> Any:
        return ew.select(condition, cast(filler, dtype), y)

    value = filled(ew.ne(value, value), nan, strong(value))
    value = filled(ew.eq(value, math.inf), limit if posinf is None else posinf, value)
    return settle(filled(ew.eq(value, -math.inf), -limit if neginf is None else neginf, value))


def finite_limit(dtype: Any) -> float:
    """The largest finite number of a float dtype."""
    return float(finfo(dtype).max)
