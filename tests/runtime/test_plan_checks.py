"""The plan's checker: every reference to something that does not exist is found."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from jitml_runtime import ArraySpec, Buffer, Copy, HostCall, check_plan
from jitml_runtime.record import replace

KIND = ArraySpec(np.dtype(np.float32), (8,))
HOST = HostCall(0, (0,), (1,), (KIND,), (KIND,), "host")
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "negative arena": ({"arena_bytes": -64}, "the arena has -64 bytes"),
    "negative shape": ({"inputs": (replace(KIND, shape=(-1,)),)}, "negative size"),
    "unknown kind": ({"buffers": (Buffer("heap", 0, 0, 32),) * 2}, "unknown kind"),  # type: ignore[arg-type]
    "no such input": ({"buffers": (Buffer("input", 1, 0, 32),) * 2}, "there is no input 1"),
    "wrong size": ({"buffers": (Buffer("input", 0, 0, 31),) * 2}, "31 bytes, but input 0 has 32"),
    "outside the arena": ({"buffers": (Buffer("temp", 0, 0, 32),) * 2}, "aligned part"),
    "misaligned": (
        {"buffers": (Buffer("temp", 0, 8, 32),) * 2, "arena_bytes": 64},
        "aligned part",
    ),
    "no such buffer": ({"instructions": (Copy(0, 2, "copy"),)}, "there is no buffer 2"),
    "copy of another size": (
        {
            "buffers": (Buffer("input", 0, 0, 32), Buffer("temp", 0, 0, 64)),
            "arena_bytes": 64,
            "instructions": (Copy(0, 1, "copy"),),
        },
        "copies 32 bytes to 64",
    ),
    "no such function": ({"instructions": (HOST,)}, "no host function 0"),
    "forward count": ({"forward": (None, None)}, "forward has 2 entries for 1"),
    "forward target": ({"forward": (3,), "instructions": (), "buffers": ()}, "argument 3"),
    "forward of another size": (
        {
            "forward": (0,),
            "outputs": (replace(KIND, shape=(9,)),),
            "instructions": (),
            "buffers": (),
        },
        "cannot share the memory of argument 0",
    ),
    "forward of another dtype": (
        {
            "forward": (0,),
            "outputs": (replace(KIND, dtype=np.dtype(np.int32)),),
            "instructions": (),
            "buffers": (),
        },
        "cannot share the memory of argument 0",
    ),
    "forwarded memory": ({"forward": (0,)}, "has no memory"),
    "duplicate of itself": (
        {"duplicates": (0,), "instructions": (), "buffers": ()},
        "no earlier output",
    ),
    "no place for a routine": ({"routines": ((0, "lapack dpotrf"),)}, "address of lapack dpotrf"),
    "alias of nothing": ({"aliases": ((0, 5),)}, "names no output or no input"),
    "alias twice": (
        {"aliases": ((0, 0), (1, 0)), "outputs": (KIND, KIND)},
        "donated twice",
    ),
    "alias and forward": (
        {"aliases": ((0, 0),), "outputs": (KIND, KIND), "forward": (None, 0)},
        "both passed through and donated",
    ),
    "alias of another size": (
        {"aliases": ((1, 0),), "outputs": (KIND, replace(KIND, shape=(9,)))},
        "differ in size",
    ),
}


def test_a_sound_plan_passes(programs: ModuleType) -> None:
    check_plan(programs.add_three_plan(100), kernels=1, functions=0)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_plans_are_named(programs: ModuleType, case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=f"malformed plan: .*{message}"):
        check_plan(replace(programs.add_one_plan(8), **changes), kernels=1, functions=0)


def test_wrong_instructions_are_named(programs: ModuleType) -> None:
    plan = programs.add_one_plan(8)
    step = plan.instructions[0]
    for changes, message in (
        ({"kernel": 1}, "no kernel 1"),
        ({"grain": -1}, "negative"),
        ({"buffers": (0, 9)}, "no buffer 9"),
    ):
        with pytest.raises(ValueError, match=message):
            check_plan(replace(plan, instructions=(replace(step, **changes),)), 1, 0)
    big = replace(KIND, shape=(9,))
    for call, message in (
        (replace(HOST, input_specs=()), "1 buffers but 0 types"),
        (replace(HOST, output_specs=(big,)), "does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            check_plan(replace(plan, instructions=(call,)), 1, 1)
