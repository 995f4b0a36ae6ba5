"""How an update by index is done: a slice put in place, or a scatter.

In: an operand, the entries of an index, values. Out: the operand with those elements changed.
Static contiguous indices become one updated slice; all others become a scatter, whose
duplicates apply in row-major order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ShapeError
from jitml.ir.graph import Literal
from jitml.numpy.choice import choose
from jitml.numpy.index_entries import (
    Dynamic,
    Entry,
    NewAxis,
    Static,
    alone,
    are_together,
    gather_place,
    positions_of,
    scalars_as_arrays,
    static_shape,
)
from jitml.numpy.operands import as_shape, cast, expand_to, fail, joined_shape, operand, settle
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.ops.scatter import ScatterDimensionNumbers, scatter
from jitml.trace.core import type_of
from jitml.trace.numbers import literal

Combine = Callable[[Any, Any], Any]


def update_by_mask(x: Any, index: Any, y: Any, combine: Combine) -> Any:
    """The update as a choice, where the index is one mask and its values are all the same."""
    index = alone(index)
    if not isinstance(index, bool) and getattr(index, "dtype", None) != dtypes.BOOL:
        return None
    mask, shape = operand(index), type_of(x).shape
    rank = type_of(mask).ndim
    if not rank and type_of(y).ndim == len(shape) + 1:
        if not type_of(y).shape[0] and not bool(index):
            return x
        if type_of(y).shape[0] == 1:
            y = mv.reshape(y, type_of(y).shape[1:])
    if type_of(mask).shape != shape[:rank] or type_of(y).ndim > len(shape) - rank:
        return None
    wide = mv.reshape(mask, (*shape[:rank], *(1,) * (len(shape) - rank)))
    return choose(wide, combine(x, y), x)


# ---- slices ---------------------------------------------------------------------------------


def is_contiguous(entry: Entry) -> bool:
    if isinstance(entry, NewAxis):
        return True
    return isinstance(entry, Static) and (abs(entry.step) == 1 or entry.count <= 1)


def _first(entry: Static) -> int:
    """The lowest position of a contiguous entry."""
    return min(entry.start, entry.start + (entry.count - 1) * entry.step) if entry.count else 0


def update_slice(x: Any, entries: Sequence[Entry], y: Any, combine: Combine) -> Any:
    """A contiguous block of `x` combined with `y`."""
    block = [e for e in entries if not isinstance(e, NewAxis)]
    sizes = tuple(e.count for e in block)
    update = _placed(y, entries, block, sizes)
    if 0 in sizes:
        return x
    starts = [_first(e) for e in block]
    if sizes == type_of(x).shape:
        return combine(x, update)
    old = mv.slice_(x, starts, [a + n for a, n in zip(starts, sizes, strict=True)])
    new = operand(combine(old, update))
    return mv.dynamic_update_slice(x, new, [literal(s) for s in starts])


def _broadcast_values(y: Any, shape: tuple[int, ...]) -> Any:
    own = type_of(y).shape
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    try:
        fits = joined_shape([own, shape]) == shape
    except ValueError:
        fits = False
    if not fits:
        fail(
            ShapeError,
            f"at: values of shape {type_of(y).shape} do not broadcast to the indexed shape {shape}",
        )
    return expand_to(mv.reshape(y, own), shape)


def _placed(
    y: Any, entries: Sequence[Entry], block: Sequence[Static], sizes: tuple[int, ...]
) -> Any:
    """The values in the axes of the block, in the order of ascending positions."""
    values = mv.reshape(_broadcast_values(y, static_shape(entries)), sizes)
    return mv.reverse(values, [k for k, e in enumerate(block) if e.step < 0 and e.count > 1])


# ---- scatter --------------------------------------------------------------------------------


class _Layout:
    """How the axes of the values map to those of a scatter."""

    def __init__(self, arrays_at: int) -> None:
        self.shape: list[int] = []  # of the values, without new axes
        self.window: list[int] = []  # axes of the values that run inside the array's axes
        self.batch: list[int] = []  # axes of the values along which positions differ
        self.arrays_at = arrays_at  # where the axes of the index arrays begin


def scatter_update(
    x: Any,
    entries: list[Entry],
    y: Any,
    kind: str,
    mode: str,
    unique_indices: bool,
    order: str,
) -> Any:
    sizes = type_of(x).shape
    entries = scalars_as_arrays(entries)
    real = [e for e in entries if not isinstance(e, NewAxis)]
    dynamic = {
        axis: positions_of(e, sizes[axis], mode)
        for axis, e in enumerate(real)
        if isinstance(e, Dynamic)
    }
    joined = as_shape(joined_shape([type_of(p).shape for p in dynamic.values()]))
    layout, place = _layout(entries, real, joined)
    values = _broadcast_values(y, _indexed_shape(entries, joined))
    values = mv.reshape(values, layout.shape)
    values = mv.reverse(
        values, [place[a] for a, e in enumerate(real) if isinstance(e, Static) and _turned(e)]
    )
    moving, columns = [], []
    for axis, entry in enumerate(real):
        if isinstance(entry, Dynamic):
            column = _spread(dynamic[axis], layout, layout.arrays_at, len(joined))
        elif is_contiguous(entry):
            if entry.count == sizes[axis]:
                continue
            column = full_of(type_of(literal(0)), _first(entry))
        else:
            column = _spread(_ramp(entry), layout, place[axis], 1)
        moving.append(axis)
        columns.append(column)
    batch_shape = tuple(layout.shape[k] for k in layout.batch)
    inserted = [a for a, e in enumerate(real) if isinstance(e, Dynamic) or not is_contiguous(e)]
    numbers = ScatterDimensionNumbers(tuple(layout.window), tuple(inserted), tuple(moving))
    how = {"fill": "drop", "wrap": "promise_in_bounds"}.get(mode, mode)
    if 0 in layout.shape:
        return x
    indices = _stacked(columns, batch_shape)
    return scatter(settle(x), indices, values, numbers, kind, how, unique_indices, order)


def _turned(entry: Static) -> bool:
    return is_contiguous(entry) and entry.step < 0 and entry.count > 1


def _indexed_shape(entries: Sequence[Entry], joined: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `x[index]`."""
    rest = static_shape([e for e in entries if not isinstance(e, Dynamic)])
    if not any(isinstance(e, Dynamic) for e in entries):
        return rest
    at = gather_place(entries)
    return (*rest[:at], *joined, *rest[at:])


def _layout(
    entries: Sequence[Entry], real: Sequence[Entry], joined: tuple[int, ...]
) -> tuple[_Layout, dict[int, int]]:
    """The layout of the values, and for each slice of the array its axis in them."""
    arrays = [a for a, e in enumerate(real) if isinstance(e, Dynamic)]
    first = arrays[0] if arrays and are_together(entries) else 0
    layout, place = _Layout(first), {}
    for axis, entry in enumerate([*real, None]):
        if arrays and axis == first:
            layout.arrays_at = len(layout.shape)
            layout.batch += range(layout.arrays_at, layout.arrays_at + len(joined))
            layout.shape += joined
        if entry is None or isinstance(entry, Dynamic):
            continue
        place[axis] = len(layout.shape)
        (layout.window if is_contiguous(entry) else layout.batch).append(place[axis])
        layout.shape.append(entry.count)
    return layout, place


def _ramp(entry: Static) -> Any:
    return operand(np.arange(entry.count, dtype=np.int32) * entry.step + entry.start)


def _spread(positions: Any, layout: _Layout, start: int, rank: int) -> Any:
    """Positions that run along `rank` axes of the values from `start` on, over all batch axes."""
    own = type_of(positions).shape
    own = (1,) * (rank - len(own)) + own
    sizes = dict(zip(range(start, start + rank), own, strict=True))
    return mv.reshape(positions, tuple(sizes.get(k, 1) for k in layout.batch))


def _stacked(columns: Sequence[Any], shape: tuple[int, ...]) -> Any:
    wide = any(type_of(c).dtype.itemsize == 8 for c in columns)
    dtype = dtypes.INT64 if wide else dtypes.INT32
    rows = [mv.reshape(expand_to(cast(c, dtype), shape), (*shape, 1)) for c in columns]
    return mv.concatenate([settle(r) if isinstance(r, Literal) else r for r in rows], len(shape))
