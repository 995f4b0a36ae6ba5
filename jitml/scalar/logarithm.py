"""Logarithms and inverse hyperbolic functions. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import (
    by_type,
    fast_two_sum,
    flip_sign,
    is_single,
    polynomial,
    rarely,
    sign_bit,
    two_product,
    two_sum,
)
from jitml.scalar.exponential import LN2_F32, LN2_F64
from jitml.scalar.value import Value, exponent, fma, mantissa, routine, scale, select, sqrt

# (log(1 + f) − f)/f², minimax for the relative error of log1p on −1/4 ≤ f ≤ 1/2: 2^-29.8.
_LOG_F32 = (
    -4.9999997e-01, 3.333333e-01, -2.5000456e-01, 2.0000827e-01, -1.6648987e-01, 1.4237437e-01,
    -1.2725586e-01, 1.2026418e-01, -9.811881e-02, 4.2167116e-02,
)  # fmt: skip
# (2·atanh(s) − 2s)/s³ as a polynomial in s², minimax on |s| ≤ 1/5: 2^-61.7 of log.
_LOG_F64 = (
    0.666666666666666, 0.4000000000005581, 0.28571428556035844, 0.22222224273404934,
    0.181816672305014, 0.15391068549344247, 0.13174315892714764, 0.13838266023329224,
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


def log1p_tail(f: Value) -> Value:
    """log(1 + f) − f for −1/4 ≤ f ≤ 1/2."""
    if is_single(f):
        return log1p_tail_for_single(f)
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    return fma(s, fma(z, polynomial(z, _LOG_F64), half_square), -half_square)


def log1p_tail_for_single(f: Value) -> Value:
    """The same as f32 needs it, in f64 too."""
    return f * f * polynomial(f, _LOG_F32)


def join_logarithm(k: Value, f: Value, tail: Value) -> Value:
    """k·ln2 + f + tail."""
    high, low = LN2_F32 if is_single(f) else LN2_F64
    return fma(k, high, f + fma(k, low, tail))


@routine
def log(x: Value) -> Value:
    """Natural logarithm within 1 ulp; f64 after fdlibm's e_log."""
    f = mantissa(x) - 1.0
    return join_logarithm(exponent(x), f, log1p_tail(f))


def _log_to_base(x: Value, factor: tuple[float, float], step: tuple[float, float]) -> Value:
    """log(x)·factor, where step = ln2·factor; both are given as a head and the rest."""
    k, f = exponent(x), mantissa(x) - 1.0
    rest = fma(log1p_tail(f), factor[0], f * factor[1])
    near = fma(f, factor[0], rest)
    if step[1] == 0.0:
        return near + k
    return fma(k, step[0], fma(k, step[1], near))


@routine
def log2(x: Value) -> Value:
    """Logarithm to base 2 within 2 ulp, exact for powers of 2."""
    return _log_to_base(x, _LOG2_E_F32 if is_single(x) else _LOG2_E_F64, (1.0, 0.0))


@routine
def log10(x: Value) -> Value:
    """Logarithm to base 10 within 1.6 ulp."""
    if is_single(x):
        return _log_to_base(x, _LOG10_E_F32, _LOG10_2_F32)
    return _log_to_base(x, _LOG10_E_F64, _LOG10_2_F64)


def log_of_pair(
    u: Value,
    c: Value,
    shift: Value | float = 0.0,
    *,
    exactly: bool = False,
    is_finite: bool = False,
) -> Value:
    """log(u + c) + shift·ln2, `c` being small beside u; as log(u) where that is not finite. The
    rounding of u + c − 1 counts only where the result is about as small; `exactly` saves it.
    A u that is_finite, and above 0, spares a test.
    """
    k = exponent(u)
    rest = scale(c, -k)
    if not is_finite:
        rest = select(abs(k) < 4096.0, rest, 0.0)
    near = mantissa(u) - 1.0
    f = near + rest
    tail = log1p_tail(f)
    return join_logarithm(k + shift, f, tail + (rest - (f - near)) if exactly else tail)


@routine
def log1p(x: Value) -> Value:
    """log(1 + x) within 2 ulp, from the exact sum 1 + x."""
    u, c = two_sum(x.like(1.0), x)
    return select(abs(x) < by_type(x, *_TINIEST), x, log_of_pair(u, c))


def log1p_pair(high: Value, low: Value) -> Value:
    """log(1 + high + low)."""
    u, c = two_sum(high.like(1.0), high)
    result = log_of_pair(u, c + low)
    return select(abs(high) < by_type(high, *_TINIEST), high, result)


def _log_of_sum(head: Value, rest: Value) -> Value:
    """log(1 + head + rest) for head ≥ 0, finite."""
    u, c = two_sum(head.like(1.0), head)
    return log_of_pair(u, c + rest, is_finite=True)


def _log_of_double(x: Value) -> tuple[Value]:
    """log(2x)."""
    return (log_of_pair(x, x.like(0.0), 1.0),)


@routine
def asinh(x: Value) -> Value:
    """Inverse hyperbolic sine within 2 ulp: log1p(|x| + x²/(1 + √(1 + x²)))."""
    size = abs(x)
    head, rest = fast_two_sum(size, size * size / (sqrt(fma(size, size, 1.0)) + 1.0))
    near = select(size < by_type(x, *_TINY), size, _log_of_sum(head, rest))
    # Squares are not taken far out.
    (result,) = rarely(size > by_type(x, *_LARGE), _log_of_double, (size,), (near,))
    return flip_sign(result, sign_bit(x))


@routine
def acosh(x: Value) -> Value:
    """Inverse hyperbolic cosine within 2 ulp: log1p((x − 1) + √(x² − 1)); NaN below 1."""
    square, square_low = two_product(x, x)
    excess = fma(x, x, -1.0)
    excess_low = ((square - 1.0) - excess) + square_low
    root = sqrt(excess)
    root_low = (fma(-root, root, excess) + excess_low) / (root + root)
    head, rest = two_sum(x - 1.0, root)
    near = _log_of_sum(head, select(root > 0.0, rest + root_low, rest))
    beyond = (x > by_type(x, *_LARGE)) | (x < 1.0)
    return rarely(beyond, _acosh_beyond, (x,), (near,))[0]


def _acosh_beyond(x: Value) -> tuple[Value]:
    """acosh where squares are not taken or it is no number."""
    return (select(x < 1.0, math.nan, _log_of_double(x)[0]),)


@routine
def atanh(x: Value) -> Value:
    """Inverse hyperbolic tangent within 2 ulp: log((1 + |x|)/(1 − |x|))/2; ±∞ at ±1, NaN beyond."""
    size = abs(x)
    below, above = 1.0 - size, size + 1.0
    below_rest, above_rest = (1.0 - below) - size, size - (above - 1.0)
    inverse = 1.0 / below
    ratio = above * inverse
    rest = fma(-ratio, below_rest, fma(-ratio, below, above) + above_rest)
    result = log_of_pair(ratio, rest * inverse) * 0.5
    result = select(size < by_type(x, *_TINY), size, result)
    return flip_sign(result, sign_bit(x))
