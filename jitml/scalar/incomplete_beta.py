"""The regularized incomplete beta function. f32 (through f64) or f64 in, the same type out.

Source: the continued fraction DLMF 8.17.22, behind a factor that is written without cancellation.
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import Pair, in_double, repeat
from jitml.scalar.exponential import exp
from jitml.scalar.gamma import digamma, stirling_rest
from jitml.scalar.gamma_function import log_beta
from jitml.scalar.logarithm import log, log1p, log1p_tail
from jitml.scalar.value import Value, fma, routine, select, sqrt

_EPSILON = 2.0**-53
_MOST_STEPS = 10000.0


@routine
@in_double
def betainc(a: Value, b: Value, x: Value) -> Value:
    """I_x(a, b) within 4 ulp in f32; NaN outside of a, b ≥ 0 and 0 ≤ x ≤ 1."""
    usual = (a > 0.0) & (b > 0.0) & (a < math.inf) & (b < math.inf) & (x > 0.0) & (x < 1.0)
    p, q, at = (select(usual, v, 0.5) for v in (a, b, x))
    # On the other side of the mean, I_x(a, b) = 1 − I_{1−x}(b, a).
    turned = at * (p + q + 2.0) > p + 1.0
    rest = 1.0 - at
    first, second = select(turned, q, p), select(turned, p, q)
    low, high = select(turned, rest, at), select(turned, at, rest)
    part = _scale(first, second, low, high) / first * _fraction(first, second, low)
    result = select(turned, 1.0 - part, part)
    return select(usual, result, _at_limits(a, b, x))


def _at_limits(a: Value, b: Value, x: Value) -> Value:
    """The values where an argument is 0, 1 or infinite: those of a mass at 0 or at 1."""
    at_zero = (a == 0.0) & (b > 0.0) | (b == math.inf) & (a < math.inf)
    at_one = (b == 0.0) & (a > 0.0) | (a == math.inf) & (b < math.inf)
    result = select((x == 0.0) & ~at_zero, x.like(0.0), math.nan)
    result = select(at_zero, 1.0, select(at_one, 0.0, result))
    result = select((x == 0.0) & (a > 0.0), 0.0, result)
    result = select((x == 1.0) & ((b > 0.0) | at_one), 1.0, result)
    is_open = (a == 0.0) & (b == 0.0) | (a == math.inf) & (b == math.inf)
    inside = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0) & ~is_open
    return select(inside, result, math.nan)


def _scale(a: Value, b: Value, x: Value, y: Value) -> Value:
    """xᵃ·yᵇ/B(a, b), where y = 1 − x."""
    log_y = select(x < 0.5, log1p(-x), log(y))
    plain = exp(fma(a, log(x), fma(b, log_y, -log_beta(a, b))))
    # Both large: each logarithm less that at the mean, where the linear terms cancel.
    large = (a > 10.0) & (b > 10.0)
    a, b = select(large, a, 20.0), select(large, b, 20.0)
    total = a + b
    distance = fma(x, b, -(a * y)) / total
    exponent = a * _log_excess(distance * total / a) + b * _log_excess(-(distance * total) / b)
    rests = stirling_rest(total) - stirling_rest(a) - stirling_rest(b)
    root = sqrt(a / total * b / (2.0 * math.pi))
    return select(large, root * exp(exponent + rests), plain)


def _log_excess(x: Value) -> Value:
    """log(1 + x) − x."""
    near = (x > -0.29) & (x < 0.41)
    return select(near, log1p_tail(select(near, x, 0.0)), log1p(x) - x)


def _fraction(a: Value, b: Value, x: Value) -> Value:
    """The continued fraction by Lentz's algorithm, two of its steps at a time."""
    first = 1.0 / _kept_from_zero(1.0 - (a + b) * x / (a + 1.0))
    state = [x.like(1.0), x.like(1.0), first, first, x.like(0.0)]
    return repeat(_counts, _next, state, (a, b, x))[3]


def _kept_from_zero(x: Value) -> Value:
    return select(abs(x) < 2.0**-900, 2.0**-900, x)


def _counts(k: Value, c: Value, d: Value, total: Value, ratio: Value, *_: Value) -> Value:
    return (abs(ratio - 1.0) > _EPSILON) & (k < _MOST_STEPS)


def _next(
    k: Value, c: Value, d: Value, total: Value, ratio: Value, a: Value, b: Value, x: Value
) -> list[Value]:
    twice = a + (k + k)
    even = k * (b - k) * x / ((twice - 1.0) * twice)
    odd = -(a + k) * (a + b + k) * x / (twice * (twice + 1.0))
    product = x.like(1.0)
    for above in (even, odd):
        d = 1.0 / _kept_from_zero(fma(above, d, 1.0))
        c = _kept_from_zero(above / c + 1.0)
        product = product * (c * d)
    return [k + 1.0, c, d, total * product, product]


# ---- derivatives by the parameters ----------------------------------------------------------


@routine
@in_double
def betainc_grad_a(a: Value, b: Value, x: Value) -> Value:
    """dI_x(a, b)/da, within 1e-6 of its size in f32."""
    return _slope(a, b, x, by_first=True)


@routine
@in_double
def betainc_grad_b(a: Value, b: Value, x: Value) -> Value:
    """dI_x(a, b)/db, within 1e-6 of its size in f32."""
    return _slope(a, b, x, by_first=False)


def _slope(a: Value, b: Value, x: Value, *, by_first: bool) -> Value:
    usual = (a > 0.0) & (b > 0.0) & (a < math.inf) & (b < math.inf) & (x > 0.0) & (x < 1.0)
    p, q, at = (select(usual, v, 0.5) for v in (a, b, x))
    turned = at * (p + q + 2.0) > p + 1.0
    first, second = select(turned, q, p), select(turned, p, q)
    low, high = select(turned, 1.0 - at, at), select(turned, at, 1.0 - at)
    own, other = _slopes(first, second, low, high)
    near, far = (own, other) if by_first else (other, own)
    result = select(turned, -far, near)
    at_ends = (a > 0.0) & (b > 0.0) & ((x == 0.0) | (x == 1.0))
    return select(usual, result, select(at_ends, x.like(0.0), math.nan))


def _slopes(a: Value, b: Value, x: Value, y: Value) -> Pair:
    """The derivatives by a and by b, from the series x^a·y^b/(a·B(a, b))·Σ (a + b)_k/(a + 1)_k·x^k
    (DLMF 8.17.8), each term of which is carried with its own.
    """
    zero, one = x.like(0.0), x.like(1.0)
    state = [zero, one, one, zero, zero, zero, zero, one]
    _, _, total, _, _, by_a, by_b, _ = repeat(_slopes_grow, _next_slopes, state, (a, b, x))
    common = digamma(a + b)
    scale = _scale(a, b, x, y) / a
    own = log(x) - digamma(a + 1.0) + common
    other = select(y < 0.5, log(y), log1p(-x)) - digamma(b) + common
    return fma(total, own, by_a) * scale, fma(total, other, by_b) * scale


def _slopes_grow(k: Value, term: Value, total: Value, *others: Value) -> Value:
    by_a, by_b, size = others[2:5]
    return (size > (total + abs(by_a) + abs(by_b)) * _EPSILON) & (k < _MOST_STEPS)


def _next_slopes(
    k: Value, term: Value, total: Value, term_a: Value, term_b: Value, by_a: Value, by_b: Value,
    _: Value, a: Value, b: Value, x: Value,
) -> list[Value]:  # fmt: skip
    inverse = 1.0 / (a + k + 1.0)
    factor, step = (a + b + k) * inverse * x, term * inverse * x
    term_a = fma(term_a, factor, step * (1.0 - b) * inverse)
    term_b = fma(term_b, factor, step)
    term = term * factor
    size = term + abs(term_a) + abs(term_b)
    return [k + 1.0, term, total + term, term_a, term_b, by_a + term_a, by_b + term_b, size]
