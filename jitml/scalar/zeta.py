"""Hurwitz' zeta function, the polygamma functions and the dilogarithm. f32 (through f64) or f64."""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import in_double, rarely, repeat
from jitml.scalar.gamma import digamma
from jitml.scalar.gamma_function import gamma, is_even
from jitml.scalar.logarithm import log, log1p
from jitml.scalar.power import pow
from jitml.scalar.value import Value, convert, floor, fma, lookup, routine, select

# B_2/2!, B_4/4!, … (DLMF 24.2).
_BERNOULLI_OVER_FACTORIAL = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07,
    2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15, -2.174868698558062e-16, 5.5090028283602295e-18,
    -1.3954464685812522e-19,
)  # fmt: skip
_TERMS = 12


@routine
@in_double
def zeta(x: Value, q: Value) -> Value:
    """Σ (q + k)⁻ˣ over k ≥ 0, within 4 ulp in f32; ∞ at x = 1 and at q = 0, −1, …"""
    (result,) = rarely(q < 0.0, _zeta_left, (x, q), [_zeta_right(x, q)])
    result = select((q <= 0.0) & (q == floor(q)), math.inf, result)
    result = select((q <= 0.0) & (q != floor(q)) & (x != floor(x)), math.nan, result)
    return select(x > 1.0, result, select(x == 1.0, x.like(math.inf), math.nan))


def _zeta_right(x: Value, q: Value) -> Value:
    """The function for q > 0, by the sum of Euler and Maclaurin (DLMF 25.11.28)."""
    zero = x.like(0.0)
    _, total = repeat(_sum_counts, _next_summand, [zero, zero], (x, q))
    at = q + float(_TERMS)
    power = pow(at, -x)
    total = total + power * (at / (x - 1.0) + 0.5)
    inverse = 1.0 / at
    state = [zero, x * (power * inverse), total, total.like(math.inf)]
    result = repeat(_tail_counts, _next_tail, state, (x, inverse * inverse))[2]
    return select(q == math.inf, 0.0, result)


def _sum_counts(k: Value, total: Value, *_: Value) -> Value:
    return k < float(_TERMS)


def _next_summand(k: Value, total: Value, x: Value, q: Value) -> list[Value]:
    return [k + 1.0, total + pow(q + k, -x)]


def _tail_counts(k: Value, factor: Value, total: Value, term: Value, *_: Value) -> Value:
    return (k < float(len(_BERNOULLI_OVER_FACTORIAL))) & (abs(term) > abs(total) * 2.0**-54)


def _next_tail(
    k: Value, factor: Value, total: Value, term: Value, x: Value, square: Value
) -> list[Value]:
    term = factor * lookup(_BERNOULLI_OVER_FACTORIAL, convert(k, "i64"), "f64")
    twice = k + k
    factor = factor * (x + twice + 1.0) * (x + twice + 2.0) * square
    return [k + 1.0, factor, total + term, term]


def _zeta_left(x: Value, q: Value) -> tuple[Value]:
    """The function for q < 0 and whole x: terms left of 0, which are a difference, and the rest."""
    size = abs(q)
    part = size - floor(size)
    left = _zeta_right(x, part) - _zeta_right(x, size + 1.0)
    right = _zeta_right(x, 1.0 - part)
    return (select(is_even(x), left, -left) + right,)


@routine
@in_double
def zeta_grad_x(x: Value, q: Value) -> Value:
    """dζ(x, q)/dx for q > 0, within 4 ulp in f32: the sum of Euler and Maclaurin, term by term."""
    zero = x.like(0.0)
    _, total = repeat(_sum_counts, _next_slope_summand, [zero, zero], (x, q))
    at = q + float(_TERMS)
    power, logarithm = pow(at, -x), log(at)
    integral = power * at / (x - 1.0)
    total = total - integral * (logarithm + 1.0 / (x - 1.0)) - power * logarithm * 0.5
    inverse = 1.0 / at
    state = [zero, x * (power * inverse), 1.0 / x - logarithm, total, total.like(math.inf)]
    *_, result, _ = repeat(_slope_tail_counts, _next_slope_tail, state, (x, inverse * inverse))
    return select((x > 1.0) & (q > 0.0), result, math.nan)


def _next_slope_summand(k: Value, total: Value, x: Value, q: Value) -> list[Value]:
    return [k + 1.0, total - pow(q + k, -x) * log(q + k)]


def _slope_tail_counts(k: Value, factor: Value, bend: Value, *others: Value) -> Value:
    return _tail_counts(k, factor, *others)


def _next_slope_tail(
    k: Value, factor: Value, bend: Value, total: Value, term: Value, x: Value, square: Value
) -> list[Value]:
    """`bend` is the logarithmic derivative of `factor` by x."""
    term = factor * lookup(_BERNOULLI_OVER_FACTORIAL, convert(k, "i64"), "f64") * bend
    first, second = x + (k + k) + 1.0, x + (k + k) + 2.0
    bend = bend + 1.0 / first + 1.0 / second
    return [k + 1.0, factor * first * second * square, bend, total + term, term]


@routine
@in_double
def polygamma(n: Value, x: Value) -> Value:
    """The n-th derivative of digamma, within 4 ulp in f32; n is a whole number."""
    size = gamma(n + 1.0) * zeta(n + 1.0, x)
    higher = select(is_even(n), -size, size)
    whole = (n >= 0.0) & (n == floor(n))
    return select(n == 0.0, digamma(x), select(whole, higher, math.nan))


# ---- the dilogarithm ------------------------------------------------------------------------


@routine
@in_double
def spence(x: Value) -> Value:
    """∫ log(t)/(1 − t) dt from 1 to x, within 4 ulp; NaN below 0."""
    large = x > 2.0
    inner = select(large, 1.0 / x, x)
    small = inner < 0.5
    u = 0.0 - select(small, log1p(-inner), log(inner))
    square, total = u * u, x.like(0.0)
    # Σ B_2k·u^(2k+1)/(2k + 1)! with u = −log(x) for x near 1 (Lewin 1981, 1.12).
    for k in reversed(range(9)):
        total = fma(total, square, _BERNOULLI_OVER_FACTORIAL[k] / (2 * k + 3))
    series = fma(u * square, total, fma(square, -0.25, u))
    crossed = select(inner == 0.0, x.like(0.0), log(inner) * log1p(-inner))
    result = select(small, math.pi**2 / 6 - crossed - series, series)
    logarithm = log(x)
    result = select(large, -result - logarithm * logarithm * 0.5, result)
    return select(x >= 0.0, result, math.nan)
