"""`sort`: one or more arrays put in the order of the first ones, along one axis.

In: operands of one shape, of which the first `num_keys` decide, the first before the second and so
on. Out: all of them in that order. The order of floats is total: −0 equals 0, NaNs are equal and
come last; complex numbers go by real, then imaginary part. Equal elements keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, INT64, DType, is_complex
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced
from jitml.ops.reduction import check_axes, widened
from jitml.trace.core import bind, type_of
from jitml_runtime.record import frozen


@frozen
class Sort(Op):
    """The operands in the order of the first `num_keys` along `dimension`.

    Equal elements keep their order whether or not `is_stable` asks for it, so that results are one.
    """

    name = "sort"
    dimension: int
    is_stable: bool = True
    num_keys: int = 1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if not types or any(t.shape != types[0].shape for t in types):
            raise ShapeError(f"sort: shapes differ: {', '.join(map(str, types))}")
        check_axes("sort", (self.dimension,), types[0].ndim)
        if not 1 <= self.num_keys <= len(types):
            raise ArgumentError(f"sort: num_keys={self.num_keys} of {len(types)} operands")
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        operands = [np.asarray(a) for a in arrays]
        keys = [part for x in operands[: self.num_keys] for part in _parts(widened(x))]
        order = np.lexsort(tuple(reversed(keys)), axis=self.dimension)
        return tuple(np.take_along_axis(x, order, self.dimension) for x in operands)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """Tangents are put in the order of their primals."""
        if all(t is None for t in tangents):
            return bind(self, *primals), list(tangents)
        from jitml.ops.movement import iota

        shape = type_of(primals[0]).shape
        position = iota(position_dtype(shape[self.dimension]), shape, self.dimension)
        *outputs, order = bind(self, *primals, position)
        moved = [None if t is None else take_along_axis(t, order, self.dimension) for t in tangents]
        return outputs, moved

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        from jitml.ops.movement import broadcast_in_dim, move_axis

        aligned = []
        for x, axis in zip(inputs, axes, strict=True):
            shape = type_of(x).shape
            if axis is None:
                axes_after = tuple(range(1, len(shape) + 1))
                aligned.append(broadcast_in_dim(x, (size, *shape), axes_after))
            else:
                aligned.append(move_axis(x, axis, 0))
        outputs = bind(Sort(self.dimension + 1, self.is_stable, self.num_keys), *aligned)
        return outputs, [0] * len(outputs)


def _parts(x: Any) -> list[Any]:
    return [x.real, x.imag] if is_complex(x.dtype) else [x]


def position_dtype(length: int) -> DType:
    """The integer dtype that numbers the elements of an axis."""
    return INT32 if length <= np.iinfo(np.int32).max else INT64


def take_along_axis(x: Traced, indices: Traced, axis: int) -> Traced:
    """`out[…, i, …] = x[…, indices[…, i, …], …]`; `indices` has the shape of `x` but for `axis` and
    must lie in bounds.
    """
    from jitml.ops.indexing import GatherDimensionNumbers, gather
    from jitml.ops.movement import expand_dims

    ndim = type_of(x).ndim
    others = tuple(a for a in range(ndim) if a != axis)
    numbers = GatherDimensionNumbers(
        offset_dims=(),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
    )
    return gather(x, expand_dims(indices, (ndim,)), numbers, (1,) * ndim, mode="promise_in_bounds")


def sort(
    operands: Sequence[Traced], dimension: int, is_stable: bool = True, num_keys: int = 1
) -> list[Traced]:
    """All `operands` in ascending order of the first `num_keys` along `dimension`."""
    return bind(Sort(dimension, is_stable, num_keys), *operands)
