"""Forward-mode differentiation: a graph to the graph that also pushes tangents forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from jitml.ir.errors import TransformError
from jitml.ir.graph import Eqn, Graph
from jitml.trace.core import trace_graph, using_source
from jitml.transforms.inline import name_value, replay

# From a graph and which of its inputs move to the part of its derivative that works on tangents.
LinearPart: TypeAlias = "Callable[[Graph, tuple[bool, ...]], Any]"


class Jvp(NamedTuple):
    """`graph` takes the primals, then the tangents; it returns the outputs, then their tangents.

    `has_tangent` says which outputs have one; the tangents of the others are zero.
    """

    graph: Graph
    has_tangent: tuple[bool, ...]


def jvp(graph: Graph, has_tangent: Sequence[bool]) -> Jvp:
    """The derivative of `graph` along tangents of those inputs for which `has_tangent` holds.

    Before: `graph f(%x) { %y = sin %x; return %y }`
    After:  `graph f.jvp(%x, %x_t) { %y = sin %x; %c = cos %x; %t = mul %x_t, %c; return %y, %t }`
    """
    pushed, captures = open_jvp(graph, has_tangent)
    if captures:
        raise TransformError(
            "a derivative rule inside of a loop or branch uses an array that it does not get as an "
            "argument",
            hint="pass the array to the function as an argument, with a zero cotangent",
            source=next((e.source for e in graph.eqns if e.op.has_rule), None),
        )
    return pushed


def open_jvp(
    graph: Graph, has_tangent: Sequence[bool], linear_part: LinearPart | None = None
) -> tuple[Jvp, tuple[Any, ...]]:
    """As `jvp`, with the arrays that rules of users capture: the last inputs of the graph.

    `linear_part` as in `push_forward`.
    """
    tangent_inputs = [v for v, has in zip(graph.inputs, has_tangent, strict=True) if has]
    nonzero: list[bool] = []

    def pushed(*arguments: Any) -> list[Any]:
        primals, given = arguments[: len(graph.inputs)], iter(arguments[len(graph.inputs) :])
        tangents = [next(given) if has else None for has in has_tangent]
        outputs, output_tangents = push_forward(graph, primals, tangents, linear_part)
        nonzero.extend(t is not None for t in output_tangents)
        return [*outputs, *(t for t in output_tangents if t is not None)]

    variables = [*graph.inputs, *tangent_inputs]
    names = [v.name for v in graph.inputs] + [tangent_name(v.name) for v in tangent_inputs]
    traced = trace_graph(pushed, [v.type for v in variables], f"{graph.name}.jvp", names)
    return Jvp(traced.graph, tuple(nonzero)), traced.captures


def tangent_name(name: str) -> str:
    """How the tangent of the variable `name` is called."""
    return f"{name}_t" if name else ""


def push_forward(
    graph: Graph,
    primals: Sequence[Any],
    tangents: Sequence[Any | None],
    linear_part: LinearPart | None = None,
) -> tuple[list[Any], list[Any | None]]:
    """Replay `graph` with tangents beside values; a tangent that is None is a symbolic zero.

    With `linear_part`, ops with nested graphs keep what is computed on values apart from what is on
    tangents.
    """
    values: dict[Any, Any] = dict(zip(graph.inputs, primals, strict=True))
    slopes: dict[Any, Any | None] = dict(zip(graph.inputs, tangents, strict=True))
    for eqn in graph.eqns:
        inputs = [values.get(a, a) for a in eqn.inputs]
        moving = [slopes.get(a) for a in eqn.inputs]
        if all(t is None for t in moving):
            outputs: Sequence[Any] = replay(eqn, inputs)
        else:
            outputs, output_slopes = _apply_rule(eqn, inputs, moving, linear_part)
            slopes.update(zip(eqn.outputs, output_slopes, strict=True))
            for var, x, t in zip(eqn.outputs, outputs, output_slopes, strict=True):
                name_value(x, var.name)
                name_value(t, tangent_name(var.name))
        values.update(zip(eqn.outputs, outputs, strict=True))
    outputs = [values.get(a, a) for a in graph.outputs]
    return outputs, [slopes.get(a) for a in graph.outputs]


def _apply_rule(
    eqn: Eqn,
    inputs: Sequence[Any],
    tangents: Sequence[Any | None],
    linear_part: LinearPart | None,
) -> tuple[Sequence[Any], Sequence[Any | None]]:
    op = eqn.op
    if not op.has("jvp"):
        raise TransformError(
            f"{op.name} cannot be differentiated: it has no jvp rule",
            hint="stop_gradient around its input, if its derivative is to be taken as zero",
            source=eqn.source,
        )
    with using_source(eqn.source):
        if linear_part is not None and hasattr(op, "linearize"):
            return op.linearize(inputs, tangents, linear_part)  # type: ignore[no-any-return]
        if getattr(op, "takes_transforms", False):
            return op.jvp(inputs, tangents, jvp)  # type: ignore[call-arg]
        return op.jvp(inputs, tangents)
