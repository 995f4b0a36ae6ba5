"""Error functions. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

import math
from typing import NamedTuple

from jitml.scalar.arithmetic import (
    Pair,
    by_type,
    fast_two_sum,
    flip_sign,
    is_single,
    polynomial,
    sign_bit,
    two_product,
)
from jitml.scalar.exponential import reduced_exp
from jitml.scalar.value import Value, fma, routine, scale, select

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
# erf(x)/x − 1 as a polynomial in x², minimax for the relative error on |x| ≤ 1.25: 2^-29.5 and
# 2^-59.9.
_ERF_F32 = (
    1.2837917e-01, -3.761263e-01, 1.12836584e-01, -2.68595e-02, 5.2074986e-03, -8.3241425e-04,
    1.0317171e-04, -7.42447e-06,
)  # fmt: skip
_ERF_F64 = (
    0.1283791670955126, -0.37612638903183726, 0.11283791670954092, -0.026866170644964424,
    0.005223977624032816, -0.0008548326951906546, 0.00012055330621484857, -1.4925597319889057e-05,
    1.6461280286306586e-06, -1.6356552036873496e-07, 1.4733923865337424e-08,
    -1.18881237372237e-09, 7.936805515995936e-11, -3.2618586963846077e-12,
)  # fmt: skip
# The eighth root of erfc(x), in x for f32 and in x − 3 for f64, minimax for the absolute error of
# erf on [1.09, 3.95] and [1.23, 5.95]: 2^-28.7 and 2^-58.3.
_ERFC_ROOT_F32 = (
    1.0005499e+00, -1.4368053e-01, -6.42175e-02, -8.318921e-03, 1.0972212e-02, -1.7395813e-03,
    2.212887e-06, 1.2458425e-05,
)  # fmt: skip
_ERFC_ROOT_F64 = (
    0.2618337862286529, -0.20631696198057847, 0.04995093773430688, 0.003098036425891088,
    -0.0034115553124958536, 0.00032560826994327283, 0.00010421865070302331,
    -2.3491889708516007e-05, -8.680148190119848e-07, 6.988613571025735e-07,
    -2.9804047669239956e-08, -1.3532175225063815e-08, 1.3618428854111965e-09,
    2.1421585594371426e-10, -3.6719023211444065e-11, -7.063541118444684e-13,
    -2.635653840291644e-13, -1.4169332039431964e-13,
)  # fmt: skip
# (1 + 2x)·exp(x²)·erfc(x) as a polynomial in (x − c)/(x + c) (Shepherd and Laframboise, 1981),
# minimax for the relative error: c = 3 on [0, 10.1], 2^-28.7, and c = 4 on [0, 27.3], 2^-59.5. The
# constant term comes first, in two parts.
_ERFCX_LEAD_F32 = (1.2530080080032349, 5.1165052639134956e-08)
_ERFCX_F32 = (
    -1.3562115e-01, -4.75624e-02, 1.296466e-01, -1.192709e-01, 6.829435e-02, -2.3798456e-02,
    2.5710166e-03, 2.004974e-03, -7.7979564e-04, -2.702577e-04,
)  # fmt: skip
_ERFCX_LEAD_F64 = (1.2329951186255526, -4.526627188050956e-17)
_ERFCX_F64 = (
    -0.13962111684056253, 0.015379652102619693, 0.06809705425469477, -0.10103906603630163,
    0.09373283499826647, -0.06633036581227696, 0.03716751553891099, -0.0161977340571106,
    0.0050319699647752335, -0.0007577732936765123, -0.00019925662156222625,
    0.00015062170334500638, -2.4399466421309654e-05, -1.1222142160992083e-05,
    5.710270636444561e-06, 2.9412624570746864e-07, -8.260900641966066e-07, 7.40875517143571e-08,
    1.1043725223896786e-07, -1.7409513671050158e-08, -1.409814622219027e-08,
    1.6430719974816898e-09, 1.1895666067436983e-09,
)  # fmt: skip


def erf_tail(x: Value) -> Value:
    """erf(x) − x for |x| ≤ 1."""
    return x * polynomial(x * x, _ERF_F32 if is_single(x) else _ERF_F64)


class _Far(NamedTuple):
    """exp(−x²) = (1 + gauss)·2ⁿ, and erfc(x)/exp(−x²) = ratio + ratio_low."""

    n: Value
    gauss: Value
    ratio: Value
    ratio_low: Value

    def product(self) -> Value:
        """erfc(x)/2ⁿ."""
        low = fma(self.ratio_low, self.gauss, self.ratio_low)
        return self.ratio + fma(self.ratio, self.gauss, low)


def erfc_parts(size: Value, rest: Value | None = None) -> _Far:
    """The two factors of erfc(x + rest) for x ≥ 0 and a tiny rest."""
    limit = by_type(size, 10.1, 27.3)
    beyond = size > limit
    size = select(beyond, limit, size)
    square, square_rest = two_product(size, size)
    ratio, ratio_low = scaled_erfcx(size)
    if rest is not None:
        rest = select(beyond, 0.0, rest)
        twice = size + size
        square_rest = fma(twice, rest, square_rest)
        ratio_low = fma(rest, fma(twice, ratio, -_TWO_OVER_ROOT_PI), ratio_low)
    return _Far(*reduced_exp(-square, -square_rest), ratio, ratio_low)


def scaled_erfcx(x: Value) -> Pair:
    """exp(x²)·erfc(x) for x ≥ 0 as a pair."""
    below = fma(x, 2.0, 1.0)
    below_low = fma(x, 2.0, 1.0 - below)
    centre = by_type(x, 3.0, 4.0)
    above = x + centre
    inverse = 1.0 / (above * below)
    half = x * (below * inverse)
    q = fma(half, 2.0, -1.0)
    slope = polynomial(q, _ERFCX_F32 if is_single(x) else _ERFCX_F64)
    # What was lost when q was rounded counts near −1; there the polynomial has this slope.
    slope = fma(fma(half, 2.0, -1.0 - q), centre * (1.0 / math.sqrt(math.pi) - 1.0), slope)
    lead, lead_low = _ERFCX_LEAD_F32 if is_single(x) else _ERFCX_LEAD_F64
    rest = fma(q, slope, lead_low)
    scaled, scaled_low = fast_two_sum(lead, rest)
    inverse = above * inverse
    ratio = scaled * inverse
    residue = fma(-ratio, below_low, fma(-ratio, below, scaled) + scaled_low)
    return ratio, residue * inverse


@routine
def erf(x: Value) -> Value:
    """Error function within 2 ulp, exactly ±1 at large |x|."""
    size = abs(x)
    near = size + erf_tail(size)
    limit = by_type(x, 3.95, 5.95)
    limited = select(size > limit, limit, size)
    if is_single(x):
        root = fma(limited, polynomial(limited, _ERFC_ROOT_F32[1:]), _ERFC_ROOT_F32[0])
    else:
        root = polynomial(limited - 3.0, _ERFC_ROOT_F64)
    root = root * root
    root = root * root
    far = fma(-root, root, 1.0)
    return flip_sign(select(size > by_type(x, 1.2, 1.24), far, near), sign_bit(x))


@routine
def erfc(x: Value) -> Value:
    """1 − erf(x) within 2 ulp, down to where it becomes denormal."""
    return erfc_of(x, None)


def erfc_of(x: Value, rest: Value | None) -> Value:
    """erfc(x + rest) for a tiny rest."""
    parts = erfc_parts(abs(x), None if rest is None else flip_sign(rest, sign_bit(x)))
    far = scale(parts.product(), parts.n)
    return select(x < 0.0, 2.0 - far, far)
