"""Which values of a nested graph can be updated in the memory of one of its inputs.

An input and an output of a graph share memory where the output comes from the input by a chain of
updates (scatters; loops and conditionals that update in place themselves), and everything else that
reads a link of the chain can run before that link is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jitml.codegen.fuse import is_special
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.cond import Cond
from jitml.ops.scan import Scan
from jitml.ops.scatter import Scatter
from jitml.ops.while_loop import While

_MOST_KEPT = 256  # elements that readers of a link may keep for later


class Update(NamedTuple):
    """`eqn` overwrites `before`, which becomes `after`."""

    eqn: Eqn
    before: Var
    after: Var


def update_chain(graph: Graph, start: Var, end: Atom) -> list[Update] | None:
    """The updates that make the output `end` of the input `start`, the last one first; None if it
    cannot be done in place.
    """
    if end is start:
        return []
    chain = last_updates(graph, end)
    befores = [update.before for update in chain]
    return chain[: befores.index(start) + 1] if start in befores else None


def last_updates(graph: Graph, end: Atom) -> list[Update]:
    """The updates through which the output `end` goes at last, the last one first: they may be made
    in the memory that it is to have.
    """
    definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    chain: list[Update] = []
    at = end
    while isinstance(at, Var) and at in definitions:
        update = _update(graph, definitions[at], at)
        if update is None:
            break
        chain.append(update)
        at = update.before
    return chain


def _update(graph: Graph, eqn: Eqn, after: Var) -> Update | None:
    for atom in _operands(eqn, after):
        if isinstance(atom, Var) and _may_overwrite(graph, eqn, atom):
            return Update(eqn, atom, after)
    return None


def _operands(eqn: Eqn, after: Var) -> Iterator[Atom]:
    """The inputs whose memory the output `after` may take, as far as the op is concerned."""
    op, number = eqn.op, next(n for n, var in enumerate(eqn.outputs) if var is after)
    if isinstance(op, Scatter):
        yield eqn.inputs[0]
    elif isinstance(op, Scan) and number < op.carries and op.length:
        if update_chain(op.body, op.body.inputs[op.constants + number], op.body.outputs[number]):
            yield eqn.inputs[op.constants + number]
    elif isinstance(op, While):
        carry = op.body.inputs[op.body_constants + number]
        if update_chain(op.body, carry, op.body.outputs[number]):
            yield eqn.inputs[op.condition_constants + op.body_constants + number]
    elif isinstance(op, Cond):
        for position, atom in enumerate(eqn.inputs[1:]):
            if atom.type == after.type and all(
                update_chain(branch, branch.inputs[position], branch.outputs[number]) is not None
                for branch in op.branches
            ):
                yield atom


def _may_overwrite(graph: Graph, eqn: Eqn, var: Var) -> bool:
    """Whether all that needs `var` beside `eqn` can have been computed before, and is little."""
    if var in graph.outputs or sum(a is var for a in eqn.inputs) > 1:
        return False
    later = {*eqn.outputs}
    is_after = False
    for other in graph.eqns:
        is_after = is_after or other is eqn
        depends = not later.isdisjoint(other.inputs)
        if depends:
            later.update(other.outputs)
        if other is not eqn and var in other.inputs:
            if is_after and other.op.has_effect:  # it cannot be moved in front
                return False
            kept = sum(out.type.size for out in other.outputs)
            if depends or (kept > _MOST_KEPT and not is_special(other)):
                return False
    return True
