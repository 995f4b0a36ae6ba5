"""A trace that expects to record what an earlier one did, and then gives the very same graph.

In: a graph that was recorded before. Out: the same one if everything comes as it did then, else a
new one that shares what was the same. Transforms and compilers know the same graph again at no
cost. Must not know: what is done with graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.graph import Atom, Graph, Var
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op
from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.trace.core import Trace, Traced, Tracer


class FollowingTrace(Trace):
    """Records with values at hand, after the example of `expected`."""

    def __init__(self, name: str, expected: Graph) -> None:
        super().__init__(name, with_values=True)
        self._expected = expected
        self._follows = name == expected.name
        self._num_inputs = 0

    def _new_input(self, type_: ArrayType, name: str = "") -> Var:
        inputs, number = self._expected.inputs, self._num_inputs
        self._num_inputs += 1
        if self._follows and number < len(inputs):
            var = inputs[number]
            if var.type == type_ and (not name or var.name == name):
                return var
        self._follows = False
        return super()._new_input(type_, name)

    def append(
        self,
        op: Op,
        atoms: tuple[Atom, ...],
        types: Sequence[ArrayType] | None,
        values: Sequence[Any] | None,
        source: Source,
    ) -> list[Tracer]:
        eqns, number = self._expected.eqns, len(self.eqns)
        if self._follows and number < len(eqns) and values is not None:
            eqn = eqns[number]
            if (
                atoms == eqn.inputs
                and source.is_instruction_of(eqn.source)
                and _is_same_op(op, eqn.op)
            ):
                self.eqns.append(eqn)
                return self._computed(eqn.outputs, values)
        self._follows = False
        return super().append(op, atoms, types, values, source)

    def finish(self, outputs: Sequence[Any]) -> Traced:
        expected = self._expected
        atoms = tuple(map(self.lift, outputs))
        if (
            self._follows
            and self._num_inputs == len(expected.inputs)
            and len(self.eqns) == len(expected.eqns)
            and atoms == expected.outputs
        ):
            return Traced(expected, self._captured_values(), self.values)
        return super().finish(outputs)


def _is_same_op(a: Op, b: Op) -> bool:
    """Equal, and of a kind without graphs inside: equal graphs may come from different lines."""
    return a is b or (a == b and not _holds_graphs(a))


def _holds_graphs(op: Op) -> bool:
    found = _HOLD_GRAPHS.get(type(op))
    if found is None:
        found = _HOLD_GRAPHS[type(op)] = bool(nested_graphs(op))
    return found


_HOLD_GRAPHS: dict[type[Op], bool] = {}
