"""Drop what nobody needs of loops and conditionals: outputs, carries, and what only they read."""

from __future__ import annotations

from jitml.ir.graph import Eqn, Graph, Var


def prune(graph: Graph) -> Graph:
    """Drop unused equations, and of those with nested graphs what is unused of their outputs.

    Before: `graph f(%n, %x) { %i, %y = while %n, %x … { %k = sub %i, 1; %z = mul %y, 2 };
             return %i }`
    After:  `graph f(%n, %x) { %i = while %n … { %k = sub %i, 1 }; return %i }`
    """
    needed = {a for a in graph.outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if needed.isdisjoint(eqn.outputs) and not getattr(eqn.op, "has_effect", False):
            continue
        if getattr(eqn.op, "takes_transforms", False) and hasattr(eqn.op, "pruned"):
            eqn = _pruned(eqn, needed)
        kept.append(eqn)
        needed.update(a for a in eqn.inputs if isinstance(a, Var))
    return graph.with_eqns(kept[::-1])


def _pruned(eqn: Eqn, needed: set[Var]) -> Eqn:
    """The equation without what is not needed; it may have to keep more than that."""
    found = eqn.op.pruned([v in needed for v in eqn.outputs])  # type: ignore[attr-defined]
    if found is None:
        return eqn
    op, inputs, outputs = found
    return Eqn(
        op,
        tuple([eqn.inputs[n] for n in inputs]),
        tuple([eqn.outputs[n] for n in outputs]),
        eqn.source,
    )
