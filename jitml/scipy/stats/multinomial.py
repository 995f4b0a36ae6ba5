"""How often each class comes up in n trials, with the probabilities p."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.ir.dtypes import is_integer
from jitml.ir.errors import DTypeError
from jitml.numpy.operands import fail
from jitml.scipy import special
from jitml.scipy.stats.families import arrays
from jitml.typing import Array, ArrayLike

__all__ = ["logpmf", "pmf"]


def logpmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    """The logarithm of how probable the counts along the last axis are.

    >>> print(logpmf(jnp.array([1, 1]), 2, jnp.array([0.5, 0.5])))
    -0.6931472
    """
    (chances,) = arrays("multinomial.logpmf", p)
    counts, total = jnp.asarray(x), jnp.asarray(n)
    if not (is_integer(counts.dtype) and is_integer(total.dtype)):
        fail(
            DTypeError,
            f"multinomial.logpmf: counts are integers, not {counts.dtype} and {total.dtype}",
        )
    counts, total = counts.astype(chances.dtype), total.astype(chances.dtype)
    ways = special.gammaln(total + 1)
    terms = special.xlogy(counts, chances) - special.gammaln(counts + 1)
    return jnp.where(jnp.sum(counts, -1) == total, ways + jnp.sum(terms, -1), -jnp.inf)


def pmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    """How probable the counts are.

    >>> print(pmf(jnp.array([1, 1]), 2, jnp.array([0.5, 0.5])))
    0.5
    """
    return jnp.exp(logpmf(x, n, p))
