"""`Cond`: one of several graphs, chosen at run time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.dtypes import INT32
from jitml.ir.errors import DTypeError
from jitml.ir.graph import Graph, Literal
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.control import (
    Control,
    Transform,
    along_rows,
    at_front,
    build,
    call_known,
    check_inputs,
    check_same,
    evaluate,
    flags_where,
    names_of,
    needed_inputs,
    or_zeros,
    reordered,
    restricted,
    retyped,
    split,
    spread,
)
from jitml.ops.elementwise import eq, le, select
from jitml.ops.kinds import Elementwise, Movement, Row, Traced
from jitml.ops.scan import batch_by_element
from jitml.trace.core import bind, type_of
from jitml.trace.inline import inline
from jitml_runtime.record import frozen

Values = Sequence[Traced]
_MOST_SELECTED = 16  # elements of all branches that are cheaper to compute than to choose between
# Operations of a branch that is cheaper to compute than to avoid: of any, and more for each result.
_MOST_WORK, _WORK_PER_RESULT = 64, 8
_FUNCTION_WORK = 8  # what a sine counts, in additions


@frozen
class Cond(Control):
    """The outputs of one of `branches`, which all take the same operands.

    Inputs: the number of the branch (a 0-d i32, clamped to those that there are), the operands.
    """

    name = "cond"
    branches: tuple[Graph, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        index, *operands = types
        if index.dtype != INT32 or index.shape:
            raise DTypeError(f"cond: the number of the branch is {index}", hint="it is an i32[]")
        outputs = self.branches[0].output_types
        for number, branch in enumerate(self.branches):
            check_inputs(self.name, branch, operands)
            check_same(
                f"cond: the outputs of branch {number}", branch.output_types, "branch 0", outputs
            )
        weak = [all(row) for row in zip(*[[t.weak for t in b.output_types] for b in self.branches],
                                        strict=True)]  # fmt: skip
        return tuple(ArrayType(t.dtype, t.shape, w) for t, w in zip(outputs, weak, strict=True))

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        index, *operands = arrays
        number = min(max(int(index), 0), len(self.branches) - 1)
        return tuple(evaluate(self.branches[number], operands))

    # ---- derivatives -----------------------------------------------------------------------------

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        index, *operands = primals
        flags = tuple(t is not None for t in tangents[1:])
        pushed = [transform(branch, flags) for branch in self.branches]
        has = [any(row) for row in zip(*[p.has_tangent for p in pushed], strict=True)]
        count = len(has)

        def along(number: int, *values: Traced) -> Values:
            outputs, slopes = split(inline(pushed[number].graph, values), count)
            return [*outputs, *self._filled(slopes, pushed[number].has_tangent, has)]

        given = [t for t in tangents[1:] if t is not None]
        names = [p.graph.name for p in pushed]
        found = cond_values(along, index, [*operands, *given], names)
        return found[:count], spread(found[count:], has)

    def _filled(self, found: Values, has: Sequence[bool], wanted: Sequence[bool]) -> list[Traced]:
        """The tangents that all branches return: zeros where this one has none."""
        types = self.branches[0].output_types
        return flags_where(list(map(or_zeros, spread(found, has), types)), wanted)

    def linearize(
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        """As `jvp`, by a conditional over values, which keeps what the one over tangents needs."""
        index, *operands = primals
        flags = tuple(t is not None for t in tangents[1:])
        maps = [transform(branch, flags) for branch in self.branches]
        forward = [_forward(b, m) for b, m in zip(self.branches, maps, strict=True)]
        has = [any(row) for row in zip(*[m.has_tangent for m in maps], strict=True)]
        slots = _Slots(forward, len(has))

        def values_of(number: int, *values: Traced) -> Values:
            outputs = inline(forward[number], values)
            return [*outputs[: len(has)], *slots.filled(number, outputs)]

        names = [b.name for b in self.branches]
        outputs = cond_values(values_of, index, operands, names)
        kept = outputs[len(has) :]

        def slopes_of(number: int, *values: Traced) -> Values:
            own, shared, given = split(values, len(kept), len(operands))
            residuals = slots.residuals(number, own, shared)
            slopes = inline(maps[number].graph, [*residuals, *given])
            return self._filled(slopes, maps[number].has_tangent, has)

        given = [t for t in tangents[1:] if t is not None]
        names = [m.graph.name for m in maps]
        slopes = cond_values(slopes_of, index, [*kept, *operands, *given], names)
        return outputs[: len(has)], spread(slopes, has)

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        index, *operands = inputs
        linear = [isinstance(x, Undefined) for x in operands]
        given = tuple(ct is not None for ct in cotangents)
        backs = [transform(branch, tuple(linear), given) for branch in self.branches]
        has = [any(row) for row in zip(*[b.has_cotangent for b in backs], strict=True)]
        types = [x.type for x in operands if isinstance(x, Undefined)]

        def back(number: int, *values: Traced) -> Values:
            found = spread(inline(backs[number].graph, values), backs[number].has_cotangent)
            return flags_where(list(map(or_zeros, found, types)), has)

        fixed = [x for x in operands if not isinstance(x, Undefined)]
        cts = [ct for ct in cotangents if ct is not None]
        found = cond_values(back, index, [*fixed, *cts], [b.graph.name for b in backs])
        return [None, *spread(spread(found, has), linear)]

    # ---- batching --------------------------------------------------------------------------------

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        (index, *operands), (index_axis, *operand_axes) = inputs, axes
        # Elements that talk to each other go through all branches together.
        is_joint = any(map(transform.speaks_of_axis, self.branches))
        if index_axis is not None and not (is_joint or all(map(is_harmless, self.branches))):
            return self._batch_by_element(size, inputs, axes)
        batched = [transform(branch, size, tuple(operand_axes)) for branch in self.branches]
        types = self.branches[0].output_types
        stacked = [
            index_axis is not None or any(a is not None for a in row)
            for row in zip(*[b.axes for b in batched], strict=True)
        ]

        def branch(number: int, *values: Traced) -> Values:
            found = zip(inline(batched[number].graph, values), batched[number].axes, types,
                        stacked, strict=True)  # fmt: skip
            return [at_front(size, x, a, t) if on else x for x, a, t, on in found]

        outputs_axes = [0 if on else None for on in stacked]
        if index_axis is None:
            names = [b.graph.name for b in batched]
            return cond_values(branch, index, operands, names), outputs_axes
        rows = [branch(number, *operands) for number in range(len(batched))]
        return chosen_rows(index, rows), outputs_axes

    def _batch_by_element(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        """One element after the other, each by its own branch alone: no work is done, and no check
        made, for a branch that an element does not take.
        """
        return batch_by_element(self, size, inputs, axes, "cond")

    # ---- both sides at once ----------------------------------------------------------------------

    def expands(self, *types: ArrayType) -> bool:
        """Whether computing all branches is cheaper than to choose one."""
        sizes = [v.type.size for b in self.branches for eqn in b.eqns for v in eqn.outputs]
        sizes += [t.size for t in self.branches[0].output_types]
        return sum(sizes) <= _MOST_SELECTED and all(map(is_harmless, self.branches))

    def expand(self, *inputs: Traced) -> Values:
        index, *operands = inputs
        return chosen_rows(index, [inline(branch, operands) for branch in self.branches])

    # ---- dead code -------------------------------------------------------------------------------

    def pruned(self, used: Sequence[bool]) -> tuple[Op, Sequence[int], Sequence[int]] | None:
        outputs = [n for n, flag in enumerate(used) if flag]
        operands = sorted(set().union(*[needed_inputs(b, outputs) for b in self.branches]))
        if len(operands) == len(self.branches[0].inputs) and len(outputs) == len(used):
            return None
        branches = tuple([restricted(b, operands, outputs) for b in self.branches])
        return Cond(branches), [0, *(1 + n for n in operands)], outputs

    def settled(self) -> tuple[Op, Sequence[int], dict[int, int]] | None:
        passed: dict[int, int] = {}
        for number in range(len(self.branches[0].outputs)):
            places = {_input_number(branch, number) for branch in self.branches}
            if len(places) == 1 and None not in places:
                passed[number] = 1 + int(places.pop() or 0)
        if not passed:
            return None
        count = len(self.branches[0].inputs)
        kept = [n for n in range(len(self.branches[0].outputs)) if n not in passed]
        branches = tuple([reordered(b, range(count), kept) for b in self.branches])
        return Cond(branches), range(1 + count), passed


def _input_number(branch: Graph, output: int) -> int | None:
    """Which input an output of a branch is, if any."""
    places = [n for n, var in enumerate(branch.inputs) if var is branch.outputs[output]]
    return places[0] if places else None


def _forward(branch: Graph, linear: Any) -> Graph:
    """The branch that also returns the residuals of its linear part."""
    variables = branch.variables()

    def along(*values: Traced) -> Values:
        known = call_known(branch, values)
        outputs = [known.get(a, a) for a in branch.outputs]
        return [*outputs, *inline(linear.known, [known[variables[n]] for n in linear.residuals])]

    return build(along, branch.input_types, branch.name, names_of(branch.inputs))


class _Slots:
    """Where branches keep their residuals: those that are operands stay where they are, others
    share outputs with other branches' residuals of the same type.
    """

    def __init__(self, forward: Sequence[Graph], first: int) -> None:
        self.types: list[ArrayType] = []
        # Per branch and residual: ("slot", number), ("operand", number) or ("literal", literal).
        self.places: list[list[tuple[str, Any]]] = []
        self.first = first
        for graph in forward:
            operands = {var: number for number, var in enumerate(graph.inputs)}
            free = list(range(len(self.types)))
            places: list[tuple[str, Any]] = []
            for atom in graph.outputs[first:]:
                if isinstance(atom, Literal):
                    places.append(("literal", atom))
                elif atom in operands:
                    places.append(("operand", operands[atom]))
                else:
                    places.append(("slot", self._take(atom.type.strong(), free)))
            self.places.append(places)

    def _take(self, type_: ArrayType, free: list[int]) -> int:
        for number in free:
            if self.types[number] == type_:
                free.remove(number)
                return number
        self.types.append(type_)
        return len(self.types) - 1

    def filled(self, number: int, outputs: Values) -> list[Traced]:
        """What a branch returns for all slots, given all outputs of its forward graph."""
        held: dict[int, Traced] = {
            where: x
            for (kind, where), x in zip(self.places[number], outputs[self.first :], strict=True)
            if kind == "slot"
        }
        return [or_zeros(held.get(n), type_) for n, type_ in enumerate(self.types)]

    def residuals(self, number: int, slots: Values, operands: Values) -> list[Traced]:
        """The residuals of a branch, from the slots and the operands."""
        rows = {"slot": slots, "operand": operands}
        return [
            where if kind == "literal" else rows[kind][where] for kind, where in self.places[number]
        ]


def is_harmless(branch: Graph) -> bool:
    """Whether a branch costs little, and cannot fail, for an element that does not take it."""
    size = sum(t.size for t in branch.output_types)
    work = sum(v.type.size * work_per_element(eqn.op) for eqn in branch.eqns for v in eqn.outputs)
    return work <= _MOST_WORK + _WORK_PER_RESULT * size and all(
        is_total(eqn.op) for eqn in branch.eqns
    )


def is_total(op: Op) -> bool:
    """Whether an op only computes or moves elements: it cannot fail, and does not depend on
    control.
    """
    return (
        isinstance(op, (Elementwise, Movement))
        and getattr(op, "mode", "") != "raise"
        and not any(nested_graphs(op))
    )


def work_per_element(op: Op) -> int:
    """Operations per element: mathematical functions are written out in many."""
    return _FUNCTION_WORK if isinstance(op, Row) and op.lowering is None else 1


def chosen_rows(index: Traced, rows: Sequence[Values]) -> list[Traced]:
    """For each output, the elements of the row that `index` (a number or vector) names,
    clamped.
    """
    outputs = []
    for column in zip(*rows, strict=True):
        found = column[-1]
        for number in reversed(range(len(rows) - 1)):
            below = le(index, 0) if number == 0 else eq(index, number)
            hit = along_rows(below, found) if type_of(below).shape else below
            found = select(hit, column[number], retyped(found, type_of(column[number])))
        outputs.append(found)
    return outputs


def cond_values(
    branch: Callable[..., Values], index: Traced, operands: Values, names: Sequence[str]
) -> list[Traced]:
    """The outputs of a conditional whose branch k is `branch(k, *operands)`."""
    types = [type_of(x) for x in operands]

    def graph(number: int) -> Graph:
        return build(lambda *values: branch(number, *values), types, names[number])

    return bind(Cond(tuple([graph(k) for k in range(len(names))])), index, *operands)
