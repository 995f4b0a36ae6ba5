"""The Laplace distribution."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy.stats.families import log_density, of_standard
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logpdf", "pdf"]


def _log_density(z: Array) -> Array:
    return -jnp.abs(z) - math.log(2)


def _below(z: Array) -> Array:
    tail = jnp.exp(-jnp.abs(z)) / 2
    return jnp.where(z <= 0, tail, 1 - tail)


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0))
    -0.6931472
    """
    return log_density("laplace.logpdf", _log_density, x, loc=loc, scale=scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0))
    0.5
    """
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0))
    0.5
    """
    return of_standard("laplace.cdf", _below, x, loc=loc, scale=scale)
