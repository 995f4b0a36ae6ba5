"""The part of NVIDIA's driver that programs need, by its C functions.

Comes in: a library (libcuda, or the double of it in `jitml.emulation`). Goes out: one `Driver` for
each device, whose methods raise named errors. It knows no plans and no arrays.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jitml.device.errors import (
    DeviceError,
    DeviceLostError,
    DeviceMemoryError,
    DriverVersionError,
    IllegalAccessError,
    LaunchError,
    NoDeviceError,
)

OLDEST_VERSION = 12000  # of the driver: stream-ordered memory, graphs, PTX 8.0
CONDITIONALS_SINCE = 12040  # graphs whose nodes ask numbers that kernels set, copies within
IF, WHILE = 0, 1  # what such nodes do with the number
_CONDITIONAL = 13  # of kinds of nodes
_SET_DEPENDENCIES = 1
_NOT_BLOCKING = 1  # a stream that does not wait for the default one
_RELAXED = 2  # how much a capture forbids
_MAJOR, _MINOR, _MULTIPROCESSORS, _THREADS = 75, 76, 16, 39
_RELEASE_THRESHOLD = 4  # how many bytes a pool keeps when nobody uses them
_MAPPED = 2  # memory of the host that the device reaches
_NOT_READY = 600
_ORDINAL = 9  # of what a pointer is asked for
_ERRORS: dict[int, tuple[type[DeviceError], str]] = {
    1: (LaunchError, "it does not take these arguments"),
    2: (DeviceMemoryError, "its memory is used up"),
    3: (DeviceLostError, "the driver is not initialised"),
    35: (DriverVersionError, "the driver is older than its library"),
    46: (NoDeviceError, "it is in use or not available"),
    201: (DeviceLostError, "this thread has no device"),
    100: (NoDeviceError, "there is no device"),
    200: (LaunchError, "the kernel's code does not suit the device"),
    209: (LaunchError, "there is no code for this device"),
    218: (LaunchError, "the driver cannot compile the PTX"),
    222: (DriverVersionError, "the driver is too old for this PTX"),
    700: (IllegalAccessError, "a kernel has reached memory that is not its own"),
    701: (LaunchError, "a kernel wants more registers or shared memory than there are"),
    702: (DeviceLostError, "a kernel has run for too long"),
    716: (IllegalAccessError, "a kernel has reached a misaligned address"),
    719: (DeviceLostError, "a kernel has failed"),
    801: (LaunchError, "the driver does not support this here"),
    900: (LaunchError, "this cannot be part of a graph"),
    999: (DeviceLostError, "the device has been lost"),
}


def load_libcuda() -> Any:
    """The driver's library, asked for once; NoDeviceError where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoDeviceError(
            "there is no NVIDIA driver: libcuda.so.1 cannot be loaded",
            hint="install NVIDIA's driver, or use JITML_DEVICE=cuda-emulated",
        ) from None


class _ConditionalNode(ctypes.Structure):
    """CUgraphNodeParams of a conditional node with one body."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("_reserved0", ctypes.c_int * 3),
        ("handle", ctypes.c_uint64),
        ("does", ctypes.c_int),
        ("body_count", ctypes.c_uint),
        ("bodies", ctypes.POINTER(ctypes.c_void_p)),
        ("context", ctypes.c_void_p),
        ("_reserved1", ctypes.c_longlong * 26),
    )


class Driver:
    """One device: its memory, one stream, launches. Nothing waits but `synchronize`."""

    def __init__(self, library: Any, ordinal: int = 0) -> None:
        self._library = library
        self.ordinal = ordinal
        self._call("cuInit", 0)
        self._check_version()
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        self.device_count = count.value
        if not 0 <= ordinal < count.value:
            raise NoDeviceError(
                f"there is no device {ordinal}: the driver knows {count.value} devices"
            )
        device = self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), ordinal)
        name = ctypes.create_string_buffer(128)
        self._call("cuDeviceGetName", name, 128, device)
        self.name = name.value.decode()
        self.capability = (self._attribute(_MAJOR, device), self._attribute(_MINOR, device))
        self.multiprocessors = self._attribute(_MULTIPROCESSORS, device)
        self.threads_of_each = self._attribute(_THREADS, device)
        self._open()

    def _check_version(self) -> None:
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self.version = version.value
        if version.value < OLDEST_VERSION:
            raise DriverVersionError(
                f"the driver supports CUDA {version_name(version.value)}, "
                f"but {version_name(OLDEST_VERSION)} is needed",
                hint="install a newer driver",
            )

    def _open(self) -> None:
        self._context, self.stream = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.make_current()
        self._call("cuStreamCreate", ctypes.byref(self.stream), _NOT_BLOCKING)
        self._body_streams: list[ctypes.c_void_p] = []  # that record bodies within bodies
        self._depth = 0  # of the body that is being recorded
        # What is given back waits in the pool, and is not asked of the system again.
        self._pool = ctypes.c_void_p()
        self._call("cuDeviceGetDefaultMemPool", ctypes.byref(self._pool), self._device)
        everything = ctypes.byref(ctypes.c_uint64(2**64 - 1))
        self._call("cuMemPoolSetAttribute", self._pool, _RELEASE_THRESHOLD, everything)
        # Memory of the host that the device writes, which can be read when the device is lost.
        self._progress = self.allocate_host(8)
        ctypes.memset(self._progress, 0, 8)

    def make_current(self) -> None:
        """Let the calls of this thread mean this device; others may have said otherwise."""
        self._call("cuCtxSetCurrent", self._context)

    def reset(self) -> None:
        """Begin anew after an error that the device does not get over: all its memory is gone."""
        self._call("cuDevicePrimaryCtxReset_v2", self._device)
        self._open()

    @property
    def has_conditionals(self) -> bool:
        """Whether graphs can decide for themselves."""
        return self.version >= CONDITIONALS_SINCE

    @property
    def most_threads(self) -> int:
        """How many threads the device holds at the same time."""
        return self.multiprocessors * self.threads_of_each

    @property
    def target(self) -> str:
        """The device as the compiler calls it."""
        major, minor = self.capability
        return f"sm_{major}{minor}"

    @property
    def bindings(self) -> Mapping[str, Any] | None:
        """What an emulated device has of NVIDIA's libraries; None where they themselves serve."""
        return getattr(self._library, "bindings", None)

    def _attribute(self, number: int, device: Any) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            kind, what = _ERRORS.get(status, (DeviceError, "the driver reports an error"))
            known = getattr(self._library, "fault", None)  # an emulated device knows more
            more = f": {known}" if known else ""
            raise kind(f"{what} ({name} gives CUDA error {status}){more}")

    # ---- memory ----------------------------------------------------------------------------------

    def allocate(self, size_bytes: int) -> int:
        """Memory on the device, in order with the stream."""
        address = ctypes.c_uint64()
        arguments = (ctypes.c_size_t(max(1, size_bytes)), self.stream)
        self._call("cuMemAllocAsync", ctypes.byref(address), *arguments)
        return address.value

    def release(self, address: int) -> None:
        """Give memory back when the stream gets there."""
        self._call("cuMemFreeAsync", ctypes.c_uint64(address), self.stream)

    def allocate_host(self, size_bytes: int) -> int:
        """Memory of the host that the device reaches by itself; it lasts until `reset`."""
        address = ctypes.c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size_bytes), _MAPPED)
        return address.value or 0

    def copy_in(self, address: int, data: int, size_bytes: int) -> None:
        """Copy host memory to the device; it must last until the next `synchronize`."""
        if size_bytes:
            arguments = (ctypes.c_uint64(address), ctypes.c_void_p(data))
            self._call("cuMemcpyHtoDAsync_v2", *arguments, ctypes.c_size_t(size_bytes), self.stream)

    def copy_out(self, data: int, address: int, size_bytes: int) -> None:
        """Copy from the device to host memory, which holds it after the next `synchronize`."""
        if size_bytes:
            arguments = (ctypes.c_void_p(data), ctypes.c_uint64(address))
            self._call("cuMemcpyDtoHAsync_v2", *arguments, ctypes.c_size_t(size_bytes), self.stream)

    def trim(self) -> None:
        """Let the pool keep nothing that nobody uses."""
        self._call("cuMemPoolTrimTo", self._pool, ctypes.c_size_t(0))

    def free_bytes(self) -> tuple[int, int]:
        """How much memory the device has left, and how much it has."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def fill(self, address: int, byte: int, size_bytes: int) -> None:
        """Set bytes."""
        arguments = (ctypes.c_uint64(address), ctypes.c_ubyte(byte), ctypes.c_size_t(size_bytes))
        self._call("cuMemsetD8Async", *arguments, self.stream)

    def fill_rows(self, address: int, pitch: int, byte: int, width: int, rows: int) -> None:
        """Set `width` bytes of each row; rows begin `pitch` bytes apart."""
        arguments = (ctypes.c_uint64(address), ctypes.c_size_t(pitch), ctypes.c_ubyte(byte))
        sizes = (ctypes.c_size_t(width), ctypes.c_size_t(rows))
        self._call("cuMemsetD2D8Async", *arguments, *sizes, self.stream)

    def mark(self, number: int) -> None:
        """Note, when the stream gets here, that it has."""
        arguments = (ctypes.c_uint64(self._progress), ctypes.c_uint(number))
        self._call("cuMemsetD32Async", *arguments, ctypes.c_size_t(1), self.stream)

    @property
    def progress(self) -> int:
        """The last mark that the stream has got to."""
        return ctypes.c_uint32.from_address(self._progress).value

    def copy_from(self, other: Driver, source: int, target: int, size_bytes: int) -> None:
        """Copy from another device, whose work must be done."""
        if size_bytes:
            self._call(
                "cuMemcpyPeerAsync",
                ctypes.c_uint64(target), self._context,
                ctypes.c_uint64(source), other._context,
                ctypes.c_size_t(size_bytes), self.stream,
            )  # fmt: skip

    def copy(self, source: int, target: int, size_bytes: int) -> None:
        """Copy within the device."""
        if size_bytes and source != target:
            arguments = (ctypes.c_uint64(target), ctypes.c_uint64(source))
            self._call("cuMemcpyDtoDAsync_v2", *arguments, ctypes.c_size_t(size_bytes), self.stream)

    # ---- kernels ---------------------------------------------------------------------------------

    def load(self, code: bytes, name: str = "kernel") -> Any:
        """The kernel `name` of a module: PTX text or a cubin."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), code + b"\0")
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def launch(
        self,
        function: Any,
        grid: tuple[Sequence[int], Sequence[int], int],
        arguments: Sequence[int],
    ) -> None:
        """Launch a kernel whose arguments are all 64 bits wide, with these blocks, threads of each,
        and bytes of dynamic shared memory.
        """
        blocks, threads, shared = grid
        values = (ctypes.c_uint64 * len(arguments))(*arguments)
        begin = ctypes.addressof(values)
        pointers = (ctypes.c_void_p * len(arguments))(*(begin + 8 * k for k in range(len(values))))
        self._call(
            "cuLaunchKernel", function, *blocks, *threads, shared, self.stream, pointers, None
        )

    # ---- graphs ----------------------------------------------------------------------------------

    def begin_capture(self) -> None:
        """Record what is asked of the stream from now on, instead of doing it."""
        self._call("cuStreamBeginCapture_v2", self.stream, _RELAXED)

    def end_capture(self) -> Any:
        """What has been recorded, as one thing to launch."""
        graph, launchable = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        flags = ctypes.c_uint64(0)
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(launchable), graph, flags)
        self._call("cuGraphDestroy", graph)
        return launchable

    def abandon_capture(self) -> None:
        """Forget what has been recorded, whatever state that is in."""
        graph = ctypes.c_void_p()
        self._library.cuStreamEndCapture(self.stream, ctypes.byref(graph))
        if graph.value:
            self._library.cuGraphDestroy(graph)

    def new_handle(self) -> int:
        """The handle of a number that a node asks, of the graph that is being recorded."""
        handle = ctypes.c_uint64()
        graph, _, _ = self._recorded()
        self._call(
            "cuGraphConditionalHandleCreate",
            ctypes.byref(handle), graph, self._context, ctypes.c_uint(0), ctypes.c_uint(0),
        )  # fmt: skip
        return handle.value

    @contextmanager
    def body(self, handle: int, does: int) -> Iterator[None]:
        """What is recorded inside is done IF, or WHILE, the number of a handle is not 0."""
        graph, before, count = self._recorded()
        params = _ConditionalNode(_CONDITIONAL, handle=handle, does=does, body_count=1)
        params.context = self._context
        node = ctypes.c_void_p()
        told = (ctypes.byref(node), graph, before, count, ctypes.byref(params))
        self._call("cuGraphAddNode", *told)
        outer = self.stream
        self._call(
            "cuStreamUpdateCaptureDependencies",
            outer, ctypes.byref(node), ctypes.c_size_t(1), _SET_DEPENDENCIES,
        )  # fmt: skip
        inner, body = self._body_stream(), ctypes.c_void_p(params.bodies[0])
        none = ctypes.c_void_p()
        self._call(
            "cuStreamBeginCaptureToGraph", inner, body, none, none, ctypes.c_size_t(0), _RELAXED
        )
        self.stream, self._depth = inner, self._depth + 1
        try:
            yield
            self._call("cuStreamEndCapture", inner, ctypes.byref(body))
        except BaseException:
            self._library.cuStreamEndCapture(inner, ctypes.byref(body))
            raise
        finally:
            self.stream, self._depth = outer, self._depth - 1

    def _body_stream(self) -> ctypes.c_void_p:
        if self._depth == len(self._body_streams):
            stream = ctypes.c_void_p()
            self._call("cuStreamCreate", ctypes.byref(stream), _NOT_BLOCKING)
            self._body_streams.append(stream)
        return self._body_streams[self._depth]

    def _recorded(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]:
        """The graph that is being recorded, the nodes that the next one comes after."""
        status, number = ctypes.c_int(), ctypes.c_uint64()
        graph, before, count = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
        places = [ctypes.byref(x) for x in (status, number, graph, before, count)]
        self._call("cuStreamGetCaptureInfo_v2", self.stream, *places)
        return graph, before, count

    def launch_graph(self, graph: Any) -> None:
        """Do again what has been recorded."""
        self._call("cuGraphLaunch", graph, self.stream)

    def release_graph(self, graph: Any) -> None:
        """Forget a graph."""
        self._call("cuGraphExecDestroy", graph)

    def is_idle(self) -> bool:
        """Whether all that has been asked is done."""
        return bool(self._library.cuStreamQuery(self.stream) != _NOT_READY)

    def synchronize_other(self, stream: int) -> None:
        """Wait for what has been asked of another library's stream."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def ordinal_of(self, address: int) -> int:
        """The number of the device that an address is of."""
        number = ctypes.c_int()
        self._call(
            "cuPointerGetAttribute", ctypes.byref(number), _ORDINAL, ctypes.c_uint64(address)
        )
        return number.value

    def synchronize(self) -> None:
        """Wait for all that has been asked; what has gone wrong meanwhile is raised here."""
        self._call("cuStreamSynchronize", self.stream)


def version_name(number: int) -> str:
    """A version as people write it: 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
