"""The normal distribution: its integral, the logarithm and the inverse of that, Owen's T; logit.

f32 (through f64) or f64 in, the same type out.
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import flip_sign, in_double, is_single, repeat, sign_bit, two_product
from jitml.scalar.exponential import exp
from jitml.scalar.faddeeva import erfcx
from jitml.scalar.logarithm import log, log1p
from jitml.scalar.special import erf_inv, erfc, scaled_erfcx
from jitml.scalar.trigonometric import atan
from jitml.scalar.value import Value, convert, fma, lookup, routine, select, sqrt

_ROOT_HALF = (0.7071067811865476, -4.833646656726457e-17)


@routine
@in_double
def ndtr(x: Value) -> Value:
    """Φ(x), the integral of the normal density from −∞, within 4 ulp."""
    at, rest = two_product(x, x.like(-_ROOT_HALF[0]))
    rest = fma(x, -_ROOT_HALF[1], rest)
    # erfc(z + dz) = erfc(z) − 2/√π·exp(−z²)·dz
    bend = exp(-at * at) * rest * (2.0 / math.sqrt(math.pi))
    return select(
        abs(x) < 40.0, (erfc(at) - bend) * 0.5, select(x > 0.0, 1.0, select(x == x, 0.0, x))
    )


@routine
@in_double
def log_ndtr(x: Value) -> Value:
    """log Φ(x) within 4 ulp in f32, far below where Φ(x) is 0."""
    right = log1p(erfc(x * _ROOT_HALF[0]) * -0.5)
    left = fma(x * x, -0.5, log(erfcx(x * -_ROOT_HALF[0]) * 0.5))
    return select(x > -1.0, right, select(x > -math.inf, left, x))


@routine
def ndtri(p: Value) -> Value:
    """The inverse of Φ within 4 ulp: erf's inverse for p near 1/2, Newton's steps for the tails."""
    if is_single(p):
        tail = convert(_tail_quantile(convert(select(p > 0.5, 1.0 - p, p), "f64"), 1), "f32")
    else:
        tail = _tail_quantile(select(p > 0.5, 1.0 - p, p), 2)
    middle = erf_inv(p * 2.0 - 1.0) * math.sqrt(2.0)
    result = select((p > 0.2) & (p < 0.8), middle, select(p > 0.5, tail, -tail))
    result = select(p == 0.0, -math.inf, select(p == 1.0, math.inf, result))
    return select((p >= 0.0) & (p <= 1.0), result, math.nan)


def _tail_quantile(tail: Value, steps: int) -> Value:
    """The x > 0.8 that is exceeded with the probability `tail`: a guess, and steps of third order
    on the logarithm.
    """
    logarithm = log(tail)
    root = sqrt(logarithm * -2.0)
    # Abramowitz and Stegun 26.2.23.
    above = fma(fma(root, 0.010328, 0.802853), root, 2.515517)
    below = fma(fma(fma(root, 0.001308, 0.189269), root, 1.432788), root, 1.0)
    x = root - above / below
    for _ in range(steps):
        # (log Φ)' = φ/Φ = √(2/π)/erfcx(x/√2); its own slope is −r·(r − x).
        scaled, _ = scaled_erfcx(x * _ROOT_HALF[0])
        rate = math.sqrt(2.0 / math.pi) / scaled
        excess = fma(x * x, -0.5, log(scaled * 0.5)) - logarithm
        step = excess / rate
        x = x + step / fma(step * 0.5, rate - x, 1.0)
    return x


@routine
@in_double
def logit(x: Value) -> Value:
    """log(x/(1 − x)), the inverse of the logistic function, within 4 ulp."""
    excess = x * 2.0 - 1.0
    near = log1p(excess) - log1p(-excess)
    result = select(abs(excess) < 0.4, near, log(x / (1.0 - x)))
    return select(x == 1.0, math.inf, select(x < 1.0, result, math.nan))


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
    near, far = erfc(x * _ROOT_HALF[0]) * 0.5, erfc(product * _ROOT_HALF[0]) * 0.5
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
