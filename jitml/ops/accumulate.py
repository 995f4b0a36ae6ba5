"""Sums that a loop adds up step by step: where a term is zero but for some elements or a small
block, these alone are added, in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.dtypes import INT32
from jitml.ir.graph import Atom, Eqn, Graph, Literal
from jitml.ir.types import ArrayType
from jitml.ops.dynamic import DynamicUpdateSlice, dynamic_slice, dynamic_update_slice
from jitml.ops.elementwise import add
from jitml.ops.kinds import Traced
from jitml.ops.layout import BroadcastInDim
from jitml.ops.scatter import Scatter
from jitml.ops.slicing import Pad
from jitml.trace.core import bind1, type_of
from jitml.trace.inline import replay
from jitml.trace.numbers import literal


class Sums:
    """A graph replayed on `values`, with sums of terms that are mostly zero made in place.

    The elements that a term has are added to their place in the order in which the term has them.
    """

    def __init__(self, graph: Graph, values: Sequence[Traced]) -> None:
        self._known: dict[Any, Traced] = dict(zip(graph.inputs, values, strict=True))
        self._definitions: dict[Atom, Eqn] = {}
        self._sparse: set[Atom] = set()  # what is zero but for some elements, and sums with such
        for eqn in graph.eqns:
            if self._is_sparse(eqn):
                self._sparse.update(eqn.outputs)
            self._definitions.update(dict.fromkeys(eqn.outputs, eqn))
            self._run(eqn)

    def value(self, atom: Atom) -> Traced:
        """The value of a variable of the graph, or a literal."""
        return self._known.get(atom, atom)

    def added(self, total: Traced, term: Atom) -> Traced:
        """`total + term`."""
        terms = [term]
        while terms:
            term = terms.pop()
            if term not in self._sparse:
                total = add(total, self.value(term))
            elif self._definitions[term].op is add:
                terms += reversed(self._definitions[term].inputs)
            else:
                total = self._with_elements(total, self._definitions[term])
        return total

    def _run(self, eqn: Eqn) -> None:
        if eqn.op is add and not self._sparse.isdisjoint(eqn.inputs):
            total, term = sorted(eqn.inputs, key=self._sparse.__contains__)
            found = [self.added(self.value(total), term)]
        else:
            found = replay(eqn, [self.value(a) for a in eqn.inputs])
        self._known.update(zip(eqn.outputs, found, strict=True))

    def _with_elements(self, total: Traced, eqn: Eqn) -> Traced:
        """`total` with the elements added that an equation puts among zeros."""
        first, *rest = map(self.value, eqn.inputs)
        if isinstance(eqn.op, Scatter):
            return bind1(eqn.op, total, *rest)
        if isinstance(eqn.op, DynamicUpdateSlice):
            return _with_block(total, rest[0], rest[1:])
        assert isinstance(eqn.op, Pad), eqn.op
        starts = [literal(low, ArrayType(INT32, ())) for low, _, _ in eqn.op.config]
        return _with_block(total, first, starts)

    def _is_sparse(self, eqn: Eqn) -> bool:
        if eqn.op is add:
            return not self._sparse.isdisjoint(eqn.inputs)
        if isinstance(eqn.op, (Pad, DynamicUpdateSlice)) and not _is_small(eqn):
            return False
        if isinstance(eqn.op, Pad):
            is_block = all(low >= 0 and high >= 0 and not gap for low, high, gap in eqn.op.config)
            return is_block and _is_zero_number(eqn.inputs[1])
        is_sum = isinstance(eqn.op, Scatter) and eqn.op.kind == "add"
        return (is_sum or isinstance(eqn.op, DynamicUpdateSlice)) and self._is_zero(eqn.inputs[0])

    def _is_zero(self, atom: Atom) -> bool:
        eqn = self._definitions.get(atom)
        is_filled = eqn is not None and isinstance(eqn.op, BroadcastInDim)
        return is_filled and _is_zero_number(self._definitions[atom].inputs[0])


_SHARE = 4  # a block is at most one of so many parts of the array: else all of it is added


def _is_small(eqn: Eqn) -> bool:
    """Whether a block fills little of what it is put into."""
    block = eqn.inputs[0 if isinstance(eqn.op, Pad) else 1].type
    return block.size * _SHARE <= eqn.outputs[0].type.size


def _is_zero_number(atom: Atom) -> bool:
    return isinstance(atom, Literal) and atom.value == 0


def _with_block(total: Traced, block: Traced, starts: Sequence[Traced]) -> Traced:
    before = dynamic_slice(total, starts, type_of(block).shape)
    return dynamic_update_slice(total, add(before, block), starts)
