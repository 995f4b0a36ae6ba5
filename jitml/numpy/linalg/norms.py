"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

import math
from typing import Any

from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy import extremes, reductions
from jitml.numpy.elementwise import absolute
from jitml.numpy.linalg.operands import checked, matrices, square_matrices
from jitml.numpy.manipulation import expand_dims, moveaxis
from jitml.numpy.operands import as_axes, fail, floated, settle
from jitml.ops import elementwise as ew
from jitml.ops.linalg import svd as svd_op
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

_SUMS = (1, -1, math.inf, -math.inf)


def norm(x: ArrayLike, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors along one axis, or of matrices along two; of all elements by default.

    `ord` of vectors: any number, inf or −inf. Of matrices: "fro", "nuc", 1, −1, 2, −2, inf, −inf.

    >>> import jitml.numpy as jnp
    >>> print(norm(jnp.array([3.0, 4.0])))
    5.0
    """
    value = settle(floated("norm", x))
    axes = as_axes(axis, value.ndim, "norm")
    if ord is None:
        size = absolute(value)
        return settle(ew.sqrt(reductions.sum(size * size, axes, keepdims=keepdims)))
    if len(axes) == 1:
        return _vector_norm(absolute(value), ord, axes[0], keepdims)
    if len(axes) != 2:
        fail(ArgumentError, f"norm: ord={ord!r} needs one or two axes, the array has {len(axes)}")
    return _matrix_norm(value, ord, axes, keepdims)


def _vector_norm(size: Any, ord: Any, axes: Any, keepdims: bool) -> Array:
    if isinstance(ord, str):
        fail(ArgumentError, f"norm: ord={ord!r} is for matrices, the array is a vector")
    if ord in (math.inf, -math.inf):
        return (extremes.max if ord > 0 else extremes.min)(size, axes, keepdims=keepdims)
    if ord == 0:
        return reductions.sum((size != 0).astype(size.dtype), axes, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(size, axes, keepdims=keepdims)
    if ord == 2:
        return settle(ew.sqrt(reductions.sum(size * size, axes, keepdims=keepdims)))
    return reductions.sum(size**ord, axes, keepdims=keepdims) ** (1.0 / ord)


def _matrix_norm(value: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    size = absolute(value)
    if ord in ("fro", "f"):
        return settle(ew.sqrt(reductions.sum(size * size, axes, keepdims=keepdims)))
    if ord in _SUMS:
        summed, kept = axes if abs(ord) == 1 else axes[::-1]
        totals = reductions.sum(size, summed, keepdims=True)
        found = (extremes.max if ord > 0 else extremes.min)(totals, kept, keepdims=True)
        return found if keepdims else reductions.sum(found, axes)
    if ord not in ("nuc", 2, -2):
        fail(
            ArgumentError,
            f"norm: ord={ord!r} is no norm of matrices",
            "it is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf",
        )
    ends = (-2, -1)
    s = settle(svd_op.svd(checked("norm", moveaxis(value, axes, ends)), False, False)[0])
    fold = reductions.sum if ord == "nuc" else (extremes.max if ord == 2 else extremes.min)
    found = fold(s, -1)
    return expand_dims(found, tuple(sorted(axes))) if keepdims else found


def vector_norm(
    x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2
) -> Array:
    """The norm of vectors along `axis`, or of all elements together.

    >>> import jitml.numpy as jnp
    >>> print(vector_norm(jnp.array([[3.0], [4.0]])))
    5.0
    """
    size = absolute(settle(floated("vector_norm", x)))
    axes = as_axes(axis, size.ndim, "vector_norm")
    return _vector_norm(size, ord, axes, keepdims)


def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of matrices in the last two axes.

    >>> import jitml.numpy as jnp
    >>> print(matrix_norm(jnp.array([[3.0, 0.0], [0.0, 4.0]])))
    5.0
    """
    value = settle(floated("matrix_norm", x))
    if value.ndim < 2:
        fail(ShapeError, f"matrix_norm: {type_of(value)} is no matrix")
    return norm(value, ord, (-2, -1), keepdims)


def cond(x: ArrayLike, p: Any = None) -> Array:
    """The condition number: the norm of matrices times that of their inverse.

    `p` is an `ord` of `norm`; None and 2 are the largest singular value over the smallest one.

    >>> import jitml.numpy as jnp
    >>> print(cond(jnp.array([[1.0, 0.0], [0.0, 2.0]])))
    2.0
    """
    from jitml.numpy.linalg.solving import inv

    if p in (None, 2, -2):
        s = settle(svd_op.svd(matrices("cond", x), False, False)[0])
        largest, smallest = s[..., 0], s[..., -1]
        ratio = smallest / largest if p == -2 else largest / smallest
        return ratio
    value = square_matrices("cond", x)
    return norm(value, p, (-2, -1)) * norm(inv(value), p, (-2, -1))
