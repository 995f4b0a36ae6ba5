"""What runs of a plan take: threads, scratch memory, room for errors; what the host must know.

In: the instructions of a plan. Out: grids, sizes in bytes, whether it is one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from jitml.codegen.nvptx.grid import RECORD_BYTES, SLOT_BYTES, GridInstruction
from jitml.ops.native import Grid
from jitml_runtime import Branch, HostCall, Instruction, Loop, Plan
from jitml_runtime.plan import Step

BLOCK_THREADS = 128
MOST_THREADS = 1 << 15  # of a grid: each takes several units where there are more
MOST_SCRATCH_BYTES = 1 << 26
MOST_NODES = 2000  # of a graph
IsRecorded = Callable[[HostCall], bool]
MOST_SLOT_BYTES = SLOT_BYTES + MOST_THREADS * RECORD_BYTES  # of errors of one launch


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
    def scratch_bytes(self) -> int:
        """What all threads of a launch need at most."""
        return max([_threads(s) * s.scratch_bytes for _, s in self._launches()], default=0)

    @cached_property
    def slot_bytes(self) -> int:
        """How much of the error slot the launches with checks may write."""
        threads = [_threads(step) for n, step in self._launches() if self.checked[n]]
        return SLOT_BYTES + max(threads, default=0) * RECORD_BYTES

    def _launches(self) -> list[tuple[int, Instruction]]:
        steps = enumerate(self.plan.instructions)
        return [(n, s) for n, s in steps if isinstance(s, Instruction) and s.extent]


def grid_of(step: Instruction) -> Grid:
    """How a step is launched."""
    if isinstance(step, GridInstruction):
        return step.grid
    together = max(1, step.grain)  # threads of one unit
    threads = min(step.extent * together, MOST_THREADS) if step.grain else 1
    if step.scratch_bytes:
        threads = max(1, min(threads, MOST_SCRATCH_BYTES // step.scratch_bytes))
    threads = -(-threads // together) * together
    in_block = together if together > 1 else min(BLOCK_THREADS, threads)
    return Grid((-(-threads // in_block), 1, 1), (in_block, 1, 1))


def _threads(step: Instruction) -> int:
    grid = grid_of(step)
    return prod(grid.blocks) * prod(grid.threads)


def _is_never(step: HostCall) -> bool:
    return False


def is_graph(plan: Plan, is_recorded: IsRecorded = _is_never) -> bool:
    """Whether all steps are one graph: there are several, and the host decides nothing."""
    return 1 < graph_nodes(plan.instructions, is_recorded) <= MOST_NODES


def graph_nodes(steps: Sequence[Step], is_recorded: IsRecorded = _is_never) -> int:
    """How many nodes the graph of some steps has; 0 if the host must look at values meanwhile.
    Calls of the host of which a library makes a part of the graph count as one.
    """
    nodes, number = 0, 0
    while number < len(steps):
        step = steps[number]
        if isinstance(step, Branch) or (isinstance(step, HostCall) and not is_recorded(step)):
            return 0
        if isinstance(step, Loop):
            inner = 0
            if step.length >= 0:
                inner = graph_nodes(steps[number + 1 : step.end], is_recorded)
            if inner == 0:
                return 0
            nodes += inner * step.length
            number = step.end
        else:
            nodes += 1
            number += 1
    return nodes


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
