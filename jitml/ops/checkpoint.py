"""Calls whose inner values are computed again for a derivative, instead of being kept.

A policy says which inner values are kept all the same. `Barrier` keeps the second computation apart
from the first: to common subexpression elimination its outputs are not its inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from jitml.ir.dependencies import live_eqns, split_eqns
from jitml.ir.graph import Eqn, Graph, Var
from jitml.ir.op import Op, Traced, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.control import spread
from jitml.ops.custom import (
    Call,
    HostObject,
    Transform,
    Values,
    push_graph,
    record_call,
    transpose_graph,
)
from jitml.ops.identity import Identity
from jitml.trace.core import bind
from jitml_runtime.record import frozen

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


@frozen
class Checkpoint(Call):
    """Call `body`; a derivative keeps its inputs and what `policy` says, and computes the rest
    again. With `barrier`, nothing outside of the body is taken for the same as something inside.
    """

    name = "checkpoint"
    has_rule = True
    policy: Policy
    prevent_cse: bool
    barrier: bool = False

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
        slopes = bind(op, *residuals, *(t for t in tangents if t is not None))
        return found[:count], spread(slopes, split.has_tangent)

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        return transpose_graph(self.body, cotangents, inputs, transform)


@frozen
class LinearCheckpoint(Call):
    """The tangents of a checkpointed call: `body` takes `residuals` many values, then tangents.

    Its transpose is a checkpointed call, in which values are computed again.
    """

    name = "linear_checkpoint"
    residuals: int
    policy: Policy
    prevent_cse: bool

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        return push_graph(self.body, primals, tangents, transform)

    def transpose(  # type: ignore[override]
        self,
        cotangents: Sequence[Traced | None],
        inputs: Sequence[Traced | Undefined],
        transform: Transform,
    ) -> Sequence[Traced | None]:
        def again(graph: Graph, values: Values) -> Values:
            return bind(Checkpoint(graph, self.policy, self.prevent_cse, self.prevent_cse), *values)

        return transpose_graph(self.body, cotangents, inputs, transform, again)


@frozen
class Barrier(Identity):
    """The inputs, taken for values of which nothing is known."""

    name = "barrier"


@frozen
class CheckpointName(Identity):
    """The input, under a name that policies speak of."""

    name = "checkpoint_name"
    label: str

    def expand(self, *inputs: Traced) -> Values:
        return inputs


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
    early, late = split_eqns(graph.eqns, primals)
    moved = {*tangents, *(v for eqn in late for v in eqn.outputs)}
    outputs, slopes = graph.outputs[: len(body.outputs)], graph.outputs[len(body.outputs) :]
    flags = iter([a in moved for a in slopes])
    slopes = tuple([a for a in slopes if a in moved])
    late = live_eqns(late, slopes)
    again, kept = _recomputed(early, late, policy)
    results = (*outputs, *kept)
    known = Graph(f"{body.name}.known", primals, tuple(live_eqns(early, results)), results)
    eqns = (*again, *late)
    used = {a for eqn in eqns for a in eqn.inputs}
    available = [*kept, *primals]
    residuals = tuple([n for n, var in enumerate(available) if var in used])
    inputs = (*(available[n] for n in residuals), *tangents)
    linear = Graph(f"{body.name}.linear", inputs, eqns, slopes)
    has = tuple([has and next(flags) for has in has_slope])
    return Split(known, linear, residuals, has, captures)


_split_known_body = functools.lru_cache(maxsize=256)(_split_body)


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
        if eqn.op.has_effect or policy.saves(eqn.op, [a.type for a in eqn.inputs]):
            kept += [v for v in eqn.outputs if v in needed]
        else:
            again.append(eqn)
            needed.update(eqn.inputs)
    return again[::-1], kept
