"""Calls whose inner values are computed again for a derivative, instead of being kept.

A policy says which inner values are kept all the same. `Barrier` keeps the second computation apart
from the first: to common subexpression elimination its outputs are not its inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.op import Op, Traced, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.custom import (
    HostObject,
    Transform,
    Values,
    check_body,
    evaluate_graph,
    record_call,
    transpose_graph,
)
from jitml.trace.core import bind
from jitml.trace.inline import inline

# Whether the outputs of an op on inputs of some types are kept.
Saves: TypeAlias = Callable[[Op, Sequence[ArrayType]], bool]
# (graph, which inputs have tangents) -> (derivative, which outputs have tangents, captures).
# The derivative takes primals, tangents, captures.
Forward: TypeAlias = Callable[
    [Graph, tuple[bool, ...]], tuple[Graph, tuple[bool, ...], tuple[Any, ...]]
]


class Policy(HostObject):
    """What a checkpointed call keeps, and how the derivative of its body is made."""

    __slots__ = ("forward", "saves")

    def __init__(self, name: str, saves: Saves, forward: Forward) -> None:
        super().__init__(name)
        self.saves = saves
        self.forward = forward


@dataclass(frozen=True)
class Checkpoint(Op):
    """Call `body`; a derivative keeps its inputs and what `policy` says, and computes the rest
    again. With `barrier`, nothing outside of the body is taken for the same as something inside.
    """

    name = "checkpoint"
    has_rule = True
    takes_transforms = True
    body: Graph
    policy: Policy
    prevent_cse: bool
    barrier: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return check_body(self.name, self.body, types)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return evaluate_graph(self.body, arrays)

    def expand(self, *inputs: Traced) -> Values:
        return inline(self.body, inputs)

    def record_in(self, trace: Any, inputs: Values) -> Values:
        return record_call(trace, self, self._push, (), inputs)

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        return self._push((), primals, tangents)

    def _push(
        self, captured: Values, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        split = _split(self, tuple([t is not None for t in tangents]))
        given = [*primals, *split.captures]
        forward = Checkpoint(split.known, self.policy, self.prevent_cse)
        found = bind(forward, *given)
        count = len(self.body.outputs)
        residuals = [[*found[count:], *given][n] for n in split.residuals]
        op = LinearCheckpoint(split.linear, len(residuals), self.policy, self.prevent_cse)
        slopes = iter(bind(op, *residuals, *(t for t in tangents if t is not None)))
        return found[:count], [next(slopes) if has else None for has in split.has_tangent]

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        return transpose_graph(self.body, cotangents, inputs, transform)

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        body, output_axes = transform(self.body, size, axes)
        return bind(
            Checkpoint(body, self.policy, self.prevent_cse, self.barrier), *inputs
        ), output_axes


@dataclass(frozen=True)
class LinearCheckpoint(Op):
    """The tangents of a checkpointed call: `body` takes `residuals` many values, then tangents.

    Its transpose is a checkpointed call, in which values are computed again.
    """

    name = "linear_checkpoint"
    takes_transforms = True
    body: Graph
    residuals: int
    policy: Policy
    prevent_cse: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return check_body(self.name, self.body, types)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return evaluate_graph(self.body, arrays)

    def expand(self, *inputs: Traced) -> Values:
        return inline(self.body, inputs)

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        pushed = transform(self.body, [t is not None for t in tangents])
        found = inline(pushed.graph, [*primals, *(t for t in tangents if t is not None)])
        count = len(self.body.outputs)
        slopes = iter(found[count:])
        return found[:count], [next(slopes) if has else None for has in pushed.has_tangent]

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        linear = [isinstance(x, Undefined) for x in inputs]
        back = transform(self.body, linear, [ct is not None for ct in cotangents])
        fixed = [x for x in inputs if not isinstance(x, Undefined)]
        op = Checkpoint(back.graph, self.policy, self.prevent_cse, self.prevent_cse)
        found = iter(bind(op, *fixed, *(ct for ct in cotangents if ct is not None)))
        has = iter(back.has_cotangent)
        return [next(found) if is_linear and next(has) else None for is_linear in linear]

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        body, output_axes = transform(self.body, size, axes)
        return bind(replace(self, body=body), *inputs), output_axes


@dataclass(frozen=True)
class Barrier(Op):
    """The inputs, taken for values of which nothing is known."""

    name = "barrier"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return arrays

    def jvp(
        self, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        return bind(self, *primals), tangents

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        return cotangents

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        return bind(self, *inputs), axes


@dataclass(frozen=True)
class CheckpointName(Op):
    """The input, under a name that policies speak of."""

    name = "checkpoint_name"
    label: str

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return arrays

    def expand(self, *inputs: Traced) -> Values:
        return inputs

    def jvp(
        self, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        return bind(self, *primals), tangents

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        return cotangents

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        return bind(self, *inputs), axes


# ---- what is kept --------------------------------------------------------------------------------


class Split(NamedTuple):
    """The derivative of a body in two graphs.

    `known` takes primals and captures; it returns outputs and values to keep. `linear` takes those
    of (kept values, primals, captures) that `residuals` numbers, then tangents.
    """

    known: Graph
    linear: Graph
    residuals: tuple[int, ...]
    has_tangent: tuple[bool, ...]
    captures: tuple[Any, ...]


def _split(op: Checkpoint, has_tangent: tuple[bool, ...]) -> Split:
    """The derivative of a call. Bodies with rules of users in them are looked at each time."""
    has_rules = any(eqn.op.has_rule for eqn in op.body.eqns)
    split = _split_body if has_rules else _split_known_body
    return split(op.body, op.policy, has_tangent)


def _split_body(body: Graph, policy: Policy, has_tangent: tuple[bool, ...]) -> Split:
    graph, has_slope, captures = policy.forward(body, has_tangent)
    count, moving = len(body.inputs), sum(has_tangent)
    primals = (*graph.inputs[:count], *graph.inputs[count + moving :])
    tangents = graph.inputs[count : count + moving]
    early, late = _by_dependency(graph, tangents)
    moved = {*tangents, *(v for eqn in late for v in eqn.outputs)}
    outputs, slopes = graph.outputs[: len(body.outputs)], graph.outputs[len(body.outputs) :]
    flags = iter([a in moved for a in slopes])
    slopes = tuple([a for a in slopes if a in moved])
    late = _needed(late, slopes)
    again, kept = _recomputed(early, late, policy)
    results = (*outputs, *kept)
    known = Graph(f"{body.name}.known", primals, tuple(_needed(early, results)), results)
    eqns = (*again, *late)
    used = {a for eqn in eqns for a in eqn.inputs}
    available = [*kept, *primals]
    residuals = tuple([n for n, var in enumerate(available) if var in used])
    inputs = (*(available[n] for n in residuals), *tangents)
    linear = Graph(f"{body.name}.linear", inputs, eqns, slopes)
    has = tuple([has and next(flags) for has in has_slope])
    return Split(known, linear, residuals, has, captures)


_split_known_body = functools.lru_cache(maxsize=256)(_split_body)


def _by_dependency(graph: Graph, tangents: Iterable[Var]) -> tuple[list[Eqn], list[Eqn]]:
    """The equations that primals alone determine, and the others."""
    moved: set[Atom] = set(tangents)
    early, late = [], []
    for eqn in graph.eqns:
        if moved.isdisjoint(eqn.inputs):
            early.append(eqn)
        else:
            late.append(eqn)
            moved.update(eqn.outputs)
    return early, late


def _recomputed(
    early: Sequence[Eqn], late: Sequence[Eqn], policy: Policy
) -> tuple[list[Eqn], list[Var]]:
    """The early equations that are computed again for the late ones, and the values kept."""
    needed = {a for eqn in late for a in eqn.inputs}
    again: list[Eqn] = []
    kept: list[Var] = []
    for eqn in reversed(early):
        if needed.isdisjoint(eqn.outputs):
            continue
        if policy.saves(eqn.op, [a.type for a in eqn.inputs]):
            kept += [v for v in eqn.outputs if v in needed]
        else:
            again.append(eqn)
            needed.update(eqn.inputs)
    return again[::-1], kept


def _needed(eqns: Sequence[Eqn], outputs: Iterable[Atom]) -> list[Eqn]:
    """The equations that `outputs` depend on, in order."""
    needed = {a for a in outputs if not isinstance(a, Literal)}
    found: list[Eqn] = []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.outputs):
            found.append(eqn)
            needed.update(a for a in eqn.inputs if not isinstance(a, Literal))
    return found[::-1]
