"""Products as batched matrices: `dot_general` over arrays of any strides becomes a `GemmShape`.

Comes in: the equation and the strides of its operands. Goes out: extents and strides of [B, M, K] ·
[B, K, N], where each of B, M, N, K is a group of axes. Where they lie evenly in memory they count
as one; the batch must.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_gather import Axis, Gather, merged_axes
from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Eqn
from jitml.ops.contraction import DotGeneral

Strides = tuple[int, ...]


def merged_stride(shape: tuple[int, ...], strides: Strides, axes: tuple[int, ...]) -> int | None:
    """The stride of `axes` counted as one axis; None if they do not lie evenly."""
    live = [axis for axis in axes if shape[axis] != 1]
    for a, b in itertools.pairwise(live):
        if strides[a] != strides[b] * shape[b]:
            return None
    return strides[live[-1]] if live else 0


class Operand(NamedTuple):
    """An operand as (batch, row, column) matrices, by strides in elements.

    Where rows or columns are axes that do not lie evenly, `axes` are those of both, and their
    strides do not count.
    """

    batch: int
    row: int
    column: int
    axes: tuple[tuple[Axis, ...], tuple[Axis, ...]] | None = None


def operand_layout(eqn: Eqn, side: int, strides: Strides) -> Operand | None:
    """How an operand with these strides is read; None if it cannot be read in place."""
    op, type_ = eqn.op, eqn.inputs[side].type
    assert isinstance(op, DotGeneral)
    groups = op.canonical(eqn.inputs[0].type, eqn.inputs[1].type)[side]
    batch, row, column = (merged_stride(type_.shape, strides, axes) for axes in groups)
    if batch is None:
        return None
    if row is not None and column is not None:
        return Operand(batch, row, column)
    if is_complex(type_.dtype):
        return None
    rows, columns = (
        merged_axes(tuple((type_.shape[axis], strides[axis]) for axis in axes))
        for axes in groups[1:]
    )
    return Operand(batch, 0, 0, (rows, columns))


def gemm_shape(eqn: Eqn, x_strides: Strides, y_strides: Strides) -> GemmShape:
    """The product of `eqn` for operands with these strides, which can be read in place."""
    op, x, y = eqn.op, eqn.inputs[0].type, eqn.inputs[1].type
    assert isinstance(op, DotGeneral)
    (x_batch, x_free, x_contract), (_, _, y_free) = op.canonical(x, y)
    batch, m, k = (math.prod(x.shape[a] for a in axes) for axes in (x_batch, x_free, x_contract))
    n = math.prod(y.shape[a] for a in y_free)
    a, b = operand_layout(eqn, 0, x_strides), operand_layout(eqn, 1, y_strides)
    assert a is not None and b is not None
    gather_a = Gather(*a.axes) if a.axes else None
    gather_b = Gather(b.axes[1], b.axes[0]) if b.axes else None
    return GemmShape(batch, m, n, k, *a[:3], *b[:3], m * n, n, gather_a, gather_b)
