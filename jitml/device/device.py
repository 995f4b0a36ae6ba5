"""A device that programs run on: its memory, loaded kernels, and the calls on their way.

In: a driver. Out: blocks of memory, counts of what went to and fro, errors of calls. All is asked
of one stream, so that what comes later finds what came before; nobody waits but `wait`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from threading import RLock
from typing import Any

from jitml.device.calls import EMPTY_BYTE, Pending
from jitml.device.driver import Driver
from jitml.device.errors import DeviceLostError, DeviceMemoryError
from jitml.device.launches import slot_bytes
from jitml.device.libraries import Libraries
from jitml.device.memory import Block, Host
from jitml.device.staging import Staging

MOST_STAGED_BYTES = 1 << 24  # of what is copied while the host goes on
MOST_PENDING = 64  # calls that the host is ahead of the device


_LOCK = RLock()  # of all devices: a copy from one to another needs both


@dataclass
class Counts:
    """What has gone to and fro since the process began. `read_backs` are the copies to the host by
    which a program's own decisions (`while`, `cond`) and host functions learn of values.
    """

    to_device: int = 0
    to_device_bytes: int = 0
    to_host: int = 0
    to_host_bytes: int = 0
    read_backs: int = 0
    launches: int = 0
    library_calls: int = 0
    graph_launches: int = 0


class Device:
    """A device: what is asked of it is asked inside of `entered`."""

    def __init__(
        self,
        driver: Driver,
        spanning: Callable[[str, str], AbstractContextManager[None]] = lambda *_: nullcontext(),
    ) -> None:
        self.driver = driver
        self._spanning = spanning  # who wants to know when what was waited for
        self.counts = Counts()
        self.generation = 0  # counts how often it has begun anew
        self.bytes_in_use = self.peak_bytes = 0
        self._sizes: dict[int, int] = {}
        # Memory and graphs that nobody needs any more; told at any time, by any thread.
        self._garbage: deque[tuple[int, int, Any]] = deque()
        self._kept: list[Host] = []  # host memory that copies go to
        self._pending: list[Pending] = []
        with self.entered():
            self._begin()

    def __repr__(self) -> str:
        return f"cuda:{self.driver.ordinal}"

    @contextmanager
    def entered(self) -> Iterator[Device]:
        """Inside, this thread has the device for itself. Where the device fails, it begins anew,
        and what was on its way has failed.
        """
        with _LOCK:
            self.driver.make_current()
            try:
                yield self
            except DeviceLostError as error:
                pending, self._pending = self._pending, []
                self._lose(error, pending)
                raise

    def _begin(self) -> None:
        self._functions: dict[str, Any] = {}
        self._marks = 0
        self._staging = Staging(self.driver)
        self.libraries = Libraries(self.driver)
        self._sizes.clear()
        self.bytes_in_use = 0
        size = slot_bytes(self.driver.most_threads)
        self.slot = self.driver.allocate(size)  # of the errors of the call that runs
        self.driver.fill(self.slot, EMPTY_BYTE, size)

    def _reset(self) -> None:
        """Begin anew after an error that the device does not get over: its memory is gone."""
        self.generation += 1
        self._garbage.clear()
        self._kept.clear()
        self.libraries.abandon()
        self.driver.reset()
        self._begin()

    # ---- memory --------------------------------------------------------------------------------

    def allocate(self, size_bytes: int) -> int:
        """Memory from the pool; where there is none, what nobody needs is given back first."""
        self.collect()
        try:
            address = self.driver.allocate(size_bytes)
        except DeviceMemoryError:
            address = self._allocate_last(size_bytes)
        self._sizes[address] = size_bytes
        self.bytes_in_use += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.bytes_in_use)
        return address

    def _allocate_last(self, size_bytes: int) -> int:
        self.must_wait()
        self.collect()
        self.driver.trim()
        try:
            return self.driver.allocate(size_bytes)
        except DeviceMemoryError as error:
            free, total = self.driver.free_bytes()
            error.hint = (
                f"{size_bytes:,} bytes were wanted; arrays and programs have "
                f"{self.bytes_in_use:,}, {free:,} of {total:,} are free"
            )
            raise

    def discard(self, generation: int, address: int, graph: Any = None) -> None:
        """Note what nobody needs any more; nothing is done yet."""
        self._garbage.append((generation, address, graph))

    def collect(self) -> None:
        """Give back what has been discarded, when the stream gets there."""
        while self._garbage:
            generation, address, graph = self._garbage.popleft()
            if generation != self.generation:
                continue
            if graph is not None:
                self.driver.release_graph(graph)
            else:
                self.bytes_in_use -= self._sizes.pop(address)
                self.driver.release(address)

    # ---- copies --------------------------------------------------------------------------------

    def copy_in(self, address: int, data: Host) -> None:
        """Copy an array of the host to the device; it may change as soon as this returns."""
        self.counts.to_device += 1
        self.counts.to_device_bytes += data.nbytes
        is_large = data.nbytes > MOST_STAGED_BYTES
        with self._spanning("transfer", "to the device"):
            source = data.ctypes.data if is_large else self._staging.stage(data)
            self.driver.copy_in(address, source, data.nbytes)
            if is_large or self._staging.taken_bytes > 4 * MOST_STAGED_BYTES:
                self.must_wait()

    def copy_out(self, data: Host, address: int) -> None:
        """Copy to an array of the host, which has the elements after the next `wait`."""
        self.counts.to_host += 1
        self.counts.to_host_bytes += data.nbytes
        self._kept.append(data)
        with self._spanning("transfer", "to the host"):
            self.driver.copy_out(data.ctypes.data, address, data.nbytes)

    def block_of(self, data: Host) -> Block:
        """A block with a copy of an array of the host."""
        block = Block(self, data.nbytes)
        self.copy_in(block.address, data)
        return block

    def copy_from(self, source: Block) -> Block:
        """A block with what one of another device has, which must have been waited for."""
        self.driver.make_current()
        block = Block(self, source.size_bytes)
        self.driver.copy_from(source.device.driver, source.address, block.address, block.size_bytes)
        self.driver.synchronize()  # the other device may use the memory again
        return block

    # ---- work ----------------------------------------------------------------------------------

    def function(self, ptx: str) -> Any:
        """The kernel of a PTX text, loaded once."""
        if ptx not in self._functions:
            self._functions[ptx] = self.driver.load(ptx.encode())
        return self._functions[ptx]

    def add(self, call: Pending) -> None:
        """Note a call whose work has been asked for."""
        self._marks += 1
        call.number = self._marks
        self._pending.append(call)
        self.driver.mark(call.number)
        if len(self._pending) >= MOST_PENDING:
            self.wait()

    def wait(self) -> DeviceLostError | None:
        """Wait until all that was asked is done, and settle the calls. Where the device fails
        meanwhile it begins anew, they all have failed, and the error is given.
        """
        pending, self._pending = self._pending, []
        try:
            for call in pending:
                call.ask()
            with self._spanning("wait", repr(self)):
                self.driver.synchronize()
            self._kept.clear()
            self._staging.release()
            for call in pending:
                call.settle()
            if self.libraries.has_retired:
                self.collect()  # graphs, before what they call
                self.libraries.collect()
        except DeviceLostError as error:
            self._lose(error, pending)
            if not pending:
                raise
            return error
        return None

    def must_wait(self) -> None:
        """Wait; raise the error with which the device has failed."""
        error = self.wait()
        if error is not None:
            raise error

    def _lose(self, error: DeviceLostError, pending: list[Pending]) -> None:
        if error.is_known:
            return
        error.is_known = True
        reached = self.driver.progress
        failed = [call for call in pending if call.number > reached and not call.is_settled]
        # Calls must not keep the frames that the error passes, for these have the calls' arrays.
        located = copy(failed[0].locate(error) if failed else error)
        for call in pending:
            call.end(located if call in failed else call.error)
        self._reset()
