"""A double of libcuda: its functions, with their C arguments, over emulated devices.

Comes in: what a program hands to the driver. Goes out: status codes, as the driver gives them. Work
waits in its stream until somebody synchronises, as late as is legal; memory that is given back is
there for the next who asks, in order with the stream. A thread must say which device it means.
Faults can be planted: a name of a function and the status that it is to give (once, or always).
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.graph_calls import GraphCalls
from jitml.emulation.machine import MOST_STEPS, Counts, Kernel
from jitml.emulation.memory import Memory, OutOfMemory
from jitml.emulation.ptx import PtxError, parse_module
from jitml.emulation.streams import (
    INVALID_HANDLE,
    INVALID_VALUE,
    SUCCESS,
    Loaded,
    Refused,
    Stream,
    Unit,
)

OUT_OF_MEMORY, INVALID_DEVICE = 2, 101
INVALID_CONTEXT, NOT_READY = 201, 600
CAPTURE_UNSUPPORTED = 900
INVALID_PTX = 218
MOST_THREADS, MOST_SHARED_BYTES = 1024, 227 << 10
# Capability, multiprocessors, threads of each and of a block, shared memory, warp; extents of
# blocks and grids.
_ATTRIBUTES = {75: 9, 76: 0, 16: 132, 39: 2048, 1: 1024, 8: 48 << 10, 97: MOST_SHARED_BYTES, 10: 32}
_ATTRIBUTES |= {2: 1024, 3: 1024, 4: 64, 5: 2**31 - 1, 6: 65535, 7: 65535}


@dataclass
class Launch:
    """One launch that has run: the kernel's PTX, its grid, what it did."""

    text: str
    blocks: int
    threads: int
    counts: Counts


@dataclass
class EmulatedCuda(GraphCalls):
    """The library. `version`, `device_count`, `planted` and `always` say what machine it pretends
    to be, `launches` and `fault` what has happened; `measures` asks for counts. A kernel that takes
    more than `most_steps` is taken for endless.
    """

    version: int = 13000
    device_count: int = 1
    memory_bytes: int = 1 << 28
    measures: bool = False
    most_steps: int = MOST_STEPS
    planted: dict[str, int] = field(default_factory=dict)
    always: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)
    fault: EmulatedFault | None = None
    bindings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.units = [self.make_unit(k) for k in range(self.device_count)]
        self._handles: dict[int, Any] = {}
        self._contexts: dict[int, int] = {}  # handles by the device's number
        self._thread = threading.local()

    def make_unit(self, number: int) -> Unit:
        """A device."""
        return Unit(number, self.memory_bytes)

    @property
    def memory(self) -> Memory:
        """The first device's."""
        return self.units[0].memory

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("cu"):
            return found

        def call(*arguments: Any) -> int:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self.planted:
                return self.planted.pop(name)
            if name in self.always:
                return self.always[name]
            try:
                return int(found(*arguments))
            except Refused as refused:
                return refused.status

        return call

    def _handle(self, thing: Any) -> int:
        number = 0x1000 + 16 * len(self._handles)
        self._handles[number] = thing
        return number

    def context_of(self, unit: Unit) -> int:
        """The handle of a device's one context."""
        if unit.ordinal not in self._contexts:
            self._contexts[unit.ordinal] = self._handle(unit)
        return self._contexts[unit.ordinal]

    def _current(self) -> Unit:
        """The device that this thread means."""
        unit: Unit | None = getattr(self._thread, "unit", None)
        if unit is None:
            raise Refused(INVALID_CONTEXT)
        return unit

    def _stream(self, stream: Any) -> Stream:
        """A stream of the device that this thread means."""
        found = self._handles.get(stream.value)
        if not isinstance(found, Stream) or found.is_gone or found.unit is not self._current():
            raise Refused(INVALID_HANDLE)
        return found

    # ---- devices -------------------------------------------------------------------------------

    def cuInit(self, flags: int) -> int:
        return SUCCESS

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self.version
        return SUCCESS

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.device_count
        return SUCCESS

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        if not 0 <= ordinal < self.device_count:
            return INVALID_DEVICE
        device._obj.value = ordinal
        return SUCCESS

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"emulated GPU"
        return SUCCESS

    def cuDeviceGetAttribute(self, value: Any, number: int, device: Any) -> int:
        value._obj.value = _ATTRIBUTES.get(number, 1)
        return SUCCESS

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        context._obj.value = self.context_of(self.units[device.value])
        return SUCCESS

    def cuDevicePrimaryCtxReset_v2(self, device: Any) -> int:
        self.units[device.value].begin()
        self.fault = None
        return SUCCESS

    def cuCtxSetCurrent(self, context: Any) -> int:
        self._thread.unit = self._handles[context.value]
        return SUCCESS

    def cuStreamCreate(self, stream: Any, flags: int) -> int:
        unit = self._current()
        unit.streams.append(Stream(unit))
        stream._obj.value = self._handle(unit.streams[-1])
        return SUCCESS

    # ---- memory --------------------------------------------------------------------------------

    def cuDeviceGetDefaultMemPool(self, pool: Any, device: Any) -> int:
        pool._obj.value = self._handle(("pool", self.units[device.value]))
        return SUCCESS

    def cuMemPoolSetAttribute(self, pool: Any, number: int, value: Any) -> int:
        return SUCCESS if pool.value in self._handles else INVALID_VALUE

    def cuMemPoolTrimTo(self, pool: Any, size: Any) -> int:
        return SUCCESS if pool.value in self._handles else INVALID_VALUE

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        memory = self._current().memory
        free._obj.value = memory.size_bytes - memory.live_bytes
        total._obj.value = memory.size_bytes
        return SUCCESS

    def cuMemAllocAsync(self, address: Any, size: Any, stream: Any) -> int:
        found, count = self._stream(stream), size.value
        if found.recorded is not None:
            return CAPTURE_UNSUPPORTED
        memory = found.unit.memory
        try:
            number = address._obj.value = memory.reserve(count)
        except OutOfMemory:
            return OUT_OF_MEMORY
        found.ask(lambda: memory.open(number, count))
        return found.unit.status

    def cuMemFreeAsync(self, address: Any, stream: Any) -> int:
        found, number = self._stream(stream), address.value
        memory = found.unit.memory
        try:
            size = memory.forget(number)
        except KeyError:
            return INVALID_VALUE
        found.ask(lambda: memory.close(number, size))
        return SUCCESS

    def cuMemsetD8Async(self, target: Any, byte: Any, size: Any, stream: Any) -> int:
        found, address, value, count = self._stream(stream), target.value, byte.value, size.value
        memory = found.unit.memory
        found.ask(lambda: memory.view(address, count, True).fill(value), "memset")
        return found.unit.status

    def cuMemsetD2D8Async(
        self, target: Any, pitch: Any, byte: Any, width: Any, rows: Any, stream: Any
    ) -> int:
        found, begin, value = self._stream(stream), target.value, byte.value
        step, size, count = pitch.value, width.value, rows.value
        if size > step:
            return INVALID_VALUE

        def fill() -> None:
            for row in range(count):
                found.unit.memory.view(begin + row * step, size, True).fill(value)

        found.ask(fill, "memset")
        return found.unit.status

    def cuMemHostAlloc(self, address: Any, size: Any, flags: int) -> int:
        memory = ctypes.create_string_buffer(size.value)
        self._current().host_memory[ctypes.addressof(memory)] = memory
        address._obj.value = ctypes.addressof(memory)
        return SUCCESS

    def cuMemsetD32Async(self, target: Any, number: Any, count: Any, stream: Any) -> int:
        found, address = self._stream(stream), target.value
        if address not in found.unit.host_memory or count.value != 1:
            return INVALID_VALUE
        value = number.value
        found.ask(lambda: ctypes.memmove(address, ctypes.byref(ctypes.c_uint32(value)), 4))
        return found.unit.status

    def cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        address, data, count = target.value, source.value, size.value
        found = self._stream(stream)
        memory = found.unit.memory

        def copy() -> None:
            host = (ctypes.c_ubyte * count).from_address(data)
            memory.view(address, count, True)[:] = np.frombuffer(host, np.uint8)

        found.ask(copy)
        return found.unit.status

    def cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        data, address, count = target.value, source.value, size.value
        found = self._stream(stream)
        memory = found.unit.memory

        def copy() -> None:
            ctypes.memmove(data, memory.view(address, count, False).tobytes(), count)

        found.ask(copy)
        return found.unit.status

    def cuMemcpyDtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        found, numbers = self._stream(stream), (source.value, target.value, size.value)
        memory = found.unit.memory
        found.ask(lambda: memory.copy(*numbers), "memcpy")
        return found.unit.status

    def cuMemcpyPeerAsync(
        self, target: Any, to: Any, source: Any, other: Any, size: Any, stream: Any
    ) -> int:
        place, address, count = target.value, source.value, size.value
        memories = self._handles[to.value].memory, self._handles[other.value].memory

        def copy() -> None:
            memories[0].view(place, count, True)[:] = memories[1].view(address, count, False)

        self._stream(stream).ask(copy)
        return self._stream(stream).unit.status

    def cuPointerGetAttribute(self, value: Any, number: int, address: Any) -> int:
        for unit in self.units:
            offset = address.value - unit.memory.base
            if 0 <= offset < unit.memory.size_bytes:
                value._obj.value = unit.ordinal
                return SUCCESS
        return INVALID_VALUE

    # ---- kernels -------------------------------------------------------------------------------

    def cuModuleLoadData(self, module: Any, code: bytes) -> int:
        self._current()
        module._obj.value = self._handle(code.rstrip(b"\0"))
        return SUCCESS

    def cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> int:
        code = self._handles[module.value]
        unit, key = self._current(), name + b"\0" + code
        if key not in unit.kernels:
            try:
                unit.kernels[key] = self.make_kernel(code.decode(), name.decode(), unit.memory)
            except PtxError as error:
                self.fault = EmulatedFault("ptx", str(error))
                return INVALID_PTX
        function._obj.value = self._handle((unit.kernels[key], code.decode()))
        return SUCCESS

    def make_kernel(self, text: str, name: str, memory: Memory) -> Loaded:
        """A kernel of a module, ready to run."""
        module = parse_module(text)
        return Kernel(module, module.entries[name], memory, self.most_steps)

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:
        x, y, z, width, height, depth, shared, stream, pointers, _ = rest
        kernel, text = self._handles[function.value]
        found = self._stream(stream)
        if kernel.memory is not found.unit.memory:
            return INVALID_HANDLE
        threads = width * height * depth
        is_legal = 0 < threads <= MOST_THREADS and min(x, y, z) > 0
        is_legal &= kernel.shared_bytes + shared <= MOST_SHARED_BYTES and x < 2**31
        if not is_legal:
            return INVALID_VALUE
        arguments = [
            int.from_bytes(ctypes.string_at(place, size), "little")
            for place, size in zip(pointers, kernel.parameter_bytes, strict=True)
        ]

        def launch() -> None:
            counts = kernel.launch(
                arguments, (x, y, z), (width, height, depth), shared, self.measures
            )
            if self.measures:
                self.launches.append(Launch(text, x * y * z, threads, counts))

        found.ask(launch, "kernel")
        return found.unit.status

    # ---- waiting -------------------------------------------------------------------------------

    def cuStreamQuery(self, stream: Any) -> int:
        found = self._stream(stream)
        return found.unit.status or (NOT_READY if found.queue else SUCCESS)

    def cuStreamSynchronize(self, stream: Any) -> int:
        found = self._stream(stream)
        if found.recorded is not None:
            return CAPTURE_UNSUPPORTED
        self.fault = found.finish() or self.fault
        return found.unit.status
