"""What a trace for a derivative does with a function that has a derivative rule of its own.

In: a trace that records with values at hand, and a user's rule. The rule runs at once, on values:
what it computes of primals alone is computed at the level around the trace, what depends on
tangents is recorded. Must not know: ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import DifferentiationError
from jitml.ir.graph import Atom, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.source import user_source
from jitml.trace.core import (
    Trace,
    Tracer,
    at_level,
    bind,
    describe,
    ended_trace_error,
    replacement,
)

# (captured values, primals, tangents) -> outputs and their tangents. A tangent of None is zero;
# a captured value is None where the rule must not use it.
Push = Callable[
    [Sequence[Any], Sequence[Any], Sequence[Any | None]], tuple[Sequence[Any], Sequence[Any | None]]
]


class RuleTrace(Trace):
    """A trace that records what depends on its inputs; the rest is computed at `level`, the trace
    around the one for which a rule runs (None: on arrays).
    """

    def __init__(self, level: Trace | None, name: str = "") -> None:
        super().__init__(name, with_values=True)
        self.differentiates = False
        self.level = level

    def owns(self, x: Any) -> bool:
        """Whether `x` depends on the inputs of this trace."""
        return isinstance(x, Tracer) and x.owner is self and isinstance(x.atom, Var)

    def lift(self, x: Any) -> Atom:
        is_own = isinstance(x, Tracer) and x.owner is self
        return super().lift(x if is_own else lowered(x, self.level))

    def record(self, op: Op, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of `op`: recorded here, or computed at `level`."""
        if any(map(self.owns, inputs)):
            return super().record(op, inputs)
        values = [lowered(x, self.level) for x in inputs]
        with at_level(self.level):
            return bind(op, *values)


def lowered(x: Any, level: Trace | None) -> Any:
    """`x` as a value at `level`: tracers of traces inside of it are taken off."""
    while isinstance(x, Tracer):
        instead = replacement(x)
        if instead is not None:
            x = instead
        elif not x.owner.is_open:
            raise ended_trace_error(x)
        elif _is_around(x.owner, level):
            return x
        elif isinstance(x.atom, Literal):
            return x.atom
        else:
            x = _value_of(x)
    return x


def _is_around(trace: Trace, level: Trace | None) -> bool:
    """Whether `trace` is `level` or around it."""
    while level is not None and level is not trace:
        level = level.around
    return level is trace


def _value_of(x: Tracer) -> Any:
    """The value of a tracer that a function with a rule closes over."""
    if x.owner.differentiates and x.atom in moving_variables(x.owner):
        raise closed_over_error(describe(x))
    if x.value is None:
        raise ended_trace_error(x)
    return x.value


def closed_over_error(what: str) -> DifferentiationError:
    """The error for a function with a rule that is differentiated in what it closes over."""
    return DifferentiationError(
        f"a function with a custom derivative is differentiated with respect to a value that it "
        f"closes over ({what}); its rule tells the derivative in its arguments only",
        hint="pass the value as an argument, or stop_gradient it",
        source=user_source(),
    )


def moving_variables(trace: Trace) -> set[Var]:
    """The variables of a trace for a derivative that depend on its inputs."""
    moving = trace.moving
    if not trace.examined:
        moving.update([v for v in trace.inputs if is_inexact(v.type.dtype)])
    for eqn in trace.eqns[trace.examined :]:
        if eqn.op.name != "stop_gradient" and not moving.isdisjoint(eqn.inputs):
            moving.update([v for v in eqn.outputs if is_inexact(v.type.dtype)])
    trace.examined = len(trace.eqns)
    return moving


def is_moving(trace: Trace, x: Any) -> bool:
    """Whether a derivative that `trace` records for moves the value `x`."""
    return isinstance(x, Tracer) and x.owner is trace and x.atom in moving_variables(trace)


class Derivative(NamedTuple):
    """What a rule gave: values of outputs, and the graph of their tangents.

    `linear` takes `captures`, then the tangents of what moves; `has_tangent` says of which outputs
    it gives tangents.
    """

    outputs: list[Any]
    linear: Graph
    captures: tuple[Any, ...]
    has_tangent: tuple[bool, ...]


def apply_rule(
    trace: Trace, push: Push, captured: Sequence[Any], inputs: Sequence[Any]
) -> Derivative:
    """Run a rule for inputs that `trace`, which records for a derivative, has moved."""
    level = trace.around
    rule_trace = RuleTrace(level, "rule")
    # What the function holds, but the rule must not use.
    fixed = [None if is_moving(trace, x) else lowered_argument(trace, x) for x in captured]
    primals = [lowered_argument(trace, x) for x in inputs]
    with rule_trace.recording():
        tangents = [rule_trace.input(x.type) if is_moving(trace, x) else None for x in inputs]
        outputs, slopes = push(fixed, primals, tangents)
        for x in outputs:
            if rule_trace.owns(x):
                raise _moved_output_error()
        given = [t for t in slopes if t is not None]
        values = [_known(x, rule_trace) for x in outputs]
        graph, captures, _ = rule_trace.finish(given)
    count = len(rule_trace.inputs)
    ordered = (*graph.inputs[count:], *graph.inputs[:count])
    linear = Graph(graph.name, ordered, graph.eqns, graph.outputs)
    return Derivative(values, linear, captures, tuple([t is not None for t in slopes]))


def lowered_argument(trace: Trace, x: Any) -> Any:
    """The value at the level around `trace` of an argument that `trace` may move."""
    if isinstance(x, Tracer) and x.owner is trace and x.value is not None:
        x = x.value
    return lowered(x, trace.around)


def _known(x: Any, rule_trace: RuleTrace) -> Any:
    """An output of a rule as a value at the level of its trace."""
    is_number = isinstance(x, Tracer) and x.owner is rule_trace
    return x.value if is_number else lowered(x, rule_trace.level)


def _moved_output_error() -> DifferentiationError:
    return DifferentiationError(
        "a custom derivative rule returned a primal output that depends on tangents",
        hint="return (output, tangent of the output); the output depends on primals alone",
        source=user_source(),
    )
