"""Compaction: what a map does in one branch, for those of its elements that take the branch alone,
many at a time.

`vmap` of a conditional whose condition differs from element to element makes a loop that goes
through the elements one by one, each with its own branch. Here the elements that take a branch are
numbered, and the branch is computed for blocks of them, in vector instructions. Branches that cost
less than that are computed for all elements; very dear ones stay in the loop. Which it is changes
no result, and no check is made for an element that does not take the branch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jitml.ir.dtypes import INT32
from jitml.ir.graph import Eqn, Graph, Var
from jitml.ir.nested import nested_graphs
from jitml.ir.types import ArrayType
from jitml.ops.cond import Cond, is_harmless, is_total, work_per_element
from jitml.ops.control import along_rows, at_front, retyped, stacked_type
from jitml.ops.cost import operation_count
from jitml.ops.cumulative import cumsum
from jitml.ops.elementwise import add, convert, eq, lt, maximum, minimum, select, sub
from jitml.ops.kinds import full_of
from jitml.ops.movement import iota, reshape, slice_
from jitml.ops.rows import put_rows, take_rows
from jitml.ops.scan import Scan
from jitml.ops.while_loop import Lanes, while_values
from jitml.trace.core import bind, type_of, using_source
from jitml.trace.numbers import literal
from jitml.transforms.batch import Batching, apply_rule, batch, batch_values
from jitml.transforms.inline import inline, rewritten
from jitml.transforms.inline_calls import inline_calls

# What elements cost one by one, roughly, in ns; the least that is worth a few kernels more.
_ELEMENT_NS, _OPERATION_NS, _LEAST_NS = 70, 0.5, 100_000
_BLOCK_WORK = 1 << 16  # operations in a block: enough to make its own cost small
_LARGEST_BLOCK, _SMALLEST_BLOCK = 1024, 8  # elements
_MOST_BESIDE = 16  # equations beside conditionals, which are computed for all elements at once


def compact(graph: Graph) -> Graph:
    """Compute the branches that elements of a map take for many elements at a time.

    Before: `%y = scan %i, %x … { %r = cond %k, %e … }` with a branch of much work
    After:  `%y = lanes … { gather the operands of 64 elements; the branch; scatter its results }`
    """
    if not any(map(_is_map_of_branches, graph.eqns)):
        return graph

    def rule(eqn: Eqn) -> Any:
        return functools.partial(_mapped, eqn) if _is_map_of_branches(eqn) else None

    return rewritten(graph, rule)


# ---- which loops ---------------------------------------------------------------------------------


def _is_map_of_branches(eqn: Eqn) -> bool:
    """Whether a loop's steps do not depend on each other, and do little beside choosing branches
    of an amount of work that pays.
    """
    op = eqn.op
    if not isinstance(op, Scan) or op.carries:
        return False
    chosen = [e for e in op.body.eqns if isinstance(e.op, Cond)]
    beside = [e for e in op.body.eqns if not isinstance(e.op, Cond)]
    if not chosen or len(beside) > _MOST_BESIDE or not all(is_total(e.op) for e in beside):
        return False
    moving = _moving(op)
    return all(e.inputs[0] in moving and _pays(e, op.length) for e in chosen)


def _moving(op: Scan) -> set[Any]:
    """The variables of the body that differ from step to step."""
    moving: set[Any] = set(op.body.inputs[op.constants :])
    for eqn in op.body.eqns:
        if not moving.isdisjoint(eqn.inputs):
            moving.update(eqn.outputs)
    return moving


def _pays(eqn: Eqn, length: int) -> bool:
    """Whether there is enough to gain, and every branch little enough work for several elements
    to make a block.
    """
    assert isinstance(eqn.op, Cond)
    branches = eqn.op.branches
    most = max(operation_count(branch, work_per_element) for branch in branches)
    if length * (_ELEMENT_NS + most * _OPERATION_NS) < _LEAST_NS:
        return False
    return all(_block_size(branch, length) >= _SMALLEST_BLOCK for branch in branches)


def _block_size(branch: Graph, length: int) -> int:
    """For how many elements at a time a branch is computed."""
    if branch.has_effect or not has_batch(branch):
        return 1
    moved = sum(v.type.size for eqn in branch.eqns for v in eqn.outputs)
    work = max(1.0, operation_count(branch, work_per_element), moved)
    size = _LARGEST_BLOCK
    while size > 1 and (size * work > _BLOCK_WORK or size > length):
        size //= 2
    return size


def has_batch(graph: Graph) -> bool:
    """Whether all ops can work on several elements at once, in a way that is no user's choice."""
    return all(
        eqn.op.has("batch")
        and not eqn.op.runs_python
        and all(map(has_batch, nested_graphs(eqn.op)))
        for eqn in graph.eqns
    )


# ---- all elements --------------------------------------------------------------------------------


def _mapped(eqn: Eqn, *inputs: Any) -> list[Any]:
    """The outputs of a map of branches."""
    op = eqn.op
    assert isinstance(op, Scan)
    body, size = op.body, op.length
    values: dict[Any, Any] = dict(zip(body.inputs, inputs, strict=True))
    axes: dict[Any, int | None] = dict.fromkeys(body.inputs[op.constants :], 0)
    for inner in body.eqns:
        operands = [values.get(a, a) for a in inner.inputs]
        along = [axes.get(a) for a in inner.inputs]
        outputs: Sequence[Any]
        found: Sequence[int | None]
        with using_source(inner.source):
            if isinstance(inner.op, Cond):
                outputs = _branches(inner.op, size, operands, along, inner.outputs)
                found = [0] * len(outputs)
            elif all(a is None for a in along):
                outputs, found = bind(inner.op, *operands), [None] * len(inner.outputs)
            else:
                outputs, found = apply_rule(inner, size, operands, along, Batching(None))
        values.update(zip(inner.outputs, outputs, strict=True))
        axes.update(zip(inner.outputs, found, strict=True))
    return [at_front(size, values.get(a, a), axes.get(a), a.type) for a in body.outputs]


def _branches(
    op: Cond,
    size: int,
    inputs: Sequence[Any],
    axes: Sequence[int | None],
    outputs: Sequence[Var],
) -> list[Any]:
    """The outputs of a conditional for all elements, whose branches `inputs[0]` numbers."""
    number = minimum(maximum(inputs[0], 0), len(op.branches) - 1)
    operands, along = inputs[1:], axes[1:]
    types = [stacked_type(v.type, size) for v in outputs]
    branches = list(map(inline_calls, op.branches))
    cheap = [k for k, branch in enumerate(branches) if is_harmless(branch)]
    found = [full_of(t, 0) for t in types]
    for k in cheap:
        rows = zip(_for_all(branches[k], size, operands, along), found, strict=True)
        found = [x if k == cheap[0] else select(along_rows(eq(number, k), x), x, y)
                 for x, y in rows]  # fmt: skip
    for k, branch in enumerate(branches):
        if k not in cheap:
            found = _for_takers(eq(number, k), branch, operands, along, found)
    return [retyped(x, t) for x, t in zip(found, types, strict=True)]


def _for_all(
    branch: Graph, size: int, operands: Sequence[Any], axes: Sequence[int | None]
) -> list[Any]:
    """The results of a branch for all elements, stacked."""
    values, found = batch_values(branch, size, operands, axes)
    rows = zip(values, found, branch.output_types, strict=True)
    return [at_front(size, x, a, t) for x, a, t in rows]


def _for_takers(
    takes: Any,
    branch: Graph,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    before: Sequence[Any],
) -> list[Any]:
    """`before` with the results of `branch` in the rows for which `takes` holds, block by block."""
    size = type_of(takes).shape[0]
    block = _block_size(branch, size)
    batched = batch(branch, block, [None if a is None else 0 for a in axes])
    rows_first = [
        x if a is None else at_front(size, x, a, type_of(x))
        for x, a in zip(operands, axes, strict=True)
    ]
    types = [t.with_shape(t.shape[1:]) for t in map(type_of, before)]
    takers, count = _numbered(takes)

    def step(cs: list[Any], ks: list[Any]) -> list[Any]:
        takers, count, *given = cs
        start, *rows = ks
        # The last block is filled up with the last one that takes the branch.
        positions = minimum(add(iota(INT32, (block,), 0), start), sub(count, 1))
        own = take_rows(takers, positions)
        values = [x if a is None else take_rows(x, own) for x, a in zip(given, axes, strict=True)]
        results = zip(inline(batched.graph, values), batched.axes, types, strict=True)
        stacked = [at_front(block, x, a, t) for x, a, t in results]
        return [
            add(start, block),
            *(put_rows(x, own, y) for x, y in zip(rows, stacked, strict=True)),
        ]

    _, *found = while_values(
        lambda cs, ks: [lt(ks[0], cs[0])],
        step,
        [count],
        [takers, count, *rows_first],
        [literal(0, ArrayType(INT32, ())), *before],
        f"{branch.name}.lanes",
        Lanes,
    )
    return found


def _numbered(takes: Any) -> tuple[Any, Any]:
    """The numbers of the elements for which `takes` holds, in order, and how many there are."""
    (size,) = type_of(takes).shape
    ranks = cumsum(convert(takes, INT32), 0)
    count = reshape(slice_(ranks, [size - 1], [size]), ())
    places = select(takes, sub(ranks, 1), full_of(type_of(ranks), size))
    found = put_rows(full_of(type_of(ranks), 0), places, iota(INT32, (size,), 0))
    return found, count
