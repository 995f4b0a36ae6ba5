"""The normal distribution of vectors."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail, promoted, settle
from jitml.scipy.linalg import solve_triangular
from jitml.typing import Array, ArrayLike

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike, allow_singular: None = None) -> Array:
    """The logarithm of the density of vectors along the last axis.

    `cov` is a matrix, or a variance that all elements have.

    >>> print(logpdf(jnp.zeros(2), jnp.zeros(2), jnp.eye(2)))
    -1.837877
    """
    if allow_singular is not None:
        fail(ArgumentError, "multivariate_normal.logpdf: allow_singular is not supported")
    point, centre, spread = (
        settle(v) for v in promoted("multivariate_normal.logpdf", x, mean, cov, to_inexact=True)
    )
    away = point - centre
    if not centre.ndim:
        return -0.5 * (away * away / spread + math.log(2 * math.pi) + jnp.log(spread))
    count = centre.shape[-1]
    if not spread.ndim:
        squares = jnp.sum(away * away, -1) / spread
        return -0.5 * (squares + count * (math.log(2 * math.pi) + jnp.log(spread)))
    if spread.shape[-2:] != (count, count):
        fail(
            ShapeError,
            f"multivariate_normal.logpdf: a mean of shape {centre.shape} needs a covariance of "
            f"{count} × {count}, not of shape {spread.shape}",
        )
    factor = jnp.linalg.cholesky(spread)
    outer = jnp.broadcast_shapes(away.shape[:-1], factor.shape[:-2])
    away = jnp.broadcast_to(away, (*outer, count))
    factor = jnp.broadcast_to(factor, (*outer, count, count))
    scaled = solve_triangular(factor, away[..., None], lower=True)[..., 0]
    size = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), -1)
    return -0.5 * (jnp.sum(scaled * scaled, -1) + count * math.log(2 * math.pi)) - size


def pdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """The density of vectors along the last axis.

    >>> print(pdf(0.0, 0.0, 1.0))
    0.3989423
    """
    return jnp.exp(logpdf(x, mean, cov))
