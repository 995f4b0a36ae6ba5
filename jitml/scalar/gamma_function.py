"""The gamma and beta functions themselves. f32 (through f64) or f64 in, the same type out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitml.scalar.arithmetic import (
    Pair,
    clamp,
    fast_two_sum,
    in_double,
    is_single,
    polynomial,
    rarely,
    two_product,
    two_sum,
)
from jitml.scalar.exponential import LOG2_E, exp_as_pair
from jitml.scalar.gamma import (
    PI_LOW,
    abs_sin_of_half_turns,
    brought_near,
    lgamma,
    stirling_rest,
)
from jitml.scalar.logarithm import log, log1p
from jitml.scalar.power import exp2_for_single, log2_for_single, log_pair
from jitml.scalar.value import Value, convert, floor, fma, is_nan, routine, scale, select

# Γ(2 + d) for |d| ≤ 1/2 by interpolation at Chebyshev's points: 2^-59.
_NEAR = (
    1.0, 0.42278433509846713, 0.41184033042644064, 0.0815769192470858, 0.07424901075338801,
    -0.00026698206868206766, 0.011154045724557167, -0.0028526458243686085, 0.002103933174405157,
    -0.0009195737556751735, 0.0004903909165362433, -0.00024094266875000244,
    0.00012165162946720078, -6.078180215145502e-05, 3.0576257282864494e-05,
    -1.5296289519910945e-05, 7.216424561413336e-06, -3.609421076900372e-06,
    2.6259112907777463e-06, -1.3131191509664216e-06,
)  # fmt: skip
# The same as good as f32 needs it: 2^-29.7.
_NEAR_SINGLE = (
    1.0000000010169665, 0.42278432548433964, 0.4118401217063214, 0.08157751631987102,
    0.07425576635657863, -0.00027751008737699563, 0.011078513384313454, -0.0027767253601822047,
    0.002441459314264158, -0.0011549759820354436,
)  # fmt: skip
_HALF_LOG_2PI = (0.9189385332046728, -3.878294158067242e-17)


def is_even(x: Value) -> Value:
    """Whether a whole number is even."""
    half = x * 0.5
    return half == floor(half)


def gamma_sign(x: Value) -> Value:
    """The sign of Γ(x): 1 or −1."""
    return select((x < 0.0) & is_even(floor(x)) | (x >= 0.0) | (x == 0.0), x.like(1.0), -1.0)


@routine
def gamma(x: Value) -> Value:
    """Γ(x) within 4 ulp; NaN at −1, −2, … and ±∞ at ±0."""
    if is_single(x):
        wide = convert(x, "f64")
        return convert(_gamma(wide, _gamma_right_for_single(wide)), "f32")
    return _gamma(x, _gamma_right(x))


def _gamma(x: Value, right: Value) -> Value:
    return rarely(x < 2.0**-60, _gamma_left, (x,), (right,))[0]


def _gamma_right(x: Value) -> Value:
    """Γ(x) for x ≥ 2^-60."""
    n, mantissa, _ = exp_as_pair(*_log_gamma_far(clamp(x, 4.5, 180.0)))
    return select(x > 4.5, scale(mantissa, n), _gamma_near(x, _NEAR))


def _gamma_right_for_single(x: Value) -> Value:
    """The same as f32 needs it, by logarithms to base 2."""
    size = clamp(x, 4.5, 180.0)
    series = stirling_rest(size, for_single=True) + (_HALF_LOG_2PI[0] - size)
    logarithm = fma(series, LOG2_E, (size - 0.5) * log2_for_single(size))
    return select(x > 4.5, exp2_for_single(logarithm), _gamma_near(x, _NEAR_SINGLE))


def _gamma_left(x: Value) -> tuple[Value]:
    """Γ(x) for x < 2^-60."""
    # Γ(−s) = −π/(s·sin(πs)·Γ(s)) (DLMF 5.5.3); s·Γ(s) may overflow, so its exponent stays apart.
    size = abs(x)
    product, product_low = two_product(size, abs_sin_of_half_turns(size))
    pi_low = PI_LOW - math.pi / product * product_low
    reflection, rest = _quotient(math.pi, pi_low, product)
    high, low = _log_gamma_far(clamp(size, 4.5, 180.0))
    n, mantissa, _ = exp_as_pair(-high, -low)
    far = scale(fma(mantissa, reflection, mantissa * rest), n)
    # The recurrence reaches from −1/2 on.
    inner = x > -0.5
    near = _gamma_near(select(inner, x, size), _NEAR)
    middle, middle_low = _quotient(reflection, rest, near)
    result = select(size > 4.5, far, middle + middle_low)
    result = select(is_even(floor(size)), -result, result)
    result = select(inner, near, result)
    result = select(size < 2.0**-60, 1.0 / x, result)
    return (select((x < 0.0) & (x == floor(x)), math.nan, result),)


def _quotient(high: Value | float, low: Value, divisor: Value) -> Pair:
    """(high + low)/divisor as a pair; `low` is tiny."""
    quotient = high / divisor
    return quotient, (fma(-quotient, divisor, high) + low) / divisor


def _gamma_near(x: Value, coefficients: Sequence[float]) -> Value:
    """Γ(x) for −1/2 < x ≤ 4.5, brought to [1.5, 2.5] by the recurrence."""
    factor, near = brought_near(x)
    low, tiny = x < 1.5, x < 0.5
    d = select(low, select(tiny, x, x - 1.0), near - 2.0)
    lead, *others = coefficients
    base = fma(d, polynomial(d, others), lead)
    return select(low, base / select(tiny, x * (x + 1.0), x), base * factor)


def _log_gamma_far(x: Value) -> Pair:
    """log Γ(x) for x ≥ 4.5 as a pair, by Stirling's series (DLMF 5.11.1)."""
    high, low = log_pair(x)
    factor = x - 0.5
    product, rest = two_product(high, factor)
    rest = fma(low, factor, rest)
    total, lost = two_sum(product, -x)
    rest = rest + (lost + (stirling_rest(x) + _HALF_LOG_2PI[1]))
    total, lost = two_sum(total, total.like(_HALF_LOG_2PI[0]))
    return fast_two_sum(total, rest + lost)


# ---- beta -----------------------------------------------------------------------------------


def log_beta(a: Value, b: Value) -> Value:
    """log|B(a, b)| for f64 a and b, without the cancellation of large arguments."""
    small, large = select(a < b, a, b), select(a < b, b, a)
    total = a + b
    plain = (lgamma(small) + lgamma(large)) - lgamma(total)
    # Γ(b)/Γ(a + b) by the difference of Stirling's series.
    ratio = small / large
    rest = stirling_rest(large) - stirling_rest(total)
    quotient = rest - (small * log(total) - small) - (large - 0.5) * log1p(ratio)
    one_large = lgamma(small) + quotient
    leading = log(total / small) * (small - 0.5) + log1p(ratio) * large
    rests = stirling_rest(small) + rest
    both_large = rests - leading - log(large) * 0.5 + _HALF_LOG_2PI[0]
    result = select(large > 10.0, select(small > 10.0, both_large, one_large), plain)
    result = select(small > 0.0, select(large < math.inf, result, -math.inf), plain)
    return select(is_nan(a) | is_nan(b), math.nan, result)


def _off_poles(a: Value, b: Value) -> tuple[Value, Value, Value]:
    """Arguments and a sign of the beta function where a is 0, −1, … and b is whole: by the limit
    (−1)ᵇ·B(1 − a − b, b), if that is finite.
    """
    left = a <= b
    low, high = select(left, a, b), select(left, b, a)
    moved = 1.0 - low - high
    limit = _is_pole(low) & (high == floor(high)) & (moved > 0.0)
    sign = select(limit & ~is_even(high), a.like(-1.0), 1.0)
    return select(limit, moved, low), high, sign


@routine
@in_double
def betaln(a: Value, b: Value) -> Value:
    """log|B(a, b)|; within 4 ulp in f32."""
    a, b, _ = _off_poles(a, b)
    return log_beta(a, b)


@routine
@in_double
def beta(a: Value, b: Value) -> Value:
    """B(a, b) = Γ(a)·Γ(b)/Γ(a + b); within 4 ulp in f32."""
    a, b, sign = _off_poles(a, b)
    total = a + b
    n, mantissa, _ = exp_as_pair(log_beta(a, b), a * 0.0)
    signed = sign * gamma_sign(a) * gamma_sign(b) * gamma_sign(total)
    by_logarithm = signed * scale(mantissa, n)
    direct = sign * gamma(a) / gamma(total) * gamma(b)
    small = (abs(a) < 100.0) & (abs(b) < 100.0) & (abs(total) < 100.0)
    result = select(small & (abs(direct) < math.inf), direct, by_logarithm)
    return select(is_nan(a) | is_nan(b), math.nan, result)


# ---- rising factorials ----------------------------------------------------------------------


@routine
@in_double
def poch(z: Value, m: Value) -> Value:
    """Γ(z + m)/Γ(z) within 4 ulp in f32; where both are poles, their limit for whole m."""
    total = z + m
    both = _is_pole(z) & _is_pole(total)
    # (−1)ᵐ·Γ(1 − z)/Γ(1 − z − m) where both are poles (DLMF 5.2.6).
    above, below = select(both, 1.0 - z, total), select(both, 1.0 - total, z)
    n, mantissa, _ = exp_as_pair(lgamma(above) - lgamma(below), z * 0.0)
    signed = gamma_sign(above) * gamma_sign(below)
    by_logarithm = signed * scale(mantissa, n)
    small = (abs(above) < 100.0) & (abs(below) < 100.0)
    result = select(small, gamma(above) / gamma(below), by_logarithm)
    result = select(both & ~is_even(m), -result, result)
    result = select(_is_pole(z) & ~both, 0.0, select(_is_pole(total) & ~both, math.inf, result))
    return select(m == 0.0, 1.0, select(is_nan(z) | is_nan(m), math.nan, result))


def _is_pole(x: Value) -> Value:
    return (x <= 0.0) & (x == floor(x))
