"""Exponentials and hyperbolic functions. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

from jitml.scalar.arithmetic import (
    Pair,
    bits_of,
    by_type,
    clamp,
    fast_two_sum,
    flip_sign,
    format_of,
    is_single,
    polynomial,
    power_of_two,
    round_with_bits,
    scale_by_power_of_two,
    sign_bit,
)
from jitml.scalar.value import Value, fma, routine, select

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has trailing zeros, so that n·high is exact for every exponent n.
LN2_F32 = (0.693145751953125, 1.428606765330187e-06)
LN2_F64 = (0.6931471803691238, 1.9082149292705877e-10)

# (exp(r) − 1 − r)/r², minimax for the relative error of exp on |r| ≤ ln2/2: 2^-28.2 and 2^-57.9.
_EXP_F32 = (4.9999994e-01, 1.6666517e-01, 4.1668102e-02, 8.369181e-03, 1.3838492e-03)
_EXP_F64 = (
    0.5000000000000011, 0.16666666666666435, 0.04166666666652575, 0.008333333333475756,
    0.001388888894487159, 0.00019841269555349774, 2.4801491750133315e-05, 2.7557536033270478e-06,
    2.7630744413524735e-07, 2.5017913715084406e-08,
)  # fmt: skip
# (2^r − 1)/r, minimax for the relative error of 2^r on |r| ≤ 1/2: 2^-27.4 and 2^-55.5.
_EXP2_F32 = (6.931472e-01, 2.402265e-01, 5.550367e-02, 9.618049e-03, 1.338741e-03, 1.546232e-04)
_EXP2_F64 = (
    0.6931471805599457, 0.240226506959101, 0.05550410866478787, 0.009618129107605592,
    0.0013333558153969692, 0.00015403530443934817, 1.5252726934754928e-05, 1.32154412397523e-06,
    1.0180814182822315e-07, 7.072856540715678e-09, 4.0558258248319245e-10,
)  # fmt: skip
# (tanh(x) − x)/x³ as a polynomial in x², minimax for the relative error on |x| ≤ 0.55: 2^-29.7
# and 2^-55.5.
_TANH_F32 = (-3.3333316e-01, 1.3332544e-01, -5.3847548e-02, 2.1050714e-02, -6.2428494e-03)
_TANH_F64 = (
    -0.33333333333332316, 0.13333333333168934, -0.053968253876167625, 0.02186948597661846,
    -0.008863194525985102, 0.0035917198599951282, -0.001453217507280057, 0.0005791391160674438,
    -0.00021030565690559086, 5.102362608548697e-05,
)  # fmt: skip
# (sinh(x) − x)/x³ as a polynomial in x², minimax for the relative error on |x| ≤ 1: 2^-31 and
# 2^-61.
_SINH_F32 = (1.6666667e-01, 8.3333105e-03, 1.9842896e-04, 2.7822123e-06)
_SINH_F64 = (
    0.16666666666666669, 0.008333333333332912, 0.0001984126984159341, 2.7557319106756893e-06,
    2.505213099858142e-08, 1.6056659192540544e-10, 7.776598818738156e-13,
)  # fmt: skip


def _reduce(x: Value, rest: Value | None = None) -> tuple[Value, Value, Value]:
    """x + rest = n·ln2 + r, |r| ≤ ln2/2: the bits of n, r, and exp(r) − 1 − r."""
    high, low = LN2_F32 if is_single(x) else LN2_F64
    shifted = fma(x, LOG2_E, format_of(x).magic)
    n = shifted - format_of(x).magic
    near = fma(n, -high, x)
    r = fma(n, -low, near) if rest is None else near + fma(n, -low, rest)
    return bits_of(shifted), r, r * r * polynomial(r, _EXP_F32 if is_single(r) else _EXP_F64)


@routine
def exp(x: Value) -> Value:
    """eˣ within 1 ulp; minimax polynomial after reduction by ln 2."""
    n, r, tail = _reduce(clamp(x, by_type(x, -104.0, -746.0), by_type(x, 89.0, 710.0)))
    return scale_by_power_of_two((r + tail) + 1.0, n)


def exp_as_pair(high: Value, low: Value) -> tuple[Value, Value, Value]:
    """exp(high + low) = (m + rest)·2ⁿ: the bits of n, m and rest. Saturates; |low| ≪ 1."""
    clamped = clamp(high, by_type(high, -105.0, -747.0), by_type(high, 170.0, 1400.0))
    n, r, tail = _reduce(clamped, select(clamped == high, low, 0.0))
    return (n, *fast_two_sum(1.0, r + tail))


@routine
def exp2(x: Value) -> Value:
    """2ˣ within 1.5 ulp; minimax polynomial on |r| ≤ 1/2."""
    x = clamp(x, by_type(x, -151.0, -1076.0), by_type(x, 129.0, 1025.0))
    n, bits = round_with_bits(x)
    r = x - n
    power = fma(r, polynomial(r, _EXP2_F32 if is_single(x) else _EXP2_F64), 1.0)
    return scale_by_power_of_two(power, bits)


@routine
def expm1(x: Value) -> Value:
    """eˣ − 1 within 1.5 ulp; minimax polynomial after reduction by ln 2."""
    clamped = clamp(x, by_type(x, -18.0, -38.0), by_type(x, 89.0, 710.0))
    n, r, tail = _reduce(clamped)
    # Half the result, so that its scale is a normal number over the whole range.
    scale = power_of_two(n - 1, x.type)
    half = fma(scale, tail, fma(scale, r, scale - 0.5))
    return select(abs(x) < by_type(x, 2.0**-30, 2.0**-60), x, half + half)


@routine
def tanh(x: Value) -> Value:
    """Hyperbolic tangent within 1.6 ulp: odd for |x| < 0.55, else 1 − 2t/(1 + t), t = e^(−2|x|)."""
    size = abs(x)
    z = x * x
    near = fma(size * z, polynomial(z, _TANH_F32 if is_single(x) else _TANH_F64), size)
    limit = by_type(x, 10.0, 20.0)
    n, r, tail = _reduce(select(size.like(limit) < size, limit, size) * -2.0)
    t = ((r + tail) + 1.0) * power_of_two(n, x.type)
    far = 1.0 - (t + t) / (t + 1.0)
    return flip_sign(select(size < 0.55, near, far), sign_bit(x))


@routine
def logistic(x: Value) -> Value:
    """1/(1 + e⁻ˣ) within 2 ulp, with denormal results for very negative x."""
    small = exp(-abs(x))
    below, below_low = fast_two_sum(1.0, small)
    quotient = select(x < 0.0, small, 1.0) / below
    return fma(-quotient, below_low, quotient)


def _half_exponentials(size: Value) -> Pair:
    """e^s/2 and e^−s/2 for s ≥ 0; the first overflows only where it must."""
    limit = by_type(size, 91.0, 712.0)
    n, r, tail = _reduce(select(size.like(limit) < size, limit, size))
    half = scale_by_power_of_two((r + tail) + 1.0, n - 1)
    return half, 0.25 / half


@routine
def sinh(x: Value) -> Value:
    """Hyperbolic sine within 2 ulp: an odd polynomial for |x| < 1, else (eˣ − e⁻ˣ)/2."""
    size = abs(x)
    z = x * x
    small = fma(size * z, polynomial(z, _SINH_F32 if is_single(x) else _SINH_F64), size)
    growing, shrinking = _half_exponentials(size)
    return flip_sign(select(size < 1.0, small, growing - shrinking), sign_bit(x))


@routine
def cosh(x: Value) -> Value:
    """Hyperbolic cosine within 1.5 ulp: (eˣ + e⁻ˣ)/2 without early overflow."""
    growing, shrinking = _half_exponentials(abs(x))
    return growing + shrinking
