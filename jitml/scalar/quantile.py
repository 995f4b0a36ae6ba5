"""The inverses of the error function and of the integral of the normal density.

f32 or f64 in, the same type out. Near the middle both are polynomials in the logarithm of 1 − x²
(Giles, 2010); the tails, which few numbers lie in, have a path of their own.
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import (
    Pair,
    by_type,
    flip_sign,
    is_single,
    over_root_two,
    polynomial,
    rarely,
    sign_bit,
)
from jitml.scalar.logarithm import log
from jitml.scalar.value import Value, fma, routine, select, sqrt

# erf_inv(x)/x in w − 1.25 for w = −log(1 − x²) ≤ 6.25, minimax for the relative error: 2^-27.9 and
# 2^-57.8. The constant term comes first, in two parts; then the same times √2.
_LEAD_F32 = (1.1895616054534912, -2.531231224622843e-08)
_LEAD_F64 = (1.1895615771387744, -4.773100367165362e-17)
_NORMAL_LEAD_F32 = (1.6822941303253174, -1.0411692841216791e-08)
_NORMAL_LEAD_F64 = (1.6822941156675835, -6.28307853053092e-17)
_NEAR_F32 = (
    2.4951965e-01, 2.51165e-03, -2.2538332e-03, 1.43678e-04, 3.119136e-05, -5.12453e-06,
    -2.9630243e-07, 1.4700836e-07, -1.4016602e-08, 2.7365812e-10, 1.9450108e-11,
)  # fmt: skip
_NEAR_F64 = (
    0.2495196333255072, 0.002511685220025215, -0.0022537786154288334, 0.00014359068278442776,
    3.115589700794244e-05, -5.045205662941717e-06, -3.1259913504686757e-07,
    1.275697631909342e-07, -1.2438439024103831e-09, -2.7212550519229636e-09,
    1.9432276205220628e-10, 4.893896186829121e-11, -7.330984800540159e-12,
    -6.642973999224615e-13, 2.0508920945030823e-13, 3.831080031836193e-15,
    -5.063141498237326e-15, 7.450342836120045e-17, 2.120764346475635e-16,
    -4.914448606087651e-17, 5.837174203314396e-18, -4.135466057183208e-19,
    1.6726548798479886e-20, -3.0015606455239404e-22,
)  # fmt: skip
# −Φ⁻¹(p) − r for r = √(−2·log p) ≥ 3.89, minimax for the relative error of Φ⁻¹: in (r − 4)/(r + 4)
# up to r = 14.45, 2^-28.5, and in (r − 9)/(r + 9) up to 38.7, 2^-58.8.
_FAR_F32 = (
    -5.9880733e-01, 7.471697e-01, -3.427066e-01, 2.6098612e-01, -1.7148738e-01, 1.4318927e-01,
    -9.500172e-02, 4.6230145e-02,
)  # fmt: skip
_FAR_F64 = (
    -0.35007910754943256, 0.4876065479578611, -0.2857842896458542, 0.23205083705485433,
    -0.17652987862564445, 0.14937840228558166, -0.12131011490696889, 0.10534723334242913,
    -0.08892254385126375, 0.07913905248918214, -0.06891163472551226, 0.06268620756137747,
    -0.05592538649759827, 0.05171967791349819, -0.04699574925731891, 0.04399685559670469,
    -0.04011266695261462, 0.03745599070047915, -0.03654323551312155, 0.0374549322375562,
    -0.029323589142320142, 0.01597968400532871, -0.023263136540235263, 0.051263798817625675,
    -0.05193174686297536, 0.019961508962301845,
)  # fmt: skip
# Probabilities below this one are far: −log(4p(1 − p)) passes 6.2.
_FAR_TAIL = 0.0005


@routine
def erf_inv(x: Value) -> Value:
    """Inverse of erf within 2 ulp; ±∞ at ±1, NaN beyond."""
    size = abs(x)
    at, slope = _near(fma(-size, size, 1.0))
    lead, lead_low = _LEAD_F32 if is_single(x) else _LEAD_F64
    rest = fma(at, slope, lead_low)
    near = fma(size, lead, size * rest)
    (result,) = rarely(size > 1.0 - 2.0 * _FAR_TAIL, _erf_inv_far, (size,), (near,))
    return flip_sign(result, sign_bit(x))


def _near(complement: Value) -> Pair:
    """w − 1.25 for w = −log(1 − x²), and the slope with which erf_inv(x)/x comes from there."""
    at = -1.25 - log(complement)
    first, *others = _NEAR_F32 if is_single(at) else _NEAR_F64
    return at, fma(at, polynomial(at, others), first)


def _erf_inv_far(size: Value) -> tuple[Value]:
    """erf_inv near and beyond 1."""
    root, beyond = _quantile_far((1.0 - size) * 0.5)
    at, rest = over_root_two(root)
    far = fma(beyond, math.sqrt(0.5), rest) + at
    return (select(size < 1.0, far, select(size == 1.0, size.like(math.inf), math.nan)),)


@routine
def ndtri(p: Value) -> Value:
    """The inverse of Φ within 2 ulp; −∞ at 0, ∞ at 1, NaN beyond."""
    lower = p < 0.5
    tail = select(lower, p, 1.0 - p)
    # Φ⁻¹(p) = √2·erf_inv(e) for e = 1 − 2·tail.
    twice = tail + tail
    at, slope = _near(fma(-twice, twice, twice + twice))
    e = 1.0 - twice
    e_low = (1.0 - e) - twice
    lead, lead_low = _NORMAL_LEAD_F32 if is_single(p) else _NORMAL_LEAD_F64
    rest = fma(at * math.sqrt(2.0), slope, lead_low)
    near = fma(e, lead, fma(e, rest, e_low * (rest + lead)))
    (size,) = rarely(tail < _FAR_TAIL, _ndtri_far, (tail,), (near,))
    return select(lower, -size, size)


def _ndtri_far(tail: Value) -> tuple[Value]:
    """−Φ⁻¹(tail) for small ones; also for what is no probability."""
    root, beyond = _quantile_far(tail)
    return (select(tail > 0.0, root + beyond, select(tail == 0.0, tail.like(math.inf), math.nan)),)


def _quantile_far(tail: Value) -> Pair:
    """−Φ⁻¹(tail) for 0 < tail ≤ 0.0005 as √(−2·log tail) and what it lacks."""
    square = log(tail) * -2.0
    root = sqrt(square)
    centre = by_type(tail, 4.0, 9.0)
    q = (root - centre) / (root + centre)
    beyond = polynomial(q, _FAR_F32 if is_single(tail) else _FAR_F64)
    # What the root lost when it was rounded.
    return root, fma(-root, root, square) / (root + root) + beyond
