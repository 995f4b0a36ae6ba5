"""Drop what nobody needs of loops and conditionals: outputs, carries, and what only they read.
Carries that never change become constants.
"""

from __future__ import annotations

from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.control import Control
from jitml.ops.elementwise import Convert


def prune(graph: Graph) -> Graph:
    """Drop unused equations, and of those with nested graphs what is unused of their outputs.

    Before: `graph f(%n, %x) { %i, %y = while %n, %x … { %k = sub %i, 1; %z = mul %y, 2 };
             return %i }`
    After:  `graph f(%n, %x) { %i = while %n … { %k = sub %i, 1 }; return %i }`
    """
    graph = _settle(graph)
    needed = {a for a in graph.outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if needed.isdisjoint(eqn.outputs) and not eqn.op.has_effect:
            continue
        if isinstance(eqn.op, Control):
            eqn = _pruned(eqn, needed)
        kept.append(eqn)
        needed.update(a for a in eqn.inputs if isinstance(a, Var))
    return graph.with_eqns(kept[::-1])


def _settle(graph: Graph) -> Graph:
    """Read what loops and conditionals pass on from where it comes from."""
    same: dict[Atom, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        inputs = tuple([same.get(a, a) for a in eqn.inputs])
        op, outputs = eqn.op, eqn.outputs
        found = op.settled() if isinstance(op, Control) else None
        if found is not None:
            op, order, passed = found
            for n, k in passed.items():
                var, source = eqn.outputs[n], inputs[k]
                if var.type == source.type:
                    same[var] = source
                else:  # weak or not
                    convert = Convert(var.type.dtype, var.type.weak)
                    eqns.append(Eqn(convert, (source,), (var,), eqn.source))
            inputs = tuple([inputs[k] for k in order])
            outputs = tuple([v for n, v in enumerate(eqn.outputs) if n not in passed])
        eqns.append(Eqn(op, inputs, outputs, eqn.source))
    outputs_of_graph = tuple([same.get(a, a) for a in graph.outputs])
    return Graph(graph.name, graph.inputs, tuple(eqns), outputs_of_graph)


def _pruned(eqn: Eqn, needed: set[Var]) -> Eqn:
    """The equation without what is not needed; it may have to keep more than that."""
    assert isinstance(eqn.op, Control)
    found = eqn.op.pruned([v in needed for v in eqn.outputs])
    if found is None:
        return eqn
    op, inputs, outputs = found
    return Eqn(
        op,
        tuple([eqn.inputs[n] for n in inputs]),
        tuple([eqn.outputs[n] for n in outputs]),
        eqn.source,
    )
