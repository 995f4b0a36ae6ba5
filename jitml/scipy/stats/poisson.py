"""The Poisson distribution with the rate mu."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import arrays, inside, log_mass, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "entropy", "logpmf", "pmf"]


_MOST = 250  # counts that entropies are summed over
_LARGE = 100.0  # rates above which the series holds


def _log_mass(k: Array, mu: Array) -> Array:
    count = jnp.maximum(k, 0)
    usual = special.xlogy(count, mu) - special.gammaln(count + 1) - mu
    return where_valid(mu >= 0, inside(k >= 0, usual))


def logpmf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The logarithm of how probable k is.

    >>> print(logpmf(0, 1.0))
    -1.0
    """
    return log_mass("poisson.logpmf", _log_mass, k, mu, loc=loc)


def pmf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable k is.

    >>> print(pmf(0, 1.0))
    0.36787945
    """
    return jnp.exp(logpmf(k, mu, loc))


def cdf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable at most k is.

    >>> print(cdf(0, 1.0))
    0.36787945
    """
    value, rate, place = arrays("poisson.cdf", k, mu, loc)
    count = jnp.floor(value - place)
    below = special.gammaincc(jnp.maximum(count, 0) + 1, rate)
    return where_valid(rate >= 0, inside(count >= 0, below, 0.0))


def entropy(mu: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The entropy −Σ p·log(p), which does not depend on `loc`.

    >>> print(entropy(0.0))
    -0.0
    """
    rate, place = arrays("poisson.entropy", mu, loc)
    rate = jnp.broadcast_to(rate, jnp.broadcast_shapes(rate.shape, place.shape))
    few = jnp.where(rate < _LARGE, rate, 1)
    counts = jnp.arange(_MOST, dtype=rate.dtype)
    summed = jnp.sum(special.entr(pmf(counts, few[..., None])), -1)
    inverse = 1 / jnp.where(rate < _LARGE, 1, rate)
    rest = inverse * (1 / 12 + inverse * (1 / 24 + inverse * (19 / 360)))
    far = 0.5 * (1 + math.log(2 * math.pi) - jnp.log(inverse)) - rest
    return where_valid(rate >= 0, jnp.where(rate < _LARGE, summed, far))
