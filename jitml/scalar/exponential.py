"""Exponentials and hyperbolic functions. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

from typing import NamedTuple

from jitml.scalar.arithmetic import (
    by_type,
    clamp,
    fast_two_sum,
    flip_sign,
    format_of,
    is_single,
    polynomial,
    round_moderate,
    sign_bit,
)
from jitml.scalar.value import Value, fma, routine, scale, select

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
EXP2_F32 = (6.931472e-01, 2.402265e-01, 5.550367e-02, 9.618049e-03, 1.338741e-03, 1.546232e-04)
_EXP2_F64 = (
    0.6931471805599457, 0.240226506959101, 0.05550410866478787, 0.009618129107605592,
    0.0013333558153969692, 0.00015403530443934817, 1.5252726934754928e-05, 1.32154412397523e-06,
    1.0180814182822315e-07, 7.072856540715678e-09, 4.0558258248319245e-10,
)  # fmt: skip
# (r·coth(r) − 1)/r² as a polynomial in r², minimax on |r| ≤ 0.6 for r·coth(r): 2^-31.7 and
# 2^-59.1.
_COTH_F32 = (3.333333e-01, -2.2221643e-02, 2.111324e-03, -1.9416444e-04)
_COTH_F64 = (
    0.33333333333333287, -0.022222222222180565, 0.0021164021151194026, -0.00021164019252153945,
    2.137764124918579e-05, -2.163641962606655e-06, 2.1711122389495887e-07,
    -1.8907758551284944e-08,
)  # fmt: skip
# (cosh(r) − 1)/r² as a polynomial in r², minimax on |r| ≤ ln2/2: 2^-34.3 and 2^-70.6 of cosh.
_COSH_F32 = (5e-01, 4.1666266e-02, 1.3946233e-03)
_COSH_F64 = (
    0.5, 0.04166666666666671, 0.0013888888888863948, 2.4801587363380832e-05,
    2.7557241832059875e-07, 2.09244244530316e-09,
)  # fmt: skip
# (sinh(r) − r)/r³ likewise: 2^-37.5 and 2^-61.7 of sinh.
_SINH_F32 = (1.6666667e-01, 8.333289e-03, 1.9904962e-04)
_SINH_F64 = (
    0.16666666666666677, 0.008333333333321624, 0.00019841269886144137, 2.7557244191958305e-06,
    2.5109042715825737e-08,
)  # fmt: skip


def _round(x: Value) -> Value:
    """x/ln2 as a whole number, for moderate x."""
    magic = format_of(x).magic
    return fma(x, LOG2_E, magic) - magic


def _reduce(x: Value, rest: Value | None = None) -> tuple[Value, Value, Value]:
    """x + rest = n·ln2 + r, |r| ≤ ln2/2: n, r, and (exp(r) − 1 − r)/r²."""
    high, low = LN2_F32 if is_single(x) else LN2_F64
    n = _round(x)
    near = fma(n, -high, x)
    r = fma(n, -low, near) if rest is None else near + fma(n, -low, rest)
    return n, r, polynomial(r, _EXP_F32 if is_single(r) else _EXP_F64)


@routine
def exp(x: Value) -> Value:
    """eˣ within 1 ulp; minimax polynomial after reduction by ln 2."""
    n, r, tail = _reduce(clamp(x, by_type(x, -104.0, -746.0), by_type(x, 89.0, 710.0)))
    return scale(fma(r * r, tail, r) + 1.0, n)


def reduced_exp(high: Value, low: Value) -> tuple[Value, Value]:
    """exp(high + low) = (1 + m)·2ⁿ for moderate arguments, |low| ≪ 1: n and m."""
    n, r, tail = _reduce(high, low)
    return n, fma(r * r, tail, r)


def exp_as_pair(high: Value, low: Value) -> tuple[Value, Value, Value]:
    """exp(high + low) = (m + rest)·2ⁿ: n, m and rest. Saturates; |low| ≪ 1."""
    clamped = clamp(high, by_type(high, -105.0, -747.0), by_type(high, 170.0, 1400.0))
    n, m = reduced_exp(clamped, select(clamped == high, low, 0.0))
    return (n, *fast_two_sum(1.0, m))


@routine
def exp2(x: Value) -> Value:
    """2ˣ within 1.5 ulp; minimax polynomial on |r| ≤ 1/2."""
    x = clamp(x, by_type(x, -151.0, -1076.0), by_type(x, 129.0, 1025.0))
    n = round_moderate(x)
    r = x - n
    return scale(fma(r, polynomial(r, EXP2_F32 if is_single(r) else _EXP2_F64), 1.0), n)


@routine
def expm1(x: Value) -> Value:
    """eˣ − 1 within 1.5 ulp; minimax polynomial after reduction by ln 2."""
    n, r, tail = _reduce(clamp(x, by_type(x, -18.0, -38.0), by_type(x, 89.0, 710.0)))
    # Half the result, so that its scale is a normal number over the whole range.
    factor = scale(x.like(0.5), n)
    half = fma(factor, r * r * tail, fma(factor, r, factor - 0.5))
    return select(abs(x) < by_type(x, 2.0**-30, 2.0**-60), x, half + half)


@routine
def tanh(x: Value) -> Value:
    """Hyperbolic tangent within 2 ulp: r/(r·coth(r)) for |x| < 0.6, else 1 − 2/(e^(2|x|) + 1) from
    e^(2|x|) = 2ⁿ·(r·coth(r) + r)/(r·coth(r) − r).
    """
    size, limit = abs(x), by_type(x, 10.0, 20.0)
    size = select(size.like(limit) < size, limit, size)
    near = size < 0.6
    high, low = LN2_F32 if is_single(x) else LN2_F64
    magic = format_of(x).magic
    n = select(near, 0.0, fma(size, 2.0 * LOG2_E, magic) - magic)
    r = fma(n, low * -0.5, fma(n, high * -0.5, size))
    square = r * r
    coth = square * polynomial(square, _COTH_F32 if is_single(x) else _COTH_F64)  # r·coth(r) − 1
    half = scale(x.like(0.5), n)
    below = half + 0.5
    below = fma(half - 0.5, r, fma(below, coth, below))
    quotient = select(near, r, (coth - r) + 1.0) / below
    return flip_sign(select(near, quotient, 1.0 - quotient), sign_bit(x))


@routine
def logistic(x: Value) -> Value:
    """1/(1 + e⁻ˣ) within 2 ulp, with denormal results for very negative x."""
    size, limit = abs(x), by_type(x, 104.0, 746.0)
    n, r, tail = _reduce(-select(size.like(limit) < size, limit, size))
    small = scale(fma(r * r, tail, r) + 1.0, n)
    below, below_low = fast_two_sum(1.0, small)
    quotient = select(x < 0.0, small, 1.0) / below
    return fma(-quotient, below_low, quotient)


class _Halves(NamedTuple):
    """For s = n·ln2 + r ≥ 0: eˢ = (1 + r + odd + even)·2ⁿ and e⁻ˢ = (1 − r − odd + even)·t·2ⁿ."""

    n: Value
    r: Value
    odd: Value  # sinh(r) − r
    even: Value  # cosh(r) − 1
    t: Value  # 4⁻ⁿ


def _halves(size: Value) -> _Halves:
    limit = by_type(size, 91.0, 712.0)
    size = select(size.like(limit) < size, limit, size)
    high, low = LN2_F32 if is_single(size) else LN2_F64
    n = _round(size)
    r = fma(n, -low, fma(n, -high, size))
    z = r * r
    even = z * polynomial(z, _COSH_F32 if is_single(r) else _COSH_F64)
    odd = r * z * polynomial(z, _SINH_F32 if is_single(r) else _SINH_F64)
    t = scale(size.like(1.0), select(n.like(60.0) < n, 60.0, n) * -2.0)
    return _Halves(n, r, odd, even, t)


@routine
def sinh(x: Value) -> Value:
    """Hyperbolic sine within 2 ulp."""
    n, r, odd, even, t = _halves(abs(x))
    minus, plus = 1.0 - t, t + 1.0
    total = minus + fma(plus, r, fma(plus, odd, minus * even))
    return flip_sign(scale(total, n - 1.0), sign_bit(x))


@routine
def cosh(x: Value) -> Value:
    """Hyperbolic cosine within 2 ulp."""
    n, r, odd, even, t = _halves(abs(x))
    r = r + odd
    return scale(fma(t, (even - r) + 1.0, (even + r) + 1.0), n - 1.0)
