"""Distributions of vectors and matrices, and of numbers made of several draws.

Samples are those of `jax.random` but for rounding.
"""

from __future__ import annotations

from typing import Any

import jitml.numpy as jnp
from jitml.ir.arguments import as_integer
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy import linalg
from jitml.numpy.operands import (
    as_dtype,
    as_shape,
    expand_to,
    fail,
    joined_shape,
    promoted,
    settle,
)
from jitml.random.distributions import (
    exponential,
    float_dtype,
    maxwell,
    normal,
    parameter,
    rademacher,
    sample_shape,
    uniform,
)
from jitml.random.gamma import gamma
from jitml.random.keys import split
from jitml.typing import Array, ArrayLike, DTypeLike, Shape


def multivariate_normal(
    key: Any,
    mean: ArrayLike,
    cov: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    method: str = "cholesky",
    *,
    out_sharding: object = None,
) -> Array:
    """Normal vectors with a mean and a covariance, by "cholesky", "eigh" or "svd" of the latter.

    >>> from jitml import random
    >>> multivariate_normal(random.key(0), jnp.zeros(2), jnp.eye(2)).shape
    (2,)
    """
    if method not in ("cholesky", "eigh", "svd"):
        fail(
            ArgumentError,
            f"random.multivariate_normal: method {method!r} is not known",
            "it is 'cholesky', 'eigh' or 'svd'",
        )
    centre, spread = (
        settle(x) for x in promoted("random.multivariate_normal", mean, cov, to_inexact=True)
    )
    if not centre.ndim or spread.shape[-2:] != centre.shape[-1:] * 2:
        fail(
            ShapeError,
            "random.multivariate_normal: a mean of n elements needs a covariance of n × n; they "
            f"have shapes {centre.shape} and {spread.shape}",
        )
    wanted = centre.dtype if dtype is None else float_dtype("multivariate_normal", dtype)
    outer = joined_shape([centre.shape[:-1], spread.shape[:-2]])
    sizes = outer if shape is None else as_shape(shape, "random.multivariate_normal")
    if joined_shape([sizes, outer]) != sizes:
        fail(
            ShapeError,
            f"random.multivariate_normal: parameters of shape {outer} do not broadcast to {sizes}",
        )
    numbers = normal(key, (*sizes, centre.shape[-1]), wanted)
    return centre + jnp.einsum("...ij,...j->...i", _factor(spread, method), numbers)


def _factor(spread: Array, method: str) -> Array:
    """A matrix whose product with its transpose is the covariance."""
    if method == "cholesky":
        return linalg.cholesky(spread)
    if method == "eigh":
        values, vectors = linalg.eigh(spread)
    else:
        vectors, values, _ = linalg.svd(spread)
    return vectors * jnp.sqrt(values[..., None, :])


def orthogonal(
    key: Any,
    n: int,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
    m: int | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Orthogonal (or unitary) matrices of n rows and m columns, all equally likely.

    >>> from jitml import random
    >>> orthogonal(random.key(0), 3, m=2).shape
    (3, 2)
    """
    rows = as_integer("orthogonal", n)
    columns = rows if m is None else as_integer("orthogonal", m)
    outer = as_shape(shape, "random.orthogonal")
    wanted = as_dtype(float if dtype is None else dtype)
    numbers = normal(key, (*outer, max(rows, columns), min(rows, columns)), wanted)
    q, r = linalg.qr(numbers)
    found = q * jnp.expand_dims(jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1)), -2)
    return jnp.matrix_transpose(found) if rows < columns else found


def generalized_normal(
    key: Any,
    p: float,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples with the density exp(−|x|ᵖ), up to a factor.

    >>> from jitml import random
    >>> generalized_normal(random.key(0), 2.0, (3,)).shape
    (3,)
    """
    wanted = float_dtype("generalized_normal", dtype)
    first, second = split(key)
    size = gamma(first, 1 / p, as_shape(shape, "random.generalized_normal"), wanted)
    return rademacher(second, size.shape, wanted) * size ** (1 / p)


def ball(
    key: Any,
    d: int,
    p: float = 2,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Points of the unit ball of the p-norm in d dimensions, all equally likely.

    >>> from jitml import random
    >>> ball(random.key(0), 3, shape=(2,)).shape
    (2, 3)
    """
    wanted, outer = float_dtype("ball", dtype), as_shape(shape, "random.ball")
    first, second = split(key)
    points = generalized_normal(first, p, (*outer, as_integer("ball", d)), wanted)
    total = jnp.sum(jnp.abs(points) ** p, -1) + exponential(second, outer, wanted)
    return points / (total ** (1 / p))[..., None]


def double_sided_maxwell(
    key: Any,
    loc: ArrayLike,
    scale: ArrayLike,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
) -> Array:
    """Samples of the Maxwell distribution with random signs, moved and scaled; the shape is put
    before that of the parameters.

    >>> from jitml import random
    >>> double_sided_maxwell(random.key(0), 0.0, 1.0, (3,)).shape
    (3,)
    """
    wanted = float_dtype("double_sided_maxwell", dtype)
    own = sample_shape("double_sided_maxwell", None, loc, scale)
    outer = as_shape(shape, "random.double_sided_maxwell")
    sizes = (*(outer or own), *own)
    first, second = split(key)
    numbers = rademacher(second, sizes, wanted) * maxwell(first, sizes, wanted)
    place, factor = (settle(parameter(x, wanted, sizes)) for x in (loc, scale))
    return numbers * factor + place


def wald(
    key: Any,
    mean: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Wald (inverse Gaussian) distribution with a mean, and the scale 1.

    >>> from jitml import random
    >>> print(wald(random.key(0), 1.0) > 0)
    True
    """
    wanted = float_dtype("wald", dtype)
    sizes = sample_shape("wald", shape, mean)
    first, second = split(key)
    middle = settle(expand_to(parameter(mean, wanted, sizes), sizes))
    squares = normal(first, sizes, wanted) ** 2
    root = jnp.sqrt(4 * middle * squares + middle**2 * squares**2)
    x = middle + middle**2 * squares / 2 - middle / 2 * root
    is_low = uniform(second, sizes, wanted) <= middle / (middle + x)
    return jnp.where(is_low, x, middle**2 / x)
