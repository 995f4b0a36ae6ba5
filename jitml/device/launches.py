"""What launches take: threads, scratch memory, room for errors.

In: the instructions of a plan. Out: grids and sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jitml.codegen.nvptx.grid import RECORD_BYTES, SLOT_BYTES
from jitml_runtime import Instruction, Plan

BLOCK_THREADS = 128
MOST_THREADS = 1 << 15  # of a grid: each takes several units where there are more
MOST_SCRATCH_BYTES = 1 << 26
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


def grid_of(step: Instruction) -> tuple[int, int]:
    """The blocks of a launch, and the threads of each."""
    together = max(1, step.grain)  # threads of one unit
    threads = min(step.extent * together, MOST_THREADS) if step.grain else 1
    if step.scratch_bytes:
        threads = max(1, min(threads, MOST_SCRATCH_BYTES // step.scratch_bytes))
    threads = -(-threads // together) * together
    in_block = together if together > 1 else min(BLOCK_THREADS, threads)
    return -(-threads // in_block), in_block


def launches(code: Code) -> list[tuple[int, Instruction]]:
    """The instructions that launch something, with their numbers."""
    steps = enumerate(code.plan.instructions)
    return [(n, step) for n, step in steps if isinstance(step, Instruction) and step.extent]


def scratch_bytes(code: Code) -> int:
    """What all threads of a launch need at most."""
    sizes = [_threads(step) * step.scratch_bytes for _, step in launches(code)]
    return max(sizes, default=0)


def slot_bytes(code: Code) -> int:
    """How much of the error slot the launches with checks may write."""
    from jitml.codegen.nvptx.grid import RECORD_BYTES, SLOT_BYTES

    threads = [_threads(step) for n, step in launches(code) if code.checked[n]]
    return SLOT_BYTES + max(threads, default=0) * RECORD_BYTES


def _threads(step: Instruction) -> int:
    blocks, in_block = grid_of(step)
    return blocks * in_block
