"""Graphs under transforms: forward and reverse derivatives, and vmap, graph to graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.differentiation import vjp
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import TransformError
from jitml.ir.graph import Graph, Literal
from jitml.ops.kinds import full_of
from jitml.trace.core import trace_graph, type_of
from jitml.transforms.batch import batch
from jitml.transforms.inline import inline
from jitml.transforms.jvp import jvp

Transform = Callable[[Graph], Graph]


def forward(graph: Graph) -> Graph:
    """Outputs and their tangents, for tangents of all inputs that can have one."""
    return jvp(graph, [is_inexact(v.type.dtype) for v in graph.inputs]).graph


def reverse(graph: Graph) -> Graph:
    """Outputs, and the cotangents of inputs for ones as cotangents of the outputs that have
    derivatives.
    """

    def pulled(*inputs: Any) -> list[Any]:
        moving = [is_inexact(type_of(x).dtype) for x in inputs]

        def function(*given: Any) -> Any:
            rest = iter(given)
            outputs = inline(
                graph, [next(rest) if m else x for m, x in zip(moving, inputs, strict=True)]
            )
            return [
                y for y in outputs if is_inexact(type_of(y).dtype) and not isinstance(y, Literal)
            ]

        outputs, pull = vjp(function, *[x for m, x in zip(moving, inputs, strict=True) if m])
        return [*outputs, *pull([full_of(type_of(y), 1) for y in outputs])]

    return trace_graph(pulled, graph.input_types).graph


def vectorized(graph: Graph) -> Graph:
    """Two of everything: inputs stacked along the first axis, but for every third, which is
    shared.
    """
    axes = [None if k % 3 == 2 else 0 for k in range(len(graph.inputs))]
    return batch(graph, 2, axes).graph


TRANSFORMS: tuple[Transform, ...] = (forward, reverse, vectorized)


def transform(graph: Graph, *transforms: Transform) -> Graph:
    """`graph` under each transform in turn; where an op has no rule, as it is."""
    for apply in transforms:
        try:
            graph = apply(graph)
        except TransformError:
            continue
    return graph
