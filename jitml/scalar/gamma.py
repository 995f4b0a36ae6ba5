"""The logarithm of the gamma function and its derivative, for f32 (through f64) and f64."""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import Pair, polynomial
from jitml.scalar.logarithm import join_logarithm, log, log1p, log1p_tail
from jitml.scalar.trigonometric import cos_of, sin_of, tan_of
from jitml.scalar.value import (
    Value,
    convert,
    copysign,
    exponent,
    fma,
    is_nan,
    mantissa,
    round_even,
    routine,
    select,
)

# (lgamma(2 + d)/d − (1 − γ))/d, minimax for the relative error of lgamma on −0.6 ≤ d ≤ 1/2:
# 2^-56.4.
_LGAMMA = (
    0.32246703342411315, -0.06735230105319816, 0.020580808427798854, -0.007385551028661426,
    0.0028905103299055102, -0.0011927539124598997, 0.0005096695467250527, -0.00022315473773648967,
    9.945720254929654e-05, -4.492653903765573e-05, 2.0509763429386012e-05, -9.436960284393911e-06,
    4.362270247687145e-06, -2.051587114535514e-06, 9.92127343403038e-07, -4.148586735200813e-07,
    1.5125667870488167e-07, -1.4878410060069674e-07, 9.568446080685636e-08,
)  # fmt: skip
_GAMMA = 0.5772156649015329
# x·(lgamma(x) − Stirling's leading terms) as a polynomial in 1/x² (DLMF 5.11.1), minimax for x ≥
# 8.5: 2^-57.6.
_STIRLING = (
    0.08333333333333333, -0.002777777777752942, 0.0007936507719062892, -0.0005952310581898345,
    0.0008406973175865977, -0.0018406090905477173, 0.003864152821080152,
)  # fmt: skip
_HALF_LOG_2PI = 0.9189385332046728
# The zero of digamma, and digamma(x)/(x − zero) in x − 1.75, minimax on [1.2, 2.2]: 2^-56.7.
_ZERO = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA = (
    0.8581832171262995, -0.32625462786810566, 0.1571201133520366, -0.08228558635578831,
    0.04479965445358464, -0.02489004848811764, 0.013985786141862522, -0.007910468813600184,
    0.00449181483248752, -0.0025566856253805845, 0.0014573572435077628, -0.000831510051876681,
    0.00047484705876045714, -0.0002709716177878038, 0.00015383727016159704,
    -8.908947727814158e-05, 5.423064692567179e-05, -2.6609846644321554e-05,
    8.682222543619872e-06, -1.3808695091795176e-05, 1.3325423268250468e-05,
)  # fmt: skip
# x²·(log(x) − 1/(2x) − digamma(x)) as a polynomial in 1/x² (DLMF 5.11.2), minimax for x ≥ 10:
# 2^-57.6.
_DIGAMMA_FAR = (
    0.08333333333333333, -0.008333333333298307, 0.003968253924888761, -0.004166646739711725,
    0.007571485515809996, -0.020638239448638122, 0.06050645421003274,
)  # fmt: skip


@routine
def lgamma(x: Value) -> Value:
    """log|Γ(x)| within 4 ulp (absolute near the zeros at negative x); +∞ at 0, −1, −2, …"""
    if x.type == "f32":
        return convert(lgamma(convert(x, "f64")), "f32")
    size = abs(x)
    right = _lgamma_right(size)
    # Γ(−s)·Γ(s) = −π/(s·sin(πs)) (DLMF 5.5.3); for tiny s the sign does not matter.
    sine = abs_sin_of_half_turns(size)
    left = log(math.pi / (size * sine)) - right
    left = select((sine == 0.0) | (size == math.inf), math.inf, left)
    return select((x < 0.0) & (size > 2.0**-60), left, right)


def brought_near(x: Value) -> tuple[Value, Value]:
    """For 0 ≤ x ≤ 8.5 a factor and y in [1.5, 2.5], or x below, with Γ(x) = factor·Γ(y)."""
    factor, near = x.like(1.0), x
    for count in range(1, 7):
        step = x - float(count)
        take = step >= 1.5
        factor = select(take, factor * step, factor)
        near = select(take, step, near)
    return factor, near


def _lgamma_right(x: Value) -> Value:
    """log Γ(x) for x ≥ 0: brought to [1.4, 2.5] below 8.5, Stirling's series above."""
    factor, near = brought_near(x)
    # d = near − 2; below 1.4 the argument goes up by one or two instead.
    low, tiny, far = x < 1.4, x < 0.5, x > 8.5
    d = select(low, select(tiny, x, x - 1.0), near - 2.0)
    below = select(tiny, x * (x + 1.0), x)
    split = select(far, x, select(low, below, factor))
    k, f = exponent(split), mantissa(split) - 1.0
    tail = log1p_tail(f)
    logarithm = join_logarithm(k, f, tail)
    # Near the zero at 1, log(x) = d + tail, and the d goes into the leading coefficient.
    beside_one = low & (k == 0.0) & (x > 0.5)
    lead = select(beside_one, x.like(-_GAMMA), 1.0 - _GAMMA)
    signed = select(low, 0.0 - select(beside_one, tail, logarithm), logarithm)
    middle = fma(d, fma(d, polynomial(d, _LGAMMA), lead), signed)
    inverse = 1.0 / x
    series = fma(inverse, polynomial(inverse * inverse, _STIRLING), _HALF_LOG_2PI - 0.5)
    result = select(far, fma(x - 0.5, logarithm - 1.0, series), middle)
    return select((x > 0.0) & (x < math.inf), result, select(is_nan(x), x, math.inf))


def stirling_rest(x: Value) -> Value:
    """log Γ(x) less its leading terms (x − 1/2)·log(x) − x + log(2π)/2, for x ≥ 8.5."""
    inverse = 1.0 / x
    return inverse * polynomial(inverse * inverse, _STIRLING)


def lgamma_of_next(x: Value) -> Value:
    """log Γ(1 + x) for |x| ≤ 1/2, accurate where x is tiny."""
    return fma(x, fma(x, polynomial(x, _LGAMMA), 1.0 - _GAMMA), -log1p(x))


def _half_turn(x: Value) -> Pair:
    """An angle/π in [0, 1/4] whose sine, or where the second holds cosine, is |sin(πx)|."""
    part = abs(x - round_even(x))
    swap = part > 0.25
    return select(swap, 0.5 - part, part), swap


def abs_sin_of_half_turns(x: Value) -> Value:
    """|sin(πx)|, exactly 0 at whole x."""
    turn, swap = _half_turn(x)
    return select(swap, cos_of(turn * math.pi), sin_of(turn * math.pi))


def cot_of_half_turns(x: Value) -> Value:
    """π·cot(πx) for x ≥ 0."""
    turn, swap = _half_turn(x)
    angle = turn * math.pi
    tangent = tan_of(angle, fma(turn, math.pi, -angle))
    return copysign(select(swap, tangent * math.pi, math.pi / tangent), x - round_even(x))


@routine
def digamma(x: Value) -> Value:
    """Derivative of log Γ within 4 ulp (absolute near its zeros at x < 0); NaN at −1, −2, …"""
    if x.type == "f32":
        return convert(digamma(convert(x, "f64")), "f32")
    size = abs(x)
    negative = x < 0.0
    inverse = 1.0 / size
    square = inverse * inverse
    # digamma(−s) = digamma(s) + 1/s + π·cot(πs) (DLMF 5.5.4 and 5.5.2).
    bend = select(negative, inverse * 0.5, inverse * -0.5)
    series = log(size) + fma(square, -polynomial(square, _DIGAMMA_FAR), bend)
    right = select(size < 10.0, _digamma_near(size, negative), series)
    result = select(negative, right + cot_of_half_turns(size), right)
    result = select((x == round_even(x)) & negative, math.nan, result)
    return select(x == 0.0, copysign(x.like(math.inf), -x), result)


def _digamma_near(x: Value, negative: Value) -> Value:
    """digamma(x), plus 1/x where `negative`, for 0 < x < 10, from [1.2, 2.2] by the recurrence."""
    total, product, near = x.like(0.0), x.like(1.0), x
    for count in range(1, 9):
        step = x - float(count)
        take = step >= 1.2
        total = select(take, fma(total, step, product), total)
        product = select(take, product * step, product)
        near = select(take, step, near)
    total = select(negative, fma(total, x, product), total)
    product = select(negative, product * x, product)
    # Below 1.2 the argument goes up by one, below 0.2 by two; the sums are written out.
    low, tiny = x < 1.2, x < 0.2
    above = x + 1.0
    low_total = select(negative, select(tiny, x.like(-1.0), 0.0), select(tiny, -(x + above), -1.0))
    low_product = select(tiny, select(negative, above, x * above), x)
    total, product = select(low, low_total, total), select(low, low_product, product)
    centre = _from(x, near, 1.75)
    root = _from(x, near, _ZERO[0]) - _ZERO[1]
    return fma(root, polynomial(centre, _DIGAMMA), total / product)


def _from(x: Value, near: Value, point: float) -> Value:
    """The distance of the shifted argument from a point between 1 and 2, rounded once."""
    low = select(x < 0.2, x + (2.0 - point), x - (point - 1.0))
    return select(x < 1.2, low, near - point)
