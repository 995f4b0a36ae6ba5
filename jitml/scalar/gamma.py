"""The logarithm of the gamma function and its derivative, for f32 (through f64) and f64."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitml.scalar.arithmetic import Pair, is_single, polynomial, rarely
from jitml.scalar.logarithm import (
    join_logarithm,
    log,
    log1p,
    log1p_tail,
    log1p_tail_for_single,
)
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
# The same as good as f32 needs it: 2^-29.8.
_LGAMMA_SINGLE = (
    0.32246704094162004, -0.0673522985015601, 0.020580405923577936, -0.007385793914363984,
    0.0028963396048189913, -0.001188485532558802, 0.0004776266271842145, -0.0002482552170467097,
    0.00016370497639258823,
)  # fmt: skip
# x·(lgamma(x) − Stirling's leading terms) as a polynomial in 1/x² (DLMF 5.11.1), minimax for the
# absolute error of lgamma for x ≥ 4.5: 2^-57.3, and 2^-32.1 for f32.
_STIRLING = (
    0.08333333333333291, -0.002777777777353529, 0.0007936506688436624, -0.0005952215042639084,
    0.000840565609843001, -0.0018682331832878805, 0.005177101548711991, -0.010821448691297328,
)  # fmt: skip
_STIRLING_SINGLE = (0.08333332648699493, -0.0027766470722015114, 0.0007464175663102709)
PI_LOW = 1.2246467991473532e-16  # π less its f64
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
# The same as good as f32 needs it: 2^-30.2.
_DIGAMMA_SINGLE = (
    0.8581832164560103, -0.3262546333676118, 0.15712027809911688, -0.08228515582975461,
    0.04479323142361104, -0.02490032578471347, 0.014073992657295007, -0.007803187599194743,
    0.003982760948782029, -0.003063914635102058, 0.002600657738936535,
)  # fmt: skip
# x²·(log(x) − 1/(2x) − digamma(x)) as a polynomial in 1/x² (DLMF 5.11.2), minimax for the absolute
# error of digamma for x ≥ 5.2: 2^-59.9, and 2^-33.9 for f32.
_DIGAMMA_FAR = (
    0.08333333333333069, -0.00833333333095176, 0.003968253232146497, -0.00416655590368716,
    0.007566421882132895, -0.020623335023607428, 0.06895038406091267, -0.17591352402979488,
)  # fmt: skip
_DIGAMMA_FAR_SINGLE = (0.08333329960278223, -0.008327698278662836, 0.0036970850773528964)


@routine
def lgamma(x: Value) -> Value:
    """log|Γ(x)| within 4 ulp (absolute near the zeros at negative x); +∞ at 0, −1, −2, …"""
    if is_single(x):
        wide = convert(x, "f64")
        size = abs(wide)
        right = _lgamma_right(size, for_single=True)
        return convert(rarely(x < 0.0, _lgamma_left_anew, (size,), (right,))[0], "f32")
    size = abs(x)
    right = _lgamma_right(size)
    return rarely(x < 0.0, _lgamma_left, (size, right), (right,))[0]


def _lgamma_left_anew(size: Value) -> tuple[Value]:
    """log|Γ(−size)| with f64's log Γ(size), for they may cancel."""
    return _lgamma_left(size, _lgamma_right(size))


def _lgamma_left(size: Value, right: Value) -> tuple[Value]:
    """log|Γ(−size)| from log Γ(size)."""
    # Γ(−s)·Γ(s) = −π/(s·sin(πs)) (DLMF 5.5.3); for tiny s the sign does not matter.
    sine = abs_sin_of_half_turns(size)
    left = log(math.pi / (size * sine)) - right
    left = select((sine == 0.0) | (size == math.inf), math.inf, left)
    return (select(size > 2.0**-60, left, right),)


def brought_near(x: Value) -> tuple[Value, Value]:
    """For 0 ≤ x ≤ 4.5 a factor and y in [1.5, 2.5], or x below, with Γ(x) = factor·Γ(y)."""
    factor, near = x.like(1.0), x
    for count in (1, 2):
        step = x - float(count)
        take = step >= 1.5
        factor = select(take, factor * step, factor)
        near = select(take, step, near)
    return factor, near


def _lgamma_right(x: Value, *, for_single: bool = False) -> Value:
    """log Γ(x) for x ≥ 0: brought to [1.4, 2.5] below 4.5, Stirling's series above."""
    factor, near = brought_near(x)
    # d = near − 2; below 1.4 the argument goes up by one or two instead.
    low, tiny, far = x < 1.4, x < 0.5, x > 4.5
    d = select(low, select(tiny, x, x - 1.0), near - 2.0)
    below = select(tiny, x * (x + 1.0), x)
    split = select(far, x, select(low, below, factor))
    k, f = exponent(split), mantissa(split) - 1.0
    tail = log1p_tail_for_single(f) if for_single else log1p_tail(f)
    logarithm = join_logarithm(k, f, tail)
    # Near the zero at 1, log(x) = d + tail, and the d goes into the leading coefficient.
    beside_one = low & (k == 0.0) & (x > 0.5)
    lead = select(beside_one, x.like(-_GAMMA), 1.0 - _GAMMA)
    signed = select(low, 0.0 - select(beside_one, tail, logarithm), logarithm)
    middle = fma(d, fma(d, polynomial(d, _LGAMMA_SINGLE if for_single else _LGAMMA), lead), signed)
    inverse = 1.0 / x
    terms = polynomial(inverse * inverse, _STIRLING_SINGLE if for_single else _STIRLING)
    series = fma(inverse, terms, _HALF_LOG_2PI - 0.5)
    result = select(far, fma(x - 0.5, logarithm - 1.0, series), middle)
    return select((x > 0.0) & (x < math.inf), result, select(is_nan(x), x, math.inf))


def stirling_rest(x: Value, *, for_single: bool = False) -> Value:
    """log Γ(x) less its leading terms (x − 1/2)·log(x) − x + log(2π)/2, for x ≥ 4.5."""
    inverse = 1.0 / x
    terms = _STIRLING_SINGLE if for_single else _STIRLING
    return inverse * polynomial(inverse * inverse, terms)


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
    angle, rest = _angle(turn)
    return select(swap, fma(-angle, rest, cos_of(angle)), sin_of(angle) + rest)


def _angle(turn: Value) -> Pair:
    """π·turn as a pair."""
    angle = turn * math.pi
    return angle, fma(turn, math.pi, -angle) + turn * PI_LOW


def cot_of_half_turns(x: Value) -> Value:
    """π·cot(πx) for x ≥ 0."""
    turn, swap = _half_turn(x)
    tangent = tan_of(*_angle(turn))
    return copysign(select(swap, tangent * math.pi, math.pi / tangent), x - round_even(x))


@routine
def digamma(x: Value) -> Value:
    """Derivative of log Γ within 4 ulp (absolute near its zeros at x < 0); NaN at −1, −2, …"""
    if is_single(x):
        wide = convert(x, "f64")
        return convert(_digamma(wide, _digamma_right(wide, for_single=True)), "f32")
    return _digamma(x, _digamma_right(x))


def _digamma(x: Value, right: Value) -> Value:
    return rarely(x <= 0.0, _digamma_left, (x,), (right,))[0]


def _digamma_left(x: Value) -> tuple[Value]:
    """digamma for x ≤ 0."""
    # digamma(−s) = digamma(s + 1) + π·cot(πs) (DLMF 5.5.4 and 5.5.2).
    size = abs(x)
    result = _digamma_right(size + 1.0) + cot_of_half_turns(size)
    result = select(x == round_even(x), math.nan, result)
    return (select(x == 0.0, copysign(x.like(math.inf), -x), result),)


def _digamma_right(x: Value, *, for_single: bool = False) -> Value:
    """digamma for x > 0: brought to [1.2, 2.2] below 5.2, an asymptotic series above."""
    k, f = exponent(x), mantissa(x) - 1.0
    tail = log1p_tail_for_single(f) if for_single else log1p_tail(f)
    inverse = 1.0 / x
    square = inverse * inverse
    terms = polynomial(square, _DIGAMMA_FAR_SINGLE if for_single else _DIGAMMA_FAR)
    far = fma(inverse, -0.5, join_logarithm(k, f, tail)) - square * terms
    near = _digamma_near(x, _DIGAMMA_SINGLE if for_single else _DIGAMMA)
    return select(x < 5.2, near, far)


def _digamma_near(x: Value, coefficients: Sequence[float]) -> Value:
    """digamma(x) for 0 < x < 5.2, from [1.2, 2.2] by the recurrence."""
    total, product, near = x.like(0.0), x.like(1.0), x
    for count in (1, 2, 3):
        step = x - float(count)
        take = step >= 1.2
        total = select(take, fma(total, step, product), total)
        product = select(take, product * step, product)
        near = select(take, step, near)
    # Below 1.2 the argument goes up by one, below 0.2 by two; the sums are written out.
    low, tiny = x < 1.2, x < 0.2
    above = x + 1.0
    total = select(low, select(tiny, -(x + above), -1.0), total)
    product = select(low, select(tiny, x * above, x), product)
    centre = _from(x, near, 1.75)
    root = _from(x, near, _ZERO[0]) - _ZERO[1]
    return fma(root, polynomial(centre, coefficients), total / product)


def _from(x: Value, near: Value, point: float) -> Value:
    """The distance of the shifted argument from a point between 1 and 2, rounded once."""
    low = select(x < 0.2, x + (2.0 - point), x - (point - 1.0))
    return select(x < 1.2, low, near - point)
