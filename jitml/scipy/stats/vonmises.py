"""The von Mises distribution of angles, around 0 with the concentration kappa."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.scipy import special
from jitml.scipy.stats.families import arrays, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, kappa: ArrayLike) -> Array:
    """The logarithm of the density at x.

    >>> print(round(float(logpdf(0.0, 1.0)), 4))
    -1.0738
    """
    angle, spread = arrays("vonmises.logpdf", x, kappa)
    # cos(x) − 1 without its cancellation.
    drop = -2 * jnp.sin(angle / 2) ** 2
    norm = math.log(2 * math.pi) + jnp.log(special.i0e(spread))
    return where_valid(spread > 0, spread * drop - norm)


def pdf(x: ArrayLike, kappa: ArrayLike) -> Array:
    """The density at x.

    >>> print(round(float(pdf(0.0, 1.0)), 4))
    0.3417
    """
    return jnp.exp(logpdf(x, kappa))
