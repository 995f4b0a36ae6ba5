"""Which cotangents are zero because a select took the other side: for them 0 · inf must be 0."""

from __future__ import annotations

from collections.abc import Sequence

from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.kinds import Elementwise

# Ops whose transposes move or add up elements, without a factor: sums of zeros are zeros.
_PASSED_THROUGH = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "pad",
        "reduce_sum",
        "reshape",
        "reverse",
        "slice",
        "transpose",
    }
)


def strong_zeros(graph: Graph, linear: set[Var]) -> set[Var]:
    """The linear variables of a linear graph whose cotangent comes from a select.

    It comes through elementwise linear ops, through ops that only move elements and through sums;
    contractions, cumulative folds, gathers and scatters end it.
    """
    strong: set[Var] = set()
    for eqn in reversed(graph.eqns):
        operands = _strong_operands(eqn, strong)
        strong.update(a for a in operands if isinstance(a, Var) and a in linear)
    return strong


def _strong_operands(eqn: Eqn, strong: set[Var]) -> Sequence[Atom]:
    """The inputs of an equation to which it sends strong zeros, or passes them on."""
    op = eqn.op
    if op.name == "select":
        return eqn.inputs[1:]
    passes = isinstance(op, Elementwise) or op.name in _PASSED_THROUGH
    if passes and not strong.isdisjoint(eqn.outputs):
        return eqn.inputs
    # The factor beside a strong zero, in the derivative of a gradient.
    return eqn.inputs[1:] if op.name == "zero_times" else ()
