"""Trigonometric functions and their inverses. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

from jitml.scalar.arithmetic import (
    flip_sign,
    format_of,
    is_single,
    polynomial,
    sign_bit,
)
from jitml.scalar.reduction import HALF_PI_F32, HALF_PI_F64, reduce_by_half_pi
from jitml.scalar.value import Value, fma, is_nan, routine, select, sqrt

# (sin(r) − r)/r³ as a polynomial in r², minimax for the relative error on |r| ≤ π/4: 2^-27.9 and
# 2^-57.9.
_SIN_F32 = (-1.6666655e-01, 8.332188e-03, -1.9518091e-04)
_SIN_F64 = (
    -0.1666666666666663, 0.00833333333332184, -0.00019841269829358672, 2.7557313538604303e-06,
    -2.505073440538117e-08, 1.5895434105764712e-10,
)  # fmt: skip
# (cos(r) − 1 + r²/2)/r⁴ as a polynomial in r², likewise: 2^-33 and 2^-63.9.
_COS_F32 = (4.1666646e-02, -1.388731e-03, 2.4432331e-05)
_COS_F64 = (
    0.041666666666666595, -0.0013888888888873327, 2.480158728898587e-05, -2.755731421087255e-07,
    2.0875704395283097e-09, -1.1358690360912684e-11,
)  # fmt: skip
# (tan(r) − r)/r³ as a polynomial in r², minimax for the relative error on |r| ≤ π/4: 2^-29.5 and
# 2^-59.8.
_TAN_F32 = (
    3.333335e-01, 1.3332674e-01, 5.4059174e-02, 2.1284545e-02, 1.0832377e-02, 9.1346024e-05,
    4.3763756e-03,
)  # fmt: skip
_TAN_F64 = (
    0.3333333333333338, 0.13333333333325342, 0.05396825397287392, 0.021869488401227124,
    0.008863237871972582, 0.0035921016074544772, 0.0014560390749341382, 0.0005889026598354331,
    0.00024359770721333286, 8.398942192330106e-05, 6.637961093445766e-05, -2.4506901458870836e-05,
    4.7652713991097715e-05, -2.3769634198834323e-05, 9.683682513050129e-06,
)  # fmt: skip
# (asin(s) − s)/s³ as a polynomial in s², minimax for the relative error on s ≤ 1/2: 2^-27.6 and
# 2^-55.9.
_ASIN_F32 = (1.6666752e-01, 7.495311e-02, 4.546887e-02, 2.4186453e-02, 4.2155102e-02)
_ASIN_F64 = (
    0.1666666666666541, 0.07500000000336506, 0.04464285682873216, 0.030381959120903915,
    0.02237175842177995, 0.017359699370577054, 0.01388528671039947, 0.012168888164369056,
    0.0065293197723314276, 0.01952472962033524, -0.016218921167864896, 0.03190875680635241,
)  # fmt: skip
# (atan(q) − q)/q³ as a polynomial in q², minimax for the relative error on q ≤ 1: 2^-28.5 and
# 2^-57.5.
_ATAN_F32 = (
    -3.33333e-01, 1.999853e-01, -1.4264014e-01, 1.0950861e-01, -8.399207e-02, 5.787883e-02,
    -3.109345e-02, 1.0866197e-02, -1.78212e-03,
)  # fmt: skip
_ATAN_F64 = (
    -0.3333333333333307, 0.19999999999951756, -0.14285714282584303, 0.11111111007101143,
    -0.09090907001478137, 0.0769227979396336, -0.06666403493969016, 0.058805234541798465,
    -0.05253495120572373, 0.047222301959663524, -0.04218907444519131, 0.036635799659656,
    -0.029893295895586914, 0.0219708458983425, -0.013886427875619344, 0.007185850248495713,
    -0.0028791092823618543, 0.0008291576454441986, -0.0001516681107915815, 1.3173362805306579e-05,
)  # fmt: skip


def _odd(r: Value, single: tuple[float, ...], double: tuple[float, ...]) -> Value:
    """r + r³·P(r²)."""
    z = r * r
    return fma(r * z, polynomial(z, single if is_single(r) else double), r)


def sin_of(r: Value) -> Value:
    """Sine for |r| ≤ π/4."""
    return _odd(r, _SIN_F32, _SIN_F64)


def cos_of(r: Value) -> Value:
    """Cosine for |r| ≤ π/4."""
    z = r * r
    return fma(z * z, polynomial(z, _COS_F32 if is_single(r) else _COS_F64), fma(z, -0.5, 1.0))


def _in_quadrant(r: Value, quadrant: Value) -> Value:
    """sin(r + quadrant·π/2); the quadrant is in the lowest two bits."""
    value = select((quadrant & 1) == 0, sin_of(r), cos_of(r))
    return flip_sign(value, (quadrant >> 1) << (format_of(r).width - 1))


@routine
def sin(x: Value) -> Value:
    """Sine within 1.6 ulp at any argument; minimax polynomials on |r| ≤ π/4."""
    r, _, quadrant = reduce_by_half_pi(abs(x))
    return flip_sign(_in_quadrant(r, quadrant), sign_bit(x))


@routine
def cos(x: Value) -> Value:
    """Cosine within 1.6 ulp at any argument; minimax polynomials on |r| ≤ π/4."""
    r, _, quadrant = reduce_by_half_pi(abs(x))
    return _in_quadrant(r, quadrant + 1)


def tan_of(r: Value, rest: Value) -> Value:
    """tan(r + rest) for |r| ≤ π/4 and a tiny rest."""
    z = r * r
    return r + fma(r * z, polynomial(z, _TAN_F32 if is_single(r) else _TAN_F64), fma(rest, z, rest))


@routine
def tan(x: Value) -> Value:
    """Tangent within 2 ulp at any argument; minimax polynomial on |r| ≤ π/4."""
    r, rest, quadrant = reduce_by_half_pi(abs(x))
    tangent = tan_of(r, rest)
    odd = (quadrant & 1) != 0
    result = select(odd, -1.0, tangent) / select(odd, tangent, 1.0)
    return flip_sign(result, sign_bit(x))


def _half_pi(x: Value) -> tuple[float, float]:
    return (HALF_PI_F32 if is_single(x) else HALF_PI_F64)[:2]


def _asin_parts(x: Value) -> tuple[Value, Value, Value]:
    """|x| > 1/2, and s, t with s + t = asin(√((1 − |x|)/2)) where it holds, else asin(|x|)."""
    size = abs(x)
    outer = size > 0.5
    z = select(outer, (1.0 - size) * 0.5, size * size)
    s = select(outer, sqrt(z), size)
    return outer, s, s * z * polynomial(z, _ASIN_F32 if is_single(x) else _ASIN_F64)


@routine
def asin(x: Value) -> Value:
    """Arc sine within 2 ulp; NaN outside [−1, 1]."""
    outer, s, t = _asin_parts(x)
    high, low = _half_pi(x)
    far = high - (s + s + fma(t, 2.0, -low))
    return flip_sign(select(outer, far, s + t), sign_bit(x))


@routine
def acos(x: Value) -> Value:
    """Arc cosine within 1.5 ulp; NaN outside [−1, 1]."""
    outer, s, t = _asin_parts(x)
    high, low = _half_pi(x)
    twice = s + s + (t + t)
    far = select(x < 0.0, high * 2.0 - (twice - low * 2.0), twice)
    signed_s, signed_t = flip_sign(s, sign_bit(x)), flip_sign(t, sign_bit(x))
    return select(outer, far, high - (signed_s + (signed_t - low)))


def _atan_of_quotient(numerator: Value, denominator: Value) -> Value:
    """atan(numerator/denominator) in [0, π/2] for non-negative operands, not both infinite."""
    swap = numerator > denominator
    q = select(swap, denominator, numerator) / select(swap, numerator, denominator)
    angle = _odd(q, _ATAN_F32, _ATAN_F64)
    high, low = _half_pi(q)
    return select(swap, high - (angle - low), angle)


@routine
def atan(x: Value) -> Value:
    """Arc tangent within 1.5 ulp; minimax polynomial on [0, 1] after inversion."""
    size = abs(x)
    return flip_sign(_atan_of_quotient(size, size.like(1.0)), sign_bit(x))


@routine
def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y) within 2 ulp, with the special values of C's atan2."""
    height, width = abs(y), abs(x)
    # atan2(±0, ·) and atan2(±∞, ±∞) as angles of ordinary points.
    both_zero = (height == 0.0) & (width == 0.0)
    both_infinite = (height == width) & (height * 0.5 == height) & ~both_zero
    ordinary = both_zero | both_infinite
    height = select(both_zero, 0.0, select(both_infinite, 1.0, height))
    angle = _atan_of_quotient(height, select(ordinary, 1.0, width))
    high, low = _half_pi(x)
    left = (sign_bit(x) != 0) & ~is_nan(x)
    angle = select(left, high * 2.0 - (angle - low * 2.0), angle)
    return flip_sign(angle, sign_bit(y))
