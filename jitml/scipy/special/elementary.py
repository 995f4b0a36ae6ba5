"""Error functions, the normal distribution, logistic and entropy functions, power transforms."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.eager import operation
from jitml.nn import activations
from jitml.numpy.operands import kind, settle
from jitml.ops import elementwise as ew
from jitml.scipy.special.operands import floats, unary
from jitml.typing import Array, ArrayLike

Axis = int | tuple[int, ...] | None

# ---- error functions ------------------------------------------------------------------------

erf = unary("erf", ew.erf, "The error function.", "erf(0.0)", "0.0")
erfc = unary("erfc", ew.erfc, "1 − erf(x), exact where that is tiny.", "erfc(0.0)", "1.0")
erfinv = unary("erfinv", ew.erf_inv, "The inverse of erf.", "erfinv(0.0)", "0.0")
dawsn = unary("dawsn", ew.dawsn, "Dawson's integral exp(−x²)·∫ exp(t²) dt.", "dawsn(0.0)", "0.0")


@operation
def erfcx(x: ArrayLike) -> Array:
    """exp(x²)·erfc(x), of complex numbers too.

    >>> print(erfcx(0.0))
    1.0
    """
    (value,) = floats("erfcx", x, to_complex=True)
    if kind(value) == "c":
        return settle(ew.wofz(ew.mul(value, 1j)))
    return settle(ew.erfcx(value))


@operation
def wofz(z: ArrayLike) -> Array:
    """Faddeeva's function exp(−z²)·erfc(−iz).

    >>> print(wofz(0j))
    (1+0j)
    """
    (value,) = floats("wofz", z, to_complex=True)
    if kind(value) != "c":
        value = ew.complex_(value, ew.full_like(value, 0))
    return settle(ew.wofz(value))


# ---- the normal distribution ----------------------------------------------------------------

ndtr = unary("ndtr", ew.ndtr, "The normal distribution's integral up to x.", "ndtr(0.0)", "0.5")


@operation
def ndtri(p: ArrayLike) -> Array:
    """The inverse of ndtr.

    >>> print(ndtri(0.5))
    0.0
    """
    return settle(ew.ndtri(*floats("ndtri", p)))


def log_ndtr(x: ArrayLike, series_order: int = 3) -> Array:
    """log(ndtr(x)), also where ndtr(x) is too small for a float; the order has no effect.

    >>> print(log_ndtr(-100.0))
    -5005.5244
    """
    return settle(ew.log_ndtr(*floats("log_ndtr", x)))


@operation
def owens_t(h: ArrayLike, a: ArrayLike) -> Array:
    """Owen's T: how probable it is that X > h and 0 < Y < aX, of two normal numbers.

    >>> print(owens_t(0.0, 1.0))
    0.125
    """
    return settle(ew.owens_t(*floats("owens_t", h, a)))


# ---- logistic functions ---------------------------------------------------------------------

logit = unary("logit", ew.logit, "log(x/(1 − x)), the inverse of expit.", "logit(0.5)", "0.0")
expit = unary("expit", ew.logistic, "1/(1 + exp(−x)).", "expit(0.0)", "0.5")
logsumexp = activations.logsumexp


def softmax(x: ArrayLike, /, *, axis: Axis = None) -> Array:
    """exp(x) over its sum along axes, which are all unless told.

    >>> print(softmax(jnp.zeros(2)))
    [0.5 0.5]
    """
    return activations.softmax(x, axis)


def log_softmax(x: ArrayLike, /, *, axis: Axis = None) -> Array:
    """log(softmax(x)), exact where softmax(x) is tiny.

    >>> print(log_softmax(jnp.zeros(1)))
    [0.]
    """
    return activations.log_softmax(x, axis)


# ---- entropies ------------------------------------------------------------------------------


@operation
def xlogy(x: ArrayLike, y: ArrayLike) -> Array:
    """x·log(y), 0 where x is 0.

    >>> print(xlogy(0.0, 0.0))
    0.0
    """
    return settle(ew.xlogy(*floats("xlogy", x, y)))


@operation
def xlog1py(x: ArrayLike, y: ArrayLike) -> Array:
    """x·log(1 + y), 0 where x is 0.

    >>> print(xlog1py(0.0, -1.0))
    0.0
    """
    return settle(ew.xlog1py(*floats("xlog1py", x, y)))


@operation
def entr(x: ArrayLike) -> Array:
    """−x·log(x), −∞ below 0.

    >>> print(entr(1.0))
    -0.0
    """
    (value,) = floats("entr", x)
    usual = ew.neg(ew.xlogy(value, value))
    return settle(ew.select(ew.lt(value, 0), ew.full_like(value, -math.inf), usual))


@operation
def rel_entr(p: ArrayLike, q: ArrayLike) -> Array:
    """p·log(p/q): 0 where p is 0, ∞ outside of p ≥ 0 and q ≥ 0.

    >>> print(rel_entr(1.0, 1.0))
    0.0
    """
    return settle(ew.rel_entr(*floats("rel_entr", p, q)))


@operation
def kl_div(p: ArrayLike, q: ArrayLike) -> Array:
    """p·log(p/q) − p + q, ∞ outside of p ≥ 0 and q ≥ 0.

    >>> print(kl_div(1.0, 1.0))
    0.0
    """
    return settle(ew.kl_div(*floats("kl_div", p, q)))


# ---- power transforms -----------------------------------------------------------------------


@operation
def boxcox(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """(x^λ − 1)/λ, log(x) where λ is 0.

    >>> print(boxcox(3.0, 1.0))
    2.0
    """
    value, power = floats("boxcox", x, lmbda)
    return _of_logarithm(jnp.asarray(settle(ew.log(value))), jnp.asarray(settle(power)))


@operation
def boxcox1p(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """((1 + x)^λ − 1)/λ, log(1 + x) where λ is 0.

    >>> print(boxcox1p(2.0, 1.0))
    2.0
    """
    value, power = floats("boxcox1p", x, lmbda)
    return _of_logarithm(jnp.asarray(settle(ew.log1p(value))), jnp.asarray(settle(power)))


def _of_logarithm(logarithm: Array, power: Array) -> Array:
    zero = power == 0
    safe = jnp.where(zero, 1, power)
    return jnp.where(zero, logarithm, jnp.expm1(safe * logarithm) / safe)
