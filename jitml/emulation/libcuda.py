"""A double of libcuda: its functions, with their C arguments, over the emulated device.

Comes in: what a program hands to the driver. Goes out: status codes, as the driver gives them. Work
waits in its stream until somebody synchronises, as late as is legal. Faults can be planted: a name
of a function and the status that it is to give (once, or from its nth call on).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.machine import MOST_STEPS, Counts, Kernel
from jitml.emulation.memory import Memory, OutOfMemory
from jitml.emulation.ptx import PtxError, parse_module

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY = 0, 1, 2
CAPTURE_UNSUPPORTED = 900
INVALID_PTX, ILLEGAL_ADDRESS, MISALIGNED, LAUNCH_FAILED = 218, 700, 716, 719
MOST_THREADS, MOST_SHARED_BYTES = 1024, 227 << 10
_ATTRIBUTES = {75: 9, 76: 0, 16: 132}


Work = Callable[[], None]


@dataclass
class Launch:
    """One launch that has run: the kernel's PTX, its grid, what it did."""

    text: str
    blocks: int
    threads: int
    counts: Counts


@dataclass
class EmulatedCuda:
    """The library. `version`, `device_count` and `planted` say what machine it pretends to be,
    `launches` and `fault` what has happened; `measures` asks for counts. A kernel that takes more
    than `most_steps` is taken for endless.
    """

    version: int = 13000
    device_count: int = 1
    memory_bytes: int = 1 << 28
    measures: bool = False
    most_steps: int = MOST_STEPS
    planted: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)
    fault: EmulatedFault | None = None

    def __post_init__(self) -> None:
        self.memory = Memory(self.memory_bytes)
        self._handles: dict[int, Any] = {}
        self._queue: list[Work] = []
        self._captured: list[Work] | None = None
        self._sticky = SUCCESS
        self._kernels: dict[bytes, Kernel] = {}

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("cu"):
            return found

        def call(*arguments: Any) -> int:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self.planted:
                return self.planted.pop(name)
            return int(found(*arguments))

        return call

    def _ask(self, work: Work) -> None:
        """Let work wait in the stream, or become part of the graph that is captured."""
        (self._queue if self._captured is None else self._captured).append(work)

    def _handle(self, thing: Any) -> int:
        number = 0x1000 + 16 * len(self._handles)
        self._handles[number] = thing
        return number

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
        device._obj.value = ordinal
        return SUCCESS

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"emulated GPU"
        return SUCCESS

    def cuDeviceGetAttribute(self, value: Any, number: int, device: Any) -> int:
        value._obj.value = _ATTRIBUTES.get(number, 1)
        return SUCCESS

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        context._obj.value = self._handle("context")
        return SUCCESS

    def cuDevicePrimaryCtxReset_v2(self, device: Any) -> int:
        self._sticky, self.fault = SUCCESS, None
        self._captured = None
        self._queue.clear()
        self._kernels.clear()
        self.memory = Memory(self.memory_bytes)
        return SUCCESS

    def cuCtxSetCurrent(self, context: Any) -> int:
        return SUCCESS

    def cuStreamCreate(self, stream: Any, flags: int) -> int:
        stream._obj.value = self._handle("stream")
        return SUCCESS

    # ---- memory --------------------------------------------------------------------------------

    def cuMemAllocAsync(self, address: Any, size: Any, stream: Any) -> int:
        if self._captured is not None:
            return CAPTURE_UNSUPPORTED
        try:
            address._obj.value = self.memory.allocate(size.value)
        except OutOfMemory:
            return OUT_OF_MEMORY
        return self._sticky

    def cuMemFreeAsync(self, address: Any, stream: Any) -> int:
        number = address.value
        self._ask(lambda: self.memory.release(number))
        return SUCCESS

    def cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        address, data, count = target.value, source.value, size.value

        def copy() -> None:
            host = (ctypes.c_ubyte * count).from_address(data)
            self.memory.view(address, count, True)[:] = np.frombuffer(host, np.uint8)

        self._ask(copy)
        return self._sticky

    def cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        data, address, count = target.value, source.value, size.value

        def copy() -> None:
            ctypes.memmove(data, self.memory.view(address, count, False).tobytes(), count)

        self._ask(copy)
        return self._sticky

    def cuMemcpyDtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        numbers = source.value, target.value, size.value
        self._ask(lambda: self.memory.copy(*numbers))
        return self._sticky

    # ---- kernels -------------------------------------------------------------------------------

    def cuModuleLoadData(self, module: Any, code: bytes) -> int:
        module._obj.value = self._handle(code.rstrip(b"\0"))
        return SUCCESS

    def cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> int:
        code = self._handles[module.value]
        key = name + b"\0" + code
        if key not in self._kernels:
            try:
                parsed = parse_module(code.decode())
                entry = parsed.entries[name.decode()]
                self._kernels[key] = Kernel(parsed, entry, self.memory, self.most_steps)
            except PtxError as error:
                self.fault = EmulatedFault("ptx", str(error))
                return INVALID_PTX
        function._obj.value = self._handle((self._kernels[key], code.decode()))
        return SUCCESS

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:
        x, y, z, width, height, depth, shared, _, pointers, _ = rest
        kernel, text = self._handles[function.value]
        threads = width * height * depth
        is_legal = 0 < threads <= MOST_THREADS and min(x, y, z) > 0
        is_legal &= kernel.shared_bytes + shared <= MOST_SHARED_BYTES and x < 2**31
        if not is_legal:
            return INVALID_VALUE
        sizes = kernel.entry.parameters.values()
        arguments = [
            int.from_bytes(ctypes.string_at(place, size), "little")
            for place, size in zip(pointers, sizes, strict=True)
        ]

        def launch() -> None:
            counts = kernel.launch(
                arguments, (x, y, z), (width, height, depth), shared, self.measures
            )
            if self.measures:
                self.launches.append(Launch(text, x * y * z, threads, counts))

        self._ask(launch)
        return self._sticky

    # ---- graphs --------------------------------------------------------------------------------

    def cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> int:
        self._captured = []
        return self._sticky

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:
        graph._obj.value = self._handle(self._captured)
        self._captured = None
        return self._sticky

    def cuGraphInstantiateWithFlags(self, launchable: Any, graph: Any, flags: Any) -> int:
        launchable._obj.value = self._handle(list(self._handles[graph.value]))
        return self._sticky

    def cuGraphDestroy(self, graph: Any) -> int:
        self._handles[graph.value] = None
        return SUCCESS

    def cuGraphLaunch(self, launchable: Any, stream: Any) -> int:
        for work in self._handles[launchable.value]:
            self._ask(work)
        return self._sticky

    def cuGraphExecDestroy(self, launchable: Any) -> int:
        self._handles[launchable.value] = None
        return SUCCESS

    def cuStreamSynchronize(self, stream: Any) -> int:
        if self._captured is not None:
            return CAPTURE_UNSUPPORTED
        queue, self._queue = self._queue, []
        for work in queue:
            try:
                if not self._sticky:
                    work()
            except EmulatedFault as fault:
                self.fault = fault
                is_address = fault.kind in ("out-of-bounds", "uninitialised", "race", "read-only")
                self._sticky = ILLEGAL_ADDRESS if is_address else LAUNCH_FAILED
                self._sticky = MISALIGNED if fault.kind == "misaligned" else self._sticky
        return self._sticky
