"""The exponential distribution."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.nn.activations import log1mexp
from jitml.scipy.stats.families import inside, log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log_density(z: Array) -> Array:
    return inside(z >= 0, -z)


def _below(z: Array) -> Array:
    return -jnp.expm1(-jnp.maximum(z, 0))


def _log_below(z: Array) -> Array:
    return log1mexp(jnp.maximum(z, 0))


def _log_above(z: Array) -> Array:
    return -jnp.maximum(z, 0)


def _from_below(q: Array) -> Array:
    return -jnp.log1p(-q)


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(1.0))
    -1.0
    """
    return log_density("expon.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(1.0))
    0.36787945
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(1.0))
    0.63212055
    """
    return of_standard("expon.cdf", _below, x, loc=loc, scale=scale)


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(1.0))
    -0.45867515
    """
    return of_standard("expon.logcdf", _log_below, x, loc=loc, scale=scale)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(1.0))
    0.36787945
    """
    return jnp.exp(logsf(x, loc, scale))


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(1.0))
    -1.0
    """
    return of_standard("expon.logsf", _log_above, x, loc=loc, scale=scale)


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − q.

    >>> print(ppf(0.0))
    0.0
    """
    return quantile("expon.ppf", _from_below, q, loc=loc, scale=scale)
