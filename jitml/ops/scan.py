"""`Scan`: a body run a known number of times, over slices of arrays, with values carried along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.dependencies import split_eqns
from jitml.ir.errors import ShapeError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.accumulate import Sums
from jitml.ops.control import (
    Control,
    Transform,
    at_front,
    build,
    call_known,
    check_inputs,
    check_same,
    evaluate,
    fixpoint,
    flags_where,
    hoist,
    names_of,
    needed_inputs,
    or_zeros,
    reordered,
    restricted,
    retyped,
    split,
    spread,
    stacked_type,
)
from jitml.ops.kinds import Traced
from jitml.ops.layout import move_axis
from jitml.trace.core import bind, type_of
from jitml.trace.inline import inline
from jitml_runtime.record import frozen, replace

Values = Sequence[Traced]
MAP = "map"  # the label of a scan whose steps are the elements of a map
_BY_ELEMENT = ".elements"
Step = Callable[[list[Traced], list[Traced], list[Traced]], tuple[Values, Values]]


@frozen
class Scan(Control):
    """Run `body` `length` times.

    Inputs: `constants` values that all steps share, `carries` initial values, and arrays of which
    each step gets a slice along the first axis. The body takes these three (slices in their order
    or, with `reverse`, from the last to the first) and returns the next carries, and slices of the
    stacked outputs. Outputs: the last carries, the stacked outputs.
    """

    name = "scan"
    body: Graph
    length: int
    constants: int
    carries: int
    reverse: bool = False

    @property
    def step_label(self) -> str:
        return MAP if self.body.name.endswith(_BY_ELEMENT) else self.name

    def groups(self, items: Sequence[Any]) -> list[list[Any]]:
        """What belongs to constants, carries and slices."""
        return split(items, self.constants, self.carries)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        constants, carries, arrays = self.groups(types)
        for array in arrays:
            if not array.ndim or array.shape[0] != self.length:
                raise ShapeError(f"scan: an array of type {array} has no {self.length} slices")
        slices = [t.with_shape(t.shape[1:]) for t in arrays]
        check_inputs(self.name, self.body, [*constants, *carries, *slices])
        outputs = self.body.output_types
        check_same("scan: carries", carries, "the body's next carries", outputs[: self.carries])
        stacked = [stacked_type(t, self.length) for t in outputs[self.carries :]]
        return (*outputs[: self.carries], *stacked)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        constants, carries, moving = self.groups(arrays)
        steps = range(self.length)
        rows: list[Any] = [None] * self.length
        for step in reversed(steps) if self.reverse else steps:
            slices = [np.asarray(x)[step] for x in moving]
            found = evaluate(self.body, [*constants, *carries, *slices])
            carries, rows[step] = split(found, self.carries)
        outputs = []
        for k, type_ in enumerate(self.body.output_types[self.carries :]):
            stacked = stacked_type(type_, self.length)
            outputs.append(np.array([r[k] for r in rows], stacked.dtype).reshape(stacked.shape))
        return (*carries, *outputs)

    # ---- derivatives -----------------------------------------------------------------------------

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        flags, pushed = self._fixpoint([t is not None for t in tangents], transform)
        constants, carries, arrays = self.groups(primals)
        starts = self._starts(primals, tangents, flags)
        moving = self.groups(flags)

        def step(*given: list[Traced]) -> tuple[Values, Values]:
            now = [split(row, n) for row, n in zip(given, self._counts(), strict=True)]
            values = [x for row, _ in now for x in row] + [t for _, row in now for t in row]
            outputs, slopes = split(inline(pushed.graph, values), len(pushed.has_tangent))
            next_carries, ys = split(outputs, self.carries)
            next_slopes, y_slopes = self._next_slopes(slopes, pushed.has_tangent, moving[1])
            return [*next_carries, *next_slopes], [*ys, *y_slopes]

        rows = zip((constants, carries, arrays), starts, strict=True)
        both = [[*primal, *moved] for primal, moved in rows]
        name = pushed.graph.name
        last, ys = scan_values(step, both[0], both[1], both[2], self.length, self.reverse, name)
        outputs = [*last[: self.carries], *ys[: len(self.body.outputs) - self.carries]]
        found = [*last[self.carries :], *ys[len(self.body.outputs) - self.carries :]]
        has = [*moving[1], *pushed.has_tangent[self.carries :]]
        return outputs, spread(found, has)

    def _counts(self) -> tuple[int, int, int]:
        rest = len(self.body.inputs) - self.constants - self.carries
        return self.constants, self.carries, rest

    def _fixpoint(self, flags: list[bool], transform: Transform) -> tuple[list[bool], Any]:
        """Which inputs have a tangent, once carries that get one at some step are counted in; and
        the body so transformed.
        """

        def attempt(flags: tuple[bool, ...]) -> tuple[Any, Sequence[bool]]:
            pushed = transform(self.body, flags)
            return pushed, pushed.has_tangent[: self.carries]

        return self._grown(flags, attempt)

    def _grown(
        self,
        flags: Sequence[bool],
        attempt: Callable[[tuple[bool, ...]], tuple[Any, Sequence[bool]]],
    ) -> tuple[list[bool], Any]:
        """`fixpoint` for flags of all inputs."""
        constants, carries, slices = self.groups(flags)
        carries, result = fixpoint(carries, lambda moving: attempt((*constants, *moving, *slices)))
        return [*constants, *carries, *slices], result

    def _starts(
        self, primals: Values, tangents: Sequence[Traced | None], flags: Sequence[bool]
    ) -> list[list[Traced]]:
        """The tangents that a loop of tangents starts from, by group; zeros where none is given."""
        types = [
            v.type.with_shape(type_of(x).shape)
            for v, x in zip(self.body.inputs, primals, strict=True)
        ]
        filled = [or_zeros(t, type_) for t, type_ in zip(tangents, types, strict=True)]
        rows = zip(self.groups(filled), self.groups(flags), strict=True)
        return [flags_where(row, kept) for row, kept in rows]

    def _next_slopes(
        self, slopes: Values, has_tangent: Sequence[bool], moving: Sequence[bool]
    ) -> tuple[list[Traced], list[Traced]]:
        """The tangents of the next carries, zeros among them, and those of stacked outputs."""
        found = spread(slopes, has_tangent)
        carried = self.body.inputs[self.constants : self.constants + self.carries]
        next_slopes = [
            or_zeros(t, v.type) for t, v, kept in zip(found, carried, moving, strict=False) if kept
        ]
        return next_slopes, [t for t in found[self.carries :] if t is not None]

    def linearize(
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        """As `jvp`, by two loops: one over values, which keeps what the other, over tangents alone,
        needs. What is the same at every step, and slices that are at hand, are not kept.
        """
        flags, linear = self._fixpoint([t is not None for t in tangents], transform)
        constants, _, arrays = self.groups(primals)
        forward = self._forward(linear)
        first = len(self.body.outputs)
        sources = self._sources(forward, first, constants, arrays)
        kept = [n for n in range(first, len(forward.outputs)) if n not in sources]
        forward = restricted(forward, range(len(forward.inputs)), [*range(first), *kept])
        outputs = bind(replace(self, body=forward), *primals)
        sources.update(zip(kept, [(True, x) for x in outputs[first:]], strict=True))
        residuals = [sources[n] for n in sorted(sources)]
        moving = self.groups(flags)

        def step(cs: list[Traced], ks: list[Traced], xs: list[Traced]) -> tuple[Values, Values]:
            fixed, moved = iter(cs), iter(xs)
            given = [next(moved) if is_stacked else next(fixed) for is_stacked, _ in residuals]
            slopes = inline(linear.graph, [*given, *fixed, *ks, *moved])
            return self._next_slopes(slopes, linear.has_tangent, moving[1])

        starts = self._starts(primals, tangents, flags)
        last, ys = scan_values(
            step,
            [*(x for is_stacked, x in residuals if not is_stacked), *starts[0]],
            starts[1],
            [*(x for is_stacked, x in residuals if is_stacked), *starts[2]],
            self.length,
            self.reverse,
            linear.graph.name,
        )
        has = [*moving[1], *linear.has_tangent[self.carries :]]
        return outputs[:first], spread([*last, *ys], has)

    def _forward(self, linear: Any) -> Graph:
        """The body that also returns the residuals of its linear part."""
        variables = self.body.variables()

        def step(*values: Traced) -> list[Traced]:
            known = call_known(self.body, values)
            primal = [known[variables[n]] for n in linear.residuals]
            outputs = [known.get(a, a) for a in self.body.outputs]
            return [*outputs, *inline(linear.known, primal)]

        inputs = self.body.inputs
        return build(step, [v.type for v in inputs], self.body.name, names_of(inputs))

    def _sources(
        self, forward: Graph, first: int, constants: Values, arrays: Values
    ) -> dict[int, tuple[bool, Traced]]:
        """Outputs of the forward body from `first` on that need not be stacked: whether they come
        from slices of an array that is at hand, and from where.
        """
        numbers = range(first, len(forward.outputs))
        found: dict[int, tuple[bool, Traced]] = {
            n: (False, x) for n, x in hoist(forward, constants, numbers).items()
        }
        slices = dict(zip(forward.inputs[self.constants + self.carries :], arrays, strict=True))
        for n in numbers:
            atom = forward.outputs[n]
            if not isinstance(atom, Literal) and atom in slices:
                found[n] = (True, slices[atom])
        return found

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        linear = self._linear([isinstance(x, Undefined) for x in inputs])
        known, _, arrays = self.groups(inputs)
        if not all(self.groups(linear)[1]):
            return self._transpose_apart(linear, cotangents, inputs, transform)
        given, back = self._backward_fixpoint(linear, cotangents, transform)
        has = self.groups(list(_spread_flags(back.has_cotangent, linear)))
        fixed = [x for x in known if not isinstance(x, Undefined)]
        carry_types = self.body.output_types[: self.carries]
        starts = [
            or_zeros(ct, t) for ct, t, on in zip(cotangents, carry_types, given, strict=False) if on
        ]
        sums = [or_zeros(None, x.type) for x in flags_where(known, has[0])]
        ys = flags_where(cotangents[self.carries :], given[self.carries :])
        moved = [x for x in arrays if not isinstance(x, Undefined)]

        def step(cs: list[Traced], ks: list[Traced], xs: list[Traced]) -> tuple[Values, Values]:
            totals, cts = split(ks, len(sums))
            slices, y_cts = split(xs, len(moved))
            found = Sums(back.graph, [*cs, *slices, *cts, *y_cts])
            parts, *moved_cts = split(back.graph.outputs, len(sums), sum(has[1]))
            carry_cts, x_cts = (list(map(found.value, row)) for row in moved_cts)
            placed = spread(carry_cts, has[1])
            nexts = [
                or_zeros(ct, t) for ct, t, on in zip(placed, carry_types, given, strict=False) if on
            ]
            return [*map(found.added, totals, parts), *nexts], x_cts

        last, stacked = scan_values(
            step, fixed, [*sums, *starts], [*moved, *ys], self.length, not self.reverse,
            back.graph.name,
        )  # fmt: skip
        totals, carry_cts = split(last, len(sums))
        found = [
            *spread(totals, has[0]),
            *spread(carry_cts, given[: self.carries]),
            *spread(stacked, has[2]),
        ]
        return [
            ct if isinstance(x, Undefined) else None for ct, x in zip(found, inputs, strict=True)
        ]

    def _transpose_apart(
        self,
        linear: Sequence[bool],
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        """As `transpose`, for a loop that also carries what is not linear (a counter): that runs
        forward in a loop of its own first, which keeps what the linear part needs.
        """
        body, flags = self.body, self.groups(linear)
        names = self.groups(body.inputs)
        fixed = [v for v, is_linear in zip(body.inputs, linear, strict=True) if not is_linear]
        early, late = split_eqns(body.eqns, fixed)
        moving = {v for v in body.inputs if v not in fixed} | {v for e in late for v in e.outputs}
        # Of the outputs: which the linear loop returns.
        kept = [*flags[1], *(a in moving for a in body.outputs[self.carries :])]
        results = flags_where(body.outputs, kept)
        at_hand = {v for row in (names[0], names[2]) for v in row}
        read = dict.fromkeys([*(a for e in late for a in e.inputs), *results])
        residuals = [a for a in read if isinstance(a, Var) and a not in moving and a not in at_hand]
        carried = [not flag for flag in flags[1]]
        forward = self._known_part(linear, early, residuals)
        primals = [x for x, is_linear in zip(inputs, linear, strict=True) if not is_linear]
        stacked = bind(forward, *primals)[forward.carries :]
        graph = Graph(
            body.name,
            (*names[0], *flags_where(names[1], flags[1]), *names[2], *residuals),
            tuple(late),
            tuple(results),
        )
        op = replace(self, body=graph, carries=sum(flags[1]))
        constants, carries, arrays = self.groups(inputs)
        given = [*constants, *flags_where(carries, flags[1]), *arrays, *stacked]
        found = op.transpose(flags_where(cotangents, kept), given, transform)
        parts = split(found[: len(given) - len(stacked)], self.constants, op.carries)
        return [*parts[0], *spread(parts[1], [not flag for flag in carried]), *parts[2]]

    def _known_part(self, linear: Sequence[bool], early: Sequence[Eqn], results: list[Var]) -> Scan:
        """The loop over what is not linear, which stacks `results`."""
        keep = self.groups([not flag for flag in linear])
        names = self.groups(self.body.inputs)
        inputs = [v for row, on in zip(names, keep, strict=True) for v in flags_where(row, on)]
        carries = flags_where(self.body.outputs[: self.carries], keep[1])
        outputs = (*carries, *results)
        graph = Graph(f"{self.body.name}.known", tuple(inputs), tuple(early), outputs)
        return replace(self, body=graph, constants=sum(keep[0]), carries=len(carries))

    def _linear(self, linear: list[bool]) -> list[bool]:
        """Which inputs of the body are linear, once carries that become so at some step are counted
        in (they start from zeros).
        """

        def attempt(flags: tuple[bool, ...]) -> tuple[None, Sequence[bool]]:
            inputs = self.body.inputs
            _, moved = split_eqns(self.body.eqns, flags_where(inputs, [not flag for flag in flags]))
            moving = {*flags_where(inputs, flags), *(v for eqn in moved for v in eqn.outputs)}
            return None, [a in moving for a in self.body.outputs[: self.carries]]

        return self._grown(linear, attempt)[0]

    def _backward_fixpoint(
        self, linear: Sequence[bool], cotangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[list[bool], Any]:
        """Which outputs of the body have a cotangent at some step, and its transpose for these."""
        carries, rows = split([ct is not None for ct in cotangents], self.carries)

        def attempt(flags: list[bool]) -> tuple[Any, Sequence[bool]]:
            back = transform(self.body, tuple(linear), (*flags, *rows))
            return back, self.groups(list(_spread_flags(back.has_cotangent, linear)))[1]

        carries, back = fixpoint(carries, attempt)
        return [*carries, *rows], back

    # ---- batching --------------------------------------------------------------------------------

    def batch(  # type: ignore[override]
        self,
        size: int,
        inputs: Values,
        axes: Sequence[int | None],
        transform: Transform,
    ) -> tuple[Values, Sequence[int | None]]:

        def attempt(flags: tuple[bool, ...]) -> tuple[Any, Sequence[bool]]:
            found = transform(self.body, size, tuple([0 if flag else None for flag in flags]))
            return found, [a is not None for a in found.axes[: self.carries]]

        flags, batched = self._grown([a is not None for a in axes], attempt)
        is_stacked = [
            *self.groups(flags)[1],
            *(a is not None for a in batched.axes[self.carries :]),
        ]
        types = self.body.output_types

        def step(*given: list[Traced]) -> tuple[Values, Values]:
            found = inline(batched.graph, [x for row in given for x in row])
            rows = zip(found, batched.axes, types, is_stacked, strict=True)
            outputs = [at_front(size, x, a, t) if on else x for x, a, t, on in rows]
            return outputs[: self.carries], outputs[self.carries :]

        placed = [
            at_front(size, x, axis, v.type.with_shape(type_of(x).shape)) if on else x
            for x, axis, v, on in zip(inputs, axes, self.body.inputs, flags, strict=True)
        ]
        constants, carries, arrays = self.groups(placed)
        # Slices are taken along the first axis, so the batch comes second there.
        moved = [
            move_axis(x, 0, 1) if on else x
            for x, on in zip(arrays, self.groups(flags)[2], strict=True)
        ]
        last, ys = scan_values(
            step, constants, carries, moved, self.length, self.reverse, batched.graph.name
        )
        where = [0] * self.carries + [1] * len(ys)
        return [*last, *ys], [
            axis if on else None for axis, on in zip(where, is_stacked, strict=True)
        ]

    # ---- dead code -------------------------------------------------------------------------------

    def pruned(self, used: Sequence[bool]) -> tuple[Op, Sequence[int], Sequence[int]] | None:
        outputs = {n for n, flag in enumerate(used) if flag}
        while True:
            inputs = needed_inputs(self.body, outputs)
            carried = {n - self.constants for n in inputs if self._is_carry(n)}
            if carried <= outputs:
                break
            outputs |= carried
        # A carry that is asked for but not read by the body still has its initial value.
        inputs |= {self.constants + n for n in outputs if n < self.carries}
        if len(inputs) == len(self.body.inputs) and len(outputs) == len(used):
            return None
        body = restricted(self.body, sorted(inputs), sorted(outputs))
        op = Scan(
            body,
            self.length,
            sum(n < self.constants for n in inputs),
            sum(n < self.carries for n in outputs),
            self.reverse,
        )
        return op, sorted(inputs), sorted(outputs)

    def settled(self) -> tuple[Op, Sequence[int], dict[int, int]] | None:
        first, count = self.constants, len(self.body.inputs)
        still = [
            k for k in range(self.carries) if self.body.outputs[k] is self.body.inputs[first + k]
        ]
        if not still:
            return None
        moving = [k for k in range(self.carries) if k not in still]
        order = [
            *range(first),
            *(first + k for k in still),
            *(first + k for k in moving),
            *range(first + self.carries, count),
        ]
        kept = [*moving, *range(self.carries, len(self.body.outputs))]
        body = reordered(self.body, order, kept)
        op = Scan(body, self.length, first + len(still), len(moving), self.reverse)
        return op, order, {k: first + k for k in still}

    def _is_carry(self, number: int) -> bool:
        return self.constants <= number < self.constants + self.carries


def _spread_flags(flags: Sequence[bool], where: Sequence[bool]) -> list[bool]:
    return [bool(flag) for flag in spread(flags, where)]


def scan_values(
    step: Step,
    constants: Values,
    carries: Values,
    arrays: Values,
    length: int,
    reverse: bool,
    name: str,
) -> tuple[list[Traced], list[Traced]]:
    """The last carries and the stacked outputs of a loop whose `step` takes constants, carries and
    slices, and returns the next carries and what is stacked.
    """
    counts = len(constants), len(carries)
    carry_types = [type_of(x) for x in carries]

    def body(*values: Traced) -> list[Traced]:
        nexts, ys = step(*split(values, *counts))
        return [*map(retyped, nexts, carry_types), *ys]

    slices = [type_of(x).with_shape(type_of(x).shape[1:]) for x in arrays]
    graph = build(body, [*map(type_of, constants), *carry_types, *slices], name)
    found = bind(Scan(graph, length, *counts, reverse), *constants, *carries, *arrays)
    return found[: len(carries)], found[len(carries) :]


def batch_by_element(
    op: Op, size: int, inputs: Values, axes: Sequence[int | None], name: str
) -> tuple[Values, Sequence[int | None]]:
    """The batch rule of an op that runs for one element after the other."""
    flags = [a is not None for a in axes]

    def step(cs: list[Traced], ks: list[Traced], xs: list[Traced]) -> tuple[Values, Values]:
        shared, own = iter(cs), iter(xs)
        return [], bind(op, *[next(own) if flag else next(shared) for flag in flags])

    shared = flags_where(inputs, [not flag for flag in flags])
    stacked = [
        at_front(size, x, a, type_of(x)) for x, a in zip(inputs, axes, strict=True) if a is not None
    ]
    _, ys = scan_values(step, shared, [], stacked, size, False, f"{name}{_BY_ELEMENT}")
    return ys, [0] * len(ys)
