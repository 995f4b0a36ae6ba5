"""Rounding, signs, neighbours and exact remainders. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitml.scalar.arithmetic import (
    Pair,
    bits_of,
    flip_sign,
    format_of,
    power_of_two,
    rarely,
    scale_by_power_of_two,
    sign_bit,
    two_product,
)
from jitml.scalar.value import (
    FLOATS,
    UNSIGNED,
    Value,
    bitcast,
    convert,
    copysign,
    fma,
    is_nan,
    round_even,
    routine,
    select,
    trunc,
)


def sign(x: Value) -> Value:
    """−1, 0 or 1 with the sign of `x`, for floats and integers; ±0 and NaN give themselves."""
    if x.type in UNSIGNED:
        return select(x > 0, x.like(1), 0)
    if x.type not in FLOATS:
        return select(x > 0, x.like(1), select(x < 0, x.like(-1), 0))
    return select(abs(x) > 0.0, copysign(x.like(1.0), x), x)


def reciprocal(x: Value) -> Value:
    """1/x, correctly rounded."""
    return 1.0 / x


def square(x: Value) -> Value:
    """x·x, correctly rounded; integers wrap."""
    return x * x


def round_half_away(x: Value) -> Value:
    """To the nearest integer, halves away from zero (C's round)."""
    whole = trunc(x)
    # x − whole is exact, so no half is missed and nothing below a half is rounded up.
    step = select(abs(x - whole) >= 0.5, copysign(x.like(1.0), x), 0.0)
    return copysign(whole + step, x)


def nextafter(x: Value, y: Value) -> Value:
    """The float next to `x` towards `y`; `y` where they are equal."""
    bits = bits_of(x)
    away = select(x > 0.0, x < y, x > y)
    stepped = bitcast(select(away, bits + 1, bits - 1), x.type)
    smallest = bitcast(sign_bit(y) | 1, x.type)
    result = select(x == y, y, select(x == 0.0, smallest, stepped))
    return select(is_nan(x) | is_nan(y), math.nan, result)


@routine
def fmod(x: Value, y: Value) -> Value:
    """C's fmod, exact: x − n·y with n whole, the sign of x and less than |y| in size.

    The quotient, where it is small, is rounded to n or above by less than one; then both
    x − n·y and the step back are exact.
    """
    size, modulus = abs(x), abs(y)
    quotient = size / modulus
    rest = fma(-trunc(quotient), modulus, size)
    rest = select(rest < 0.0, rest + modulus, rest)
    near = flip_sign(select(size < modulus, size, rest), sign_bit(x))
    far = ~(quotient < 2.0 ** (format_of(x).fraction - 1))
    return rarely(far, _far_fmod, (x, y), (near,))[0]


def _far_fmod(x: Value, y: Value) -> Sequence[Value]:
    """fmod of any numbers.

    With x = M·2ᵉ and y = N·2ᶠ for whole M and N, the remainder is (M·2^(e−f) mod N)·2ᶠ. The power
    is taken modulo N by repeated squaring, so the number of steps is fixed.
    """
    if x.type == "f32":
        return [convert(_fmod(convert(x, "f64"), convert(y, "f64"), 24, 9), "f32")]
    return [_fmod(x, y, 53, 12)]


def _fmod(x: Value, y: Value, precision: int, steps: int) -> Value:
    """fmod in f64 for operands of `precision` bits whose exponents differ by less than 2^steps."""
    size = abs(x)
    modulus = _Modulus(abs(y), precision)
    whole, exponent = _whole_and_exponent(size, precision)
    power = modulus.power_of_two(exponent - modulus.exponent, steps)
    rest = modulus.product(power, modulus.centred(whole))
    rest = select(rest < 0.0, rest + modulus.whole, rest)
    inside = size < abs(y)
    result = select(inside, size, scale_by_power_of_two(rest, modulus.exponent))
    defined = (size < math.inf) & (abs(y) > 0.0)
    return flip_sign(select(defined, result, math.nan), sign_bit(x))


def _whole_and_exponent(size: Value, precision: int) -> Pair:
    """size = M·2ᵉ for f64 size > 0, M whole of exactly `precision` bits: M, and e modulo 2^64."""
    layout = format_of(size)
    denormal = size < layout.smallest_normal
    bits = bits_of(select(denormal, size * 2.0**54, size))
    unit = layout.bias + precision - 1
    whole = (bits & ((1 << layout.fraction) - 1)) | (unit << layout.fraction)
    exponent = (bits >> layout.fraction) - unit
    return bitcast(whole, size.type), select(denormal, exponent - 54, exponent)


class _Modulus:
    """Whole numbers modulo N as f64, kept within ±N/2, where products and quotients stay exact."""

    def __init__(self, size: Value, precision: int) -> None:
        self.whole, self.exponent = _whole_and_exponent(size, precision)
        self.inverse = 1.0 / self.whole
        self.precision = precision

    def centred(self, x: Value) -> Value:
        """x modulo N within ±N/2, for |x| < 2^11·N or so."""
        return fma(-round_even(x * self.inverse), self.whole, x)

    def product(self, x: Value, y: Value) -> Value:
        """x·y modulo N."""
        if 2 * self.precision <= 53:
            return self.centred(x * y)
        high, low = two_product(x, y)
        # The rounded quotient is right to within 1/8, so the difference and the sum are exact.
        return self.centred(fma(-round_even(high / self.whole), self.whole, high) + low)

    def power_of_two(self, exponent: Value, steps: int) -> Value:
        """2^exponent modulo N for 0 ≤ exponent < 2^steps, from the top bits down."""
        rest = steps - 6
        power = self.centred(power_of_two((exponent >> rest) & 63, "f64"))
        for k in reversed(range(rest)):
            power = self.product(power, power)
            odd = (exponent >> k) & 1
            power = self.centred(select(odd != 0, power + power, power))
        return power
