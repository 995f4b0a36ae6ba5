"""Dead code elimination."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitml.ir.graph import Atom, Eqn, Graph, Var


def dce(graph: Graph) -> Graph:
    """Drop the equations whose results nobody uses; inputs stay.

    Before: `graph f(%x) { %y = sin %x; %z = cos %x; return %z }`
    After:  `graph f(%x) { %z = cos %x; return %z }`
    """
    return graph.with_eqns(live_eqns(graph.eqns, graph.outputs))


def live_eqns(eqns: Sequence[Eqn], outputs: Iterable[Atom]) -> list[Eqn]:
    """The equations that `outputs` depend on, in order."""
    needed = {a for a in outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.outputs) or getattr(eqn.op, "has_effect", False):
            kept.append(eqn)
            needed.update(a for a in eqn.inputs if isinstance(a, Var))
    return kept[::-1]
