"""Functions of floats: lengths, logarithms of sums, angles, exponents, neighbours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import DTypeError
from jitml.numpy.arithmetic import clip, pair
from jitml.numpy.classification import finite_limit
from jitml.numpy.elementwise import signbit
from jitml.numpy.operands import (
    broadcast_together,
    cast,
    fail,
    inexact,
    kind,
    no_out,
    operand,
    promoted,
    settle,
    strong,
)
from jitml.numpy.ufuncs import elementwise
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "arctan2", "atan2", "copysign", "frexp", "heaviside", "hypot", "ldexp", "logaddexp",
    "logaddexp2", "modf", "nextafter", "spacing",
]  # fmt: skip

# ---- distances, logarithms of sums ----------------------------------------------------------


def _ordered(x: Any, y: Any) -> tuple[Any, Any]:
    """(greater, smaller) by a choice: derivatives of all orders are right even at ties."""
    first = ew.ge(x, y)
    return ew.select(first, x, y), ew.select(first, y, x)


@elementwise(identity=0)
def hypot(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The length of the hypotenuse, without overflow on the way.

    >>> print(hypot(3.0, 4.0))
    5.0
    """
    x, y = map(strong, pair("hypot", x, y, to_inexact=True))
    if kind(x) == "c":
        fail(DTypeError, "hypot: complex numbers make no right triangle", "take their absolute()")
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


@elementwise(identity=float("-inf"))
def logaddexp(x: ArrayLike, y: ArrayLike, /) -> Array:
    """log(exp(x) + exp(y)), without overflow on the way.

    >>> print(logaddexp(0.0, float("-inf")))
    0.0
    """
    x, y = map(strong, pair("logaddexp", x, y, to_inexact=True))
    if kind(x) != "c":
        return settle(_log_of_sum(x, y, 1.0))
    take = ew.ge(ew.real(x), ew.real(y))
    high, low = ew.select(take, x, y), ew.select(take, y, x)
    return settle(_principal(ew.add(high, ew.log1p(ew.exp(ew.sub(low, high))))))


def _principal(x: Any) -> Any:
    """A logarithm with its angle between −π and π."""
    angle = ew.imag(x)
    turns = ew.round_even(ew.div(angle, math.tau))
    return ew.complex_(ew.real(x), ew.sub(angle, ew.mul(turns, math.tau)))


@elementwise(identity=float("-inf"))
def logaddexp2(x: ArrayLike, y: ArrayLike, /) -> Array:
    """log2(2^x + 2^y), without overflow on the way.

    >>> print(logaddexp2(0.0, 0.0))
    1.0
    """
    x, y = map(strong, pair("logaddexp2", x, y, to_inexact=True))
    return settle(_log_of_sum(x, y, math.log(2)))


@elementwise()
def arctan2(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """The angle of the point (x2, x1), between −π and π.

    >>> print(arctan2(0.0, 1.0))
    0.0
    """
    return settle(ew.atan2(*pair("arctan2", x1, x2, to_inexact=True)))


atan2 = arctan2


@elementwise()
def copysign(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The size of x with the sign of y.

    >>> print(copysign(1.0, -0.0))
    -1.0
    """
    x, y = pair("copysign", x, y, to_inexact=True)
    size = ew.abs_(x)
    return settle(ew.select(operand(signbit(y)), ew.neg(size), size))


@elementwise()
def nextafter(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The float next to x towards y.

    >>> print(nextafter(1.0, 2.0) > 1.0)
    True
    """
    return settle(ew.nextafter(*pair("nextafter", x, y, to_inexact=True)))


@elementwise()
def heaviside(x: ArrayLike, y: ArrayLike, /) -> Array:
    """0 below 0, 1 above, and y at 0.

    >>> print(heaviside(0.0, 0.5))
    0.5
    """
    x, y = map(strong, pair("heaviside", x, y, to_inexact=True))
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
    if type_of(count).dtype == np.uint64:  # the greatest would turn negative
        count = operand(clip(count, 0, 4400))
    type_ = type_of(value)
    dtype = inexact(type_.dtype, type_.weak)
    wide, exponent = broadcast_together(
        "ldexp", [cast(value, dtypes.FLOAT64), cast(count, dtypes.INT64)]
    )
    return settle(cast(_scaled(wide, exponent), dtype))


def _scaled(x: Any, exponent: Any) -> Any:
    """x · 2^exponent in float64: in steps, the largest last, so that no earlier one rounds."""
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
    return settle(cast(fraction, type_.dtype)), settle(cast(exponent, dtypes.INT32))


def modf(x: ArrayLike, /, out: None = None) -> tuple[Array, Array]:
    """The fractional and the integer part, both with the sign of x.

    >>> fraction, whole = modf(-1.5)
    >>> print(fraction, whole)
    -0.5 -1.0
    """
    no_out("modf", out)
    (value,) = promoted("modf", x, to_inexact=True)
    whole = ew.trunc(value)
    fraction = ew.select(
        ew.eq(ew.abs_(value), math.inf), full_of(type_of(value), 0), ew.sub(value, whole)
    )
    return settle(copysign(fraction, value)), settle(whole)


def spacing(x: ArrayLike, /) -> Array:
    """The distance from x to the next float away from 0.

    >>> print(spacing(1.0) == 2.0**-23)
    True
    """
    value = strong(*promoted("spacing", x, to_inexact=True))
    away = ew.nextafter(value, ew.mul(operand(copysign(1.0, value)), math.inf))
    largest = ew.eq(ew.abs_(value), finite_limit(type_of(value).dtype))
    inward = ew.sub(value, ew.nextafter(value, ew.mul(value, 0)))
    return settle(ew.select(largest, inward, ew.sub(away, value)))
