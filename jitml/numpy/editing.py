"""Elements replaced, put in and taken out: the functions that change an array in NumPy.

Arrays never change, so each returns a new one, and refuses `inplace=True`, JAX's default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ConcretizationTypeError, TracerError
from jitml.numpy.at import IndexedUpdater
from jitml.numpy.choice import choose
from jitml.numpy.creation import asarray, zeros
from jitml.numpy.cumulative import cumsum
from jitml.numpy.index_entries import Forced, static_position
from jitml.numpy.indexing import take
from jitml.numpy.manipulation import broadcast_to, moveaxis, ravel, reshape
from jitml.numpy.operands import as_axes, as_axis, expand_to, fail, joined_shape, operand, settle
from jitml.numpy.positions import values_at_hand
from jitml.numpy.ranges import arange
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.sorting import argsort, sort
from jitml.trace.core import Tracer
from jitml.typing import Array, ArrayLike

__all__ = ["delete", "fill_diagonal", "insert", "place", "put", "put_along_axis", "trim_zeros"]


def not_in_place(name: str, inplace: bool) -> None:
    """Raise if a change in place is asked for."""
    if inplace:
        fail(
            ArgumentError,
            f"{name}: arrays never change, so nothing can be done in place",
            f"pass inplace=False and use the result: x = {name}(x, …, inplace=False)",
        )


def _to_length(values: ArrayLike, length: int) -> Array:
    """The values in a row, repeated until there are so many."""
    flat = ravel(values)
    if flat.shape[0] == length:
        return flat
    return take(flat, np.arange(length) % max(flat.shape[0], 1))


# ---- elements replaced ----------------------------------------------------------------------


def put(
    a: ArrayLike, ind: ArrayLike, v: ArrayLike, mode: str | None = None, *, inplace: bool = True
) -> Array:
    """`a` with the elements at linear positions replaced; the values are repeated as needed.

    >>> import jitml.numpy as jnp
    >>> print(put(jnp.arange(4), jnp.array([0, 2]), 7, inplace=False))
    [7 1 7 3]
    """
    not_in_place("put", inplace)
    x, where = asarray(a), ravel(ind)
    if not where.shape[0] or not ravel(v).shape[0]:
        return x
    flat = IndexedUpdater(ravel(x), Forced(where))
    return reshape(flat.set(_to_length(v, where.shape[0]), mode=mode), x.shape)


def put_along_axis(
    arr: ArrayLike,
    indices: ArrayLike,
    values: ArrayLike,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: str | None = None,
) -> Array:
    """`arr` with the elements that `take_along_axis` would give replaced.

    >>> import jitml.numpy as jnp
    >>> print(put_along_axis(jnp.zeros((2, 2)), jnp.array([[1], [0]]), 5.0, 1, inplace=False))
    [[0. 5.]
     [5. 0.]]
    """
    not_in_place("put_along_axis", inplace)
    x, chosen = asarray(arr), asarray(indices)
    if axis is None:
        flat = put_along_axis(ravel(x), ravel(chosen), ravel(values), 0, inplace=False, mode=mode)
        return reshape(flat, x.shape)
    along = as_axis(axis, x.ndim, "put_along_axis")
    if not dtypes.is_integer(chosen.dtype):
        fail(ArgumentError, f"put_along_axis: indices must be integers, got {chosen.dtype.name}")
    if chosen.ndim != x.ndim:
        fail(
            ArgumentError,
            f"put_along_axis: {chosen.ndim}-d indices of an array of {x.ndim} dimensions",
        )
    index: list[Any] = []
    for k, n in enumerate(x.shape):
        column = [1] * x.ndim
        column[k] = n
        index.append(chosen if k == along else reshape(arange(n), column))
    return IndexedUpdater(x, tuple(index)).set(values, mode=mode)


def place(arr: ArrayLike, mask: ArrayLike, vals: ArrayLike, *, inplace: bool = True) -> Array:
    """`arr` with the elements where `mask` is true replaced by the values in turn.

    >>> import jitml.numpy as jnp
    >>> x = jnp.arange(4)
    >>> print(place(x, x > 1, jnp.array([8, 9]), inplace=False))
    [0 1 8 9]
    """
    not_in_place("place", inplace)
    x, values = asarray(arr), ravel(vals)
    truths = ravel(asarray(mask).astype(bool))
    if truths.shape[0] != x.size:
        fail(ArgumentError, f"place: a mask of {truths.shape[0]} elements for {x.size}")
    if not values.shape[0]:
        if not x.size:
            return x
        fail(ArgumentError, "place: there are no values to put")
    turn = (cumsum(truths) - 1) % values.shape[0]
    chosen = take(values, turn, mode="clip").astype(x.dtype)
    return reshape(choose(truths, chosen, ravel(x)), x.shape)


def fill_diagonal(
    a: ArrayLike, val: ArrayLike, wrap: bool = False, *, inplace: bool = True
) -> Array:
    """`a` with its main diagonal replaced; with `wrap` it begins anew below the end of a tall one.

    >>> import jitml.numpy as jnp
    >>> print(fill_diagonal(jnp.zeros((2, 2)), 3.0, inplace=False))
    [[3. 0.]
     [0. 3.]]
    """
    not_in_place("fill_diagonal", inplace)
    x = asarray(a)
    if x.ndim < 2:
        fail(ArgumentError, f"fill_diagonal: needs two axes at least, got shape {x.shape}")
    if x.ndim > 2 and len(set(x.shape)) > 1:
        fail(ArgumentError, f"fill_diagonal: beyond two axes all sizes are equal, not {x.shape}")
    if x.ndim == 2:
        step, end = x.shape[1] + 1, x.size if wrap else x.shape[1] ** 2
    else:
        step, end = sum(x.shape[0] ** k for k in range(x.ndim)), x.size
    where = np.arange(0, min(end, x.size), step, dtype=np.int32)
    return put(x, where, val, inplace=False)


# ---- elements put in and taken out ----------------------------------------------------------


def _line(name: str, arr: ArrayLike, axis: int | None) -> tuple[Any, int]:
    """The array (raveled without an axis), and the axis from the front."""
    if axis is None:
        return ravel(arr), 0
    x = asarray(arr)
    return x, as_axis(axis, x.ndim, name)


def _known(x: Any) -> np.ndarray[Any, Any] | None:
    """The values of an index, if they are known."""
    if isinstance(x, Tracer):
        try:
            return np.asarray(x)
        except TracerError:
            return None
    return np.asarray(x)


def _checked_positions(name: str, positions: np.ndarray[Any, Any], size: int, axis: int) -> Any:
    """Known positions counted from the front."""
    if positions.size and positions.dtype.kind not in "iu":
        fail(ArgumentError, f"{name}: positions are integers or truths, not {positions.dtype}")
    found = [static_position(int(p), axis, size) for p in positions.ravel()]
    return np.asarray(found, np.int64)


def delete(
    arr: ArrayLike,
    obj: Any,
    axis: int | None = None,
    *,
    assume_unique_indices: bool = False,
) -> Array:
    """`arr` without the slices at a position, at several, in a slice, or where a mask is true.

    Positions that are traced must differ: say so by `assume_unique_indices`.

    >>> import jitml.numpy as jnp
    >>> print(delete(jnp.array([5, 6, 7]), 1))
    [5 7]
    """
    x, along = _line("delete", arr, axis)
    size = x.shape[along]
    positions = np.arange(size)[obj] if isinstance(obj, slice) else _known(obj)
    if positions is None:
        return _delete_traced(x, asarray(obj), along, assume_unique_indices)
    kept = np.ones(size, bool)
    if positions.dtype == np.bool_:
        if positions.shape != (size,):
            fail(ArgumentError, f"delete: a mask of shape {positions.shape} for size {size}")
        kept = ~positions
    else:
        kept[_checked_positions("delete", positions, size, along)] = False
    return take(x, np.nonzero(kept)[0].astype(np.int32), along)


def _delete_traced(x: Any, obj: Any, axis: int, is_unique: bool) -> Array:
    size = x.shape[axis]
    if not dtypes.is_integer(obj.dtype) or not (obj.size == 1 or is_unique):
        fail(
            ConcretizationTypeError,
            "delete: the size of the result depends on positions that are traced",
            "if they are integers that all differ, pass assume_unique_indices=True",
        )
    # The k-th element that stays stands behind all deleted ones whose rank is at most k.
    gone = sort(choose(obj < 0, obj + size, obj).reshape(-1)) - arange(obj.size)
    stay = arange(size - obj.size)
    shifted = _sum(reshape(gone, (1, -1)) <= reshape(stay, (-1, 1)), axis=1, dtype=int)
    return take(x, stay + shifted, axis)


def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Array:
    """`arr` with values put in before the slices at a position, at several, or in a slice.

    >>> import jitml.numpy as jnp
    >>> print(insert(jnp.array([5, 7]), 1, 6))
    [5 6 7]
    """
    x, along = _line("insert", arr, axis)
    size = x.shape[along]
    new = asarray(values)
    where = np.arange(size)[obj] if isinstance(obj, slice) else _insert_positions(obj, size, along)
    if where.ndim > 1:
        fail(ArgumentError, f"insert: positions stand in a vector, not in shape {where.shape}")
    if where.ndim == 0 and axis is not None:
        # A single position takes the values as a whole, their first axis along the other one.
        new = moveaxis(reshape(new, (1,) * (x.ndim - new.ndim) + new.shape), 0, along)
    elif new.ndim < x.ndim:
        new = reshape(new, (1,) * (x.ndim - new.ndim) + new.shape)
    if where.size == 1:
        count = new.shape[along]
        starts = broadcast_to(asarray(where).reshape(1), (count,))
    else:
        count, starts = where.size, asarray(where)
    return _insert_at(x, starts, new.astype(x.dtype), along, count)


def _insert_positions(obj: Any, size: int, axis: int) -> Any:
    """Positions in front of which to put: known ones are checked, and the end is one of them."""
    known = _known(obj)
    if known is None:
        x = asarray(obj)
        if not dtypes.is_integer(x.dtype):
            fail(ArgumentError, f"insert: positions are integers, not {x.dtype.name}")
        return choose(x < 0, x + size, x)
    if known.dtype == np.bool_:
        known = np.nonzero(known)[0]
    bounded = known - (known < 0) if known.size else known
    found = _checked_positions("insert", bounded, size + 1, axis)
    return found.reshape(known.shape).astype(np.int32)


def _insert_at(x: Any, starts: Any, new: Any, axis: int, count: int) -> Array:
    """Values put in before positions; of equal positions in the order given."""
    size = x.shape[axis]
    order = argsort(starts)
    places = zeros((count,), "int32").at[order].set(take(starts, order) + arange(count))
    old = arange(size)
    before = _sum(reshape(starts, (1, -1)) <= reshape(old, (-1, 1)), axis=1, dtype=int)
    shape = (*x.shape[:axis], size + count, *x.shape[axis + 1 :])
    key = (slice(None),) * axis
    result = zeros(shape, x.dtype).at[(*key, old + before)].set(x, unique_indices=True)
    wanted = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    values = settle(expand_to(operand(new), joined_shape([new.shape, wanted])))
    return result.at[(*key, places)].set(values, unique_indices=True)


def trim_zeros(filt: ArrayLike, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Array:
    """`filt` without the zeros in front ("f"), at the end ("b"), or both.

    >>> import jitml.numpy as jnp
    >>> print(trim_zeros(jnp.array([0, 1, 0, 2, 0])))
    [1 0 2]
    """
    side = trim.lower() if isinstance(trim, str) else trim
    if side not in ("f", "b", "fb", "bf"):
        fail(ArgumentError, f"trim_zeros: trim {trim!r} is not known", "it is 'f', 'b' or 'fb'")
    x = asarray(filt)
    axes = as_axes(axis, x.ndim, "trim_zeros")
    truths = values_at_hand("trim_zeros", operand(x != 0))
    index: list[slice] = [slice(None)] * x.ndim
    for k in axes:
        found = np.nonzero(truths.any(axis=tuple(i for i in range(x.ndim) if i != k)))[0]
        first, last = (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)
        end = last if "b" in side or not found.size else x.shape[k]
        index[k] = slice(first if "f" in side else 0, end)
    return x[tuple(index)]
