"""Simplification: rewrite rules applied while a graph is recorded anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.movement import broadcast_in_dim
from jitml.trace.core import Trace, Tracer, type_of
from jitml.transforms.dce import dce
from jitml.transforms.inline import inline
from jitml.transforms.rewrite import Match, Rule


def simplify(graph: Graph, rules: Sequence[Rule] | None = None) -> Graph:
    """Apply `rules` (all exact ones) until none applies.

    One walk does it, as each equation meets inputs that are simple already.

    Before: `graph f(%x) { %a = neg %x; %b = neg %a; %y = mul %b, 1.0; return %y }`
    After:  `graph f(%x) { return %x }`
    """
    trace = _SimplifyingTrace(graph.name, exact_rules() if rules is None else rules)
    with trace.recording():
        inputs = [trace.input(v.type, v.name) for v in graph.inputs]
        outputs = inline(graph, inputs)
    return dce(trace.finish(outputs).graph)


def exact_rules() -> Sequence[Rule]:
    """The rules that keep every bit. They are traced when first asked for."""
    from jitml.transforms.rules import EXACT_RULES

    return EXACT_RULES


class _SimplifyingTrace(Trace):
    """A trace that records the replacement of an equation in its place, where a rule has one."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        super().__init__(name)
        self.rules: dict[str, list[Rule]] = {}
        for rule in rules:
            for root in rule.roots:
                self.rules.setdefault(root, []).append(rule)
        self.definitions: dict[Var, Eqn] = {}

    def record(self, op: Op, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of `op`, as simple as the rules make them."""
        atoms = [self.lift(x) for x in inputs]
        handles = tuple([a if isinstance(a, Literal) else Tracer(self, a) for a in atoms])
        for rule in self.rules.get(op.name, ()):
            found = rule.apply(Match(op, handles, self, self.definitions))
            if found is not None:
                (type_,) = op.infer(*(a.type for a in atoms))
                found = _spread(found, type_)
                if type_of(found) == type_:
                    return [found]
        count = len(self.eqns)
        outputs = super().record(op, handles)
        for eqn in self.eqns[count:]:
            self.definitions.update(dict.fromkeys(eqn.outputs, eqn))
        return list(outputs)


def _spread(x: Any, type_: ArrayType) -> Any:
    """A replacement that is 0-d, repeated to the shape of what it replaces."""
    return x if type_of(x).shape else broadcast_in_dim(x, type_.shape, ())
