"""Steps with blocks: loops and branches of plans made by hand, on both executors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml_runtime import ArraySpec, Branch, Buffer, Copy, Loop, Plan, check_plan
from jitml_runtime.packing import Packer, Unpacker
from jitml_runtime.plan_format import read_plan, write_plan
from jitml_runtime.record import replace

Bind = Callable[..., Any]
ROWS = ArraySpec(np.dtype(np.float32), (3, 2))
ROW = ArraySpec(np.dtype(np.float32), (2,))
NUMBER = ArraySpec(np.dtype(np.int32), ())
TRUTH = ArraySpec(np.dtype(np.bool_), ())


def shifting_plan(reverse: bool = False) -> Plan:
    """Each step stores the carry as a row, and carries the row at hand on."""
    buffers = (
        Buffer("input", 0, 0, 24),
        Buffer("input", 1, 0, 8),
        Buffer("output", 0, 0, 24),
        Buffer("output", 1, 0, 8),
        Buffer("temp", 0, 0, 8),
        Buffer("temp", 0, 64, 8),
        Buffer("moving", 0, 0, 8),
        Buffer("moving", 2, 0, 8),
    )
    steps = (
        Copy(1, 4, "start"),
        Loop(3, -1, 2, 4, (6, 7), ((4, 5),), reverse, "loop"),
        Copy(4, 7, "store"),
        Copy(6, 5, "carry"),
        Copy(4, 3, "last"),
    )
    return Plan((ROWS, ROW), (ROWS, ROW), buffers, steps, 128)


@pytest.mark.parametrize("reverse", [False, True])
def test_windows_move_and_carries_change_places(runtime: Any, bind: Bind, reverse: bool) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    start = np.array([-1, -2], np.float32)
    executable = bind(shifting_plan(reverse))
    for _ in range(2):
        stacked, last = executable.run([runtime.from_numpy(rows), runtime.from_numpy(start)])
        order = rows[::-1] if reverse else rows
        wanted = np.concatenate([[start], order[:-1]])
        np.testing.assert_array_equal(np.asarray(stacked), wanted[::-1] if reverse else wanted)
        np.testing.assert_array_equal(np.asarray(last), order[-1])


def choosing_plan() -> Plan:
    """One of three rows, by a number."""
    buffers = (
        Buffer("input", 0, 0, 4),
        *(Buffer("input", k, 0, 8) for k in (1, 2, 3)),
        Buffer("output", 0, 0, 8),
    )
    steps = (Branch(0, (2, 3, 4), "branch"), *(Copy(k, 4, "row") for k in (1, 2, 3)))
    return Plan((NUMBER, ROW, ROW, ROW), (ROW,), buffers, steps)


@pytest.mark.parametrize(("index", "chosen"), [(-7, 0), (0, 0), (1, 1), (2, 2), (9, 2)])
def test_a_branch_is_clamped(runtime: Any, bind: Bind, index: int, chosen: int) -> None:
    rows = [np.full(2, k, np.float32) for k in range(3)]
    arguments = [np.array(index, np.int32), *rows]
    (found,) = bind(choosing_plan()).run([runtime.from_numpy(x) for x in arguments])
    np.testing.assert_array_equal(np.asarray(found), rows[chosen])


def ending_plan() -> Plan:
    """A loop while a flag is set: its body clears the flag, and copies a row."""
    buffers = (
        Buffer("input", 0, 0, 1),
        Buffer("input", 1, 0, 8),
        Buffer("input", 2, 0, 8),
        Buffer("output", 0, 0, 8),
        Buffer("temp", 0, 0, 1),
        Buffer("temp", 0, 64, 1),
        Buffer("constant", 0, 0, 1),
    )
    steps = (
        Copy(1, 3, "start"),
        Copy(0, 4, "flag"),
        Loop(-1, 4, 3, 5, (), ((4, 5),), False, "loop"),
        Copy(6, 5, "clear"),
        Copy(2, 3, "row"),
    )
    return Plan((TRUTH, ROW, ROW), (ROW,), buffers, steps, 128, (b"\0",))


@pytest.mark.parametrize("flag", [False, True])
def test_a_loop_ends_by_its_predicate(runtime: Any, bind: Bind, flag: bool) -> None:
    rows = [np.full(2, k, np.float32) for k in range(2)]
    arguments = [np.array(flag), *rows]
    (found,) = bind(ending_plan()).run([runtime.from_numpy(x) for x in arguments])
    np.testing.assert_array_equal(np.asarray(found), rows[int(flag)])


@pytest.mark.parametrize("plan", [shifting_plan(True), choosing_plan(), ending_plan()])
def test_plans_with_blocks_are_stored(plan: Plan) -> None:
    check_plan(plan, 0, 0)
    packer = Packer()
    write_plan(packer, plan)
    assert read_plan(Unpacker(packer.packed())) == plan


def with_step(plan: Plan, number: int, **changes: Any) -> Plan:
    steps = list(plan.instructions)
    steps[number] = replace(steps[number], **changes)
    return replace(plan, instructions=tuple(steps))


def with_buffer(plan: Plan, number: int, **changes: Any) -> Plan:
    buffers = list(plan.buffers)
    buffers[number] = replace(buffers[number], **changes)
    return replace(plan, buffers=tuple(buffers))


SHIFTING, CHOOSING, ENDING = shifting_plan(), choosing_plan(), ending_plan()
WRONG = {
    "ends beyond the plan": (with_step(SHIFTING, 1, end=9), "has blocks that end at"),
    "ends before it begins": (with_step(SHIFTING, 1, condition_end=1), "has blocks that end at"),
    "blocks out of order": (with_step(CHOOSING, 0, ends=(3, 2, 4)), "has blocks that end at"),
    "no blocks": (with_step(CHOOSING, 0, ends=()), "has no blocks"),
    "wide index": (with_step(CHOOSING, 0, index=1), "holds no 32-bit number"),
    "wide predicate": (with_step(ENDING, 2, predicate=1), "over predicate 1"),
    "negative length": (with_step(ENDING, 2, length=-2), "a loop of length -2"),
    "too long": (with_step(SHIFTING, 1, length=4), "4 slices of 8 bytes in 24"),
    "nothing that moves": (with_step(SHIFTING, 1, moving=(0,)), "buffer 0 does not move"),
    "no such carry": (with_step(SHIFTING, 1, carries=((4, 8),)), "there is no buffer 8"),
    "carry of an input": (with_step(SHIFTING, 1, carries=((1, 5),)), "are not temporary"),
    "carries of two sizes": (with_buffer(SHIFTING, 5, size_bytes=4), "differ in size"),
    "moves over itself": (with_buffer(SHIFTING, 6, index=6), "no earlier one to move over"),
}


@pytest.mark.parametrize("name", WRONG)
def test_malformed_blocks_are_refused(name: str) -> None:
    plan, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        check_plan(plan, 0, 0)
