"""Distributions of counts; samples are those of `jax.random`."""

from __future__ import annotations

from typing import Any

import jitml.numpy as jnp
from jitml import lax
from jitml.ir import dtypes
from jitml.ir.errors import DTypeError, ShapeError
from jitml.numpy.operands import as_dtype, as_shape, expand_to, fail, promoted, settle
from jitml.random.distributions import float_dtype, parameter, sample_shape
from jitml.random.keys import split_words, words_of
from jitml.random.rejection import binomial_samples, poisson_samples
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike, Shape


def poisson(
    key: Any,
    lam: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Poisson distribution with the rate lam; −1 where that is no rate.

    >>> from jitml import random
    >>> print(poisson(random.key(0), 0.0))
    0
    """
    wanted = as_dtype(int if dtype is None else dtype)
    if not dtypes.is_integer(wanted):
        fail(DTypeError, f"random.poisson: samples are integers, not {wanted.name}")
    sizes = sample_shape("poisson", shape, lam)
    rate = settle(expand_to(parameter(lam, dtypes.FLOAT32, sizes), sizes))
    words = jnp.stack([settle(word) for word in words_of("poisson", key)])
    return lax.convert_element_type(poisson_samples(words, rate), wanted)


def binomial(
    key: Any,
    n: ArrayLike,
    p: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """How many of n trials of probability p succeed; NaN where there are no such n and p.

    >>> from jitml import random
    >>> print(binomial(random.key(0), 10, 1.0))
    10.0
    """
    wanted = float_dtype("binomial", dtype)
    sizes = sample_shape("binomial", shape, n, p)
    (chance,) = promoted("random.binomial", p, to_inexact=True)
    working = type_of(chance).dtype
    count, chance = (settle(expand_to(parameter(x, working, sizes), sizes)) for x in (n, chance))
    words = jnp.stack([settle(word) for word in words_of("binomial", key)])
    return lax.convert_element_type(binomial_samples(words, count, chance), wanted)


def multinomial(
    key: Any,
    n: ArrayLike,
    p: ArrayLike,
    *,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    unroll: int | bool = 1,
) -> Array:
    """How often each class comes up in n trials, with the probabilities p along its last axis.

    >>> from jitml import random
    >>> print(multinomial(random.key(0), 5, jnp.array([0.5, 0.5])).sum())
    5.0
    """
    wanted = float_dtype("multinomial", dtype)
    total, chances = (settle(x) for x in promoted("random.multinomial", n, p, to_inexact=True))
    if not chances.ndim:
        fail(ShapeError, "random.multinomial: p has at least one dimension, that of the classes")
    sizes = chances.shape if shape is None else as_shape(shape, "random.multinomial")
    if shape is not None and sizes[-1:] != chances.shape[-1:]:
        sizes = (*sizes, chances.shape[-1])
    chances = jnp.moveaxis(jnp.broadcast_to(chances, sizes), -1, 0)
    left = jnp.flip(jnp.cumsum(jnp.flip(chances, 0), 0), 0)
    ratios = jnp.clip(chances / jnp.where(left == 0, 1, left), 0, 1)
    rows = settle(split_words(words_of("multinomial", key), chances.shape[:1]))

    def take(rest: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        row, ratio = step
        count = binomial_samples(row, rest, ratio)
        return rest - count, count

    _, counts = lax.scan(take, jnp.broadcast_to(total, sizes[:-1]), (rows, ratios), unroll=unroll)
    return jnp.moveaxis(counts, 0, -1).astype(wanted)
