"""The uniform distribution on [loc, loc + scale]."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy.stats.families import inside, log_density, of_standard, quantile
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logpdf", "pdf", "ppf"]


def _log_density(z: Array) -> Array:
    return inside((z >= 0) & (z <= 1), jnp.where(jnp.isnan(z), z, 0))


def _below(z: Array) -> Array:
    return jnp.clip(z, 0, 1)


def _from_below(q: Array) -> Array:
    return q


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.5))
    0.0
    """
    return log_density("uniform.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.5))
    1.0
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.5))
    0.5
    """
    return of_standard("uniform.cdf", _below, x, loc=loc, scale=scale)


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − q.

    >>> print(ppf(0.5))
    0.5
    """
    return quantile("uniform.ppf", _from_below, q, loc=loc, scale=scale)
