"""The Dirichlet distribution of probabilities that add up to 1."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.ir.errors import ShapeError
from jitml.numpy.operands import fail, promoted, settle
from jitml.scipy import special
from jitml.typing import Array, ArrayLike

__all__ = ["logpdf", "pdf"]


_SLACK = 1e-6  # what a sum may differ from 1


def logpdf(x: ArrayLike, alpha: ArrayLike) -> Array:
    """The logarithm of the density of probabilities along the first axis; the last of them may be
    left out.

    >>> print(logpdf(jnp.array([0.5, 0.5]), jnp.array([1.0, 1.0])))
    0.0
    """
    points, weights = (settle(v) for v in promoted("dirichlet.logpdf", x, alpha, to_inexact=True))
    count = weights.shape[0] if weights.ndim == 1 else -1
    if not points.ndim or points.shape[0] not in (count, count - 1):
        fail(
            ShapeError,
            f"dirichlet.logpdf: alpha of shape {weights.shape} for x of shape {points.shape}",
            "alpha is of n elements, and the first axis of x of n or n − 1",
        )
    if points.shape[0] != count:
        points = jnp.concatenate([points, 1 - jnp.sum(points, 0, keepdims=True)])
    norm = jnp.sum(special.gammaln(weights)) - special.gammaln(jnp.sum(weights))
    spread = jnp.reshape(weights, (count, *[1] * (points.ndim - 1)))
    total = jnp.sum(special.xlogy(spread - 1, points), 0) - norm
    valid = jnp.all(points > 0, 0) & (jnp.abs(jnp.sum(points, 0) - 1) < _SLACK)
    return jnp.where(valid, total, -jnp.inf)


def pdf(x: ArrayLike, alpha: ArrayLike) -> Array:
    """The density.

    >>> print(pdf(jnp.array([0.5, 0.5]), jnp.array([1.0, 1.0])))
    1.0
    """
    return jnp.exp(logpdf(x, alpha))
