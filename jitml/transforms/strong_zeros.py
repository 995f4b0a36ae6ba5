"""Which cotangents are zero because a select did not take their side, so that 0 · inf has to be 0 for them."""

from __future__ import annotations

from jitml.ir.graph import Graph, Literal, Var
from jitml.ops.kinds import Elementwise, Movement

_NOT_PASSED_THROUGH = frozenset({"broadcast_in_dim"})  # its transpose is a reduction


def strong_zeros(graph: Graph, linear: set[Var]) -> set[Var]:
    """The linear variables of a linear graph whose cotangent comes from a select.

    It comes through elementwise linear ops and ops that only move elements; contractions, reductions and
    broadcasts (whose transposes are reductions) end it.
    """
    strong: set[Var] = set()
    for eqn in reversed(graph.eqns):
        op = eqn.op
        if op.name != "select":
            if strong.isdisjoint(eqn.outputs):
                continue
            if not isinstance(op, (Elementwise, Movement)) or op.name in _NOT_PASSED_THROUGH:
                continue
        operands = eqn.inputs[1:] if op.name == "select" else eqn.inputs
        strong.update(a for a in operands if not isinstance(a, Literal) and a in linear)
    return strong
