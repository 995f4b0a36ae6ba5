"""The gamma distribution with the shape a."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_density, of_standard, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log_density(z: Array, a: Array) -> Array:
    safe = jnp.where(z < 0, 1, z)
    usual = special.xlogy(a - 1, safe) - safe - special.gammaln(a)
    return where_valid(a > 0, inside(z >= 0, usual))


def _below(z: Array, a: Array) -> Array:
    return where_valid(a > 0, special.gammainc(a, jnp.maximum(z, 0)))


def _above(z: Array, a: Array) -> Array:
    return where_valid(a > 0, special.gammaincc(a, jnp.maximum(z, 0)))


def logpdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(1.0, 2.0))
    -1.0
    """
    return log_density("gamma.logpdf", _log_density, x, a, loc=loc, scale=scale)


def pdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(1.0, 2.0))
    0.36787945
    """
    return jnp.exp(logpdf(x, a, loc, scale))


def cdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(1.0, 2.0))
    0.26424113
    """
    return of_standard("gamma.cdf", _below, x, a, loc=loc, scale=scale)


def logcdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(1.0, 2.0))
    -1.3308933
    """
    return jnp.log(cdf(x, a, loc, scale))


def sf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(1.0, 2.0))
    0.7357589
    """
    return of_standard("gamma.sf", _above, x, a, loc=loc, scale=scale)


def logsf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(1.0, 2.0))
    -0.30685282
    """
    return jnp.log(sf(x, a, loc, scale))
