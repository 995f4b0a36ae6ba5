"""Gamma, beta and zeta functions of `jitml.lax`: no promotion, no broadcasting."""

from __future__ import annotations

from jitml.eager import operation
from jitml.lax.operands import strict
from jitml.numpy.operands import settle
from jitml.ops import elementwise as ew
from jitml.typing import Array, ArrayLike


@operation
def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    """The regularized incomplete beta function I_x(a, b).

    >>> print(betainc(1.0, 1.0, 0.25))
    0.25
    """
    return settle(ew.betainc(*strict("betainc", a, b, x)))


@operation
def igamma(a: ArrayLike, x: ArrayLike) -> Array:
    """The regularized lower incomplete gamma function P(a, x).

    >>> print(igamma(1.0, 0.0))
    0.0
    """
    return settle(ew.igamma(*strict("igamma", a, x)))


@operation
def igammac(a: ArrayLike, x: ArrayLike) -> Array:
    """The regularized upper incomplete gamma function Q(a, x).

    >>> print(igammac(1.0, 0.0))
    1.0
    """
    return settle(ew.igammac(*strict("igammac", a, x)))


@operation
def igamma_grad_a(a: ArrayLike, x: ArrayLike) -> Array:
    """The derivative of P(a, x) by a.

    >>> print(igamma_grad_a(1.0, 0.0))
    0.0
    """
    return settle(ew.igamma_grad_a(*strict("igamma_grad_a", a, x)))


@operation
def random_gamma_grad(a: ArrayLike, x: ArrayLike) -> Array:
    """The derivative by a of samples x of the gamma distribution.

    >>> print(random_gamma_grad(1.0, 0.0))
    0.0
    """
    return settle(ew.random_gamma_grad(*strict("random_gamma_grad", a, x)))


@operation
def polygamma(m: ArrayLike, x: ArrayLike) -> Array:
    """The m-th derivative of digamma.

    >>> print(polygamma(1.0, 1.0))
    1.644934
    """
    return settle(ew.polygamma(*strict("polygamma", m, x)))


@operation
def zeta(x: ArrayLike, q: ArrayLike) -> Array:
    """Hurwitz' zeta function Σ (q + k)⁻ˣ over k ≥ 0.

    >>> print(zeta(2.0, 1.0))
    1.644934
    """
    return settle(ew.zeta(*strict("zeta", x, q)))
