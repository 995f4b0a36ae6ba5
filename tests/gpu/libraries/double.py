"""What the doubles of libraries have in common.

In: calls by the names and arguments of nvmath-python. Out: handles and sizes at once; work waits in
the stream, reads and writes the device's memory when it gets there, and is recorded in graphs. What
the real library would refuse, or what would corrupt memory, is an error.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.streams import Stream

GARBAGE = 0xC3


class Status(Exception):
    """What the bindings raise."""

    def __init__(self, status: int, name: str) -> None:
        self.status = status
        super().__init__(f"{name} ({status})")


class Double:
    """A library. `planted` says which functions fail, once, with which status; `calls` counts."""

    def __init__(self, cuda: EmulatedCuda) -> None:
        self.cuda = cuda
        self.planted: dict[str, Exception] = {}
        self.calls: Counter[str] = Counter()
        self.live: dict[int, Any] = {}  # handles
        self._last = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = self.find(name)

        def call(*arguments: Any) -> Any:
            self.calls[name] += 1
            if name in self.planted:
                raise self.planted.pop(name)
            for argument in arguments:
                sequence = argument if isinstance(argument, tuple) else (argument,)
                check(all(type(x) is int for x in sequence), f"{name}{arguments}")
            return function(*arguments)

        return call

    def find(self, name: str) -> Callable[..., Any]:
        """The function of a name; AttributeError where the library has none."""
        function: Callable[..., Any] = object.__getattribute__(self, f"do_{name}")
        return function

    # ---- handles -------------------------------------------------------------------------------

    def new(self, thing: Any) -> int:
        """A handle, of which no two are equal."""
        self._last += 1
        number = id(self) % 999_983 * 1000 + self._last
        self.live[number] = thing
        return number

    def of(self, handle: int) -> Any:
        """What a handle stands for."""
        check(handle in self.live, f"no such handle: {handle}")
        return self.live[handle]

    def stream(self, number: int) -> Stream:
        """A stream of the device that this thread means."""
        return self.cuda._stream(ctypes.c_void_p(number))


class Handled(Double):
    """A library that has handles."""

    def do_create(self) -> int:
        self.cuda._current()
        return self.new({"stream": 0})

    def do_destroy(self, handle: int) -> None:
        self.of(handle)
        del self.live[handle]


class Streamed(Handled):
    """A library whose handles know a stream."""

    def do_set_stream(self, handle: int, stream: int) -> None:
        self.stream(stream)
        self.of(handle).update(stream=stream, workspace=None)

    def stream_of(self, handle: int) -> Stream:
        """The stream of a handle, which must have been told."""
        return self.stream(self.of(handle)["stream"])


class Arrays:
    """The memory of a stream's device as arrays, when the stream gets there."""

    def __init__(self, stream: Stream) -> None:
        self._memory = stream.unit.memory

    def read(self, address: int, dtype: Any, *shape: int) -> Any:
        """A copy of an array that lies row by row."""
        dtype = np.dtype(dtype)
        self._aligned(address, dtype)
        data = self._memory.view(address, int(np.prod(shape)) * dtype.itemsize, False)
        return data.copy().view(dtype).reshape(shape)

    def columns(self, address: int, dtype: Any, rows: int, columns: int, step: int) -> Any:
        """A copy of a matrix whose columns begin `step` numbers apart."""
        if not columns:
            return np.empty((rows, 0), dtype)
        whole = self.read(address, dtype, (columns - 1) * step + rows)
        padded = np.concatenate([whole, np.zeros(step - rows, dtype)])
        return padded.reshape(columns, step)[:, :rows].T.copy(order="F")

    def write(self, address: int, array: Any) -> None:
        """Write an array, row by row."""
        array = np.ascontiguousarray(array)
        self._aligned(address, array.dtype)
        self._memory.view(address, array.nbytes, True)[:] = array.reshape(-1).view(np.uint8)

    def write_columns(self, address: int, array: Any, step: int) -> None:
        """Write a matrix, column by column."""
        for number in range(array.shape[1]):
            self.write(address + number * step * array.itemsize, array[:, number])

    def spoil(self, address: int, size_bytes: int) -> None:
        """Write garbage, as whoever works in some memory does."""
        if size_bytes:
            self._memory.view(address, size_bytes, True).fill(GARBAGE)

    @staticmethod
    def _aligned(address: int, dtype: Any) -> None:
        if address % dtype.itemsize:
            raise EmulatedFault("misaligned", f"{dtype} at {address:#x}")


def check(holds: bool, what: str) -> None:
    """Refuse what the library would not take."""
    if not holds:
        raise Status(1, f"it does not take {what}")
