"""Batching: a graph to the graph that works on a stack of inputs at once."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from jitml.ir.errors import TransformError
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.collectives import Collective
from jitml.ops.movement import broadcast_in_dim, move_axis
from jitml.trace.core import trace_graph, type_of, using_source
from jitml.transforms.inline import name_value, replay


class Batched(NamedTuple):
    """`graph`, and for each of its outputs the axis along which results are stacked (None: one
    for all).
    """

    graph: Graph
    axes: tuple[int | None, ...]


def batch(
    graph: Graph, size: int, axes: Sequence[int | None], axis_name: Hashable | None = None
) -> Batched:
    """`graph` over `size` stacked inputs: input k has an extra axis at `axes[k]`, or is shared
    (None). Collectives over the axis `axis_name` become operations on stacked values.

    Before: `graph f(%x: f32[3], %y: f32[3]) { %z = add %x, %y; return %z }`
    After:  `graph f.batch(%x: f32[8,3], %y: f32[8,3]) { %z: f32[8,3] = add %x, %y; return %z }`
    """
    found: list[int | None] = []

    def stacked(*values: Any) -> list[Any]:
        outputs, output_axes = batch_values(graph, size, values, axes, axis_name)
        found.extend(output_axes)
        return outputs

    types = [with_axis(v.type, size, a) for v, a in zip(graph.inputs, axes, strict=True)]
    names = [v.name for v in graph.inputs]
    traced = trace_graph(stacked, types, f"{graph.name}.batch", names)
    return Batched(traced.graph, tuple(found))


def with_axis(type_: ArrayType, size: int, axis: int | None) -> ArrayType:
    """The type with an extra axis of `size` at `axis`."""
    if axis is None:
        return type_
    return type_.with_shape((*type_.shape[:axis], size, *type_.shape[axis:]))


def batch_values(
    graph: Graph,
    size: int,
    values: Sequence[Any],
    axes: Sequence[int | None],
    axis_name: Hashable | None = None,
) -> tuple[list[Any], list[int | None]]:
    """Replay `graph` on stacked values; outputs and the axes along which they are stacked."""
    transform = Batching(axis_name)
    known: dict[Any, Any] = dict(zip(graph.inputs, values, strict=True))
    along: dict[Any, int | None] = dict(zip(graph.inputs, axes, strict=True))
    for eqn in graph.eqns:
        inputs = [known.get(a, a) for a in eqn.inputs]
        input_axes = [along.get(a) for a in eqn.inputs]
        if all(a is None for a in input_axes) and not _speaks_of(eqn.op, axis_name):
            outputs: Sequence[Any] = replay(eqn, inputs)
        else:
            outputs, output_axes = apply_rule(eqn, size, inputs, input_axes, transform)
            along.update(zip(eqn.outputs, output_axes, strict=True))
            for var, x in zip(eqn.outputs, outputs, strict=True):
                name_value(x, var.name)
        known.update(zip(eqn.outputs, outputs, strict=True))
    return [known.get(a, a) for a in graph.outputs], [along.get(a) for a in graph.outputs]


class Batching:
    """`batch` along an axis of this name, as rules of ops with graphs inside are given it."""

    __slots__ = ("axis_name",)

    def __init__(self, axis_name: Hashable | None) -> None:
        self.axis_name = axis_name

    def __call__(self, graph: Graph, size: int, axes: Sequence[int | None]) -> Batched:
        return batch(graph, size, axes, self.axis_name)

    def speaks_of_axis(self, graph: Graph) -> bool:
        """Whether there are collectives over the axis in `graph`."""
        return any(_speaks_of(eqn.op, self.axis_name) for eqn in graph.eqns)


def _speaks_of(op: Op, axis_name: Hashable | None) -> bool:
    """Whether the op is a collective over the axis, or has one inside."""
    if axis_name is None:
        return False
    if isinstance(op, Collective):
        return op.axis_name == axis_name
    return any(_speaks_of(eqn.op, axis_name) for graph in nested_graphs(op) for eqn in graph.eqns)


def apply_rule(
    eqn: Eqn,
    size: int,
    inputs: Sequence[Any],
    axes: Sequence[int | None],
    transform: Batching,
) -> tuple[Sequence[Any], Sequence[int | None]]:
    """The outputs of an equation for stacked inputs, and the axes along which they are stacked."""
    op = eqn.op
    if not op.has("batch"):
        raise TransformError(
            f"{op.name} cannot be vmapped: it has no batch rule",
            hint="use a Python loop over the elements, or lax.map",
            source=eqn.source,
        )
    with using_source(eqn.source):
        if isinstance(op, Collective) and op.axis_name == transform.axis_name:
            return op.gathered(inputs, axes)
        if getattr(op, "takes_transforms", False):
            return op.batch(size, inputs, axes, transform)  # type: ignore[call-arg]
        return op.batch(size, inputs, axes)


class BatchedTo(NamedTuple):
    """A batched graph whose outputs are stacked where they were wanted.

    `unstackable` numbers the outputs that were to be shared by all elements, but differ.
    """

    graph: Graph
    unstackable: tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def batch_to(
    graph: Graph,
    size: int,
    axes: tuple[int | None, ...],
    wanted: tuple[int | None, ...],
    axis_name: Hashable | None = None,
) -> BatchedTo:
    """As `batch`, with the outputs stacked along the axes `wanted` (None: not stacked)."""
    unstackable: list[int] = []

    def stacked(*values: Any) -> list[Any]:
        outputs, found = batch_values(graph, size, values, axes, axis_name)
        moved = []
        for number, (x, axis, target) in enumerate(zip(outputs, found, wanted, strict=True)):
            if target is None and axis is not None:
                unstackable.append(number)
            moved.append(x if target is None else stack_at(x, size, axis, target))
        return moved

    types = [with_axis(v.type, size, a) for v, a in zip(graph.inputs, axes, strict=True)]
    names = [v.name for v in graph.inputs]
    traced = trace_graph(stacked, types, f"{graph.name}.batch", names)
    return BatchedTo(traced.graph, tuple(unstackable))


def stack_at(x: Any, size: int, axis: int | None, where: int) -> Any:
    """`x` with its stack at axis `where`, repeated along it if it has none."""
    if axis is not None:
        return move_axis(x, axis, where)
    shape = type_of(x).shape
    rest = [a for a in range(len(shape) + 1) if a != where]
    return broadcast_in_dim(x, (*shape[:where], size, *shape[where:]), rest)
