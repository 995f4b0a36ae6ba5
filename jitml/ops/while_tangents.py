"""`WhileTangents`: what a while loop does to tangents, and its transpose, for any number of steps.

The transpose needs the states of all steps in reverse, whose number is known only at run time. Some
are kept, in a fixed number of places and evenly spread; between two of them states are computed
again, from what is kept in further places between these: memory stays bounded, and the work is a
few times that of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.dtypes import INT32, INT64
from jitml.ir.graph import Graph
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.control import (
    Control,
    Transform,
    build,
    call_known,
    check_inputs,
    evaluate,
    fixpoint,
    flags_where,
    or_zeros,
    retyped,
    split,
    spread,
    without_effects,
)
from jitml.ops.dynamic import row_at
from jitml.ops.elementwise import add, convert, div, eq, ge, lt, minimum, mul, rem, select, sub
from jitml.ops.kinds import Traced, full_of
from jitml.ops.layout import reshape
from jitml.ops.scatter import Scatter, ScatterDimensionNumbers
from jitml.ops.while_loop import while_values
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.inline import inline
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen, replace

Values = Sequence[Traced]
_COUNT = ArrayType(INT64, ())
_KEPT_BYTES = 1 << 24  # for the states that are kept on each level
_MOST_KEPT, _LEAST_KEPT = 256, 16
_LEVELS = 2


@frozen
class WhileTangents(Control):
    """The tangents of a loop's last carries.

    Inputs: the number of steps (i64), `constants` values and the initial carries of the loop,
    tangents of constants, tangents of carries. `forward` takes constants and carries, and returns
    the next carries and what `linear` needs; `linear` takes that, the tangents of constants and
    those of carries, and returns the next tangents of carries.
    """

    name = "while_tangents"
    forward: Graph
    linear: Graph
    constants: int
    moving: int

    @property
    def carries(self) -> int:
        """How many carries the loop has."""
        return len(self.forward.inputs) - self.constants

    def groups(self, items: Sequence[Any]) -> list[list[Any]]:
        """The count, constants, carries, tangents of constants, tangents of carries."""
        fixed = len(items) - 1 - self.constants - self.carries - self.moving
        return split(items, 1, self.constants, self.carries, fixed)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        _, constants, carries, _, moving = self.groups(types)
        check_inputs(self.name, self.forward, [*constants, *carries])
        return tuple(moving)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (count,), constants, carries, fixed, moving = self.groups(arrays)
        for _ in range(int(count)):
            found = evaluate(self.forward, [*constants, *carries])
            carries, residuals = split(found, self.carries)
            moving = evaluate(self.linear, [*residuals, *fixed, *moving])
        return tuple(moving)

    def expand(self, *inputs: Traced) -> Values:
        count, constants, carries, fixed, moving = self.groups(inputs)

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            values, ts = split(cs, self.constants)
            (i,), state, slopes = split(ks, 1, self.carries)
            nexts, residuals = split(inline(self.forward, [*values, *state]), self.carries)
            return [add(i, 1), *nexts, *inline(self.linear, [*residuals, *ts, *slopes])]

        found = while_values(
            lambda cs, ks: [lt(ks[0], cs[0])],
            step,
            count,
            [*constants, *fixed],
            [_number(0), *carries, *moving],
            self.linear.name,
        )
        return found[1 + self.carries :]

    # ---- what the loop itself would do -----------------------------------------------------------

    def _graph(self, types: Sequence[ArrayType]) -> Graph:
        return build(self.expand, types, self.linear.name)

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        flags = tuple(t is not None for t in tangents)
        pushed = transform(self._graph([type_of(x) for x in primals]), flags)
        found = inline(pushed.graph, [*primals, *(t for t in tangents if t is not None)])
        outputs, slopes = split(found, self.moving)
        return outputs, spread(slopes, pushed.has_tangent)

    def linearize(
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        """As `jvp`, with what is computed on values apart from what is on tangents."""
        graph = self._graph([type_of(x) for x in primals])
        found = transform(graph, tuple(t is not None for t in tangents))
        known, variables = call_known(graph, primals), graph.variables()
        residuals = inline(found.known, [known[variables[n]] for n in found.residuals])
        slopes = inline(found.graph, [*residuals, *(t for t in tangents if t is not None)])
        return [known.get(a, a) for a in graph.outputs], spread(slopes, found.has_tangent)

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        types = [
            type_of(x) if a is None else _without(type_of(x), a)
            for x, a in zip(inputs, axes, strict=True)
        ]
        found = transform(self._graph(types), size, tuple(axes))
        return inline(found.graph, inputs), found.axes

    # ---- the transpose ---------------------------------------------------------------------------

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        count, constants, carries, fixed, moving = self.groups(inputs)
        residuals = len(self.linear.inputs) - len(fixed) - len(moving)
        flags = [n >= residuals for n in range(len(self.linear.inputs))]
        back = transform(self.linear, tuple(flags), None)
        reverse = _Reverse(self, back, residuals)
        sums = [or_zeros(None, v.type) for v in reverse.fixed]
        cts = [or_zeros(ct, v.type) for ct, v in zip(cotangents, reverse.moving, strict=True)]
        found = reverse.over(_LEVELS, constants, carries, count[0], [*sums, *cts])
        linear = [None] * (1 + self.constants + self.carries)
        return [
            ct if isinstance(x, Undefined) else None
            for ct, x in zip([*linear, *found], inputs, strict=True)
        ]


class _Reverse:
    """Steps of a loop in reverse; `acc` holds sums for tangents of constants, then cotangents."""

    def __init__(self, op: WhileTangents, back: Any, residuals: int) -> None:
        self.op = op
        self.back = back
        inputs = op.linear.inputs[residuals:]
        self.fixed = inputs[: len(inputs) - op.moving]
        self.moving = inputs[len(inputs) - op.moving :]
        state = op.forward.inputs[op.constants :]
        size_bytes = max(sum(v.type.size_bytes for v in state), 1)
        self.kept = min(max(_KEPT_BYTES // size_bytes, _LEAST_KEPT), _MOST_KEPT)

    def over(
        self, level: int, constants: Values, start: Values, count: Traced, acc: Values
    ) -> Values:
        """`acc` after the steps from the state `start` on, `count` many, in reverse."""
        if level == 0:
            return self._recomputing(constants, start, count, acc)
        apart = div(add(count, self.kept - 1), self.kept)
        apart = select(lt(apart, 1), _number(1), apart)
        kept = self._keep(constants, start, count, apart)
        places = div(sub(add(count, apart), 1), apart)
        total = len(constants)

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            values, (whole, spacing), slots = split(cs, total, 2)
            (place,), sums = split(ks, 1)
            begin = [row_at(x, place) for x in slots]
            first = mul(place, spacing)
            length = minimum(spacing, sub(whole, first))
            return [sub(place, 1), *self.over(level - 1, values, begin, length, sums)]

        carried = [*constants, count, apart, *kept]
        return _downward(step, carried, sub(places, 1), acc, self.op.linear.name)

    def _recomputing(self, constants: Values, start: Values, count: Traced, acc: Values) -> Values:
        """As `over`, each state computed from `start`."""
        total = len(constants)

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            values, begin = split(cs, total)
            (number,), sums = split(ks, 1)
            state = self._advance(values, begin, number)
            return [sub(number, 1), *self._pull(values, state, sums)]

        name = self.op.linear.name
        return _downward(step, [*constants, *start], sub(count, 1), acc, name)

    def _pull(self, constants: Values, state: Values, acc: Values) -> Values:
        """`acc` after one step in reverse."""
        residuals = inline(self.op.forward, [*constants, *state])[self.op.carries :]
        sums, cts = split(acc, len(self.fixed))
        found = spread(inline(self.back.graph, [*residuals, *cts]), self.back.has_cotangent)
        parts, nexts = split(found, len(self.fixed))
        totals = [s if p is None else add(s, p) for s, p in zip(sums, parts, strict=True)]
        return [*totals, *(or_zeros(x, v.type) for x, v in zip(nexts, self.moving, strict=True))]

    def _next(self, constants: Values, state: Values) -> Values:
        types = [type_of(x) for x in state]
        found = inline(self.op.forward, [*constants, *state])[: self.op.carries]
        return list(map(retyped, found, types))

    def _advance(self, constants: Values, start: Values, count: Traced) -> Values:
        """The state `count` steps after `start`."""
        found = while_values(
            lambda cs, ks: [lt(ks[0], cs[0])],
            lambda cs, ks: [add(ks[0], 1), *self._next(cs, ks[1:])],
            [count],
            constants,
            [_number(0), *start],
            self.op.forward.name,
        )
        return found[1:]

    def _keep(self, constants: Values, start: Values, count: Traced, apart: Traced) -> Values:
        """Every `apart`-th state of `count` steps, stacked."""
        slots = [full_of(_stacked(type_of(x), self.kept), 0) for x in start]
        total, states = len(constants), len(start)

        def step(cs: list[Traced], ks: list[Traced]) -> Values:
            values, (spacing,) = split(cs, total)
            (i,), state, rows = split(ks, 1, states)
            here = eq(rem(i, spacing), 0)
            place = select(here, div(i, spacing), _number(self.kept))  # or nowhere
            stored = [_with_row(x, place, y) for x, y in zip(rows, state, strict=True)]
            return [add(i, 1), *self._next(values, state), *stored]

        found = while_values(
            lambda cs, ks: [lt(ks[0], cs[0])],
            step,
            [count],
            [*constants, apart],
            [_number(0), *start, *slots],
            self.op.forward.name,
        )
        return found[1 + states :]


def _downward(
    step: Callable[[list[Traced], list[Traced]], Values],
    constants: Values,
    first: Traced,
    acc: Values,
    name: str,
) -> Values:
    """`acc` after `step` for all numbers from `first` down to 0."""
    found = while_values(lambda _, ks: [ge(ks[0], 0)], step, [], constants, [first, *acc], name)
    return found[1:]


def _number(n: int) -> Traced:
    return literal(n, _COUNT)


def _stacked(type_: ArrayType, size: int) -> ArrayType:
    return type_.with_shape((size, *type_.shape))


def _without(type_: ArrayType, axis: int) -> ArrayType:
    return type_.with_shape((*type_.shape[:axis], *type_.shape[axis + 1 :]))


def _with_row(x: Traced, place: Traced, row: Traced) -> Traced:
    """`x` with one slice along the first axis replaced; as it is where `place` is outside."""
    shape = type_of(row).shape
    numbers = ScatterDimensionNumbers(tuple(range(len(shape))), (0,), (0,))
    index = reshape(convert(place, INT32), (1,))
    return bind1(Scatter("set", numbers, "drop", True), x, index, row)


def while_tangents(
    op: Any, primals: Values, tangents: Sequence[Traced | None], transform: Transform
) -> tuple[Values, Sequence[Traced | None]]:
    """The outputs of the loop `op`, and their tangents by an op that can be transposed."""
    asked, constants, carries = op.groups(primals)
    _, fixed, moving = op.groups(tangents)
    fixed_flags = [t is not None for t in fixed]
    body = without_effects(op.body)

    def attempt(flags: list[bool]) -> tuple[Any, Sequence[bool]]:
        found = transform(body, (*fixed_flags, *flags))
        return found, found.has_tangent

    flags, linear = fixpoint([t is not None for t in moving], attempt)
    silent = replace(op, condition=without_effects(op.condition), body=body)
    count = _count_steps(silent, asked, constants, carries)
    outputs = bind(op, *primals)
    types = [v.type for v in body.inputs[op.body_constants :]]
    variables = body.variables()

    def forward(*values: Traced) -> Values:
        known = call_known(body, values)
        nexts = [retyped(known.get(a, a), t) for a, t in zip(body.outputs, types, strict=True)]
        return [*nexts, *inline(linear.known, [known[variables[n]] for n in linear.residuals])]

    def slopes(*values: Traced) -> Values:
        found = spread(inline(linear.graph, values), linear.has_tangent)
        return flags_where(list(map(or_zeros, found, types)), flags)

    tangent_op = WhileTangents(
        without_effects(build(forward, body.input_types, body.name)),
        build(slopes, linear.graph.input_types, linear.graph.name),
        op.body_constants,
        sum(flags),
    )
    starts = flags_where(list(map(or_zeros, moving, types)), flags)
    given = [t for t in fixed if t is not None]
    found = bind(tangent_op, count, *constants, *carries, *given, *starts)
    return outputs, spread(found, flags)


def _count_steps(op: Any, asked: Values, constants: Values, carries: Values) -> Traced:
    """How often the loop `op` runs its body."""
    found = while_values(
        lambda cs, ks: inline(op.condition, [*cs, *ks[1:]]),
        lambda cs, ks: [add(ks[0], 1), *inline(op.body, [*cs, *ks[1:]])],
        asked,
        constants,
        [_number(0), *carries],
        f"{op.body.name}.count",
    )
    return found[0]
