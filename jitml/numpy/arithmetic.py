"""Arithmetic of two arrays: NumPy's functions and, through `array_methods`, the operators.

Operands are promoted and broadcast; a Python number costs no equation. Integer division and
remainder round towards minus infinity as Python's do; by 0 they give 0, as NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.ir.graph import Literal
from jitml.numpy.elementwise import finite_limit, isnan, kind, signbit
from jitml.numpy.operands import (
    broadcast_together,
    cast,
    fail,
    inexact,
    is_number,
    operand,
    promoted,
    settle,
)
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike


def pair(name: str, x: Any, y: Any, to_inexact: bool = False) -> list[Any]:
    """Two operands of one dtype and of shapes that fit."""
    return broadcast_together(name, promoted(name, x, y, to_inexact=to_inexact))


def _without_bool(name: str, x: Any, y: Any) -> list[Any]:
    """A pair of which booleans have become integers."""
    xs = pair(name, x, y)
    return [cast(x, dtypes.INT32) for x in xs] if kind(xs[0]) == "b" else xs


def add(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The sum; of booleans the logical or.

    >>> print(add(1, 2))
    3
    """
    x, y = pair("add", x, y)
    return settle((ew.or_ if kind(x) == "b" else ew.add)(x, y))


def subtract(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The difference.

    >>> print(subtract(3, 2))
    1
    """
    x, y = pair("subtract", x, y)
    if kind(x) == "b":
        hint = "use logical_xor, or astype(int) first"
        fail(DTypeError, "subtract: booleans have no difference", hint)
    return settle(ew.sub(x, y))


def multiply(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The product; of booleans the logical and.

    >>> print(multiply(3, 2))
    6
    """
    x, y = pair("multiply", x, y)
    return settle((ew.and_ if kind(x) == "b" else ew.mul)(x, y))


def divide(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The true quotient; of integers a float.

    >>> print(divide(3, 2))
    1.5
    """
    return settle(ew.div(*pair("divide", x, y, to_inexact=True)))


true_divide = divide


def _is_nonzero_literal(x: Any) -> bool:
    return isinstance(x, Literal) and x.value != 0


def _differs(x: Any, y: Any) -> Any:
    """Where x has not the sign of y, and is not 0."""
    return ew.and_(ew.ne(x, 0), ew.ne(ew.lt(x, 0), ew.lt(y, 0)))


def _floor_divide(x: Any, y: Any) -> Any:
    if kind(x) == "u":
        return ew.div(x, y)
    if kind(x) == "f":
        return _float_divmod(x, y)[0]
    down = _differs(ew.rem(x, y), y)
    if not _is_nonzero_literal(y):
        down = ew.and_(down, ew.ne(y, 0))
    quotient = ew.div(x, y)
    return ew.select(down, ew.sub(quotient, 1), quotient)


def _remainder(x: Any, y: Any) -> Any:
    rest = ew.rem(x, y)
    if kind(x) != "u":
        rest = ew.select(_differs(rest, y), ew.add(rest, y), rest)
    if kind(x) == "f" or _is_nonzero_literal(y):
        return rest
    return ew.select(ew.eq(y, 0), full_of(type_of(y), 0), rest)


def _float_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    rest = ew.rem(x, y)
    differs = _differs(rest, y)
    whole = ew.div(ew.sub(x, rest), y)
    whole = ew.round_even(ew.select(differs, ew.sub(whole, 1), whole))
    if not _is_nonzero_literal(y):
        whole = ew.select(ew.eq(y, 0), ew.div(x, y), whole)
    return whole, ew.select(differs, ew.add(rest, y), rest)


def _real_pair(name: str, x: Any, y: Any) -> list[Any]:
    xs = _without_bool(name, x, y)
    if kind(xs[0]) == "c":
        fail(DTypeError, f"{name}: complex numbers have no order, so no {name}")
    return xs


def floor_divide(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The quotient rounded towards minus infinity.

    >>> print(floor_divide(-7, 2))
    -4
    """
    return settle(_floor_divide(*_real_pair("floor_divide", x, y)))


def remainder(x: ArrayLike, y: ArrayLike, /) -> Array:
    """What floor_divide leaves; it has the sign of the divisor.

    >>> print(remainder(-7, 2))
    1
    """
    return settle(_remainder(*_real_pair("remainder", x, y)))


mod = remainder


def fmod(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The remainder with the sign of the dividend, as in C.

    >>> print(fmod(-7, 2))
    -1
    """
    x, y = _real_pair("fmod", x, y)
    rest = ew.rem(x, y)
    if kind(x) != "f" and not _is_nonzero_literal(y):
        rest = ew.select(ew.eq(y, 0), full_of(type_of(y), 0), rest)
    return settle(rest)


def divmod(x: ArrayLike, y: ArrayLike, /) -> tuple[Array, Array]:
    """(floor_divide, remainder).

    >>> quotient, rest = divmod(-7, 2)
    >>> print(quotient, rest)
    -4 1
    """
    x, y = _real_pair("divmod", x, y)
    both = _float_divmod(x, y) if kind(x) == "f" else (_floor_divide(x, y), _remainder(x, y))
    return settle(both[0]), settle(both[1])


def modf(x: ArrayLike, /) -> tuple[Array, Array]:
    """The fractional and the integer part, both with the sign of x.

    >>> fraction, whole = modf(-1.5)
    >>> print(fraction, whole)
    -0.5 -1.0
    """
    (value,) = promoted("modf", x, to_inexact=True)
    whole = ew.trunc(value)
    fraction = ew.select(
        ew.eq(ew.abs_(value), math.inf), full_of(type_of(value), 0), ew.sub(value, whole)
    )
    return settle(copysign(fraction, value)), settle(whole)


# ---- powers ---------------------------------------------------------------------------------


def power(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x to the power y. Integers to integer powers stay integers and wrap.

    >>> print(power(2.0, 3))
    8.0
    """
    if is_number(y) and isinstance(y, int) and not isinstance(y, bool):
        return settle(_static_power(operand(x, "power"), y))
    x, y = _without_bool("power", x, y)
    return settle(ew.pow(x, y) if kind(x) in "fc" else _integer_power(x, y))


pow = power


def _static_power(x: Any, exponent: int) -> Any:
    if kind(x) == "b":
        x = cast(x, dtypes.INT32)
    if kind(x) in "iu" and exponent < 0:
        fail(
            ArgumentError,
            f"power: integers to the negative power {exponent} are not integers",
            "use float_power, or convert with .astype(float)",
        )
    return ew.integer_pow(x, exponent)


def _integer_power(x: Any, y: Any) -> Any:
    """Repeated squaring over the bits of y; negative powers of ±1 are ±1, of other integers 0."""
    type_ = type_of(y)
    one = full_of(type_of(x), 1)
    result, square, bits = one, x, y
    for _ in range(type_.dtype.itemsize * 8 - (kind(y) == "i")):
        odd = ew.ne(ew.and_(bits, 1), 0)
        result = ew.select(odd, ew.mul(result, square), result)
        square, bits = ew.mul(square, square), ew.shift_right_logical(bits, 1)
    if kind(y) == "u":
        return result
    odd = ew.ne(ew.and_(y, 1), 0)
    sign_of_unit = ew.select(odd, x, one)
    inverse = ew.select(ew.eq(ew.abs_(x), 1), sign_of_unit, full_of(type_of(x), 0))
    return ew.select(ew.lt(y, 0), inverse, result)


def float_power(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x to the power y in floats.

    >>> print(float_power(2, -1))
    0.5
    """
    return settle(ew.pow(*pair("float_power", x, y, to_inexact=True)))


# ---- extremes -------------------------------------------------------------------------------


def _extreme(name: str, op: Callable[..., Any], first: Callable[..., Any]) -> Callable[..., Any]:
    """Maximum or minimum; complex numbers are ordered by real part, then imaginary part."""

    def extreme(x: Any, y: Any) -> Any:
        x, y = pair(name, x, y)
        if kind(x) != "c":
            return op(x, y)
        same = ew.eq(ew.real(x), ew.real(y))
        take = ew.select(same, first(ew.imag(x), ew.imag(y)), first(ew.real(x), ew.real(y)))
        return ew.select(ew.or_(take, operand(isnan(x))), x, y)

    return extreme


_maximum = _extreme("maximum", ew.maximum, ew.ge)
_minimum = _extreme("minimum", ew.minimum, ew.le)


def maximum(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The greater of two; NaN wins.

    >>> print(maximum(1, 2))
    2
    """
    return settle(_maximum(x, y))


def minimum(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The smaller of two; NaN wins.

    >>> print(minimum(1, 2))
    1
    """
    return settle(_minimum(x, y))


def _ignoring_nan(name: str, extreme: Callable[..., Any], x: Any, y: Any) -> Array:
    x, y = pair(name, x, y)
    if kind(x) not in "fc":
        return settle(extreme(x, y))
    other = ew.select(operand(isnan(y)), x, extreme(x, y))
    return settle(ew.select(operand(isnan(x)), y, other))


def fmax(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The greater of two; a number wins over NaN.

    >>> print(fmax(1.0, float("nan")))
    1.0
    """
    return _ignoring_nan("fmax", _maximum, x, y)


def fmin(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The smaller of two; a number wins over NaN.

    >>> print(fmin(1.0, float("nan")))
    1.0
    """
    return _ignoring_nan("fmin", _minimum, x, y)


def clip(
    arr: ArrayLike | None = None,
    /,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
    *,
    a: ArrayLike | None = None,
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
) -> Array:
    """`arr` kept between `min` and `max`, either of which may be None.

    >>> print(clip(5, 0, 3))
    3
    """
    value = a if arr is None else arr
    if value is None:
        fail(ArgumentError, "clip: no array was given")
    low, high = a_min if min is None else min, a_max if max is None else max
    if kind(operand(value, "clip")) == "c":
        fail(DTypeError, "clip: complex numbers have no order")
    result = value
    if low is not None:
        result = maximum(low, result)
    return settle(operand(result if high is None else minimum(high, result)))


# ---- distances, logarithms of sums ----------------------------------------------------------


def _ordered(x: Any, y: Any) -> tuple[Any, Any]:
    """(greater, smaller) by a choice, through which derivatives of all orders are right even at ties."""
    first = ew.ge(x, y)
    return ew.select(first, x, y), ew.select(first, y, x)


def hypot(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The length of the hypotenuse, without overflow on the way.

    >>> print(hypot(3.0, 4.0))
    5.0
    """
    x, y = pair("hypot", x, y, to_inexact=True)
    long, short = _ordered(ew.abs_(x), ew.abs_(y))
    infinite = ew.or_(ew.eq(ew.abs_(x), math.inf), ew.eq(ew.abs_(y), math.inf))
    zero = full_of(type_of(long), 0)
    safe = ew.select(ew.or_(ew.eq(long, 0), infinite), full_of(type_of(long), 1), long)
    ratio = ew.div(short, safe)
    length = ew.mul(long, ew.sqrt(ew.add(ew.mul(ratio, ratio), 1)))
    return settle(ew.select(infinite, ew.add(zero, math.inf), length))


def _log_of_sum(x: Any, y: Any, scale: float) -> Any:
    """log(e^(x·scale) + e^(y·scale)) / scale."""
    high, low = _ordered(x, y)
    usual = ew.or_(ew.is_finite(high), ew.ne(low, low))
    gap = ew.select(usual, ew.sub(low, high), full_of(type_of(high), 0))
    if scale != 1.0:
        return ew.add(high, ew.div(ew.log1p(ew.exp(ew.mul(gap, scale))), scale))
    return ew.add(high, ew.log1p(ew.exp(gap)))


def logaddexp(x: ArrayLike, y: ArrayLike, /) -> Array:
    """log(exp(x) + exp(y)), without overflow on the way.

    >>> print(logaddexp(0.0, float("-inf")))
    0.0
    """
    x, y = pair("logaddexp", x, y, to_inexact=True)
    if kind(x) != "c":
        return settle(_log_of_sum(x, y, 1.0))
    take = ew.ge(ew.real(x), ew.real(y))
    high, low = ew.select(take, x, y), ew.select(take, y, x)
    return settle(ew.add(high, ew.log1p(ew.exp(ew.sub(low, high)))))


def logaddexp2(x: ArrayLike, y: ArrayLike, /) -> Array:
    """log2(2^x + 2^y), without overflow on the way.

    >>> print(logaddexp2(0.0, 0.0))
    1.0
    """
    return settle(_log_of_sum(*pair("logaddexp2", x, y, to_inexact=True), math.log(2)))


def arctan2(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """The angle of the point (x2, x1), between −π and π.

    >>> print(arctan2(0.0, 1.0))
    0.0
    """
    return settle(ew.atan2(*pair("arctan2", x1, x2, to_inexact=True)))


atan2 = arctan2


def copysign(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The size of x with the sign of y.

    >>> print(copysign(1.0, -0.0))
    -1.0
    """
    x, y = pair("copysign", x, y, to_inexact=True)
    size = ew.abs_(x)
    return settle(ew.select(operand(signbit(y)), ew.neg(size), size))


def nextafter(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The float next to x towards y.

    >>> print(nextafter(1.0, 2.0) > 1.0)
    True
    """
    return settle(ew.nextafter(*pair("nextafter", x, y, to_inexact=True)))


def heaviside(x: ArrayLike, y: ArrayLike, /) -> Array:
    """0 below 0, 1 above, and y at 0.

    >>> print(heaviside(0.0, 0.5))
    0.5
    """
    x, y = pair("heaviside", x, y, to_inexact=True)
    step = cast(ew.gt(x, 0), type_of(x).dtype, type_of(x).weak)
    result = ew.select(ew.eq(x, 0), y, step)
    return settle(ew.select(ew.ne(x, x), x, result))


def ldexp(x: ArrayLike, i: ArrayLike, /) -> Array:
    """x · 2^i, rounded once.

    >>> print(ldexp(0.75, 2))
    3.0
    """
    value, count = operand(x, "ldexp"), operand(i, "ldexp")
    if kind(count) not in "iub":
        fail(DTypeError, "ldexp: the exponent must be an integer", "convert it with .astype(int)")
    type_ = type_of(value)
    dtype = inexact(type_.dtype, type_.weak)
    wide, exponent = broadcast_together(
        "ldexp", [cast(value, dtypes.FLOAT64), cast(count, dtypes.INT64)]
    )
    return settle(cast(_scaled(wide, exponent), dtype, type_.weak))


def _scaled(x: Any, exponent: Any) -> Any:
    """x · 2^exponent in float64: in steps, the largest last, so that no earlier one rounds what counts."""
    rest = operand(clip(exponent, -2200, 2200))
    steps = []
    for _ in range(3):
        step = operand(clip(rest, -1000, 1000))
        rest = ew.sub(rest, step)
        steps.append(step)
    for step in reversed(steps):
        x = ew.mul(x, _power_of_two(step))
    return x


def _power_of_two(exponent: Any) -> Any:
    """2^exponent in float64, for exponents of normal numbers."""
    return ew.bitcast(ew.shift_left(ew.add(exponent, 1023), 52), dtypes.FLOAT64)


def _exponent(x: Any) -> Any:
    """The exponent that brings float64 into ±[0.5, 1); 0 for 0, NaN and infinities."""
    tiny = ew.lt(ew.abs_(x), 2.0**-1022)
    bits = ew.bitcast(ew.select(tiny, ew.mul(x, 2.0**54), x), dtypes.INT64)
    field = ew.sub(ew.and_(ew.shift_right_logical(bits, 52), 0x7FF), 1022)
    exponent = ew.select(tiny, ew.sub(field, 54), field)
    special = ew.or_(ew.eq(x, 0), ew.not_(ew.is_finite(x)))
    return ew.select(special, full_of(type_of(field), 0), exponent)


def frexp(x: ArrayLike, /) -> tuple[Array, Array]:
    """(fraction, exponent) with x = fraction · 2^exponent and the fraction's size in [0.5, 1).

    >>> fraction, exponent = frexp(3.0)
    >>> print(fraction, exponent)
    0.75 2
    """
    (value,) = promoted("frexp", x, to_inexact=True)
    if kind(value) == "c":
        fail(DTypeError, "frexp: complex numbers have no exponent")
    type_ = type_of(value)
    wide = cast(value, dtypes.FLOAT64)
    exponent = _exponent(wide)
    fraction = _scaled(wide, ew.neg(exponent))
    return settle(cast(fraction, type_.dtype, type_.weak)), settle(cast(exponent, dtypes.INT32))


def spacing(x: ArrayLike, /) -> Array:
    """The distance from x to the next float away from 0.

    >>> print(spacing(1.0) == 2.0**-23)
    True
    """
    (value,) = promoted("spacing", x, to_inexact=True)
    away = ew.nextafter(value, ew.mul(operand(copysign(1.0, value)), math.inf))
    largest = ew.eq(ew.abs_(value), finite_limit(type_of(value).dtype))
    inward = ew.sub(value, ew.nextafter(value, ew.mul(value, 0)))
    return settle(ew.select(largest, inward, ew.sub(away, value)))
