"""`While`: a body run as long as a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.dtypes import BOOL
from jitml.ir.errors import DTypeError
from jitml.ir.graph import Eqn, Graph
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.control import (
    Control,
    Transform,
    along_rows,
    at_front,
    build,
    check_inputs,
    check_same,
    evaluate,
    fixpoint,
    flags_where,
    needed_inputs,
    or_zeros,
    reordered,
    restricted,
    retyped,
    split,
    spread,
)
from jitml.ops.elementwise import select
from jitml.ops.kinds import Traced
from jitml.ops.layout import batch_to_front
from jitml.ops.reduction import reduce_or
from jitml.ops.scan import Scan, batch_by_element
from jitml.trace.core import bind, type_of
from jitml.trace.inline import inline
from jitml_runtime.record import frozen

Values = Sequence[Traced]
Step = Callable[[list[Traced], list[Traced]], Values]


@frozen
class While(Control):
    """Run `body` while `condition` holds.

    Inputs: `condition_constants` values for the condition, `body_constants` values for the body,
    and initial carries. Both graphs take their constants, then the carries; the condition returns
    a 0-d bool, the body the next carries. Outputs: the carries for which the condition fails.
    """

    name = "while"
    condition: Graph
    body: Graph
    condition_constants: int
    body_constants: int

    def groups(self, items: Sequence[Any]) -> list[list[Any]]:
        """What belongs to the condition's constants, the body's, and the carries."""
        return split(items, self.condition_constants, self.body_constants)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        condition_constants, body_constants, carries = self.groups(types)
        check_inputs(self.name, self.condition, [*condition_constants, *carries])
        check_inputs(self.name, self.body, [*body_constants, *carries])
        check_same("while: carries", carries, "the body's next carries", self.body.output_types)
        (holds,) = self.condition.output_types
        if holds.dtype != BOOL or holds.shape:
            raise DTypeError(f"while: the condition gives {holds}", hint="it must be a 0-d bool")
        return self.body.output_types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        condition_constants, body_constants, carries = self.groups(arrays)
        while evaluate(self.condition, [*condition_constants, *carries])[0]:
            carries = evaluate(self.body, [*body_constants, *carries])
        return tuple(carries)

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        condition_constants, body_constants, carries = self.groups(primals)
        _, constant_slopes, slopes = self.groups(tangents)
        fixed = [t is not None for t in constant_slopes]

        def attempt(flags: list[bool]) -> tuple[Any, Sequence[bool]]:
            found = transform(self.body, (*fixed, *flags))
            return found, found.has_tangent

        moving, pushed = fixpoint([t is not None for t in slopes], attempt)
        types = [type_of(x) for x in carries]

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            constants, constant_ts = split(cs, self.body_constants)
            values, ts = split(ks, len(carries))
            found = inline(pushed.graph, [*constants, *values, *constant_ts, *ts])
            nexts, next_ts = split(found, len(carries))
            placed = spread(next_ts, pushed.has_tangent)
            return [*nexts, *flags_where(list(map(or_zeros, placed, types)), moving)]

        starts = flags_where(list(map(or_zeros, slopes, types)), moving)
        found = while_values(
            lambda cs, ks: inline(self.condition, [*cs, *ks[: len(carries)]]),
            step,
            condition_constants,
            [*body_constants, *(t for t in constant_slopes if t is not None)],
            [*carries, *starts],
            pushed.graph.name,
        )
        return found[: len(carries)], spread(found[len(carries) :], moving)

    def linearize(
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        """As `jvp`, with the tangents by an op of their own, which can be transposed."""
        from jitml.ops.while_tangents import while_tangents  # built of while loops

        return while_tangents(self, primals, tangents, transform)

    # ---- batching --------------------------------------------------------------------------------

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        asked, fixed, moving = self.groups([None if a is None else 0 for a in axes])

        def attempt(flags: list[bool]) -> tuple[Any, Sequence[bool]]:
            carried = [0 if flag else None for flag in flags]
            asking = transform(self.condition, size, (*asked, *carried))
            if asking.axes[0] is not None:
                return None, flags
            found = transform(self.body, size, (*fixed, *carried))
            return (asking.graph, found), [a is not None for a in found.axes]

        grown, made = fixpoint([a is not None for a in moving], attempt)
        if made is None:
            if any(map(transform.speaks_of_axis, (self.condition, self.body))):
                return self.batch_in_step(size, inputs, axes, transform)
            return self._batch_by_element(size, inputs, axes)
        asking, batched = made
        condition_constants, body_constants, carries = self.groups(
            [
                at_front(size, x, a, type_of(x)) if a is not None else x
                for x, a in zip(inputs, axes, strict=True)
            ]
        )
        types = self.body.output_types
        starts = [
            at_front(size, x, 0 if a is not None else None, t) if on else x
            for x, a, t, on in zip(carries, self.groups(axes)[2], types, grown, strict=True)
        ]

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            rows = zip(inline(batched.graph, [*cs, *ks]), batched.axes, types, grown, strict=True)
            return [at_front(size, x, a, t) if on else x for x, a, t, on in rows]

        found = while_values(
            lambda cs, ks: inline(asking, [*cs, *ks]),
            step,
            condition_constants,
            body_constants,
            starts,
            batched.graph.name,
        )
        return found, [0 if on else None for on in grown]

    def batch_in_step(
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        """All elements together, as they talk to each other, until the last has ended; one that
        has ended keeps its carries.
        """
        asked, fixed, _ = self.groups([None if a is None else 0 for a in axes])
        types = self.body.output_types
        carried = [0] * len(types)
        asking = transform(self.condition, size, (*asked, *carried))
        batched = transform(self.body, size, (*fixed, *carried))
        placed = [
            x if a is None else at_front(size, x, a, type_of(x))
            for x, a in zip(inputs, axes, strict=True)
        ]
        condition_constants, body_constants, carries = self.groups(placed)
        stacked = [a is not None for a in self.groups(axes)[2]]
        starts = [
            at_front(size, x, 0 if on else None, t)
            for x, t, on in zip(carries, types, stacked, strict=True)
        ]

        def goes_on(cs: Values, ks: Values) -> Traced:
            (holds,) = inline(asking.graph, [*cs, *ks])
            return batch_to_front(size, holds, asking.axes[0])

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            own, shared = split(cs, len(condition_constants))
            holds = goes_on(own, ks)
            rows = zip(inline(batched.graph, [*shared, *ks]), batched.axes, types, ks, strict=True)
            return [
                select(along_rows(holds, old), at_front(size, x, a, t), old)
                for x, a, t, old in rows
            ]

        found = while_values(
            lambda cs, ks: [reduce_or(goes_on(cs, ks), (0,))],
            step,
            condition_constants,
            [*condition_constants, *body_constants],
            starts,
            batched.graph.name,
        )
        return found, carried

    def _batch_by_element(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        """One element after the other, each with its own number of steps: no work is done, and no
        check made, for an element that has ended.
        """
        return batch_by_element(self, size, inputs, axes, self.body.name)

    # ---- dead code -------------------------------------------------------------------------------

    def pruned(self, used: Sequence[bool]) -> tuple[Op, Sequence[int], Sequence[int]] | None:
        outputs = {n for n, flag in enumerate(used) if flag}
        asked = needed_inputs(self.condition, [0])
        outputs |= {n - self.condition_constants for n in asked if n >= self.condition_constants}
        while True:
            read = needed_inputs(self.body, outputs)
            carried = {n - self.body_constants for n in read if n >= self.body_constants}
            if carried <= outputs:
                break
            outputs |= carried
        carries = sorted(outputs)
        asked_constants = sorted(n for n in asked if n < self.condition_constants)
        read_constants = sorted(n for n in read if n < self.body_constants)
        inputs = [
            *asked_constants,
            *(self.condition_constants + n for n in read_constants),
            *(self.condition_constants + self.body_constants + n for n in carries),
        ]
        total = self.condition_constants + self.body_constants + len(used)
        if len(inputs) == total:
            return None
        condition = restricted(
            self.condition,
            [*asked_constants, *(self.condition_constants + n for n in carries)],
            [0],
        )
        body = restricted(
            self.body, [*read_constants, *(self.body_constants + n for n in carries)], carries
        )
        op = type(self)(condition, body, len(asked_constants), len(read_constants))
        return op, inputs, carries

    def settled(self) -> tuple[Op, Sequence[int], dict[int, int]] | None:
        asked, read = self.condition_constants, self.body_constants
        carries = range(len(self.body.outputs))
        still = [k for k in carries if self.body.outputs[k] is self.body.inputs[read + k]]
        if not still:
            return None
        moving = [k for k in carries if k not in still]

        def order(constants: int) -> list[int]:
            """Inputs of a nested graph: its constants, carries that stay, carries that move."""
            return [*range(constants), *(constants + k for k in (*still, *moving))]

        condition = reordered(self.condition, order(asked), [0])
        body = reordered(self.body, order(read), moving)
        op = type(self)(condition, body, asked + len(still), read + len(still))
        first = asked + read
        inputs = [
            *range(asked),
            *(first + k for k in still),
            *range(asked, first),
            *(first + k for k in (*still, *moving)),
        ]
        return op, inputs, {k: first + k for k in still}


@frozen
class Lanes(While):
    """A loop over the elements of a map that take a branch, some at a time."""

    name = "lanes"


def loop_of_map(op: Scan) -> Eqn | None:
    """The loop of unknown length that is all that the steps of a map do: they give what it leaves,
    or some of that.
    """
    if op.carries or len(op.body.eqns) != 1:
        return None
    (eqn,) = op.body.eqns
    is_all = isinstance(eqn.op, While) and {*op.body.outputs} <= {*eqn.outputs}
    return eqn if is_all else None


def while_values(
    condition: Step,
    step: Step,
    condition_constants: Values,
    body_constants: Values,
    carries: Values,
    name: str,
    kind: type[While] = While,
) -> list[Traced]:
    """The last carries of a loop whose `condition` and `step` take constants and carries."""
    carry_types = [type_of(x) for x in carries]

    def asks(*values: Traced) -> Values:
        return condition(*split(values, len(condition_constants)))

    def body(*values: Traced) -> Values:
        nexts = step(*split(values, len(body_constants)))
        return list(map(retyped, nexts, carry_types))

    op = kind(
        build(asks, [*map(type_of, condition_constants), *carry_types], f"{name}.condition"),
        build(body, [*map(type_of, body_constants), *carry_types], name),
        len(condition_constants),
        len(body_constants),
    )
    return bind(op, *condition_constants, *body_constants, *carries)
