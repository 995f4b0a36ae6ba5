"""What the ops of control flow share: their nested graphs' types, meaning and dependencies.

Rules of these ops are given the transform that they need for their nested graphs: they know what a
transformed graph looks like, not how it comes about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from jitml.ir.dependencies import live_eqns, split_eqns
from jitml.ir.errors import DifferentiationError, ShapeError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.nested import has_effect_inside, map_nested
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert
from jitml.ops.kinds import Traced, full_of
from jitml.ops.layout import batch_to_front, broadcast_in_dim
from jitml.trace.core import trace_graph, type_of
from jitml.trace.inline import replay
from jitml_runtime.record import frozen, replace

Transform = Any  # called with a graph; that of `batch` also tells of collectives
_LINEAR_MAP: list[Transform] = []
T = TypeVar("T")


def set_linear_map(transform: Transform) -> None:
    """Tell the transform that `linearize` rules take (transforms do)."""
    _LINEAR_MAP[:] = [transform]


@frozen
class Control(Op):
    """An op with nested graphs. Its rules take the transform of graphs that they apply as a last
    argument.
    """

    takes_transforms = True

    @property
    def has_effect(self) -> bool:
        return has_effect_inside(self)

    @property
    def runs_once(self) -> bool:
        return self.has_effect

    def record_in(self, trace: Any, inputs: Sequence[Traced]) -> Sequence[Traced]:
        """Run it at once, keeping what a derivative needs: it is not to run again for that."""
        from jitml.ops.custom import record_call  # which knows control flow

        def push(captured: Any, primals: Any, tangents: Any) -> Any:
            return self.linearize(primals, tangents, _LINEAR_MAP[0])  # type: ignore[attr-defined]

        return record_call(trace, self, push, (), inputs)

    def pruned(self, used: Sequence[bool]) -> tuple[Op, Sequence[int], Sequence[int]] | None:
        """The op without what its `used` outputs do not need, and the numbers of the inputs and
        outputs that are left; None if that is all of them.
        """
        return None

    def settled(self) -> tuple[Op, Sequence[int], dict[int, int]] | None:
        """The op with carries that never change as constants, the order of its inputs, and which
        outputs are inputs passed on; None if there is nothing of the kind.
        """
        return None


# ---- types and values ----------------------------------------------------------------------------


def check_inputs(name: str, graph: Graph, types: Sequence[ArrayType]) -> None:
    """Raise unless a nested graph takes inputs of these types (weak or not)."""
    check_same(f"{name}: inputs", types, f"the inputs of {graph.name or 'its graph'}",
               graph.input_types)  # fmt: skip


def check_same(
    what: str, types: Sequence[ArrayType], other: str, wanted: Sequence[ArrayType]
) -> None:
    """Raise unless two rows of types agree but for weakness."""
    if len(types) != len(wanted) or not all(map(is_same, types, wanted)):
        found, expected = (", ".join(map(str, row)) or "none" for row in (types, wanted))
        raise ShapeError(f"{what} have types {found}; {other} have {expected}")


def is_same(a: ArrayType, b: ArrayType) -> bool:
    """Whether two types differ at most in weakness."""
    return a.dtype == b.dtype and a.shape == b.shape


def evaluate(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The outputs of a nested graph by the ops' NumPy meaning."""
    known: dict[Any, Any] = dict(zip(graph.inputs, arrays, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return np.asarray(atom.value).astype(atom.type.dtype)
        return known[atom]

    for eqn in graph.eqns:
        known.update(zip(eqn.outputs, eqn.op.value(*map(read, eqn.inputs)), strict=True))
    return [read(atom) for atom in graph.outputs]


def retyped(x: Traced, type_: ArrayType) -> Traced:
    """`x` with the dtype and weakness of `type_`, whose shape it has."""
    own = type_of(x)
    return x if own == type_ else convert(x, type_.dtype, type_.weak)


def or_zeros(x: Traced | None, type_: ArrayType) -> Traced:
    """`x` as `type_`; zeros of it where `x` is None."""
    return full_of(type_, 0) if x is None else retyped(x, type_)


def at_front(size: int, x: Traced, axis: int | None, type_: ArrayType) -> Traced:
    """`x` stacked along its first axis; `type_` is that of an element."""
    stacked = batch_to_front(size, x, axis)
    return retyped(stacked, type_of(stacked).with_dtype(type_.dtype, type_.weak))


def along_rows(flags: Traced, x: Traced) -> Traced:
    """One flag for each row of `x`, for each of the row's elements."""
    shape = type_of(x).shape
    return flags if len(shape) == 1 else broadcast_in_dim(flags, shape, (0,))


def stacked_type(type_: ArrayType, size: int, is_stacked: bool = True) -> ArrayType:
    """The type with an axis of `size` in front."""
    return type_.with_shape((size, *type_.shape)) if is_stacked else type_


# ---- graphs made of graphs -----------------------------------------------------------------------


def build(
    function: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    name: str,
    names: Sequence[str] = (),
) -> Graph:
    """The graph that `function` records; it may use nothing but its arguments."""
    traced = trace_graph(function, types, name, names)
    assert not traced.captures, (name, traced.captures)
    return traced.graph


def names_of(variables: Iterable[Var]) -> list[str]:
    return [v.name for v in variables]


def call_known(graph: Graph, values: Sequence[Traced]) -> dict[Any, Traced]:
    """Replay a graph, and return the value of every variable of it."""
    known: dict[Any, Traced] = dict(zip(graph.inputs, values, strict=True))
    for eqn in graph.eqns:
        found = replay(eqn, [known.get(a, a) for a in eqn.inputs])
        known.update(zip(eqn.outputs, found, strict=True))
    return known


def flags_where(items: Sequence[T], flags: Sequence[bool]) -> list[T]:
    """The items whose flag is set."""
    return [x for x, flag in zip(items, flags, strict=True) if flag]


def spread(items: Iterable[T], flags: Sequence[bool]) -> list[T | None]:
    """The items in the places whose flag is set, None in the others."""
    remaining: Iterator[T] = iter(items)
    return [next(remaining) if flag else None for flag in flags]


def split(items: Sequence[T], *counts: int) -> list[list[T]]:
    """Consecutive groups of the given sizes, and what is left."""
    groups, start = [], 0
    for count in counts:
        groups.append(list(items[start : start + count]))
        start += count
    return [*groups, list(items[start:])]


def fixpoint(
    flags: Sequence[bool], attempt: Callable[[list[bool]], tuple[T, Sequence[bool]]]
) -> tuple[list[bool], T]:
    """Flags of carries, with those that one step sets for the next set too, and what `attempt`
    made of them: it is tried, and the flags that it tells are added, until there are no more.
    """
    flags = list(flags)
    while True:
        result, found = attempt(flags)
        grown = [a or b for a, b in zip(flags, found, strict=True)]
        if grown == flags:
            return flags, result
        flags = grown


def reordered(graph: Graph, order: Sequence[int], outputs: Sequence[int]) -> Graph:
    """The graph with its inputs in another order, and some of its outputs."""
    inputs = tuple([graph.inputs[n] for n in order])
    return Graph(graph.name, inputs, graph.eqns, tuple([graph.outputs[n] for n in outputs]))


# ---- effects -------------------------------------------------------------------------------------


def is_noisy(op: Op) -> bool:
    """Whether an op runs graphs that have effects."""
    return op.has_effect and has_effect_inside(op)


def quiet(eqn: Eqn) -> Eqn:
    """The equation without its effect, if it can do without, and those of graphs that it runs."""
    silent = eqn.op.silent()
    if silent is not None:
        return replace(eqn, op=silent)
    if not is_noisy(eqn.op):
        return eqn
    return replace(eqn, op=map_nested(eqn.op, without_effects))


def without_effects(graph: Graph) -> Graph:
    """What computes the outputs of `graph` a second time."""
    eqns = live_eqns(list(map(quiet, graph.eqns)), graph.outputs, with_effects=False)
    for eqn in eqns:
        if eqn.op.has_effect:
            raise DifferentiationError(
                f"the outputs of {eqn.op.name} inside of a loop or conditional are needed twice by "
                "this derivative, but it is not called twice",
                hint="call it outside and pass the outputs in, or make it a pure_callback",
                source=eqn.source,
            )
    return graph.with_eqns(eqns)


# ---- dependencies --------------------------------------------------------------------------------


def needed_inputs(graph: Graph, outputs: Iterable[int]) -> set[int]:
    """The numbers of the inputs that some outputs, given by number, depend on."""
    wanted = [graph.outputs[n] for n in outputs]
    needed = {*wanted, *(a for eqn in live_eqns(graph.eqns, wanted) for a in eqn.inputs)}
    return {n for n, var in enumerate(graph.inputs) if var in needed}


def restricted(graph: Graph, inputs: Iterable[int], outputs: Iterable[int]) -> Graph:
    """The graph with only these inputs and outputs, and the equations that they need."""
    kept = tuple(graph.outputs[n] for n in outputs)
    eqns = tuple(live_eqns(graph.eqns, kept))
    return Graph(graph.name, tuple(graph.inputs[n] for n in inputs), eqns, kept)


def hoist(graph: Graph, constants: Sequence[Traced], outputs: Sequence[int]) -> dict[int, Traced]:
    """Values of those `outputs` of a loop's body that depend on its first inputs, `constants`,
    alone: the same at every step, computed here once.
    """
    known: dict[Any, Traced] = dict(zip(graph.inputs, constants, strict=False))
    eqns, _ = split_eqns([eqn for eqn in graph.eqns if not eqn.op.has_effect], known)
    fixed = {*known, *(v for eqn in eqns for v in eqn.outputs)}
    atoms = {n: graph.outputs[n] for n in outputs}
    wanted = [n for n, atom in atoms.items() if isinstance(atom, Literal) or atom in fixed]
    for eqn in live_eqns(eqns, [atoms[n] for n in wanted]):
        found = replay(eqn, [known.get(a, a) for a in eqn.inputs])
        known.update(zip(eqn.outputs, found, strict=True))
    return {n: known.get(atoms[n], atoms[n]) for n in wanted}
