"""Reading by index: `x[...]` in all of NumPy's forms, take and take_along_axis.

Static parts of an index become slice and reverse, arrays of integers become one gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, OutOfBoundsError, ShapeError
from jitml.numpy.index_entries import (
    Dynamic,
    Entry,
    Forced,
    NewAxis,
    Static,
    alone,
    are_together,
    checked_mode,
    entries_of,
    gather_place,
    index_array,
    is_truth,
    known_scalars_join,
    positions_of,
    read_mode,
    stacked_positions,
    static_shape,
)
from jitml.numpy.manipulation import ravel
from jitml.numpy.operands import (
    as_axis,
    cast,
    expand_to,
    fail,
    joined_shape,
    no_out,
    operand,
    settle,
)
from jitml.ops import movement as mv
from jitml.ops.indexing import GatherDimensionNumbers, check_order, default_fill, gather
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["take", "take_along_axis"]


def getitem(x: Any, index: Any) -> Array:
    """x[index].

    >>> print(getitem(0.5, None))
    [0.5]
    """
    return read_index(operand(x, "index"), index, read_mode(None, None, "index"), None)


def read_index(x: Any, index: Any, mode: str, fill_value: Any, order: str = "given") -> Any:
    """The elements at `index`, by the rules of `mode` where it is out of bounds; derivatives add up
    in this `order`.
    """
    if is_truth(alone(index)):
        count = int(bool(alone(index)))
        return getitem(expand_to(x, (1, *type_of(x).shape)), slice(0, count))
    entries = entries_of(index, type_of(x).shape, mode)
    dynamic = [e for e in entries if isinstance(e, Dynamic)]
    if dynamic:
        entries = known_scalars_join(entries)
    x = _apply_static(x, [e for e in entries if not isinstance(e, NewAxis)])
    if not dynamic:
        return settle(mv.reshape(x, static_shape(entries)))
    return settle(_apply_dynamic(x, entries, mode, fill_value, order))


def _apply_static(x: Any, entries: Sequence[Entry]) -> Any:
    """Slice and reverse along the axes whose entries are static."""
    shape = type_of(x).shape
    starts, limits, steps, turned = [], [], [], []
    for axis, (entry, size) in enumerate(zip(entries, shape, strict=True)):
        first, last, step = 0, size, 1
        if isinstance(entry, Static):
            ends = (entry.start, entry.start + (entry.count - 1) * entry.step)
            step = abs(entry.step) if entry.count > 1 else 1
            first, last = (min(ends), max(ends) + 1) if entry.count else (0, 0)
            if entry.step < 0 and entry.count > 1:
                turned.append(axis)
        starts.append(first)
        limits.append(last)
        steps.append(step)
    sliced = mv.slice_(x, starts, limits, None if set(steps) <= {1} else steps)
    return mv.reverse(sliced, turned)


def _apply_dynamic(x: Any, entries: list[Entry], mode: str, fill_value: Any, order: str) -> Any:
    """Gather along the axes whose entries are arrays, then put the axes where NumPy has them."""
    axes, positions = [], []
    plain = [e for e in entries if not isinstance(e, NewAxis)]
    shape = type_of(x).shape
    for axis, entry in enumerate(plain):
        if isinstance(entry, Dynamic):
            axes.append(axis)
            positions.append(positions_of(entry, shape[axis], mode))
    stacked, result_shape = stacked_positions("index", positions)
    at = gather_place(entries)
    before = axes[0] if are_together(entries) else 0
    gathered = take_slices(x, stacked, result_shape, axes, before, mode, fill_value, order)
    rest = static_shape([e for e in entries if not isinstance(e, Dynamic)])
    return mv.reshape(gathered, (*rest[:at], *result_shape, *rest[at:]))


def take_slices(
    x: Any,
    positions: Any,
    shape: tuple[int, ...],
    axes: Sequence[int],
    at: int,
    mode: str,
    fill_value: Any,
    order: str = "given",
) -> Any:
    """The elements at `positions` along `axes`; `shape` stands at axis `at` of the result."""
    own = type_of(x).shape
    rest = [k for k in range(len(own)) if k not in axes]
    result_rank = len(rest) + len(shape)
    how = {"drop": "fill", "wrap": "promise_in_bounds"}.get(mode, mode)
    if any(own[k] == 0 for k in axes):
        kept = [own[k] for k in rest]
        return _from_nothing(x, how, (*kept[:at], *shape, *kept[at:]), fill_value)
    offsets = tuple(k for k in range(result_rank) if not at <= k < at + len(shape))
    numbers = GatherDimensionNumbers(offsets, tuple(axes), tuple(axes))
    sizes = tuple(1 if k in axes else n for k, n in enumerate(own))
    return gather(settle(x), positions, numbers, sizes, how, fill_value, order)


def _from_nothing(x: Any, mode: str, shape: tuple[int, ...], fill_value: Any) -> Any:
    """What is taken of an empty axis: nothing, or fill values."""
    type_ = type_of(x)
    if mode != "fill" and 0 not in shape:
        fail(OutOfBoundsError, f"elements are taken of an empty axis of {type_}")
    filler = default_fill(type_.dtype) if fill_value is None else fill_value
    return expand_to(cast(filler, type_.dtype), shape)


def take(
    a: ArrayLike,
    indices: ArrayLike,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
    *,
    order: str = "given",
) -> Array:
    """The elements at `indices` along an axis, of the raveled array without one. With `order="any"`
    its derivative, as `x.at[i].add` with that order does, lets a GPU add gradients as they come.

    >>> import jitml.numpy as jnp
    >>> print(take(jnp.arange(3) * 10, jnp.array([2, 0])))
    [20  0]
    """
    no_out("take", out)
    x = operand(a, "take")
    if axis is None:
        x, axis = ravel(settle(x)), 0
    where = as_axis(axis, type_of(x).ndim, "take")
    chosen = indices if not isinstance(indices, (list, tuple)) else index_array(indices)
    if isinstance(chosen, (bool, np.bool_)) or getattr(chosen, "dtype", None) == dtypes.BOOL:
        fail(ArgumentError, "take: indices must be integers, got bool", "x[mask] selects by a mask")
    if isinstance(chosen, (int, np.integer)):
        chosen = np.asarray(chosen)
    how = checked_mode(mode, "take")
    check_order("take", order)
    key = (slice(None),) * where + (Forced(chosen),)
    return settle(read_index(x, key, how, fill_value, order))


def take_along_axis(
    arr: ArrayLike,
    indices: ArrayLike,
    axis: int | None = -1,
    mode: str | None = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool = True,
    order: str = "given",
) -> Array:
    """For each position the element that `indices` names along an axis; the other axes broadcast.
    `order` is that in which the derivative adds up, as for `take`.

    >>> import jitml.numpy as jnp
    >>> print(take_along_axis(jnp.array([[1, 2], [3, 4]]), jnp.array([[1], [0]]), 1))
    [[2]
     [3]]
    """
    x, chosen = operand(arr, "take_along_axis"), operand(indices, "take_along_axis")
    if axis is None:
        x, chosen, axis = ravel(settle(x)), ravel(settle(chosen)), 0
    rank = type_of(x).ndim
    where = as_axis(axis, rank, "take_along_axis")
    if type_of(chosen).ndim != rank:
        fail(
            ArgumentError,
            f"take_along_axis: {type_of(chosen).ndim}-d indices of an array of {rank} dimensions",
        )
    if not dtypes.is_integer(type_of(chosen).dtype):
        fail(ArgumentError, f"take_along_axis: indices must be integers, got {type_of(chosen)}")
    how = checked_mode(mode, "take_along_axis")
    check_order("take_along_axis", order)
    return settle(_along_axis(x, chosen, where, how, fill_value, order))


def _along_axis(x: Any, chosen: Any, axis: int, mode: str, fill_value: Any, order: str) -> Any:
    """A gather whose batch axes are all axes but one."""
    own, wanted = type_of(x).shape, type_of(chosen).shape
    rest = [k for k in range(len(own)) if k != axis]
    try:
        outer = joined_shape([(*s[:axis], *s[axis + 1 :]) for s in (own, wanted)])
    except ValueError:
        fail(
            ShapeError,
            f"take_along_axis: shapes {own} and {wanted} differ beside axis {axis}",
            "all sizes but those of the axis must be equal, or 1",
        )
    x = expand_to(x, (*outer[:axis], own[axis], *outer[axis:]))
    chosen = expand_to(chosen, (*outer[:axis], wanted[axis], *outer[axis:]))
    positions = positions_of(Dynamic(chosen), own[axis], mode)
    shape = type_of(positions).shape
    numbers = GatherDimensionNumbers((), (axis,), (axis,), tuple(rest), tuple(rest))
    how = {"drop": "fill", "wrap": "promise_in_bounds"}.get(mode, mode)
    stacked = mv.reshape(positions, (*shape, 1))
    return gather(settle(x), stacked, numbers, (1,) * len(own), how, fill_value, order)
