"""State ops that have no kernel of their own in ops that have one.

Before: any op. After: elementwise ops, movement, reductions of one axis, and the ops with kernels
of their own. Long reductions become two: one result per block, then the blocks' results in a fixed
tree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, is_complex
from jitml.ir.graph import Eqn, Graph
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.contraction import DotGeneral
from jitml.ops.elementwise import convert, mul
from jitml.ops.kinds import Reduction, full_of
from jitml.ops.movement import broadcast_in_dim, reshape, transpose
from jitml.ops.reduction import reduce_sum
from jitml.ops.window_products import WindowProduct
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.inline import rewritten
from jitml_runtime.record import replace

BLOCK = 4096


@dataclass(frozen=True)
class Partial(Op):
    """The states of `reduction` over blocks of `BLOCK` elements of one axis, along a new last
    axis.
    """

    name = "partial"
    reduction: Reduction

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        (axis,) = self.reduction.axes
        blocks = -(-x.shape[axis] // BLOCK)
        shape = (*x.shape[:axis], *x.shape[axis + 1 :], blocks)
        return tuple(ArrayType(d, shape) for d in state_dtypes(self.reduction, x.dtype))


@dataclass(frozen=True)
class Combine(Op):
    """The result of `reduction` from its blocks' states along the last axis, in a tree over the
    blocks.
    """

    name = "combine"
    reduction: Reduction
    type: ArrayType

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (self.type,)


def state_dtypes(reduction: Reduction, dtype: DType) -> tuple[DType, ...]:
    """The dtypes in which the state of a reduction is stored."""
    return tuple(FROM_SHORT_NAME["bool" if t == "i1" else t] for t in reduction.state_types(dtype))


def expand(graph: Graph) -> Graph:
    """The graph with every op that has no kernel stated in ops that have."""
    plain: set[Eqn] = set()

    def rule(eqn: Eqn) -> Callable[..., Sequence[Any]] | None:
        found = None if eqn in plain else _rule(eqn)
        if found is None:
            plain.add(eqn)
        return found

    while any(rule(eqn) is not None for eqn in graph.eqns):
        graph = rewritten(graph, rule)
    return graph


def _rule(eqn: Eqn) -> Callable[..., Sequence[Any]] | None:
    """How `eqn` is stated in other ops, or None if it has a kernel."""
    op = eqn.op
    if isinstance(op, Reduction):
        return _reduction_rule(op, eqn.inputs[0].type)
    if isinstance(op, DotGeneral):
        return _dot_rule(op, *(a.type for a in eqn.inputs))
    return op.expand if op.expands(*(a.type for a in eqn.inputs)) else None


def _reduction_rule(op: Reduction, x: ArrayType) -> Callable[..., Sequence[Any]] | None:
    axes = op.axes
    count = math.prod(x.shape[axis] for axis in axes)
    if not axes:
        return op.expand
    if count == 0:
        return lambda x: [_empty_result(op, x)]
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        return op.expand
    if len(axes) > 1:
        return lambda x: [_merged(op, x)]
    return (lambda x: [_in_blocks(op, x)]) if count > BLOCK else None


def _empty_result(op: Reduction, x: Any) -> Any:
    (result,) = op.infer(type_of(x))
    return full_of(result, op.empty_value(type_of(x).dtype))


def _merged(op: Reduction, x: Any) -> Any:
    """A reduction over adjacent axes as one over their product."""
    shape, first, last = type_of(x).shape, op.axes[0], op.axes[-1]
    merged = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return bind1(replace(op, axes=(first,)), reshape(x, merged))


def _in_blocks(op: Reduction, x: Any) -> Any:
    (result,) = op.infer(type_of(x))
    return bind1(Combine(op, result), *bind(Partial(op), x))


def _dot_rule(op: DotGeneral, x: ArrayType, y: ArrayType) -> Callable[..., Sequence[Any]] | None:
    """Products with a vector are reductions; empty ones are zeros."""
    (result,) = op.infer(x, y)
    (x_batch, x_free, x_contract), (y_batch, y_contract, y_free) = op.canonical(x, y)
    rows, columns = (math.prod(t.shape[a] for a in axes) for t, axes in ((x, x_free), (y, y_free)))
    depth = math.prod(x.shape[a] for a in x_contract)
    if result.size == 0 or depth == 0:
        return lambda x, y: [full_of(result, 0)]
    if isinstance(op, WindowProduct) or (rows != 1 and columns != 1):
        groups = (x_batch, x_free, x_contract, y_batch, y_free, y_contract)
        # The kernels gather rows and columns from any axes, but of complex numbers.
        if is_complex(x.dtype):
            is_readable = all(map(_is_run, groups))
        else:
            is_readable = _is_run(x_batch) and _is_run(y_batch)
        if is_readable:
            return None
        return lambda x, y: [_as_matrices(op, x, y, result)]

    def as_reduction(x: Any, y: Any) -> Sequence[Any]:
        accumulate = op.accumulator(type_of(x).dtype)
        rows, columns = _extents(x, x_free), _extents(y, y_free)
        # Both as [batch…, rows…, columns…, depth…].
        x = transpose(convert(x, accumulate), (*x_batch, *x_free, *x_contract))
        y = transpose(convert(y, accumulate), (*y_batch, *y_free, *y_contract))
        x = _widened(x, len(x_batch) + len(rows), columns)
        y = _widened(y, len(y_batch), rows)
        product = mul(x, y)
        ndim = type_of(product).ndim
        total = reduce_sum(product, tuple(range(ndim - len(x_contract), ndim)))
        return [convert(total, result.dtype, result.weak)]

    return as_reduction


# [B, M, K] · [B, K, N]
_MATRICES = (((2,), (1,)), ((0,), (0,)))


def _is_run(axes: tuple[int, ...]) -> bool:
    """Whether axes lie together and in order, so that they count as one where the array is
    contiguous.
    """
    return all(a + 1 == b for a, b in pairwise(axes))


def _as_matrices(op: DotGeneral, x: Any, y: Any, result: ArrayType) -> Any:
    """Any product as one of batched matrices; axes that lie together are merged before any are
    moved.
    """
    x_groups, y_groups = op.canonical(type_of(x), type_of(y))
    product = replace(op, dimension_numbers=_MATRICES)
    out = bind1(product, _grouped(x, x_groups), _grouped(y, y_groups))
    return reshape(out, result.shape)


def _grouped(x: Any, groups: Sequence[tuple[int, ...]]) -> Any:
    """`x` with its axes in the order of `groups`, each group merged into one axis."""
    shape = type_of(x).shape
    merged: list[int] = []
    runs: list[list[int]] = []
    for axis in range(len(shape)):
        together = any((axis - 1, axis) in pairwise(group) for group in groups)
        if together:
            merged[-1] *= shape[axis]
            runs[-1].append(axis)
        else:
            merged.append(shape[axis])
            runs.append([axis])
    first = {run[0]: number for number, run in enumerate(runs)}
    order = tuple(first[axis] for group in groups for axis in group if axis in first)
    extents = [math.prod(shape[axis] for axis in group) for group in groups]
    return reshape(transpose(reshape(x, tuple(merged)), order), tuple(extents))


def _extents(x: Any, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(type_of(x).shape[a] for a in axes)


def _widened(x: Any, position: int, extents: tuple[int, ...]) -> Any:
    """`x` with axes of `extents` inserted at `position`, repeated along them."""
    shape = type_of(x).shape
    wide = (*shape[:position], *extents, *shape[position:])
    kept = [*range(position), *range(position + len(extents), len(wide))]
    return broadcast_in_dim(x, wide, tuple(kept))
