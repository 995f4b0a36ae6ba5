"""Instructions by which the lanes of a warp tell each other something.

Comes in: an instruction. Goes out: a function over the state of the machine; it waits until all
lanes are there that its mask names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.operands import Array, reader, writer
from jitml.emulation.ptx import Instruction, PtxError

if TYPE_CHECKING:
    from jitml.emulation.instructions import Step
    from jitml.emulation.machine import Kernel, Lanes


def shuffle(kernel: Kernel, instruction: Instruction) -> Step:
    mode = instruction.opcode[2]
    targets = instruction.operands[0].split("|")
    value, by, clamp = (reader(kernel, s, "u32") for s in instruction.operands[1:4])
    mask = reader(kernel, instruction.operands[4], "u32")
    write = writer(kernel, targets[0], "u32")
    write_inside = writer(kernel, targets[1], "pred") if len(targets) > 1 else None

    def step(state: Lanes, lanes: Array) -> None:
        lanes = state.gather_warp(lanes, mask)
        if len(lanes):
            exchange(state, lanes)
            state.go(state.pc + 1, lanes)

    def exchange(state: Lanes, lanes: Array) -> None:
        own = state.thread[lanes] & 31
        n = np.broadcast_to(by(state, lanes).astype(np.int64), own.shape)
        c = np.broadcast_to(clamp(state, lanes).astype(np.int64), own.shape)
        here = np.zeros(state.count + 64, bool)
        here[lanes] = True
        segment = (c >> 8) & 31
        most = (own & segment) | (31 & ~segment & c)
        least = own & segment
        source, inside = {
            "down": (own + n, own + n <= most),
            "up": (own - n, own - n >= least),
            "bfly": (own ^ n, (own ^ n) <= most),
            "idx": (least | (n & ~segment), (least | (n & ~segment)) <= most),
        }[mode]
        whole = np.zeros(state.count + 64, np.uint32)
        whole[lanes] = value(state, lanes)
        places = np.where(inside, lanes - own + source, lanes)
        if not here[places].all():
            raise EmulatedFault("shuffle", "reads a lane that is elsewhere")
        write(state, lanes, whole[places])
        if write_inside:
            write_inside(state, lanes, inside)

    return step


def vote(kernel: Kernel, instruction: Instruction) -> Step:
    """vote.sync of whole warps: what each lane says, whether all say yes, whether one does."""
    mode = instruction.opcode[2]
    if instruction.opcode[1] != "sync" or mode not in ("ballot", "all", "any"):
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    read = reader(kernel, instruction.operands[1], "pred")
    mask = reader(kernel, instruction.operands[2], "u32")
    write = writer(kernel, instruction.operands[0], "u32" if mode == "ballot" else "pred")

    def step(state: Lanes, lanes: Array) -> None:
        lanes = state.gather_warp(lanes, mask)
        if not len(lanes):
            return
        if (mask(state, lanes) != np.uint32(0xFFFFFFFF)).any():
            raise EmulatedFault("shuffle", "a vote of some lanes of a warp is not supported")
        bits = np.broadcast_to(read(state, lanes), lanes.shape).reshape(-1, 32)
        found: Array
        if mode == "ballot":
            found = np.packbits(bits, axis=1, bitorder="little").view(np.uint32)[:, 0]
        else:
            found = np.asarray(bits.all(axis=1) if mode == "all" else bits.any(axis=1))
        write(state, lanes, np.repeat(found, 32))
        state.go(state.pc + 1, lanes)

    return step
