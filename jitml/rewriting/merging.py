"""What variables are after a conditional: one value out of those that its two sides leave.

In: what two traced blocks left. Out: the types and outputs of one conditional, and values made of
its results; or an error that names the variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jitml.guards import is_equal
from jitml.ir.dtypes import promote
from jitml.ir.errors import DTypeError, JitmlError, ShapeError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.rewriting.state import ABSENT, Unassigned, Variables
from jitml.rewriting.syntax import RESULT
from jitml.trace.core import Traced, Tracer, current_trace, trace_graph, type_of
from jitml.trace.inline import inline
from jitml.transforms.values import as_value, is_array_like, retyped, zeros
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten

_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


class Held(NamedTuple):
    """The value of a variable in parts, those that the block has recorded by their types alone.

    `outputs` has for each leaf its number among the outputs of the block, None for what is no
    array.
    """

    leaves: list[Any]
    structure: Structure
    outputs: list[int | None]

    @property
    def value(self) -> Any:
        return self.structure.unflatten(self.leaves)


class Recorded:
    """A leaf that a block has recorded: its trace has ended, and the leaf with it."""

    def __init__(self, type_: ArrayType) -> None:
        self.type = type_


class Side(NamedTuple):
    """What a traced block left: its graph, and the variables that are assigned after it."""

    traced: Traced
    held: dict[str, Held]
    line: int


class _Row(NamedTuple):
    """One result of the conditional: its type, and which output of each side it is (None: zeros,
    for that side has not assigned it).
    """

    type: ArrayType
    outputs: tuple[int | None, int | None]


def trace_side(block: Callable[[], Any], variables: Variables, name: str, line: int) -> Side:
    """Trace a block, and put its variables back."""
    held: dict[str, Held] = {}

    def flat() -> list[Any]:
        found: list[Any] = []
        try:
            block()
            for variable in variables.names:
                value = variables.get(variable)
                if value is ABSENT or isinstance(value, Unassigned):
                    continue
                leaves, structure = flatten(value)
                numbers: list[int | None] = []
                for leaf in leaves:
                    numbers.append(len(found) if is_array_like(leaf) else None)
                    found += [as_value(leaf)] if is_array_like(leaf) else []
                held[variable] = Held(list(map(_kept, leaves)), structure, numbers)
        finally:
            variables.restore()
        return found

    return Side(trace_graph(flat, [], name), held, line)


def _kept(leaf: Any) -> Any:
    is_own = isinstance(leaf, Tracer) and leaf.owner is current_trace()
    return Recorded(leaf.type) if is_own else leaf


def joined(a: ArrayType, b: ArrayType) -> ArrayType | None:
    """The type that holds values of both without loss; numbers of Python's take that of arrays."""
    if a.shape != b.shape:
        return None
    if a.dtype == b.dtype:
        return a if b.weak else b
    dtype, weak = promote((a.dtype, a.weak), (b.dtype, b.weak))
    strong = [t.dtype for t in (a, b) if not t.weak]
    if len(strong) == 2 and not all(np.can_cast(d, dtype, "safe") for d in strong):
        return None
    return a.with_dtype(dtype, weak)


def is_same(a: Any, b: Any) -> bool:
    """Whether two leaves are one object, or equal Python values."""
    return a is b or (type(a) is type(b) and isinstance(a, _SIMPLE) and is_equal(a, b))


def spoken(variable: str) -> str:
    """How messages call a variable."""
    if variable == RESULT:
        return "the return value"
    return "the value of the expression" if variable.startswith("(") else variable


def refuse(kind: type[JitmlError], message: str, hint: str) -> NoReturn:
    """Raise an error at the statement that runs."""
    raise kind(message, hint=hint, source=user_source())


class Merge:
    """The variables after a conditional with two sides."""

    def __init__(self, variables: Variables, sides: Sequence[Side]) -> None:
        self._variables = variables
        self._sides = sides
        self._rows: list[_Row] = []
        self._trees: dict[str, tuple[Structure, list[Any]]] = {}
        self._unassigned: dict[str, Unassigned] = {}
        for name in variables.names:
            self._variable(name, [side.held.get(name) for side in sides])

    def graphs(self) -> list[Graph]:
        """The graphs of both sides, with the outputs of the conditional."""
        return [self._adapted(side.traced.graph, k) for k, side in enumerate(self._sides)]

    def assign(self, results: Sequence[Any]) -> None:
        """Give the variables their values, made of the results of the conditional."""
        for name in self._variables.names:
            if name in self._trees:
                structure, leaves = self._trees[name]
                made = [results[x.number] if isinstance(x, _Result) else x for x in leaves]
                self._variables.set(name, structure.unflatten(made))
            else:
                self._variables.set(name, self._unassigned.get(name, ABSENT))

    def _variable(self, name: str, held: Sequence[Held | None]) -> None:
        first, second = held
        if first is None and second is None:
            before = self._variables.get(name)
            if isinstance(before, Unassigned):
                self._unassigned[name] = before
        elif first is not None and second is not None:
            self._both(name, first, second)
        elif name in self._variables.doubtful:
            self._unassigned[name] = self._unassigned_on(name, 0 if first is None else 1)
        else:
            only = first or second
            assert only is not None
            leaves = [self._alone(x, n, first is not None) for x, n in _leaves(only)]
            self._trees[name] = only.structure, leaves

    def _unassigned_on(self, name: str, side: int) -> Unassigned:
        before = self._variables.get(name)
        if isinstance(before, Unassigned):
            return before
        line = self._sides[1 - side].line
        holds = "does not hold" if side == 0 else "holds"
        return Unassigned(f"{name} is assigned only where the condition {holds} (line {line})")

    def _alone(self, leaf: Any, number: int | None, is_first: bool) -> Any:
        if number is None:
            return leaf
        type_ = self._sides[0 if is_first else 1].traced.graph.output_types[number]
        return self._row(type_, (number, None) if is_first else (None, number))

    def _both(self, name: str, first: Held, second: Held) -> None:
        if first.structure != second.structure:
            self._refuse_structures(name, first, second)
        leaves = []
        for position, (x, y) in enumerate(zip(_leaves(first), _leaves(second), strict=True)):
            if is_same(x[0], y[0]):
                leaves.append(x[0])
            elif x[1] is None or y[1] is None:
                self._refuse_values(name, position, first, x[0], y[0])
            else:
                leaves.append(
                    self._row(self._type(name, position, first, x[1], y[1]), (x[1], y[1]))
                )
        self._trees[name] = first.structure, leaves

    def _row(self, type_: ArrayType, outputs: tuple[int | None, int | None]) -> _Result:
        self._rows.append(_Row(type_, outputs))
        return _Result(len(self._rows) - 1)

    def _type(self, name: str, position: int, held: Held, a: int, b: int) -> ArrayType:
        types = [s.traced.graph.output_types[n] for s, n in zip(self._sides, (a, b), strict=True)]
        found = joined(*types)
        if found is not None:
            return found
        path = f"{spoken(name)}{_path(held.value, position)}"
        is_shape = types[0].shape != types[1].shape
        refuse(
            ShapeError if is_shape else DTypeError,
            f"{path} is {types[0]} where the condition holds (line {self._sides[0].line}), "
            f"and {types[1]} where it does not (line {self._sides[1].line})",
            "both must have one shape" if is_shape else "convert one of them with .astype",
        )

    def _refuse_structures(self, name: str, first: Held, second: Held) -> NoReturn:
        values = [first.value, second.value]
        if all(isinstance(v, list) for v in values):
            hint = "a list cannot grow under such a condition; write it with as many on both sides"
        else:
            hint = "both must be alike: arrays, numbers, or containers of as many"
        what = list(map(described, values))
        lines = [side.line for side in self._sides]
        refuse(
            TreeError,
            f"{spoken(name)} is {what[0]} where the condition holds (line {lines[0]}), "
            f"and {what[1]} where it does not (line {lines[1]})",
            f"the condition is not known while tracing: {hint}",
        )

    def _refuse_values(self, name: str, position: int, held: Held, x: Any, y: Any) -> NoReturn:
        lines = [side.line for side in self._sides]
        refuse(
            TreeError,
            f"{spoken(name)}{_path(held.value, position)} is {described(x)} where the condition "
            f"holds (line {lines[0]}), and {described(y)} where it does not (line {lines[1]})",
            "only arrays and numbers can depend on a condition that is not known while tracing",
        )

    def _adapted(self, graph: Graph, side: int) -> Graph:
        picked = [(row.type, row.outputs[side]) for row in self._rows]
        own = graph.output_types
        if all(n is not None and own[n].dtype == t.dtype for t, n in picked):
            outputs = tuple(graph.outputs[n] for _, n in picked if n is not None)
            return Graph(graph.name, graph.inputs, graph.eqns, outputs)

        def converted(*inputs: Any) -> list[Any]:
            found = inline(graph, inputs)
            return [zeros(t) if n is None else retyped(found[n], t) for t, n in picked]

        names = [var.name for var in graph.inputs]
        return trace_graph(converted, graph.input_types, graph.name, names).graph


class _Result(NamedTuple):
    """A leaf that is a result of the conditional."""

    number: int


def _leaves(held: Held) -> list[tuple[Any, int | None]]:
    return list(zip(held.leaves, held.outputs, strict=True))


def _path(value: Any, position: int) -> str:
    return keystr(flatten_with_path(value)[0][position][0])


def described(value: Any) -> str:
    """How messages call a value: its type, short values themselves."""
    if isinstance(value, Recorded):
        return str(value.type)
    if is_array_like(value):
        return str(type_of(as_value(value)))
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
