"""Products whose rows belong to groups of different sizes, and exchanges of pieces of different
sizes between the elements of a mapped axis.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import jitml.numpy as jnp
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError, TransformError
from jitml.lax.collectives import all_gather, axis_index
from jitml.lax.contraction import dot_general
from jitml.lax.movement import broadcasted_iota
from jitml.lax.options import RaggedDotDimensionNumbers
from jitml.numpy.operands import fail
from jitml.trace.core import type_of
from jitml.typing import Array, DTypeLike

__all__ = ["ragged_all_to_all", "ragged_dot", "ragged_dot_general"]


class _Mode(enum.Enum):
    """Which kind of axis of the first operand is cut into groups."""

    ROWS = 1
    CONTRACTED = 2
    BATCH = 3


def ragged_dot(
    lhs: Array,
    rhs: Array,
    group_sizes: Array,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    group_offset: Array | None = None,
    out_sharding: object = None,
) -> Array:
    """Rows f[m, k] in groups one after the other, each group times its own matrix of f[g, k, n].

    Rows behind the last group give 0.

    >>> import jitml.numpy as jnp
    >>> matrices = jnp.array([[[1.0]], [[10.0]]])
    >>> print(ragged_dot(jnp.ones((3, 1)), matrices, jnp.array([2, 1]))[:, 0])
    [ 1.  1. 10.]
    """
    numbers = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))
    return ragged_dot_general(
        lhs, rhs, group_sizes, numbers, precision, preferred_element_type, group_offset
    )


def ragged_dot_general(
    lhs: Array,
    rhs: Array,
    group_sizes: Array,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    group_offset: Array | None = None,
    out_sharding: object = None,
) -> Array:
    """`dot_general` where one axis of `lhs` is cut into groups of the sizes i[…, g].

    Is that axis a row of the result, each group meets its own part of `rhs`, along the axis that
    `rhs_group_dimensions` names. Is it contracted, there is one result for each group, stacked
    first. Is it a batch axis, groups make no difference.

    >>> import jitml.numpy as jnp
    >>> numbers = RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), (0,), ())
    >>> print(ragged_dot_general(jnp.ones(3), jnp.arange(3.0), jnp.array([2, 1]), numbers))
    [1. 2.]
    """
    x, y, sizes = jnp.asarray(lhs), jnp.asarray(rhs), jnp.asarray(group_sizes)
    numbers = ragged_dot_dimension_numbers
    (contracted, other), (batched, other_batched) = numbers.dot_dimension_numbers
    if group_offset is not None:
        fail(ArgumentError, "ragged_dot_general: group_offset is not supported", "slice the groups")
    mode, outer = _checked_mode(x, y, sizes, numbers)
    (ragged,) = numbers.lhs_ragged_dimensions
    options = (precision, preferred_element_type)
    if mode is _Mode.BATCH:
        return dot_general(x, y, numbers.dot_dimension_numbers, *options)
    apart = _in_groups(x, ragged, sizes, outer)
    after, other_after = [a + 1 for a in contracted], [a + 1 for a in batched]
    if mode is _Mode.ROWS:
        contraction = [*after, 0], [*other, *numbers.rhs_group_dimensions]
        return dot_general(apart, y, (contraction, (other_after, other_batched)), *options)
    pairs = {
        **dict(zip(contracted, other, strict=True)),
        **dict(zip(batched, other_batched, strict=True)),
    }
    theirs = _in_groups(y, pairs[ragged], sizes, [pairs[a] for a in outer])
    batches = [0, *other_after], [0, *(a + 1 for a in other_batched)]
    return dot_general(apart, theirs, ((after, [a + 1 for a in other]), batches), *options)


def _checked_mode(
    x: Any, y: Any, sizes: Any, numbers: RaggedDotDimensionNumbers
) -> tuple[_Mode, list[int]]:
    """What the groups cut, and the axes of `x` for each index of which the sizes may differ."""
    (contracted, _), (batched, _) = numbers.dot_dimension_numbers
    rows = [a for a in range(x.ndim) if a not in (*contracted, *batched)]
    ragged = [*numbers.lhs_ragged_dimensions]
    kinds = {_Mode.ROWS: rows, _Mode.CONTRACTED: [*contracted], _Mode.BATCH: [*batched]}
    found = [(mode, axes) for mode, axes in kinds.items() if ragged and ragged[0] in axes]
    if len(ragged) != 1 or not found:
        fail(ArgumentError, f"ragged_dot_general: lhs_ragged_dimensions {ragged} of {type_of(x)}",
             "name one axis of lhs")  # fmt: skip
    mode, axes = found[0]
    before = axes[: axes.index(ragged[0])]
    outer = before if mode is _Mode.BATCH else [*batched, *before]
    if not dtypes.is_integer(sizes.dtype) or not sizes.ndim:
        fail(DTypeError, f"ragged_dot_general: group_sizes are {type_of(sizes)}, not integers")
    expected = (*(x.shape[a] for a in outer), sizes.shape[-1])
    if sizes.shape not in (sizes.shape[-1:], expected):
        fail(ShapeError, f"ragged_dot_general: group_sizes of shape {sizes.shape}, not {expected}")
    groups = [y.shape[a] for a in numbers.rhs_group_dimensions]
    if groups != ([sizes.shape[-1]] if mode is _Mode.ROWS else []):
        fail(ShapeError, f"ragged_dot_general: the axes of groups of rhs have sizes {groups}",
             f"there are {sizes.shape[-1]} groups, of {mode.name.lower()}")  # fmt: skip
    return mode, outer


def _in_groups(x: Any, axis: int, sizes: Any, outer: Sequence[int]) -> Any:
    """For each group the array with zeros in place of what belongs to others, stacked first."""
    if sizes.ndim == 1:
        outer = []
    ends = jnp.cumsum(sizes, -1)
    shape = [1] * (x.ndim + 1)
    order = [sizes.ndim - 1, *(k for _, k in sorted((a, k) for k, a in enumerate(outer)))]
    for a in (-1, *outer):
        shape[a + 1] = sizes.shape[-1] if a < 0 else x.shape[a]
    first, last = (v.transpose(order).reshape(shape) for v in (ends - sizes, ends))
    along = [1] * (x.ndim + 1)
    along[axis + 1] = x.shape[axis]
    place = broadcasted_iota(sizes.dtype, along, axis + 1)
    return jnp.where((first <= place) & (place < last), x[None], 0)


def ragged_all_to_all(
    operand: Any,
    output: Any,
    input_offsets: Any,
    send_sizes: Any,
    output_offsets: Any,
    recv_sizes: Any,
    *,
    axis_name: Any,
    axis_index_groups: Any = None,
) -> Array:
    """Rows of `operand` sent to the elements of a mapped axis, put into the rows of `output`.

    Element i sends `send_sizes[j]` rows from `input_offsets[j]` on to element j, where they are
    put from row `output_offsets[j]` on.

    >>> import jitml, jitml.numpy as jnp
    >>> def swap(x):
    ...     i = jitml.lax.axis_index("i")
    ...     at, one = jnp.stack([i, i]), jnp.ones(2, "int32")
    ...     return ragged_all_to_all(x, x * 0, jnp.arange(2), one, at, one, axis_name="i")
    >>> print(jitml.vmap(swap, axis_name="i")(jnp.array([[1, 2], [3, 4]])))
    [[1 3]
     [2 4]]
    """
    if axis_index_groups is not None:
        fail(TransformError, "ragged_all_to_all: axis_index_groups have no meaning under vmap")
    x, target = jnp.asarray(operand), jnp.asarray(output)
    if x.dtype != target.dtype or x.shape[1:] != target.shape[1:] or not x.ndim:
        fail(ShapeError, f"ragged_all_to_all: {type_of(x)} does not go into {type_of(target)}")
    if type_of(jnp.asarray(recv_sizes)).shape != type_of(jnp.asarray(send_sizes)).shape:
        fail(ShapeError, "ragged_all_to_all: there are not as many recv_sizes as send_sizes")
    me = axis_index(axis_name)
    rows = all_gather(x, axis_name)
    begins, counts, places = (
        jnp.take(all_gather(jnp.asarray(v), axis_name), me, axis=1)[:, None]
        for v in (input_offsets, send_sizes, output_offsets)
    )
    row = jnp.arange(target.shape[0])
    comes = (row >= places) & (row < places + counts)
    sender = jnp.argmax(comes, 0)
    source = jnp.clip(row + (begins - places)[sender, 0], 0, x.shape[0] - 1)
    mask = comes.any(0).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(mask, rows[sender, source], target)
