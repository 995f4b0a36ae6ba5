"""The normal distribution: its integral, the logarithm of that, Owen's T; logit.

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
    over_root_two,
    polynomial,
    repeat,
    sign_bit,
)
from jitml.scalar.exponential import exp
from jitml.scalar.logarithm import log_of_pair
from jitml.scalar.special import erf_tail, erfc, erfc_of, erfc_parts
from jitml.scalar.trigonometric import atan
from jitml.scalar.value import Value, convert, fma, lookup, routine, scale, select

_ERFCX_FAR = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0)  # DLMF 7.12.1


@routine
def ndtr(x: Value) -> Value:
    """Φ(x), the integral of the normal density from −∞, within 2 ulp."""
    at, rest = over_root_two(-x)
    far = select(x > 0.0, 1.0, select(x == x, 0.0, x))
    return select(abs(x) < 40.0, erfc_of(at, rest) * 0.5, far)


@routine
def log_ndtr(x: Value) -> Value:
    """log Φ(x) within 2 ulp, far below where Φ(x) is 0."""
    at, rest = over_root_two(-x)
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
    near, far = erfc(x * math.sqrt(0.5)) * 0.5, erfc(product * math.sqrt(0.5)) * 0.5
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
