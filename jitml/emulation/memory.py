"""The memory of an emulated device: every byte knows whether it is allocated and written.

Comes in: addresses of many lanes at once. Goes out: numbers. Allocations are kept apart, so that an
access beside one is seen. Threads that touch what another thread of the same launch writes are
races: `writers` and `readers` hold the number of the last one, and `readers` the negative of a
launch's first thread where several of its threads have read.
"""

from __future__ import annotations

from bisect import insort
from typing import Any

import numpy as np

from jitml.emulation.faults import EmulatedFault

BASE = 0x7000_0000_0000
GAP_BYTES = 256  # between allocations; the alignment of all of them
UNALLOCATED, ALLOCATED, WRITTEN = 0, 1, 2
Array = np.ndarray[Any, Any]
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class OutOfMemory(Exception):
    """No gap is large enough."""


def _with_gap(size_bytes: int) -> int:
    return (max(size_bytes, 1) + 2 * GAP_BYTES - 1) // GAP_BYTES * GAP_BYTES


class Memory:
    """Global memory: `size_bytes` from `base` on; from where they really are, if that is None."""

    def __init__(self, size_bytes: int = 1 << 28, base: int | None = BASE) -> None:
        self.size_bytes = size_bytes
        room = np.zeros(size_bytes + GAP_BYTES, np.uint8)
        begin = -room.ctypes.data % GAP_BYTES
        self.bytes = room[begin : begin + size_bytes]
        self.base: int = self.bytes.ctypes.data if base is None else base
        self.state = np.zeros(size_bytes, np.uint8)
        self.writers = np.zeros(size_bytes, np.int32)
        self.readers = np.zeros(size_bytes, np.int32)
        self.sizes: dict[int, int] = {}
        self.free = [(GAP_BYTES, size_bytes - GAP_BYTES)]  # offsets and sizes, in order
        self.live_bytes = self.peak_bytes = 0
        self.conditionals: dict[int, int | None] = {}  # by handle: of the graph that runs
        self.first_thread = 1  # of this launch: lower numbers are of earlier ones
        self._next_thread = 1
        self._typed = {n: self.bytes.view(t) for n, t in UNSIGNED.items()}
        self._states = {n: self.state.view(t) for n, t in UNSIGNED.items()}

    # ---- allocation ----------------------------------------------------------------------------

    def allocate(self, size_bytes: int) -> int:
        """The address of new memory, open at once, whose bytes nobody has written. It comes from
        the end: elsewhere there may be memory that is yet to be closed.
        """
        needed = _with_gap(size_bytes)
        offset, size = self.free[-1] if self.free else (0, 0)
        if size < needed:
            raise OutOfMemory(f"{size_bytes} bytes")
        self.free[-1] = (offset, size - needed)
        address = self._take(offset + size - needed, size_bytes)
        self.open(address, size_bytes)
        return address

    def reserve(self, size_bytes: int) -> int:
        """The address of memory that is to be opened before it is used."""
        needed = _with_gap(size_bytes)
        for place, (offset, size) in enumerate(self.free):
            if size >= needed:
                self.free[place] = (offset + needed, size - needed)
                return self._take(offset, size_bytes)
        raise OutOfMemory(f"{size_bytes} bytes")

    def _take(self, offset: int, size_bytes: int) -> int:
        self.sizes[offset] = size_bytes
        self.live_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return self.base + offset

    def open(self, address: int, size_bytes: int) -> None:
        """Let memory be used, whose bytes nobody has written."""
        offset = address - self.base
        self.state[offset : offset + size_bytes] = ALLOCATED
        self.bytes[offset : offset + size_bytes] = 0xA5

    def close(self, address: int, size_bytes: int) -> None:
        """Let memory be used no longer."""
        offset = address - self.base
        self.state[offset : offset + size_bytes] = UNALLOCATED

    def release(self, address: int) -> None:
        """Give memory back, and close it."""
        self.close(address, self.forget(address))

    def forget(self, address: int) -> int:
        """Let others reserve memory; its size. KeyError where it is none."""
        offset = address - self.base
        size = self.sizes.pop(offset)
        self.live_bytes -= size
        insort(self.free, (offset, _with_gap(size)))
        self._join_gaps()
        return size

    def _join_gaps(self) -> None:
        joined: list[tuple[int, int]] = []
        for offset, size in self.free:
            if joined and sum(joined[-1]) == offset:
                joined[-1] = (joined[-1][0], joined[-1][1] + size)
            else:
                joined.append((offset, size))
        self.free = [gap for gap in joined if gap[1]]

    # ---- from the host -------------------------------------------------------------------------

    def view(self, address: int, size_bytes: int, writes: bool) -> Array:
        """Bytes of one allocation, as the host reads or writes them."""
        offset = address - self.base
        end = offset + size_bytes
        inside = offset >= 0 and end <= self.size_bytes
        if not inside or (size_bytes and not self.state[offset:end].all()):
            raise EmulatedFault("out-of-bounds", f"copy of {size_bytes} bytes at {address:#x}")
        if writes:
            self.state[offset:end] = WRITTEN
        elif (self.state[offset:end] != WRITTEN).any():
            raise EmulatedFault("uninitialised", f"copy of {size_bytes} bytes at {address:#x}")
        return self.bytes[offset:end]

    def copy(self, source: int, target: int, size_bytes: int) -> None:
        """Copy within the device; bytes that nobody has written stay so."""
        begin, end = source - self.base, target - self.base
        for first in (begin, end):
            inside = first >= 0 and first + size_bytes <= self.size_bytes
            if not inside or not self.state[first : first + size_bytes].all():
                raise EmulatedFault("out-of-bounds", f"copy of {size_bytes} bytes")
        self.bytes[end : end + size_bytes] = self.bytes[begin : begin + size_bytes]
        self.state[end : end + size_bytes] = self.state[begin : begin + size_bytes]

    # ---- from threads --------------------------------------------------------------------------

    def _offsets(self, addresses: Array, size: int, threads: Array) -> Array:
        offsets = addresses - np.uint64(self.base)
        bad = offsets > np.uint64(self.size_bytes - size)
        if bad.any():
            self._report("out-of-bounds", addresses, bad, size, threads)
        if (offsets & np.uint64(size - 1)).any():
            bad = (offsets & np.uint64(size - 1)) != 0
            self._report("misaligned", addresses, bad, size, threads)
        return offsets.view(np.int64)

    def load(self, addresses: Array, size: int, threads: Array) -> Array:
        """What lanes of these threads read."""
        offsets = self._offsets(addresses, size, threads)
        places = offsets // size
        states = self._states[size][places]
        whole = UNSIGNED[size](int.from_bytes(bytes([WRITTEN] * size), "little"))
        if (states != whole).any():
            self._explain(addresses, states, size, threads)
        writers = self.writers[offsets]
        others = (writers >= self.first_thread) & (writers != threads)
        if others.any():
            self._report("race", addresses, others, size, threads, "reads what another has written")
        readers, many = self.readers[offsets], np.int32(-self.first_thread)
        shared = (readers >= self.first_thread) & (readers != threads) | (readers == many)
        marks = np.where(shared, many, threads)
        self.readers[offsets] = marks
        # Lanes of one access that read the same place.
        self.readers[offsets[self.readers[offsets] != marks]] = many
        result: Array = self._typed[size][places]
        return result

    def store(self, addresses: Array, size: int, values: Array, threads: Array) -> None:
        """Lanes of these threads write."""
        offsets = self._offsets(addresses, size, threads)
        places = offsets // size
        states = self._states[size][places]
        if np.min(states.view(np.uint8), initial=WRITTEN) == UNALLOCATED:
            self._explain(addresses, states, size, threads)
        writers, readers = self.writers[offsets], self.readers[offsets]
        others = (writers >= self.first_thread) & (writers != threads)
        others |= (readers == -self.first_thread) | (readers >= self.first_thread) & (
            readers != threads
        )
        if others.any():
            self._report("race", addresses, others, size, threads, "writes what another uses")
        self.writers[offsets] = threads
        if (self.writers[offsets] != threads).any():
            bad = self.writers[offsets] != threads
            self._report("race", addresses, bad, size, threads, "lanes write one address together")
        self._typed[size][places] = values
        whole = UNSIGNED[size](int.from_bytes(bytes([WRITTEN] * size), "little"))
        self._states[size][places] = whole

    def update(self, addresses: Array, size: int, threads: Array) -> Array:
        """Places of an atomic update, which may meet others of its kind."""
        offsets = self._offsets(addresses, size, threads)
        states = self._states[size][offsets // size]
        whole = UNSIGNED[size](int.from_bytes(bytes([WRITTEN] * size), "little"))
        if (states != whole).any():
            self._explain(addresses, states, size, threads)
        return offsets // size

    def typed(self, size: int) -> Array:
        """All memory as unsigned numbers of `size` bytes."""
        return self._typed[size]

    def begin_launch(self, threads: int) -> int:
        """Begin a launch: the number of its first thread."""
        if self._next_thread + threads > 2**31 - 1:
            self.writers[:] = 0
            self.readers[:] = 0
            self._next_thread = 1
        self.first_thread = self._next_thread
        self._next_thread += threads
        return self.first_thread

    def _explain(self, addresses: Array, states: Array, size: int, threads: Array) -> None:
        lowest = states.view(np.uint8).reshape(-1, size).min(axis=1)
        for state, kind in ((UNALLOCATED, "out-of-bounds"), (ALLOCATED, "uninitialised")):
            if (lowest == state).any():
                self._report(kind, addresses, lowest == state, size, threads)

    def _report(
        self, kind: str, addresses: Array, bad: Array, size: int, threads: Array, what: str = ""
    ) -> None:
        first = int(np.flatnonzero(bad)[0])
        thread = int(np.broadcast_to(threads, bad.shape)[first]) - self.first_thread
        message = f"{size} bytes at {int(addresses[first]):#x}, thread {thread}"
        raise EmulatedFault(kind, f"{message} {what}".rstrip())
