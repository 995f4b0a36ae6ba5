"""Comparison.

Comparisons of integers are exact whatever their dtypes: −1 is below every unsigned number, and
a Python integer that the other operand's dtype cannot hold compares as the number it is.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ShapeError
from jitml.ir.types import ArrayType
from jitml.numpy.arithmetic import pair
from jitml.numpy.classification import isfinite, isnan
from jitml.numpy.logic import logical_and, logical_or
from jitml.numpy.operands import (
    broadcast_together,
    cast,
    common_shape,
    is_number,
    kind,
    operand,
    operands,
    settle,
)
from jitml.numpy.operands import kind_of as _kind_of
from jitml.numpy.rows import Binary, named
from jitml.numpy.ufuncs import elementwise, ufunc
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.reduction import reduce_and
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "allclose", "array_equal", "array_equiv", "equal", "greater", "greater_equal", "isclose",
    "less", "less_equal", "not_equal",
]  # fmt: skip


def _compare(name: str, op: Binary, meaning: Binary, x: Any, y: Any) -> Array:
    constant = _with_huge_number(meaning, x, y)
    if constant is not None:
        return constant
    kinds = [_kind_of(a if is_number(a) else operand(a, name))[0] for a in (x, y)]
    if dtypes.promote(*((d, False) for d in kinds))[1] and dtypes.is_integer(kinds[0]):
        return settle(_compare_mixed_signs(name, op, x, y))
    x, y = pair(name, x, y)
    if kind(x) == "c" and name not in ("equal", "not_equal"):
        return settle(_compare_complex(op, x, y))
    return settle(op(x, y))


def _with_huge_number(meaning: Binary, x: Any, y: Any) -> Array | None:
    """The constant result where a Python integer is beyond the other's integer dtype."""
    for number, other, swapped in ((x, y, True), (y, x, False)):
        if not (is_number(number) and type(number) is int) or is_number(other):
            continue
        type_ = type_of(operand(other))
        if not dtypes.is_integer(type_.dtype):
            continue
        limits = np.iinfo(type_.dtype)
        if not limits.min <= number <= limits.max:
            truth = meaning(number, 0) if swapped else meaning(0, number)
            return settle(full_of(ArrayType(dtypes.BOOL, type_.shape), bool(truth)))
    return None


def _compare_mixed_signs(name: str, op: Binary, x: Any, y: Any) -> Any:
    """uint64 with a signed integer: a negative one decides alone, else both compare as uint64."""
    x, y = broadcast_together(name, [operand(x, name), operand(y, name)])
    unsigned = np.dtype(np.uint64)
    if kind(x) == "i":
        wide = cast(x, dtypes.INT64)
        negative, outcome = ew.lt(wide, 0), op(full_of(ArrayType(dtypes.INT64, ()), -1), 0)
    else:
        wide = cast(y, dtypes.INT64)
        negative, outcome = ew.lt(wide, 0), op(full_of(ArrayType(dtypes.INT64, ()), 0), -1)
    return ew.select(negative, outcome, op(cast(x, unsigned), cast(y, unsigned)))


def _compare_complex(op: Binary, x: Any, y: Any) -> Any:
    """Order by real part, then by imaginary part."""
    same = ew.eq(ew.real(x), ew.real(y))
    return ew.select(same, op(ew.imag(x), ew.imag(y)), op(ew.real(x), ew.real(y)))


def _comparison(
    name: str, op: Binary, meaning: Binary, summary: str, call: str, result: str
) -> ufunc:
    def function(x: ArrayLike, y: ArrayLike, /) -> Array:
        return _compare(name, op, meaning, x, y)

    return elementwise()(named(function, name, summary, call, result))


equal = _comparison("equal", ew.eq, operator.eq, "x == y.", "equal(1, 1.0)", "True")
not_equal = _comparison("not_equal", ew.ne, operator.ne, "x != y.", "not_equal(1, 2)", "True")
less = _comparison("less", ew.lt, operator.lt, "x < y.", "less(1, 2)", "True")
less_equal = _comparison("less_equal", ew.le, operator.le, "x <= y.", "less_equal(1, 1)", "True")
greater = _comparison("greater", ew.gt, operator.gt, "x > y.", "greater(1, 2)", "False")
greater_equal = _comparison(
    "greater_equal", ew.ge, operator.ge, "x >= y.", "greater_equal(1, 2)", "False"
)

# ---- closeness and equality of whole arrays -------------------------------------------------


def isclose(
    a: ArrayLike,
    b: ArrayLike,
    rtol: ArrayLike = 1e-05,
    atol: ArrayLike = 1e-08,
    equal_nan: bool = False,
) -> Array:
    """Whether |a − b| ≤ atol + rtol·|b|; infinities only equal themselves.

    >>> print(isclose(1.0, 1.0 + 1e-6))
    True
    """
    x, y = pair("isclose", a, b, to_inexact=True)
    real = dtypes.real_dtype(type_of(x).dtype)
    size = ew.abs_(y)
    slack = ew.add(cast(atol, real), ew.mul(cast(rtol, real), size))
    near = ew.le(ew.abs_(ew.sub(x, y)), slack)
    finite = ew.and_(operand(isfinite(x)), operand(isfinite(y)))
    result = ew.or_(ew.eq(x, y), ew.and_(near, finite))
    if equal_nan:
        result = ew.or_(result, ew.and_(operand(isnan(x)), operand(isnan(y))))
    return settle(result)


def allclose(
    a: ArrayLike,
    b: ArrayLike,
    rtol: ArrayLike = 1e-05,
    atol: ArrayLike = 1e-08,
    equal_nan: bool = False,
) -> Array:
    """Whether all elements are close, as `isclose` has it.

    >>> print(allclose(1.0, 1.1))
    False
    """
    return settle(_all(isclose(a, b, rtol, atol, equal_nan)))


def _all(truths: Any) -> Any:
    return reduce_and(truths, tuple(range(type_of(truths).ndim)))


def array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> Array:
    """Whether two arrays have the same shape and elements.

    >>> print(array_equal(1, 1))
    True
    """
    x, y = operands("array_equal", a1, a2)
    if type_of(x).shape != type_of(y).shape:
        return settle(full_of(ArrayType(dtypes.BOOL, ()), False))
    same = equal(x, y)
    if equal_nan:
        same = logical_or(same, logical_and(isnan(x), isnan(y)))
    return settle(_all(same))


def array_equiv(a1: ArrayLike, a2: ArrayLike) -> Array:
    """Whether two arrays broadcast to each other and are then equal.

    >>> print(array_equiv(1, 1))
    True
    """
    x, y = operands("array_equiv", a1, a2)
    try:
        common_shape("array_equiv", [x, y])
    except ShapeError:
        return settle(full_of(ArrayType(dtypes.BOOL, ()), False))
    return settle(_all(equal(x, y)))
