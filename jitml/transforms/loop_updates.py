"""Updates of blocks of what loops carry, stated so that they are made in its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitml.ir.graph import Atom, Eqn, Graph
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ops.control import Control
from jitml.ops.dynamic import DynamicUpdateSlice
from jitml.ops.scatter import Scatter
from jitml.transforms.inline import rewritten
from jitml_runtime.record import replace


def loop_updates(graph: Graph) -> Graph:
    """Make scatters of the updates of small blocks in bodies and branches, where an input goes
    through updates only to become an output: then no step copies what it does not change.

    Before: `scan … { %y = dynamic_update_slice %c, %b, %i; return %y }` with the carry %c
    After:  `scan … { %y = scatter %c, %i, %b; return %y }`
    """
    if not any(any(map(_updated, nested_graphs(eqn.op))) for eqn in graph.eqns):
        return graph
    eqns = [
        replace(eqn, op=map_nested(eqn.op, _with_scatters)) if isinstance(eqn.op, Control) else eqn
        for eqn in graph.eqns
    ]
    return graph.with_eqns(eqns)


def _with_scatters(graph: Graph) -> Graph:
    updated = _updated(graph)

    def rule(eqn: Eqn) -> Any:
        is_one = isinstance(eqn.op, DynamicUpdateSlice) and eqn in updated
        return eqn.op.as_scatter if is_one else None  # type: ignore[attr-defined]

    return rewritten(graph, rule) if updated else graph


def _updated(graph: Graph) -> list[Eqn]:
    """The updates of blocks through which inputs become outputs."""
    definitions: dict[Atom, Eqn] = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    inputs: set[Atom] = set(graph.inputs)
    found: list[Eqn] = []
    for end in graph.outputs:
        atom, chain = end, []
        while atom in definitions:
            eqn = definitions[atom]
            if not isinstance(eqn.op, (DynamicUpdateSlice, Scatter)):
                break
            chain.append(eqn)
            if not _is_small(graph, eqn):
                chain = [e for e in chain[:-1] if _reads_operand(definitions, e)]
                break
            atom = eqn.inputs[0]
        is_made = atom in definitions and isinstance(definitions[atom].op, _MAKERS)
        if atom in inputs or is_made:
            found += [eqn for eqn in chain if isinstance(eqn.op, DynamicUpdateSlice)]
    return found


_MAKERS = (Control, DynamicUpdateSlice)


def _reads_operand(definitions: Mapping[Atom, Eqn], eqn: Eqn) -> bool:
    """Whether what an update puts into an array is made of this array."""
    waiting, seen = [eqn.inputs[1]], set()
    while waiting:
        atom = waiting.pop()
        if atom is eqn.inputs[0]:
            return True
        if atom in definitions and atom not in seen:
            seen.add(atom)
            waiting += definitions[atom].inputs
    return False


_SHARE = 4  # a block is at most one of so many parts of the array
_MOST_READ = 256  # elements that are made of the array beside


def _is_small(graph: Graph, eqn: Eqn) -> bool:
    """Whether an update changes little of its operand, of which nothing else makes much: otherwise
    all of it is read and written anyway.
    """
    x, block = (a.type for a in eqn.inputs[:2])
    if isinstance(eqn.op, DynamicUpdateSlice) and block.size * _SHARE > x.size:
        return False
    others = [e for e in graph.eqns if e is not eqn and eqn.inputs[0] in e.inputs]
    return all(v.type.size <= _MOST_READ for e in others for v in e.outputs)
