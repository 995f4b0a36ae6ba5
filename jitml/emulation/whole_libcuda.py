"""What other libraries ask of libcuda, beside what jitml does: the rest of the double.

Comes in and goes out as in `libcuda`. Contexts are those of devices; code is PTX, also where
libraries load it without a context. The default stream waits for the others, and they for it,
unless they were made not to.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.libcuda import NOT_READY, OUT_OF_MEMORY, EmulatedCuda
from jitml.emulation.memory import OutOfMemory
from jitml.emulation.ptx import PtxError, parse_module
from jitml.emulation.streams import (
    INVALID_HANDLE,
    INVALID_VALUE,
    SUCCESS,
    Refused,
    Stream,
    Unit,
)

INVALID_IMAGE, NOT_FOUND = 200, 500
_NOT_BLOCKING = 1
_MEMORY_TYPE, _POINTER, _ORDINAL = 2, 3, 9  # of what pointers are asked for
_RANGE_START, _RANGE_SIZE = 11, 12
_DEVICE_MEMORY = 2
_MACHINE_CODE = b"\x7fELF"
_NAMES = {
    1: b"CUDA_ERROR_INVALID_VALUE",
    2: b"CUDA_ERROR_OUT_OF_MEMORY",
    200: b"CUDA_ERROR_INVALID_IMAGE",
    700: b"CUDA_ERROR_ILLEGAL_ADDRESS",
}


class LaunchConfig(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("attribute_count", ctypes.c_uint),
    )


@dataclass
class Event:
    """A place in a stream, once it has been recorded."""

    stream: Stream | None = None
    is_reached: bool = True


@dataclass(frozen=True)
class LoadedKernel:
    """A kernel by its name in some code; functions are kernels of devices."""

    library: int
    name: bytes


class WholeCuda(EmulatedCuda):
    """The library as cuda.core, numba-cuda and others use it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._defaults = {unit.ordinal: Stream(unit) for unit in self.units}
        self._texts: dict[int, Any] = {}

    # ---- devices and contexts --------------------------------------------------------------------

    def cuDeviceGetUuid(self, uuid: int, device: Any) -> int:
        ctypes.memset(uuid, device.value + 1, 16)
        return SUCCESS

    def cuDeviceTotalMem(self, size: Any, device: Any) -> int:
        size._obj.value = self.units[device.value].memory.size_bytes
        return SUCCESS

    def cuDevicePrimaryCtxRelease(self, device: Any) -> int:
        return SUCCESS

    def cuDevicePrimaryCtxGetState(self, device: Any, flags: Any, is_active: Any) -> int:
        flags._obj.value, is_active._obj.value = 0, 1
        return SUCCESS

    def cuDeviceCanAccessPeer(self, can: Any, device: Any, other: Any) -> int:
        can._obj.value = 0
        return SUCCESS

    def cuCtxGetCurrent(self, context: Any) -> int:
        unit = getattr(self._thread, "unit", None)
        context._obj.value = self.context_of(unit) if unit else 0
        return SUCCESS

    def cuCtxSetCurrent(self, context: Any) -> int:
        if context.value:
            return super().cuCtxSetCurrent(context)
        self._thread.unit = self._below().pop() if self._below() else None
        return SUCCESS

    def cuCtxPushCurrent(self, context: Any) -> int:
        if getattr(self._thread, "unit", None):
            self._below().append(self._thread.unit)
        return super().cuCtxSetCurrent(context)

    def cuCtxPopCurrent(self, context: Any) -> int:
        context._obj.value = self.context_of(self._current())
        self._thread.unit = self._below().pop() if self._below() else None
        return SUCCESS

    def _below(self) -> list[Unit]:
        """The devices that this thread meant before, and will when the current one is popped."""
        if not hasattr(self._thread, "below"):
            self._thread.below = []
        found: list[Unit] = self._thread.below
        return found

    def cuCtxGetDevice(self, device: Any) -> int:
        device._obj.value = self._current().ordinal
        return SUCCESS

    def cuCtxGetId(self, context: Any, number: Any) -> int:
        unit = self._handles.get(context.value) or self._current()
        number._obj.value = unit.ordinal + 1
        return SUCCESS

    def cuCtxGetStreamPriorityRange(self, least: Any, greatest: Any) -> int:
        least._obj.value, greatest._obj.value = 0, -5
        return SUCCESS

    def cuCtxSynchronize(self) -> int:
        return self._finish(self._current())

    def _finish(self, unit: Unit, is_blocking: bool = False) -> int:
        """Do what waits in the streams of a device; in those alone that wait for the default."""
        streams = [s for s in unit.streams if s.is_blocking or not is_blocking]
        for stream in [*streams, self._defaults[unit.ordinal]]:
            self.fault = stream.finish() or self.fault
        return unit.status

    # ---- streams and events ----------------------------------------------------------------------

    def _stream(self, stream: Any) -> Stream:
        if stream.value in (None, 0, 1, 2):
            unit = self._current()
            self._finish(unit, is_blocking=True)
            return self._defaults[unit.ordinal]
        found = super()._stream(stream)
        if found.is_blocking:
            self.fault = self._defaults[found.unit.ordinal].finish() or self.fault
        return found

    def cuStreamCreate(self, stream: Any, flags: int) -> int:
        status = super().cuStreamCreate(stream, flags)
        self._handles[stream._obj.value].is_blocking = not flags & _NOT_BLOCKING
        return status

    def cuStreamCreateWithPriority(self, stream: Any, flags: int, priority: int) -> int:
        return self.cuStreamCreate(stream, flags)

    def cuStreamDestroy(self, stream: Any) -> int:
        found = super()._stream(stream)
        self.fault = found.finish() or self.fault
        found.unit.streams.remove(found)
        found.is_gone = True
        return found.unit.status

    def cuStreamGetFlags(self, stream: Any, flags: Any) -> int:
        flags._obj.value = 0 if self._stream(stream).is_blocking else _NOT_BLOCKING
        return SUCCESS

    def cuStreamGetPriority(self, stream: Any, priority: Any) -> int:
        priority._obj.value = 0
        return SUCCESS

    def cuStreamGetCtx(self, stream: Any, context: Any) -> int:
        context._obj.value = self.context_of(self._stream(stream).unit)
        return SUCCESS

    def cuStreamGetId(self, stream: Any, number: Any) -> int:
        number._obj.value = stream.value or 0
        return SUCCESS

    def cuStreamGetDevice(self, stream: Any, device: Any) -> int:
        device._obj.value = self._stream(stream).unit.ordinal
        return SUCCESS

    def cuStreamIsCapturing(self, stream: Any, status: Any) -> int:
        status._obj.value = int(self._stream(stream).recorded is not None)
        return SUCCESS

    def cuStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> int:
        found, waited = self._stream(stream), self._event(event)
        found.ask(lambda: waited.stream and waited.stream.finish())
        return found.unit.status

    def _event(self, event: Any) -> Event:
        found = self._handles.get(event.value)
        if not isinstance(found, Event):
            raise Refused(INVALID_HANDLE)
        return found

    def cuEventCreate(self, event: Any, flags: int) -> int:
        event._obj.value = self._handle(Event())
        return SUCCESS

    def cuEventDestroy(self, event: Any) -> int:
        self._event(event)
        self._handles[event.value] = None
        return SUCCESS

    def cuEventRecord(self, event: Any, stream: Any) -> int:
        found, recorded = self._stream(stream), self._event(event)
        recorded.stream, recorded.is_reached = found, False
        found.ask(lambda: setattr(recorded, "is_reached", True))
        return found.unit.status

    def cuEventQuery(self, event: Any) -> int:
        return SUCCESS if self._event(event).is_reached else NOT_READY

    def cuEventSynchronize(self, event: Any) -> int:
        stream = self._event(event).stream
        if stream is None:
            return SUCCESS
        self.fault = stream.finish() or self.fault
        return stream.unit.status

    def cuEventElapsedTime(self, milliseconds: int, first: Any, last: Any) -> int:
        ctypes.c_float.from_address(milliseconds).value = 0.0  # it has no clock
        return SUCCESS

    # ---- memory ----------------------------------------------------------------------------------

    def cuMemAlloc(self, address: Any, size: Any) -> int:
        try:
            address._obj.value = self._current().memory.allocate(size.value)
        except OutOfMemory:
            return OUT_OF_MEMORY
        return self._current().status

    def cuMemFree(self, address: Any) -> int:
        unit = self._current()
        status = self._finish(unit)
        try:
            unit.memory.release(address.value or 0)
        except KeyError:
            return INVALID_VALUE
        return status

    def cuMemAllocFromPoolAsync(self, address: Any, size: Any, pool: Any, stream: Any) -> int:
        return self.cuMemAllocAsync(address, size, stream)

    def _unit_at(self, address: int) -> Unit | None:
        """The device that an address is of; None: the host."""
        for unit in self.units:
            if 0 <= address - unit.memory.base < unit.memory.size_bytes:
                return unit
        return None

    def cuMemcpyAsync(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        to, origin = (self._unit_at(x.value or 0) for x in (target, source))
        if to and origin:
            return self.cuMemcpyDtoDAsync_v2(target, source, size, stream)
        if to:
            return self.cuMemcpyHtoDAsync_v2(target, source, size, stream)
        if origin:
            return self.cuMemcpyDtoHAsync_v2(target, source, size, stream)
        return INVALID_VALUE

    def cuMemcpy(self, target: Any, source: Any, size: Any) -> int:
        default = ctypes.c_void_p(0)
        return self.cuMemcpyAsync(target, source, size, default) or self.cuStreamSynchronize(
            default
        )

    def cuMemsetD8(self, target: Any, byte: Any, size: Any) -> int:
        return self.cuMemsetD8Async(target, byte, size, ctypes.c_void_p(0))

    def cuMemGetAddressRange(self, base: Any, size: Any, address: Any) -> int:
        unit = self._unit_at(address.value)
        if unit is None:
            return INVALID_VALUE
        base._obj.value, size._obj.value = self._allocation(unit, address.value)
        return SUCCESS

    def _allocation(self, unit: Unit, address: int) -> tuple[int, int]:
        """Where the allocation around an address begins, and its size."""
        for offset, size in unit.memory.sizes.items():
            if 0 <= address - unit.memory.base - offset < max(size, 1):
                return unit.memory.base + offset, size
        raise Refused(INVALID_VALUE)

    def cuPointerGetAttributes(self, count: int, kinds: int, places: int, address: Any) -> int:
        asked = (ctypes.c_int * count).from_address(kinds)
        targets = (ctypes.c_void_p * count).from_address(places)
        unit = self._unit_at(address.value or 0)
        for kind, place in zip(asked, targets, strict=True):
            is_wide = kind in (1, _POINTER, _RANGE_START, _RANGE_SIZE)
            word: Any = ctypes.c_uint64 if is_wide else ctypes.c_int
            word.from_address(place).value = self._told(unit, kind, address.value or 0)
        return SUCCESS

    def _told(self, unit: Unit | None, kind: int, address: int) -> int:
        if unit is None:
            return -2 if kind == _ORDINAL else 0
        if kind in (_RANGE_START, _RANGE_SIZE):
            return self._allocation(unit, address)[kind - _RANGE_START]
        known = {1: self.context_of(unit), _MEMORY_TYPE: _DEVICE_MEMORY, _POINTER: address}
        return {**known, _ORDINAL: unit.ordinal}.get(kind, 0)

    def cuMemFreeHost(self, address: Any) -> int:
        self._current().host_memory.pop(address.value, None)
        return SUCCESS

    def cuMemPoolGetAttribute(self, pool: Any, number: int, value: int) -> int:
        ctypes.c_uint64.from_address(value).value = 0
        return SUCCESS

    # ---- code ------------------------------------------------------------------------------------

    def cuLibraryLoadData(self, library: Any, code: int) -> int:
        text = ctypes.string_at(code)
        if text.startswith(_MACHINE_CODE):
            self.fault = EmulatedFault("ptx", "machine code; an emulated device runs PTX")
            return INVALID_IMAGE
        library._obj.value = self._handle(text)
        return SUCCESS

    def cuLibraryGetKernel(self, kernel: Any, library: Any, name: bytes) -> int:
        try:
            entries = parse_module(self._handles[library.value].decode()).entries
        except PtxError as error:
            self.fault = EmulatedFault("ptx", str(error))
            return INVALID_IMAGE
        if name.decode() not in entries:
            return NOT_FOUND
        kernel._obj.value = self._handle(LoadedKernel(library.value, name))
        return SUCCESS

    def cuKernelGetFunction(self, function: Any, kernel: Any) -> int:
        found: LoadedKernel = self._handles[kernel.value]
        return self.cuModuleGetFunction(function, ctypes.c_void_p(found.library), found.name)

    def cuKernelGetLibrary(self, library: Any, kernel: Any) -> int:
        library._obj.value = self._handles[kernel.value].library
        return SUCCESS

    def cuKernelGetAttribute(self, value: Any, number: int, kernel: Any, device: Any) -> int:
        value._obj.value = 1024 if number == 0 else 0  # the most threads of a block
        return SUCCESS

    def cuFuncGetAttribute(self, value: Any, number: int, function: Any) -> int:
        return self.cuKernelGetAttribute(value, number, function, None)

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(
        self, count: Any, function: Any, threads: int, shared_bytes: Any
    ) -> int:
        count._obj.value = 2048 // max(32, threads)
        return SUCCESS

    def cuLibraryUnload(self, library: Any) -> int:
        self._handles[library.value] = None
        return SUCCESS

    def cuLaunchKernelEx(self, config: int, function: Any, pointers: int, extra: int) -> int:
        told = LaunchConfig.from_address(config)
        shape = (*told.grid, *told.block, told.shared_bytes, ctypes.c_void_p(told.stream))
        return self.launch(function, *shape, pointers, extra)

    def launch(self, function: Any, *rest: Any) -> int:
        """cuLaunchKernel with the address of the table of arguments."""
        *shape, pointers, extra = rest
        if isinstance(self._handles.get(function.value), LoadedKernel):
            bound = ctypes.c_void_p()
            status = self.cuKernelGetFunction(ctypes.byref(bound), function)
            if status:
                return status
            function = bound
        count = len(self._handles[function.value][0].entry.parameters)
        table = (ctypes.c_void_p * count).from_address(pointers) if count else ()
        return self.cuLaunchKernel(function, *shape, table, extra)

    # ---- errors ----------------------------------------------------------------------------------

    def cuGetErrorName(self, status: int, text: Any) -> int:
        name = _NAMES.get(status, f"CUDA_ERROR_{status}".encode())
        kept = self._texts.setdefault(status, ctypes.create_string_buffer(name))
        text._obj.value = ctypes.addressof(kept)
        return SUCCESS

    def cuGetErrorString(self, status: int, text: Any) -> int:
        message = str(self.fault or "an error of the emulated device").encode()
        self._texts[-status] = ctypes.create_string_buffer(message)
        text._obj.value = ctypes.addressof(self._texts[-status])
        return SUCCESS
