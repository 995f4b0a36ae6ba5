"""Partial evaluation: split a graph into what known inputs determine, and the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.ir.dependencies import live_eqns, split_eqns
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var

# Cheaper to make again than to keep.
_FREE = frozenset({"broadcast_in_dim", "iota"})


class PartialEval(NamedTuple):
    """`known` takes the known inputs and returns the known outputs, then the residuals.

    `unknown` takes the residuals, then the unknown inputs, and returns the other outputs.
    `is_known` says for each output of the whole graph which of the two returns it.
    """

    known: Graph
    unknown: Graph
    is_known: tuple[bool, ...]

    @property
    def num_residuals(self) -> int:
        return len(self.known.outputs) - sum(self.is_known)


def partial_eval(graph: Graph, known: Sequence[bool]) -> PartialEval:
    """Split `graph` by which inputs are `known`. What is known is computed once, however often the
    rest runs.

    Before: `graph f(%x, %t) { %c = cos %x; %y = mul %t, %c; return %y }` with %x known
    After:  `graph f.known(%x) { %c = cos %x; return %c }` and
            `graph f.unknown(%c, %t) { %y = mul %t, %c; return %y }`
    """
    known_inputs = [v for v, k in zip(graph.inputs, known, strict=True) if k]
    unknown_inputs = [v for v, k in zip(graph.inputs, known, strict=True) if not k]
    early, late = split_eqns(graph.eqns, known_inputs)
    at_hand = {*known_inputs, *(v for eqn in early for v in eqn.outputs)}

    def has(atom: Atom) -> bool:
        return isinstance(atom, Literal) or atom in at_hand

    is_known = tuple(map(has, graph.outputs))
    outputs = [a for a, k in zip(graph.outputs, is_known, strict=True) if not k]
    late = live_eqns([*_remade(early, late, has), *late], outputs)
    defined = {v for eqn in late for v in eqn.outputs}
    residuals = _read(late, lambda a: has(a) and a not in defined)
    kept = [a for a, k in zip(graph.outputs, is_known, strict=True) if k]
    early = live_eqns(early, [*kept, *residuals])
    return PartialEval(
        Graph(f"{graph.name}.known", tuple(known_inputs), tuple(early), (*kept, *residuals)),
        Graph(f"{graph.name}.unknown", (*residuals, *unknown_inputs), tuple(late), tuple(outputs)),
        is_known,
    )


def _remade(early: Sequence[Eqn], late: Sequence[Eqn], has: Callable[[Atom], bool]) -> list[Eqn]:
    """Known equations that the late part computes again instead of keeping their results."""
    needed = set(_read(late, has))
    again: list[Eqn] = []
    for eqn in reversed(early):
        if eqn.op.name in _FREE and not needed.isdisjoint(eqn.outputs):
            again.append(eqn)
            needed.update(a for a in eqn.inputs if isinstance(a, Var))
    return again[::-1]


def _read(eqns: Sequence[Eqn], wanted: Callable[[Atom], bool]) -> list[Var]:
    """The wanted variables that `eqns` read, in order, each once."""
    found = {a: None for e in eqns for a in e.inputs if isinstance(a, Var) and wanted(a)}
    return list(found)
