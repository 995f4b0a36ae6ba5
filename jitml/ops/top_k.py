"""`top_k`: the k greatest elements of lines, in descending order, and where they are.

NaN counts as the greatest; of equal elements the earlier comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32
from jitml.ir.errors import ArgumentError
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced
from jitml.ops.reduction import check_axes, widened
from jitml.ops.sort import position_dtype, sort, take_along_axis
from jitml.trace.core import bind, type_of
from jitml_runtime.record import frozen

_KEY_BYTES = 4  # of elements that have a kernel: it sorts them with their positions as one word


@frozen
class TopK(Op):
    """The `k` greatest elements along `axis`, of at most 32 bits, and their int32 positions."""

    name = "top_k"
    k: int
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        _check(x, self.k, self.axis)
        shape = (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :])
        return ArrayType(x.dtype, shape, x.weak), ArrayType(INT32, shape)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        turned = np.flip(x, self.axis)
        order = np.flip(np.lexsort((widened(turned),), axis=self.axis), self.axis)
        order = x.shape[self.axis] - 1 - np.take(order, np.arange(self.k), self.axis)
        return np.take_along_axis(x, order, self.axis), order.astype(np.int32)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        values, places = bind(self, *primals)
        (t,) = tangents
        moved = None if t is None else take_along_axis(t, places, self.axis)
        return [values, places], [moved, None]

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (batch,) = axes
        assert batch is not None
        outputs = bind(TopK(self.k, self.axis + (self.axis >= batch)), *inputs)
        return outputs, [batch, batch]


def top_k(x: Traced, k: int, axis: int) -> tuple[Traced, Traced]:
    """The `k` greatest elements along `axis` in descending order, and their int32 positions."""
    from jitml.ops.movement import iota, reverse, slice_

    type_ = type_of(x)
    _check(type_, k, axis)
    if type_.dtype.itemsize <= _KEY_BYTES and type_.shape[axis] <= np.iinfo(np.int32).max:
        values, places = bind(TopK(k, axis), x)
        return values, places
    # Sorted from the end and then turned round, so that among equals the earlier comes first.
    shape = type_.shape
    position = iota(position_dtype(shape[axis]), shape, axis)
    turned = sort([reverse(x, (axis,)), reverse(position, (axis,))], axis)
    limit = (*shape[:axis], k, *shape[axis + 1 :])
    values, places = (slice_(reverse(v, (axis,)), (0,) * len(shape), limit) for v in turned)
    return values, places


def _check(x: ArrayType, k: int, axis: int) -> None:
    check_axes("top_k", (axis,), x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ArgumentError(f"top_k: k={k} of the {x.shape[axis]} elements of axis {axis}")
