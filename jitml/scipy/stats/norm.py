"""The normal distribution."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log_density(z: Array) -> Array:
    return z * z * -0.5 - math.log(2 * math.pi) / 2


def _log_rest(z: Array) -> Array:
    return special.log_ndtr(-z)


def _rest(z: Array) -> Array:
    return special.ndtr(-z)


def _from_above(q: Array) -> Array:
    return -special.ndtri(q)


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0))
    -0.9189385
    """
    return log_density("norm.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0))
    0.3989423
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0))
    0.5
    """
    return of_standard("norm.cdf", special.ndtr, x, loc=loc, scale=scale)


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(0.0))
    -0.6931472
    """
    return of_standard("norm.logcdf", special.log_ndtr, x, loc=loc, scale=scale)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(0.0))
    0.5
    """
    return of_standard("norm.sf", _rest, x, loc=loc, scale=scale)


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(0.0))
    -0.6931472
    """
    return of_standard("norm.logsf", _log_rest, x, loc=loc, scale=scale)


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − q.

    >>> print(ppf(0.5))
    0.0
    """
    return quantile("norm.ppf", special.ndtri, q, loc=loc, scale=scale)


def isf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability q.

    >>> print(isf(0.5))
    0.0
    """
    return quantile("norm.isf", _from_above, q, loc=loc, scale=scale)
