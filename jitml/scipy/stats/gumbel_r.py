"""The right-skewed Gumbel distribution."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.nn.activations import log1mexp
from jitml.scipy.stats.families import log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log_density(z: Array) -> Array:
    return -(z + jnp.exp(-z))


def _log_below(z: Array) -> Array:
    return -jnp.exp(-z)


def _above(z: Array) -> Array:
    return -jnp.expm1(-jnp.exp(-z))


def _log_above(z: Array) -> Array:
    return log1mexp(jnp.exp(-z))


def _from_below(q: Array) -> Array:
    return -jnp.log(-jnp.log(q))


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0))
    -1.0
    """
    return log_density("gumbel_r.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0))
    0.36787945
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0))
    0.36787945
    """
    return jnp.exp(logcdf(x, loc, scale))


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(0.0))
    -1.0
    """
    return of_standard("gumbel_r.logcdf", _log_below, x, loc=loc, scale=scale)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(0.0))
    0.63212055
    """
    return of_standard("gumbel_r.sf", _above, x, loc=loc, scale=scale)


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(0.0))
    -0.45867515
    """
    return of_standard("gumbel_r.logsf", _log_above, x, loc=loc, scale=scale)


def ppf(p: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − p.

    >>> print(ppf(0.5))
    0.36651292
    """
    return quantile("gumbel_r.ppf", _from_below, p, loc=loc, scale=scale)
