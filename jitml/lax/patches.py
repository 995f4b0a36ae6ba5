"""Patches of arrays in `jitml.lax`, and convolutions whose kernel differs from place to place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jitml.numpy as jnp
from jitml.lax.contraction import conv_general_dilated, dot_general
from jitml.ops.convolution import conv_dimension_numbers
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["conv_general_dilated_local", "conv_general_dilated_patches"]


def conv_general_dilated_patches(
    lhs: ArrayLike,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """What a convolution sees at each place, along the axis of features: (feature, window…).

    >>> import jitml.numpy as jnp
    >>> print(conv_general_dilated_patches(jnp.arange(4.0).reshape(1, 1, 4), (2,), (1,), "VALID"))
    [[[0. 1. 2.]
      [1. 2. 3.]]]
    """
    x = jnp.asarray(lhs)
    numbers = conv_dimension_numbers(x.ndim, dimension_numbers)
    features, size = x.shape[numbers.lhs_spec[1]], math.prod(filter_shape)
    units = jnp.tile(jnp.eye(size, dtype=x.dtype), (features, 1))
    kernel = units.reshape(features * size, 1, *filter_shape)
    return conv_general_dilated(
        x, jnp.moveaxis(kernel, range(x.ndim), numbers.rhs_spec), window_strides, padding,
        lhs_dilation, rhs_dilation, numbers, features,
        precision=precision, preferred_element_type=preferred_element_type,
    )  # fmt: skip


def conv_general_dilated_local(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Array:
    """A convolution with a kernel of its own at each place.

    The spatial axes of `rhs` count the places; its axis of input features holds (feature, window…).

    >>> import jitml.numpy as jnp
    >>> x, kernels = jnp.ones((1, 1, 4)), jnp.ones((2, 2, 3))
    >>> conv_general_dilated_local(x, kernels, (1,), "VALID", (2,)).shape
    (1, 2, 3)
    """
    x = jnp.asarray(lhs)
    patches = conv_general_dilated_patches(
        x, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers
    )
    _, kernel, out = conv_dimension_numbers(x.ndim, dimension_numbers)
    places = sorted(zip(out[2:], kernel[2:], strict=True))
    batched = [a for a, _ in places], [b for _, b in places]
    found = dot_general(patches, rhs, (((out[1],), (kernel[1],)), batched), precision)
    return jnp.moveaxis(found, (-2, -1), out[:2])
