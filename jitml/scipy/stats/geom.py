"""How many trials it takes until the first success, each of the probability p."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_mass, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpmf", "pmf"]


def _log_mass(k: Array, p: Array) -> Array:
    usual = special.xlog1py(inside(k >= 1, k, 1) - 1, -p) + jnp.log(p)
    return where_valid((p > 0) & (p <= 1), inside(k >= 1, usual))


def logpmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """The logarithm of how probable k is.

    >>> print(logpmf(2, 0.5))
    -1.3862944
    """
    return log_mass("geom.logpmf", _log_mass, k, p, loc=loc)


def pmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Array:
    """How probable k is.

    >>> print(pmf(2, 0.5))
    0.25
    """
    return jnp.exp(logpmf(k, p, loc))
