"""Matrix units, and what feeds them: mma, ldmatrix, cp.async.

Comes in: an instruction. Goes out: a function over the state of the machine. Of mma, NVIDIA says
little; here products are exact, and the sum of an instruction's products and of what was there
before is taken as units of published measurements do it: all are cut off below the same bit,
24 + `EXTRA_BITS` below the top of the largest, added without error, and cut off to binary32 once.
What cp.async brings is there when somebody waits for it, as late as is legal; until then nobody may
read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.operands import Array, address, parts_of, reader, writer
from jitml.emulation.ptx import Instruction, PtxError

if TYPE_CHECKING:
    from jitml.emulation.instructions import Step
    from jitml.emulation.machine import Kernel, Lanes

EXTRA_BITS = 1
_WARP = 32
_ALL = np.uint32(0xFFFFFFFF)
_ROW_BYTES = 16


def _whole_warp(state: Lanes, lanes: Array) -> Array:
    """The mask of all lanes."""
    return np.broadcast_to(_ALL, lanes.shape)


# ---- mma -----------------------------------------------------------------------------------------


def sum_products(a: Array, b: Array, c: Array) -> Array:
    """c + a · b of matrices [.., m, k], [.., k, n], [.., m, n] of binary64 numbers, as the units
    sum them: binary32.
    """
    products = a[..., :, :, None] * b[..., None, :, :]
    terms = np.concatenate([products, c[..., :, None, :]], axis=-2)
    largest = np.abs(terms).max(axis=-2, keepdims=True)
    _, exponent = np.frexp(largest)
    unit = np.ldexp(1.0, np.maximum(exponent - 24 - EXTRA_BITS, -1000))
    total = (np.trunc(terms / unit) * unit).sum(axis=-2)
    plain = terms.sum(axis=-2)  # where something is infinite, or no number
    return np.where(np.isfinite(largest[..., 0, :]), _cut_off(total), plain.astype(np.float32))


def _cut_off(x: Array) -> Array:
    """Binary64 numbers as binary32, rounded toward zero."""
    near = x.astype(np.float32)
    is_over = np.abs(near.astype(np.float64)) > np.abs(x)
    cut: Array = np.where(is_over, np.nextafter(near, np.float32(0)), near)
    return cut


class Shape(NamedTuple):
    """How numbers lie in 32-bit registers: so many to a register, so many of k to a quarter."""

    name: str
    k: int
    per_register: int


SHAPES = {
    ("m16n8k16", "bf16"): Shape("bf16", 16, 2),
    ("m16n8k16", "f16"): Shape("f16", 16, 2),
    ("m16n8k8", "tf32"): Shape("tf32", 8, 1),
}


def multiply(kernel: Kernel, instruction: Instruction) -> Step:
    """mma.sync.aligned of 16 by 8 results in binary32."""
    code = instruction.opcode
    shape = SHAPES.get((code[3], code[-2]))
    is_known = code[1:3] == ("sync", "aligned") and code[4:6] == ("row", "col")
    if shape is None or not is_known or code[6] != "f32" or code[-1] != "f32":
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    targets, *sources = (parts_of(text) for text in instruction.operands)
    writes = [writer(kernel, t, "f32") for t in targets]
    read_words = [reader(kernel, s, "b32") for part in sources[:2] for s in part]
    read_sums = [reader(kernel, s, "f32") for s in sources[2]]

    def step(state: Lanes, lanes: Array) -> None:
        lanes = state.gather_warp(lanes, _whole_warp)
        if not len(lanes):
            return
        words, sums = (
            np.stack([np.broadcast_to(r(state, lanes), lanes.shape) for r in reads], -1)
            for reads in (read_words, read_sums)
        )
        found = unit_results(shape, words.astype(np.uint32), sums)
        for k, write in enumerate(writes):
            write(state, lanes, np.ascontiguousarray(found[:, k]))
        state.go(state.pc + 1, lanes)

    return step


def unit_results(shape: Shape, words: Array, sums: Array) -> Array:
    """What threads of whole warps, [thread, register], get for their operands and sums."""
    a, b = _matrix(words[:, :4], shape, 2), _matrix(words[:, 4:], shape, 1)
    # [warp, group, thread, half, column] -> rows (half, group), columns (thread, column)
    c = sums.reshape(-1, 8, 4, 2, 2).transpose(0, 3, 1, 2, 4).reshape(-1, 16, 8)
    found = sum_products(a, b.swapaxes(1, 2), c.astype(np.float64))
    return found.reshape(-1, 2, 8, 4, 2).transpose(0, 2, 3, 1, 4).reshape(-1, 4)


def _matrix(words: Array, shape: Shape, halves: int) -> Array:
    """[warp, free, k] out of registers that hold, for free axes of 8 or 16, k in two halves."""
    numbers = _numbers(np.ascontiguousarray(words), shape)
    # [warp, group, thread, half of k, half of the free axis, number]
    numbers = numbers.reshape(-1, 8, 4, 2, halves, shape.per_register)
    return numbers.transpose(0, 4, 1, 3, 2, 5).reshape(-1, 8 * halves, shape.k)


def _numbers(words: Array, shape: Shape) -> Array:
    """Registers as the numbers in them."""
    if shape.name == "tf32":  # its lower bits do not count
        return (words & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)
    halves = words.view(np.uint16)
    if shape.name == "f16":
        return halves.view(np.float16).astype(np.float64)
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


# ---- ldmatrix ------------------------------------------------------------------------------------


def load_matrices(kernel: Kernel, instruction: Instruction) -> Step:
    """ldmatrix.sync.aligned.m8n8.x4: four matrices of 8 rows of 16 bytes, each row named by one
    lane.
    """
    is_known = instruction.opcode[1:5] == ("sync", "aligned", "m8n8", "x4")
    if not is_known or instruction.opcode[-2:] != ("shared", "b16"):
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    is_turned = "trans" in instruction.opcode
    writes = [writer(kernel, t, "b32") for t in parts_of(instruction.operands[0])]
    place = address(kernel, instruction.operands[1])

    def step(state: Lanes, lanes: Array) -> None:
        lanes = state.gather_warp(lanes, _whole_warp)
        if not len(lanes):
            return
        offsets = place(state, lanes)
        state.count_banks(offsets, _ROW_BYTES, lanes)
        if (offsets & np.uint64(_ROW_BYTES - 1)).any():
            raise EmulatedFault("misaligned", "a row of 16 bytes of shared memory")
        words = []
        for k in range(0, _ROW_BYTES, 4):
            places = state.shared_places(offsets + np.uint64(k), 4, lanes, "load")
            words.append(state.shared.view(np.uint32)[places // 4])
        found = shared_out_rows(np.stack(words, -1), is_turned)
        for k, write in enumerate(writes):
            write(state, lanes, np.ascontiguousarray(found[:, k]))
        state.go(state.pc + 1, lanes)

    return step


def shared_out_rows(words: Array, is_turned: bool) -> Array:
    """What threads of whole warps, [thread, register], get: each brings a row of a matrix."""
    rows = words.view(np.uint16).reshape(-1, 4, 8, 8)  # warp, matrix, row, column
    if is_turned:
        rows = rows.swapaxes(2, 3)
    pairs = np.ascontiguousarray(rows).view(np.uint32).reshape(-1, 4, _WARP)
    return pairs.swapaxes(1, 2).reshape(-1, 4)


# ---- cp.async ------------------------------------------------------------------------------------


class Arriving(NamedTuple):
    """Bytes on their way: lanes, their groups, where to, the words."""

    lanes: Array
    groups: Array
    offsets: Array
    words: Array


def copy_later(kernel: Kernel, instruction: Instruction) -> Step:
    """cp.async and what closes and awaits its groups."""
    code = instruction.opcode
    if code[2] == "commit_group":
        return _close_group
    if code[2] in ("wait_group", "wait_all"):
        left = int(instruction.operands[0]) if code[2] == "wait_group" else -1
        return lambda state, lanes: _await(state, lanes, left)
    if code[2] not in ("ca", "cg") or code[3] != "shared" or code[4] != "global":
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    target, source = (address(kernel, text) for text in instruction.operands[:2])
    size = int(instruction.operands[2])
    read = reader(kernel, (*instruction.operands, str(size))[3], "u32")

    def step(state: Lanes, lanes: Array) -> None:
        offsets, begin = target(state, lanes), source(state, lanes)
        wanted = np.broadcast_to(np.asarray(read(state, lanes)), lanes.shape)
        if ((offsets | begin) & np.uint64(size - 1)).any() or (wanted > size).any():
            raise EmulatedFault("misaligned", f"a copy of {size} bytes")
        state.count_banks(offsets, size, lanes)
        _count_sectors(state, begin, wanted, lanes)
        words = np.zeros((len(lanes), size // 4), np.uint32)
        for k in range(0, size, 2):
            some = wanted > k
            if some.any():
                here = begin[some] + np.uint64(k)
                halves = words.view(np.uint16)
                halves[some, k // 2] = state.memory.load(here, 2, state.number[lanes[some]])
        for k in range(0, size, 4):
            places = state.shared_places(offsets + np.uint64(k), 4, lanes, "store")
            for byte in range(4):
                state.shared_written[places + byte] = False
        groups = state.copy_groups[lanes]
        state.arriving.append(Arriving(lanes, groups, offsets, words))

    return step


def _count_sectors(state: Lanes, begin: Array, wanted: Array, lanes: Array) -> None:
    some = wanted > 0
    if state.measures and some.any():
        state.count_sectors(begin[some], int(wanted.max()), lanes[some], "load")


def _close_group(state: Lanes, lanes: Array) -> None:
    state.copy_groups[lanes] += 1


def _await(state: Lanes, lanes: Array, left: int) -> None:
    """Let arrive what belongs to all groups but the last `left`; with -1, to the open one too."""
    is_here = np.zeros(state.count, bool)
    is_here[lanes] = True
    last = state.copy_groups - left
    still = []
    for copy in state.arriving:
        done = is_here[copy.lanes] & (copy.groups < last[copy.lanes])
        if done.any():
            _arrive(state, Arriving(*(x[done] for x in copy)))
        if not done.all():
            still.append(Arriving(*(x[~done] for x in copy)))
    state.arriving = still


def _arrive(state: Lanes, copy: Any) -> None:
    for k in range(copy.words.shape[1]):
        offsets = copy.offsets + np.uint64(4 * k)
        places = state.shared_places(offsets, 4, copy.lanes, "store")
        for byte in range(1, 4):
            state.shared_written[places + byte] = True
        state.shared.view(np.uint32)[places // 4] = copy.words[:, k]
