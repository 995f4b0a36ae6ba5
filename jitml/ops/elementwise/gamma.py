"""Gamma, beta and zeta functions, complete and incomplete; hypergeometric functions.

Sources of derivatives: DLMF 5.2, 5.12, 8.8, 8.17, 13.3, 15.5, 25.11.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from jitml.ir.errors import DifferentiationError
from jitml.ir.source import user_source
from jitml.ops.elementwise.arithmetic import add, div, mul, neg, sub
from jitml.ops.elementwise.transcendental import exp
from jitml.ops.kinds import Partial, Row, Traced, zeros_like
from jitml.ops.scipy_values import scipy_special, slope_of

_FLOAT = "f"

# ---- gamma and its logarithm ----------------------------------------------------------------


def _digamma_value(x: Any) -> Any:
    """Reflected below zero (DLMF 5.5.4), where SciPy's own is inexact beside the poles."""
    low = np.where(x < 0, x, 0.5)
    reflected = scipy_special("psi")(1 - low) - np.pi / np.tan(np.pi * (low - np.round(low)))
    return np.where(x < 0, reflected, scipy_special("psi")(x)).astype(x.dtype)


def no_slope_by_order(name: str) -> Partial:
    """The derivative by a first argument that is a whole number: an error."""

    def partial(t: Traced, y: Traced, n: Traced, x: Traced) -> NoReturn:
        raise DifferentiationError(
            f"{name} has no derivative by its order",
            hint="pass the order as an integer",
            source=user_source(),
        )

    return partial


lgamma: Row = Row("lgamma", scipy_special("gammaln"), _FLOAT, (lambda t, y, x: mul(t, digamma(x)),))
digamma: Row = Row(
    "digamma", _digamma_value, _FLOAT,
    (lambda t, y, x: mul(t, polygamma(add(zeros_like(x), 1), x)),),
)  # fmt: skip
polygamma: Row = Row(
    "polygamma", scipy_special("polygamma"), _FLOAT,
    (no_slope_by_order("polygamma"), lambda t, y, n, x: mul(t, polygamma(add(n, 1), x))),
)  # fmt: skip
gamma: Row = Row(
    "gamma", scipy_special("gamma"), _FLOAT, (lambda t, y, x: mul(t, mul(y, digamma(x))),)
)
zeta: Row = Row(
    "zeta", scipy_special("zeta"), _FLOAT,
    (
        lambda t, y, x, q: mul(t, zeta_grad_x(x, q)),
        lambda t, y, x, q: neg(mul(t, mul(x, zeta(add(x, 1), q)))),
    ),
)  # fmt: skip
zeta_grad_x: Row = Row("zeta_grad_x", slope_of(scipy_special("zeta"), 0), _FLOAT)


def _poch_by_z(t: Traced, y: Traced, z: Traced, m: Traced) -> Traced:
    return mul(t, mul(y, sub(digamma(add(z, m)), digamma(z))))


poch: Row = Row(
    "poch", scipy_special("poch"), _FLOAT,
    (_poch_by_z, lambda t, y, z, m: mul(t, mul(y, digamma(add(z, m))))),
)  # fmt: skip

# ---- beta -----------------------------------------------------------------------------------

betaln: Row = Row(
    "betaln", scipy_special("betaln"), _FLOAT,
    (
        lambda t, y, a, b: mul(t, sub(digamma(a), digamma(add(a, b)))),
        lambda t, y, a, b: mul(t, sub(digamma(b), digamma(add(a, b)))),
    ),
)  # fmt: skip
beta: Row = Row(
    "beta", scipy_special("beta"), _FLOAT,
    (
        lambda t, y, a, b: mul(t, mul(y, sub(digamma(a), digamma(add(a, b))))),
        lambda t, y, a, b: mul(t, mul(y, sub(digamma(b), digamma(add(a, b))))),
    ),
)  # fmt: skip


def _times_log(x: Traced, y: Traced) -> Traced:
    """x·log(y), 0 where x is 0."""
    from jitml.ops.elementwise.special import xlogy

    return xlogy(x, y)


def _betainc_slope(t: Traced, y: Traced, a: Traced, b: Traced, x: Traced) -> Traced:
    """x^(a−1)·(1 − x)^(b−1)/B(a, b)."""
    rise, fall = _times_log(sub(a, 1), x), _times_log(sub(b, 1), sub(1, x))
    return mul(t, exp(sub(add(rise, fall), betaln(a, b))))


betainc: Row = Row(
    "betainc", scipy_special("betainc"), _FLOAT,
    (
        lambda t, y, a, b, x: mul(t, betainc_grad_a(a, b, x)),
        lambda t, y, a, b, x: mul(t, betainc_grad_b(a, b, x)),
        _betainc_slope,
    ),
)  # fmt: skip
betainc_grad_a: Row = Row("betainc_grad_a", slope_of(scipy_special("betainc"), 0), _FLOAT)
betainc_grad_b: Row = Row("betainc_grad_b", slope_of(scipy_special("betainc"), 1), _FLOAT)

# ---- incomplete gamma -----------------------------------------------------------------------


def _density(a: Traced, x: Traced) -> Traced:
    """x^(a−1)·e^−x/Γ(a)."""
    return exp(sub(sub(_times_log(sub(a, 1), x), x), lgamma(a)))


def _random_gamma_slope(a: Any, x: Any) -> Any:
    by_shape = slope_of(scipy_special("gammainc"), 0)(a, x)
    a, x = (np.asarray(v).astype(np.float64) for v in (a, x))
    logarithm = (a - 1) * np.log(x) - x - scipy_special("gammaln")(a)
    return -by_shape / np.exp(logarithm)


igamma: Row = Row(
    "igamma", scipy_special("gammainc"), _FLOAT,
    (
        lambda t, y, a, x: mul(t, igamma_grad_a(a, x)),
        lambda t, y, a, x: mul(t, _density(a, x)),
    ),
)  # fmt: skip
igammac: Row = Row(
    "igammac", scipy_special("gammaincc"), _FLOAT,
    (
        lambda t, y, a, x: neg(mul(t, igamma_grad_a(a, x))),
        lambda t, y, a, x: neg(mul(t, _density(a, x))),
    ),
)  # fmt: skip
igamma_grad_a: Row = Row("igamma_grad_a", slope_of(scipy_special("gammainc"), 0), _FLOAT)
random_gamma_grad: Row = Row("random_gamma_grad", _random_gamma_slope, _FLOAT)

# ---- hypergeometric functions ---------------------------------------------------------------


def _kummer_by_x(t: Traced, y: Traced, a: Traced, b: Traced, x: Traced) -> Traced:
    return mul(t, mul(div(a, b), hyp1f1(add(a, 1), add(b, 1), x)))


def _gauss_by_x(t: Traced, y: Traced, a: Traced, b: Traced, c: Traced, x: Traced) -> Traced:
    return mul(t, mul(div(mul(a, b), c), hyp2f1(add(a, 1), add(b, 1), add(c, 1), x)))


hyp1f1: Row = Row(
    "hyp1f1", scipy_special("hyp1f1"), _FLOAT,
    (
        lambda t, y, a, b, x: mul(t, hyp1f1_grad_a(a, b, x)),
        lambda t, y, a, b, x: mul(t, hyp1f1_grad_b(a, b, x)),
        _kummer_by_x,
    ),
)  # fmt: skip
hyp1f1_grad_a: Row = Row("hyp1f1_grad_a", slope_of(scipy_special("hyp1f1"), 0), _FLOAT)
hyp1f1_grad_b: Row = Row("hyp1f1_grad_b", slope_of(scipy_special("hyp1f1"), 1), _FLOAT)
hyp2f1: Row = Row(
    "hyp2f1", scipy_special("hyp2f1"), _FLOAT,
    (
        lambda t, y, a, b, c, x: mul(t, hyp2f1_grad_a(a, b, c, x)),
        lambda t, y, a, b, c, x: mul(t, hyp2f1_grad_a(b, a, c, x)),
        lambda t, y, a, b, c, x: mul(t, hyp2f1_grad_c(a, b, c, x)),
        _gauss_by_x,
    ),
)  # fmt: skip
hyp2f1_grad_a: Row = Row("hyp2f1_grad_a", slope_of(scipy_special("hyp2f1"), 0), _FLOAT)
hyp2f1_grad_c: Row = Row("hyp2f1_grad_c", slope_of(scipy_special("hyp2f1"), 2), _FLOAT)
