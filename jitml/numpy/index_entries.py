"""The index that a user wrote, normalised to one entry per axis.

In: an index in any of NumPy's forms, and the shape that it applies to. Out: entries whose
positions are static (integers, slices) or data (arrays of integers); masks become positions.
Negative indices wrap once; an index out of bounds raises, unless a mode says otherwise: at once if
it is static, at run time if it is data. Whether the index reads or writes is not known here.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import (
    ArgumentError,
    JitmlError,
    NonConcreteBooleanIndexError,
    OutOfBoundsError,
    TracerError,
)
from jitml.ir.graph import Literal
from jitml.numpy.arithmetic import remainder
from jitml.numpy.creation import asarray
from jitml.numpy.operands import cast, common_shape, expand_to, fail, operand, settle
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.conventions import CONVENTIONS
from jitml.trace.core import Tracer, describe, type_of
from jitml.trace.numbers import literal
from jitml.typing import ConcreteArray
from jitml_runtime.record import frozen

MODES = ("raise", "clip", "drop", "fill", "wrap", "promise_in_bounds")


def checked_mode(mode: Any, name: str) -> str:
    """The name of an index mode, from a string, an enum member or None."""
    if mode is None:
        return "fill" if CONVENTIONS.are_of_jax else "raise"
    text = str(getattr(mode, "name", mode)).lower()
    text = {"fill_or_drop": "fill", "default": "raise"}.get(text, text)
    if text not in MODES:
        fail(ArgumentError, f"{name}: there is no mode {mode!r}", f"modes are {', '.join(MODES)}")
    return text


def read_mode(mode: Any, fill_value: Any, name: str) -> str:
    """As `checked_mode`, for what is read by `x[index]` and `x.at[index].get`."""
    if mode is None and fill_value is None and CONVENTIONS.are_of_jax:
        return "clip"
    return checked_mode(mode, name)


def alone(index: Any) -> Any:
    """The one item of an index, without an ellipsis behind it; else the index itself."""
    if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
        index = index[:1]
    return index[0] if isinstance(index, tuple) and len(index) == 1 else index


def is_truth(index: Any) -> bool:
    """Whether an index is a single truth value: it holds the array once or not at all."""
    is_bool = isinstance(index, (bool, np.bool_)) or getattr(index, "dtype", None) == dtypes.BOOL
    return is_bool and np.ndim(index) == 0


# ---- entries --------------------------------------------------------------------------------


class NewAxis:
    """An axis of size 1 that the array lacks."""


@frozen
class Static:
    """`count` positions of an axis from `start` on; an integer index drops the axis."""

    start: int
    step: int
    count: int
    dropped: bool = False


@frozen
class Dynamic:
    """Positions read from an array of integers; `is_scalar` if they came from a single integer."""

    positions: Any
    is_scalar: bool = False


Entry = Any  # NewAxis, Static or Dynamic


def entries_of(index: Any, shape: tuple[int, ...], mode: str) -> list[Entry]:
    """`parse_index`; a known integer out of bounds becomes data that the mode rules over."""
    try:
        return parse_index(index, shape)
    except OutOfBoundsError:
        if mode == "raise":
            raise
        return parse_index(_as_data(index), shape)


def _as_data(index: Any) -> Any:
    """An index whose integers are data."""
    items = index if isinstance(index, tuple) else (index,)
    return tuple(_as_data_item(item) for item in items)


def _as_data_item(item: Any) -> Any:
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return operand(settle(literal(int(item))))
    return item


def parse_index(index: Any, shape: tuple[int, ...]) -> list[Entry]:
    """One entry per axis of `shape`, and a NewAxis for each None."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [part for item in items for part in _expanded(item)]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if sum(1 for item in items if item is Ellipsis) > 1:
        fail(OutOfBoundsError, "an index can only have one ellipsis ('...')")
    if used > len(shape):
        fail(
            OutOfBoundsError,
            f"too many indices: the array has {len(shape)} dimensions, {used} were indexed",
        )
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    at = next(k for k, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - used)
    return _entries(items, shape)


def _entries(items: list[Any], shape: tuple[int, ...]) -> list[Entry]:
    entries: list[Entry] = []
    axis = 0
    for item in items:
        if item is None:
            entries.append(NewAxis())
            continue
        entries.append(_entry(item, axis, shape[axis]))
        axis += 1
    return entries


def _expanded(item: Any) -> list[Any]:
    """A mask as the integer arrays of its true elements; anything else as it is."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return [item]
    if isinstance(item, (list, tuple)):
        item = index_array(item)
    if isinstance(item, (bool, np.bool_)) or getattr(item, "dtype", None) == dtypes.BOOL:
        return _mask_positions(item)
    return [item]


def index_array(item: Sequence[Any]) -> Any:
    """A list in an index, as an array of integers or truths."""
    if not len(item):
        return np.zeros(np.shape(np.asarray(item)), np.int32)
    plain = all(isinstance(i, (bool, int, np.generic, list, tuple)) for i in item)
    return np.asarray(item) if plain else asarray(list(item))


@frozen
class _Mask:
    """One axis of a mask: positions of its true elements along it, and the mask's size there."""

    positions: Any
    size: int


class Forced:
    """An index array whose bounds are a matter of the mode, even where it is known."""

    def __init__(self, positions: Any) -> None:
        self.positions = positions


def _mask_positions(mask: Any) -> list[Any]:
    if isinstance(mask, Tracer):
        try:
            mask = np.asarray(mask)
        except TracerError:
            fail(
                NonConcreteBooleanIndexError,
                f"a mask was used as an index: {describe(mask)}, whose values are not known "
                "while tracing",
                "use jitml.numpy.where(mask, x, y), or nonzero(mask, size=…)",
            )
    truths = np.asarray(mask)
    if truths.ndim == 0:
        fail(OutOfBoundsError, "a single truth value cannot stand beside other indices")
    positions = np.nonzero(truths)
    return [_Mask(p.astype(np.int32), n) for p, n in zip(positions, truths.shape, strict=True)]


def _entry(item: Any, axis: int, size: int) -> Entry:
    if isinstance(item, slice):
        return _slice_entry(item, size)
    if isinstance(item, Forced):
        return Dynamic(item.positions)
    if isinstance(item, _Mask):
        if item.size not in (size, 0):  # an empty mask fits everything, as in NumPy
            fail(
                OutOfBoundsError,
                f"a mask of size {item.size} does not fit axis {axis} of size {size}",
            )
        return Dynamic(item.positions)
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return Static(static_position(int(item), axis, size), 1, 1, True)
    return _array_entry(item, axis, size)


def static_position(position: int, axis: int, size: int) -> int:
    """A known index counted from the front; raises if it is out of bounds."""
    if not -size <= position < size:
        fail(
            OutOfBoundsError, f"index {position} is out of bounds for axis {axis} with size {size}"
        )
    return position + size if position < 0 else position


def _slice_entry(item: slice, size: int) -> Static:
    try:
        start, stop, step = item.indices(size)
    except JitmlError as error:
        if isinstance(error, TracerError):
            raise type(error)(
                "the bounds of a slice are not known while tracing",
                hint="lax.dynamic_slice takes a start that is data and a size that is known",
                source=error.source,
            ) from None
        raise
    except ValueError:
        fail(OutOfBoundsError, "the step of a slice cannot be 0")
    return Static(start, step, len(range(start, stop, step)))


def _array_entry(item: Any, axis: int, size: int) -> Entry:
    if isinstance(item, (str, bytes, float, complex)):
        fail(
            OutOfBoundsError,
            f"{item!r} is not an index",
            "indices are integers, slices, ..., None and arrays",
        )
    if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu":
        return Static(static_position(int(item), axis, size), 1, 1, True)
    if not isinstance(item, (np.ndarray, ConcreteArray, Tracer, Literal)):
        try:
            return Static(static_position(operator.index(item), axis, size), 1, 1, True)
        except TypeError:
            item = operand(item, "index")
    type_ = type_of(item) if not isinstance(item, np.ndarray) else None
    dtype = item.dtype if type_ is None else type_.dtype
    if not (dtype.kind in "iu" and dtypes.is_supported(dtype)):
        fail(
            OutOfBoundsError,
            f"arrays used as indices must be of integer or bool dtype, got {dtype.name}",
            "convert the index with .astype(int)",
        )
    return Dynamic(item, item.ndim == 0 if type_ is None else type_.ndim == 0)


# ---- what entries select --------------------------------------------------------------------


def known_scalars_join(entries: list[Entry]) -> list[Entry]:
    """Integers beside arrays of positions count as arrays for the place of the result's axes."""
    if all(e.is_scalar for e in entries if isinstance(e, Dynamic)):
        return entries
    return scalars_as_arrays(entries)


def scalars_as_arrays(entries: Sequence[Entry]) -> list[Entry]:
    """Known integers as arrays of positions: the result has no axis for them."""
    return [
        Dynamic(np.asarray(e.start, np.int32), True) if isinstance(e, Static) and e.dropped else e
        for e in entries
    ]


def static_shape(entries: Sequence[Entry]) -> tuple[int, ...]:
    """What static entries leave of a shape."""
    kept = [e for e in entries if not (isinstance(e, Static) and e.dropped)]
    return tuple(1 if isinstance(e, NewAxis) else e.count for e in kept)


def gather_place(entries: Sequence[Entry]) -> int:
    """Where the axes of the index arrays begin in the result: where they stood, if together."""
    kept = [e for e in entries if not (isinstance(e, Static) and e.dropped)]
    place = next(k for k, e in enumerate(kept) if isinstance(e, Dynamic))
    return place if are_together(entries) else 0


def are_together(entries: Sequence[Entry]) -> bool:
    """Whether no slice and no new axis stands between the index arrays."""
    places = [k for k, e in enumerate(entries) if isinstance(e, Dynamic)]
    return places == list(range(places[0], places[0] + len(places)))


# ---- positions as operands ------------------------------------------------------------------


def positions_of(entry: Dynamic, size: int, mode: str) -> Any:
    """The positions of an entry as an integer operand, negative ones counted from the front."""
    x = operand(entry.positions, "index")
    type_ = type_of(x)
    wide = type_.dtype.itemsize == 8 or type_.dtype == np.dtype(np.uint32) or size > 2**31 - 1
    x = cast(x, dtypes.INT64 if wide else dtypes.INT32)
    if mode == "wrap":
        return remainder(x, size) if size else x
    if dtypes.kind(type_.dtype) == "u" or (
        isinstance(entry.positions, np.ndarray)
        and (entry.positions.size and entry.positions.min() >= 0)
    ):
        return x
    # Of a position out of bounds the raw value is kept: the message tells it.
    wraps = ew.and_(ew.lt(x, 0), ew.ge(x, -size))
    return ew.select(wraps, ew.add(x, size), x)


def stacked_positions(name: str, positions: Sequence[Any]) -> tuple[Any, tuple[int, ...]]:
    """Positions of several axes in one array, the axes last; and the shape without them."""
    shape = common_shape(name, positions)
    dtype = max((type_of(p).dtype for p in positions), key=lambda d: d.itemsize)
    columns = [mv.reshape(expand_to(cast(p, dtype), shape), (*shape, 1)) for p in positions]
    return mv.concatenate(columns, len(shape)), shape
