"""Kummer's and Gauss' hypergeometric functions. f32 (through f64) or f64 in, the same type out.

Sources: DLMF 13.2 (series and Kummer's transformation), 13.7 (large arguments), 15.2, 15.8 (Gauss'
series and transformations).
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import in_double, rarely, repeat
from jitml.scalar.exponential import exp
from jitml.scalar.gamma_function import gamma
from jitml.scalar.logarithm import log1p
from jitml.scalar.power import pow
from jitml.scalar.value import Value, floor, fma, round_even, routine, select

_EPSILON = 2.0**-54
_MOST_TERMS = 4000.0
_LARGE = 600.0  # where e^x is still a number


def _is_pole(x: Value) -> Value:
    """Whether x is 0, −1, −2, …"""
    return (x <= 0.0) & (x == floor(x))


def _grows(k: Value, term: Value, total: Value, *_: Value) -> Value:
    return (abs(term) > abs(total) * _EPSILON) & (k < _MOST_TERMS)


# ---- Kummer's function ----------------------------------------------------------------------


@routine
@in_double
def hyp1f1(a: Value, b: Value, x: Value) -> Value:
    """₁F₁(a; b; x), within 1e-6 in f32 where its series has no cancellation; ∞ at poles of b."""
    turned = (x < 0.0) & ~_is_pole(a)
    first = select(turned, b - a, a)
    size = abs(x)
    at = select(size < _LARGE, select(turned, -x, x), 0.0)
    one = x.like(1.0)
    series = repeat(_grows, _next_kummer, [one * 0.0, one, one], (first, b, at))[2]
    near = select(turned, exp(x) * series, series)
    (result,) = rarely(size >= _LARGE, _kummer_far, (a, b, x), [near])
    result = select(x == 0.0, 1.0, result)
    result = select(_is_pole(b) & ~(_is_pole(a) & (a >= b)), math.inf, result)
    return select((x == x) & (a == a) & (b == b), result, math.nan)


def _next_kummer(k: Value, term: Value, total: Value, a: Value, b: Value, x: Value) -> list[Value]:
    term = term * ((a + k) * x) / ((b + k) * (k + 1.0))
    return [k + 1.0, term, total + term]


def _kummer_far(a: Value, b: Value, x: Value) -> tuple[Value]:
    """The function for large |x|, by its asymptotic series."""
    size, right = abs(x), x > 0.0
    p, q = select(right, 1.0 - a, a), select(right, b - a, a - b + 1.0)
    one, zero = x.like(1.0), x.like(0.0)
    total = repeat(_grows, _next_inverse, [zero, one, one], (p, q, 1.0 / size))[2]
    lost = select(right, a, b - a)
    head = gamma(b) / gamma(select(_is_pole(lost), 1.0, lost)) * pow(size, -select(right, q, a))
    half = exp(select(right, x * 0.5, 0.0))
    return (select(_is_pole(lost), 0.0, head * half * total * half),)


def _next_inverse(
    k: Value, term: Value, total: Value, p: Value, q: Value, inverse: Value
) -> list[Value]:
    factor = (p + k) * (q + k) / (k + 1.0) * inverse
    # The series diverges in the end: it stops at its smallest term.
    term = select(abs(factor) < 1.0, term * factor, 0.0)
    return [k + 1.0, term, total + term]


@routine
@in_double
def hyp1f1_grad_a(a: Value, b: Value, x: Value) -> Value:
    """The derivative of ₁F₁(a; b; x) by a."""
    by_a, _ = _kummer_slopes(a, b, x)
    return by_a


@routine
@in_double
def hyp1f1_grad_b(a: Value, b: Value, x: Value) -> Value:
    """The derivative of ₁F₁(a; b; x) by b."""
    _, by_b = _kummer_slopes(a, b, x)
    return by_b


def _kummer_slopes(a: Value, b: Value, x: Value) -> tuple[Value, Value]:
    """The derivatives by both parameters: each term of the series is carried with its own."""
    turned = (x < 0.0) & ~_is_pole(a)
    first, at = select(turned, b - a, a), select(turned, -x, x)
    one, zero = x.like(1.0), x.like(0.0)
    state = [zero, one, zero, zero, zero, zero, one]
    _, _, _, _, by_a, by_b, _ = repeat(_slopes_grow, _next_slopes, state, (first, b, at))
    scale = select(turned, exp(x), 1.0)
    return select(turned, -by_a, by_a) * scale, select(turned, by_a + by_b, by_b) * scale


def _slopes_grow(k: Value, term: Value, *others: Value) -> Value:
    by_a, by_b, size = others[2:5]
    return (size > (abs(by_a) + abs(by_b)) * _EPSILON) & (k < _MOST_TERMS)


def _next_slopes(
    k: Value, term: Value, term_a: Value, term_b: Value, by_a: Value, by_b: Value, _: Value,
    a: Value, b: Value, x: Value,
) -> list[Value]:  # fmt: skip
    scale = x / ((b + k) * (k + 1.0))
    factor = (a + k) * scale
    term_a = fma(term_a, factor, term * scale)
    term_b = fma(term_b, factor, -(term * factor / (b + k)))
    term = term * factor
    size = abs(term_a) + abs(term_b)
    return [k + 1.0, term, term_a, term_b, by_a + term_a, by_b + term_b, size]


# ---- Gauss' function ------------------------------------------------------------------------


@routine
@in_double
def hyp2f1(a: Value, b: Value, c: Value, x: Value) -> Value:
    """₂F₁(a, b; c; x), within 1e-6 in f32 where its series has no cancellation; ∞ beyond 1."""
    ends = _is_pole(a) | _is_pole(b)
    turned = (x < -0.5) & ~ends
    at = select(turned, x / (x - 1.0), x)
    rest = select(turned, 1.0 / (1.0 - x), 1.0 - x)
    second = select(turned, c - b, b)
    near_one = (at > 0.9) & ~ends & ~_is_pole(second)
    one = x.like(1.0)
    inside = select(near_one | ((abs(at) > 1.0) & ~ends), 0.0, at)
    state = [one * 0.0, one, one]
    series = repeat(_grows, _next_gauss, state, (a, second, c, inside))[2]
    (value,) = rarely(near_one, _gauss_near_one, (a, second, c, rest), [series])
    result = select(turned, pow(1.0 - x, -a) * value, value)
    result = select((x > 1.0) & ~ends, math.inf, result)
    ends_before = _is_pole(a) & (a >= c) | _is_pole(b) & (b >= c)
    result = select(_is_pole(c) & ~ends_before, math.inf, result)
    result = select((x == 0.0) | (a == 0.0) | (b == 0.0), 1.0, result)
    return select((x == x) & (a == a) & (b == b) & (c == c), result, math.nan)


def _next_gauss(
    k: Value, term: Value, total: Value, a: Value, b: Value, c: Value, x: Value
) -> list[Value]:
    term = term * ((a + k) * (b + k) / ((c + k) * (k + 1.0)) * x)
    return [k + 1.0, term, total + term]


def _gauss_near_one(a: Value, b: Value, c: Value, rest: Value) -> tuple[Value]:
    """The function at 1 − rest. Where c − a − b is whole the two parts have poles that cancel: the
    mean of both neighbours serves.
    """
    excess = c - a - b
    whole = abs(excess - round_even(excess)) < 2.0**-20
    shift = select(whole, excess.like(2.0**-17), 0.0)
    first = [excess.like(0.0), excess.like(0.0), c + shift]
    _, total, _ = repeat(_side_counts, _next_side, first, (a, b, c, rest))
    at_one = _gamma_quotient(c, excess, c - a, c - b)
    at_one = select(excess > 0.0, at_one, math.inf)
    return (select(rest == 0.0, at_one, total * 0.5),)


def _gauss_crossed(a: Value, b: Value, c: Value, rest: Value) -> Value:
    """The function at 1 − rest (DLMF 15.8.4)."""
    excess = c - a - b
    one = rest.like(1.0)
    state = [one * 0.0, one, one]
    first = repeat(_grows, _next_gauss, state, (a, b, 1.0 - excess, rest))[2]
    second = repeat(_grows, _next_gauss, state, (c - a, c - b, excess + 1.0, rest))[2]
    plain = _gamma_quotient(c, excess, c - a, c - b)
    power = _gamma_quotient(c, -excess, a, b)
    return plain * first + pow(rest, excess) * power * second


def _side_counts(side: Value, total: Value, c: Value, *_: Value) -> Value:
    return side < 2.0


def _next_side(
    side: Value, total: Value, shifted: Value, a: Value, b: Value, c: Value, rest: Value
) -> list[Value]:
    """One neighbour after the other, so that the code is there once."""
    return [side + 1.0, total + _gauss_crossed(a, b, shifted, rest), c + c - shifted]


def _gamma_quotient(first: Value, second: Value, third: Value, fourth: Value) -> Value:
    """Γ(first)·Γ(second)/(Γ(third)·Γ(fourth)), one after the other; 0 where a divisor is ∞."""
    one = first.like(1.0)
    state = [one * 0.0, one, first, third, second, fourth]
    return repeat(_factor_counts, _next_factor, state)[1]


def _factor_counts(k: Value, *_: Value) -> Value:
    return k < 4.0


def _next_factor(
    k: Value, product: Value, now: Value, then: Value, third: Value, last: Value
) -> list[Value]:
    """Factors and divisors take turns, so that the product stays near 1."""
    value = gamma(now)
    is_divisor = (k == 1.0) | (k == 3.0)
    divided = select(_is_pole(now), 0.0, product / value)
    product = select(is_divisor, divided, product * value)
    return [k + 1.0, product, then, third, last, now]


@routine
@in_double
def hyp2f1_grad_a(a: Value, b: Value, c: Value, x: Value) -> Value:
    """The derivative of ₂F₁(a, b; c; x) by a (or, by symmetry, by b), for x < 1."""
    by_a, _, _ = _gauss_slopes(a, b, c, x)
    return by_a


@routine
@in_double
def hyp2f1_grad_c(a: Value, b: Value, c: Value, x: Value) -> Value:
    """The derivative of ₂F₁(a, b; c; x) by c, for x < 1."""
    _, _, by_c = _gauss_slopes(a, b, c, x)
    return by_c


def _gauss_slopes(a: Value, b: Value, c: Value, x: Value) -> tuple[Value, Value, Value]:
    """The derivatives by all parameters: each term of the series is carried with its own."""
    turned = x < -0.5
    at, second = select(turned, x / (x - 1.0), x), select(turned, c - b, b)
    one, zero = x.like(1.0), x.like(0.0)
    state = [zero, one, one, *[zero] * 6, one]
    at = select(at < 1.0, at, math.nan)
    *_, total, _, _, _, by_a, by_b, by_c, _ = repeat(
        _gauss_slopes_grow, _next_gauss_slopes, state, (a, second, c, at)
    )
    scale = select(turned, pow(1.0 - x, -a), 1.0)
    turned_a = by_a - log1p(-x) * total
    return (
        select(turned, turned_a, by_a) * scale,
        select(turned, -by_b, by_b) * scale,
        select(turned, by_b + by_c, by_c) * scale,
    )


def _gauss_slopes_grow(k: Value, *others: Value) -> Value:
    by_a, by_b, by_c, size = others[5:9]
    return (size > (abs(by_a) + abs(by_b) + abs(by_c)) * _EPSILON) & (k < _MOST_TERMS)


def _next_gauss_slopes(
    k: Value, term: Value, total: Value, term_a: Value, term_b: Value, term_c: Value,
    by_a: Value, by_b: Value, by_c: Value, _: Value,
    a: Value, b: Value, c: Value, x: Value,
) -> list[Value]:  # fmt: skip
    scale = x / ((c + k) * (k + 1.0))
    factor = (a + k) * (b + k) * scale
    term_a = fma(term_a, factor, term * (b + k) * scale)
    term_b = fma(term_b, factor, term * (a + k) * scale)
    term_c = fma(term_c, factor, -(term * factor / (c + k)))
    term = term * factor
    size = abs(term_a) + abs(term_b) + abs(term_c)
    slopes = [by_a + term_a, by_b + term_b, by_c + term_c]
    return [k + 1.0, term, total + term, term_a, term_b, term_c, *slopes, size]
