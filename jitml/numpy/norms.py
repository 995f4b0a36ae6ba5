"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.numpy import extremes, reductions
from jitml.numpy.elementwise import absolute
from jitml.numpy.operands import as_axes, fail, floated, settle
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.typing import Array, ArrayLike


def norm(x: ArrayLike, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors, or of matrices (Frobenius, 1 and ∞), along axes.

    >>> import jitml.numpy as jnp
    >>> print(norm(jnp.array([3.0, 4.0])))
    5.0
    """
    value = settle(floated("norm", x))
    rank = value.ndim
    axes = as_axes(axis, rank, "norm")
    size = absolute(value)
    if ord is None or (ord in ("fro", "f") and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return settle(ew.sqrt(reductions.sum(size * size, axes, keepdims=keepdims)))
    if axis is None and rank > 2:
        fail(ArgumentError, f"norm: ord={ord!r} needs one or two axes, the array has {rank}")
    if len(axes) == 1:
        return _vector_norm(size, ord, axes[0], keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        summed, kept = axes if abs(ord) == 1 else axes[::-1]
        totals = reductions.sum(size, summed, keepdims=True)
        found = (extremes.max if ord > 0 else extremes.min)(totals, kept, keepdims=True)
        return found if keepdims else settle(mv.squeeze(found, sorted(axes)))
    fail(
        ArgumentError,
        f"norm: ord={ord!r} of matrices is not available",
        "use 'fro', 1, -1, inf or -inf",
    )


def _vector_norm(size: Any, ord: Any, axis: int, keepdims: bool) -> Array:
    if ord in (math.inf, -math.inf):
        return (extremes.max if ord > 0 else extremes.min)(size, axis, keepdims=keepdims)
    if ord == 0:
        return reductions.sum((size != 0).astype(size.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(size, axis, keepdims=keepdims)
    if isinstance(ord, str):
        fail(ArgumentError, f"norm: ord={ord!r} is for matrices, the array is a vector")
    return reductions.sum(size**ord, axis, keepdims=keepdims) ** (1.0 / ord)
