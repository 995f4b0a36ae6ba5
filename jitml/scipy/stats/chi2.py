"""The chi-square distribution with df degrees of freedom."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_density, of_standard, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log_density(z: Array, df: Array) -> Array:
    half, safe = df / 2, jnp.where(z < 0, 1, z) / 2
    usual = special.xlogy(half - 1, safe) - safe - special.gammaln(half) - math.log(2)
    return where_valid(df > 0, inside(z >= 0, usual))


def _below(z: Array, df: Array) -> Array:
    return where_valid(df > 0, special.gammainc(df / 2, jnp.maximum(z, 0) / 2))


def _above(z: Array, df: Array) -> Array:
    return where_valid(df > 0, special.gammaincc(df / 2, jnp.maximum(z, 0) / 2))


def logpdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(1.0, 2.0))
    -1.1931472
    """
    return log_density("chi2.logpdf", _log_density, x, df, loc=loc, scale=scale)


def pdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(1.0, 2.0))
    0.30326533
    """
    return jnp.exp(logpdf(x, df, loc, scale))


def cdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(1.0, 2.0))
    0.39346933
    """
    return of_standard("chi2.cdf", _below, x, df, loc=loc, scale=scale)


def logcdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(1.0, 2.0))
    -0.93275213
    """
    return jnp.log(cdf(x, df, loc, scale))


def sf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(1.0, 2.0))
    0.60653067
    """
    return of_standard("chi2.sf", _above, x, df, loc=loc, scale=scale)


def logsf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(1.0, 2.0))
    -0.5
    """
    return jnp.log(sf(x, df, loc, scale))
