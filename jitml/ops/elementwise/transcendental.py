"""Exponentials, logarithms, powers, roots; functions of angles, their hyperbolic kin and inverses.

Sources of derivatives: DLMF 4.20, 4.38 (inverse functions).
"""

from __future__ import annotations

import math

import numpy as np

from jitml.ops.elementwise.arithmetic import add, div, mul, neg, sub
from jitml.ops.elementwise.comparison import eq
from jitml.ops.elementwise.selection import select
from jitml.ops.kinds import Row, Traced, full_like, zeros_like

_INEXACT, _FLOAT = "fc", "f"

# ---- exponentials, powers --------------------------------------------------------------------

exp: Row = Row("exp", np.exp, _INEXACT, (lambda t, y, x: mul(t, y),))
exp2: Row = Row("exp2", np.exp2, _FLOAT, (lambda t, y, x: mul(t, mul(y, math.log(2))),))
expm1: Row = Row("expm1", np.expm1, _INEXACT, (lambda t, y, x: mul(t, add(y, 1)),))
log: Row = Row("log", np.log, _INEXACT, (lambda t, y, x: div(t, x),))
log1p: Row = Row("log1p", np.log1p, _INEXACT, (lambda t, y, x: div(t, add(x, 1)),))
sqrt: Row = Row("sqrt", np.sqrt, _INEXACT, (lambda t, y, x: div(t, mul(y, 2)),))
rsqrt: Row = Row(
    "rsqrt", lambda x: 1 / np.sqrt(x), _INEXACT,
    (lambda t, y, x: mul(t, mul(-0.5, div(y, x))),),
)  # fmt: skip
cbrt: Row = Row("cbrt", np.cbrt, _FLOAT, (lambda t, y, x: div(t, mul(mul(y, y), 3)),))
logistic: Row = Row(
    "logistic", lambda x: 1 / (1 + np.exp(-x)), _INEXACT,
    (lambda t, y, x: mul(t, mul(y, sub(1, y))),),
)  # fmt: skip


def _pow_slope(t: Traced, y: Traced, x: Traced, p: Traced) -> Traced:
    """t · p · x^(p−1), which is 0 where p is 0 even at x = 0."""
    slope = mul(p, pow(x, select(eq(p, 0), full_like(p, 1), sub(p, 1))))
    return mul(t, slope)


def _pow_log_slope(t: Traced, y: Traced, x: Traced, p: Traced) -> Traced:
    """t · x^p · log x, which is 0 at x = 0 (where x^p vanishes faster)."""
    zero = eq(x, 0)
    return mul(t, select(zero, zeros_like(y), mul(y, log(select(zero, full_like(x, 1), x)))))


pow: Row = Row("pow", np.power, _INEXACT, (_pow_slope, _pow_log_slope))

# ---- trigonometry ----------------------------------------------------------------------------

sin: Row = Row("sin", np.sin, _INEXACT, (lambda t, y, x: mul(t, cos(x)),))
cos: Row = Row("cos", np.cos, _INEXACT, (lambda t, y, x: neg(mul(t, sin(x))),))
tan: Row = Row("tan", np.tan, _INEXACT, (lambda t, y, x: mul(t, add(mul(y, y), 1)),))
asin: Row = Row("asin", np.arcsin, _INEXACT, (lambda t, y, x: div(t, sqrt(sub(1, mul(x, x)))),))
acos: Row = Row(
    "acos", np.arccos, _INEXACT, (lambda t, y, x: neg(div(t, sqrt(sub(1, mul(x, x))))),)
)
atan: Row = Row("atan", np.arctan, _INEXACT, (lambda t, y, x: div(t, add(mul(x, x), 1)),))
atan2: Row = Row(
    "atan2", np.arctan2, _FLOAT,
    (
        lambda t, z, y, x: mul(t, div(x, add(mul(x, x), mul(y, y)))),
        lambda t, z, y, x: neg(mul(t, div(y, add(mul(x, x), mul(y, y))))),
    ),
)  # fmt: skip
sinh: Row = Row("sinh", np.sinh, _INEXACT, (lambda t, y, x: mul(t, cosh(x)),))
cosh: Row = Row("cosh", np.cosh, _INEXACT, (lambda t, y, x: mul(t, sinh(x)),))
tanh: Row = Row("tanh", np.tanh, _INEXACT, (lambda t, y, x: mul(t, sub(1, mul(y, y))),))
asinh: Row = Row("asinh", np.arcsinh, _INEXACT, (lambda t, y, x: div(t, sqrt(add(mul(x, x), 1))),))
acosh: Row = Row(
    "acosh", np.arccosh, _INEXACT,
    (lambda t, y, x: div(t, mul(sqrt(sub(x, 1)), sqrt(add(x, 1)))),),
)  # fmt: skip
atanh: Row = Row("atanh", np.arctanh, _INEXACT, (lambda t, y, x: div(t, sub(1, mul(x, x))),))
