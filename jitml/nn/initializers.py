"""Start values of weights: functions `init(key, shape, dtype)`, or functions that make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

import jitml.numpy as jnp
from jitml import random
from jitml.ir.dtypes import is_complex
from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import as_axis, as_dtype, as_shape, fail
from jitml.typing import Array, ArrayLike, DTypeLike, Shape

Initializer: TypeAlias = Callable[..., Array]
Axes: TypeAlias = int | Sequence[int]

# The standard deviation of normal samples cut off at ±2.
_CUT_DEVIATION = 0.87962566103423978


def _dtype(dtype: DTypeLike | None) -> Any:
    return as_dtype(float if dtype is None else dtype)


def zeros(
    key: Any, shape: Shape, dtype: DTypeLike | None = None, out_sharding: object = None
) -> Array:
    """Zeros.

    >>> print(zeros(None, (2,)))
    [0. 0.]
    """
    return jnp.zeros(shape, _dtype(dtype))


def ones(
    key: Any, shape: Shape, dtype: DTypeLike | None = None, out_sharding: object = None
) -> Array:
    """Ones.

    >>> print(ones(None, (2,)))
    [1. 1.]
    """
    return jnp.ones(shape, _dtype(dtype))


def constant(value: ArrayLike, dtype: DTypeLike | None = None) -> Initializer:
    """An initializer that gives one value.

    >>> print(constant(7.0)(None, (2,)))
    [7. 7.]
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        return jnp.full(shape, value, _dtype(dtype))

    return init


def uniform(scale: float = 1e-2, dtype: DTypeLike | None = None) -> Initializer:
    """An initializer with samples of [0, scale).

    >>> uniform()(random.key(0), (2,)).shape
    (2,)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        return random.uniform(key, shape, _dtype(dtype)) * scale

    return init


def normal(stddev: float = 1e-2, dtype: DTypeLike | None = None) -> Initializer:
    """An initializer with normal samples.

    >>> normal()(random.key(0), (2,)).shape
    (2,)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        return random.normal(key, shape, _dtype(dtype)) * stddev

    return init


def truncated_normal(
    stddev: float = 1e-2, dtype: DTypeLike | None = None, lower: float = -2.0, upper: float = 2.0
) -> Initializer:
    """An initializer with normal samples between `lower` and `upper` standard deviations.

    >>> truncated_normal()(random.key(0), (2,)).shape
    (2,)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        return random.truncated_normal(key, lower, upper, shape, _dtype(dtype)) * stddev

    return init


def _size(shape: tuple[int, ...], axes: Axes) -> int:
    chosen = (axes,) if isinstance(axes, int) else axes
    return math.prod(shape[k] for k in chosen)


def _fans(
    shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch: Axes
) -> tuple[float, float]:
    """How many inputs each output has, and the other way round."""
    if len(shape) <= 1:
        fail(
            ArgumentError,
            f"initializers: variance scaling needs 2 or more dimensions, the shape is {shape}",
            "biases are better started with zeros",
        )
    inputs, outputs = _size(shape, in_axis), _size(shape, out_axis)
    field = math.prod(shape) / inputs / outputs / _size(shape, batch)
    return inputs * field, outputs * field


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: DTypeLike | None = None,
) -> Initializer:
    """An initializer whose samples have the variance scale / n, with n by `mode` from the numbers
    of inputs and outputs: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".

    >>> init = variance_scaling(1.0, "fan_in", "truncated_normal")
    >>> init(random.key(0), (3, 4)).shape
    (3, 4)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        sizes, wanted = as_shape(shape, "initializers"), _dtype(dtype)
        fan_in, fan_out = _fans(sizes, in_axis, out_axis, batch_axis)
        counts = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }
        if mode not in counts:
            fail(ArgumentError, f"initializers: mode {mode!r} is not one of {', '.join(counts)}")
        variance = np.array(scale / counts[mode], np.float64)
        return _samples(distribution, key, sizes, wanted, float(variance))

    return init


def _samples(
    distribution: str, key: Any, shape: tuple[int, ...], dtype: Any, variance: float
) -> Array:
    deviation = jnp.sqrt(jnp.array(variance, dtype))
    if distribution == "normal":
        return random.normal(key, shape, dtype) * deviation
    if is_complex(dtype):
        fail(
            ArgumentError, f"initializers: {distribution} samples of {dtype.name} are not available"
        )
    if distribution == "uniform":
        return random.uniform(key, shape, dtype, -1) * jnp.sqrt(jnp.array(3 * variance, dtype))
    if distribution == "truncated_normal":
        cut = deviation / jnp.array(_CUT_DEVIATION, dtype)
        return random.truncated_normal(key, -2, 2, shape, dtype) * cut
    fail(
        ArgumentError,
        f"initializers: {distribution!r} is not a distribution",
        "it is 'normal', 'uniform' or 'truncated_normal'",
    )


def _scaling(name: str, scale: float, mode: str, distribution: str, summary: str) -> Any:
    def make(
        in_axis: Axes = -2,
        out_axis: Axes = -1,
        batch_axis: Axes = (),
        dtype: DTypeLike | None = None,
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{summary}\n\n    >>> {name}()(random.key(0), (3, 4)).shape\n    (3, 4)\n    "
    return make


glorot_uniform = xavier_uniform = _scaling(
    "glorot_uniform",
    1.0,
    "fan_avg",
    "uniform",
    "Uniform samples of variance 2 / (inputs + outputs).",
)
glorot_normal = xavier_normal = _scaling(
    "glorot_normal", 1.0, "fan_avg", "truncated_normal",
    "Normal samples of variance 2 / (inputs + outputs).",
)  # fmt: skip
lecun_uniform = _scaling(
    "lecun_uniform", 1.0, "fan_in", "uniform", "Uniform samples of variance 1 / inputs."
)
lecun_normal = _scaling(
    "lecun_normal", 1.0, "fan_in", "truncated_normal", "Normal samples of variance 1 / inputs."
)
he_uniform = kaiming_uniform = _scaling(
    "he_uniform", 2.0, "fan_in", "uniform", "Uniform samples of variance 2 / inputs."
)
he_normal = kaiming_normal = _scaling(
    "he_normal", 2.0, "fan_in", "truncated_normal", "Normal samples of variance 2 / inputs."
)


def orthogonal(
    scale: float = 1.0, column_axis: int = -1, dtype: DTypeLike | None = None
) -> Initializer:
    """An initializer with orthogonal matrices times `scale`, all equally likely.

    >>> orthogonal()(random.key(0), (3, 4)).shape
    (3, 4)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        sizes, wanted = as_shape(shape, "initializers"), _dtype(dtype)
        if len(sizes) < 2:
            fail(
                ArgumentError,
                f"initializers: orthogonal needs 2 or more dimensions, the shape is {sizes}",
            )
        if 0 in sizes:
            return jnp.zeros(sizes, wanted)
        axis = as_axis(column_axis, len(sizes), "orthogonal")
        rows, columns = math.prod(sizes) // sizes[axis], sizes[axis]
        matrix = random.orthogonal(key, rows, (), wanted, columns)
        spread = jnp.reshape(matrix, (*sizes[:axis], *sizes[axis + 1 :], columns))
        return jnp.array(scale, wanted) * jnp.moveaxis(spread, -1, axis)

    return init


def delta_orthogonal(
    scale: float = 1.0, column_axis: int = -1, dtype: DTypeLike | None = None
) -> Initializer:
    """An initializer of convolution kernels that are orthogonal at their centre and 0 elsewhere.

    >>> delta_orthogonal()(random.key(0), (3, 3, 4, 8)).shape
    (3, 3, 4, 8)
    """

    def init(key: Any, shape: Shape, dtype: DTypeLike | None = dtype) -> Array:
        sizes, wanted = as_shape(shape, "initializers"), _dtype(dtype)
        if len(sizes) not in (3, 4, 5):
            fail(
                ArgumentError,
                f"initializers: delta_orthogonal needs 3 to 5 dimensions, the shape is {sizes}",
            )
        if sizes[-1] < sizes[-2]:
            fail(
                ArgumentError,
                f"initializers: delta_orthogonal of {sizes[-2]} inputs needs as many outputs or "
                f"more, not {sizes[-1]}",
            )
        matrix = orthogonal(scale, column_axis)(key, sizes[-2:], wanted)
        centre = tuple((size - 1) // 2 for size in sizes[:-2])
        return jnp.zeros(sizes, wanted).at[centre].set(matrix)

    return init
