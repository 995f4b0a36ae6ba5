"""The devices that arrays are on, under JAX's names: the CPU, or GPUs where `JITML_DEVICE` asks.

In: names, arrays. Out: devices, and which of them has an array.
"""

from __future__ import annotations

import platform
import sys
import weakref
from typing import Any, Literal, overload

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.trace.core import Tracer
from jitml.transforms.values import as_value, is_array_like
from jitml_runtime import Array as ConcreteArray
from jitml_runtime import remote_of, share

__all__ = [
    "CPU", "Device", "default_backend", "device_count", "devices", "host_count", "host_id",
    "host_ids", "local_device_count", "local_devices", "print_environment_info", "process_count",
    "process_index", "process_indices",
]  # fmt: skip


class Device:
    """A place that arrays are on.

    >>> import jitml
    >>> jitml.devices()[0].platform
    'cpu'
    """

    __slots__ = ("id", "platform")
    process_index = host_id = 0
    id: int
    platform: str

    def __new__(cls, platform: str = "cpu", id: int = 0) -> Device:
        known = _KNOWN.get((platform, id))
        if known is None:
            known = object.__new__(cls)
            known.platform, known.id = platform, id
            known = _KNOWN.setdefault((platform, id), known)
        return known

    @property
    def local_hardware_id(self) -> int:
        """Its number in this machine."""
        return self.id

    @property
    def device_kind(self) -> str:
        """What it is called by who made it."""
        return self.platform if self is CPU else str(gpu(self).driver.name)

    def memory_stats(self) -> dict[str, int] | None:
        """A GPU's memory, and what has been copied to and fro. JAX has no numbers of a CPU;
        `jitml.memory_stats()` has those of this process.
        """
        if self is CPU:
            return None
        from jitml.device.listing import statistics_of

        return statistics_of(gpu(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Device, (self.platform, self.id))

    def __str__(self) -> str:
        return f"{'cpu' if self is CPU else 'cuda'}:{self.id}"

    def __repr__(self) -> str:
        return f"{'Cpu' if self is CPU else 'Cuda'}Device(id={self.id})"


_KNOWN: dict[tuple[str, int], Device] = {}
#: The processors of this machine, as one device.
CPU: Device = Device()


def gpu(device: Device) -> Any:
    """The driver's side of a GPU."""
    from jitml.pipeline import devices

    return devices.device(device.id)


def device_of(x: Any) -> Device:
    """Where an array is; one that nobody has placed, where programs that take it run."""
    remote = remote_of(x) if type(x) is ConcreteArray else None
    if remote is not None:
        return Device("gpu", remote.device.driver.ordinal)
    placed = placement(x)
    return placed if isinstance(placed, Device) else default_device()


def default_device() -> Device:
    """Where programs run whose arguments do not say it."""
    from jitml.pipeline import devices

    if devices.device_name() == devices.CPU:
        return CPU
    return Device("gpu", devices.default_device().driver.ordinal)


def find_device(x: Any, name: str) -> Device | None:
    """The device that `x` is, names or means; None where it leaves that open."""
    found = getattr(x, "device_set", None)
    if found is not None and len(found) == 1:
        (x,) = found
    if x is None or isinstance(x, Device):
        return x
    if isinstance(x, str):
        kind, _, number = x.partition(":")
        kind = {"cuda": "gpu"}.get(kind, kind)
        known = [CPU] if kind == "cpu" else _gpus() if kind == "gpu" else []
        if (number or "0").isdecimal() and int(number or 0) < len(known):
            return known[int(number or 0)]
    listed = ", ".join(map(str, dict.fromkeys([*devices(), CPU])))
    raise ArgumentError(
        f"{name}: there is no device {x!r}",
        hint=f"there are: {listed}" if _gpus() else "the one device is jitml.devices()[0], the CPU",
        source=user_source(),
    )


def check_device(x: Any, name: str) -> None:
    """Raise unless `x` is, names or means a device, or is None."""
    find_device(x, name)


class BackendError(ArgumentError, RuntimeError):
    """A kind of device that this process does not have."""


def _gpus() -> list[Device]:
    """The GPUs that programs may run on."""
    from jitml.pipeline import devices

    if devices.device_name() == devices.CPU:
        return []
    return [Device("gpu", k) for k in range(devices.default_device().driver.device_count)]


def _check_backend(backend: Any) -> None:
    if backend is None or backend in ("cpu", CPU) or (backend in ("gpu", "cuda") and _gpus()):
        return
    hint = f"programs run on {default_backend()!r}"
    if backend in ("cuda", "gpu"):
        from jitml.device.listing import describe_cuda

        hint = f"{describe_cuda()}; programs run on 'cpu' unless JITML_DEVICE says otherwise"
    raise BackendError(f"there is no backend {backend!r}", hint=hint, source=user_source())


# ---- which there are ----------------------------------------------------------------------------


def devices(backend: str | None = None) -> list[Device]:
    """The devices of a backend.

    >>> devices()
    [CpuDevice(id=0)]
    """
    _check_backend(backend)
    return [CPU] if backend in ("cpu", CPU) else _gpus() or [CPU]


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices of a process.

    >>> local_devices()
    [CpuDevice(id=0)]
    """
    _check_backend(backend)
    for number in (process_index, host_id):
        if number not in (None, 0):
            raise ArgumentError(
                f"local_devices: there is no process {number}",
                hint="there is one process, number 0",
                source=user_source(),
            )
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    """How many devices there are.

    >>> device_count()
    1
    """
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """How many devices this process has.

    >>> local_device_count()
    1
    """
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    """The number of this process among those that compute together.

    >>> process_index()
    0
    """
    _check_backend(backend)
    return 0


def process_count(backend: str | None = None) -> int:
    """How many processes compute together.

    >>> process_count()
    1
    """
    _check_backend(backend)
    return 1


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of the processes that compute together.

    >>> process_indices()
    [0]
    """
    return list(range(process_count(backend)))


host_id, host_count, host_ids = process_index, process_count, process_indices


def default_backend() -> str:
    """The kind of device that programs run on.

    >>> default_backend()
    'cpu'
    """
    return devices()[0].platform


# By id, while the array lives: the sharding or device by which a program has placed it.
_PLACES: dict[int, tuple[weakref.ref[ConcreteArray], Any]] = {}


def place(x: Any, where: Any) -> Any:
    """Another array over the same memory, which says of itself that it lies there."""
    placed = share(x, x.shape, x.weak_type)
    number = id(placed)
    _PLACES[number] = (weakref.ref(placed, lambda _: _PLACES.pop(number, None)), where)
    return placed


def placement(x: Any) -> Any | None:
    """The sharding or device that an array was given by `device_put`."""
    found = _PLACES.get(id(x))
    return found[1] if found is not None and found[0]() is x else None


# ---- types --------------------------------------------------------------------------------------


def typeof(x: Any) -> Any:
    """The type of an array or number: its `shape`, `dtype` and `weak_type`.

    >>> import jitml.numpy as jnp
    >>> print(typeof(jnp.ones((2, 3))))
    float32[2,3]
    """
    from jitml.core import ShapedArray

    if not isinstance(x, (ConcreteArray, Tracer)) and not is_array_like(x):
        raise ArgumentError(
            f"typeof: a {type(x).__name__} is not an array or a number", source=user_source()
        )
    value = as_value(x)
    return ShapedArray(value.shape, value.dtype, value.weak_type)


# ---- what this is -------------------------------------------------------------------------------


@overload
def print_environment_info(return_string: Literal[True]) -> str: ...
@overload
def print_environment_info(return_string: Literal[False] = ...) -> None: ...
def print_environment_info(return_string: bool = False) -> str | None:
    """Print what a report of an error should tell: versions, processor, system.

    >>> print_environment_info(return_string=True).splitlines()[0]
    'jitml:  0.1.0'
    """
    import jitml

    lines = [
        f"jitml:  {jitml.__version__}",
        f"numpy:  {np.__version__}",
        f"python: {sys.version}",
        f"device info: {device_count()} local device, {devices()[0]!r}",
        f"platform: {platform.platform()}",
    ]
    text = "\n".join(lines)
    if return_string:
        return text
    print(text)
    return None
