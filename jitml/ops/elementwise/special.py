"""Error functions and their kin, the normal distribution, exponential integrals, Bessel functions.

Sources of derivatives: DLMF 6.2, 7.1 to 7.10, 10.29, 25.12.
"""

from __future__ import annotations

import math

from jitml.ops.elementwise.arithmetic import add, div, mul, neg, sub
from jitml.ops.elementwise.comparison import eq, lt
from jitml.ops.elementwise.gamma import no_slope_by_order
from jitml.ops.elementwise.parts import abs_, sign
from jitml.ops.elementwise.selection import select
from jitml.ops.elementwise.transcendental import cos, exp, log, log1p, sin
from jitml.ops.kinds import Row, Traced, full_like
from jitml.ops.scipy_values import scipy_special

_FLOAT = "f"


_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
erf: Row = Row(
    "erf", scipy_special("erf"), _FLOAT,
    (lambda t, y, x: mul(t, mul(_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erfc: Row = Row(
    "erfc", scipy_special("erfc"), _FLOAT,
    (lambda t, y, x: mul(t, mul(-_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erf_inv: Row = Row(
    "erf_inv", scipy_special("erfinv"), _FLOAT,
    (lambda t, y, x: mul(t, mul(1 / _TWO_OVER_SQRT_PI, exp(mul(y, y)))),),
)  # fmt: skip
bessel_i0e: Row = Row(
    "bessel_i0e", scipy_special("i0e"), _FLOAT,
    (lambda t, y, x: mul(t, sub(bessel_i1e(x), mul(sign(x), y))),),
)  # fmt: skip
bessel_i1e: Row = Row(
    "bessel_i1e", scipy_special("i1e"), _FLOAT, (lambda t, y, x: mul(t, _slope_of_i1e(y, x)),)
)  # fmt: skip


def _slope_of_i1e(y: Traced, x: Traced) -> Traced:
    """exp(−|x|)·I₁'(x) − sign(x)·y, which is 1/2 at 0 (DLMF 10.29.2)."""
    near = lt(abs_(x), 1e-30)
    safe = select(near, full_like(x, 1), x)
    ratio = select(near, full_like(x, 0.5), div(y, safe))
    return sub(sub(bessel_i0e(x), ratio), mul(sign(x), y))


# ---- kin of the error functions -------------------------------------------------------------

erfcx: Row = Row(
    "erfcx", scipy_special("erfcx"), _FLOAT,
    (lambda t, y, x: mul(t, sub(mul(mul(x, y), 2), _TWO_OVER_SQRT_PI)),),
)  # fmt: skip
dawsn: Row = Row(
    "dawsn", scipy_special("dawsn"), _FLOAT,
    (lambda t, y, x: mul(t, sub(1, mul(mul(x, y), 2))),),
)  # fmt: skip
wofz: Row = Row(
    "wofz", scipy_special("wofz"), "c",
    (lambda t, y, z: mul(t, sub(_TWO_OVER_SQRT_PI * 1j, mul(mul(z, y), 2))),),
)  # fmt: skip


def _right_angle(x: Traced) -> Traced:
    return mul(mul(x, x), math.pi / 2)


fresnel_sine: Row = Row(
    "fresnel_sine", lambda x: scipy_special("fresnel")(x)[0], _FLOAT,
    (lambda t, y, x: mul(t, sin(_right_angle(x))),),
)  # fmt: skip
fresnel_cosine: Row = Row(
    "fresnel_cosine", lambda x: scipy_special("fresnel")(x)[1], _FLOAT,
    (lambda t, y, x: mul(t, cos(_right_angle(x))),),
)  # fmt: skip

# ---- the normal distribution ----------------------------------------------------------------

_ROOT_HALF_PI = math.sqrt(math.pi / 2)
_ROOT_HALF = math.sqrt(0.5)


def _gauss(x: Traced) -> Traced:
    return exp(mul(mul(x, x), -0.5))


ndtr: Row = Row(
    "ndtr", scipy_special("ndtr"), _FLOAT,
    (lambda t, y, x: mul(t, mul(_gauss(x), 0.5 / _ROOT_HALF_PI)),),
)  # fmt: skip
log_ndtr: Row = Row(
    "log_ndtr", scipy_special("log_ndtr"), _FLOAT,
    (lambda t, y, x: mul(t, div(1 / _ROOT_HALF_PI, erfcx(mul(x, -_ROOT_HALF)))),),
)  # fmt: skip
ndtri: Row = Row(
    "ndtri", scipy_special("ndtri"), _FLOAT,
    (lambda t, y, p: mul(t, mul(exp(mul(mul(y, y), 0.5)), 2 * _ROOT_HALF_PI)),),
)  # fmt: skip
logit: Row = Row(
    "logit", scipy_special("logit"), _FLOAT, (lambda t, y, x: div(t, mul(x, sub(1, x))),)
)


def _owens_by_h(t: Traced, y: Traced, h: Traced, a: Traced) -> Traced:
    slope = mul(_gauss(h), erf(mul(mul(a, h), _ROOT_HALF)))
    return mul(t, mul(slope, -0.25 / _ROOT_HALF_PI))


def _owens_by_a(t: Traced, y: Traced, h: Traced, a: Traced) -> Traced:
    grown = add(mul(a, a), 1)
    slope = div(exp(mul(mul(mul(h, h), grown), -0.5)), grown)
    return mul(t, mul(slope, 0.5 / math.pi))


owens_t: Row = Row("owens_t", scipy_special("owens_t"), _FLOAT, (_owens_by_h, _owens_by_a))

# ---- integrals of exp, sin, cos, log --------------------------------------------------------

exp1: Row = Row(
    "exp1", scipy_special("exp1"), _FLOAT, (lambda t, y, x: neg(mul(t, div(exp(neg(x)), x))),)
)
expi: Row = Row("expi", scipy_special("expi"), _FLOAT, (lambda t, y, x: mul(t, div(exp(x), x)),))


def _expn_slope(t: Traced, y: Traced, n: Traced, x: Traced) -> Traced:
    """−E_(n−1)(x), with E_(−1)(x) = E₀(x)·(1 + 1/x)."""
    lowest = eq(n, 0)
    lower = expn(select(lowest, full_like(n, 0), sub(n, 1)), x)
    return neg(mul(t, select(lowest, mul(y, add(div(1, x), 1)), lower)))


expn: Row = Row("expn", scipy_special("expn"), _FLOAT, (no_slope_by_order("expn"), _expn_slope))


def _sinc(x: Traced) -> Traced:
    zero = eq(x, 0)
    return select(zero, full_like(x, 1), div(sin(x), select(zero, full_like(x, 1), x)))


sine_integral: Row = Row(
    "sine_integral", lambda x: scipy_special("sici")(x)[0], _FLOAT,
    (lambda t, y, x: mul(t, _sinc(x)),),
)  # fmt: skip
cosine_integral: Row = Row(
    "cosine_integral", lambda x: scipy_special("sici")(x)[1], _FLOAT,
    (lambda t, y, x: mul(t, div(cos(x), x)),),
)  # fmt: skip


def _spence_slope(t: Traced, y: Traced, x: Traced) -> Traced:
    """log(x)/(1 − x), which is −1 at 1."""
    one = eq(x, 1)
    safe = select(one, full_like(x, 2), x)
    return mul(t, select(one, full_like(x, -1), div(log(safe), sub(1, safe))))


spence: Row = Row("spence", scipy_special("spence"), _FLOAT, (_spence_slope,))

xlogy: Row = Row(
    "xlogy", scipy_special("xlogy"), _FLOAT,
    (lambda t, z, x, y: mul(t, log(y)), lambda t, z, x, y: mul(t, div(x, y))),
)  # fmt: skip
xlog1py: Row = Row(
    "xlog1py", scipy_special("xlog1py"), _FLOAT,
    (lambda t, z, x, y: mul(t, log1p(y)), lambda t, z, x, y: mul(t, div(x, add(y, 1)))),
)  # fmt: skip
rel_entr: Row = Row(
    "rel_entr", scipy_special("rel_entr"), _FLOAT,
    (
        lambda t, z, p, q: mul(t, add(log(div(p, q)), 1)),
        lambda t, z, p, q: neg(mul(t, div(p, q))),
    ),
)  # fmt: skip
kl_div: Row = Row(
    "kl_div", scipy_special("kl_div"), _FLOAT,
    (
        lambda t, z, p, q: mul(t, log(div(p, q))),
        lambda t, z, p, q: mul(t, sub(1, div(p, q))),
    ),
)  # fmt: skip
