"""Complex numbers of the scalar language: a pair of `Value`s, with C99's special values (Annex G).

In: `Complex` values of f32 or f64 parts. Out: the same, or a real `Value` (abs, angle). Products
and quotients follow NumPy's formulas.
"""

from __future__ import annotations

import math
from typing import TypeAlias, Union

from jitml.scalar import exponential, logarithm
from jitml.scalar.arithmetic import (
    Pair,
    by_type,
    fast_two_sum,
    two_product,
    two_sum,
)
from jitml.scalar.trigonometric import atan2
from jitml.scalar.trigonometric import cos as real_cos
from jitml.scalar.trigonometric import sin as real_sin
from jitml.scalar.value import Value, copysign, fma, is_nan, scale, select
from jitml.scalar.value import sqrt as real_sqrt

ComplexOperand: TypeAlias = Union["Complex", Value, complex, float, int]


class Complex:
    """A complex number under construction; reals beside it become re + 0i, as in NumPy."""

    __slots__ = ("im", "re")

    def __init__(self, re: Value, im: Value) -> None:
        self.re = re
        self.im = im

    def __repr__(self) -> str:
        return f"Complex({self.re!r}, {self.im!r})"

    __hash__ = object.__hash__

    def like(self, number: ComplexOperand) -> Complex:
        """The operand as a `Complex` of this type and these lanes."""
        if isinstance(number, Complex):
            return number
        if isinstance(number, Value):
            return Complex(number, self.im.like(0.0))
        return Complex(self.re.like(complex(number).real), self.im.like(complex(number).imag))

    def __neg__(self) -> Complex:
        return Complex(-self.re, -self.im)

    def __add__(self, other: ComplexOperand) -> Complex:
        y = self.like(other)
        return Complex(self.re + y.re, self.im + y.im)

    def __radd__(self, other: ComplexOperand) -> Complex:
        return self.like(other) + self

    def __sub__(self, other: ComplexOperand) -> Complex:
        y = self.like(other)
        return Complex(self.re - y.re, self.im - y.im)

    def __rsub__(self, other: ComplexOperand) -> Complex:
        return self.like(other) - self

    def __mul__(self, other: ComplexOperand) -> Complex:
        y = self.like(other)
        return Complex(self.re * y.re - self.im * y.im, self.re * y.im + self.im * y.re)

    def __rmul__(self, other: ComplexOperand) -> Complex:
        return self.like(other) * self

    def __truediv__(self, other: ComplexOperand) -> Complex:
        return _quotient(self, self.like(other))

    def __rtruediv__(self, other: ComplexOperand) -> Complex:
        return _quotient(self.like(other), self)

    def __abs__(self) -> Value:
        return hypot(self.re, self.im)

    def __eq__(self, other: ComplexOperand) -> Value:  # type: ignore[override]
        y = self.like(other)
        return (self.re == y.re) & (self.im == y.im)

    def __ne__(self, other: ComplexOperand) -> Value:  # type: ignore[override]
        y = self.like(other)
        return (self.re != y.re) | (self.im != y.im)


def choose(condition: Value, x: Complex, y: Complex) -> Complex:
    """`x` where `condition` holds, else `y`."""
    return Complex(select(condition, x.re, y.re), select(condition, x.im, y.im))


def _quotient(x: Complex, y: Complex) -> Complex:
    """x/y by Smith's algorithm, with NumPy's steps: divide by the larger part first."""
    wide = abs(y.re) >= abs(y.im)
    big, small = select(wide, y.re, y.im), select(wide, y.im, y.re)
    ratio = small / big
    scale = 1.0 / (big + small * ratio)
    p, q = select(wide, x.re, x.im), select(wide, x.im, x.re)
    turned = p * ratio
    im = (select(wide, q, turned) - select(wide, turned, q)) * scale
    zero = (y.re == 0.0) & (y.im == 0.0)
    by_zero = abs(y.re)
    return choose(
        zero, Complex(x.re / by_zero, x.im / by_zero), Complex((p + q * ratio) * scale, im)
    )


def is_finite(x: Value) -> Value:
    return abs(x) < math.inf


def is_infinite(x: Value) -> Value:
    return abs(x) == math.inf


def _hypot_scaled(x: Value, y: Value) -> Pair:
    """√(x² + y²) = h·s, s a power of two that keeps the squares in range: h and s."""
    width, height = abs(x), abs(y)
    large = (width > by_type(x, 2.0**60, 2.0**500)) | (height > by_type(x, 2.0**60, 2.0**500))
    small = (width < by_type(x, 2.0**-60, 2.0**-500)) & (height < by_type(x, 2.0**-60, 2.0**-500))
    down, up = by_type(x, 2.0**-70, 2.0**-600), by_type(x, 2.0**90, 2.0**600)
    scale = select(large, x.like(down), select(small, x.like(up), 1.0))
    unscale = select(large, x.like(1.0 / down), select(small, x.like(1.0 / up), 1.0))
    width, height = width * scale, height * scale
    return real_sqrt(fma(width, width, height * height)), unscale


def hypot(x: Value, y: Value) -> Value:
    """√(x² + y²) within 1 ulp, without early overflow; ∞ if either is infinite."""
    root, unscale = _hypot_scaled(x, y)
    return select(is_infinite(x) | is_infinite(y), math.inf, root * unscale)


def angle(x: Complex) -> Value:
    """The argument, from −π to π."""
    return atan2(x.im, x.re)


def conj(x: Complex) -> Complex:
    """The complex conjugate."""
    return Complex(x.re, -x.im)


def square(x: Complex) -> Complex:
    """x², by NumPy's formula."""
    return x * x


def reciprocal(x: Complex) -> Complex:
    """1/x by Smith's algorithm."""
    wide = abs(x.re) >= abs(x.im)
    big, small = select(wide, x.re, x.im), select(wide, x.im, x.re)
    ratio = small / big
    scale = 1.0 / (big + small * ratio)
    return Complex(select(wide, scale, ratio * scale), select(wide, -ratio * scale, -scale))


def sign(x: Complex) -> Complex:
    """x/|x|; 0 gives 0, and an infinite part stands for a direction along its axis."""
    root, unscale = _hypot_scaled(x.re, x.im)
    inverse = 1.0 / unscale
    unit = Complex(x.re * inverse / root, x.im * inverse / root)
    re_infinite, im_infinite = is_infinite(x.re), is_infinite(x.im)
    zero = x.re.like(0.0)
    along = Complex(
        select(re_infinite, copysign(x.re.like(1.0), x.re), zero),
        select(im_infinite, copysign(x.im.like(1.0), x.im), zero),
    )
    both = re_infinite & im_infinite
    along = Complex(select(both, math.nan, along.re), select(both, math.nan, along.im))
    unit = choose(re_infinite | im_infinite, along, unit)
    return choose(x == 0, Complex(zero, zero), unit)


def sqrt(x: Complex) -> Complex:
    """Square root with a non-negative real part, cut along the negative axis."""
    # Halved or scaled by a power of four, so that |x| + re neither overflows nor underflows.
    large = (abs(x.re) > by_type(x.re, 2.0**120, 2.0**1000)) | (
        abs(x.im) > by_type(x.re, 2.0**120, 2.0**1000)
    )
    small = (abs(x.re) < by_type(x.re, 2.0**-90, 2.0**-900)) & (
        abs(x.im) < by_type(x.re, 2.0**-90, 2.0**-900)
    )
    up = by_type(x.re, 2.0**40, 2.0**60)
    scale = select(large, x.re.like(2.0**-4), select(small, x.re.like(up), 1.0))
    unscale = select(large, x.re.like(2.0**2), select(small, x.re.like(up**-0.5), 1.0))
    re, im = x.re * scale, x.im * scale
    long = real_sqrt((abs(re) + hypot(re, im)) * 0.5) * unscale
    short = abs(x.im) / (long + long)
    short = select((x.re == 0.0) & (x.im == 0.0), 0.0, short)
    right = (x.re >= 0.0) | is_nan(x.re)
    result = Complex(select(right, long, short), copysign(select(right, short, long), x.im))
    return _sqrt_special(x, result)


def _sqrt_special(x: Complex, usual: Complex) -> Complex:
    """C99 G.6.4.2 where a part is infinite."""
    re_infinite, im_infinite = is_infinite(x.re), is_infinite(x.im)
    nothing = x.im - x.im  # 0, or NaN where im is
    right = x.re > 0.0
    along = Complex(
        select(right, x.re, abs(nothing)),
        select(right, select(is_nan(x.im), nothing, copysign(nothing, x.im)), copysign(x.re, x.im)),
    )
    result = choose(re_infinite, along, usual)
    return choose(im_infinite, Complex(abs(x.im), x.im), result)


def exp(x: Complex) -> Complex:
    """eˣ, without early overflow of either part."""
    n, one, _ = exponential.exp_as_pair(x.re, x.re.like(0.0))
    re = scale(one * real_cos(x.im), n)
    im = scale(one * real_sin(x.im), n)
    im = select(x.im == 0.0, x.im, im)
    lost = ~is_finite(x.im)
    down, up = lost & (x.re == -math.inf), lost & (x.re == math.inf)
    re = select(down, 0.0, select(up, math.inf, re))
    return Complex(re, select(down, copysign(im.like(0.0), x.im), im))


def exp2(x: Complex) -> Complex:
    """2ˣ, as exp(x·ln 2)."""
    return exp(Complex(x.re * math.log(2.0), x.im * math.log(2.0)))


def expm1(x: Complex) -> Complex:
    """eˣ − 1, accurate near 0."""
    half = real_sin(x.im * 0.5)
    re = exponential.expm1(x.re) * real_cos(x.im) - half * half * 2.0
    power = exp(x)
    near = abs(x.re) < 1.0
    return Complex(select(near, re + 0.0, power.re - 1.0), power.im)  # 0 of −0, too


def _log_near_one(excess: Value, rest: Value) -> Value:
    """log√(1 + excess + rest)."""
    total, low = fast_two_sum(excess, rest)
    return logarithm.log1p_pair(total, low) * 0.5


def log(x: Complex) -> Complex:
    """Natural logarithm, cut along the negative axis; accurate where |x| is near 1 too."""
    root, unscale = _hypot_scaled(x.re, x.im)
    far = logarithm.log(root) + logarithm.log(unscale)
    width, height = abs(x.re), abs(x.im)
    wide = width > height
    big, small = select(wide, width, height), select(wide, height, width)
    square_, square_low = two_product(big, big)
    other, other_low = two_product(small, small)
    excess, lost = two_sum(square_ - 1.0, other)
    near = _log_near_one(excess, lost + (square_low + other_low))
    close = (root > 0.7) & (root < 1.5) & (unscale == 1.0)
    re = select(close, near, far)
    re = select(is_infinite(x.re) | is_infinite(x.im), math.inf, re)
    return Complex(re, angle(x))


def log1p(x: Complex) -> Complex:
    """log(1 + x), accurate near 0."""
    above = Complex(x.re + 1.0, x.im)
    square_, square_low = two_product(x.re, x.re)
    other, other_low = two_product(x.im, x.im)
    excess, lost = two_sum(x.re + x.re, square_)
    excess, lost_too = two_sum(excess, other)
    near = _log_near_one(excess, (lost + lost_too) + (square_low + other_low))
    far = log(above)
    close = (x.re > -0.75) & (x.re < 1.5) & (abs(x.im) < 1.5)
    return Complex(select(close, near, far.re), far.im)


def log2(x: Complex) -> Complex:
    """Logarithm to base 2, as log(x)/ln 2."""
    result = log(x)
    return Complex(result.re * (1.0 / math.log(2.0)), result.im * (1.0 / math.log(2.0)))


def log10(x: Complex) -> Complex:
    """Logarithm to base 10, as log(x)/ln 10."""
    result = log(x)
    return Complex(result.re * (1.0 / math.log(10.0)), result.im * (1.0 / math.log(10.0)))


def pow(x: Complex, y: Complex) -> Complex:
    """xʸ = exp(y·log x); x⁰ is 1, 0ʸ is 0 for real y > 0 and NaN for other y ≠ 0."""
    result = exp(y * log(x))
    zero, one = x.re.like(0.0), x.re.like(1.0)
    vanishing = (y.re > 0.0) & (y.im == 0.0)
    of_zero = select(vanishing, zero, math.nan)
    result = choose(x == 0, Complex(of_zero, of_zero), result)
    return choose(y == 0, Complex(one, zero), result)
