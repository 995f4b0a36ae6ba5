"""Functions with derivative rules of the user's own: calls of them, and what their rules gave.

A rule is a Python function. It has a name in the text of a graph, and runs when a call of the
function is differentiated. Rules of these ops are given the transform that they need.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import ArgumentError, DifferentiationError, ShapeError
from jitml.ir.graph import Graph
from jitml.ir.op import Op, Traced, Undefined
from jitml.ir.text import PARAMETER_CLASSES
from jitml.ir.types import ArrayType
from jitml.ops.control import at_front, build, evaluate, flags_where, retyped, spread
from jitml.ops.kinds import full_of
from jitml.ops.layout import batch_to_front, move_axis
from jitml.ops.reduction import reduce_sum
from jitml.trace.axes import naming_axis
from jitml.trace.core import Trace, at_level, bind, current_source, trace_graph, type_of
from jitml.trace.inline import inline
from jitml.trace.rules import Push, apply_rule, closed_over_error, is_moving, lowered_argument
from jitml_runtime.record import frozen, replace

Transform = Any  # called with a graph; that of `batch` also tells the name of its axis
Values = Sequence[Traced]
# (captured values, inputs, cotangents of outputs) -> cotangents of the undefined inputs.
Pull = Callable[
    [Values, Sequence[Traced | Undefined], Sequence[Traced | None]], Sequence[Traced | None]
]
_NUMBERS = itertools.count()


class HostObject:
    """What ops hold of Python: known by identity, in text by a name and a number."""

    __slots__ = ("__weakref__", "name", "number")
    _fields: ClassVar[tuple[str, ...]] = ("name", "number")
    known: ClassVar[WeakValueDictionary[int, HostObject]] = WeakValueDictionary()

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = next(_NUMBERS)
        HostObject.known[self.number] = self

    def __init_subclass__(cls) -> None:
        PARAMETER_CLASSES[cls.__name__] = cls.named

    def __iter__(self) -> Any:
        return iter((self.name, self.number))

    @classmethod
    def named(cls, name: str, number: int) -> HostObject:
        """The object that a text speaks of."""
        found = HostObject.known.get(number)
        if not isinstance(found, cls) or found.name != name:
            kind = cls.__name__.lower()
            raise ArgumentError(f"parse: there is no {kind} {name!r} of number {number}")
        return found


class Rule(HostObject):
    """A user's derivative rule; `pull` transposes the function, where it is linear and the user
    says how.
    """

    __slots__ = ("pull", "push")

    def __init__(self, name: str, push: Push, pull: Pull | None = None) -> None:
        super().__init__(name)
        self.push = push
        self.pull = pull


@frozen
class Call(Op):
    """A call of `body`, with derivatives of its own."""

    takes_transforms = True
    body: Graph

    @property
    def has_effect(self) -> bool:
        return self.body.has_effect

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if tuple(types) != self.body.input_types:
            given, wanted = _listed(types), _listed(self.body.input_types)
            raise ShapeError(f"{self.name}: inputs {given}, the body's {wanted}")
        return self.body.output_types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return tuple(evaluate(self.body, arrays))

    def expand(self, *inputs: Traced) -> Values:
        return inline(self.body, inputs)

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        body, output_axes = transform(self.body, size, axes)
        return bind(replace(self, body=body), *inputs), output_axes


@frozen
class CustomCall(Call):
    """Call `body`, whose derivative `rule` tells.

    The first inputs, `captures` many, are what the function and its rule close over.
    """

    name = "custom_call"
    has_rule = True
    rule: Rule
    captures: int

    def record_in(self, trace: Any, inputs: Values) -> Values:
        count = self.captures
        self._check_fixed([is_moving(trace, x) for x in inputs[:count]])
        return record_call(trace, self, self.rule.push, inputs[:count], inputs[count:])

    def _check_fixed(self, moving: Sequence[bool]) -> None:
        """Raise if a derivative moves something that the body closes over."""
        if not any(moving):
            return
        used = {a for eqn in self.body.eqns for a in eqn.inputs} | set(self.body.outputs)
        if any(var in used for var, is_it in zip(self.body.inputs, moving, strict=False) if is_it):
            raise closed_over_error(f"in {self.rule.name}")

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        count = self.captures
        self._check_fixed([t is not None for t in tangents[:count]])
        fixed = [
            x if t is None else None for x, t in zip(primals[:count], tangents[:count], strict=True)
        ]
        outputs, slopes = self.rule.push(fixed, primals[count:], tangents[count:])
        types = self.body.output_types
        return [retyped(x, t) for x, t in zip(outputs, types, strict=True)], slopes

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        if self.rule.pull is None:
            return transpose_graph(self.body, cotangents, inputs, transform)
        types = self.body.output_types
        seeds = [
            full_of(t, 0) if ct is None and is_inexact(t.dtype) else ct
            for ct, t in zip(cotangents, types, strict=True)
        ]
        captured, rest = inputs[: self.captures], inputs[self.captures :]
        return [*[None] * self.captures, *self.rule.pull(captured, rest, seeds)]

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        found = transform(self.body, size, axes)
        types = self.body.output_types

        def stacked(*values: Any) -> list[Any]:
            outputs = inline(found.graph, values)
            return _at_front(size, outputs, found.axes, types)

        body = build(stacked, [type_of(x) for x in inputs], found.graph.name)
        batched = _BatchedRule(self, size, tuple(axes), transform)
        rule = Rule(self.rule.name, batched, batched.pull if self.rule.pull else None)
        return bind(CustomCall(body, rule, self.captures), *inputs), [0] * len(types)


class _BatchedRule:
    """The rule of a call, over stacked inputs: all results are stacked along their first axis."""

    def __init__(
        self, call: CustomCall, size: int, axes: tuple[int | None, ...], transform: Transform
    ) -> None:
        self.call = call
        self.size = size
        self.axes = axes
        self.transform = transform

    def __call__(
        self, captured: Values, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        inputs = self.call.body.input_types
        count = len(captured)
        if any(x is None for x in captured):
            raise closed_over_error(f"in {self.call.rule.name}")
        has_tangent: list[bool] = []

        def example(*values: Any) -> list[Any]:
            given = iter(values[len(inputs) :])
            slopes = [None if t is None else next(given) for t in tangents]
            outputs, found = self.call.rule.push(
                values[:count], values[count : len(inputs)], slopes
            )
            has_tangent.extend(t is not None for t in found)
            return [*outputs, *(t for t in found if t is not None)]

        moving = [t is not None for t in tangents]
        types = [*inputs, *flags_where(inputs[count:], moving)]
        with naming_axis(self.transform.axis_name, self.size):
            traced = trace_graph(example, types, self.call.rule.name)
        axes = [*self.axes, *flags_where(self.axes[count:], moving), *[None] * len(traced.captures)]
        batched = self.transform(traced.graph, self.size, axes)
        values = [*captured, *primals, *(t for t in tangents if t is not None), *traced.captures]
        results = inline(batched.graph, values)
        stacked = _at_front(self.size, results, batched.axes, traced.graph.output_types)
        outputs, rest = stacked[: len(has_tangent)], iter(stacked[len(has_tangent) :])
        return outputs, [next(rest) if has else None for has in has_tangent]

    def pull(
        self,
        captured: Values,
        inputs: Sequence[Traced | Undefined],
        cotangents: Sequence[Traced | None],
    ) -> Sequence[Traced | None]:
        """The transpose, over stacked inputs and cotangents."""
        pull, types = self.call.rule.pull, self.call.body.input_types
        assert pull is not None
        count = len(captured)
        known = [n for n, x in enumerate(inputs) if not isinstance(x, Undefined)]
        given = [n for n, ct in enumerate(cotangents) if ct is not None]
        has: list[bool] = []

        def example(*values: Any) -> list[Any]:
            row: list[Any] = [Undefined(t) for t in types[count:]]
            for n, x in zip(known, values[count:], strict=False):
                row[n] = x
            cts = dict(zip(given, values[count + len(known) :], strict=True))
            found = pull(values[:count], row, [cts.get(n) for n in range(len(cotangents))])
            has.extend(ct is not None for ct in found)
            return [ct for ct in found if ct is not None]

        outputs = self.call.body.output_types
        own = [*types[:count], *(types[count + n] for n in known), *(outputs[n] for n in given)]
        with naming_axis(self.transform.axis_name, self.size):
            traced = trace_graph(example, own, self.call.rule.name)
        axes = [*self.axes[:count], *(self.axes[count + n] for n in known), *[0] * len(given)]
        batched = self.transform(traced.graph, self.size, [*axes, *[None] * len(traced.captures)])
        values = [*captured, *(inputs[n] for n in known), *(cotangents[n] for n in given)]
        found = inline(batched.graph, [*values, *traced.captures])
        stacked = iter(_at_front(self.size, found, batched.axes, traced.graph.output_types))
        return [
            self._like(n, next(stacked)) if is_there else None
            for n, is_there in zip(range(count, len(types)), has, strict=True)
        ]

    def _like(self, number: int, x: Traced) -> Traced:
        """A stacked cotangent, stacked or summed as the input that it belongs to."""
        axis = self.axes[number]
        return reduce_sum(x, (0,)) if axis is None else move_axis(x, 0, axis)


def record_call(trace: Trace, op: Op, push: Push, captured: Values, inputs: Values) -> Values:
    """Record `op` of all these inputs in a trace that records for a derivative; its outputs."""
    if any(is_moving(trace, x) for x in inputs):
        return record_derivative(trace, push, captured, inputs)
    values = [lowered_argument(trace, x) for x in (*captured, *inputs)]
    with at_level(trace.around):
        outputs = bind(op, *values)
    return [trace.tracer(x) for x in outputs]


def record_derivative(trace: Trace, push: Push, captured: Values, inputs: Values) -> Values:
    """Call a function with a rule in a trace that records for a derivative; its outputs."""
    found = apply_rule(trace, push, captured, inputs)
    moved = [x for x in inputs if is_moving(trace, x)]
    op = CustomTangents(found.linear, len(found.captures), found.has_tangent)
    atoms = tuple(map(trace.lift, [*found.outputs, *found.captures, *moved]))
    types = op.infer(*(a.type for a in atoms))
    return trace.append(op, atoms, types, found.outputs, current_source())


@frozen
class CustomTangents(Op):
    """The outputs of a function with a rule, known already, with the tangents that the rule gave.

    Inputs: the outputs, then those of `linear`, which gives the tangents of the outputs that
    `has_tangent` tells: `captures` many values, then what moves.
    """

    name = "custom_tangents"
    takes_transforms = True
    linear: Graph
    captures: int
    has_tangent: tuple[bool, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types[: len(self.has_tangent)]

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return arrays[: len(self.has_tangent)]

    def expand(self, *inputs: Traced) -> Values:
        return inputs[: len(self.has_tangent)]

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        outputs = bind(self, *primals)
        first = len(self.has_tangent) + self.captures
        captured = primals[len(self.has_tangent) : first]
        moving = [
            full_of(type_of(x), 0) if t is None else t
            for x, t in zip(primals[first:], tangents[first:], strict=True)
        ]
        slopes = inline(self.linear, [*captured, *moving])
        return outputs, spread(slopes, self.has_tangent)

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        count = len(self.has_tangent)
        found = transform(self.linear, size, axes[count:])

        def stacked(*values: Any) -> list[Any]:
            slopes = inline(found.graph, values)
            return _at_front(size, slopes, found.axes, self.linear.output_types)

        linear = build(stacked, found.graph.input_types, found.graph.name)
        outputs = [batch_to_front(size, x, a) for x, a in zip(inputs, axes, strict=True)][:count]
        op = CustomTangents(linear, self.captures, self.has_tangent)
        return bind(op, *outputs, *inputs[count:]), [0] * count


@frozen
class CustomPullback(Op):
    """Tangents of outputs whose transpose is `backward`: linear, and known backwards only.

    Inputs: `residuals` many values, then tangents. `backward` takes the residuals, then cotangents
    of the outputs; it gives those of the tangents that `has_cotangent` tells.
    """

    name = "custom_pullback"
    takes_transforms = True
    backward: Graph
    residuals: int
    has_cotangent: tuple[bool, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return self.backward.input_types[self.residuals :]

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        raise self._forward_error()

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        raise self._forward_error()

    def expand(self, *inputs: Traced) -> Values:
        raise self._forward_error()

    def _forward_error(self) -> DifferentiationError:
        return DifferentiationError(
            "forward-mode differentiation (jvp, jacfwd) of a custom_vjp function, whose rule tells "
            "the derivative backwards only",
            hint="use grad, vjp or jacrev, or define the function with custom_jvp",
            source=current_source(),
        )

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        types = self.backward.input_types[self.residuals :]
        seeds = [
            full_of(t, 0) if ct is None else ct for ct, t in zip(cotangents, types, strict=True)
        ]
        found = inline(self.backward, [*inputs[: self.residuals], *seeds])
        return [*[None] * self.residuals, *spread(found, self.has_cotangent)]

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        count = self.residuals
        types = self.backward.input_types[count:]
        found = transform(self.backward, size, [*axes[:count], *[0] * len(types)])

        def stacked(*values: Any) -> list[Any]:
            outputs = inline(found.graph, values)
            return _at_front(size, outputs, found.axes, self.backward.output_types)

        backward = build(stacked, found.graph.input_types, found.graph.name)
        tangents = [batch_to_front(size, x, a) for x, a in zip(inputs, axes, strict=True)][count:]
        op = CustomPullback(backward, count, self.has_cotangent)
        return bind(op, *inputs[:count], *tangents), [0] * len(types)


# ---- graphs and values ---------------------------------------------------------------------------


def transpose_graph(
    graph: Graph,
    cotangents: Sequence[Traced | None],
    inputs: Sequence[Traced | Undefined],
    transform: Transform,
    call: Callable[[Graph, Values], Values] = inline,
) -> list[Traced | None]:
    """Cotangents of the undefined ones among the inputs of a call of `graph`; `call` runs its
    transpose.
    """
    linear = [isinstance(x, Undefined) for x in inputs]
    given = [ct is not None for ct in cotangents]
    back = transform(graph, linear, given)
    fixed = [x for x in inputs if not isinstance(x, Undefined)]
    found = iter(call(back.graph, [*fixed, *(ct for ct in cotangents if ct is not None)]))
    has = iter(back.has_cotangent)
    return [next(found) if is_linear and next(has) else None for is_linear in linear]


def push_graph(
    graph: Graph, primals: Values, tangents: Sequence[Traced | None], transform: Transform
) -> tuple[Values, Sequence[Traced | None]]:
    """The outputs of a call of `graph`, in place, and their tangents."""
    pushed = transform(graph, [t is not None for t in tangents])
    found = inline(pushed.graph, [*primals, *(t for t in tangents if t is not None)])
    count = len(graph.outputs)
    return found[:count], spread(found[count:], pushed.has_tangent)


def _at_front(
    size: int, outputs: Values, axes: Sequence[int | None], types: Sequence[ArrayType]
) -> list[Traced]:
    """Outputs stacked along their first axis, with the weakness of `types`."""
    return [at_front(size, *row) for row in zip(outputs, axes, types, strict=True)]


def _listed(types: Sequence[ArrayType]) -> str:
    return ", ".join(map(str, types)) or "none"
