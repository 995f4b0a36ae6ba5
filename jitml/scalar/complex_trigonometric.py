"""Hyperbolic and trigonometric functions of `Complex` values and their inverses (C99 Annex G).

The trigonometric functions are the hyperbolic ones of i·x. Inverse functions follow
Kahan (1987), "Branch cuts for complex elementary functions", and are right on both sides of cuts.
"""

from __future__ import annotations

import math

from jitml.scalar import exponential, logarithm
from jitml.scalar.arithmetic import by_type
from jitml.scalar.complex import Complex, hypot, is_finite, is_infinite, sqrt
from jitml.scalar.trigonometric import atan2
from jitml.scalar.trigonometric import cos as real_cos
from jitml.scalar.trigonometric import sin as real_sin
from jitml.scalar.value import Value, copysign, fma, is_nan, scale, select


def _times_i(x: Complex) -> Complex:
    return Complex(-x.im, x.re)


def _over_i(x: Complex) -> Complex:
    return Complex(x.im, -x.re)


def _half_exponential(x: Complex, first: Value, second: Value) -> tuple[Value, Value]:
    """e^|re|/2 times each factor, without early overflow."""
    n, one, _ = exponential.exp_as_pair(abs(x.re), x.re.like(0.0))
    return (
        scale(one * first, n - 1.0),
        scale(one * second, n - 1.0),
    )


def sinh(x: Complex) -> Complex:
    """Hyperbolic sine: sinh(re)·cos(im) + i·cosh(re)·sin(im)."""
    sine, cosine = real_sin(x.im), real_cos(x.im)
    far_re, far_im = _half_exponential(x, cosine, sine)
    far = abs(x.re) > by_type(x.re, 12.0, 24.0)
    far_re = copysign(x.re.like(1.0), x.re) * far_re
    re = select(far, far_re, exponential.sinh(x.re) * cosine)
    im = select(far, far_im, exponential.cosh(x.re) * sine)
    lost = ~is_finite(x.im)
    re = select(lost & ((x.re == 0.0) | is_infinite(x.re)), x.re, re)
    return Complex(re, select(x.im == 0.0, x.im, im))


def cosh(x: Complex) -> Complex:
    """Hyperbolic cosine: cosh(re)·cos(im) + i·sinh(re)·sin(im)."""
    sine, cosine = real_sin(x.im), real_cos(x.im)
    far_re, far_im = _half_exponential(x, cosine, sine)
    far = abs(x.re) > by_type(x.re, 12.0, 24.0)
    far_im = copysign(x.re.like(1.0), x.re) * far_im
    re = select(far, far_re, exponential.cosh(x.re) * cosine)
    im = select(far, far_im, exponential.sinh(x.re) * sine)
    re = select(~is_finite(x.im) & is_infinite(x.re), math.inf, re)
    lost = (x.re == 0.0) & ~is_finite(x.im)
    zero = select(lost, 0.0, copysign(x.re.like(0.0), x.re) * copysign(x.im.like(1.0), x.im))
    return Complex(re, select(lost | (x.im == 0.0), zero, im))


def tanh(x: Complex) -> Complex:
    """Hyperbolic tangent (Kahan): sinh·cosh(re) and sin·cos(im) over sinh²(re) + cos²(im)."""
    sine, cosine = real_sin(x.im), real_cos(x.im)
    size = abs(x.re)
    far = size > by_type(x.re, 12.0, 24.0)
    near = select(far, 0.0, x.re)
    hyperbolic = exponential.sinh(near)
    below = fma(hyperbolic, hyperbolic, cosine * cosine)
    re = hyperbolic * exponential.cosh(near) / below
    im = sine * cosine / below
    decay = exponential.exp(-size)
    far_im = sine * cosine * 4.0 * decay * decay
    lost = ~is_finite(x.im)
    zero = select(lost, 0.0, copysign(x.im.like(0.0), x.im))
    far_im = select(is_infinite(x.re), zero, far_im)
    re = select(far, copysign(x.re.like(1.0), x.re), re)
    re = select(lost & is_finite(x.re), math.nan, re)
    re = select(x.re == 0.0, x.re, re)
    return Complex(re, select(x.im == 0.0, x.im, select(far, far_im, im)))


def sin(x: Complex) -> Complex:
    """Sine, as −i·sinh(i·x)."""
    return _over_i(sinh(_times_i(x)))


def cos(x: Complex) -> Complex:
    """Cosine, as cosh(i·x)."""
    return cosh(_times_i(x))


def tan(x: Complex) -> Complex:
    """Tangent, as −i·tanh(i·x)."""
    return _over_i(tanh(_times_i(x)))


def asin(x: Complex) -> Complex:
    """Arc sine, with cuts along the real axis beyond ±1."""
    below, above = _roots(x)
    re = atan2(x.re, below.re * above.re - below.im * above.im)
    im = logarithm.asinh(below.re * above.im - below.im * above.re)
    infinite = is_infinite(x.re) | is_infinite(x.im)
    re = select(infinite, copysign(atan2(abs(x.re), abs(x.im)), x.re), re)
    im = select(infinite, copysign(x.im.like(math.inf), x.im), im)
    return Complex(select((x.re == 0.0) & is_nan(x.im), x.re, re), im)


def acos(x: Complex) -> Complex:
    """Arc cosine, with cuts along the real axis beyond ±1."""
    below, above = _roots(x)
    re = atan2(below.re, above.re) * 2.0
    im = logarithm.asinh(above.re * below.im - above.im * below.re)
    infinite = is_infinite(x.re) | is_infinite(x.im)
    re = select(infinite, atan2(abs(x.im), x.re), re)
    im = select(infinite, -copysign(x.im.like(math.inf), x.im), im)
    re = select((x.re == 0.0) & is_nan(x.im), math.pi / 2, re)
    return Complex(re, im)


def _roots(x: Complex) -> tuple[Complex, Complex]:
    """√(1 − x) and √(1 + x)."""
    return sqrt(Complex(1.0 - x.re, -x.im)), sqrt(Complex(1.0 + x.re, x.im))


def asinh(x: Complex) -> Complex:
    """Inverse hyperbolic sine, as i·asin(−i·x)."""
    return _times_i(asin(_over_i(x)))


def acosh(x: Complex) -> Complex:
    """Inverse hyperbolic cosine, ±i·acos(x) with a non-negative real part."""
    result = acos(x)
    return Complex(abs(result.im), copysign(result.re, x.im))


def atanh(x: Complex) -> Complex:
    """Inverse hyperbolic tangent, with cuts along the real axis beyond ±1."""
    size = abs(x.re)
    far = hypot(1.0 + size, x.im)
    near = hypot(1.0 - size, x.im)
    small = logarithm.log1p(size / near / near * 4.0) * 0.25
    large = (logarithm.log(far) - logarithm.log(near)) * 0.5
    re = select(near < 0.25, large, small)
    # Beyond this the squares might overflow, and the angle is a right one.
    huge = far > by_type(x.re, 2.0**60, 2.0**500)
    im = atan2(x.im + x.im, (1.0 - size) * (1.0 + size) - x.im * x.im) * 0.5
    limit = copysign(x.im.like(math.pi / 2), x.im)
    infinite = is_infinite(x.re) | is_infinite(x.im)
    re = copysign(select(infinite, 0.0, select(size == 0.0, size, re)), x.re)
    im = select(huge, limit, im)
    im = select(is_infinite(x.re) & is_nan(x.im), math.nan, im)
    return Complex(re, select((x.im == 0.0) & (size <= 1.0), x.im, im))


def atan(x: Complex) -> Complex:
    """Arc tangent, as −i·atanh(i·x)."""
    return _over_i(atanh(_times_i(x)))
