"""`x.at[index]`: what an assignment to `x[index]` would do, as a new array.

In: the array, an index in NumPy's form, values. Out: the array with those elements changed.
Static contiguous indices become one updated slice; all others become a scatter, whose
duplicates apply in row-major order.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ConcretizationTypeError, ShapeError, TracerError
from jitml.ir.graph import Literal
from jitml.ir.source import user_frame
from jitml.numpy import arithmetic
from jitml.numpy.elementwise import negative
from jitml.numpy.indexing import (
    Dynamic,
    Entry,
    NewAxis,
    Static,
    are_together,
    checked_mode,
    gather_place,
    parse_index,
    positions_of,
    read_index,
)
from jitml.numpy.logic import where
from jitml.numpy.operands import (
    as_shape,
    cast,
    expand_to,
    fail,
    is_number,
    joined_shape,
    kind_of,
    operand,
    promoted_kind,
    settle,
)
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.ops.scatter import ScatterDimensionNumbers, scatter
from jitml.trace.core import type_of
from jitml.trace.numbers import literal
from jitml.typing import Array, ArrayLike

Combine = Callable[[Any, Any], Any]
_KINDS: dict[str, tuple[str, Combine]] = {
    "set": ("set", lambda old, new: new),
    "add": ("add", arithmetic.add),
    "multiply": ("mul", arithmetic.multiply),
    "min": ("min", arithmetic.minimum),
    "max": ("max", arithmetic.maximum),
}


class IndexUpdater:
    """`x.at`: takes an index.

    >>> import jitml.numpy as jnp
    >>> print(jnp.zeros(3).at[1].set(5.0))
    [0. 5. 0.]
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> IndexedUpdater:
        return IndexedUpdater(self._array, index)

    def __repr__(self) -> str:
        return f"at({self._array!r})"


@dataclass(frozen=True, eq=False)
class IndexedUpdater:
    """`x.at[index]`: each method returns a changed copy of `x`.

    `mode` says what an index out of bounds does: "raise" (the default), "clip" it to the nearest,
    "drop" or "fill" (leave it out; a read gives `fill_value`), "wrap", or "promise_in_bounds".
    """

    array: Any
    index: Any

    def __repr__(self) -> str:
        return f"at[{self.index!r}] of {self.array!r}"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        wrap_negative_indices: bool = True,
        out_sharding: object = None,
    ) -> Array:
        """The elements themselves.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[7].get(mode="fill", fill_value=-1))
        -1.0
        """
        how = checked_mode(mode, "at.get")
        index = self.index if how == "raise" else _as_data(self.index)
        return settle(read_index(operand(self.array), index, how, fill_value))

    def set(self, values: ArrayLike, **options: Any) -> Array:
        """The elements replaced; of duplicates the last one counts.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[1:].set(1.0))
        [0. 1. 1.]
        """
        return self._updated("set", values, **options)

    def add(self, values: ArrayLike, **options: Any) -> Array:
        """`values` added; duplicates add up.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[jnp.array([0, 0])].add(1.0))
        [2. 0. 0.]
        """
        return self._updated("add", values, **options)

    def subtract(self, values: ArrayLike, **options: Any) -> Array:
        """`values` subtracted; duplicates add up.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(2).at[0].subtract(1.0))
        [-1.  0.]
        """
        return self._updated("add", negative(values), **options)

    def multiply(self, values: ArrayLike, **options: Any) -> Array:
        """Multiplied by `values`.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].multiply(3.0))
        [3. 1.]
        """
        return self._updated("multiply", values, **options)

    mul = multiply

    def divide(self, values: ArrayLike, **options: Any) -> Array:
        """Divided by `values`.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].divide(2.0))
        [0.5 1. ]
        """
        divisors = IndexedUpdater(_ones_like(self.array), self.index).multiply(values, **options)
        return arithmetic.divide(self.array, divisors)

    def power(self, values: ArrayLike, **options: Any) -> Array:
        """To the power of `values`.

        >>> import jitml.numpy as jnp
        >>> print((2 * jnp.ones(2)).at[0].power(3.0))
        [8. 2.]
        """
        powers = IndexedUpdater(_ones_like(self.array), self.index).multiply(values, **options)
        return arithmetic.power(self.array, powers)

    def min(self, values: ArrayLike, **options: Any) -> Array:
        """The smaller of the element and the value.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].min(0.5))
        [0.5 1. ]
        """
        return self._updated("min", values, **options)

    def max(self, values: ArrayLike, **options: Any) -> Array:
        """The greater of the element and the value.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].max(2.0))
        [2. 1.]
        """
        return self._updated("max", values, **options)

    def apply(self, func: Callable[[Any], Any], **options: Any) -> Array:
        """`func` applied to the elements, as often as each is named.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].apply(jnp.negative))
        [-1.  1.]
        """
        none = settle(full_of(type_of(self.array).with_dtype(dtypes.INT32), 0))
        one = IndexedUpdater(none, self.index)
        counts = one.add(1, **options)
        times = 1 if options.get("unique_indices") else _largest(counts)
        result = self.array
        for done in range(times):
            result = where(counts > done, cast(settle(func(result)), self.array.dtype), result)
        return settle(result)

    def _updated(
        self,
        kind: str,
        values: ArrayLike,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: object = None,
        wrap_negative_indices: bool = True,
    ) -> Array:
        how = checked_mode(mode, "at")
        x = operand(self.array)
        y = _fitting_values(x, values)
        masked = _by_mask(x, self.index, y, _KINDS[kind][1])
        if masked is not None:
            return settle(masked)
        index = self.index if how == "raise" else _as_data(self.index)
        entries = parse_index(index, type_of(x).shape)
        if all(_is_contiguous(e) for e in entries):
            return settle(_update_slice(x, entries, y, _KINDS[kind][1]))
        return settle(_scatter(x, entries, y, _KINDS[kind][0], how, unique_indices))


def _ones_like(x: Any) -> Any:
    return settle(full_of(type_of(x), 1))


def _largest(counts: Any) -> int:
    try:
        return int(np.max(np.asarray(counts), initial=0))
    except TracerError:
        fail(
            ConcretizationTypeError,
            "at.apply: how often an index occurs is not known while tracing",
            "pass unique_indices=True if no index occurs twice",
        )


def _as_data(index: Any) -> Any:
    """An index whose integers are data, so that the mode rules over their bounds."""
    items = index if isinstance(index, tuple) else (index,)
    return tuple(_as_data_item(item) for item in items)


def _as_data_item(item: Any) -> Any:
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return operand(settle(literal(int(item))))
    return item


# ---- values ---------------------------------------------------------------------------------


def _fitting_values(x: Any, values: Any) -> Any:
    """The values as an operand of the dtype of `x`; a narrowing one warns."""
    type_ = type_of(x)
    if not is_number(values):
        values = operand(values, "at")
    joined, _ = promoted_kind([(type_.dtype, type_.weak), kind_of(values)])
    if joined != type_.dtype and not type_.weak:
        _warn_of_narrowing(kind_of(values)[0], type_.dtype)
    return cast(values, type_.dtype, type_.weak)


def _warn_of_narrowing(source: Any, target: Any) -> None:
    depth, user = 2, user_frame(2)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not user:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(
        f"at: values of dtype {source.name} are put into an array of dtype {target.name}, "
        "which cannot hold them exactly; convert one of them with .astype",
        FutureWarning,
        stacklevel=depth - 1,
    )


def _by_mask(x: Any, index: Any, y: Any, combine: Combine) -> Any:
    """The update as a choice, where the index is one mask and its values are all the same."""
    if isinstance(index, tuple) and len(index) == 1:
        (index,) = index
    if getattr(index, "dtype", None) != dtypes.BOOL or not np.ndim(index):
        return None
    mask, shape = operand(index), type_of(x).shape
    rank = type_of(mask).ndim
    if type_of(mask).shape != shape[:rank] or type_of(y).ndim > len(shape) - rank:
        return None
    wide = mv.reshape(mask, (*shape[:rank], *(1,) * (len(shape) - rank)))
    return where(wide, combine(x, y), x)


# ---- slices ---------------------------------------------------------------------------------


def _is_contiguous(entry: Entry) -> bool:
    if isinstance(entry, NewAxis):
        return True
    return isinstance(entry, Static) and (abs(entry.step) == 1 or entry.count <= 1)


def _first(entry: Static) -> int:
    """The lowest position of a contiguous entry."""
    return min(entry.start, entry.start + (entry.count - 1) * entry.step) if entry.count else 0


def _update_slice(x: Any, entries: Sequence[Entry], y: Any, combine: Combine) -> Any:
    """A contiguous block of `x` combined with `y`."""
    block = [e for e in entries if not isinstance(e, NewAxis)]
    sizes = tuple(e.count for e in block)
    update = _placed(y, entries, [e for e in entries if not isinstance(e, NewAxis)], sizes)
    if 0 in sizes:
        return x
    starts = [_first(e) for e in block]
    if sizes == type_of(x).shape:
        return combine(x, update)
    old = mv.slice_(x, starts, [a + n for a, n in zip(starts, sizes, strict=True)])
    new = operand(combine(old, update))
    return mv.dynamic_update_slice(x, new, [literal(s) for s in starts])


def _result_shape(entries: Sequence[Entry]) -> tuple[int, ...]:
    kept = [e for e in entries if not (isinstance(e, Static) and e.dropped)]
    return tuple(1 if isinstance(e, NewAxis) else e.count for e in kept)


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
    values = mv.reshape(_broadcast_values(y, _result_shape(entries)), sizes)
    return mv.reverse(values, [k for k, e in enumerate(block) if e.step < 0 and e.count > 1])


# ---- scatter --------------------------------------------------------------------------------


@dataclass
class _Layout:
    """How the axes of the values map to those of a scatter."""

    shape: list[int]  # of the values, without new axes
    window: list[int]  # axes of the values that run inside the array's axes
    batch: list[int]  # axes of the values along which positions differ
    arrays_at: int  # where the axes of the index arrays begin


def _scatter(
    x: Any, entries: list[Entry], y: Any, kind: str, mode: str, unique_indices: bool
) -> Any:
    sizes = type_of(x).shape
    entries = _with_scalars_as_arrays(entries)
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
        elif _is_contiguous(entry):
            if entry.count == sizes[axis]:
                continue
            column = full_of(type_of(literal(0)), _first(entry))
        else:
            column = _spread(_ramp(entry), layout, place[axis], 1)
        moving.append(axis)
        columns.append(column)
    batch_shape = tuple(layout.shape[k] for k in layout.batch)
    inserted = [a for a, e in enumerate(real) if isinstance(e, Dynamic) or not _is_contiguous(e)]
    numbers = ScatterDimensionNumbers(tuple(layout.window), tuple(inserted), tuple(moving))
    how = {"fill": "drop", "wrap": "promise_in_bounds"}.get(mode, mode)
    if 0 in layout.shape:
        return x
    indices = _stacked(columns, batch_shape)
    return scatter(settle(x), indices, values, numbers, kind, how, unique_indices)


def _turned(entry: Static) -> bool:
    return _is_contiguous(entry) and entry.step < 0 and entry.count > 1


def _with_scalars_as_arrays(entries: list[Entry]) -> list[Entry]:
    """Known integers as index arrays: the values have no axis for them."""
    return [
        Dynamic(np.asarray(e.start, np.int32), True) if isinstance(e, Static) and e.dropped else e
        for e in entries
    ]


def _indexed_shape(entries: Sequence[Entry], joined: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `x[index]`."""
    rest = _result_shape([e for e in entries if not isinstance(e, Dynamic)])
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
    layout, place = _Layout([], [], [], first), {}
    for axis, entry in enumerate([*real, None]):
        if arrays and axis == first:
            layout.arrays_at = len(layout.shape)
            layout.batch += range(layout.arrays_at, layout.arrays_at + len(joined))
            layout.shape += joined
        if entry is None or isinstance(entry, Dynamic):
            continue
        place[axis] = len(layout.shape)
        (layout.window if _is_contiguous(entry) else layout.batch).append(place[axis])
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
