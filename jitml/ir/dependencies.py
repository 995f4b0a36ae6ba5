"""Which equations depend on which variables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitml.ir.graph import Atom, Eqn, Literal, Var


def live_eqns(eqns: Sequence[Eqn], outputs: Iterable[Atom], with_effects: bool = True) -> list[Eqn]:
    """The equations that `outputs` depend on, in order; `with_effects`, also those that have an
    effect.
    """
    needed = {a for a in outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.outputs) or (with_effects and eqn.op.has_effect):
            kept.append(eqn)
            needed.update(a for a in eqn.inputs if isinstance(a, Var))
    return kept[::-1]


def split_eqns(eqns: Iterable[Eqn], known: Iterable[Var]) -> tuple[list[Eqn], list[Eqn]]:
    """The equations that `known` variables determine, and the others."""
    at_hand = set(known)
    early: list[Eqn] = []
    late: list[Eqn] = []
    for eqn in eqns:
        if all(isinstance(a, Literal) or a in at_hand for a in eqn.inputs):
            early.append(eqn)
            at_hand.update(eqn.outputs)
        else:
            late.append(eqn)
    return early, late
