"""Put the bodies of called graphs in the place of calls."""

from __future__ import annotations

from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.transforms.dce import dce


def inline_calls(graph: Graph) -> Graph:
    """The graph without calls of functions that have derivative rules: their bodies instead.

    Before: `graph f(%x) { %y = custom_call %x {rule=…} with body = …; return %y }`
    After:  `graph f(%x) { %y = sin %x; return %y }`
    """
    if not any(eqn.op.has_rule for eqn in graph.eqns):
        return graph
    eqns: list[Eqn] = []
    outputs = _append(graph, {}, eqns)
    return Graph(graph.name, graph.inputs, tuple(eqns), tuple(outputs))


def _append(
    graph: Graph, names: dict[Atom, Atom], eqns: list[Eqn], is_body: bool = False
) -> list[Atom]:
    """Append the equations of a graph, on what `names` has for its variables; its outputs.

    A body gets new variables each time.
    """
    for eqn in graph.eqns:
        inputs = tuple([names.get(a, a) for a in eqn.inputs])
        if eqn.op.has_rule:
            body: Graph = eqn.op.body  # type: ignore[attr-defined]
            if getattr(eqn.op, "barrier", False):
                inputs = _behind_barrier(inputs, eqns)
            found = _append(body, dict(zip(body.inputs, inputs, strict=True)), eqns, True)
            names.update(zip(eqn.outputs, found, strict=True))
            continue
        outputs = eqn.outputs
        if is_body:
            outputs = tuple([Var(v.type, v.name) for v in eqn.outputs])
            names.update(zip(eqn.outputs, outputs, strict=True))
        unchanged = outputs is eqn.outputs and inputs == eqn.inputs
        eqns.append(eqn if unchanged else Eqn(eqn.op, inputs, outputs, eqn.source))
    return [names.get(a, a) for a in graph.outputs]


def _behind_barrier(inputs: tuple[Atom, ...], eqns: list[Eqn]) -> tuple[Atom, ...]:
    """New variables for these, which no other equation is known to compute."""
    from jitml.ops.checkpoint import Barrier  # needed by few programs

    fresh = {a: Var(a.type, a.name) for a in inputs if isinstance(a, Var)}
    eqns.append(Eqn(Barrier(), tuple(fresh), tuple(fresh.values())))
    return tuple([fresh[a] if isinstance(a, Var) else a for a in inputs])


def drop_barriers(graph: Graph) -> Graph:
    """The graph without barriers, once nothing can join what they keep apart.

    Before: `graph f(%x) { %y = barrier %x; %z = sin %y; return %z }`
    After:  `graph f(%x) { %z = sin %x; return %z }`
    """
    if not any(eqn.op.name == "barrier" for eqn in graph.eqns):
        return graph
    same: dict[Atom, Atom] = {}
    eqns = []
    for eqn in graph.eqns:
        inputs = tuple([same.get(a, a) for a in eqn.inputs])
        if eqn.op.name == "barrier":
            same.update(zip(eqn.outputs, inputs, strict=True))
        else:
            eqns.append(
                eqn if inputs == eqn.inputs else Eqn(eqn.op, inputs, eqn.outputs, eqn.source)
            )
    outputs = tuple([same.get(a, a) for a in graph.outputs])
    return dce(Graph(graph.name, graph.inputs, tuple(eqns), outputs))
