"""The one way in which a graph made by a transform is run on values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.graph import Graph, Literal, Var
from jitml.trace.core import Tracer, bind, current_trace, using_source
from jitml.transforms.inline import inline
from jitml.transforms.values import as_value


def execute(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs of `graph` for arrays or tracers `values`: recorded while tracing, else
    computed at once.
    """
    if current_trace() is not None or any(isinstance(x, Tracer) for x in values):
        outputs = inline(graph, values)
    elif graph.eqns:
        outputs = list(_EXECUTOR[0](graph, values))
    else:
        outputs = interpret(graph, values)
    return [as_value(x) if isinstance(x, Literal) else x for x in outputs]


def set_executor(executor: Callable[[Graph, Sequence[Any]], Sequence[Any]]) -> None:
    """Tell how a graph is run on arrays outside of any trace (the pipeline does)."""
    _EXECUTOR[:] = [executor]


def interpret(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """Run equation by equation, each value freed after its last use."""
    known: dict[Any, Any] = dict(zip(graph.inputs, values, strict=True))
    for eqn, dead in zip(graph.eqns, _last_uses(graph), strict=True):
        with using_source(eqn.source):
            outputs = bind(eqn.op, *[known.get(a, a) for a in eqn.inputs])
        known.update(zip(eqn.outputs, outputs, strict=True))
        for var in dead:
            del known[var]
    return [known.get(a, a) for a in graph.outputs]


def _last_uses(graph: Graph) -> list[list[Var]]:
    """For each equation the variables that nothing reads after it."""
    later = {a for a in graph.outputs if isinstance(a, Var)}
    dead: list[list[Var]] = []
    for eqn in reversed(graph.eqns):
        here = {a for a in (*eqn.inputs, *eqn.outputs) if isinstance(a, Var)} - later
        later |= here
        dead.append(list(here))
    return dead[::-1]


_EXECUTOR: list[Callable[[Graph, Sequence[Any]], Sequence[Any]]] = [interpret]
