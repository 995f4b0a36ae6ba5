"""Small kernels in LLVM text and plans around them, for the tests of the runtime.

Used by the tests themselves and by the scripts that they start in processes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from jitml_runtime import ArraySpec, Buffer, Code, Instruction, Plan
from jitml_runtime.record import replace

_SIGNATURE = "(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault)"

KERNELS = f"""
define i32 @add_one{_SIGNATURE} nounwind {{
entry:
  %x = load ptr, ptr %buffers
  %slot = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %slot
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %loop]
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr float, ptr %y, i64 %i
  %value = load float, ptr %from
  %sum = fadd float %value, 1.0
  store float %sum, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}

; fails for every negative element: site = sizes[0], value = the element
define i32 @check_sign{_SIGNATURE} nounwind {{
entry:
  %x = load ptr, ptr %buffers
  %site = load i64, ptr %sizes
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %again]
  %from = getelementptr i64, ptr %x, i64 %i
  %value = load i64, ptr %from
  %bad = icmp slt i64 %value, 0
  br i1 %bad, label %fail, label %again
again:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
fail:
  store i64 %site, ptr %fault
  %index = getelementptr i64, ptr %fault, i64 1
  store i64 %i, ptr %index
  %kept = getelementptr i64, ptr %fault, i64 2
  store i64 %value, ptr %kept
  ret i32 1
done:
  ret i32 0
}}

; loops until it is told to stop
define i32 @wait_for_stop{_SIGNATURE} nounwind {{
entry:
  %slot = getelementptr i64, ptr %fault, i64 3
  %stop = load ptr, ptr %slot
  br label %loop
loop:
  %flag = load volatile i32, ptr %stop
  %stopped = icmp ne i32 %flag, 0
  br i1 %stopped, label %done, label %loop
done:
  ret i32 2
}}

; each unit: sizes[0] rounds of work, then y[i] = begin of its chunk, through the scratch memory
define i32 @work{_SIGNATURE} nounwind {{
entry:
  %rounds = load i64, ptr %sizes
  %y = load ptr, ptr %buffers
  %slot = getelementptr i64, ptr %fault, i64 4
  %scratch = load ptr, ptr %slot
  store volatile i64 %begin, ptr %scratch
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %finish]
  br label %round
round:
  %k = phi i64 [0, %loop], [%k_next, %round]
  %kept = load volatile i64, ptr %scratch
  %k_next = add i64 %k, 1
  %busy = icmp slt i64 %k_next, %rounds
  br i1 %busy, label %round, label %finish
finish:
  %to = getelementptr i64, ptr %y, i64 %i
  store i64 %kept, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}

define i32 @fail_silently{_SIGNATURE} nounwind {{
  ret i32 1
}}
"""
NAMES = ("add_one", "check_sign", "wait_for_stop", "work", "fail_silently")


def compile_text(text: str) -> bytes:
    """Return the object code of LLVM text."""
    llvm: Any = import_module("llvmlite.binding")

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(opt=1, reloc="pic", codemodel="small")
    code: bytes = machine.emit_object(llvm.parse_assembly(text))
    return code


def spec(dtype: Any, *shape: int) -> ArraySpec:
    """Return the type of an argument or result."""
    return ArraySpec(np.dtype(dtype), shape)


def instruction(name: str, buffers: Sequence[int], extent: int, **fields: Any) -> Instruction:
    """Return an instruction that runs the named kernel."""
    sizes = fields.pop("sizes", ())
    known = {"grain": 0, "scratch_bytes": 0, "label": name, **fields}
    return Instruction(NAMES.index(name), tuple(buffers), sizes, extent, **known)


def add_one_plan(size: int, grain: int = 0) -> Plan:
    """Return a plan of one float32 argument and one result, argument + 1."""
    kind = spec(np.float32, size)
    return Plan(
        inputs=(kind,),
        outputs=(kind,),
        buffers=(Buffer("input", 0, 0, 4 * size), Buffer("output", 0, 0, 4 * size)),
        instructions=(instruction("add_one", (0, 1), size, grain=grain),),
    )


def add_three_plan(size: int, grain: int = 0) -> Plan:
    """Return a plan that adds one three times, by way of two parts of the arena."""
    plan = add_one_plan(size, grain)
    second = -(-4 * size // 64) * 64
    temps = (Buffer("temp", 0, 0, 4 * size), Buffer("temp", 0, second, 4 * size))
    steps = tuple(
        instruction("add_one", pair, size, grain=grain) for pair in ((0, 2), (2, 3), (3, 1))
    )
    return replace(plan, buffers=plan.buffers + temps, instructions=steps, arena_bytes=2 * second)


def work_plan(size: int, grain: int, rounds: int) -> Plan:
    """Return a plan without arguments; every unit tells the begin of its chunk."""
    step = instruction("work", (0,), size, grain=grain, sizes=(rounds,), scratch_bytes=8)
    return Plan(
        inputs=(),
        outputs=(spec(np.int64, size),),
        buffers=(Buffer("output", 0, 0, 8 * size),),
        instructions=(step,),
    )


def check_plan_of(size: int, grain: int, sites: Sequence[int]) -> Plan:
    """Return a plan of one int64 argument, checked once per site."""
    return Plan(
        inputs=(spec(np.int64, size),),
        outputs=(),
        buffers=(Buffer("input", 0, 0, 8 * size),),
        instructions=tuple(
            instruction("check_sign", (0,), size, grain=grain, sizes=(site,)) for site in sites
        ),
    )


def endless_plan(chunks: int = 1) -> Plan:
    """Return a plan that ends only when it is stopped."""
    grain = 1 if chunks > 1 else 0
    step = instruction("wait_for_stop", (), chunks, grain=grain, work_ns=10**9)
    return Plan(inputs=(), outputs=(), buffers=(), instructions=(step,))


def bind(runtime: Any, code: Code, plan: Plan, functions: Sequence[Any] = ()) -> Any:
    """Return the plan as an executable of the given executor."""
    addresses = [code.address(name) for name in NAMES]
    return runtime.Executable(plan, addresses, (code,), tuple(functions))
