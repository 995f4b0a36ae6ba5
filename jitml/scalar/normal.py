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
from jitml.scalar.special import erfc, erfc_of, scaled_erfcx
from jitml.scalar.trigonometric import atan
from jitml.scalar.value import Value, convert, fma, lookup, routine, select, sqrt

_ERFCX_FAR = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0)  # DLMF 7.12.1
_ROOT_HALF_F32 = (0.7071067690849304, 1.2101617485882343e-08)
_ROOT_HALF_F64 = (0.7071067811865476, -4.833646656726457e-17)
# Φ⁻¹((1 + e)/2)/e as a polynomial in e², minimax for the relative error on |e| ≤ 0.8: 2^-28.6.
_MIDDLE_F32 = (
    1.2533141e+00, 3.281182e-01, 1.8029784e-01, 1.24995776e-01, 5.5111576e-02, 3.777128e-01,
    -1.5179293e+00, 5.333183e+00, -1.1395121e+01, 1.5602876e+01, -1.2148044e+01, 4.2948685e+00,
)  # fmt: skip
# The same over √2, on |e| ≤ 3/4: 2^-60.7.
_MIDDLE_F64 = (
    0.886226925452758, 0.2320136665346554, 0.12755617530528743, 0.08655212928274884,
    0.06495961484502764, 0.05173140731407028, 0.042833092360701965, 0.03654047130721786,
    0.030557769819858163, 0.04103258938229253, -0.09190233768295887, 0.8484263999170879,
    -4.627576186229301, 21.014397600779944, -76.35422662621878, 223.7575315468397,
    -526.0202733908619, 984.6984708244265, -1447.7109026061835, 1635.8161244361302,
    -1371.8384223234204, 805.2100539238472, -295.76126562763795, 51.363775592077936,
)  # fmt: skip
# −Φ⁻¹(p) as a quotient of polynomials in √(−2·log p), minimax for p ≤ 0.11: 2^-28.7.
_TAIL_ABOVE = (
    -3.0323913e+00, -5.2285023e+00, 2.9905016e+00, 2.7520137e+00, 2.868289e-01,
)  # fmt: skip
_TAIL_BELOW = (
    1.0, 4.2097797e+00, 2.7634854e+00, 2.8664795e-01, 1.8523837e-06,
)  # fmt: skip


def _over_root_two(x: Value) -> Pair:
    """x/√2 as a pair."""
    high, low = _ROOT_HALF_F32 if is_single(x) else _ROOT_HALF_F64
    at, rest = two_product(x, high)
    return at, fma(x, low, rest)


@routine
def ndtr(x: Value) -> Value:
    """Φ(x), the integral of the normal density from −∞, within 4 ulp."""
    at, rest = _over_root_two(-x)
    far = select(x > 0.0, 1.0, select(x == x, 0.0, x))
    return select(abs(x) < 40.0, erfc_of(at, rest) * 0.5, far)


@routine
def log_ndtr(x: Value) -> Value:
    """log Φ(x) within 4 ulp in f32, far below where Φ(x) is 0."""
    at, rest = _over_root_two(select(x > 40.0, 40.0, x))
    above = erfc_of(at, rest) * -0.5
    u, c = fast_two_sum(1.0, above)
    left = x < -1.0
    ratio, ratio_low = _any_erfcx(select(left, -at, 1.0))
    logarithm = log_of_pair(select(left, ratio * 0.5, u), select(left, ratio_low * 0.5, c))
    result = select(left, fma(x * x, -0.5, logarithm), logarithm)
    return select(abs(above) < by_type(x, 2.0**-30, 2.0**-60), above, result)


def _any_erfcx(x: Value) -> Pair:
    """exp(x²)·erfc(x) for x ≥ 1/2, however large: there well enough for its logarithm."""
    limit = by_type(x, 10.0, 27.0)
    near, near_low = scaled_erfcx(select(x > limit, limit, x))
    inverse = 1.0 / x
    far = inverse * polynomial(inverse * inverse * 0.5, _ERFCX_FAR) * (1.0 / math.sqrt(math.pi))
    return select(x > limit, far, near), select(x > limit, 0.0, near_low)


@routine
def ndtri(p: Value) -> Value:
    """The inverse of Φ within 4 ulp: polynomials in the middle, in f64 a step of third order on the
    logarithm in the tails.
    """
    upper = p > 0.5
    tail = select(upper, 1.0 - p, p)
    e = p * 2.0 - 1.0
    if is_single(p):
        middle = e * polynomial(e * e, _MIDDLE_F32)
    else:
        middle = e * polynomial(e * e, _MIDDLE_F64) * math.sqrt(2.0)
    far = _tail_quantile(tail)
    far = select(upper, far, -far)
    result = select(tail > 0.125, middle, far)
    result = select(p == 0.0, -math.inf, select(p == 1.0, math.inf, result))
    return select((p >= 0.0) & (p <= 1.0), result, math.nan)


def _tail_quantile(tail: Value) -> Value:
    """The x > 1.1 that is exceeded with the probability `tail`."""
    logarithm = log(tail)
    root = sqrt(logarithm * -2.0)
    x = polynomial(root, _TAIL_ABOVE) / polynomial(root, _TAIL_BELOW)
    if is_single(x):
        return x
    # (log Φ)' = φ/Φ = √(2/π)/erfcx(x/√2); its own slope is −r·(r − x).
    scaled, _ = scaled_erfcx(x * _ROOT_HALF_F64[0])
    rate = math.sqrt(2.0 / math.pi) / scaled
    excess = fma(x * x, -0.5, log(scaled * 0.5)) - logarithm
    step = excess / rate
    return x + step / fma(step * 0.5, rate - x, 1.0)


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
