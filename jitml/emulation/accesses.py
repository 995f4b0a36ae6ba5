"""Instructions that reach memory: parameters, global, shared, and each thread's own.

Comes in: an instruction. Goes out: a function over the state of the machine. An address without a
space of its own tells by its range which one it is in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.emulation.memory import UNSIGNED
from jitml.emulation.operands import Array, address, dtype_of, parts_of, reader, writer
from jitml.emulation.ptx import Instruction, PtxError, bits_of

if TYPE_CHECKING:
    from jitml.emulation.machine import Kernel, Lanes

Step = Callable[["Lanes", Array], None]
SHARED_BASE = 0x0100_0000_0000  # of generic addresses
LOCAL_BASE = 0x0200_0000_0000
_BASES = {"shared": SHARED_BASE, "local": LOCAL_BASE, "global": 0, "const": 0}
_SPACES = ("global", "shared", "local", "param", "const")


def _type_of(instruction: Instruction) -> str:
    return instruction.opcode[-1]


def _space_of(instruction: Instruction) -> str:
    parts = [p.partition("_")[0] for p in instruction.opcode]
    return next((p for p in parts if p in _SPACES), "generic")


def convert_address(kernel: Kernel, instruction: Instruction) -> Step:
    """cvta: between addresses of a space and those that reach everywhere."""
    space, to_space = _space_of(instruction), "to" in instruction.opcode
    base = np.uint64(_BASES[space])
    read = reader(kernel, instruction.operands[1], "u64")
    write = writer(kernel, instruction.operands[0], "u64")
    if to_space:
        return lambda state, lanes: write(state, lanes, read(state, lanes) - base)
    return lambda state, lanes: write(state, lanes, np.asarray(read(state, lanes) + base))


def load(kernel: Kernel, instruction: Instruction) -> Step:
    """ld of one number, or of several side by side."""
    type_, space = _type_of(instruction), _space_of(instruction)
    targets = parts_of(instruction.operands[0])
    writes = [writer(kernel, t, type_) for t in targets]
    if space == "param":
        return _load_parameter(instruction, type_, writes[0])
    place = address(kernel, instruction.operands[1])
    size, dtype = bits_of(type_) // 8, dtype_of(type_)
    if dtype.kind == "f":
        dtype = np.dtype(UNSIGNED[size])

    def step(state: Lanes, lanes: Array) -> None:
        for here, some, where in _by_space(space, place(state, lanes), lanes):
            _check_whole(some, size * len(writes))
            if where == "global" and state.measures:
                state.count_sectors(some, size * len(writes), here, "load")
            elif where == "shared":
                state.count_banks(some, size * len(writes), here)
            for k, write in enumerate(writes):
                found = _read(state, some + np.uint64(k * size), size, here, where)
                write(state, here, found.view(dtype))

    return step


def _check_whole(addresses: Array, size_bytes: int) -> None:
    if (addresses & np.uint64(size_bytes - 1)).any():
        from jitml.emulation.faults import EmulatedFault

        raise EmulatedFault("misaligned", f"an access of {size_bytes} bytes")


def _load_parameter(instruction: Instruction, type_: str, write: Any) -> Step:
    name, _, offset = instruction.operands[1].strip("[]").partition("+")
    size, dtype = bits_of(type_) // 8, f"u{bits_of(type_) // 8}"
    begin = int(offset or 0)

    def step(state: Lanes, lanes: Array) -> None:
        data = state.parameters[name][begin : begin + size]
        write(state, lanes, np.full(len(lanes), np.frombuffer(data, dtype)[0]))

    return step


def _by_space(space: str, addresses: Array, lanes: Array) -> list[tuple[Array, Array, str]]:
    """Lanes, their addresses within a space, and the space."""
    if space != "generic":
        return [(lanes, addresses, "global" if space == "const" else space)]
    found = []
    is_shared = (addresses >= SHARED_BASE) & (addresses < LOCAL_BASE)
    is_local = (addresses >= LOCAL_BASE) & (addresses < LOCAL_BASE + SHARED_BASE)
    for chosen, name in (
        (is_shared, "shared"),
        (is_local, "local"),
        (~is_shared & ~is_local, "global"),
    ):
        if chosen.all():
            return [(lanes, addresses - np.uint64(_BASES[name]), name)]
        if chosen.any():
            found.append((lanes[chosen], addresses[chosen] - np.uint64(_BASES[name]), name))
    return found


def _read(state: Lanes, addresses: Array, size: int, lanes: Array, space: str) -> Array:
    if space == "global":
        return state.memory.load(addresses, size, state.number[lanes])
    if space == "shared":
        places = state.shared_places(addresses, size, lanes, "load")
        source = state.shared
    else:
        places = state.local_places(addresses, size, lanes, "load")
        source = state.local
    found: Array = source.view(UNSIGNED[size])[places // size]
    return found


def store(kernel: Kernel, instruction: Instruction) -> Step:
    """st of one number, or of several side by side."""
    type_, space = _type_of(instruction), _space_of(instruction)
    place = address(kernel, instruction.operands[0])
    reads = [reader(kernel, s, type_) for s in parts_of(instruction.operands[1])]
    size = bits_of(type_) // 8

    def step(state: Lanes, lanes: Array) -> None:
        addresses = place(state, lanes)
        values = [np.asarray(r(state, lanes)).view(UNSIGNED[size]) for r in reads]
        for here, some, where in _by_space(space, addresses, lanes):
            _check_whole(some, size * len(reads))
            if where == "global" and state.measures:
                state.count_sectors(some, size * len(reads), here, "store")
            elif where == "shared":
                state.count_banks(some, size * len(reads), here)
            for k, value in enumerate(values):
                if len(here) != len(lanes) and value.ndim:
                    value = value[np.isin(lanes, here)]
                _write(state, some + np.uint64(k * size), size, value, here, where)

    return step


def _write(
    state: Lanes, addresses: Array, size: int, values: Array, lanes: Array, space: str
) -> None:
    if space == "global":
        state.memory.store(addresses, size, values, state.number[lanes])
        return
    if space == "shared":
        places = state.shared_places(addresses, size, lanes, "store")
        target = state.shared
    else:
        places = state.local_places(addresses, size, lanes, "store")
        target = state.local
        state.local_written.reshape(-1)[places] = True
        for k in range(1, size):
            state.local_written[places + k] = True
    if space == "shared":
        for k in range(1, size):
            state.shared_written[places + k] = True
    target.view(UNSIGNED[size])[places // size] = values


def _flushed(x: Any) -> Any:
    """The number, or a zero of its sign where it is too small to be normal."""
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x)


def _add_pairs_of_bytes(old: Any, new: Any) -> Any:
    """The sum of two numbers of type bf16, rounded to nearest even."""
    wide = [(np.uint32(x) << np.uint32(16)).view(np.float32) for x in (old, new)]
    total = np.float32(wide[0] + wide[1])
    if total != total:
        return np.uint16(0x7FFF)
    bits = int(total.view(np.uint32))
    return np.uint16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


_ADDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "f32": lambda old, new: _flushed(_flushed(old) + _flushed(new)),
    "bf16": _add_pairs_of_bytes,
}
_UPDATES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda old, new: old + new,
    "min": lambda old, new: np.minimum(old, new),
    "max": lambda old, new: np.maximum(old, new),
    "exch": lambda old, new: new,
    "or": lambda old, new: old | new,
    "and": lambda old, new: old & new,
}


def update(kernel: Kernel, instruction: Instruction) -> Step:
    """atom and red on global memory, one lane after the other. As PTX has it, sums of f32 are made
    without the numbers that are too small to be normal.
    """
    if _space_of(instruction) != "global" or "cas" in instruction.opcode:
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    type_ = _type_of(instruction)
    has_result = instruction.opcode[0] == "atom"
    rest = instruction.operands[1:] if has_result else instruction.operands
    place, value = address(kernel, rest[0]), reader(kernel, rest[1], type_)
    write = writer(kernel, instruction.operands[0], type_) if has_result else None
    name = next(p for p in instruction.opcode if p in _UPDATES)
    function = _ADDITIONS.get(type_, _UPDATES[name]) if name == "add" else _UPDATES[name]
    size, dtype = bits_of(type_) // 8, dtype_of(type_)

    def step(state: Lanes, lanes: Array) -> None:
        places = state.memory.update(place(state, lanes), size, state.number[lanes])
        values = np.broadcast_to(value(state, lanes), lanes.shape)
        cells = state.memory.typed(size).view(dtype)
        before = np.zeros(len(lanes), dtype)
        for k, cell in enumerate(places):
            before[k] = cells[cell]
            cells[cell] = function(cells[cell], values[k])
        if write:
            write(state, lanes, before)

    return step
