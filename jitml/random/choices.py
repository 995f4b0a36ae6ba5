"""Random order and random choices."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy import arithmetic, cumulative, extremes, joining, manipulation
from jitml.numpy import elementwise as el
from jitml.numpy.indexing import take
from jitml.numpy.operands import as_axis, as_shape, fail, floated, operand, settle
from jitml.numpy.ranges import arange
from jitml.numpy.search import searchsorted
from jitml.ops.sort import sort
from jitml.ops.top_k import top_k
from jitml.random.distributions import gumbel, randint, uniform
from jitml.random.keys import random_bits, word_pairs, words_of
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, Shape


def permutation(
    key: Any,
    x: Any,
    axis: int = 0,
    independent: bool = False,
    *,
    out_sharding: object = None,
) -> Array:
    """The slices of `x` along an axis (or the integers below `x`) in random order.

    With `independent`, each line along the axis has an order of its own.

    >>> from jitml import random
    >>> print(permutation(random.key(0), 3).sum())
    3
    """
    words = words_of("permutation", key)
    if np.ndim(x) == 0:
        return settle(_shuffled(words, operand(arange(operator.index(x))), 0))
    value = operand(x, "random.permutation")
    where = as_axis(axis, type_of(value).ndim, "permutation")
    if independent or type_of(value).ndim == 1:
        return settle(_shuffled(words, value, where))
    order = _shuffled(words, operand(arange(type_of(value).shape[where])), 0)
    return take(settle(value), settle(order), where, mode="promise_in_bounds")


def _shuffled(words: tuple[Any, Any], x: Any, axis: int) -> Any:
    """`x` sorted by random keys, as often as makes equal keys improbable."""
    size = type_of(x).size
    rounds = math.ceil(3 * np.log(max(1, size)) / np.log(np.iinfo(np.uint32).max))
    for _ in range(rounds):
        words, now = word_pairs(words)
        _, x = sort([random_bits(now, 32, type_of(x).shape), x], axis, True, 1)
    return x


def choice(
    key: Any,
    a: Any,
    shape: Shape = (),
    replace: bool = True,
    p: ArrayLike | None = None,
    axis: int = 0,
    mode: str | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Random slices of `a` along an axis (or integers below `a`), with probabilities `p` if given.

    >>> from jitml import random
    >>> choice(random.key(0), 10, (3,), replace=False).shape
    (3,)
    """
    sizes = as_shape(shape, "random.choice")
    single = np.ndim(a) == 0
    source = None if single else operand(a, "random.choice")
    where = 0 if source is None else as_axis(axis, type_of(source).ndim, "choice")
    count = operator.index(a) if source is None else type_of(source).shape[where]
    draws = math.prod(sizes)
    _check_choice(count, draws, replace, p)
    if p is None and not replace:
        order = permutation(key, count if source is None else settle(source), where)
        found = settle(joining.take_slice(operand(order), where, 0, draws))
    else:
        places = _places(key, count, sizes, replace, p, mode)
        found = places if source is None else take(settle(source), places, where)
    outer: tuple[int, ...] = () if source is None else type_of(source).shape
    return manipulation.reshape(found, (*outer[:where], *sizes, *outer[where + 1 :]))


def _check_choice(count: int, draws: int, replace: bool, p: ArrayLike | None) -> None:
    if draws and not count:
        fail(ArgumentError, "random.choice: there is nothing to choose from")
    if not replace and draws > count:
        fail(
            ArgumentError,
            f"random.choice: {draws} draws of {count} without replacement",
            "pass replace=True, or draw fewer",
        )
    if p is not None and type_of(operand(p)).shape != (count,):
        fail(ShapeError, f"random.choice: p has shape {type_of(operand(p)).shape}, not ({count},)")


def _places(
    key: Any,
    count: int,
    shape: tuple[int, ...],
    replace: bool,
    p: ArrayLike | None,
    mode: str | None,
) -> Array:
    if p is None:
        return randint(key, shape, 0, count)
    chances = settle(floated("random.choice", p))
    if replace:
        sums = cumulative.cumsum(chances)
        total = take(sums, -1)
        drawn = total * (1 - uniform(key, shape, sums.dtype))
        return searchsorted(sums, drawn).astype(DEFAULT_DTYPES.of(int))
    noise = gumbel(key, (count,), chances.dtype, mode) + el.log(chances)
    return settle(top_k(operand(noise), math.prod(shape), 0)[1]).astype(DEFAULT_DTYPES.of(int))


def categorical(
    key: Any,
    logits: ArrayLike,
    axis: int = -1,
    shape: Shape | None = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Indices along an axis with probabilities proportional to exp(logits).

    >>> from jitml import random
    >>> import jitml.numpy as jnp
    >>> print(categorical(random.key(0), jnp.array([0.0, 100.0])))
    1
    """
    scores = settle(floated("random.categorical", logits))
    if dtypes.is_complex(scores.dtype):
        fail(ArgumentError, "random.categorical: logits are real")
    rank = scores.ndim
    where = as_axis(axis, rank, "categorical") - rank
    batch = tuple(n for k, n in enumerate(scores.shape) if k != where + rank)
    sizes = batch if shape is None else as_shape(shape, "random.categorical")
    cut = len(sizes) - len(batch)
    if cut < 0 or sizes[cut:] != batch:
        fail(
            ShapeError,
            f"random.categorical: the shape {sizes} does not end with that of the batch, {batch}",
        )
    prefix, length = sizes[:cut], scores.shape[where]
    if replace:
        inner = list(batch)
        inner.insert(where + rank, length)
        noise = gumbel(key, (*prefix, *inner), scores.dtype, mode)
        return extremes.argmax(arithmetic.add(noise, scores), axis=where)
    draws = math.prod(prefix)
    if draws > length:
        fail(ArgumentError, f"random.categorical: {draws} draws of {length} without replacement")
    noisy = scores + gumbel(key, scores.shape, scores.dtype, mode)
    places = top_k(operand(manipulation.moveaxis(noisy, where, -1)), draws, rank - 1)[1]
    turned = manipulation.moveaxis(settle(places), -1, 0)
    return manipulation.reshape(turned, (*prefix, *batch)).astype(DEFAULT_DTYPES.of(int))
