"""Streams of emulated devices: work that waits until somebody synchronises, as late as is legal.

In: work, for one stream of one device. Out: work done in order; a device that has met a fault says
so to whoever asks it anything from then on. What a stream records becomes a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.graphs import Graph, Node
from jitml.emulation.memory import BASE, Memory

if TYPE_CHECKING:
    from jitml.emulation.machine import Counts

SUCCESS, INVALID_VALUE, INVALID_HANDLE, NOT_SUPPORTED = 0, 1, 400, 801
ILLEGAL_ADDRESS, MISALIGNED, LAUNCH_FAILED = 700, 716, 719
APART_BYTES = 1 << 40  # between the memories of two devices

Work = Callable[[], object]


class Refused(Exception):
    """A call that does not get as far as to do anything."""

    def __init__(self, status: int) -> None:
        self.status = status


class Loaded(Protocol):
    """A kernel in a device's memory, however it is run."""

    memory: Memory

    @property
    def parameter_bytes(self) -> list[int]:
        """The size of each parameter."""

    @property
    def shared_bytes(self) -> int:
        """Of the memory that a block shares, dynamic memory aside."""

    def launch(
        self,
        arguments: Sequence[int],
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        dynamic_shared_bytes: int = 0,
        measures: bool = False,
    ) -> Counts:
        """Run it; a fault of any thread is raised."""


class Unit:
    """One emulated device: its memory, its kernels, and the fault that it has met. Addresses of
    memory mean something to this processor if they are `real`.
    """

    def __init__(self, ordinal: int, memory_bytes: int, real: bool = False) -> None:
        self.ordinal = ordinal
        self.memory_bytes = memory_bytes
        self.base = None if real else BASE + ordinal * APART_BYTES
        self.streams: list[Stream] = []
        self.begin()

    def begin(self) -> None:
        """Begin anew: nothing is left of what was."""
        self.memory = Memory(self.memory_bytes, self.base)
        self.host_memory: dict[int, Any] = {}  # by address: what kernels and copies may reach
        self.kernels: dict[bytes, Loaded] = {}
        self.status = SUCCESS
        for stream in self.streams:
            stream.is_gone = True
        self.streams.clear()

    def fail(self, fault: EmulatedFault) -> None:
        """Meet a fault: nothing works from now on."""
        is_address = fault.kind in ("out-of-bounds", "uninitialised", "race", "read-only")
        status = ILLEGAL_ADDRESS if is_address else LAUNCH_FAILED
        self.status = MISALIGNED if fault.kind == "misaligned" else status


@dataclass
class Stream:
    """Work of one device, in order."""

    unit: Unit
    queue: list[Work] = field(default_factory=list)
    recorded: Graph | None = None  # while it records
    last: tuple[Node, ...] = ()  # what the next node comes after
    told: Any = None  # memory of the driver's that callers read
    is_gone: bool = False
    is_blocking: bool = False  # the default stream and it wait for each other

    def ask(self, work: Work, kind: str = "other") -> None:
        """Let work wait, or become part of what is recorded."""
        if self.recorded is None:
            self.queue.append(work)
        else:
            self.last = (self.recorded.add(kind, work, self.last),)

    def finish(self) -> EmulatedFault | None:
        """Do all that waits; the fault that it has met."""
        queue, self.queue = self.queue, []
        for work in queue:
            try:
                if not self.unit.status:
                    work()
            except EmulatedFault as fault:
                self.unit.fail(fault)
                return fault
        return None
