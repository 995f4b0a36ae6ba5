"""Whole numbers of several words: instructions that leave a carry, or take the last one.

Comes in: an instruction. Goes out: a function over the state of the machine; each lane has a carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.emulation.operands import Array, dtype_of, reader, writer
from jitml.emulation.ptx import Instruction, bits_of

if TYPE_CHECKING:
    from jitml.emulation.machine import Kernel, Lanes

CARRY = "%carry"


def has_carry(instruction: Instruction) -> bool:
    """Whether an instruction leaves a carry or takes one."""
    return "cc" in instruction.opcode or instruction.opcode[0] in ("addc", "subc", "madc")


def with_carry(kernel: Kernel, instruction: Instruction) -> Callable[[Lanes, Array], None]:
    """add, sub and mad with a carry in, a carry out, or both; whole numbers hold all of it."""
    kernel.entry.registers[CARRY] = 8
    name, bits = instruction.opcode[0], bits_of(instruction.opcode[-1])
    type_ = f"u{bits}"
    reads = [reader(kernel, s, type_) for s in instruction.operands[1:]]
    carry_in = reader(kernel, CARRY, "u8") if name.endswith("c") else None
    write = writer(kernel, instruction.operands[0], type_)
    carry_out = writer(kernel, CARRY, "u8") if "cc" in instruction.opcode else None
    is_high, base = "hi" in instruction.opcode, name.removesuffix("c")

    def step(state: Lanes, lanes: Array) -> None:
        values = [np.broadcast_to(r(state, lanes), lanes.shape).astype(object) for r in reads]
        carry: Any = 0 if carry_in is None else carry_in(state, lanes).astype(object)
        if base == "sub":
            total = values[0] - values[1] - carry
        elif base == "add":
            total = values[0] + values[1] + carry
        else:
            product = values[0] * values[1]
            total = (product >> bits if is_high else product % (1 << bits)) + values[2] + carry
        write(state, lanes, (total % (1 << bits)).astype(dtype_of(type_)))
        if carry_out is not None:
            carry_out(state, lanes, ((total >> bits) % 2).astype(np.uint8))

    return step
