"""What runs of a plan take: threads, scratch memory, room for errors; what the host must know.

In: the instructions of a plan. Out: grids, sizes in bytes, the graph that it is, if it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from jitml.codegen.nvptx.grid import RECORD_BYTES, SLOT_BYTES, GridInstruction
from jitml.ops.native import Grid
from jitml_runtime import Branch, HostCall, Instruction, Loop, Plan
from jitml_runtime.plan import block_ends

BLOCK_THREADS = 128
USUAL_THREADS = 132 * 2048  # that a device holds, where none is at hand: an H100
MOST_SCRATCH_BYTES = 1 << 26
MOST_NODES = 2000  # of a graph
MOST_UNROLLED = 200  # of a scan, where a graph with all of them would have more
LOOP_NODES = 3  # of a graph, for each loop: two that count, and the loop itself
IsRecorded = Callable[[HostCall], bool]


class Room(NamedTuple):
    """What the launches of a program need at most: scratch memory, and how much of the error slot
    those with checks may write.
    """

    scratch_bytes: int
    slot_bytes: int


@dataclass(frozen=True)
class Code:
    """A program for a device: its plan, the PTX of its kernels, by instruction whether it has
    checks, and what the host computes.
    """

    plan: Plan
    ptx: tuple[str, ...]
    checked: tuple[bool, ...]
    functions: tuple[Callable[..., Any], ...] = ()

    @cached_property
    def _rooms(self) -> dict[int, Room]:
        return {}

    def room(self, most_threads: int) -> Room:
        """What launches of so many threads at most need."""
        found = self._rooms.get(most_threads)
        if found is None:
            threads = {
                n: prod(grid.blocks) * prod(grid.threads)
                for n, step in self._launches().items()
                for grid in (grid_of(step, most_threads),)
            }
            scratch = [threads[n] * step.scratch_bytes for n, step in self._launches().items()]
            checked = [count for n, count in threads.items() if self.checked[n]]
            found = Room(max(scratch, default=0), slot_bytes(max(checked, default=0)))
            self._rooms[most_threads] = found
        return found

    @cached_property
    def moving(self) -> frozenset[int]:
        """The buffers whose places loops change."""
        return frozenset(number for _, step in self.loops for number in moved_by(step))

    @cached_property
    def loops(self) -> tuple[tuple[int, Loop], ...]:
        """The loops, and their numbers."""
        steps = enumerate(self.plan.instructions)
        return tuple([(n, step) for n, step in steps if isinstance(step, Loop)])

    def _launches(self) -> dict[int, Instruction]:
        steps = enumerate(self.plan.instructions)
        return {n: s for n, s in steps if isinstance(s, Instruction) and s.extent}


def moved_by(step: Loop) -> tuple[int, ...]:
    """The buffers whose places a loop changes: slices, and carries that change places."""
    return (*step.moving, *(number for pair in step.carries for number in pair))


def slot_bytes(threads: int) -> int:
    """The size of an error slot for a launch of so many threads."""
    return SLOT_BYTES + threads * RECORD_BYTES


def grid_of(step: Instruction, most_threads: int = USUAL_THREADS) -> Grid:
    """How a step is launched: where there are more units than so many threads can take at once,
    each takes several. Results do not depend on it.
    """
    if isinstance(step, GridInstruction):
        return step.grid
    together = max(1, step.grain)  # threads of one unit
    threads = min(step.extent * together, most_threads) if step.grain else 1
    if step.scratch_bytes:
        threads = max(1, min(threads, MOST_SCRATCH_BYTES // step.scratch_bytes))
    threads = -(-threads // together) * together
    in_block = together if together > 1 else min(BLOCK_THREADS, threads)
    return Grid((-(-threads // in_block), 1, 1), (in_block, 1, 1))


@dataclass(frozen=True)
class GraphShape:
    """A graph of all steps: how many nodes it has, and how many of them a scan may have that is
    written out. One that would have more is a loop of the graph.
    """

    nodes: int
    most_unrolled: int


def _is_never(step: HostCall) -> bool:
    return False


def graph_shape(
    plan: Plan, has_conditionals: bool, is_recorded: IsRecorded = _is_never
) -> GraphShape | None:
    """The graph of all steps; None where the host must look at values, or one is all that there
    is. Whether to take a branch, or to go on, graphs decide that have conditionals. Calls of the
    host of which a library makes a part of the graph count as one node.
    """
    counter = _Counter(plan, has_conditionals, is_recorded)
    for limit in (MOST_NODES, *((MOST_UNROLLED, 0) if has_conditionals else ())):
        nodes = counter.count(0, len(plan.instructions), limit)
        if nodes is not None and 1 < nodes <= MOST_NODES:
            return GraphShape(nodes, limit)
    return None


@dataclass(frozen=True)
class _Counter:
    """Counts the nodes of steps."""

    plan: Plan
    has_conditionals: bool
    is_recorded: IsRecorded

    def count(self, begin: int, end: int, limit: int) -> int | None:
        """The nodes of the steps between two; None if the host must look at values meanwhile."""
        total, number = 0, begin
        while number < end:
            step = self.plan.instructions[number]
            ends = block_ends(step)
            inner = []
            for first, last in pairwise((number + 1, *ends)):
                count = self.count(first, last, limit)
                if count is None:
                    return None
                inner.append(count)
            nodes = self._nodes_of(number, inner, limit)
            if nodes is None:
                return None
            total += nodes
            number = max(number + 1, *ends, 0)
        return total

    def _nodes_of(self, number: int, inner: Sequence[int], limit: int) -> int | None:
        """The nodes of a step whose blocks have so many."""
        step = self.plan.instructions[number]
        if isinstance(step, Loop) and _is_short(step, sum(inner), limit):
            return step.length * sum(inner)
        if isinstance(step, HostCall):
            return 1 if self.is_recorded(step) else None
        if isinstance(step, (Loop, Branch)) and not self.has_conditionals:
            return None
        if isinstance(step, Loop):
            if self._moves_for_libraries(number, step):
                return None
            asked = 0 if step.length >= 0 else inner[0] + 2  # before the first step, after each
            return sum(inner) + asked + LOOP_NODES
        return sum(inner) + 2 * len(inner) if isinstance(step, Branch) else 1

    def _moves_for_libraries(self, number: int, loop: Loop) -> bool:
        """Whether what libraries read or write moves within a loop: the host tells them places."""
        steps = self.plan.instructions[number : loop.end]
        moved = {n for step in steps if isinstance(step, Loop) for n in moved_by(step)}
        calls = [step for step in steps if isinstance(step, HostCall)]
        return any(moved & {*step.inputs, *step.outputs} for step in calls)


def is_unrolled(plan: Plan, number: int, step: Loop, limit: int) -> bool:
    """Whether a graph has the nodes of each step of a loop, instead of one that repeats them."""
    counter = _Counter(plan, True, lambda step: True)
    return _is_short(step, counter.count(number + 1, step.end, limit) or 0, limit)


def _is_short(step: Loop, nodes: int, limit: int) -> bool:
    return step.length >= 0 and step.length * nodes <= limit


def read_backs(plan: Plan, reason: Callable[[HostCall], str | None]) -> list[tuple[int, str]]:
    """What the host must know while a plan runs, and how often: by the number of the step. A call
    of the host has a `reason` (which may be empty), unless a library takes it over (None).
    """
    found = []
    for number, step in enumerate(plan.instructions):
        if isinstance(step, Branch):
            found.append((number, "1 copy to the host: which side to take"))
        elif isinstance(step, Loop) and step.length < 0:
            found.append((number, "1 copy to the host a step: whether to go on"))
        elif isinstance(step, HostCall) and (why := reason(step)) is not None:
            what = f"{len(step.inputs)} copies to the host: {step.label}"
            found.append((number, f"{what} ({why})" if why else what))
    return found
