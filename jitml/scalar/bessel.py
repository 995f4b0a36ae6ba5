"""Modified Bessel functions of the first kind, scaled by exp(−|x|). f32 or f64 in, the same out.

Up to |x| = 8 a polynomial in |x|/4 − 1 over 1 + |x|, or times |x|/(1 + |x|/2)² for order 1: so its
values stay within 20 % of each other. Beyond, one in 1/|x| times 1/√|x| (Clenshaw, 1962). Each is a
constant in two parts and a small rest, and what the factors lost when they were rounded is made up
for.
"""

from __future__ import annotations

from typing import NamedTuple

from jitml.scalar.arithmetic import by_type, fast_two_sum, is_single, polynomial, two_product
from jitml.scalar.value import Value, copysign, fma, routine, select, sqrt


class _Fit(NamedTuple):
    """head + low + t·rest(t), head + low being the constant term in two parts."""

    head: float
    low: float
    rest: tuple[float, ...]

    def above_head(self, t: Value) -> Value:
        return fma(t, polynomial(t, self.rest), self.low)


# (1 + x)·exp(−x)·I₀(x) and (1 + x/2)²·exp(−x)·I₁(x)/x for 0 ≤ x ≤ 8 in x/4 − 1. In f32 minimax for
# the relative error, 2^-28.3 and 2^-27.9; in f64 through Chebyshev's points, within 2^-56.
_I0_NEAR_F32 = _Fit(1.0350096225738525, -1.4775641155040375e-08, (
    2.629861e-01, 2.0560551e-02, -6.715746e-02, 8.0551565e-02, -7.5393274e-02, 5.6429073e-02,
    -3.1008424e-02, 6.2603937e-03, 1.3922813e-02, -2.284573e-02, 1.791687e-02, -1.5323595e-02,
    2.0424617e-02, -1.3534618e-02, -2.3779766e-04, 2.7371908e-04, 3.9895796e-03, -1.937949e-03,
))  # fmt: skip
_I1_NEAR_F32 = _Fit(0.4021894037723541, -1.3413201216394555e-08, (
    -1.3866534e-02, 5.7776943e-02, -4.4149023e-02, 2.4352135e-02, -6.251487e-03, -6.2846597e-03,
    1.2003643e-02, -1.1854875e-02, 9.117774e-03, -6.7818663e-03, 3.590216e-03, 4.7770032e-04,
    -8.786774e-04, -1.1213515e-03, 4.9243914e-04, 8.4422773e-04, -4.6070493e-04,
))  # fmt: skip
_I0_NEAR_F64 = _Fit(1.0350096061199334, 6.650130442723785e-17, (
    0.2629860504649194, 0.02056083515493446, -0.06715469264399855, 0.0805433154344833,
    -0.0754432398785333, 0.05652260587393045, -0.030605074460995783, 0.005720377588142825,
    0.012178380846173533, -0.021054237307950342, 0.02229837435923122, -0.018930231629401186,
    0.013878313553743651, -0.009083957269260437, 0.00540906769472279, -0.0029660000729055005,
    0.0015107599776275878, -0.0007195196685218893, 0.00032206351652477915,
    -0.00013611620232324882, 5.4568163765785285e-05, -2.0758960604871533e-05,
    7.462017059405664e-06, -2.5916036941170442e-06, 9.082253848899486e-07,
    -2.8607040501727366e-07, 6.426323919794462e-08, -1.9789593788096067e-08,
    1.2256961790245338e-08, -3.2409377241287897e-09,
))  # fmt: skip
_I1_NEAR_F64 = _Fit(0.4021893888804795, -1.7859839586921458e-17, (
    -0.013866523759690656, 0.05777718233204439, -0.044149609056954545, 0.02434575858879218,
    -0.006241933305918261, -0.006219702279297117, 0.011932514868552147, -0.012183823140717285,
    0.009404998087963, -0.00585598383536649, 0.00291119907259382, -0.0010271030859331203,
    8.100255557072572e-05, 0.00025716263222736607, -0.0002919213869147922, 0.00021973948135139144,
    -0.00013649120147061334, 7.467936288286625e-05, -3.707028214542447e-05,
    1.6984631685242334e-05, -7.268851442959513e-06, 2.916547997329014e-06,
    -1.0940722508241605e-06, 3.9508237506526145e-07, -1.4432895995587216e-07,
    4.668719108013304e-08, -1.0399416075232348e-08, 3.301529958810829e-09,
    -2.1696746782750122e-09, 5.825985625004548e-10,
))  # fmt: skip
# √x·exp(−x)·I₀(x) and √x·exp(−x)·I₁(x) for x ≥ 8: in f32 in 1/x, minimax, 2^-29.5 and 2^-29.3; in
# f64 in 16/x − 1, through Chebyshev's points, within 2^-56.6.
_I0_FAR_F32 = _Fit(0.3989422917366028, -1.0842660103094204e-08, (
    4.9867418e-02, 2.8094944e-02, 2.7246809e-02, 8.5187554e-02, -3.060685e-01, 1.828866e+00,
))  # fmt: skip
_I1_FAR_F32 = _Fit(0.3989422917366028, -1.1911382102880452e-08, (
    -1.4960293e-01, -4.6801526e-02, -3.8668603e-02, -1.0327183e-01, 3.3674994e-01, -2.0739024e+00,
))  # fmt: skip
_I0_FAR_F64 = _Fit(0.4021765094450081, -2.5469137991304108e-17, (
    0.003360551983667854, 0.00013621607439232746, 1.1143033791556743e-05, 1.4838475473607391e-06,
    2.973598432479169e-07, 8.87225351128584e-08, 3.932602459703109e-08, 2.1545177650836005e-08,
    7.553516470355896e-09, -6.729724111923548e-09, -1.3404241991980871e-08, -5.4685974495866e-09,
    7.540601378890834e-09, 7.58022133915272e-09, -3.4857887470034955e-09, -6.188265090497361e-09,
    1.497880830187091e-09, 3.881151253996067e-09, -5.562201990080394e-10, -1.7789375042917173e-09,
    1.4672236659214398e-10, 5.181936971288284e-10, -1.9216763724933513e-11, -7.06893851181878e-11,
))  # fmt: skip
_I1_FAR_F64 = _Fit(0.38939845902587233, -4.422269466329674e-18, (
    -0.009749577193235728, -0.00021923576383430274, -1.5038547201176271e-05,
    -1.8349101134666435e-06, -3.483855609009937e-07, -1.0001323461066435e-07,
    -4.312935369971356e-08, -2.337059627111857e-08, -8.426622829598154e-09, 6.715795128085017e-09,
    1.4029693589852716e-08, 6.040877342160988e-09, -7.630751970065577e-09, -8.044231276166508e-09,
    3.406636130196794e-09, 6.4870195719816896e-09, -1.4171698018664596e-09,
    -4.047785403711858e-09, 5.146498826087142e-10, 1.8513716745511988e-09, -1.342266320082222e-10,
    -5.388285995923524e-10, 1.7502497778701306e-11, 7.347992441734663e-11,
))  # fmt: skip


@routine
def bessel_i0e(x: Value) -> Value:
    """exp(−|x|)·I₀(x) within 2 ulp."""
    near, far = (_I0_NEAR_F32, _I0_FAR_F32) if is_single(x) else (_I0_NEAR_F64, _I0_FAR_F64)
    result = _scaled(abs(x), near, far, order=0)
    return select(abs(x) > 0.0, result, select(x == 0.0, 1.0, x))


@routine
def bessel_i1e(x: Value) -> Value:
    """exp(−|x|)·I₁(x) within 2 ulp."""
    near, far = (_I1_NEAR_F32, _I1_FAR_F32) if is_single(x) else (_I1_NEAR_F64, _I1_FAR_F64)
    result = _scaled(abs(x), near, far, order=1)
    return select(x == x, copysign(result, x), x)


def _scaled(size: Value, near: _Fit, far: _Fit, order: int) -> Value:
    """Both formulas as (factor + rest)·(head + low), and of these parts the ones that hold."""
    outer = size > 8.0
    inner = select(size < 8.0, size, 8.0)
    # Exact above 1, too.
    total, total_low = fast_two_sum(1.0, inner * 0.5 if order else inner)
    below = select(outer, size, total)
    # Scaled, for the reciprocal of the largest numbers is denormal; unit is a power of 4.
    unit = by_type(size, 2.0**24, 2.0**52)
    inverse = unit / below
    # What both lost when they were rounded, relative, times unit; the inverse of ∞ remains 0.
    finite = select(below < _largest(size), below, _largest(size))
    lost = fma(-inverse, select(outer, 0.0, total_low), fma(-inverse, finite, unit))
    root = sqrt(inverse)
    root_lost = fma(fma(-root, root, inverse), finite, lost) * 0.5
    quotient = inverse * (1.0 / unit)
    factor, factor_low, factor_lost = quotient, quotient.like(0.0), lost
    if order:
        factor, factor_low = two_product(inner, quotient)
        factor, rest = two_product(factor, quotient)
        factor_low, factor_lost = fma(factor_low, quotient, rest), lost + lost
    at = quotient if is_single(size) else fma(quotient, 16.0, -1.0)
    head = select(outer, size.like(far.head), near.head)
    low = select(outer, far.above_head(at), near.above_head(fma(inner, 0.25, -1.0)))
    low = fma(select(outer, root_lost, factor_lost) * (1.0 / unit), head, low)
    factor = select(outer, root * by_type(size, 2.0**-12, 2.0**-26), factor)
    return fma(factor, head, fma(select(outer, 0.0, factor_low), head, factor * low))


def _largest(x: Value) -> float:
    return by_type(x, 2.0**128 - 2.0**104, 2.0**1023 * (2.0 - 2.0**-52))
