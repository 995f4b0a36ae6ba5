"""Images in other sizes: the names, signatures and results of `jax.image`.

Each axis is resampled by a matrix of weights: what the elements of the image count for in those of
the result.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.lax import Precision
from jitml.numpy.operands import as_axes, as_shape, fail, floated, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Shape

__all__ = ["ResizeMethod", "resize", "scale_and_translate"]

_LEAST_WEIGHT = 1000 * float(np.finfo(np.float32).eps)


class ResizeMethod(enum.Enum):
    """How elements between those of an image are made."""

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of a name.

        >>> ResizeMethod.from_string("bilinear").name
        'LINEAR'
        """
        if s not in _NAMES:
            fail(ArgumentError, f"ResizeMethod: there is no method {s!r}",
                 f"they are {', '.join(_NAMES)}")  # fmt: skip
        return ResizeMethod[_NAMES[s]]


_NAMES = {
    "nearest": "NEAREST",
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), "LINEAR"),
    "lanczos3": "LANCZOS3",
    "lanczos5": "LANCZOS5",
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), "CUBIC"),
    **dict.fromkeys(("cubic-pytorch", "bicubic-pytorch"), "CUBIC_PYTORCH"),
    "area": "AREA",
}


def resize(
    image: ArrayLike,
    shape: Shape,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Array:
    """An image in another shape, which names all axes, those that do not change too.

    Methods: "nearest", "linear", "cubic", "cubic-pytorch", "lanczos3", "lanczos5", "area". With
    `antialias` an image that gets smaller is blurred first.

    >>> import jitml.numpy as jnp
    >>> print(resize(jnp.array([0.0, 4.0]), (4,), "linear"))
    [0. 1. 3. 4.]
    """
    x, sizes = _checked("resize", image, shape)
    kind = ResizeMethod.from_string(method) if isinstance(method, str) else method
    axes = [k for k, n in enumerate(sizes) if n != x.shape[k]]
    if kind is ResizeMethod.NEAREST:
        return _nearest(x, sizes, axes)
    scales = [sizes[k] / x.shape[k] if sizes[k] and x.shape[k] else 1.0 for k in axes]
    return _resampled(x, sizes, axes, scales, [0.0] * len(axes), kind, antialias)


def scale_and_translate(
    image: ArrayLike,
    shape: Shape,
    spatial_dims: Sequence[int],
    scale: ArrayLike,
    translation: ArrayLike,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Array:
    """An image of `shape` in which place p of `image` lies at p · scale + translation.

    `spatial_dims` names the axes that the elements of `scale` and `translation` belong to. What
    comes from outside of the image is 0.

    >>> import jitml.numpy as jnp
    >>> one = jnp.ones(1)
    >>> print(scale_and_translate(jnp.array([1.0, 2.0, 3.0]), (3,), (0,), one, one, "linear"))
    [0. 1. 2.]
    """
    x, sizes = _checked("scale_and_translate", image, shape)
    kind = ResizeMethod.from_string(method) if isinstance(method, str) else method
    if kind is ResizeMethod.NEAREST:
        fail(ArgumentError, "scale_and_translate: there is no method 'nearest'", "try 'linear'")
    axes = as_axes(tuple(spatial_dims), x.ndim, "scale_and_translate")
    factors, shifts = (settle(floated("scale_and_translate", v)) for v in (scale, translation))
    if not factors.shape == shifts.shape == (len(axes),):
        fail(
            ShapeError,
            f"scale_and_translate: scale {type_of(factors)} and translation {type_of(shifts)} "
            f"for {len(axes)} axes",
        )
    scales = [factors[k] for k in range(len(axes))]
    shift = [shifts[k] for k in range(len(axes))]
    return _resampled(x, sizes, axes, scales, shift, kind, antialias)


def _checked(name: str, image: ArrayLike, shape: Shape) -> tuple[Any, tuple[int, ...]]:
    x, sizes = jnp.asarray(image), as_shape(shape, name)
    if len(sizes) != x.ndim:
        fail(ShapeError, f"{name}: shape {sizes} for an image of type {type_of(x)}",
             "name the sizes of all axes")  # fmt: skip
    return x, sizes


def _nearest(x: Any, sizes: Sequence[int], axes: Sequence[int]) -> Any:
    for k in axes:
        offsets = (np.arange(sizes[k], dtype=np.float32) + 0.5) * x.shape[k] / sizes[k]
        x = jnp.take(x, np.floor(offsets.astype(np.float32)).astype(np.int32), axis=k)
    return x


# ---- weights --------------------------------------------------------------------------------


def _triangle(x: Any) -> Any:
    return jnp.maximum(0, 1 - x)


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        waves = radius * jnp.sin(np.pi * x) * jnp.sin(np.pi * x / radius)
        near = x <= 1e-3
        found = jnp.where(near, 1, waves / jnp.where(near, 1, np.pi**2 * x * x))
        return jnp.where(x > radius, 0, found)

    return kernel


def _cubic(a: float) -> Callable[[Any], Any]:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4."""

    def kernel(x: Any) -> Any:
        inner = ((a + 2) * x - (a + 3)) * x * x + 1
        outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return jnp.where(x >= 2, 0, jnp.where(x >= 1, outer, inner))

    return kernel


_KERNELS = {
    ResizeMethod.LINEAR: (1, _triangle),
    ResizeMethod.LANCZOS3: (3, _lanczos(3.0)),
    ResizeMethod.LANCZOS5: (5, _lanczos(5.0)),
    ResizeMethod.CUBIC: (2, _cubic(-0.5)),
    ResizeMethod.CUBIC_PYTORCH: (2, _cubic(-0.75)),
}


def _resampled(
    image: Any,
    sizes: Sequence[int],
    axes: Sequence[int],
    scales: Sequence[Any],
    shifts: Sequence[Any],
    kind: ResizeMethod,
    antialias: bool,
) -> Any:
    x = settle(floated("resize", image))
    if kind is ResizeMethod.CUBIC_PYTORCH and antialias:
        kind = ResizeMethod.CUBIC
    for axis, scale, shift in zip(axes, scales, shifts, strict=True):
        counts = x.shape[axis], sizes[axis]
        if kind is ResizeMethod.AREA:
            weights = _normal(_areas(*counts, scale, shift), *counts, scale, shift)
        elif kind is ResizeMethod.CUBIC_PYTORCH:
            weights = _repeating_edges(*counts, scale, shift)
        else:
            weights = _weights(*counts, scale, shift, kind, antialias)
        moved = jnp.moveaxis(x, axis, -1) @ weights.astype(x.dtype)
        x = jnp.moveaxis(moved, -1, axis)
    return x


def _samples(count: int, scale: Any, shift: Any) -> Any:
    """Where the elements of the result lie in the image."""
    dtype = jnp.result_type(scale, shift, float)
    inverse = 1.0 / scale
    return (jnp.arange(count, dtype=dtype) + 0.5) * inverse - shift * inverse - 0.5


def _weights(
    given: int, wanted: int, scale: Any, shift: Any, kind: ResizeMethod, antialias: bool
) -> Any:
    """What each of `given` elements counts for in each of `wanted` ones."""
    places = _samples(wanted, scale, shift)
    spread = jnp.maximum(1.0 / scale, 1.0) if antialias else 1.0
    distance = jnp.abs(places - jnp.arange(given, dtype=places.dtype)[:, None]) / spread
    return _normal(_KERNELS[kind][1](distance), given, wanted, scale, shift)


def _areas(given: int, wanted: int, scale: Any, shift: Any) -> Any:
    """How much of each element lies in each one of the result."""
    inverse = 1.0 / scale
    left = (jnp.arange(wanted) - shift) * inverse
    element = jnp.arange(given, dtype=left.dtype)[:, None]
    shared = jnp.minimum(left + inverse, element + 1) - jnp.maximum(left, element)
    return jnp.maximum(0.0, shared)


def _shared_out(weights: Any) -> Any:
    """Weights that add up to 1 for each element of the result, where they are no rounding error."""
    total = weights.sum(0, keepdims=True)
    is_some = jnp.abs(total) > _LEAST_WEIGHT
    return jnp.where(is_some, weights / jnp.where(is_some, total, 1), 0)


def _normal(weights: Any, given: int, wanted: int, scale: Any, shift: Any) -> Any:
    """The same, and 0 for what lies outside of the image."""
    places = _samples(wanted, scale, shift)
    return jnp.where((places >= -0.5) & (places <= given - 0.5), _shared_out(weights), 0)


def _repeating_edges(given: int, wanted: int, scale: Any, shift: Any) -> Any:
    """Weights of an image whose outermost elements go on: what they count for is added up."""
    radius, kernel = _KERNELS[ResizeMethod.CUBIC_PYTORCH]
    places = _samples(wanted, scale, shift)
    beyond = math.ceil(radius)
    element = jnp.arange(-beyond, given + beyond, dtype=places.dtype)[:, None]
    spread = kernel(jnp.abs(places - element))
    inner = spread[beyond : beyond + given]
    inner = inner.at[0].add(spread[:beyond].sum(0)).at[-1].add(spread[beyond + given :].sum(0))
    return _shared_out(inner)
