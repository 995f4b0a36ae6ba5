"""The four frozen types of the IR: `Var`, `Literal`, `Eqn`, `Graph`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from jitml.ir.source import NOWHERE, Source
from jitml.ir.types import ArrayType
from jitml_runtime.record import frozen

if TYPE_CHECKING:
    from jitml.ir.op import Op

Number: TypeAlias = bool | int | float | complex


class Var:
    """A value of a graph: known by identity, with a type and, where known, the user's name for
    it."""

    __slots__ = ("name", "type")

    def __init__(self, type_: ArrayType, name: str = "") -> None:
        self.type = type_
        self.name = name

    def __repr__(self) -> str:
        return f"Var({self.name or hex(id(self))}: {self.type})"


class Literal:
    """A 0-d constant that is part of the program. Equal when type and bits are equal (so nan is
    nan, −0 is not 0)."""

    __slots__ = ("_key", "type", "value")

    def __init__(self, value: Number, type_: ArrayType) -> None:
        self.value = value
        self.type = type_
        self._key = (repr(value), type_)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Literal({self.value}: {self.type})"


Atom: TypeAlias = Var | Literal


@frozen
class Eqn:
    """`outputs = op(inputs)`, made by the user's line `source`."""

    op: Op
    inputs: tuple[Atom, ...]
    outputs: tuple[Var, ...]
    source: Source = NOWHERE

    # By hand: so many are made that it counts.
    def __init__(
        self,
        op: Op,
        inputs: tuple[Atom, ...],
        outputs: tuple[Var, ...],
        source: Source = NOWHERE,
    ) -> None:
        fields = self.__dict__
        fields["op"] = op
        fields["inputs"] = inputs
        fields["outputs"] = outputs
        fields["source"] = source

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@frozen
class Graph:
    """A function in A-normal SSA form: every variable is an input or is defined by one earlier
    equation."""

    name: str
    inputs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outputs: tuple[Atom, ...]

    @cached_property
    def key(self) -> tuple[object, ...]:
        """A hashable key that is equal for graphs which differ only in names and source lines."""
        return _structure(self)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and self.key == other.key)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        from jitml.ir.text import format_graph

        return format_graph(self)

    @property
    def input_types(self) -> tuple[ArrayType, ...]:
        return tuple([v.type for v in self.inputs])

    @property
    def output_types(self) -> tuple[ArrayType, ...]:
        return tuple([a.type for a in self.outputs])

    @cached_property
    def has_effect(self) -> bool:
        """Whether running it does something beside computing its outputs."""
        return any(eqn.op.has_effect for eqn in self.eqns)

    def with_eqns(self, eqns: Sequence[Eqn]) -> Graph:
        return Graph(self.name, self.inputs, tuple(eqns), self.outputs)

    def variables(self) -> list[Var]:
        """Every variable in order of definition."""
        found = list(self.inputs)
        for eqn in self.eqns:
            found += eqn.outputs
        return found


def _structure(graph: Graph) -> tuple[object, ...]:
    numbers = {var: number for number, var in enumerate(graph.variables())}

    def numbered(atoms: tuple[Atom, ...]) -> list[object]:
        return [numbers[a] if type(a) is Var else a for a in atoms]

    body = tuple([(eqn.op, *numbered(eqn.inputs)) for eqn in graph.eqns])
    return (graph.input_types, body, tuple(numbered(graph.outputs)))
