"""Graphs that are parameters of ops: the bodies of loops and the branches of conditionals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.graph import Graph
from jitml.ir.op import Op
from jitml_runtime.record import field_names, replace


def is_nested(parameter: object) -> bool:
    """Whether a parameter of an op is a graph, or several."""
    first = parameter[0] if isinstance(parameter, tuple) and parameter else parameter
    return isinstance(first, Graph)


def nested_graphs(op: Op) -> Sequence[Graph]:
    """The graphs among an op's parameters, in order."""
    names = field_names(op)
    if not names:  # as of most ops
        return ()
    found: list[Graph] = []
    for name in names:
        parameter = getattr(op, name)
        if isinstance(parameter, Graph):
            found.append(parameter)
        elif is_nested(parameter):
            found.extend(parameter)
    return found


def has_effect_inside(op: Op) -> bool:
    """Whether one of the graphs among an op's parameters has an effect."""
    return any(graph.has_effect for graph in nested_graphs(op))


def map_nested(op: Op, function: Callable[[Graph], Graph]) -> Op:
    """The op with `function` applied to each of its graphs; the op itself if it has none."""
    changed: dict[str, Any] = {}
    for name, parameter in op.parameters().items():
        if isinstance(parameter, Graph):
            changed[name] = function(parameter)
        elif is_nested(parameter):
            changed[name] = tuple([function(graph) for graph in parameter])
    return replace(op, **changed) if changed else op
