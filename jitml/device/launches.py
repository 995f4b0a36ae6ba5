"""What runs of a plan take: threads, scratch memory, room for errors; what the host must know.

In: the instructions of a plan. Out: grids, sizes in bytes, whether it is one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

from jitml.codegen.nvptx.grid import RECORD_BYTES, SLOT_BYTES, GridInstruction
from jitml.ops.native import Grid
from jitml_runtime import Branch, HostCall, Instruction, Loop, Plan
from jitml_runtime.plan import Step

BLOCK_THREADS = 128
USUAL_THREADS = 132 * 2048  # that a device holds, where none is at hand: an H100
MOST_SCRATCH_BYTES = 1 << 26
MOST_NODES = 2000  # of a graph


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

    def _launches(self) -> dict[int, Instruction]:
        steps = enumerate(self.plan.instructions)
        return {n: s for n, s in steps if isinstance(s, Instruction) and s.extent}


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


def is_graph(plan: Plan) -> bool:
    """Whether all steps are one graph: there are several, and the host decides nothing."""
    return 1 < graph_nodes(plan.instructions) <= MOST_NODES


def graph_nodes(steps: Sequence[Step]) -> int:
    """How many nodes the graph of some steps has; 0 if the host must look at values meanwhile."""
    nodes, number = 0, 0
    while number < len(steps):
        step = steps[number]
        if isinstance(step, (HostCall, Branch)):
            return 0
        if isinstance(step, Loop):
            inner = graph_nodes(steps[number + 1 : step.end]) if step.length >= 0 else 0
            if inner == 0:
                return 0
            nodes += inner * step.length
            number = step.end
        else:
            nodes += 1
            number += 1
    return nodes


def read_backs(plan: Plan) -> list[tuple[int, str]]:
    """What the host must know while a plan runs, and how often: by the number of the step."""
    found = []
    for number, step in enumerate(plan.instructions):
        if isinstance(step, Branch):
            found.append((number, "1 copy to the host: which side to take"))
        elif isinstance(step, Loop) and step.length < 0:
            found.append((number, "1 copy to the host a step: whether to go on"))
        elif isinstance(step, HostCall):
            found.append((number, f"{len(step.inputs)} copies to the host: {step.label}"))
    return found
