"""How many of n trials succeed, of a probability that has a beta distribution."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_mass, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpmf", "pmf"]


def _log_mass(k: Array, n: Array, a: Array, b: Array) -> Array:
    within = (k >= 0) & (k <= n)
    count = inside(within, k, 0)
    ways = -jnp.log1p(n) - special.betaln(n - count + 1, count + 1)
    usual = ways + special.betaln(count + a, n - count + b) - special.betaln(a, b)
    return where_valid((n >= 0) & (a > 0) & (b > 0), inside(within, usual))


def logpmf(k: ArrayLike, n: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The logarithm of how probable k is.

    >>> print(logpmf(1, 2, 1.0, 1.0))
    -1.0986123
    """
    return log_mass("betabinom.logpmf", _log_mass, k, n, a, b, loc=loc)


def pmf(k: ArrayLike, n: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable k is.

    >>> print(pmf(1, 2, 1.0, 1.0))
    0.3333333
    """
    return jnp.exp(logpmf(k, n, a, b, loc))
