"""The error functions' kin: Faddeeva's function, Dawson's and Fresnel's integrals, scaled erfc.

Source: M. Al Azah, S. N. Chandler-Wilde, "Computation of the complex error function using modified
trapezoidal rules", SIAM J. Numer. Anal. 59 (2021): sums of eleven terms, to 15 digits everywhere.
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import (
    Pair,
    flip_sign,
    in_double,
    polynomial,
    sign_bit,
    two_product,
    two_sum,
)
from jitml.scalar.complex import Complex, choose
from jitml.scalar.exponential import exp, exp_as_pair
from jitml.scalar.special import erfc, scaled_erfcx
from jitml.scalar.trigonometric import cos, sin, tan
from jitml.scalar.value import Value, convert, floor, fma, round_even, routine, scale, select

_TERMS = 11
_STEP = math.sqrt(math.pi / (_TERMS + 1))
_INVERSE_ROOT_PI = 1 / math.sqrt(math.pi)
_ERFCX_FAR = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0, 10395.0, -135135.0)  # DLMF 7.12.1


# ---- Faddeeva's function --------------------------------------------------------------------


def wofz(z: Complex) -> Complex:
    """exp(−z²)·erfc(−iz); each part within 1e-6 of |w| in f32, 1e-14 in f64."""
    if z.re.type == "f32":
        wide = wofz(Complex(convert(z.re, "f64"), convert(z.im, "f64")))
        return Complex(convert(wide.re, "f32"), convert(wide.im, "f32"))
    x, y = abs(z.re), abs(z.im)
    first = _first_quadrant(x, y)
    # w(−z̄) is the conjugate of w(z), w(−z) = 2·exp(−z²) − w(z).
    gauss = _gauss(x, y)
    lower = sign_bit(z.im) != 0
    below = Complex(gauss.re * 2.0 - first.re, first.im - gauss.im * 2.0)
    result = choose(lower & (y > 0.0), below, first)
    zero = x.like(0.0)
    endless = ((x == math.inf) & (y == y)) | ((y == math.inf) & ~lower & (x == x))
    result = choose(endless, Complex(zero, zero), result)
    return Complex(result.re, flip_sign(result.im, sign_bit(z.re)))


def _gauss(x: Value, y: Value) -> Complex:
    """exp(−z²)."""
    square, square_low = two_product(x, x)
    other, other_low = two_product(y, y)
    high, low = two_sum(other, -square)
    n, mantissa, _ = exp_as_pair(high, low + (other_low - square_low))
    angle = x * y * 2.0
    re = scale(mantissa * cos(angle), n)
    im = scale(mantissa * -sin(angle), n)
    return Complex(re, im)


def _first_quadrant(x: Value, y: Value) -> Complex:
    """w(x + iy) for x, y ≥ 0: a trapezium or a midpoint sum, whichever has its poles far away."""
    z = Complex(x, y)
    phase = x / _STEP - floor(x / _STEP)
    is_high = y >= select(x > math.pi / _STEP, x, math.pi / _STEP)
    shifted = (phase < 0.25) | (phase > 0.75) | is_high
    total = _sum(z, shifted)
    gauss = _gauss(x, y)
    # exp(−2πiz/h) = e^(2πy/h)·(cos − i·sin).
    turn = x * (2.0 * math.pi / _STEP)
    growth = exp(y * (2.0 * math.pi / _STEP))
    wave = Complex(growth * cos(turn), growth * -sin(turn))
    correction = (gauss * 2.0) / choose(shifted, wave + 1.0, 1.0 - wave)
    zero = x.like(0.0)
    correction = choose(is_high | (growth == math.inf), Complex(zero, zero), correction)
    return total + correction


def _sum(z: Complex, shifted: Value) -> Complex:
    """The midpoint sum where `shifted`, else the trapezium sum."""
    # i·z·h·2/π · Σ exp(−t²)/(z² − t²)
    zero, inverse = z.re.like(0.0), 1.0 / z
    total = choose(shifted, Complex(zero, zero), inverse * inverse * 0.5)
    square = z * z
    for k in range(_TERMS + 1):
        t, weight = _node(k, shifted)
        total = total + 1.0 / (square - t) * weight
    scaled = z * total * (2.0 * _STEP / math.pi)
    return Complex(-scaled.im, scaled.re)


def _node(k: int, shifted: Value) -> Pair:
    """The square of the k-th point of either sum, and its weight."""
    middle, end = ((k + 0.5) * _STEP) ** 2, ((k + 1) * _STEP) ** 2
    zero = select(shifted, shifted.builder.constant("f64", middle, shifted.lanes), end)
    weight = shifted.builder.constant("f64", math.exp(-middle), shifted.lanes)
    return zero, select(shifted, weight, math.exp(-end))


# ---- real functions -------------------------------------------------------------------------


@routine
@in_double
def erfcx(x: Value) -> Value:
    """exp(x²)·erfc(x), within 4 ulp in f32."""
    square, low = two_product(x, x)
    n, one, _ = exp_as_pair(square, low)
    near = scale(erfc(x) * one, n)
    middle, _ = scaled_erfcx(select((x >= 0.5) & (x < 27.0), x, 1.0))
    inverse = 1.0 / x
    tail = polynomial(inverse * inverse * 0.5, _ERFCX_FAR)
    far = tail * (inverse * _INVERSE_ROOT_PI)
    result = select(x < 0.5, near, select(x < 27.0, middle, far))
    return select(x < -27.0, math.inf, result)


@routine
@in_double
def dawsn(x: Value) -> Value:
    """exp(−x²)·∫ exp(t²) dt from 0 to x, within 4 ulp in f32."""
    size = abs(x)
    near = select(size < 1.0, size, 0.0)
    # The series in −2x²/(2k + 1) (DLMF 7.6.4), to 22 terms.
    step, total = near * near * -2.0, size.like(1.0)
    for k in reversed(range(1, 23)):
        total = fma(total * step, 1.0 / (2 * k + 1), 1.0)
    middle = select((size > 1.0) & (size < 2.0**30), size, 1.0)
    result = select(
        size < 1.0, near * total, select(size < 2.0**30, _far_dawsn(middle), 0.5 / size)
    )
    return select(x == x, flip_sign(result, sign_bit(x)), x)


def _far_dawsn(x: Value) -> Value:
    """Dawson's integral from 1 on: √π/2 times the imaginary part of w, of which y is 0."""
    turns = x * (1.0 / _STEP)
    part = turns - round_even(turns)
    shifted = abs(part) < 0.25
    square, low = two_product(x, x)
    total = select(shifted, 0.0, 0.5 / square)
    for k in range(_TERMS + 1):
        t, weight = _node(k, shifted)
        total = total + weight / (square - t)
    tangent = tan(part * math.pi)
    n, one, _ = exp_as_pair(-square, -low)
    gauss = scale(one, n) * select(shifted, tangent, -1.0 / tangent)
    return fma(total * x, _STEP * _INVERSE_ROOT_PI, gauss * (math.sqrt(math.pi) / 2))


def _fresnel(x: Value) -> tuple[Value, Value]:
    """Both Fresnel integrals of x ≥ 1.5: of (1 + i)/2·(1 − e^(iπx²/2)·w(√π/2·(1 + i)·x))."""
    scaled = x * (math.sqrt(math.pi) / 2)
    w = _first_quadrant(scaled, scaled)
    square, low = two_product(x, x)
    turns = square - round_even(square * 0.25) * 4.0 + low
    angle = turns * (math.pi / 2)
    excess = 1.0 - Complex(cos(angle), sin(angle)) * w
    return (excess.re - excess.im) * 0.5, (excess.re + excess.im) * 0.5


def _fresnel_series(x: Value, first: int) -> Value:
    """Σ (−1)ᵏ·(π/2)ⁿ·x^(2n+1)/(n!·(2n + 1)), n = 2k + first, for |x| < 1.5, to 15 terms."""
    square = x * x * (math.pi / 2)
    step, total = square * square, x.like(0.0)
    for k in reversed(range(15)):
        n = 2 * k + first
        ratio = 1.0 if k == 0 else -1.0 / (n * (n - 1))
        total = fma(total, step, 1.0 / (2 * n + 1)) * ratio
    return total * x * (square if first else 1.0)


def _fresnel_part(x: Value, part: int) -> Value:
    size = abs(x)
    far = _fresnel(select((size < 1.5) | (size > 2.0**60), 1.5, size))[part]
    near = _fresnel_series(select(size < 1.5, size, 0.0), part)
    result = select(size < 1.5, near, select(size < 2.0**60, far, 0.5))
    return select(x == x, flip_sign(result, sign_bit(x)), x)


@routine
@in_double
def fresnel_cosine(x: Value) -> Value:
    """∫ cos(πt²/2) dt from 0 to x, within 4 ulp in f32."""
    return _fresnel_part(x, 0)


@routine
@in_double
def fresnel_sine(x: Value) -> Value:
    """∫ sin(πt²/2) dt from 0 to x, within 4 ulp in f32."""
    return _fresnel_part(x, 1)
