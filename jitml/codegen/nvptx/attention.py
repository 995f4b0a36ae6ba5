"""Which attention has a kernel on GPUs: an op of its own, which passes keep.

Comes in: a graph before the passes. Goes out: the same with `GridAttention` where there is a kernel
for `Attention`; elsewhere the passes put its body.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.ir.dtypes import short_name
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.attention import Attention, Tiling, by_name
from jitml_runtime.record import frozen, replace

MOST_KEYS = 256  # of a tile
_MOST_FEATURES = 128


@frozen
class GridAttention(Op):
    """`Attention` that has a kernel; the parameters are the same."""

    name = "grid_attention"
    tiling: Tiling
    given: tuple[bool, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        q = types[0].strong()
        row = q.with_shape(q.shape[:-1])
        return q, row, row


def keep_attention(graph: Graph) -> Graph:
    """The graph with the kernel's op for attention, wherever there is a kernel for it."""
    eqns = [replace(eqn, op=_kept(eqn)) for eqn in graph.eqns]
    is_same = all(a.op is b.op for a, b in zip(eqns, graph.eqns, strict=True))
    return graph if is_same else graph.with_eqns(eqns)


def _kept(eqn: Eqn) -> Op:
    op = eqn.op
    if isinstance(op, Attention) and _suits(op, [a.type for a in eqn.inputs]):
        return GridAttention(op.tiling, op.given)
    return map_nested(op, keep_attention) if any(nested_graphs(op)) else op


def _suits(op: Attention, types: Sequence[ArrayType]) -> bool:
    """Whether there is a kernel for it."""
    given = by_name(types, op.given)
    rows, features = given.q.shape[3:]
    dtypes = {short_name(t.dtype) for t in (given.q, given.k, given.v)}
    is_single = dtypes == {"f32"}
    if given.bias is not None:
        is_single &= short_name(given.bias.dtype) in ("f32", "f16", "bf16")
    # Products with a vector are not chains.
    has_matrices = min(rows, features, op.tiling.keys) > 1 and given.pairs.size > 0
    fits = op.tiling.keys <= MOST_KEYS and features <= _MOST_FEATURES
    return is_single and has_matrices and fits
