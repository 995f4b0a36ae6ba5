"""Which cotangents are zero because a select took the other side: for them 0 · inf must be 0."""

from __future__ import annotations

from jitml.ir.graph import Graph, Literal, Var
from jitml.ops.kinds import Elementwise

# Movement ops whose transposes move elements too, and sum none.
_PASSED_THROUGH = frozenset({"reshape", "transpose", "reverse", "slice", "pad", "concatenate"})


def strong_zeros(graph: Graph, linear: set[Var]) -> set[Var]:
    """The linear variables of a linear graph whose cotangent comes from a select.

    It comes through elementwise linear ops and through ops that only move elements; contractions,
    reductions and what is the transpose of a reduction (broadcast, gather) end it.
    """
    strong: set[Var] = set()
    for eqn in reversed(graph.eqns):
        op = eqn.op
        if op.name != "select":
            if strong.isdisjoint(eqn.outputs):
                continue
            if not isinstance(op, Elementwise) and op.name not in _PASSED_THROUGH:
                continue
        operands = eqn.inputs[1:] if op.name == "select" else eqn.inputs
        strong.update(a for a in operands if not isinstance(a, Literal) and a in linear)
    return strong
