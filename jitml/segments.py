"""Folds of segments: of all elements that carry the same number. Users call it `jitml.ops`.

In: data, and for each slice along its first axis the number of its segment. Out: a slice for each
segment.
"""

from __future__ import annotations

import operator
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.numpy.choice import choose
from jitml.numpy.creation import asarray, full
from jitml.numpy.index_entries import checked_mode
from jitml.numpy.operands import fail, operand
from jitml.numpy.positions import values_at_hand
from jitml.ops.reduction import highest, lowest
from jitml.typing import Array, ArrayLike

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def _folded(
    name: str,
    update: str,
    data: ArrayLike,
    segment_ids: ArrayLike,
    num_segments: int | None,
    unique_indices: bool,
    mode: Any,
    start: Any,
    order: str,
) -> Array:
    x, numbers = asarray(data), asarray(segment_ids)
    if not dtypes.is_integer(numbers.dtype):
        fail(DTypeError, f"{name}: numbers of segments are integers, not {numbers.dtype.name}")
    if x.shape[: numbers.ndim] != numbers.shape:
        fail(
            ArgumentError,
            f"{name}: segment_ids of shape {numbers.shape} for data of shape {x.shape}",
            "give one for each slice along the first axis",
        )
    if update in ("min", "max") and dtypes.is_complex(x.dtype):
        fail(DTypeError, f"{name}: complex numbers have no order", "take their real parts first")
    if num_segments is None:
        known = values_at_hand(name, operand(numbers), f"pass num_segments= to {name}")
        num_segments = int(known.max(initial=-1)) + 1
    count = operator.index(num_segments)
    if count < 0:
        fail(ArgumentError, f"{name}: num_segments must not be negative, got {count}")
    how = "drop" if mode is None else checked_mode(mode, name)
    if how == "drop":  # negative numbers do not count from the end
        numbers = choose(numbers < 0, count, numbers)
    totals = full((count, *x.shape[numbers.ndim :]), start(x.dtype), x.dtype).at[numbers]
    return getattr(totals, update)(x, mode=how, unique_indices=unique_indices, order=order)


def _segment_fold(name: str, update: str, start: Any, summary: str, result: str) -> Any:
    def function(
        data: ArrayLike,
        segment_ids: ArrayLike,
        num_segments: int | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        bucket_size: int | None = None,
        mode: Any = None,
        out_sharding: object = None,
        order: str = "given",
    ) -> Array:
        return _folded(
            name, update, data, segment_ids, num_segments, unique_indices, mode, start, order
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary} Numbers outside of the range are left out.

    >>> import jitml.numpy as jnp
    >>> print({name}(jnp.array([3, 1, 2]), jnp.array([0, 1, 1])))
    {result}
    """
    return function


segment_sum = _segment_fold(
    "segment_sum", "add", lambda dtype: 0, "The sum of each segment, 0 of an empty one.", "[3 3]"
)
segment_prod = _segment_fold(
    "segment_prod", "multiply", lambda dtype: 1, "The product of each segment.", "[3 2]"
)
segment_max = _segment_fold(
    "segment_max", "max", lowest, "The greatest element of each segment.", "[3 2]"
)
segment_min = _segment_fold(
    "segment_min", "min", highest, "The smallest element of each segment.", "[3 1]"
)
