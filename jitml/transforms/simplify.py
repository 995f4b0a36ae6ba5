"""Simplification: rewrite rules applied while a graph is recorded anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.ops.movement import broadcast_in_dim
from jitml.trace.core import Trace, Tracer, current_source, type_of, using_source
from jitml.transforms.dce import dce
from jitml.transforms.rewrite import Match, Rule, clues


def simplify(graph: Graph, rules: Sequence[Rule] | None = None) -> Graph:
    """Apply `rules` (all exact ones) until none applies.

    One walk does it, as each equation meets inputs that are simple already.

    Before: `graph f(%x) { %a = neg %x; %b = neg %a; %y = mul %b, 1.0; return %y }`
    After:  `graph f(%x) { return %x }`
    """
    trace = _SimplifyingTrace(graph, exact_rules() if rules is None else rules)
    same: dict[Atom, Atom] = {}
    with trace.recording():
        for eqn in graph.eqns:
            inputs = tuple([same.get(a, a) for a in eqn.inputs])
            found = trace.replacement(eqn.op, inputs, eqn.source)
            if found is not None:
                same[eqn.outputs[0]] = found
                if isinstance(found, Var) and not found.name:
                    found.name = eqn.outputs[0].name
            else:
                unchanged = inputs == eqn.inputs
                trace.keep(eqn if unchanged else Eqn(eqn.op, inputs, eqn.outputs, eqn.source))
    outputs = tuple([same.get(a, a) for a in graph.outputs])
    return dce(Graph(graph.name, graph.inputs, tuple(trace.eqns), outputs))


def exact_rules() -> Sequence[Rule]:
    """The rules that keep every bit. They are traced when first asked for."""
    from jitml.transforms.rules import EXACT_RULES

    return EXACT_RULES


class _SimplifyingTrace(Trace):
    """A trace that records the replacement of an equation in its place, where a rule has one."""

    def __init__(self, graph: Graph, rules: Sequence[Rule]) -> None:
        super().__init__(graph.name)
        self.inputs = list(graph.inputs)
        self.rules: dict[str, list[Rule]] = {}
        for rule in rules:
            for root in rule.roots:
                self.rules.setdefault(root, []).append(rule)
        self.definitions: dict[Var, Eqn] = {}

    def replacement(self, op: Op, atoms: Sequence[Atom], source: Source) -> Atom | None:
        """What `op(atoms)` can be replaced by, or None."""
        rules = self.rules.get(op.name)
        if rules is None:
            return None
        seen = clues(atoms, self.definitions)
        rules = [rule for rule in rules if rule.clues <= seen]
        if not rules:
            return None
        handles = [a if isinstance(a, Literal) else Tracer(self, a) for a in atoms]
        match = Match(op, tuple(handles), self, self.definitions)
        with using_source(source):
            for rule in rules:
                found = rule.apply(match)
                if found is None:
                    continue
                (type_,) = op.infer(*(a.type for a in atoms))
                spread = _spread(found, type_)
                if type_of(spread) == type_:
                    return self.lift(spread)
        return None

    def keep(self, eqn: Eqn) -> None:
        """Take an equation over as it is."""
        self.eqns.append(eqn)
        self.definitions.update(dict.fromkeys(eqn.outputs, eqn))

    def record(self, op: Op, inputs: Sequence[Any]) -> list[Tracer]:
        """The outputs of `op`, as simple as the rules make them: replacements come through here."""
        atoms = [self.lift(x) for x in inputs]
        found = self.replacement(op, atoms, current_source())
        if found is not None:
            return [Tracer(self, found)]
        outputs = super().record(op, inputs)
        self.definitions.update(dict.fromkeys(self.eqns[-1].outputs, self.eqns[-1]))
        return outputs


def _spread(x: Any, type_: ArrayType) -> Any:
    """A replacement that is 0-d, repeated to the shape of what it replaces."""
    return x if type_of(x).shape else broadcast_in_dim(x, type_.shape, ())
