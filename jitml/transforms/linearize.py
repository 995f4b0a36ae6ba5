"""Linearization: the part of the derivative that works on tangents, for primal values that are
known already.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jitml.ir.dependencies import live_eqns
from jitml.ir.errors import InternalError
from jitml.ir.graph import Atom, Graph, Var
from jitml.ops.control import is_noisy, quiet, set_linear_map
from jitml.trace.core import Trace, Tracer
from jitml.transforms.dce import dce
from jitml.transforms.jvp import push_forward, tangent_name
from jitml.transforms.partial_eval import partial_eval
from jitml_runtime.record import replace


class Linearized(NamedTuple):
    """`graph` takes residuals, then tangents, and returns the tangents of the outputs that have
    one.

    The residuals are variables of the primal graph: `residuals` numbers them in its order of
    definition. Equations of `graph` that depend on residuals alone are not linear in them (they
    hold slopes).
    """

    graph: Graph
    residuals: tuple[int, ...]
    has_tangent: tuple[bool, ...]


@functools.lru_cache(maxsize=1024)
def linearize(graph: Graph, has_tangent: tuple[bool, ...], is_split: bool = True) -> Linearized:
    """The derivative of `graph` as a graph from known values and tangents to tangents.

    Rules that compute a primal value again find the known variable instead: nothing is computed
    twice. What loops and conditionals compute inside is kept for the tangents, unless the graph is
    not to be `is_split`: then it is computed beside them, in less memory.

    Before: `graph f(%x) { %y = exp %x; return %y }`
    After:  `graph f.linear(%y, %x_t) { %t = mul %x_t, %y; return %t }`
    """
    trace = Trace(f"{graph.name}.linear")
    # The first of several equal equations is the one that is found.
    trace.known = {(e.op, e.inputs): e.outputs for e in reversed(graph.eqns)}
    with trace.recording():
        primals = [Tracer(trace, v) for v in graph.inputs]
        tangents = [
            trace.input(v.type, tangent_name(v.name)) if has else None
            for v, has in zip(graph.inputs, has_tangent, strict=True)
        ]
        rule = linear_map if is_split else None
        _, output_tangents = push_forward(graph, primals, tangents, rule)
        outputs = [trace.lift(t) for t in output_tangents if t is not None]
    return _close(graph, trace, outputs, tuple(t is not None for t in output_tangents))


def _close(
    graph: Graph, trace: Trace, outputs: Sequence[Atom], has_tangent: tuple[bool, ...]
) -> Linearized:
    """Make what the recorded equations read of the primal graph into inputs."""
    captured = trace.finish(()).captures
    if captured:
        raise InternalError(f"a jvp rule used arrays from outside the graph: {captured}")
    # What the graph does beside computing has happened. It is recorded again where the values that
    # it takes are those of an equal equation before.
    done = {eqn.op for eqn in graph.eqns if eqn.op.has_effect and not eqn.outputs}
    recorded = [eqn for eqn in trace.eqns if eqn.op not in done] if done else trace.eqns
    if any(is_noisy(eqn.op) for eqn in graph.eqns):
        # The graph itself has run: what its loops do beside computing is not to happen again.
        recorded = list(map(quiet, recorded))
    eqns = live_eqns(recorded, outputs)
    used: set[Any] = {a for eqn in eqns for a in eqn.inputs} | set(outputs)
    variables = graph.variables()
    residuals = tuple(number for number, var in enumerate(variables) if var in used)
    inputs: list[Var] = [variables[n] for n in residuals] + trace.inputs
    linear = Graph(trace.name, tuple(inputs), tuple(eqns), tuple(outputs))
    return Linearized(linear, residuals, has_tangent)


class LinearMap(NamedTuple):
    """A linearized function, split: `known` takes primal values (numbered `residuals`), `graph` the
    rest.

    `graph` takes what `known` returns, then tangents; it returns the tangents that `has_tangent`
    tells.
    """

    known: Graph
    graph: Graph
    residuals: tuple[int, ...]
    has_tangent: tuple[bool, ...]


@functools.lru_cache(maxsize=1024)
def linear_map(graph: Graph, differentiated: tuple[bool, ...]) -> LinearMap:
    """The derivative of `graph`, with what depends on primal values alone apart."""
    linear = linearize(graph, differentiated)
    flags = [True] * len(linear.residuals) + [False] * sum(differentiated)
    known, unknown, is_known = partial_eval(linear.graph, flags)
    # A tangent that does not depend on tangents can only be zero.
    zero = iter(is_known)
    has_tangent = tuple([has and not next(zero) for has in linear.has_tangent])
    known = dce(replace(known, outputs=known.outputs[sum(is_known) :]))
    return LinearMap(known, unknown, linear.residuals, has_tangent)


set_linear_map(linear_map)
