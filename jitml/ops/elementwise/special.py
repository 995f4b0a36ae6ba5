"""Error functions, the logarithm of gamma and its derivative, modified Bessel functions.

Sources of derivatives: DLMF 7.1 (error function), 5.2 (digamma), 10.29 (Bessel functions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ops.elementwise.arithmetic import add, div, integer_pow, mul, neg, sub
from jitml.ops.elementwise.comparison import lt
from jitml.ops.elementwise.parts import abs_, sign
from jitml.ops.elementwise.rounding import floor
from jitml.ops.elementwise.selection import select
from jitml.ops.elementwise.transcendental import exp, sin
from jitml.ops.kinds import Row, Traced, full_like, zeros_like

_FLOAT = "f"


def _special(name: str) -> Callable[..., Any]:
    """A function of scipy.special as the NumPy meaning, imported when a test asks for it."""

    def value(*arrays: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*arrays)

    return value


def _digamma_value(x: Any) -> Any:
    """Reflected below zero (DLMF 5.5.4), where SciPy's own is inexact beside the poles."""
    low = np.where(x < 0, x, 0.5)
    reflected = _special("psi")(1 - low) - np.pi / np.tan(np.pi * (low - np.round(low)))
    return np.where(x < 0, reflected, _special("psi")(x)).astype(x.dtype)


_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
erf: Row = Row(
    "erf", _special("erf"), _FLOAT,
    (lambda t, y, x: mul(t, mul(_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erfc: Row = Row(
    "erfc", _special("erfc"), _FLOAT,
    (lambda t, y, x: mul(t, mul(-_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erf_inv: Row = Row(
    "erf_inv", _special("erfinv"), _FLOAT,
    (lambda t, y, x: mul(t, mul(1 / _TWO_OVER_SQRT_PI, exp(mul(y, y)))),),
)  # fmt: skip
lgamma: Row = Row("lgamma", _special("gammaln"), _FLOAT, (lambda t, y, x: mul(t, digamma(x)),))
digamma: Row = Row(
    "digamma", _digamma_value, _FLOAT, (lambda t, y, x: mul(t, _trigamma(x)),)
)  # fmt: skip

bessel_i0e: Row = Row(
    "bessel_i0e", _special("i0e"), _FLOAT,
    (lambda t, y, x: mul(t, sub(bessel_i1e(x), mul(sign(x), y))),),
)  # fmt: skip
bessel_i1e: Row = Row(
    "bessel_i1e", _special("i1e"), _FLOAT, (lambda t, y, x: mul(t, _slope_of_i1e(y, x)),)
)  # fmt: skip


def _slope_of_i1e(y: Traced, x: Traced) -> Traced:
    """exp(−|x|)·I₁'(x) − sign(x)·y, which is 1/2 at 0 (DLMF 10.29.2)."""
    near = lt(abs_(x), 1e-30)
    safe = select(near, full_like(x, 1), x)
    ratio = select(near, full_like(x, 0.5), div(y, safe))
    return sub(sub(bessel_i0e(x), ratio), mul(sign(x), y))


# B_2, B_4, … B_14 (DLMF 24.2)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _trigamma(x: Traced) -> Traced:
    """The derivative of digamma, stated in other ops so that it has derivatives of its own.

    Source: reflection DLMF 5.15.6, recurrence 5.15.5, asymptotic series 5.15.8 from x = 10 on.
    """
    is_low = lt(x, 0.5)
    shifted = select(is_low, sub(1, x), x)
    total = zeros_like(x)
    for k in range(10):
        total = add(total, integer_pow(add(shifted, k), -2))
    inverse = div(1, add(shifted, 10))
    square = mul(inverse, inverse)
    series = zeros_like(x)
    for number in reversed(_BERNOULLI):
        series = add(mul(series, square), number)
    tail = mul(inverse, add(1, add(mul(inverse, 0.5), mul(square, series))))
    total = add(total, tail)
    low = select(is_low, x, full_like(x, 0.5))
    # Less the nearest integer, which is exact, so that the poles are where they belong.
    sine = sin(mul(sub(low, floor(add(low, 0.5))), math.pi))
    return select(is_low, sub(div(math.pi**2, mul(sine, sine)), total), total)
