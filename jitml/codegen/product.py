"""Products as batched matrices: `dot_general` over arrays of any strides becomes a `GemmShape`.

Comes in: the equation and the strides of its operands. Goes out: extents and strides of [B, M, K] ·
[B, K, N], where each of B, M, N, K is a group of axes that lie evenly in memory, so that they count
as one.
"""

from __future__ import annotations

import itertools
import math

from jitml.codegen.gemm import GemmShape
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


def operand_strides(eqn: Eqn, side: int, strides: Strides) -> tuple[int, int, int] | None:
    """Strides of an operand as (batch, row, column) matrices; None if some axes do not lie
    evenly."""
    op, shape = eqn.op, eqn.inputs[side].type.shape
    assert isinstance(op, DotGeneral)
    groups = op.canonical(eqn.inputs[0].type, eqn.inputs[1].type)[side]
    merged = [merged_stride(shape, strides, axes) for axes in groups]
    batch, row, column = merged
    if batch is None or row is None or column is None:
        return None
    return batch, row, column


def gemm_shape(eqn: Eqn, x_strides: Strides, y_strides: Strides) -> GemmShape:
    """The product of `eqn` for operands with these strides, which lie evenly."""
    op, x, y = eqn.op, eqn.inputs[0].type, eqn.inputs[1].type
    assert isinstance(op, DotGeneral)
    (x_batch, x_free, x_contract), (_, _, y_free) = op.canonical(x, y)
    batch, m, k = (math.prod(x.shape[a] for a in axes) for axes in (x_batch, x_free, x_contract))
    n = math.prod(y.shape[a] for a in y_free)
    a, b = operand_strides(eqn, 0, x_strides), operand_strides(eqn, 1, y_strides)
    assert a is not None and b is not None
    return GemmShape(batch, m, n, k, *a, *b, m * n, n)
