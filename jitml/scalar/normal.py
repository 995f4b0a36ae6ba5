"""The normal distribution: its integral, the logarithm and the inverse of that, Owen's T; logit.

f32 or f64 in, the same type out.
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import (
    Pair,
    by_type,
    fast_two_sum,
    flip_sign,
    in_double,
    is_single,
    polynomial,
    repeat,
    sign_bit,
    two_product,
)
from jitml.scalar.exponential import exp
from jitml.scalar.logarithm import log, log_of_pair
from jitml.scalar.special import erf_tail, erfc, erfc_of, erfc_parts, scaled_erfcx
from jitml.scalar.trigonometric import atan
from jitml.scalar.value import Value, convert, fma, lookup, routine, scale, select, sqrt

_ERFCX_FAR = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0)  # DLMF 7.12.1
_ROOT_HALF_F32 = (0.7071067690849304, 1.2101617485882343e-08)
_ROOT_HALF_F64 = (0.7071067811865476, -4.833646656726457e-17)
# Φ⁻¹((1 + e)/2)/e in w − 1, w = −log(1 − e²) ≤ 4.3, minimax for the relative error: 2^-28.8. The
# constant term comes first, in two parts.
_NEAR_LEAD = (1.5943481922149658, -3.430418971106519e-08)
_NEAR_F32 = (
    3.504886e-01, 6.0114036e-03, -3.360719e-03, 1.4162618e-04, 5.4083866e-05, -6.1191786e-06,
    -8.090956e-07, 2.1651037e-07, -1.37586875e-08,
)  # fmt: skip
# −Φ⁻¹(p) − r for r = √(−2·log p) ≥ 3.3, in (r − 4)/(r + 4), minimax for the relative error of Φ⁻¹:
# 2^-28.5.
_FAR_F32 = (
    -5.9880733e-01, 7.471697e-01, -3.4269044e-01, 2.607078e-01, -1.697421e-01, 1.3808481e-01,
    -8.7929e-02, 4.247612e-02,
)  # fmt: skip
# The same within 2^-22, for 2 ≤ r ≤ 38.7.
_GUESS_F64 = (
    -5.9880745e-01, 7.471697e-01, -3.426592e-01, 2.6063824e-01, -1.7092228e-01, 1.4369959e-01,
    -9.483236e-02, 5.3879492e-02, -9.292702e-02, 2.688476e-01, -3.201078e-01, 1.4058955e-01,
)  # fmt: skip
# Φ⁻¹((1 + e)/2)/e as a polynomial in e², minimax for the relative error on |e| ≤ 3/4, 2^-60.7; its
# constant term √(π/2) in two parts.
_MIDDLE_LEAD = (1.2533141373155003, -9.164289990229583e-17)
_MIDDLE_F64 = (
    0.3281168738692184, 0.18039167308117754, 0.12240319508393292, 0.09186676832037073,
    0.0731592578242049, 0.06057514013488413, 0.05167603009817243, 0.043215212515118666,
    0.058028844403724356, -0.1299695323650324, 1.1998561214381251, -6.5443810034802405,
    29.718846092123627, -107.98118283930748, 316.44093579666634, -743.9050047125602,
    1392.5739322879515, -2047.3723928610596, 2313.3933487261697, -1940.0725022342908,
    1138.7389788182759, -418.2695930752371, 72.63934805700477,
)  # fmt: skip


def _over_root_two(x: Value) -> Pair:
    """x/√2 as a pair."""
    high, low = _ROOT_HALF_F32 if is_single(x) else _ROOT_HALF_F64
    at, rest = two_product(x, high)
    return at, fma(x, low, rest)


@routine
def ndtr(x: Value) -> Value:
    """Φ(x), the integral of the normal density from −∞, within 2 ulp."""
    at, rest = _over_root_two(-x)
    far = select(x > 0.0, 1.0, select(x == x, 0.0, x))
    return select(abs(x) < 40.0, erfc_of(at, rest) * 0.5, far)


@routine
def log_ndtr(x: Value) -> Value:
    """log Φ(x) within 2 ulp, far below where Φ(x) is 0."""
    at, rest = _over_root_two(-x)
    size = abs(at)
    left = at > 0.5
    middle = (at > -0.7) & ~left
    parts = erfc_parts(select(size > 0.5, size, 0.5), flip_sign(rest, sign_bit(at)))
    # 1 − Φ on the right, where it is small; 2Φ − 1 = −at − more in the middle.
    above = scale(parts.product(), parts.n - 1.0)
    more = select(middle, fma(rest, 2.0 / math.sqrt(math.pi), erf_tail(at)), 0.0)
    u, c = fast_two_sum(1.0, -select(middle, at, above))
    u, c = fast_two_sum(u, c - more)
    # Φ = exp(−x²/2)·erfcx(x)/2 on the left.
    ratio, ratio_low = _erfcx_beyond(at, parts.ratio, parts.ratio_low)
    u, c = select(left, ratio, u), select(left, ratio_low, c)
    shift = select(middle | left, x.like(-1.0), 0.0)
    logarithm = log_of_pair(u, c, shift, exactly=True)
    result = select(left, fma(x * -0.5, x, logarithm), logarithm)
    tiny = ~(middle | left) & (above < by_type(x, 2.0**-30, 2.0**-60))
    return select(tiny, -above, result)


def _erfcx_beyond(x: Value, near: Value, near_low: Value) -> Pair:
    """exp(x²)·erfc(x), `near` it or for large x, where it is well enough for its logarithm."""
    beyond = x > by_type(x, 10.0, 27.0)
    inverse = 1.0 / x
    far = inverse * polynomial(inverse * inverse * 0.5, _ERFCX_FAR) * (1.0 / math.sqrt(math.pi))
    return select(beyond, far, near), select(beyond, 0.0, near_low)


@routine
def ndtri(p: Value) -> Value:
    """The inverse of Φ within 2 ulp in f32, 3 in f64."""
    lower = p < 0.5
    tail = select(lower, p, 1.0 - p)
    size = _quantile_single(tail) if is_single(p) else _quantile_double(tail)
    result = select(tail > 0.0, size, math.inf)
    result = select(lower, -result, result)
    return select((p >= 0.0) & (p <= 1.0), result, math.nan)


def _quantile_single(tail: Value) -> Value:
    """The x ≥ 0 that is exceeded with the probability 0 < tail ≤ 1/2, by polynomials in logarithms:
    of 1 − e² as for the inverse of erf, and of the tail itself far out.
    """
    far = tail < 0.0038
    twice = tail + tail
    logarithm = log(select(far, tail, fma(-twice, twice, twice + twice)))
    e = 1.0 - twice
    e_low = (1.0 - e) - twice
    at = -1.0 - logarithm
    lead, lead_low = _NEAR_LEAD
    rest = fma(e, fma(at, polynomial(at, _NEAR_F32), lead_low), e_low * lead)
    square = logarithm * -2.0
    root = sqrt(square)
    q = (root - 4.0) / (root + 4.0)
    # What the root lost when it was rounded is the residue times 1/(2·root), within a fifth.
    beyond = fma(fma(-root, root, square), fma(q, -0.18, 0.135), polynomial(q, _FAR_F32))
    return select(far, root + beyond, fma(e, lead, rest))


def _quantile_double(tail: Value) -> Value:
    """The same by a polynomial near the middle, beyond it by a step of third order from a guess on
    the logarithm.
    """
    twice = tail + tail
    e = 1.0 - twice
    square = e * e
    # Φ⁻¹ has about the slope 0.88 + 2.75·e² where e is rounded.
    e_low = ((1.0 - e) - twice) * fma(square, 2.75, 0.88)
    lead, lead_low = _MIDDLE_LEAD
    factor = fma(square, polynomial(square, _MIDDLE_F64), lead_low)
    middle = fma(e, lead, fma(e, factor, e_low))
    logarithm = log(tail)
    root = sqrt(logarithm * -2.0)
    x = root + polynomial((root - 4.0) / (root + 4.0), _GUESS_F64)
    # (log Φ)' = φ/Φ = √(2/π)/erfcx(x/√2); its own slope is −r·(r − x).
    scaled, _ = scaled_erfcx(x * _ROOT_HALF_F64[0])
    rate = math.sqrt(2.0 / math.pi) / scaled
    excess = fma(x * x, -0.5, log(scaled * 0.5)) - logarithm
    step = excess / rate
    far = x + step / fma(step * 0.5, rate - x, 1.0)
    return select(tail > 0.125, middle, far)


@routine
def logit(x: Value) -> Value:
    """log(x/(1 − x)), the inverse of the logistic function, within 2 ulp."""
    below = 1.0 - x
    below_low = (1.0 - below) - x
    inverse = 1.0 / below
    odds = x * inverse
    return log_of_pair(odds, fma(-odds, below_low, fma(-odds, below, x)) * inverse)


# ---- Owen's T -------------------------------------------------------------------------------

# Gauss and Legendre's nodes and weights on [0, 1].
_NODES = (
    0.001778751213022789, 0.00934841731456365, 0.022870359685530917, 0.04218348680393397,
    0.06705373871280251, 0.09717931454141043, 0.1321945609931841, 0.1716744529805675,
    0.21513976409429914, 0.2620628875224409, 0.31187424195546065, 0.363969186182411,
    0.41771535893330963, 0.47246035505798284, 0.5275396449420171, 0.5822846410666904,
    0.636030813817589, 0.6881257580445393, 0.7379371124775591, 0.7848602359057009,
    0.8283255470194325, 0.867805439006816, 0.9028206854585896, 0.9329462612871975,
    0.9578165131960661, 0.9771296403144691, 0.9906515826854363, 0.9982212487869773,
)  # fmt: skip
_WEIGHTS = (
    0.004562141296547369, 0.010566056296386081, 0.016450713891152265, 0.022136467379501996,
    0.02755367283785839, 0.032636461983499836, 0.03732310711728433, 0.04155670861445047,
    0.04528587219651641, 0.04846532899896491, 0.05105648378903029, 0.053027882961423134,
    0.05435559612914701, 0.05502350650823755, 0.05502350650823755, 0.05435559612914701,
    0.053027882961423134, 0.05105648378903029, 0.04846532899896491, 0.04528587219651641,
    0.04155670861445047, 0.03732310711728433, 0.032636461983499836, 0.02755367283785839,
    0.022136467379501996, 0.016450713891152265, 0.010566056296386081, 0.004562141296547369,
)  # fmt: skip


@routine
@in_double
def owens_t(h: Value, a: Value) -> Value:
    """∫ exp(−h²(1 + t²)/2)/(1 + t²) dt from 0 to a, over 2π, within 4 ulp in f32."""
    x, slope = abs(h), abs(a)
    wide = slope > 1.0
    # T(h, a) = (Φ(h) + Φ(ah))/2 − Φ(h)·Φ(ah) − T(ah, 1/a) for a > 0; Q = 1 − Φ is what is small.
    product = select(wide & (slope < math.inf), x * slope, x)
    inner = _owens_integral(product, select(wide, 1.0 / slope, slope))
    near, far = erfc(x * _ROOT_HALF_F64[0]) * 0.5, erfc(product * _ROOT_HALF_F64[0]) * 0.5
    outer = fma(near + far, 0.5, -(near * far)) - inner
    result = select(wide, select(slope == math.inf, near * 0.5, outer), inner)
    result = select((slope == 0.0) | (x == math.inf), 0.0, result)
    result = select(x == 0.0, atan(slope) * (0.5 / math.pi), result)
    return select((h == h) & (a == a), flip_sign(result, sign_bit(a)), math.nan)


def _owens_integral(h: Value, a: Value) -> Value:
    """The function for h ≥ 0, 0 ≤ a ≤ 1, by Gauss' rule over where the integrand is not 0."""
    width = select(a * h > 9.0, 9.0 / h, a)
    zero = h.like(0.0)
    total = repeat(_node_counts, _next_node, [zero, zero], (h * width, width))[1]
    return total * width * exp(h * h * -0.5) * (0.5 / math.pi)


def _node_counts(k: Value, total: Value, *_: Value) -> Value:
    return k < float(len(_NODES))


def _next_node(k: Value, total: Value, scaled: Value, width: Value) -> list[Value]:
    index = convert(k, "i64")
    node, weight = lookup(_NODES, index, "f64"), lookup(_WEIGHTS, index, "f64")
    at, across = scaled * node, width * node
    return [k + 1.0, fma(weight, exp(at * at * -0.5) / fma(across, across, 1.0), total)]
