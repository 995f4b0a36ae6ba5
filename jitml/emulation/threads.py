"""A kernel's LLVM text run on this processor, thread by thread, in several orders.

Comes in: the text, arguments, a grid. Goes out: memory afterwards, with the same bits in each order
of blocks and threads; or a fault: an access outside, of what nobody has written, or misaligned; a
race; a barrier or an exchange of a warp that not all threads reach; results that depend on order.

It stands beside the emulator of PTX, and shares with it memory and faults, not how kernels run:
here LLVM makes the code, of the text that NVPTX makes PTX of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jitml.emulation.coroutines import (
    BARRIER,
    DONE,
    ENDLESS,
    LOAD,
    READY,
    STORE,
    THREAD,
    WARP,
    size_of,
    variables_of,
    write_coroutine,
)
from jitml.emulation.exchanges import exchange
from jitml.emulation.faults import EmulatedFault
from jitml.emulation.machine import Counts
from jitml.emulation.machine_code import MachineCode, inlined
from jitml.emulation.memory import WRITTEN, Memory
from jitml.emulation.races import first_race
from jitml.emulation.served import MISALIGNED, OUTSIDE, UNWRITTEN

ORDERS: tuple[str | int, ...] = ("forward", "backward", 0)  # a number is a seed
MOST_THREADS = 1024  # of a block
MOST_STEPS = 1 << 24  # of a thread
_APART_BYTES = 64  # what threads have of their own
_KINDS = {OUTSIDE: "out-of-bounds", UNWRITTEN: "uninitialised", MISALIGNED: "misaligned"}
_VERBS = {LOAD: "reads", STORE: "writes"}
Array = np.ndarray[Any, Any]
Contents = dict[int, tuple[Array, Array]]


class ThreadKernel:
    """A kernel, ready to run on memory that has this processor's addresses. Its runs take all
    `orders` in turn: "forward", "backward", or the seed of a random one. What lies behind so many
    bytes of an allocation whose parameter is in `unordered` may depend on the order. A thread that
    takes more than `most_steps` blocks of the text is taken for endless.
    """

    def __init__(
        self,
        text: str,
        memory: Memory,
        orders: Sequence[str | int] = ORDERS,
        unordered: Mapping[str, int] = MappingProxyType({}),
        most_steps: int = MOST_STEPS,
    ) -> None:
        self.most_steps = most_steps
        self.memory = memory
        self.orders = orders
        self.unordered = unordered
        text = inlined(text)
        self.variables = {v: memory.allocate(v.size_bytes) for v in variables_of(text)}
        addresses = {v.name: address for v, address in self.variables.items()}
        coroutine = write_coroutine(text, addresses)
        self.source, self.parameters = coroutine.source, coroutine.parameters
        self.own_bytes = coroutine.own_bytes
        self.own_pitch = (-(-self.own_bytes // _APART_BYTES) + 1) * _APART_BYTES
        area = MOST_THREADS * self.own_pitch * (self.own_bytes > 0)
        self.own = memory.allocate(area)
        self.code = MachineCode(coroutine.text, memory, self.own, area)
        for variable, address in self.variables.items():
            if not variable.is_shared:
                data = self.code.constant(variable.name, variable.size_bytes)
                memory.view(address, len(data), True)[:] = np.frombuffer(data, np.uint8)
        memory.close(self.own, area)

    @property
    def parameter_bytes(self) -> list[int]:
        """The size of each parameter."""
        return [size_of(type_) for type_, _ in self.parameters]

    @property
    def shared_bytes(self) -> int:
        """Of the memory that a block shares."""
        return sum(v.size_bytes for v in self.variables if v.is_shared)

    def launch(
        self,
        arguments: Sequence[int],
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        dynamic_shared_bytes: int = 0,
        measures: bool = False,
    ) -> Counts:
        """Run the kernel in each order; a fault of any thread is raised. Nothing is counted."""
        if block[1:] != (1, 1) or grid[1:] != (1, 1) or dynamic_shared_bytes:
            raise EmulatedFault("launch", "grids of one axis and no dynamic memory are supported")
        before, first = _contents(self.memory), None
        for order in self.orders:
            for offset, (data, state) in before.items():
                self.memory.bytes[offset : offset + len(data)] = data
                self.memory.state[offset : offset + len(data)] = state
            with np.errstate(all="ignore"):
                _Run(self, arguments, grid[0], block[0], order).run()
            after = _contents(self.memory)
            self._compare(first or after, after, arguments)
            first = first or after
        return Counts()

    def _compare(self, first: Contents, after: Contents, arguments: Sequence[int]) -> None:
        """Refuse memory that differs where it has been written."""
        ends = {
            address - self.memory.base: self.unordered[name]
            for (_, name), address in zip(self.parameters, arguments, strict=True)
            if name in self.unordered
        }
        for offset, (data, state) in after.items():
            old_data, old_state = first[offset]
            differs = (old_state != state) | ((state == WRITTEN) & (old_data != data))
            found = np.flatnonzero(differs[: ends.get(offset)])
            if len(found):
                where = self.place(self.memory.base + offset + int(found[0]), arguments)
                raise EmulatedFault("order", f"what is at {where} depends on the order of threads")

    def place(self, address: int, arguments: Sequence[int]) -> str:
        """An address by the last name before it: of a variable or of an argument."""
        found = [(begin, variable.name) for variable, begin in self.variables.items()]
        found += [
            (begin, name)
            for (type_, name), begin in zip(self.parameters, arguments, strict=True)
            if type_ == "ptr"
        ]
        found.append((self.own, "memory of threads' own"))
        begin, name = max([x for x in found if x[0] <= address], default=(0, ""))
        return f"{name}+{address - begin}" if name else hex(address)

    def line(self, site: int) -> str:
        """A line of the text."""
        return f"line {site}: {self.source[site - 1].split(', !')[0].strip()}"


def _contents(memory: Memory) -> Contents:
    """Bytes and states of all allocations, by where they begin."""
    return {
        begin: (memory.bytes[begin : begin + n].copy(), memory.state[begin : begin + n].copy())
        for begin, n in memory.sizes.items()
    }


class _Run:
    """One launch in one order of blocks and threads."""

    def __init__(
        self,
        kernel: ThreadKernel,
        arguments: Sequence[int],
        blocks: int,
        threads: int,
        order: str | int,
    ) -> None:
        self.kernel = kernel
        self.given = arguments
        self.arguments = np.array(arguments, np.uint64)
        self.blocks, self.count = blocks, threads
        self.order = order
        self.random = np.random.default_rng(order if isinstance(order, int) else 0)
        self.log: list[Array] = []  # of this block since the last barrier
        self.whole_log: list[tuple[int, Array]] = []  # of all blocks, by block

    def run(self) -> None:
        """Run all blocks, one after the other."""
        blocks = self._ordered(np.arange(self.blocks))
        for block in blocks:
            self._open()
            self._block(int(block))
        self._close()
        if len(blocks) > 1:
            number = np.concatenate([np.full(len(log), block) for block, log in self.whole_log])
            log = np.concatenate([log for _, log in self.whole_log])
            self._refuse_race(log, number, "block")

    def _ordered(self, numbers: Array) -> Array:
        if self.order == "forward":
            return numbers
        return numbers[::-1] if self.order == "backward" else self.random.permutation(numbers)

    def _open(self) -> None:
        """Let a block have its memory, whose bytes nobody has written."""
        kernel, memory = self.kernel, self.kernel.memory
        for variable, address in kernel.variables.items():
            if variable.is_shared:
                memory.open(address, variable.size_bytes)
        for thread in range(self.count if kernel.own_bytes else 0):
            memory.open(kernel.own + thread * kernel.own_pitch, kernel.own_bytes)

    def _close(self) -> None:
        kernel, memory = self.kernel, self.kernel.memory
        for variable, address in kernel.variables.items():
            if variable.is_shared:
                memory.close(address, variable.size_bytes)
        memory.close(kernel.own, self.count * kernel.own_pitch * (kernel.own_bytes > 0))

    def _block(self, number: int) -> None:
        threads = np.zeros(self.count, THREAD)
        threads["tid"] = np.arange(self.count)
        threads["ntid"], threads["ctaid"], threads["nctaid"] = self.count, number, self.blocks
        threads["steps"] = self.kernel.most_steps
        threads["own"] = self.kernel.own + threads["tid"].astype(np.uint64) * self.kernel.own_pitch
        try:
            while not (threads["state"] == DONE).all():
                self._go_on(threads, number)
            self._end_phase(number)
        finally:
            self.kernel.code.drop(threads)

    def _go_on(self, threads: Array, block: int) -> None:
        """Let threads run that can, or meet, or pass a barrier."""
        state = threads["state"]
        if (state == ENDLESS).any():
            first = int(np.flatnonzero(state == ENDLESS)[0])
            raise EmulatedFault("endless", f"block {block}, thread {first} does not come to an end")
        ready = np.flatnonzero(state == READY)
        if len(ready):
            log = self.kernel.code.run(threads, self.arguments, self._ordered(ready))
            is_bad = log["kind"] >= OUTSIDE
            self.log.append(log[~is_bad])
            if is_bad.any():
                self._refuse(log[is_bad], block)
        elif (state == WARP).any():
            waiting = np.flatnonzero(state == WARP)
            if not exchange(threads, waiting):
                line = self.kernel.line(threads["site"][waiting[0]])
                raise EmulatedFault("shuffle", f"the mask names threads that do not come: {line}")
        else:
            self._pass_barrier(threads, block)

    def _pass_barrier(self, threads: Array, block: int) -> None:
        waits = threads["state"] == BARRIER
        sites = np.unique(threads["site"][waits])
        if not waits.all() or len(sites) > 1:
            what = "others wait elsewhere" if waits.all() else "some have left"
            raise EmulatedFault(
                "divergent-barrier",
                f"threads of block {block} wait at a barrier, {what}: {self.kernel.line(sites[0])}",
            )
        self._end_phase(block)
        threads["state"] = READY

    # ---- what must not be ----------------------------------------------------------------------

    def _end_phase(self, block: int) -> None:
        """Look for races of the threads of a block since the last barrier."""
        log, self.log = np.concatenate(self.log), []
        self._refuse_race(log, log["thread"], f"block {block}, thread")
        shared = [
            (address, address + v.size_bytes)
            for v, address in self.kernel.variables.items() if v.is_shared
        ]  # fmt: skip
        for begin, end in shared:
            log = log[(log["address"] < begin) | (log["address"] >= end)]
        self.whole_log.append((block, log))

    def _refuse(self, bad: Array, block: int) -> None:
        """Refuse accesses that must not be; what another thread is yet to write is a race."""
        self.log.append(bad[bad["kind"] & OUTSIDE == 0])
        self.log[-1]["kind"] &= OUTSIDE - 1
        self._end_phase(block)
        kind = next(k for k in _KINDS if bad["kind"][0] & k)
        what = self._access(bad[0], f"block {block}, thread {bad['thread'][0]}")
        raise EmulatedFault(_KINDS[kind], what)

    def _refuse_race(self, log: Array, threads: Array, name: str) -> None:
        pair = first_race(log, threads)
        if pair:
            sides = [self._access(log[k], f"{name} {threads[k]}") for k in pair]
            raise EmulatedFault("race", "; ".join(sides))

    def _access(self, record: Any, who: str) -> str:
        """An access in words."""
        address, size, kind = int(record["address"]), int(record["size"]), int(record["kind"])
        where = self.kernel.place(address, self.given)
        verb = _VERBS.get(kind & (OUTSIDE - 1), "updates")
        return f"{who} {verb} {size} bytes at {where} ({self.kernel.line(int(record['site']))})"
