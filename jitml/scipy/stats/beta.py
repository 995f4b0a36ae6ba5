"""The beta distribution."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_density, of_standard, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log_density(z: Array, a: Array, b: Array) -> Array:
    outside = (z < 0) | (z > 1)
    safe = jnp.where(outside, 0.5, z)
    rise, fall = special.xlogy(a - 1, safe), special.xlog1py(b - 1, -safe)
    return where_valid((a > 0) & (b > 0), inside(~outside, rise + fall - special.betaln(a, b)))


def _below(z: Array, a: Array, b: Array) -> Array:
    return where_valid((a > 0) & (b > 0), special.betainc(a, b, jnp.clip(z, 0, 1)))


def _above(z: Array, a: Array, b: Array) -> Array:
    return where_valid((a > 0) & (b > 0), special.betainc(b, a, jnp.clip(1 - z, 0, 1)))


def logpdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.5, 2.0, 1.0))
    0.0
    """
    return log_density("beta.logpdf", _log_density, x, a, b, loc=loc, scale=scale)


def pdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The density at x.

    >>> print(pdf(0.5, 2.0, 1.0))
    1.0
    """
    return jnp.exp(logpdf(x, a, b, loc, scale))


def cdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.5, 2.0, 1.0))
    0.25
    """
    return of_standard("beta.cdf", _below, x, a, b, loc=loc, scale=scale)


def logcdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(0.5, 2.0, 1.0))
    -1.3862944
    """
    return jnp.log(cdf(x, a, b, loc, scale))


def sf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(0.5, 2.0, 1.0))
    0.75
    """
    return of_standard("beta.sf", _above, x, a, b, loc=loc, scale=scale)


def logsf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(0.5, 2.0, 1.0))
    -0.2876821
    """
    return jnp.log(sf(x, a, b, loc, scale))
