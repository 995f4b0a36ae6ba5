"""Exponential, sine and cosine integrals. f32 (through f64) or f64 in, the same type out.

Sources: DLMF 6.6 (series), 6.9, 8.9.2 (continued fractions, by Lentz's algorithm), 6.12
(asymptotic series).
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import Pair, flip_sign, in_double, repeat, sign_bit
from jitml.scalar.complex import Complex
from jitml.scalar.exponential import exp
from jitml.scalar.gamma import digamma
from jitml.scalar.gamma_function import gamma
from jitml.scalar.logarithm import log
from jitml.scalar.power import pow
from jitml.scalar.trigonometric import cos, sin
from jitml.scalar.value import Value, floor, fma, routine, select

_EPSILON = 2.0**-54
_MOST_STEPS = 1000.0
_EULER = 0.5772156649015329


# ---- exponential integrals ------------------------------------------------------------------


@routine
@in_double
def expn(n: Value, x: Value) -> Value:
    """E_n(x) for whole n ≥ 0 and x ≥ 0, within 4 ulp in f32."""
    small = x <= 1.0
    series = _expn_series(n, select(small, x, 0.5))
    far = exp(-x) * _expn_fraction(n, select(small, 2.0, x))
    result = select(n == 0.0, exp(-x) / x, select(small, series, far))
    result = select(x == 0.0, select(n > 1.0, 1.0 / (n - 1.0), math.inf), result)
    result = select(x == math.inf, 0.0, result)
    return select((x >= 0.0) & (n >= 0.0) & (n == floor(n)), result, math.nan)


@routine
@in_double
def exp1(x: Value) -> Value:
    """E₁(x) within 4 ulp in f32; NaN below 0."""
    return _exp1(x)


def _exp1(x: Value) -> Value:
    small = x <= 1.0
    near = -(log(x) + _EULER) - _entire(select(small, -x, 0.0))
    far = exp(-x) * _expn_fraction(x.like(1.0), select(small, 2.0, x))
    return select(x < math.inf, select(small, near, far), select(x == math.inf, 0.0, x))


@routine
@in_double
def expi(x: Value) -> Value:
    """Ei(x) within 4 ulp in f32; −∞ at 0."""
    growing = select((x > 0.0) & (x <= 40.0), x, 1.0)
    near = log(growing) + _EULER + _entire(growing)
    far = exp(x * 0.5) * (exp(x * 0.5) * _asymptotic(select(x > 40.0, x, 50.0)))
    result = select(x > 40.0, far, select(x > 0.0, near, -_exp1(-x)))
    return select(x == math.inf, x, select(x == 0.0, -math.inf, result))


def _expn_fraction(n: Value, x: Value) -> Value:
    """E_n(x)·eˣ for x > 1."""
    first = 1.0 / (x + n)
    state = [x.like(1.0), x.like(2.0**900), first, first, x.like(0.0)]
    return repeat(_ratio_counts, _next_ratio, state, (n, x))[3]


def _ratio_counts(k: Value, c: Value, d: Value, total: Value, ratio: Value, *_: Value) -> Value:
    return (abs(ratio - 1.0) > _EPSILON) & (k < _MOST_STEPS)


def _next_ratio(
    k: Value, c: Value, d: Value, total: Value, ratio: Value, n: Value, x: Value
) -> list[Value]:
    above, below = -k * (n - 1.0 + k), x + n + (k + k)
    d, c = 1.0 / fma(above, d, below), below + above / c
    ratio = c * d
    return [k + 1.0, c, d, total * ratio, ratio]


def _expn_series(n: Value, x: Value) -> Value:
    """E_n(x) for x ≤ 1: a power series without its (n − 1)st term, which has a logarithm."""
    start = select(n == 1.0, n.like(0.0), -1.0 / (1.0 - n))
    state = [x.like(0.0), x.like(1.0), start, x.like(1.0)]
    total = repeat(_term_counts, _next_term, state, (n, x))[2]
    safe = select((n >= 1.0) & (n < 150.0), n, 1.0)
    special = pow(-x, safe - 1.0) / gamma(safe) * (digamma(safe) - log(x))
    return total + select(n < 150.0, special, 0.0)


def _term_counts(k: Value, power: Value, total: Value, term: Value, *_: Value) -> Value:
    return (abs(term) > abs(total) * _EPSILON) & (k < _MOST_STEPS)


def _next_term(
    k: Value, power: Value, total: Value, term: Value, n: Value, x: Value
) -> list[Value]:
    k = k + 1.0
    power = -power * x / k
    distance = k - (n - 1.0)
    is_special = distance == 0.0
    step = select(is_special, 0.0, -power / select(is_special, 1.0, distance))
    return [k, power, total + step, select(is_special, power, step)]


def _entire(x: Value) -> Value:
    """Σ xᵏ/(k·k!) over k ≥ 1."""
    state = [x.like(0.0), x.like(1.0), x.like(0.0), x]
    return repeat(_term_counts, _next_entire, state, (x,))[2]


def _next_entire(k: Value, power: Value, total: Value, term: Value, x: Value) -> list[Value]:
    k = k + 1.0
    power = power * x / k
    return [k, power, total + power / k, power / k]


def _asymptotic(x: Value) -> Value:
    """Ei(x)·e⁻ˣ for x > 40: Σ k!/xᵏ⁺¹."""
    inverse = 1.0 / x
    state = [x.like(0.0), inverse, inverse, inverse]
    return repeat(_term_counts, _next_factorial, state, (inverse,))[2]


def _next_factorial(
    k: Value, power: Value, total: Value, term: Value, inverse: Value
) -> list[Value]:
    k = k + 1.0
    power = power * k * inverse
    return [k, power, total + power, power]


# ---- sine and cosine integrals --------------------------------------------------------------


@routine
@in_double
def sine_integral(x: Value) -> Value:
    """Si(x) = ∫ sin(t)/t dt from 0 to x, within 4 ulp in f32."""
    size = abs(x)
    state = [x.like(0.0), size, size, size]
    square = select(size < 4.0, size * size, 0.0)
    near = repeat(_term_counts, _next_sine, state, (square,))[2]
    _, turn = _rotated_fraction(size)
    far = turn + math.pi / 2
    result = select(size < 4.0, near, select(size < math.inf, far, math.pi / 2))
    return select(x == x, flip_sign(result, sign_bit(x)), x)


def _next_sine(k: Value, power: Value, total: Value, term: Value, square: Value) -> list[Value]:
    k = k + 2.0
    power = -power * square / (k * (k + 1.0))
    term = power / (k + 1.0)
    return [k, power, total + term, term]


@routine
@in_double
def cosine_integral(x: Value) -> Value:
    """Ci(x) = γ + log|x| + ∫ (cos(t) − 1)/t dt from 0 to |x|, within 4 ulp in f32."""
    size = abs(x)
    one = x.like(1.0)
    square = select(size < 4.0, size * size, 0.0)
    series = repeat(_term_counts, _next_cosine, [one * 0.0, one, one * 0.0, one], (square,))[2]
    near = log(size) + (series + _EULER)
    level, _ = _rotated_fraction(size)
    result = select(size < 4.0, near, select(size < math.inf, -level, 0.0))
    return select(x == x, result, x)


def _next_cosine(k: Value, power: Value, total: Value, term: Value, square: Value) -> list[Value]:
    k = k + 2.0
    power = -power * square / (k * (k - 1.0))
    term = power / k
    return [k, power, total + term, term]


def _rotated_fraction(x: Value) -> Pair:
    """Both parts of E₁(ix) for x ≥ 4."""
    near = select((x >= 4.0) & (x < math.inf), x, 4.0)
    zero = x.like(0.0)
    first = 1.0 / Complex(x.like(1.0), near)
    state = [
        x.like(1.0), x.like(2.0**300), zero, first.re, first.im, first.re, first.im, zero,
    ]  # fmt: skip
    *_, re, im, _ = repeat(_complex_counts, _next_complex, state, (near,))
    turned = Complex(cos(x), -sin(x)) * Complex(re, im)
    return turned.re, turned.im


def _complex_counts(k: Value, *others: Value) -> Value:
    ratio = others[6]
    return (abs(ratio - 1.0) > _EPSILON) & (k < _MOST_STEPS)


def _next_complex(
    k: Value, c_re: Value, c_im: Value, d_re: Value, d_im: Value, re: Value, im: Value,
    _: Value, x: Value,
) -> list[Value]:  # fmt: skip
    above, below = -(k * k), Complex(k + k + 1.0, x)
    d = 1.0 / (Complex(d_re, d_im) * above + below)
    c = below + 1.0 / Complex(c_re, c_im) * above
    ratio = c * d
    total = Complex(re, im) * ratio
    size = ratio.re + abs(ratio.im)
    return [k + 1.0, c.re, c.im, d.re, d.im, total.re, total.im, size]
