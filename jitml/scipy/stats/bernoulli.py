"""One trial that succeeds with the probability p."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import arrays, inside, log_mass, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logpmf", "pmf", "ppf"]


def _log_mass(k: Array, p: Array) -> Array:
    usual = special.xlogy(k, p) + special.xlog1py(1 - k, -p)
    return where_valid((p >= 0) & (p <= 1), inside((k >= 0) & (k <= 1), usual))


def logpmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The logarithm of how probable k is.

    >>> print(logpmf(1, 0.25))
    -1.3862944
    """
    return log_mass("bernoulli.logpmf", _log_mass, k, p, loc=loc)


def pmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable k is.

    >>> print(pmf(1, 0.25))
    0.25
    """
    return jnp.exp(logpmf(k, p, loc))


def cdf(k: ArrayLike, p: ArrayLike) -> Array:
    """How probable at most k is.

    >>> print(cdf(0, 0.25))
    0.75
    """
    count, chance = arrays("bernoulli.cdf", k, p)
    valid = (chance >= 0) & (chance <= 1) & ~jnp.isnan(count)
    below = jnp.where(count < 0, 0, jnp.where(count < 1, 1 - chance, 1))
    return where_valid(valid, below)


def ppf(q: ArrayLike, p: ArrayLike) -> Array:
    """The least k that is not exceeded with the probability q.

    >>> print(ppf(0.9, 0.25))
    1.0
    """
    wanted, chance = arrays("bernoulli.ppf", q, p)
    valid = (chance >= 0) & (chance <= 1) & (wanted >= 0) & (wanted <= 1)
    return where_valid(valid, jnp.where(wanted <= 1 - chance, 0.0, 1.0).astype(wanted.dtype))
