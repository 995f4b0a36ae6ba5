"""The Cauchy distribution."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy.stats.families import log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log_density(z: Array) -> Array:
    return -math.log(math.pi) - jnp.log1p(z * z)


def _below(z: Array) -> Array:
    """An angle over π, which keeps its digits where it is small."""
    return jnp.arctan2(1, -z) / math.pi


def _above(z: Array) -> Array:
    return jnp.arctan2(1, z) / math.pi


def _from_below(q: Array) -> Array:
    """The tangent of an angle that is counted from the middle, or from the nearer end."""
    excess, rest = q - 0.5, jnp.minimum(q, 1 - q)
    outer = jnp.copysign(1 / jnp.tan(math.pi * rest), excess)
    return jnp.where(jnp.abs(excess) < 0.25, jnp.tan(math.pi * excess), outer)


def _from_above(q: Array) -> Array:
    return -_from_below(q)


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0))
    -1.1447299
    """
    return log_density("cauchy.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0))
    0.3183099
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0))
    0.49999997
    """
    return of_standard("cauchy.cdf", _below, x, loc=loc, scale=scale)


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(0.0))
    -0.69314724
    """
    return jnp.log(cdf(x, loc, scale))


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(0.0))
    0.5
    """
    return of_standard("cauchy.sf", _above, x, loc=loc, scale=scale)


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(0.0))
    -0.6931472
    """
    return jnp.log(sf(x, loc, scale))


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − q.

    >>> print(ppf(0.5))
    0.0
    """
    return quantile("cauchy.ppf", _from_below, q, loc=loc, scale=scale)


def isf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability q.

    >>> print(isf(0.5))
    0.0
    """
    return quantile("cauchy.isf", _from_above, q, loc=loc, scale=scale)
