"""Exponential, trigonometric and Fresnel integrals; the dilogarithm; hypergeometric functions."""

from __future__ import annotations

from jitml.eager import operation
from jitml.numpy.operands import settle
from jitml.ops import elementwise as ew
from jitml.scipy.special.operands import floats, unary
from jitml.typing import Array, ArrayLike

exp1 = unary("exp1", ew.exp1, "∫ exp(−t)/t dt from x to ∞.", "exp1(1.0)", "0.21938394")
expi = unary("expi", ew.expi, "∫ exp(t)/t dt from −∞ to x.", "expi(1.0)", "1.8951178")
spence = unary(
    "spence", ew.spence, "∫ log(t)/(1 − t) dt from 1 to x: the dilogarithm of 1 − x.",
    "spence(1.0)", "0.0",
)  # fmt: skip


@operation
def expn(n: ArrayLike, x: ArrayLike) -> Array:
    """The exponential integral ∫ exp(−xt)/tⁿ dt from 1 to ∞.

    >>> print(expn(2, 0.0))
    1.0
    """
    return settle(ew.expn(*floats("expn", n, x)))


def sici(x: ArrayLike) -> tuple[Array, Array]:
    """The sine and the cosine integral.

    >>> print(sici(0.0)[0])
    0.0
    """
    (value,) = floats("sici", x)
    return settle(ew.sine_integral(value)), settle(ew.cosine_integral(value))


def fresnel(x: ArrayLike) -> tuple[Array, Array]:
    """The Fresnel integrals of sin(πt²/2) and of cos(πt²/2).

    >>> print(fresnel(0.0)[0])
    0.0
    """
    (value,) = floats("fresnel", x)
    return settle(ew.fresnel_sine(value)), settle(ew.fresnel_cosine(value))


@operation
def hyp1f1(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    """Kummer's hypergeometric function.

    >>> print(hyp1f1(1.0, 1.0, 0.0))
    1.0
    """
    return settle(ew.hyp1f1(*floats("hyp1f1", a, b, x)))


def hyp2f1(a: ArrayLike, b: ArrayLike, c: ArrayLike, x: ArrayLike) -> Array:
    """Gauss' hypergeometric function.

    >>> print(hyp2f1(1.0, 1.0, 1.0, 0.5))
    2.0
    """
    return settle(ew.hyp2f1(*floats("hyp2f1", a, b, c, x)))
