"""The gamma distribution and those that are made of it; samples are those of `jax.random`.

They have derivatives by their parameters.
"""

from __future__ import annotations

import math
from typing import Any

import jitml.numpy as jnp
from jitml.ir.dtypes import DType
from jitml.ir.errors import ShapeError
from jitml.nn.activations import softmax
from jitml.numpy.operands import as_shape, expand_to, fail, operand, settle
from jitml.random.distributions import float_dtype, normal, parameter, sample_shape
from jitml.random.keys import child, split_words, words_of
from jitml.random.rejection import gamma_samples
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike, Shape


def gamma(
    key: Any,
    a: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the gamma distribution with the shape parameter a.

    >>> from jitml import random
    >>> print(gamma(random.key(0), 2.0) > 0)
    True
    """
    return _gamma("gamma", key, a, shape, dtype, False)


def loggamma(
    key: Any,
    a: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Logarithms of samples of the gamma distribution, which for a small a are tiny.

    >>> from jitml import random
    >>> print(loggamma(random.key(0), 1e-9) < -1000)
    True
    """
    return _gamma("loggamma", key, a, shape, dtype, True)


def _gamma(
    name: str,
    key: Any,
    a: ArrayLike,
    shape: Shape | None,
    dtype: DTypeLike | None,
    in_logarithm: bool,
) -> Array:
    wanted = float_dtype(name, dtype)
    sizes = sample_shape(name, shape, a)
    shapes = parameter(a, wanted, sizes)
    return _samples(words_of(name, key), shapes, sizes, in_logarithm)


def _samples(words: Any, a: Any, shape: tuple[int, ...], in_logarithm: bool) -> Array:
    """Samples of shapes that broadcast to `shape`, each with a key of its own."""
    shapes = jnp.reshape(settle(expand_to(a, shape)), -1)
    rows = settle(split_words(words, (math.prod(shape),)))
    return jnp.reshape(gamma_samples(rows, shapes, in_logarithm), shape)


def chisquare(
    key: Any,
    df: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the chi-square distribution with df degrees of freedom.

    >>> from jitml import random
    >>> print(chisquare(random.key(0), 3.0) > 0)
    True
    """
    wanted = float_dtype("chisquare", dtype)
    sizes = sample_shape("chisquare", shape, df)
    return _chisquare(words_of("chisquare", key), df, sizes, wanted)


def _chisquare(words: Any, df: ArrayLike, shape: tuple[int, ...], dtype: DType) -> Array:
    half = operand(settle(parameter(df, dtype, shape)) / 2)
    return jnp.exp(_samples(words, half, shape, True)) * 2


def f(
    key: Any,
    dfnum: ArrayLike,
    dfden: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the F distribution, with the degrees of freedom above and below.

    >>> from jitml import random
    >>> print(f(random.key(0), 3.0, 4.0) > 0)
    True
    """
    wanted = float_dtype("f", dtype)
    sizes = sample_shape("f", shape, dfnum, dfden)
    words = words_of("f", key)
    below, above = (
        _chisquare(_operands(child(words, k)), df, sizes, wanted)
        / settle(parameter(df, wanted, sizes))
        for k, df in enumerate((dfden, dfnum))
    )
    return above / below


def _operands(words: Any) -> tuple[Any, Any]:
    first, second = words
    return operand(first), operand(second)


def t(
    key: Any,
    df: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of Student's t distribution with df degrees of freedom.

    >>> from jitml import random
    >>> t(random.key(0), 3.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("t", dtype)
    sizes = sample_shape("t", shape, df)
    words = words_of("t", key)
    half = settle(parameter(df, wanted, sizes)) / 2
    numbers = normal(jnp.stack(child(words, 0)), sizes, wanted)
    below = _samples(_operands(child(words, 1)), operand(half), sizes, False)
    return numbers * jnp.sqrt(half / below)


def beta(
    key: Any,
    a: ArrayLike,
    b: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the beta distribution.

    >>> from jitml import random
    >>> print(beta(random.key(0), 2.0, 3.0) < 1)
    True
    """
    wanted = float_dtype("beta", dtype)
    sizes = sample_shape("beta", shape, a, b)
    words = words_of("beta", key)
    first, second = (
        _samples(_operands(child(words, k)), parameter(x, wanted, sizes), sizes, True)
        for k, x in enumerate((a, b))
    )
    top = jnp.maximum(first, second)
    part, other = jnp.exp(first - top), jnp.exp(second - top)
    return part / (part + other)


def dirichlet(
    key: Any,
    alpha: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Dirichlet distribution, along a last axis as long as that of alpha.

    >>> from jitml import random
    >>> dirichlet(random.key(0), jnp.ones(3)).shape
    (3,)
    """
    wanted = float_dtype("dirichlet", dtype)
    own = type_of(operand(alpha, "random.dirichlet")).shape
    if not own:
        fail(ShapeError, "random.dirichlet: alpha has at least one dimension, that of the classes")
    outer = own[:-1] if shape is None else as_shape(shape, "random.dirichlet")
    sizes = sample_shape("dirichlet", (*outer, own[-1]), alpha)
    words = words_of("dirichlet", key)
    logarithms = _samples(words, parameter(alpha, wanted, sizes), sizes, True)
    return softmax(logarithms, -1)
