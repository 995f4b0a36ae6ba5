"""Lay out conditionals and loops: their nested graphs as blocks of steps after a step that runs
them.

Comes in: an equation of a control-flow op, whose graphs have been through the passes. Goes out: its
steps in the planner. Carries lie in two buffers that change places after each step; slices are
windows that move over the whole arrays: neither is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jitml.codegen.fuse import fuse
from jitml.codegen.in_place import Update, last_updates, update_chain
from jitml.codegen.scalar_loop import scalar_loop
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.cond import Cond
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml_runtime import Branch, Buffer, Loop

if TYPE_CHECKING:
    from jitml.codegen.plan import Planner

_OFTEN = 1 << 20  # steps that a loop may have whose length nobody knows
Targets = Sequence[int | None]  # where a graph's outputs are to be; None: they need not be anywhere


def add_control(planner: Planner, eqn: Eqn) -> None:
    """Add the steps of a control-flow equation."""
    if isinstance(eqn.op, Cond):
        _add_cond(planner, eqn, eqn.op)
        return
    loop = scalar_loop(eqn, planner.target)
    if loop is not None:
        planner.add_loop(eqn, loop)
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
    planner: Planner,
    graph: Graph,
    inputs: Sequence[int],
    targets: Targets,
    eqn: Eqn,
    repeats: int = 1,
) -> list[int]:
    """The steps of a nested graph whose inputs are in these buffers, and which runs so often; where
    its outputs are.
    """
    numbers = dict(zip(graph.inputs, inputs, strict=True))
    updates, ends = _updates(graph, numbers, targets)
    overwritten = {update.before: update.eqn for update in updates}
    fused = fuse(graph, overwritten=overwritten, for_threads=planner.fused.for_threads)
    outer = planner.enter(fused, numbers, repeats)
    for update in reversed(updates):
        place = planner.numbers.get(update.before)
        if place is None:  # where the last of its updates is to be
            place = planner.numbers[update.before] = ends[update.before]
        planner.numbers[update.after] = place
    for atom, target in zip(graph.outputs, targets, strict=True):
        if isinstance(atom, Var) and atom not in planner.numbers and target is not None:
            planner.numbers[atom] = target
    planner.add_groups()
    places = [planner.atom_number(atom) for atom in graph.outputs]
    for place, target in zip(places, targets, strict=True):
        if target is not None and place != target:
            planner.add_copy(place, target, eqn)
    planner.leave(outer)
    return places


def _updates(
    graph: Graph, numbers: Mapping[Var, int], targets: Targets
) -> tuple[list[Update], dict[Var, int]]:
    """The updates in place: of inputs whose buffers are to hold outputs, and of what becomes an
    output at last; the last ones first. Where the latter are to be.
    """
    updates: list[Update] = []
    ends: dict[Var, int] = {}
    for atom, target in zip(graph.outputs, targets, strict=True):
        same = [var for var, number in numbers.items() if number == target]
        chains = [update_chain(graph, var, atom) for var in same]
        found = [chain for chain in chains if chain]
        if found:
            updates += found[0]
        elif target is not None and not same and graph.outputs.count(atom) == 1:
            for update in last_updates(graph, atom):
                if update.before in ends or update.before in graph.inputs:
                    break  # it is to be elsewhere
                updates.append(update)
                ends[update.before] = target
    return updates, ends


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
        currents, targets = self._start(op.body, body_carries, carries)
        windows = [self._window(planner.atom_number(a), a, op.length) for a in arrays]
        stacks = [self._window(planner.number(v), v, op.length) for v in stacked]
        place = planner.open_step(self.eqn)
        inputs = [*shared, *currents, *windows]
        _add_block(planner, op.body, inputs, [*targets, *stacks], self.eqn, op.length)
        step = Loop(
            op.length, -1, place + 1, len(planner.steps), tuple(self.moving), tuple(self.carries),
            op.reverse, op.step_label,
        )  # fmt: skip
        self._finish(place, step, currents, targets, self.eqn.outputs[: op.carries])

    def add_while(self, op: While) -> None:
        planner = self.planner
        asked, shared, carries = op.groups(self.eqn.inputs)
        body_carries = op.body.inputs[op.body_constants :]
        condition_constants = [planner.atom_number(a) for a in asked]
        body_constants = [planner.atom_number(a) for a in shared]
        currents, targets = self._start(op.body, body_carries, carries)
        place = planner.open_step(self.eqn)
        inputs = [*condition_constants, *currents]
        (predicate,) = _add_block(planner, op.condition, inputs, [None], self.eqn, _OFTEN)
        middle = len(planner.steps)
        _add_block(planner, op.body, [*body_constants, *currents], targets, self.eqn, _OFTEN)
        step = Loop(
            -1, predicate, middle, len(planner.steps), (), tuple(self.carries), False, op.name
        )
        self._finish(place, step, currents, targets, self.eqn.outputs)

    def _start(
        self, body: Graph, inputs: Sequence[Var], initial: Sequence[Atom]
    ) -> tuple[list[int], list[int | None]]:
        """The buffers of the carries, holding their initial values, and those of the next ones.

        A carry that never changes stays where it is; one that is updated in place has one buffer:
        that of its initial value, if the result is to be there.
        """
        planner = self.planner
        currents: list[int] = []
        targets: list[int | None] = []
        for number, (var, atom) in enumerate(zip(inputs, initial, strict=True)):
            source, following = planner.atom_number(atom), body.outputs[number]
            if following is var:
                currents.append(source)
                targets.append(None)
                continue
            is_in_place = update_chain(body, var, following) is not None
            current = source
            if not (is_in_place and planner.numbers.get(self.eqn.outputs[number]) == source):
                current = planner.add_temp(var.type.size_bytes)
                planner.add_copy(source, current, self.eqn)
            target = current
            if not is_in_place:
                target = planner.add_temp(var.type.size_bytes)
                planner.join_lifetimes(current, target)
                self.carries.append((current, target))
            currents.append(current)
            targets.append(target)
        return currents, targets

    def _window(self, whole: int, atom: Atom, length: int) -> int:
        """A buffer that moves over the slices of another one."""
        size_bytes = atom.type.size_bytes // length
        number = self.planner.add_buffer(Buffer("moving", whole, 0, size_bytes))
        self.moving.append(number)
        return number

    def _finish(
        self,
        place: int,
        step: Loop,
        currents: Sequence[int],
        targets: Targets,
        outputs: Sequence[Var],
    ) -> None:
        planner = self.planner
        for number in (*currents, *(n for pair in self.carries for n in pair)):
            planner.touch(number)
        for window in self.moving:
            planner.touch(planner.buffers[window].index)
        planner.close_step(place, step)
        own = {
            number for number, target in zip(currents, targets, strict=True) if target is not None
        }
        for current, var in zip(currents, outputs, strict=True):
            # The memory of what never changes is another's.
            if planner.numbers.get(var, current) != current or current not in own:
                planner.add_copy(current, planner.number(var), self.eqn)
            else:
                planner.numbers[var] = current
