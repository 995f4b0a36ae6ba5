"""The wrapped Cauchy distribution of angles from 0 to 2π."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy.stats.families import arrays, inside, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, c: ArrayLike) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0, 0.5))
    -0.7392647
    """
    angle, pull = arrays("wrapcauchy.logpdf", x, c)
    outside = (angle < 0) | (angle > 2 * math.pi)
    half = jnp.where(outside, 0, angle) / 2
    # 1 + c² − 2c·cos(x) without its cancellation.
    apart = (1 - pull) ** 2 + 4 * pull * jnp.sin(half) ** 2
    usual = jnp.log1p(-pull * pull) - math.log(2 * math.pi) - jnp.log(apart)
    return where_valid((pull > 0) & (pull < 1), inside(~outside, usual))


def pdf(x: ArrayLike, c: ArrayLike) -> Array:
    """The density at x.

    >>> print(pdf(0.0, 0.5))
    0.47746485
    """
    return jnp.exp(logpdf(x, c))
