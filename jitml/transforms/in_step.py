"""Maps of loops of unknown length, some of their elements in step.

`vmap` of such a loop goes through the elements one by one, each with its own number of steps. Where
a step is little work, most of its time is what kernels take to start: here a block of elements
makes its steps together, in vector instructions, until the last of the block has ended. Those that
have ended keep their carries, so results are as they were. Loops over scalars need no such help:
they are one kernel, whatever their elements do. Dear steps are made in windows before this.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jitml.ir.dtypes import INT32
from jitml.ir.graph import Eqn, Graph
from jitml.ir.types import ArrayType
from jitml.ops.cond import is_total, work_per_element
from jitml.ops.contraction import DotGeneral
from jitml.ops.cost import operation_count
from jitml.ops.dynamic import dynamic_slice, dynamic_update_slice
from jitml.ops.elementwise import add, minimum
from jitml.ops.kinds import Elementwise, Movement, Reduction, full_of
from jitml.ops.scan import Scan, scan_values
from jitml.ops.while_loop import While, loop_of_map
from jitml.trace.core import type_of
from jitml.trace.inline import rewritten
from jitml.trace.numbers import literal
from jitml.transforms.batch import Batching

_BLOCK_WORK = 1 << 15  # operations of a step of a block: a few times what its kernels take to start
_LARGEST_BLOCK, _SMALLEST_BLOCK = 1024, 8  # elements


def in_step(graph: Graph) -> Graph:
    """Let blocks of a map's elements make the steps of their loops together.

    Before: `%y = scan %x … { %r = while %e … }` with carries that are arrays, for 5000 elements
    After:  `%y = scan … { 256 elements of %x; while any … { select }; put the block into %y }`
    """
    if not any(map(_block_size, graph.eqns)):
        return graph

    def rule(eqn: Eqn) -> Any:
        block = _block_size(eqn)
        return functools.partial(_in_blocks, eqn, block) if block else None

    return rewritten(graph, rule)


# ---- which loops ---------------------------------------------------------------------------------


def _block_size(eqn: Eqn) -> int:
    """How many elements of a map of loops are to make their steps together; 0: it is none, or each
    is to run for itself.
    """
    op = eqn.op
    if not isinstance(op, Scan):
        return 0
    loop = loop_of_map(op)
    inner = None if loop is None else loop.op
    if type(inner) is not While or not all(map(_is_safe, (inner.condition, inner.body))):
        return 0
    if all(map(_is_scalar, (inner.condition, inner.body))):
        return 0
    work = 1 + sum(operation_count(g, work_per_element) for g in (inner.condition, inner.body))
    size = _LARGEST_BLOCK
    while size > 1 and (size * work > _BLOCK_WORK or size > op.length):
        size //= 2
    return size if size >= _SMALLEST_BLOCK else 0


def _is_safe(graph: Graph) -> bool:
    """Whether a graph cannot fail, and ends, for an element that is not to run it."""
    return all(is_total(e.op) or isinstance(e.op, (Reduction, DotGeneral)) for e in graph.eqns)


def _is_scalar(graph: Graph) -> bool:
    """Whether a graph computes scalars of scalars, so that a loop of it is one kernel."""
    rest = [eqn for eqn in graph.eqns if not isinstance(eqn.op, (Elementwise, Movement))]
    return not rest and not any(a.type.shape for a in graph.outputs)


# ---- blocks --------------------------------------------------------------------------------------


def _in_blocks(eqn: Eqn, block: int, *inputs: Any) -> list[Any]:
    """The outputs of a map of loops."""
    op = eqn.op
    assert isinstance(op, Scan)
    constants, _, arrays = op.groups(inputs)
    last = op.length - block
    types = [ArrayType(v.type.dtype, (op.length, *v.type.shape)) for v in op.body.outputs]
    number = ArrayType(INT32, ())

    def step(cs: list[Any], ks: list[Any], _: list[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        shared, rows = cs[: len(constants)], cs[len(constants) :]
        start, *done = ks
        # The last block is full too: it makes steps that the one before it has made as well.
        own = [dynamic_slice(x, _corner(x, start), (block, *type_of(x).shape[1:])) for x in rows]
        found = _loops(op, block, shared, own)
        done = [
            dynamic_update_slice(d, x, _corner(d, start)) for d, x in zip(done, found, strict=True)
        ]
        return [minimum(add(start, literal(block, number)), literal(last, number)), *done], []

    starts = [literal(0, number), *(full_of(t, 0) for t in types)]
    length = -(-op.length // block)
    (_, *found), _ = scan_values(
        step, [*constants, *arrays], starts, [], length, False, f"{op.body.name} in blocks"
    )
    return found


def _corner(x: Any, start: Any) -> list[Any]:
    """Where a block of rows of `x` begins."""
    return [start, *[literal(0, ArrayType(INT32, ()))] * (type_of(x).ndim - 1)]


def _loops(op: Scan, block: int, shared: Sequence[Any], own: Sequence[Any]) -> list[Any]:
    """The outputs of the loops of a block, stacked."""
    (inner,) = op.body.eqns
    assert isinstance(inner.op, While)
    values: dict[Any, Any] = dict(zip(op.body.inputs, [*shared, *own], strict=True))
    axes: dict[Any, int] = dict.fromkeys(op.body.inputs[op.constants :], 0)
    found, _ = inner.op.batch_in_step(
        block,
        [values.get(a, a) for a in inner.inputs],
        [axes.get(a) for a in inner.inputs],
        Batching(None),
    )
    results: dict[Any, Any] = dict(zip(inner.outputs, found, strict=True))
    return [results[a] for a in op.body.outputs]
