"""Replay a graph on values: under a trace this inlines the graph, outside it runs equation by
equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.trace.core import Trace, Tracer, bind, using_source

Rewrite: TypeAlias = Callable[..., Sequence[Any]]


def inline(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs of `graph` for `values` of its inputs, by binding each of its equations anew.

    Before: `graph f(%x) { %y = sin %x; return %y }` and a tracer %a.
    After:  `%b = sin %a` in the current trace.
    """
    known: dict[Any, Any] = dict(zip(graph.inputs, values, strict=True))
    for eqn in graph.eqns:
        outputs = replay(eqn, [known.get(a, a) for a in eqn.inputs])
        known.update(zip(eqn.outputs, outputs, strict=True))
    return [known.get(a, a) for a in graph.outputs]


def replay(eqn: Eqn, inputs: Sequence[Any]) -> list[Any]:
    """Bind the op of `eqn` to other inputs, keeping its source line and the names of its
    outputs.
    """
    with using_source(eqn.source):
        outputs = bind(eqn.op, *inputs)
    for old, new in zip(eqn.outputs, outputs, strict=True):
        name_value(new, old.name)
    return outputs


def rewritten(graph: Graph, rule: Callable[[Eqn], Rewrite | None]) -> Graph:
    """The graph with the equations that `rule` has something for stated by that: a function of
    their inputs. The others stay as they are.
    """
    trace = Trace(graph.name)
    trace.inputs = list(graph.inputs)
    stated: dict[Atom, Atom] = {}  # by the outputs of the equations that are replaced
    with trace.recording():
        for eqn in graph.eqns:
            inputs = tuple([stated.get(a, a) for a in eqn.inputs])
            rewrite = rule(eqn)
            if rewrite is None:
                is_same = inputs == eqn.inputs
                kept = eqn if is_same else Eqn(eqn.op, inputs, eqn.outputs, eqn.source)
                trace.eqns.append(kept)
                continue
            with using_source(eqn.source):
                outputs = rewrite(*[_handle(trace, a) for a in inputs])
            stated.update(zip(eqn.outputs, map(trace.lift, outputs), strict=True))
        return trace.finish([_handle(trace, stated.get(a, a)) for a in graph.outputs]).graph


def _handle(trace: Trace, atom: Atom) -> Any:
    """An atom of a graph under construction, to compute with."""
    return Tracer(trace, atom) if isinstance(atom, Var) else atom


def name_value(x: Any, name: str) -> None:
    """Call the variable behind `x` so, unless it has a name."""
    if name and isinstance(x, Tracer) and isinstance(x.atom, Var) and not x.atom.name:
        x.atom.name = name
