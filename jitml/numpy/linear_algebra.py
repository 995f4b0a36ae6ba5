"""Products of vectors, matrices and tensors, all stated in `dot_general`.

`precision` and `preferred_element_type` go to the contraction: the latter is the dtype that
sums have.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from jitml.eager import operation
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.types import ArrayType
from jitml.numpy.arithmetic import multiply, subtract
from jitml.numpy.creation import zeros_like
from jitml.numpy.elementwise import conj
from jitml.numpy.joining import stack
from jitml.numpy.manipulation import (
    broadcast_arrays,
    expand_dims,
    moveaxis,
    ravel,
    reshape,
    squeeze,
)
from jitml.numpy.operands import (
    as_axes,
    as_dtype,
    cast,
    expand_to,
    fail,
    joined_shape,
    kind,
    no_out,
    promoted,
    settle,
)
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.contraction import dot_general
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "cross", "dot", "inner", "kron", "matmul", "matvec", "outer", "tensordot", "vdot", "vecdot",
    "vecmat",
]  # fmt: skip


def contract(
    x: Any,
    y: Any,
    axes: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
    precision: Any = None,
    preferred: DTypeLike | None = None,
) -> Any:
    """`dot_general` of promoted operands; the result's dtype is theirs unless one is preferred."""
    wanted = None if preferred is None else as_dtype(preferred)
    return dot_general(settle(x), settle(y), (axes, batch), precision, wanted)


def _scaled(x: Any, y: Any, preferred: DTypeLike | None) -> Any:
    """The product with a 0-d factor."""
    result = (ew.and_ if kind(x) == "b" else ew.mul)(x, y)
    return result if preferred is None else cast(result, as_dtype(preferred))


@operation
def dot(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """The sum over the last axis of `a` and the second last (or only) axis of `b`.

    >>> import jitml.numpy as jnp
    >>> print(dot(jnp.array([1, 2]), jnp.array([3, 4])))
    11
    """
    x, y = promoted("dot", a, b)
    if not type_of(x).ndim or not type_of(y).ndim:
        return settle(_scaled(x, y, preferred_element_type))
    axes = (type_of(x).ndim - 1,), (max(type_of(y).ndim - 2, 0),)
    _check_inner("dot", x, y, axes[0][0], axes[1][0])
    return settle(contract(x, y, axes, precision=precision, preferred=preferred_element_type))


def _check_inner(name: str, x: Any, y: Any, i: int, j: int) -> None:
    tx, ty = type_of(x), type_of(y)
    inner = tx.shape[i], ty.shape[j]
    if inner[0] == inner[1]:
        return
    sign = "@" if name == "matmul" else "·"
    fail(
        ShapeError,
        f"{name}: inner sizes differ: {tx} {sign} {ty}  ({inner[0]} != {inner[1]})",
        _transposed_hint(tx, ty),
    )


def _turned(x: ArrayType) -> ArrayType:
    return x.with_shape((*x.shape[:-2], x.shape[-1], x.shape[-2]))


def _transposed_hint(x: ArrayType, y: ArrayType) -> str:
    """Which operand, transposed, would make a matrix product fit."""
    if y.ndim >= 2 and x.shape[-1] == y.shape[-1]:
        return f"the second one transposed (.mT) has shape {_turned(y)}"
    if x.ndim >= 2 and x.shape[-2] == y.shape[max(y.ndim - 2, 0)]:
        return f"the first one transposed (.mT) has shape {_turned(x)}"
    return "the last axis of the first must be as long as the second last (or only) of the second"


@operation
def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """The matrix product `a @ b`; axes before the last two are batches and broadcast.

    >>> import jitml.numpy as jnp
    >>> print(matmul(jnp.ones((2, 3)), jnp.ones((3,))))
    [3. 3.]
    """
    x, y = promoted("matmul", a, b)
    for position, z in enumerate((x, y)):
        if not type_of(z).ndim:
            fail(
                ShapeError,
                f"matmul: operand {position + 1} is 0-d ({type_of(z)}), not a vector or matrix",
                "multiply by a number with *",
            )
    _check_inner("matmul", x, y, type_of(x).ndim - 1, max(type_of(y).ndim - 2, 0))
    return settle(_matmul(x, y, precision, preferred_element_type))


def _matmul(x: Any, y: Any, precision: Any, preferred: DTypeLike | None) -> Any:
    rank_x, rank_y = type_of(x).ndim, type_of(y).ndim
    if rank_y <= 2:  # the batches of x are rows of one product
        axes = (rank_x - 1,), (max(rank_y - 2, 0),)
        return contract(x, y, axes, precision=precision, preferred=preferred)
    if rank_x == 1:
        found = contract(x, y, ((0,), (rank_y - 2,)), precision=precision, preferred=preferred)
        return found
    x, y, outer = _joined_batches(x, y)
    batch = tuple(range(len(outer)))
    rank_x, rank_y = type_of(x).ndim, type_of(y).ndim
    return contract(x, y, ((rank_x - 1,), (rank_y - 2,)), (batch, batch), precision, preferred)


def _joined_batches(x: Any, y: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Both operands with the same batch axes."""
    outer_x, outer_y = type_of(x).shape[:-2], type_of(y).shape[:-2]
    try:
        outer = joined_shape([outer_x, outer_y])
    except ValueError:
        fail(
            ShapeError,
            f"matmul: the batch axes do not broadcast: {type_of(x)} @ {type_of(y)}",
            "axes before the last two must be equal, or 1",
        )
    x = expand_to(x, (*outer, *type_of(x).shape[-2:]))
    y = expand_to(y, (*outer, *type_of(y).shape[-2:]))
    return x, y, outer


def matvec(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Matrices times vectors, over broadcast batches.

    >>> import jitml.numpy as jnp
    >>> print(matvec(jnp.ones((2, 3)), jnp.ones((3,))))
    [3. 3.]
    """
    return squeeze(matmul(x1, expand_dims(x2, -1)), -1)


def vecmat(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Conjugated vectors times matrices, over broadcast batches.

    >>> import jitml.numpy as jnp
    >>> print(vecmat(jnp.ones((2,)), jnp.ones((2, 3))))
    [2. 2. 2.]
    """
    return squeeze(matmul(expand_dims(conj(x1), -2), x2), -2)


@operation
def vdot(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The sum of products of all elements, those of `a` conjugated.

    >>> import jitml.numpy as jnp
    >>> print(vdot(jnp.array([1, 2]), jnp.array([3, 4])))
    11
    """
    return dot(
        ravel(conj(a)), ravel(b), precision=precision, preferred_element_type=preferred_element_type
    )


def vecdot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The sums of products along an axis, the first conjugated; the other axes broadcast.

    >>> import jitml.numpy as jnp
    >>> print(vecdot(jnp.ones((2, 3)), jnp.ones((3,))))
    [3. 3.]
    """
    x, y = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if x.shape[-1] != y.shape[-1]:
        fail(ShapeError, f"vecdot: sizes along the axis differ: {type_of(x)} and {type_of(y)}")
    product = matmul(
        expand_dims(conj(x), -2),
        expand_dims(y, -1),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return squeeze(product, (-2, -1))


@operation
def inner(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The sum over the last axes of both.

    >>> import jitml.numpy as jnp
    >>> print(inner(jnp.array([1, 2]), jnp.array([3, 4])))
    11
    """
    x, y = promoted("inner", a, b)
    if not type_of(x).ndim or not type_of(y).ndim:
        return settle(_scaled(x, y, preferred_element_type))
    axes = (type_of(x).ndim - 1,), (type_of(y).ndim - 1,)
    _check_inner("inner", x, y, axes[0][0], axes[1][0])
    return settle(contract(x, y, axes, precision=precision, preferred=preferred_element_type))


@operation
def outer(a: ArrayLike, b: ArrayLike, out: None = None) -> Array:
    """The products of all pairs of elements.

    >>> import jitml.numpy as jnp
    >>> print(outer(jnp.array([1, 2]), jnp.array([3, 4])))
    [[3 4]
     [6 8]]
    """
    no_out("outer", out)
    return multiply(reshape(ravel(a), (-1, 1)), ravel(b))


def tensordot(
    a: ArrayLike,
    b: ArrayLike,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """The sum over pairs of axes: the last of `a` with the first of `b`, or two lists.

    >>> import jitml.numpy as jnp
    >>> tensordot(jnp.ones((2, 3, 4)), jnp.ones((3, 4, 5))).shape
    (2, 5)
    """
    x, y = promoted("tensordot", a, b)
    rank_x, rank_y = type_of(x).ndim, type_of(y).ndim
    try:
        count = operator.index(axes)
        pair = tuple(range(rank_x - count, rank_x)), tuple(range(count))
        if count > min(rank_x, rank_y) or count < 0:
            fail(ArgumentError, f"tensordot: {count} axes of {type_of(x)} and {type_of(y)}")
    except TypeError:
        first, second = axes
        pair = (
            as_axes(_listed(first), rank_x, "tensordot"),
            as_axes(_listed(second), rank_y, "tensordot"),
        )
    sizes = [type_of(x).shape[i] for i in pair[0]], [type_of(y).shape[j] for j in pair[1]]
    if sizes[0] != sizes[1]:
        fail(
            ShapeError,
            f"tensordot: sizes of the axes {pair[0]} and {pair[1]} differ: "
            f"{type_of(x)} and {type_of(y)}",
        )
    return settle(contract(x, y, pair, precision=precision, preferred=preferred_element_type))


def _listed(axes: Any) -> tuple[int, ...]:
    return tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)


def kron(a: ArrayLike, b: ArrayLike) -> Array:
    """Each element of `a` times all of `b`, in blocks.

    >>> import jitml.numpy as jnp
    >>> print(kron(jnp.array([1, 2]), jnp.array([1, 1])))
    [1 1 2 2]
    """
    x, y = promoted("kron", a, b)
    rank = max(type_of(x).ndim, type_of(y).ndim)
    shapes = [(1,) * (rank - type_of(z).ndim) + type_of(z).shape for z in (x, y)]
    apart = [
        mv.reshape(x, tuple(n for size in shapes[0] for n in (size, 1))),
        mv.reshape(y, tuple(n for size in shapes[1] for n in (1, size))),
    ]
    wide = joined_shape([type_of(z).shape for z in apart])
    product = (ew.and_ if kind(x) == "b" else ew.mul)(*(expand_to(z, wide) for z in apart))
    return settle(mv.reshape(product, tuple(m * n for m, n in zip(*shapes, strict=True))))


def cross(
    a: ArrayLike,
    b: ArrayLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Array:
    """The vector product of vectors of 3 (or 2) elements.

    >>> import jitml.numpy as jnp
    >>> print(cross(jnp.array([1, 0, 0]), jnp.array([0, 1, 0])))
    [0 0 1]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if not {x.shape[-1], y.shape[-1]} <= {2, 3}:
        fail(
            ShapeError, f"cross: vectors have 2 or 3 elements, not {x.shape[-1]} and {y.shape[-1]}"
        )
    flat = x.shape[-1] == y.shape[-1] == 2

    def parts(v: Any) -> list[Any]:
        found = [v[..., k] for k in range(v.shape[-1])]
        return found if len(found) == 3 else [*found, zeros_like(found[0])]

    (a0, a1, a2), (b0, b1, b2) = parts(x), parts(y)

    def minor(p: Any, q: Any, r: Any, s: Any) -> Any:
        return subtract(multiply(p, q), multiply(r, s))

    last = minor(a0, b1, a1, b0)
    if flat:
        return last
    vectors = broadcast_arrays(minor(a1, b2, a2, b1), minor(a2, b0, a0, b2), last)
    return moveaxis(stack(vectors, axis=-1), -1, axisc)
