"""Lay out conditionals and loops: their nested graphs as blocks of steps after a step that runs
them.

Comes in: an equation of a control-flow op, whose graphs have been through the passes. Goes out: its
steps in the planner. Carries lie in two buffers that change places after each step; slices are
windows that move over the whole arrays: neither is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitml.codegen.fuse import fuse
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.cond import Cond
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml_runtime import Branch, Buffer, Loop

if TYPE_CHECKING:
    from jitml.codegen.plan import Planner

Targets = Sequence[int | None]  # where a graph's outputs are to be; None: they need not be anywhere


def add_control(planner: Planner, eqn: Eqn) -> None:
    """Add the steps of a control-flow equation."""
    if isinstance(eqn.op, Cond):
        _add_cond(planner, eqn, eqn.op)
    elif isinstance(eqn.op, Scan):
        _LoopBuilder(planner, eqn).add_scan(eqn.op)
    else:
        assert isinstance(eqn.op, While), eqn.op
        _LoopBuilder(planner, eqn).add_while(eqn.op)


def _add_cond(planner: Planner, eqn: Eqn, op: Cond) -> None:
    index, *operands = [planner.atom_number(a) for a in eqn.inputs]
    outputs = [planner.number(v) for v in eqn.outputs]
    place = planner.open_step(eqn)
    ends = []
    for branch in op.branches:
        _add_block(planner, branch, operands, outputs, eqn)
        ends.append(len(planner.steps))
    planner.close_step(place, Branch(index, tuple(ends), op.name))


def _add_block(
    planner: Planner, graph: Graph, inputs: Sequence[int], targets: Targets, eqn: Eqn
) -> list[int]:
    """The steps of a nested graph whose inputs are in these buffers; where its outputs are."""
    outer = planner.enter(fuse(graph), dict(zip(graph.inputs, inputs, strict=True)))
    for atom, target in zip(graph.outputs, targets, strict=True):
        if isinstance(atom, Var) and atom not in planner.numbers and target is not None:
            planner.numbers[atom] = target
    for group in planner.fused.groups:
        planner.add_group(group)
    places = [planner.atom_number(atom) for atom in graph.outputs]
    for place, target in zip(places, targets, strict=True):
        if target is not None and place != target:
            planner.add_copy(place, target, eqn)
    planner.leave(outer)
    return places


class _LoopBuilder:
    """One loop: the buffers of its carries, and the windows that move."""

    def __init__(self, planner: Planner, eqn: Eqn) -> None:
        self.planner = planner
        self.eqn = eqn
        self.carries: list[tuple[int, int]] = []
        self.moving: list[int] = []

    def add_scan(self, op: Scan) -> None:
        planner = self.planner
        constants, carries, arrays = op.groups(self.eqn.inputs)
        _, body_carries, _ = op.groups(op.body.inputs)
        stacked = self.eqn.outputs[op.carries :]
        if op.length == 0:
            for atom, out in zip(carries, self.eqn.outputs, strict=False):
                planner.add_copy(planner.atom_number(atom), planner.number(out), self.eqn)
            return
        shared = [planner.atom_number(a) for a in constants]
        currents, targets = self._start(body_carries, carries, op.body.outputs[: op.carries])
        windows = [self._window(planner.atom_number(a), a, op.length) for a in arrays]
        stacks = [self._window(planner.number(v), v, op.length) for v in stacked]
        place = planner.open_step(self.eqn)
        _add_block(planner, op.body, [*shared, *currents, *windows], [*targets, *stacks], self.eqn)
        step = Loop(
            op.length, -1, place + 1, len(planner.steps), tuple(self.moving), tuple(self.carries),
            op.reverse, op.name,
        )  # fmt: skip
        self._finish(place, step, currents, self.eqn.outputs[: op.carries])

    def add_while(self, op: While) -> None:
        planner = self.planner
        asked, shared, carries = op.groups(self.eqn.inputs)
        body_carries = op.body.inputs[op.body_constants :]
        condition_constants = [planner.atom_number(a) for a in asked]
        body_constants = [planner.atom_number(a) for a in shared]
        currents, targets = self._start(body_carries, carries, op.body.outputs)
        place = planner.open_step(self.eqn)
        (predicate,) = _add_block(
            planner, op.condition, [*condition_constants, *currents], [None], self.eqn
        )
        middle = len(planner.steps)
        _add_block(planner, op.body, [*body_constants, *currents], targets, self.eqn)
        step = Loop(
            -1, predicate, middle, len(planner.steps), (), tuple(self.carries), False, op.name
        )
        self._finish(place, step, currents, self.eqn.outputs)

    def _start(
        self, inputs: Sequence[Var], initial: Sequence[Atom], nexts: Sequence[Atom]
    ) -> tuple[list[int], list[int | None]]:
        """The buffers of the carries, holding their initial values, and those of the next ones.

        A carry that never changes stays where it is.
        """
        planner = self.planner
        currents: list[int] = []
        targets: list[int | None] = []
        for var, atom, following in zip(inputs, initial, nexts, strict=True):
            source = planner.atom_number(atom)
            if following is var:
                currents.append(source)
                targets.append(None)
                continue
            current = planner.add_temp(var.type.size_bytes)
            planner.add_copy(source, current, self.eqn)
            following_buffer = planner.add_temp(var.type.size_bytes)
            planner.join_lifetimes(current, following_buffer)
            self.carries.append((current, following_buffer))
            currents.append(current)
            targets.append(following_buffer)
        return currents, targets

    def _window(self, whole: int, atom: Atom, length: int) -> int:
        """A buffer that moves over the slices of another one."""
        size_bytes = atom.type.size_bytes // length
        number = self.planner.add_buffer(Buffer("moving", whole, 0, size_bytes))
        self.moving.append(number)
        return number

    def _finish(
        self, place: int, step: Loop, currents: Sequence[int], outputs: Sequence[Var]
    ) -> None:
        planner = self.planner
        for number in (*currents, *(n for pair in self.carries for n in pair)):
            planner.touch(number)
        for window in self.moving:
            planner.touch(planner.buffers[window].index)
        planner.close_step(place, step)
        for current, var in zip(currents, outputs, strict=True):
            if var in planner.numbers:
                planner.add_copy(current, planner.number(var), self.eqn)
            else:
                planner.numbers[var] = current
