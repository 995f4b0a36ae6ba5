"""Threads as lanes of NumPy arrays: run a kernel of a module over a grid.

Comes in: a module, a kernel's name, its arguments, the grid. Goes out: what it did to memory, and
what was counted. Lanes that stand at the same instruction go on together, those that are behind
first, until they meet again; the lanes of one warp that wait for each other must then be together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.instructions import compile_instruction
from jitml.emulation.matrix import Arriving
from jitml.emulation.memory import Memory
from jitml.emulation.operands import Reader
from jitml.emulation.ptx import Entry, Module

MOST_LANES = 1 << 14  # that run together
WARP = 32
SECTOR_BYTES = 32
BANKS = 32  # of shared memory, 4 bytes wide
SHARED_BASE = 0x0100_0000_0000  # of generic addresses
LOCAL_BASE = 0x0200_0000_0000
MOST_STEPS = 200_000_000
Array = np.ndarray[Any, Any]
Step = Callable[["Lanes", Array], None]


@dataclass
class Counts:
    """What a launch did. Sectors are parts of 32 bytes that warps' accesses of memory touch. Those
    of shared memory go in turns of 128 bytes; places of one bank take further ones: conflicts.
    """

    instructions: Counter[str] = field(default_factory=Counter)
    load_sectors: int = 0
    store_sectors: int = 0
    widest_access: int = 0
    shared_turns: int = 0
    bank_conflicts: int = 0

    @property
    def sectors(self) -> int:
        """Sectors moved in either direction."""
        return self.load_sectors + self.store_sectors

    def __str__(self) -> str:
        return (
            f"{self.load_sectors} sectors read, {self.store_sectors} written, by accesses of up to "
            f"{self.widest_access} bytes; {self.shared_turns} turns of shared memory and "
            f"{self.bank_conflicts} more by bank conflicts"
        )


class Kernel:
    """One kernel of a module, ready to run."""

    def __init__(
        self, module: Module, entry: Entry, memory: Memory, most_steps: int = MOST_STEPS
    ) -> None:
        self.entry = entry
        self.is_foreign = module.is_foreign
        self.memory = memory
        self.most_steps = most_steps
        self.shared: dict[str, int] = {}
        self.local: dict[str, int] = {}
        self.constants: dict[str, int] = {}
        self.shared_bytes = self.local_bytes = 0
        for variable in (*module.variables.values(), *entry.variables.values()):
            if variable.space == "shared":
                self.shared_bytes = _aligned(self.shared_bytes, variable.align)
                self.shared[variable.name] = self.shared_bytes
                self.shared_bytes += variable.size_bytes
            elif variable.space == "local":
                self.local_bytes = _aligned(self.local_bytes, variable.align)
                self.local[variable.name] = self.local_bytes
                self.local_bytes += variable.size_bytes
            else:
                address = memory.allocate(variable.size_bytes)
                view = memory.view(address, variable.size_bytes, True)
                view[:] = np.frombuffer(variable.data, np.uint8)
                self.constants[variable.name] = address
        self.local_bytes = _aligned(self.local_bytes, 16)
        self.steps: list[Step] = [
            compile_instruction(self, instruction) for instruction in entry.instructions
        ]
        ends = {i for i, x in enumerate(entry.instructions) if x.opcode[0] in _CONTROL}
        self.is_control = [i in ends for i in range(len(self.steps))]

    @property
    def parameter_bytes(self) -> list[int]:
        """The size of each parameter."""
        return list(self.entry.parameters.values())

    def launch(
        self,
        arguments: Sequence[int],
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        dynamic_shared_bytes: int = 0,
        measures: bool = False,
    ) -> Counts:
        """Run the kernel; a fault of any thread is raised."""
        sizes = list(self.entry.parameters.items())
        assert len(sizes) == len(arguments), (sizes, arguments)
        parameters = {
            name: (value % (1 << 8 * size)).to_bytes(size, "little")
            for (name, size), value in zip(sizes, arguments, strict=True)
        }
        threads = block[0] * block[1] * block[2]
        if threads > (self.entry.most_threads or threads):
            raise EmulatedFault("launch", f"{threads} threads of a kernel for fewer")
        blocks = grid[0] * grid[1] * grid[2]
        first = self.memory.begin_launch(threads * blocks)
        counts = Counts()
        together = max(1, MOST_LANES // threads)
        with np.errstate(all="ignore"):
            for begin in range(0, blocks, together):
                number = np.arange(begin, min(begin + together, blocks))
                lanes = Lanes(self, parameters, number, grid, block, first, counts, measures)
                lanes.share(self.shared_bytes, dynamic_shared_bytes)
                lanes.run()
        return counts


_CONTROL = ("bra", "bar", "barrier", "ret", "exit", "shfl", "vote", "mma", "ldmatrix")


def _aligned(offset: int, align: int) -> int:
    return (offset + align - 1) // align * align


class Lanes:
    """The threads of some blocks while they run."""

    def __init__(
        self,
        kernel: Kernel,
        parameters: dict[str, bytes],
        blocks: Array,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        first_thread: int,
        counts: Counts,
        measures: bool,
    ) -> None:
        self.kernel = kernel
        self.memory = kernel.memory
        self.parameters = parameters
        self.counts = counts
        self.measures = measures
        per_block = block[0] * block[1] * block[2]
        self.count = per_block * len(blocks)
        lane = np.arange(self.count)
        self.thread = lane % per_block  # within its block
        self.block = lane // per_block  # of those that run together
        number = blocks[self.block]
        self.number = (number * per_block + self.thread + first_thread).astype(np.int32)
        self.registers: dict[str, Array] = {}
        self.special = _special(self.thread, number, grid, block)
        self.groups: dict[int, Array] = {0: lane}
        self.waiting: dict[int, list[Array]] = {}
        self.parked: dict[int, Array] = {}  # lanes that wait for others of their warp
        self.exited = np.zeros(self.count, bool)
        self.epoch = np.zeros(len(blocks), np.int64)
        self.local = np.zeros(max(16, kernel.local_bytes) * self.count, np.uint8)
        self.local_written = np.zeros(self.local.size, bool)
        self.arriving: list[Arriving] = []  # what cp.async has been asked for
        self.copy_groups = np.zeros(self.count, np.int64)  # that each lane has closed
        self.pc = 0

    def share(self, static_bytes: int, dynamic_bytes: int) -> None:
        """Give each block memory that its threads share."""
        self.special["%dynamic_smem_size"] = np.full(self.count, dynamic_bytes, np.uint32)
        self.shared_size = max(16, static_bytes + dynamic_bytes)
        self.shared = np.zeros(self.shared_size * len(self.epoch), np.uint8)
        self.shared_seen = np.full((4, self.shared.size), -1, np.int64)
        self.shared_written = np.zeros(self.shared.size, bool)

    def run(self) -> None:
        steps, is_control = self.kernel.steps, self.kernel.is_control
        taken = 0
        names = [".".join(i.opcode) for i in self.kernel.entry.instructions]
        while self.groups or self.waiting or self.parked:
            if not self.groups:
                self._refuse_parked()
                self._release_barrier()
                continue
            pc = min(self.groups)
            lanes = self.groups.pop(pc)
            stop = min(self.groups, default=len(steps))
            while True:
                taken += 1
                if taken > self.kernel.most_steps:
                    raise EmulatedFault("endless", "the kernel does not come to an end")
                self.pc = pc
                if self.measures:
                    self.counts.instructions[names[pc]] += len(lanes)
                try:
                    steps[pc](self, lanes)
                except EmulatedFault as fault:
                    fault.line = fault.line or self.kernel.entry.instructions[pc].line
                    raise
                if is_control[pc]:
                    break
                pc += 1
                if pc >= stop:
                    self.go(pc, lanes)
                    break

    def go(self, pc: int, lanes: Array) -> None:
        """Let lanes go on at an instruction, together with those that stand there."""
        if not len(lanes):
            return
        if pc >= len(self.kernel.steps):
            self.exited[lanes] = True
            return
        there = self.groups.get(pc)
        self.groups[pc] = lanes if there is None else np.sort(np.concatenate([there, lanes]))

    def wait(self, lanes: Array) -> None:
        """Lanes come to a barrier."""
        self.waiting.setdefault(self.pc, []).append(lanes)

    def gather_warp(self, lanes: Array, mask: Reader) -> Array:
        """The lanes that have met here, after these came, with all that they name by the bits of a
        mask; the others are parked until those come.
        """
        before = self.parked.pop(self.pc, None)
        if before is not None:
            lanes = np.sort(np.concatenate([before, lanes]))
        bits = np.uint32(1) << (self.thread[lanes] % WARP).astype(np.uint32)
        warp = lanes // WARP
        present = np.zeros(-(-self.count // WARP), np.uint32)
        np.bitwise_or.at(present, warp, bits)
        met = (mask(self, lanes) & ~present[warp]) == 0
        if not met.all():
            self.parked[self.pc] = lanes[~met]
        together: Array = lanes[met]
        return together

    def _refuse_parked(self) -> None:
        """Nobody else comes to where lanes of a warp wait for others."""
        for pc in self.parked:
            line = self.kernel.entry.instructions[pc].line
            raise EmulatedFault("shuffle", "the mask names lanes that do not come", line)

    def _release_barrier(self) -> None:
        """All lanes wait: blocks whose lanes stand at one barrier go on."""
        self.epoch += 1
        place = np.full(self.count, -1)
        for pc, groups in self.waiting.items():
            for lanes in groups:
                place[lanes] = pc
        for block in range(len(self.epoch)):
            places = place[self.block == block]
            if (places >= 0).any() and len(np.unique(places)) > 1:
                what = "some have left" if (places < 0).any() else "others wait elsewhere"
                raise EmulatedFault(
                    "divergent-barrier",
                    f"threads of block {block} wait at a barrier, {what}",
                    self.kernel.entry.instructions[int(places.max())].line,
                )
        waiting, self.waiting = self.waiting, {}
        for pc, groups in waiting.items():
            self.go(pc + 1, np.sort(np.concatenate(groups)))

    # ---- registers -----------------------------------------------------------------------------

    def read(self, name: str, lanes: Array) -> Array:
        """The bits of a register."""
        try:
            register = self.registers[name]
        except KeyError:
            raise EmulatedFault("unset-register", f"nothing has been written to {name}") from None
        found: Array = register if len(lanes) == self.count else register[lanes]
        return found

    def write(self, name: str, values: Any, lanes: Array) -> None:
        """Set a register, to a fresh array of the right width."""
        if len(lanes) == self.count and values.ndim:
            self.registers[name] = values
            return
        register = self.registers.get(name)
        if register is None:
            register = self.registers[name] = np.zeros(self.count, values.dtype)
        register[lanes] = values

    # ---- memory of blocks and threads ----------------------------------------------------------

    def shared_places(self, offsets: Array, size: int, lanes: Array, kind: str) -> Array:
        """Where an access of shared memory lands; bounds, initialisation and races are checked."""
        inside = offsets <= np.uint64(self.shared_size - size)
        if not inside.all():
            raise EmulatedFault("out-of-bounds", f"{size} bytes of shared memory")
        if (offsets & np.uint64(size - 1)).any():
            raise EmulatedFault("misaligned", f"{size} bytes of shared memory")
        places: Array = offsets.view(np.int64) + self.block[lanes] * self.shared_size
        writer, written_at, reader, read_at = self.shared_seen
        thread, epoch = self.thread[lanes], self.epoch[self.block[lanes]]
        if kind == "load":
            if not self.shared_written[places].all():
                raise EmulatedFault("uninitialised", f"{size} bytes of shared memory")
            if ((written_at[places] == epoch) & (writer[places] != thread)).any():
                raise EmulatedFault("race", "shared memory read without a barrier after the write")
            both = (read_at[places] == epoch) & (reader[places] != thread)
            reader[places] = np.where(both, -2, thread)
            several = reader[places] != np.where(both, -2, thread)
            reader[places[several]] = -2
            read_at[places] = epoch
        else:
            used = (written_at[places] == epoch) & (writer[places] != thread)
            used |= (read_at[places] == epoch) & (reader[places] != thread)
            writer[places] = thread
            if used.any() or (writer[places] != thread).any():
                raise EmulatedFault("race", "shared memory written that another thread uses")
            written_at[places] = epoch
            self.shared_written[places] = True
        return places

    def local_places(self, offsets: Array, size: int, lanes: Array, kind: str) -> Array:
        """Where an access of a thread's own memory lands."""
        if (offsets > np.uint64(max(0, self.kernel.local_bytes - size))).any():
            raise EmulatedFault("out-of-bounds", f"{size} bytes of a thread's own memory")
        if (offsets & np.uint64(size - 1)).any():
            raise EmulatedFault("misaligned", f"{size} bytes of a thread's own memory")
        places: Array = offsets.view(np.int64) + lanes * max(16, self.kernel.local_bytes)
        if kind == "store":
            self.local_written[places] = True
        elif not self.local_written[places].all():
            raise EmulatedFault("uninitialised", f"{size} bytes of a thread's own memory")
        return places

    def count_sectors(self, addresses: Array, size: int, lanes: Array, kind: str) -> None:
        """Count the sectors that the warps' accesses touch."""
        warp = lanes.astype(np.uint64) // np.uint64(WARP)
        sectors = (warp << np.uint64(44)) + addresses // np.uint64(SECTOR_BYTES)
        number = len(np.unique(sectors))
        if kind == "load":
            self.counts.load_sectors += number
        else:
            self.counts.store_sectors += number
        self.counts.widest_access = max(self.counts.widest_access, size)

    def count_banks(self, offsets: Array, size: int, lanes: Array) -> None:
        """Count the turns that the warps' accesses of shared memory take. Lanes go together as far
        as they have 128 bytes; lanes that read one word together wait for nobody.
        """
        if not self.measures:
            return
        words = max(1, size // 4)
        turn = lanes.astype(np.int64) * words // BANKS
        first = np.asarray(offsets).astype(np.int64) // 4
        every = (first[:, None] + np.arange(words)).ravel()
        places = np.unique((np.repeat(turn, words) << 32) + every)
        in_bank = (places >> 32) * BANKS + (places & (BANKS - 1))
        banks, count = np.unique(in_bank, return_counts=True)
        turns, begins = np.unique(banks // BANKS, return_index=True)
        most = np.maximum.reduceat(count, begins)
        self.counts.shared_turns += len(turns)
        self.counts.bank_conflicts += int((most - 1).sum())


def _special(
    thread: Array, block: Array, grid: tuple[int, int, int], size: tuple[int, int, int]
) -> dict[str, Array]:
    def coordinates(number: Array, extents: tuple[int, int, int]) -> tuple[Array, Array, Array]:
        x, y, _ = extents
        return number % x, number // x % y, number // (x * y)

    values: dict[str, Array] = {"%laneid": thread % WARP, "%warpid": thread // WARP}
    for name, found in (("tid", coordinates(thread, size)), ("ctaid", coordinates(block, grid))):
        values.update({f"%{name}.{x}": v for x, v in zip("xyz", found, strict=True)})
    for name, extents in (("ntid", size), ("nctaid", grid)):
        for x, extent in zip("xyz", extents, strict=True):
            values[f"%{name}.{x}"] = np.full(len(thread), extent)
    return {name: v.astype(np.uint32) for name, v in values.items()}
