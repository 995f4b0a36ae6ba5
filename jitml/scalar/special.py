"""Error functions and their inverse. f32 or f64 in, the same type and lanes out."""

from __future__ import annotations

from jitml.scalar.arithmetic import (
    by_type,
    flip_sign,
    is_single,
    polynomial,
    sign_bit,
    two_product,
)
from jitml.scalar.exponential import exp_of_pair
from jitml.scalar.value import Value, fma, select

# erf(x)/x − 1 as a polynomial in x², minimax for the relative error on |x| ≤ 1.25
# and |x| ≤ 1: 2^-29.5 and 2^-56.3.
_ERF_F32 = (
    1.2837917e-01, -3.761263e-01, 1.12836584e-01, -2.68595e-02, 5.2074986e-03, -8.3241425e-04,
    1.0317171e-04, -7.42447e-06,
)  # fmt: skip
_ERF_F64 = (
    0.1283791670955126, -0.376126389031841, 0.11283791670971094, -0.026866170648029368,
    0.005223977652665674, -0.0008548328533723898, 0.00012055386099345819, -1.4926878786051562e-05,
    1.6481009556673873e-06, -1.655654315886866e-07, 1.6008880913901314e-08,
    -1.644647216838573e-09, 1.4310322259725575e-10,
)  # fmt: skip
# The eighth root of erfc(x), minimax for the absolute error of erf on [1.25, 3.95]: 2^-28.6.
_ERFC_ROOT_F32 = (
    1.0014968e00, -1.4741944e-01, -5.7980847e-02, -1.4012087e-02, 1.4042116e-02, -2.7168903e-03,
    1.7220987e-04,
)  # fmt: skip
# (1 + 2x)·exp(x²)·erfc(x) as a polynomial in (x − 4)/(x + 4) (Shepherd and Laframboise, 1981),
# minimax for
# the relative error on [1/2, 10.1] (2^-25.1) and [1/2, 27.3].
_ERFCX_F32 = (
    1.2329952e00, -1.3962106e-01, 1.5376412e-02, 6.809382e-02, -1.0099214e-01, 9.379582e-02,
    -6.651617e-02, 3.6783982e-02, -1.6214265e-02, 5.6319507e-03,
)  # fmt: skip
_ERFCX_F64 = (
    1.2329951186255526, -0.13962111684056253, 0.01537965210260119, 0.06809705425469922,
    -0.10103906603506069, 0.09373283499769582, -0.06633036584428137, 0.03716751556025025,
    -0.01619773364554047, 0.005031969606785212, -0.0007577762286572234, -0.0001992534490326102,
    0.00015063360753791834, -2.4415284715441526e-05, -1.1247913218949589e-05, 5.754383710516549e-06,
    3.15103117789958e-07, -8.881132368963683e-07, 8.948167187688491e-08, 1.376957971494997e-07,
    -4.487753215247883e-08,
)  # fmt: skip


def _erf_near_zero(x: Value) -> tuple[Value, Value]:
    """erf(x) = x + tail for |x| ≤ 1: the tail, and x² for reuse."""
    z = x * x
    return x * polynomial(z, _ERF_F32 if is_single(x) else _ERF_F64), z


def _erfc_far(size: Value) -> Value:
    """erfc(x) for x ≥ 1/2, as exp(−x²)·R(x)."""
    size = select(size > by_type(size, 10.1, 27.3), by_type(size, 10.1, 27.3), size)
    square, square_rest = two_product(size, size)
    below = 1.0 / (size + 4.0)
    q = (size - 4.0) * below
    q = fma(fma(-q, size + 4.0, size - 4.0), below, q)
    scaled = polynomial(q, _ERFCX_F32 if is_single(size) else _ERFCX_F64)
    return exp_of_pair(-square, -square_rest) * (scaled / fma(size, 2.0, 1.0))


def erf(x: Value) -> Value:
    """Error function within 2 ulp, exactly ±1 at large |x|."""
    size = abs(x)
    near = size + _erf_near_zero(size)[0]
    if is_single(x):
        root = polynomial(select(size > 3.95, 3.95, size), _ERFC_ROOT_F32)
        root = root * root
        root = root * root
        far = fma(-root, root, 1.0)
    else:
        far = 1.0 - _erfc_far(size)
    return flip_sign(select(size > by_type(x, 1.25, 1.0), far, near), sign_bit(x))
