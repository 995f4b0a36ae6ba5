"""Common subexpression elimination."""

from __future__ import annotations

from typing import Any

from jitml.ir.graph import Atom, Eqn, Graph, Var


def cse(graph: Graph) -> Graph:
    """Compute equal equations once. Equal means the same op with the same parameters on the same
    inputs.

    Before: `graph f(%x) { %a = sin %x; %b = sin %x; %y = add %a, %b; return %y }`
    After:  `graph f(%x) { %a = sin %x; %y = add %a, %a; return %y }`
    """
    seen: dict[tuple[Any, ...], tuple[Var, ...]] = {}
    same: dict[Atom, Atom] = {}
    kept: list[Eqn] = []
    for eqn in graph.eqns:
        inputs = tuple([same.get(a, a) for a in eqn.inputs])
        found = None if eqn.op.has_effect else seen.get((eqn.op, inputs))
        if found is not None:
            same.update(zip(eqn.outputs, found, strict=True))
            continue
        seen[eqn.op, inputs] = eqn.outputs
        unchanged = inputs == eqn.inputs
        kept.append(eqn if unchanged else Eqn(eqn.op, inputs, eqn.outputs, eqn.source))
    outputs = tuple([same.get(a, a) for a in graph.outputs])
    return Graph(graph.name, graph.inputs, tuple(kept), outputs)
