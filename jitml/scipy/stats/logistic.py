"""The logistic distribution."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "isf", "logpdf", "pdf", "ppf", "sf"]


def _log_density(z: Array) -> Array:
    size = jnp.abs(z)
    return -size - 2 * jnp.log1p(jnp.exp(-size))


def _above(z: Array) -> Array:
    return special.expit(-z)


def _from_above(q: Array) -> Array:
    return -special.logit(q)


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0))
    -1.3862944
    """
    return log_density("logistic.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0))
    0.25
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0))
    0.5
    """
    return of_standard("logistic.cdf", special.expit, x, loc=loc, scale=scale)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(0.0))
    0.5
    """
    return of_standard("logistic.sf", _above, x, loc=loc, scale=scale)


def ppf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − x.

    >>> print(ppf(0.5))
    0.0
    """
    return quantile("logistic.ppf", special.logit, x, loc=loc, scale=scale)


def isf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability x.

    >>> print(isf(0.5))
    0.0
    """
    return quantile("logistic.isf", _from_above, x, loc=loc, scale=scale)
