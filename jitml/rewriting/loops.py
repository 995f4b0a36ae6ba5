"""Loops whose number of steps is not known while tracing: which variables a step changes, in which
types, and the loop built of it.

In: the variables of a loop's blocks, and a function that runs one step. Out: the variables after
the loop. What a step leaves as it is, is no part of what the loop carries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from jitml.ir.errors import DTypeError, ShapeError, TracerError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.numpy.operands import settle
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml.rewriting.merging import described, is_same, joined, refuse, spoken
from jitml.rewriting.state import ABSENT, Unassigned, Variables
from jitml.trace.core import Traced, bind, trace_graph, type_of
from jitml.transforms.values import as_value, is_array_like, retyped, zeros
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten

# Takes the loop's own counters, and slices of arrays; runs a step, and gives the counters for the
# next one. Of a loop of unknown length the first says whether there is one.
Step = Callable[..., Sequence[Any]]


class _Held(NamedTuple):
    """A variable where a step begins: its value before the loop in parts, None where it has none
    yet.
    """

    structure: Structure
    leaves: list[Any]


class Loop:
    """The variables that a loop carries from step to step, found by tracing its body."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._source = user_source()
        self._name = f"{self._source.function}.loop"
        self._held: dict[str, _Held] = {}
        self._carried: dict[tuple[str, int], ArrayType] = {}
        self._is_stable = True
        for variable in variables.names:
            value = variables.before(variable)
            if value is not ABSENT and not isinstance(value, Unassigned):
                leaves, structure = flatten(value)
                self._held[variable] = _Held(structure, leaves)
        for variable in variables.assigned:
            held = self._held.get(variable)
            for number, leaf in enumerate(held.leaves if held else []):
                if is_array_like(leaf) and not isinstance(leaf, bool):
                    self._carried[variable, number] = type_of(as_value(leaf))

    def run_while(self, step: Step, counters: Sequence[Any]) -> None:
        """Run steps as long as the first counter holds."""
        traced = self._traced(step, [type_of(x) for x in counters], [])
        body = _constants_first(traced, len(traced.captures))
        asks = trace_graph(lambda *xs: xs[:1], traced.graph.output_types, f"{self._name}.while")
        op = While(asks.graph, body, 0, len(traced.captures))
        outputs = bind(op, *traced.captures, *counters, *self._starts())
        self._fill([settle(x) for x in outputs[len(counters) :]])

    def run_scan(
        self, step: Step, counters: Sequence[Any], arrays: Sequence[Any], count: int
    ) -> None:
        """Run `count` steps, which take slices of `arrays` along the first axis as well."""
        slices = [type_of(x).with_shape(type_of(x).shape[1:]) for x in arrays]
        traced = self._traced(step, [type_of(x) for x in counters], slices)
        body = _constants_first(traced, len(traced.captures))
        carries = len(counters) + len(self._carried)
        op = Scan(body, count, len(traced.captures), carries, False)
        outputs = bind(op, *traced.captures, *counters, *self._starts(), *arrays)
        self._fill([settle(x) for x in outputs[len(counters) :]])

    # ---- tracing ---------------------------------------------------------------------------------

    def _traced(
        self, step: Step, counters: Sequence[ArrayType], rows: Sequence[ArrayType]
    ) -> Traced:
        """A step traced for variables whose types it keeps."""

        def flat(*tracers: Any) -> list[Any]:
            last = len(counters) + len(self._carried)
            try:
                self._fill(tracers[len(counters) : last])
                following = step(*tracers[: len(counters)], *tracers[last:])
                return [*following, *self._collected()]
            finally:
                self._variables.restore()

        while True:
            self._is_stable = True
            types = [*counters, *self._carried.values(), *rows]
            names = [
                *[""] * len(counters),
                *[f"{name}{self._path(name, n)}" for name, n in self._carried],
                *[""] * len(rows),
            ]
            traced = trace_graph(flat, types, self._name, names)
            if self._is_stable:
                return traced

    def _fill(self, values: Sequence[Any]) -> None:
        """Give the variables their values where a step begins."""
        given = dict(zip(self._carried, values, strict=True))
        for name, held in self._held.items():
            leaves = [given.get((name, n), leaf) for n, leaf in enumerate(held.leaves)]
            if any((name, n) in given for n in range(len(leaves))):
                self._variables.set(name, held.structure.unflatten(leaves))
        for name in self._variables.assigned:
            if name not in self._held and name in self._variables.doubtful:
                self._variables.set(name, self._unassigned(name))

    def _unassigned(self, name: str) -> Unassigned:
        before = self._variables.before(name)
        if isinstance(before, Unassigned):
            return before
        return Unassigned(
            f"{name} is assigned only in the loop {self._source}, which may run no step"
        )

    def _collected(self) -> list[Any]:
        """What the loop carries to its next step; notes what must be carried and is not yet."""
        found: dict[tuple[str, int], Any] = {}
        for name in self._variables.names:
            value = self._variables.get(name)
            is_missing = value is ABSENT or isinstance(value, Unassigned)
            if name in self._held:
                if is_missing:
                    self._refuse(name, "is deleted in the loop", "assign another value instead")
                found.update(self._compared(name, value))
            elif not is_missing and name not in self._variables.doubtful:
                self._begin(name, value)
        return [found[key] for key in self._carried if key in found]

    def _begin(self, name: str, value: Any) -> None:
        """Carry a variable that has no value before the loop: zeros, which nothing reads."""
        leaves, structure = flatten(value)
        types = [type_of(as_value(x)) if is_array_like(x) else None for x in leaves]
        self._held[name] = _Held(structure, leaves)
        self._held[name] = _Held(
            structure, [x if t is None else _Zeros(t) for x, t in zip(leaves, types, strict=True)]
        )
        self._carried.update({(name, n): t for n, t in enumerate(types) if t is not None})
        self._is_stable = False

    def _compared(self, name: str, value: Any) -> dict[tuple[str, int], Any]:
        held = self._held[name]
        leaves, structure = flatten(value)
        if structure != held.structure:
            self._refuse_structure(name, held, value)
        found: dict[tuple[str, int], Any] = {}
        for number, (before, after) in enumerate(zip(held.leaves, leaves, strict=True)):
            key = (name, number)
            if key in self._carried:
                if not is_array_like(after):
                    self._refuse_value(name, number, after)
                found[key] = self._kept(key, as_value(after))
            elif is_same(before, after):
                continue
            elif is_array_like(before) and is_array_like(after):
                self._carried[key] = type_of(as_value(before))
                self._is_stable = False
            else:
                self._refuse_value(name, number, after)
        return found

    def _kept(self, key: tuple[str, int], value: Any) -> Any:
        """What a step leaves in a carried leaf, in the type that it is carried in."""
        own, left = self._carried[key], type_of(value)
        type_ = joined(own, left)
        if type_ is None:
            self._refuse_type(key, own, left)
        if type_ != own:
            self._carried[key] = type_
            self._is_stable = False
        return retyped(value, type_)

    def _starts(self) -> list[Any]:
        return [
            _started(self._held[name].leaves[n], type_)
            for (name, n), type_ in self._carried.items()
        ]

    # ---- errors ----------------------------------------------------------------------------------

    def _path(self, name: str, number: int) -> str:
        held = self._held[name]
        tree = held.structure.unflatten(list(range(len(held.leaves))))
        return keystr(flatten_with_path(tree)[0][number][0])

    def _refuse(self, name: str, what: str, hint: str) -> NoReturn:
        refuse(TracerError, f"{spoken(name)} {what}, whose steps are not known while tracing", hint)

    def _refuse_structure(self, name: str, held: _Held, value: Any) -> NoReturn:
        before = held.structure.unflatten(held.leaves)
        path = spoken(name)
        if isinstance(value, list) and isinstance(before, list) and len(before) != len(value):
            self._refuse(
                name,
                f"has {len(before)} elements before a step of the loop and {len(value)} after it",
                "a list cannot grow or shrink there; start from jitml.numpy.zeros(n) and write "
                f"{path} = {path}.at[i].set(value)",
            )
        refuse(
            TreeError,
            f"{path} is {described(before)} before a step of the loop, and {described(value)} "
            "after it",
            f"the steps are not known while tracing: start from what they leave, as {path} = 0"
            if before is None
            else "the steps are not known while tracing, so all must leave it alike",
        )

    def _refuse_value(self, name: str, number: int, value: Any) -> NoReturn:
        self._refuse(
            f"{spoken(name)}{self._path(name, number)}",
            f"becomes a {type(value).__name__} in the loop",
            "only arrays and numbers can change in such a loop",
        )

    def _refuse_type(self, key: tuple[str, int], own: ArrayType, left: ArrayType) -> NoReturn:
        path = f"{spoken(key[0])}{self._path(*key)}"
        is_shape = own.shape != left.shape
        refuse(
            ShapeError if is_shape else DTypeError,
            f"{path} is {own} before a step of the loop and {left} after it",
            "an array keeps its shape in such a loop; start from one of its full size"
            if is_shape
            else f"start from {left.dtype.name}, or convert it with .astype({own.dtype.name!r})",
        )


class _Zeros(NamedTuple):
    """The start of a variable that has no value before the loop."""

    type: ArrayType


def _started(leaf: Any, type_: ArrayType) -> Any:
    return zeros(type_) if isinstance(leaf, _Zeros) else retyped(as_value(leaf), type_)


def _constants_first(traced: Traced, count: int) -> Graph:
    """The graph with its captured inputs in front of its arguments."""
    graph = traced.graph
    first = len(graph.inputs) - count
    inputs = (*graph.inputs[first:], *graph.inputs[:first])
    return Graph(graph.name, inputs, graph.eqns, graph.outputs)
