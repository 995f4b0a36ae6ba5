"""Incomplete gamma functions and their derivatives by the shape. f32 (through f64) or f64.

Sources: DLMF 8.7.1 (series), 8.9.2 (continued fraction), 8.12 (uniform expansion for large shapes,
Temme 1979).
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import Pair, flip_sign, in_double, polynomial, repeat, sign_bit
from jitml.scalar.exponential import exp, expm1
from jitml.scalar.gamma import digamma, lgamma_of_next, stirling_rest
from jitml.scalar.gamma_function import gamma
from jitml.scalar.logarithm import log, log1p_tail
from jitml.scalar.power import pow
from jitml.scalar.special import erfc
from jitml.scalar.value import Value, fma, maximum, routine, select, sqrt

_EPSILON = 2.0**-53
_MOST_TERMS = 3000.0
# Coefficients of the uniform expansion: one row for each power of 1/a, powers of η along it.
_UNIFORM = (
    (-0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073,
     0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05,
     -2.185448510679992e-06, -1.85406221071516e-06, 8.296711340953087e-07,
     -1.7665952736826078e-07, 6.707853543401498e-09, 1.0261809784240309e-08,
     -4.382036018453353e-09),
    (-0.001851851851851852, -0.003472222222222222, 0.0026455026455026454, -0.0009902263374485596,
     0.00020576131687242798, -4.018775720164609e-07, -1.8098550334489977e-05,
     7.64916091608111e-06, -1.6120900894563446e-06, 4.647127802807434e-09, 1.378633446915721e-07,
     -5.752545603517705e-08, 1.1951628599778148e-08),
    (0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049, 2.0093878600823047e-06,
     -0.0001073665322636516, 5.2923448829120125e-05, -1.2760635188618728e-05,
     3.423578734096138e-08, 1.3721957309062934e-06, -6.298992138380055e-07,
     1.4280614206064242e-07, -2.0477098421990866e-10),
    (0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557,
     0.00026772063206283885, -7.561801671883977e-05, -2.396505113867297e-07,
     1.1082654115347302e-05, -5.6749528269915965e-06, 1.4230900732435883e-06,
     -2.7861080291528143e-11, -1.6958404091930278e-07),
    (-0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902,
     -1.4638452578843418e-06, 6.641498215465122e-05, -3.968365047179435e-05,
     1.1375726970678419e-05, 2.507497226237533e-10, -1.6954149536558305e-06,
     8.907507532205309e-07),
    (-0.00033679855336635813, -6.972813758365857e-05, 0.0002772753244959392,
     -0.00019932570516188847, 6.797780477937208e-05, 1.419062920643967e-07,
     -1.3594048189768693e-05, 8.018470256334202e-06, -2.291481176508095e-06),
    (0.0005313079364639922, -0.0005921664373536939, 0.0002708782096718045, 7.902353232660328e-07,
     -8.153969367561969e-05, 5.61168275310625e-05, -1.8329116582843375e-05,
     -3.0796134506033047e-09),
)  # fmt: skip


# ---- values ---------------------------------------------------------------------------------


@routine
@in_double
def igamma(a: Value, x: Value) -> Value:
    """P(a, x) within 4 ulp in f32; NaN where a or x is negative."""
    lower, _ = _both(a, x)
    return _at_limits(a, x, lower, 0.0, 1.0)


@routine
@in_double
def igammac(a: Value, x: Value) -> Value:
    """Q(a, x) = 1 − P(a, x), without the cancellation, within 4 ulp in f32."""
    _, upper = _both(a, x)
    return _at_limits(a, x, upper, 1.0, 0.0)


def _at_limits(a: Value, x: Value, usual: Value, at_zero: float, at_infinity: float) -> Value:
    """A function of [0, ∞]² with its values at the borders, NaN elsewhere."""
    result = select((x == math.inf) | (a == 0.0), at_infinity, usual)
    result = select((x == 0.0) | (a == math.inf), at_zero, result)
    is_open = (x == 0.0) & (a == 0.0) | (x == math.inf) & (a == math.inf)
    return select((x >= 0.0) & (a >= 0.0) & ~is_open, result, math.nan)


def _both(a: Value, x: Value) -> Pair:
    """P(a, x) and Q(a, x) inside of their domain, each where it is the smaller as such."""
    scale = _scale(a, x)
    is_uniform, is_low = _regions(a, x)
    lower = scale * _series(a, x, is_low & ~is_uniform)
    upper = scale * a * _fraction(a, x, ~is_low & ~is_uniform)
    is_small = (a < 0.5) & (x < 1.1)
    rest = select(is_small, _upper_of_small(a, x, is_small & is_low), 1.0 - lower)
    lower, upper = select(is_low, lower, 1.0 - upper), select(is_low, rest, upper)
    uniform_lower, uniform_upper = _uniform(select(is_uniform, a, 200.0), x)
    return select(is_uniform, uniform_lower, lower), select(is_uniform, uniform_upper, upper)


def _regions(a: Value, x: Value) -> Pair:
    """Where the uniform expansion holds, and where else the series does."""
    return (a >= 200.0) & (abs(x - a) < a * 0.32), x <= maximum(a, 1.0)


def _scale(a: Value, x: Value) -> Value:
    """xᵃ·e⁻ˣ/Γ(a + 1)."""
    direct = pow(select(x < 1000.0, x, 0.0), a) * exp(-x) / gamma(select(a < 10.0, a, 10.0) + 1.0)
    excess = (x - a) / a
    near = (excess > -0.29) & (excess < 0.41)
    exponent = select(near, log1p_tail(select(near, excess, 0.0)), log(x / a) - excess) * a
    far = exp(exponent - stirling_rest(a)) / sqrt(a * (2.0 * math.pi))
    return select(a < 10.0, direct, far)


def _term_counts(k: Value, term: Value, total: Value, *_: Value) -> Value:
    return (abs(term) > abs(total) * _EPSILON) & (k < _MOST_TERMS)


def _series(a: Value, x: Value, asked: Value) -> Value:
    """1 + x/(a + 1) + x²/((a + 1)(a + 2)) + …"""
    first = select(asked, a.like(1.0), 0.0)
    return repeat(_term_counts, _next_term, [a.like(0.0), first, first], (a, x))[2]


def _next_term(k: Value, term: Value, total: Value, a: Value, x: Value) -> list[Value]:
    k = k + 1.0
    term = term * (x / (a + k))
    return [k, term, total + term]


def _upper_of_small(a: Value, x: Value, asked: Value) -> Value:
    """Q(a, x) for small a and x, from 1 − P(a, x) = −expm1(…) − …"""
    first = select(asked, a.like(1.0), 0.0)
    total = repeat(_term_counts, _next_alternating, [a.like(0.0), first, a * 0.0], (a, x))[2]
    logarithm = a * log(x) - lgamma_of_next(select(a < 0.5, a, 0.5))
    return -fma(exp(logarithm), a * total, expm1(logarithm))


def _next_alternating(k: Value, term: Value, total: Value, a: Value, x: Value) -> list[Value]:
    k = k + 1.0
    term = -term * x / k
    return [k, term, total + term / (a + k)]


def _fraction(a: Value, x: Value, asked: Value) -> Value:
    """Γ(a, x)·eˣ·x⁻ᵃ as a continued fraction, by Lentz's algorithm."""
    below = select(asked, x + 1.0 - a, 1.0)
    first = 1.0 / below
    state = [a.like(1.0), below.like(2.0**900), first, first, select(asked, first, 1.0)]
    return repeat(_step_counts, _next_step, state, (a, x))[3]


def _step_counts(k: Value, c: Value, d: Value, total: Value, ratio: Value, *_: Value) -> Value:
    return (abs(ratio - 1.0) > _EPSILON) & (k < _MOST_TERMS)


def _next_step(
    k: Value, c: Value, d: Value, total: Value, ratio: Value, a: Value, x: Value
) -> list[Value]:
    above, below = k * (a - k), (x - a) + (k + k + 1.0)
    d = 1.0 / fma(above, d, below)
    c = below + above / c
    ratio = c * d
    return [k + 1.0, c, d, total * ratio, ratio]


# ---- the uniform expansion ------------------------------------------------------------------


def _eta(a: Value, x: Value) -> Pair:
    """η with η²/2 = μ − log(1 + μ) and the sign of μ = x/a − 1; and μ."""
    excess = (x - a) / a
    return flip_sign(sqrt(log1p_tail(excess) * -2.0), sign_bit(excess)), excess


def _uniform(a: Value, x: Value) -> Pair:
    """P(a, x) and Q(a, x) where |x/a − 1| < 0.32 and a ≥ 200."""
    eta, _ = _eta(a, x)
    inverse, rest = 1.0 / a, a.like(0.0)
    for row in reversed(_UNIFORM):
        rest = fma(rest, inverse, polynomial(eta, row))
    half = eta * sqrt(a * 0.5)
    rest = rest * exp(-half * half) / sqrt(a * (2.0 * math.pi))
    return fma(erfc(-half), 0.5, -rest), fma(erfc(half), 0.5, rest)


def _uniform_slope(a: Value, x: Value) -> Value:
    """dP/da over xᵃ·e⁻ˣ/Γ(a + 1), where the uniform expansion holds."""
    eta, excess = _eta(a, x)
    inverse, total, slope = 1.0 / a, a.like(0.0), a.like(0.0)
    ratio = select(abs(eta) < 2.0**-30, 1.0, excess / eta)
    for power, row in reversed(list(enumerate(_UNIFORM))):
        value = polynomial(eta, row)
        bend = polynomial(eta, [k * row[k] for k in range(1, len(row))])
        total = fma(total, inverse, value)
        slope = fma(slope, inverse, -fma(bend, ratio, value * float(power)) * inverse)
    change = fma(eta * eta, -0.5, excess) - inverse * 0.5
    return exp(stirling_rest(a)) * (fma(eta, 0.5, -ratio) - fma(total, change, slope))


# ---- derivatives ----------------------------------------------------------------------------


@routine
@in_double
def igamma_grad_a(a: Value, x: Value) -> Value:
    """dP(a, x)/da within 1e-6 of its size in f32."""
    result = _scale(a, x) * _relative_slope(a, x)
    inside = (x > 0.0) & (x < math.inf)
    return select(inside, result, select((x >= 0.0) & (a > 0.0), x.like(0.0), math.nan))


@routine
@in_double
def random_gamma_grad(a: Value, x: Value) -> Value:
    """dx/da of a sample x of the gamma distribution: −(dP/da)/(dP/dx)."""
    result = _relative_slope(a, x) * -(x / a)
    return select((x == 0.0) & (a >= 0.0), 0.0, result)


def _relative_slope(a: Value, x: Value) -> Value:
    """dP/da over xᵃ·e⁻ˣ/Γ(a + 1)."""
    is_uniform, is_low = _regions(a, x)
    change = log(x) - digamma(a + 1.0)
    total, bend = _series_slope(a, x, is_low & ~is_uniform)
    lower = fma(total, change, bend)
    total, bend = _fraction_slope(a, x, ~is_low & ~is_uniform)
    upper = fma(fma(total, change, bend), a, total)
    uniform = _uniform_slope(select(is_uniform, a, 200.0), select(is_uniform, x, 200.0))
    return select(is_uniform, uniform, select(is_low, lower, -upper))


def _series_slope(a: Value, x: Value, asked: Value) -> Pair:
    """The series, and its derivative by a."""
    first, zero = select(asked, a.like(1.0), 0.0), a.like(0.0)
    state = [zero, first, first, select(asked, zero, 0.0), zero]
    _, _, total, _, slope = repeat(_slope_counts, _next_slope, state, (a, x))
    return total, slope


def _slope_counts(
    k: Value, term: Value, total: Value, bend: Value, slope: Value, *_: Value
) -> Value:
    grows = (abs(bend) > abs(slope) * _EPSILON) | (term > total * _EPSILON)
    return grows & (k < _MOST_TERMS)


def _next_slope(
    k: Value, term: Value, total: Value, bend: Value, slope: Value, a: Value, x: Value
) -> list[Value]:
    k = k + 1.0
    inverse = 1.0 / (a + k)
    factor = x * inverse
    term, bend = term * factor, (bend - term * inverse) * factor
    return [k, term, total + term, bend, slope + bend]


def _fraction_slope(a: Value, x: Value, asked: Value) -> Pair:
    """The continued fraction, and its derivative by a: each step carries both."""
    below = select(asked, x + 1.0 - a, 1.0)
    first, zero = 1.0 / below, a.like(0.0)
    slope = first * first
    state = [
        a.like(1.0), below.like(2.0**900), zero - 1.0, first, slope,
        first, slope, select(asked, first, 0.0),
    ]  # fmt: skip
    _, _, _, _, _, total, slope, _ = repeat(_bend_counts, _next_bend, state, (a, x))
    return total, slope


def _bend_counts(
    k: Value, c: Value, dc: Value, d: Value, dd: Value, h: Value, dh: Value, last: Value,
    *_: Value,
) -> Value:  # fmt: skip
    return (abs(last) > (abs(dh) + abs(h)) * _EPSILON) & (k < _MOST_TERMS)


def _next_bend(
    k: Value, c: Value, dc: Value, d: Value, dd: Value, h: Value, dh: Value, last: Value,
    a: Value, x: Value,
) -> list[Value]:  # fmt: skip
    """Lentz's step for h, and for its derivative by a."""
    above, below = k * (a - k), (x - a) + (k + k + 1.0)
    new_d = 1.0 / fma(above, d, below)
    dd = -(new_d * new_d) * (fma(k, d, above * dd) - 1.0)
    new_c = below + above / c
    dc = (k - above * dc / c) / c - 1.0
    ratio = new_c * new_d
    change = fma(dc, new_d, new_c * dd)
    new_h = h * ratio
    new_dh = fma(dh, ratio, h * change)
    last = abs(new_h - h) + abs(new_dh - dh)
    return [k + 1.0, new_c, dc, new_d, dd, new_h, new_dh, last]
