"""The generalized normal distribution, with the density exp(−|x|^beta) up to a factor."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import arrays, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logpdf", "pdf"]


def logpdf(x: ArrayLike, beta: ArrayLike) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0, 1.0))
    -0.6931472
    """
    value, power = arrays("gennorm.logpdf", x, beta)
    norm = jnp.log(power / 2) - special.gammaln(1 / power)
    return where_valid(power > 0, norm - jnp.abs(value) ** power)


def pdf(x: ArrayLike, beta: ArrayLike) -> Array:
    """The density at x.

    >>> print(pdf(0.0, 1.0))
    0.5
    """
    return jnp.exp(logpdf(x, beta))


def cdf(x: ArrayLike, beta: ArrayLike) -> Array:
    """How probable at most x is.

    >>> print(cdf(0.0, 1.0))
    0.5
    """
    value, power = arrays("gennorm.cdf", x, beta)
    size = jnp.abs(value) ** power
    tail = special.gammaincc(1 / power, size) / 2
    return where_valid(power > 0, jnp.where(value <= 0, tail, 1 - tail))
