"""How many of n trials succeed, each with the probability p."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_mass, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpmf", "pmf"]


def _log_mass(k: Array, n: Array, p: Array) -> Array:
    within = (k >= 0) & (k <= n)
    count = inside(within, k, 0)
    ways = -jnp.log1p(n) - special.betaln(n - count + 1, count + 1)
    usual = ways + special.xlogy(count, p) + special.xlog1py(n - count, -p)
    return where_valid((n >= 0) & (p >= 0) & (p <= 1), inside(within, usual))


def logpmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The logarithm of how probable k is.

    >>> print(logpmf(1, 2, 0.5))
    -0.6931472
    """
    return log_mass("binom.logpmf", _log_mass, k, n, p, loc=loc)


def pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable k is.

    >>> print(pmf(1, 2, 0.5))
    0.5
    """
    return jnp.exp(logpmf(k, n, p, loc))
