"""Logarithms and inverse hyperbolic functions. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import (
    bits_of,
    by_type,
    fast_two_sum,
    flip_sign,
    format_of,
    is_single,
    polynomial,
    power_of_two,
    sign_bit,
    two_product,
    two_sum,
)
from jitml.scalar.exponential import LN2_F32, LN2_F64
from jitml.scalar.value import Value, bitcast, fma, routine, select, sqrt

# (log(1 + f) − f + f²/2)/f³, minimax for the relative error of log1p on |f| ≤ 1/3: 2^-30.0.
_LOG_F32 = (
    3.3333334e-01, -2.4999811e-01, 1.9999766e-01, -1.6680095e-01, 1.4298886e-01,
    -1.2187551e-01, 1.0822915e-01, -1.2884654e-01, 1.17249295e-01,
)  # fmt: skip
# (2·atanh(s) − 2s)/s³ as a polynomial in s², minimax on s ≤ (√2 − 1)/(√2 + 1): 2^-58.5 of log.
_LOG_F64 = (
    0.6666666666666735, 0.39999999999409275, 0.285714287437143, 0.22222198425429923,
    0.18183572565352618, 0.15313826244657464, 0.1479832270718644,
)  # fmt: skip
# log2(e), log10(e) and log10(2), each as a head and the rest; exponent·head of the last is exact.
_LOG2_E_F32 = (1.4426950216293335, 1.9259629911266175e-08)
_LOG2_E_F64 = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E_F32 = (0.4342944920063019, -1.0103050052231683e-08)
_LOG10_E_F64 = (0.4342944819032518, 1.098319650216765e-17)
_LOG10_2_F32 = (0.301025390625, 4.605039066518657e-06)
_LOG10_2_F64 = (0.30102999566395283, 2.8363394551044964e-14)
# Above the first, squares are not taken; below the second, odd functions are their argument, and
# below the third log1p is. (f32, f64)
_LARGE = (2.0**30, 2.0**60)
_TINY = (2.0**-14, 2.0**-29)
_TINIEST = (2.0**-30, 2.0**-60)


def split_exponent(x: Value) -> tuple[Value, Value, Value]:
    """x = m·2ᵏ for finite x > 0: m near 1, k as a float, and k in the low bits.

    m is in [2/3, 4/3) for f32 and in [√½, √2) for f64. For denormal x the low bits are of no use.
    """
    layout = format_of(x)
    denormal = x < layout.smallest_normal
    bits = bits_of(select(denormal, x * 2.0 ** (layout.fraction + 2), x))
    start = 0x3F2AAAAB if is_single(x) else 0x3FE6A09E667F3BCD
    offset = (layout.bias + 1) << layout.fraction
    biased = (bits - start + offset) >> layout.fraction  # k + bias + 1
    exponent = biased - (layout.bias + 1)
    mantissa = bitcast(bits - (exponent << layout.fraction), x.type)
    whole = 2.0**layout.fraction  # a float whose ulp is 1
    as_float = bitcast(biased | bits_of(x.like(whole)), x.type)
    base = whole + layout.bias + 1
    return mantissa, as_float - select(denormal, x.like(base + layout.fraction + 2), base), exponent


def log1p_tail(f: Value) -> Value:
    """log(1 + f) − f for f of a mantissa near 1."""
    square = f * f
    if is_single(f):
        return fma(square * f, polynomial(f, _LOG_F32), square * -0.5)
    s = f / (f + 2.0)
    z = s * s
    half_square = square * 0.5
    return fma(s, fma(z, polynomial(z, _LOG_F64), half_square), -half_square)


def _finish(x: Value, result: Value) -> Value:
    """Put in what logarithms give at 0, ∞, NaN and below 0."""
    result = select(x < math.inf, result, x)
    return select(x > 0.0, result, select(x == 0.0, x.like(-math.inf), math.nan))


def join_logarithm(k: Value, f: Value, tail: Value) -> Value:
    """k·ln2 + f + tail."""
    high, low = LN2_F32 if is_single(f) else LN2_F64
    return fma(k, high, f + fma(k, low, tail))


@routine
def log(x: Value) -> Value:
    """Natural logarithm within 1 ulp; f64 after fdlibm's e_log."""
    mantissa, k, _ = split_exponent(x)
    f = mantissa - 1.0
    return _finish(x, join_logarithm(k, f, log1p_tail(f)))


def _log_to_base(x: Value, scale: tuple[float, float], step: tuple[float, float]) -> Value:
    """log(x)·scale, where step = ln2·scale; both are given as a head and the rest."""
    mantissa, k, _ = split_exponent(x)
    f = mantissa - 1.0
    tail = log1p_tail(f)
    head = f * scale[0]
    rest = fma(f, scale[0], -head) + fma(tail, scale[0], f * scale[1])
    total, lost = fast_two_sum(k * step[0], head)
    return _finish(x, total + (lost + fma(k, step[1], rest)))


@routine
def log2(x: Value) -> Value:
    """Logarithm to base 2 within 1.5 ulp, exact for powers of 2."""
    return _log_to_base(x, _LOG2_E_F32 if is_single(x) else _LOG2_E_F64, (1.0, 0.0))


@routine
def log10(x: Value) -> Value:
    """Logarithm to base 10 within 1.5 ulp."""
    if is_single(x):
        return _log_to_base(x, _LOG10_E_F32, _LOG10_2_F32)
    return _log_to_base(x, _LOG10_E_F64, _LOG10_2_F64)


def _log_of_sum(u: Value, c: Value, shift: Value | float = 0.0) -> Value:
    """log(u + c) + shift·ln2, `c` being small beside u; meaningful for finite u > 0 only."""
    mantissa, k, exponent = split_exponent(u)
    # 2^(1−k) becomes 0 instead of a denormal for the largest k, where c does not matter.
    f = (mantissa - 1.0) + c * 0.5 * power_of_two(1 - exponent, u.type)
    return join_logarithm(k + shift, f, log1p_tail(f))


@routine
def log1p(x: Value) -> Value:
    """log(1 + x) within 2 ulp, from the exact sum 1 + x."""
    u, c = two_sum(x.like(1.0), x)
    return select(abs(x) < by_type(x, *_TINIEST), x, _finish(u, _log_of_sum(u, c)))


def log1p_pair(high: Value, low: Value) -> Value:
    """log(1 + high + low)."""
    u, c = two_sum(high.like(1.0), high)
    result = _finish(u, _log_of_sum(u, c + low))
    return select(abs(high) < by_type(high, *_TINIEST), high, result)


def _log_of_large(x: Value, head: Value, rest: Value) -> Value:
    """log(1 + head + rest), but log(2x) for x above the range in which squares are at hand."""
    large = x > by_type(x, *_LARGE)
    u, c = two_sum(x.like(1.0), head)
    u, c = select(large, x, u), select(large, 0.0, c + rest)
    result = _log_of_sum(u, c, select(large, x.like(1.0), 0.0))
    return select(x < math.inf, result, x)


@routine
def asinh(x: Value) -> Value:
    """Inverse hyperbolic sine within 2 ulp: log1p(|x| + x²/(1 + √(1 + x²)))."""
    size = abs(x)
    near = select(size > by_type(x, *_LARGE), 1.0, size)
    head, rest = fast_two_sum(near, near * near / (sqrt(fma(near, near, 1.0)) + 1.0))
    result = _log_of_large(size, head, rest)
    return flip_sign(select(size < by_type(x, *_TINY), size, result), sign_bit(x))


@routine
def acosh(x: Value) -> Value:
    """Inverse hyperbolic cosine within 2 ulp: log1p((x − 1) + √(x² − 1)); NaN below 1."""
    near = select(x > by_type(x, *_LARGE), 1.0, x)
    square, square_low = two_product(near, near)
    excess = fma(near, near, -1.0)
    excess_low = ((square - 1.0) - excess) + square_low
    root = sqrt(excess)
    root_low = (fma(-root, root, excess) + excess_low) / (root + root)
    head, rest = two_sum(near - 1.0, root)
    rest = select(root > 0.0, rest + root_low, rest)
    return select(x >= 1.0, _log_of_large(x, head, rest), math.nan)


@routine
def atanh(x: Value) -> Value:
    """Inverse hyperbolic tangent within 2 ulp: log1p(2|x|/(1 − |x|))/2; ±∞ at ±1, NaN beyond."""
    size = abs(x)
    below = 1.0 - size
    below_rest = (1.0 - below) - size
    inverse = 1.0 / below
    head = (size + size) * inverse
    rest = (fma(-head, below, size + size) - head * below_rest) * inverse
    u, c = two_sum(x.like(1.0), head)
    result = _log_of_sum(u, c + rest) * 0.5
    result = select(size < by_type(x, *_TINY), size, result)
    result = select(size < 1.0, result, select(size == 1.0, x.like(math.inf), math.nan))
    return flip_sign(result, sign_bit(x))
