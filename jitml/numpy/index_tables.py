"""Positions of diagonals and triangles, an array of indices for each axis.

In: sizes, or an array whose shape says them. Out: indices of the default integer dtype.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.numpy.creation import asarray, ones, zeros
from jitml.numpy.joining import stack
from jitml.numpy.manipulation import reshape
from jitml.numpy.operands import as_dtype, as_shape, fail, operand, settle
from jitml.numpy.positions import nonzero
from jitml.numpy.ranges import arange
from jitml.ops.movement import iota
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "diag_indices", "diag_indices_from", "indices", "mask_indices", "tril_indices",
    "tril_indices_from", "triu_indices", "triu_indices_from",
]  # fmt: skip


def diag_indices(n: int, ndim: int = 2) -> tuple[Array, ...]:
    """The positions of the main diagonal of an array whose `ndim` sizes are `n`.

    >>> import jitml.numpy as jnp
    >>> print(jnp.zeros((2, 2)).at[diag_indices(2)].set(1))
    [[1. 0.]
     [0. 1.]]
    """
    (count,), axes = as_shape(n, "diag_indices"), operator.index(ndim)
    if axes < 0:
        fail(ArgumentError, f"diag_indices: ndim must not be negative, got {axes}")
    return (arange(count),) * axes


def diag_indices_from(arr: ArrayLike) -> tuple[Array, ...]:
    """The positions of the main diagonal of an array whose sizes are all equal.

    >>> import jitml.numpy as jnp
    >>> print(diag_indices_from(jnp.ones((2, 2)))[0])
    [0 1]
    """
    shape = _shape("diag_indices_from", arr)
    if len(shape) < 2 or len(set(shape)) > 1:
        fail(
            ArgumentError,
            f"diag_indices_from: needs two axes at least, all of one size; the shape is {shape}",
        )
    return diag_indices(shape[0], len(shape))


def _shape(name: str, arr: Any) -> tuple[int, ...]:
    """The shape of an array, or of anything that has one."""
    return tuple(arr.shape) if hasattr(arr, "shape") else type_of(operand(arr, name)).shape


def _triangle(rows: int, k: int, columns: int | None, is_lower: bool) -> tuple[Array, Array]:
    """Counted by NumPy: the sizes are known, and the positions are constants."""
    name = "tril_indices" if is_lower else "triu_indices"
    height, width = as_shape((rows, rows if columns is None else columns), name)
    below = np.tri(height, width, k=operator.index(k) - (not is_lower), dtype=bool)
    found = np.nonzero(below if is_lower else ~below)
    first, second = (asarray(p.astype(DEFAULT_DTYPES.of(int))) for p in found)
    return first, second


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The positions on and below the k-th diagonal of an n × m matrix.

    >>> print(*tril_indices(2))
    [0 1 1] [0 0 1]
    """
    return _triangle(n, k, m, is_lower=True)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The positions on and above the k-th diagonal of an n × m matrix.

    >>> print(*triu_indices(2))
    [0 0 1] [0 1 1]
    """
    return _triangle(n, k, m, is_lower=False)


def _matrix_shape(name: str, arr: Any) -> tuple[int, int]:
    shape = _shape(name, arr)
    if len(shape) != 2:
        fail(ArgumentError, f"{name}: needs a matrix, got an array of shape {shape}")
    return shape[0], shape[1]


def tril_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Array, Array]:
    """The positions on and below the k-th diagonal of a matrix.

    >>> import jitml.numpy as jnp
    >>> print(*tril_indices_from(jnp.ones((2, 2))))
    [0 1 1] [0 0 1]
    """
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Array, Array]:
    """The positions on and above the k-th diagonal of a matrix.

    >>> import jitml.numpy as jnp
    >>> print(*triu_indices_from(jnp.ones((2, 2))))
    [0 0 1] [0 1 1]
    """
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(
    n: int, mask_func: Callable[..., Any], k: Any = 0, *, size: int | None = None
) -> tuple[Array, ...]:
    """The positions that `mask_func(matrix, k)` leaves of an n × n matrix of ones.

    >>> import jitml.numpy as jnp
    >>> print(*mask_indices(2, jnp.triu))
    [0 0 1] [0 1 1]
    """
    (count,) = as_shape(n, "mask_indices")
    return nonzero(mask_func(ones((count, count)), k), size=size)


def indices(dimensions: Sequence[int], dtype: DTypeLike | None = None, sparse: bool = False) -> Any:
    """The position along each axis of every element of an array with these sizes.

    With `sparse` a tuple of arrays that broadcast to them, else one array.

    >>> print(indices((2, 2)))
    [[[0 0]
      [1 1]]
    <BLANKLINE>
     [[0 1]
      [0 1]]]
    """
    sizes = as_shape(dimensions, "indices")
    wanted = as_dtype("int" if dtype is None else dtype)
    if not sparse:
        positions = [settle(iota(wanted, sizes, k)) for k in range(len(sizes))]
        return stack(positions) if positions else zeros((0,), wanted)
    rank = len(sizes)
    return tuple(
        reshape(arange(n, dtype=wanted), (1,) * k + (n,) + (1,) * (rank - 1 - k))
        for k, n in enumerate(sizes)
    )
