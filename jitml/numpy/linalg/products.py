"""Products and parts of matrices, under the signatures that `linalg` has for them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy import linear_algebra, matrices
from jitml.numpy.linear_algebra import vecdot
from jitml.numpy.manipulation import broadcast_to
from jitml.numpy.operands import fail, operand, promoted, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "cross", "diagonal", "matmul", "matrix_power", "multi_dot", "outer", "tensordot", "trace",
    "vecdot",
]  # fmt: skip


def matmul(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The product of matrices in the last two axes.

    >>> import jitml.numpy as jnp
    >>> print(matmul(jnp.ones((2, 3)), jnp.ones((3, 1))))
    [[3.]
     [3.]]
    """
    return linear_algebra.matmul(
        x1, x2, precision=precision, preferred_element_type=preferred_element_type
    )


def tensordot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axes: Any = 2,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """Sums of products over the last axes of one array and the first of the other, or over `axes`
    of both.

    >>> import jitml.numpy as jnp
    >>> print(tensordot(jnp.ones((2, 3)), jnp.ones((2, 3))))
    6.0
    """
    return linear_algebra.tensordot(
        x1, x2, axes, precision=precision, preferred_element_type=preferred_element_type
    )


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Array:
    """The cross product of vectors of three elements along `axis`.

    >>> import jitml.numpy as jnp
    >>> print(cross(jnp.array([1, 0, 0]), jnp.array([0, 1, 0])))
    [0 0 1]
    """
    for x in (x1, x2):
        shape = type_of(operand(x, "cross")).shape
        if not shape or shape[axis] != 3:
            fail(ShapeError, f"linalg.cross: vectors must have 3 elements along axis {axis}, not "
                 f"{type_of(operand(x))}")  # fmt: skip
    return linear_algebra.cross(x1, x2, axis=axis)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """All products of an element of one vector and one of the other.

    >>> import jitml.numpy as jnp
    >>> print(outer(jnp.array([1, 2]), jnp.array([3, 4])))
    [[3 4]
     [6 8]]
    """
    for x in (x1, x2):
        if type_of(operand(x, "outer")).ndim != 1:
            fail(ShapeError, f"linalg.outer: {type_of(operand(x))} is no vector",
                 "jitml.numpy.outer ravels its arguments")  # fmt: skip
    return linear_algebra.outer(x1, x2)


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Array:
    """A diagonal of matrices.

    >>> import jitml.numpy as jnp
    >>> print(diagonal(jnp.array([[1, 2], [3, 4]])))
    [1 4]
    """
    return matrices.diagonal(x, offset, -2, -1)


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike | None = None) -> Array:
    """The sum of a diagonal of matrices.

    >>> import jitml.numpy as jnp
    >>> print(trace(jnp.array([[1, 2], [3, 4]])))
    5
    """
    return matrices.trace(x, offset, -2, -1, dtype)


def matrix_power(a: ArrayLike, n: int) -> Array:
    """The n-th power of square matrices; of their inverse, if n is negative.

    >>> import jitml.numpy as jnp
    >>> print(matrix_power(jnp.array([[1, 1], [0, 1]]), 3))
    [[1 3]
     [0 1]]
    """
    from jitml.numpy.linalg.solving import inv

    x = settle(operand(a, "matrix_power"))
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        fail(ShapeError, f"matrix_power: {type_of(x)} is no square matrix")
    try:
        exponent = operator.index(n)
    except TypeError:
        fail(ArgumentError, f"matrix_power: n must be an integer, not {n!r}")
    if exponent < 0:
        x, exponent = inv(x), -exponent
    if exponent == 0:
        return broadcast_to(matrices.eye(x.shape[-1], dtype=x.dtype), x.shape)
    result = None
    while exponent:
        if exponent & 1:
            result = x if result is None else matmul(result, x)
        exponent >>= 1
        x = matmul(x, x) if exponent else x
    return result


def multi_dot(arrays: Sequence[ArrayLike], *, precision: Any = None) -> Array:
    """The product of several matrices, in the order that takes the fewest multiplications; the
    first and the last one may be vectors.

    >>> import jitml.numpy as jnp
    >>> print(multi_dot([jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.ones(4)]))
    [12. 12.]
    """
    check_sequence("multi_dot", arrays, "arrays")
    if len(arrays) < 2:
        fail(ArgumentError, "multi_dot: at least two arrays are needed")
    xs = [settle(x) for x in promoted("multi_dot", *arrays)]
    is_row, is_column = xs[0].ndim == 1, xs[-1].ndim == 1
    xs[0] = xs[0][None, :] if is_row else xs[0]
    xs[-1] = xs[-1][:, None] if is_column else xs[-1]
    for x, y in pairwise(xs):
        if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
            fail(ShapeError, f"multi_dot: {type_of(x)} and {type_of(y)} do not fit")
    sizes = [x.shape[0] for x in xs] + [xs[-1].shape[1]]
    product = _chain(xs, _best_splits(sizes), 0, len(xs) - 1, precision)
    product = product[0] if is_row else product
    return product[..., 0] if is_column else product


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each run of a chain of matrices, so that the fewest multiplications are
    needed.
    """
    count = len(sizes) - 1
    cost = {(k, k): 0 for k in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            outer_size = sizes[first] * sizes[last + 1]
            options = [
                (cost[first, k] + cost[k + 1, last] + outer_size * sizes[k + 1], k)
                for k in range(first, last)
            ]
            cost[first, last], splits[first, last] = min(options)
    return splits


def _chain(xs: Sequence[Any], splits: Any, first: int, last: int, precision: Any) -> Any:
    if first == last:
        return xs[first]
    middle = splits[first, last]
    left = _chain(xs, splits, first, middle, precision)
    return matmul(left, _chain(xs, splits, middle + 1, last, precision), precision=precision)
