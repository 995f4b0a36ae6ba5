"""Comparison, logic, bits and choice.

Comparisons of integers are exact whatever their dtypes: −1 is below every unsigned number, and
a Python integer that the other operand's dtype cannot hold compares as the number it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.ir.types import ArrayType
from jitml.numpy.arithmetic import pair
from jitml.numpy.elementwise import isfinite, isnan, kind
from jitml.numpy.operands import (
    broadcast_together,
    cast,
    common_shape,
    expand_to,
    fail,
    is_number,
    operand,
    operands,
    promoted,
    settle,
)
from jitml.numpy.operands import kind_of as _kind_of
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.reduction import reduce_and
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

Binary: TypeAlias = Callable[[Any, Any], Any]

# ---- comparison -----------------------------------------------------------------------------


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


def equal(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x == y.

    >>> print(equal(1, 1.0))
    True
    """
    return _compare("equal", ew.eq, operator.eq, x, y)


def not_equal(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x != y.

    >>> print(not_equal(1, 2))
    True
    """
    return _compare("not_equal", ew.ne, operator.ne, x, y)


def less(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x < y.

    >>> print(less(1, 2))
    True
    """
    return _compare("less", ew.lt, operator.lt, x, y)


def less_equal(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x <= y.

    >>> print(less_equal(1, 1))
    True
    """
    return _compare("less_equal", ew.le, operator.le, x, y)


def greater(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x > y.

    >>> print(greater(1, 2))
    False
    """
    return _compare("greater", ew.gt, operator.gt, x, y)


def greater_equal(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x >= y.

    >>> print(greater_equal(1, 2))
    False
    """
    return _compare("greater_equal", ew.ge, operator.ge, x, y)


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


# ---- logic ----------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """Whether an operand is not 0."""
    return x if kind(x) == "b" else ew.ne(x, 0)


def _truths(name: str, x: Any, y: Any) -> list[Any]:
    return broadcast_together(name, [truth(a) for a in operands(name, x, y)])


def logical_and(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Whether both are true.

    >>> print(logical_and(True, False))
    False
    """
    return settle(ew.and_(*_truths("logical_and", x, y)))


def logical_or(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Whether one or both are true.

    >>> print(logical_or(True, False))
    True
    """
    return settle(ew.or_(*_truths("logical_or", x, y)))


def logical_xor(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Whether exactly one is true.

    >>> print(logical_xor(True, True))
    False
    """
    return settle(ew.xor(*_truths("logical_xor", x, y)))


def logical_not(x: ArrayLike, /) -> Array:
    """Whether false.

    >>> print(logical_not(0))
    True
    """
    value = operand(x, "logical_not")
    return settle(ew.not_(value) if kind(value) == "b" else ew.eq(value, 0))


# ---- bits -----------------------------------------------------------------------------------


def _bits(name: str, x: Any, y: Any) -> list[Any]:
    xs = pair(name, x, y)
    if kind(xs[0]) in "fc":
        fail(
            DTypeError,
            f"{name} does not take {type_of(xs[0]).dtype.name}",
            "it takes integers and booleans",
        )
    return xs


def bitwise_and(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The bits that both have.

    >>> print(bitwise_and(6, 3))
    2
    """
    return settle(ew.and_(*_bits("bitwise_and", x, y)))


def bitwise_or(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The bits that one or both have.

    >>> print(bitwise_or(6, 3))
    7
    """
    return settle(ew.or_(*_bits("bitwise_or", x, y)))


def bitwise_xor(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The bits that exactly one has.

    >>> print(bitwise_xor(6, 3))
    5
    """
    return settle(ew.xor(*_bits("bitwise_xor", x, y)))


def invert(x: ArrayLike, /) -> Array:
    """All bits turned round; of booleans the logical not.

    >>> print(invert(0))
    -1
    """
    return settle(ew.not_(operand(x, "invert")))


bitwise_not = bitwise_invert = invert


def _shift_operands(name: str, x: Any, y: Any) -> list[Any]:
    return [cast(a, dtypes.INT32) if kind(a) == "b" else a for a in _bits(name, x, y)]


def left_shift(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x · 2^y, without the bits that leave; 0 for counts of the width and more.

    >>> print(left_shift(1, 3))
    8
    """
    return settle(ew.shift_left(*_shift_operands("left_shift", x, y)))


def right_shift(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x / 2^y rounded down.

    >>> print(right_shift(-8, 1))
    -4
    """
    x, y = _shift_operands("right_shift", x, y)
    shift = ew.shift_right_logical if kind(x) == "u" else ew.shift_right_arithmetic
    return settle(shift(x, y))


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def bitwise_count(x: ArrayLike, /) -> Array:
    """How many bits of |x| are 1, as uint8.

    >>> print(bitwise_count(7))
    3
    """
    value = operand(x, "bitwise_count")
    if kind(value) == "b":
        return settle(cast(value, np.dtype(np.uint8)))
    size = ew.abs_(value) if kind(value) == "i" else value
    return settle(cast(ew.population_count(size), np.dtype(np.uint8)))


# ---- choice ---------------------------------------------------------------------------------


def where(
    condition: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    /,
    *,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Any:
    """`x` where `condition` is true, else `y`; of the condition alone, where it is true.

    The gradient through the side not taken is 0 even where that side is infinite or NaN.

    >>> print(where(True, 1, 2))
    1
    """
    if x is None and y is None:
        from jitml.numpy.search import nonzero

        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        fail(ArgumentError, "where: give both x and y, or neither")
    test = truth(operand(condition, "where"))
    yes, no = promoted("where", x, y)
    shape = common_shape("where", [test, yes, no])
    test, yes, no = (a if not type_of(a).shape else expand_to(a, shape) for a in (test, yes, no))
    if shape and not any(type_of(a).shape for a in (test, yes, no)):
        yes = expand_to(yes, shape)
    return settle(ew.select(test, yes, no))


def select(
    condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0
) -> Array:
    """The first choice whose condition holds, else `default`.

    >>> print(select([False, True], [1, 2], 0))
    2
    """
    if len(condlist) != len(choicelist) or not condlist:
        fail(
            ArgumentError,
            f"select: {len(condlist)} conditions for {len(choicelist)} choices",
            "give one choice for each condition, and at least one",
        )
    *choices, result = promoted("select", *choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return settle(result)


def isin(
    element: ArrayLike, test_elements: ArrayLike, assume_unique: bool = False, invert: bool = False
) -> Array:
    """Which elements occur among the test elements.

    >>> print(isin(2, 2))
    True
    """
    from jitml.numpy.manipulation import expand_dims, ravel
    from jitml.numpy.reductions import any as any_

    found = any_(equal(expand_dims(operand(element, "isin"), -1), ravel(test_elements)), axis=-1)
    return logical_not(found) if invert else found
