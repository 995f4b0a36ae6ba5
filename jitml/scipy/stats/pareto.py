"""The Pareto distribution with the exponent b."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.nn.activations import log1mexp
from jitml.scipy.stats.families import inside, log_density, of_standard, quantile, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log_density(z: Array, b: Array) -> Array:
    safe = jnp.maximum(z, 1)
    return where_valid(b > 0, inside(z >= 1, jnp.log(b) - (b + 1) * jnp.log(safe)))


def _below(z: Array, b: Array) -> Array:
    return -jnp.expm1(_log_above(z, b))


def _log_below(z: Array, b: Array) -> Array:
    return log1mexp(-_log_above(z, b))


def _log_above(z: Array, b: Array) -> Array:
    return where_valid(b > 0, -b * jnp.log(jnp.maximum(z, 1)))


def _from_below(q: Array, b: Array) -> Array:
    return where_valid(b > 0, jnp.exp(-jnp.log1p(-q) / b))


def logpdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(2.0, 1.0))
    -1.3862944
    """
    return log_density("pareto.logpdf", _log_density, x, b, loc=loc, scale=scale)


def pdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(2.0, 1.0))
    0.25
    """
    return jnp.exp(logpdf(x, b, loc, scale))


def cdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(2.0, 1.0))
    0.5
    """
    return of_standard("pareto.cdf", _below, x, b, loc=loc, scale=scale)


def logcdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(logcdf(2.0, 1.0))
    -0.6931472
    """
    return of_standard("pareto.logcdf", _log_below, x, b, loc=loc, scale=scale)


def sf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(sf(2.0, 1.0))
    0.5
    """
    return jnp.exp(logsf(x, b, loc, scale))


def logsf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(logsf(2.0, 1.0))
    -0.6931472
    """
    return of_standard("pareto.logsf", _log_above, x, b, loc=loc, scale=scale)


def ppf(q: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that is exceeded with the probability 1 − q.

    >>> print(ppf(0.5, 1.0))
    2.0
    """
    return quantile("pareto.ppf", _from_below, q, b, loc=loc, scale=scale)
