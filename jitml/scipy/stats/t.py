"""Student's t distribution with df degrees of freedom."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import log_density, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpdf", "pdf"]


def _log_density(z: Array, df: Array) -> Array:
    half = df / 2
    norm = -special.betaln(half, half * 0 + 0.5) - jnp.log(df) / 2
    return where_valid(df > 0, norm - (half + 0.5) * jnp.log1p(z * z / df))


def logpdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0, 1.0))
    -1.1447299
    """
    return log_density("t.logpdf", _log_density, x, df, loc=loc, scale=scale)


def pdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x.

    >>> print(pdf(0.0, 1.0))
    0.3183099
    """
    return jnp.exp(logpdf(x, df, loc, scale))
