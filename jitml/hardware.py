"""The devices that arrays are on, under JAX's names: there is one, the CPU.

In: arrays and trees of them. Out: arrays on the device, or in NumPy's hands.
"""

from __future__ import annotations

import platform
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.trace.core import Tracer
from jitml.transforms.values import as_value, is_array_like
from jitml.tree import map as tree_map
from jitml.tree import structure
from jitml.typing import Array
from jitml_runtime import Array as ConcreteArray
from jitml_runtime import share

__all__ = [
    "CPU", "Device", "copy_to_host_async", "default_backend", "device_count", "device_get",
    "device_put", "devices", "host_count", "host_id", "host_ids", "local_device_count",
    "local_devices", "make_array_from_callback", "make_array_from_process_local_data",
    "make_array_from_single_device_arrays", "print_environment_info", "process_count",
    "process_index", "process_indices",
]  # fmt: skip


class Device:
    """A place that arrays are on.

    >>> import jitml
    >>> jitml.devices()[0].platform
    'cpu'
    """

    __slots__ = ()
    platform = device_kind = "cpu"
    id = process_index = host_id = local_hardware_id = 0

    def __new__(cls) -> Device:
        return CPU

    def memory_stats(self) -> None:
        """JAX has no numbers of a CPU; `jitml.memory_stats()` has those of this process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Device, ())

    def __str__(self) -> str:
        return "cpu:0"

    def __repr__(self) -> str:
        return "CpuDevice(id=0)"


#: The one device.
CPU: Device = object.__new__(Device)


def is_device(x: Any) -> bool:
    """Whether `x` names the device, or is None: wherever arrays are."""
    return x is None or x is CPU or (isinstance(x, str) and x in ("cpu", "cpu:0"))


def check_device(x: Any, name: str) -> None:
    """Raise unless `x` is, names or means the one device."""
    devices = getattr(x, "device_set", None)
    if not (is_device(x) or devices == {CPU}):
        raise ArgumentError(
            f"{name}: there is no device {x!r}",
            hint="the one device is jitml.devices()[0], the CPU",
            source=user_source(),
        )


class BackendError(ArgumentError, RuntimeError):
    """A kind of device that this process does not have."""


def _check_backend(backend: Any) -> None:
    if is_device(backend):
        return
    hint = "programs run on 'cpu'"
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
    return [CPU]


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
    return [CPU]


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
    return CPU.platform


# ---- to and fro ---------------------------------------------------------------------------------


def device_put(
    x: Any,
    device: Any = None,
    *,
    src: Any = None,
    donate: Any = False,
    may_alias: Any = None,
) -> Any:
    """The tree `x` with arrays for leaves, on a device (or a tree of devices or shardings).

    >>> import numpy as np
    >>> device_put({"w": np.ones(2, np.float32)})
    {'w': Array([1., 1.], dtype=float32)}
    """
    for place in (*_leaves_of(device), *_leaves_of(src)):
        check_device(place, "device_put")
    values = tree_map(lambda leaf: as_value(leaf, "device_put: the value"), x)
    if hasattr(device, "spec"):
        return tree_map(lambda leaf: _placed(leaf, device), values)
    is_tree = isinstance(device, (dict, list, tuple)) and structure(device) == structure(values)
    return tree_map(_placed, values, device) if is_tree else values


# By id, while the array lives: the sharding by which a program has placed it.
_PLACES: dict[int, tuple[weakref.ref[ConcreteArray], Any]] = {}


def _placed(x: Any, sharding: Any) -> Any:
    """The array, which says of itself that it lies by `sharding`."""
    if type(x) is not ConcreteArray or not hasattr(sharding, "spec"):
        return x
    sharding.shard_shape(x.shape)
    placed = share(x, x.shape, x.weak_type)
    number = id(placed)
    _PLACES[number] = (weakref.ref(placed, lambda _: _PLACES.pop(number, None)), sharding)
    return placed


def placement(x: Any) -> Any | None:
    """The sharding that an array was given by `device_put`."""
    found = _PLACES.get(id(x))
    return found[1] if found is not None and found[0]() is x else None


def _leaves_of(place: Any) -> list[Any]:
    """The devices and shardings in a tree of them."""
    if isinstance(place, dict):
        return [leaf for value in place.values() for leaf in _leaves_of(value)]
    if isinstance(place, (list, tuple)) and not hasattr(place, "partitions"):
        return [leaf for value in place for leaf in _leaves_of(value)]
    return [] if hasattr(place, "partitions") else [place]


def device_get(x: Any) -> Any:
    """The tree `x` with NumPy arrays in the place of arrays.

    >>> import jitml.numpy as jnp
    >>> device_get([jnp.ones(2), 3])
    [array([1., 1.], dtype=float32), 3]
    """
    arrays = (ConcreteArray, Tracer)
    return tree_map(lambda leaf: np.asarray(leaf) if isinstance(leaf, arrays) else leaf, x)


def copy_to_host_async(x: Any) -> Any:
    """The tree `x`: its arrays are at hand already.

    >>> copy_to_host_async(1)
    1
    """
    return x


def make_array_from_callback(
    shape: Sequence[int], sharding: Any, data_callback: Callable[[Any], Any], dtype: Any = None
) -> Array:
    """The array whose part at an index `data_callback(index)` gives: here the whole of it.

    >>> import numpy as np
    >>> make_array_from_callback((2,), None, lambda index: np.arange(4.0)[:2][index], "float32")
    Array([0., 1.], dtype=float32)
    """
    check_device(sharding, "make_array_from_callback")
    return _of_shape(shape, data_callback((slice(None),) * len(shape)), dtype)


def make_array_from_process_local_data(
    sharding: Any, local_data: Any, global_shape: Sequence[int] | None = None
) -> Any:
    """The array of which this process has `local_data`: here the whole of it.

    >>> import numpy as np
    >>> make_array_from_process_local_data(None, np.ones(2, np.float32))
    Array([1., 1.], dtype=float32)
    """
    check_device(sharding, "make_array_from_process_local_data")
    if global_shape is not None:
        return _of_shape(global_shape, local_data)
    return device_put(local_data)


def make_array_from_single_device_arrays(
    shape: Sequence[int], sharding: Any, arrays: Sequence[Any], *, dtype: Any = None
) -> Array:
    """The array that is made of one array for each device: here of one.

    >>> import jitml.numpy as jnp
    >>> make_array_from_single_device_arrays((2,), None, [jnp.ones(2)])
    Array([1., 1.], dtype=float32)
    """
    check_device(sharding, "make_array_from_single_device_arrays")
    if len(arrays) != 1:
        raise ArgumentError(
            f"make_array_from_single_device_arrays: {len(arrays)} arrays for one device",
            hint="pass one array, with all elements",
            source=user_source(),
        )
    return _of_shape(shape, arrays[0], dtype)


def _of_shape(shape: Sequence[int], x: Any, dtype: Any = None) -> Array:
    from jitml.numpy import asarray

    found = asarray(x, dtype)
    if found.shape != tuple(shape):
        raise ArgumentError(
            f"the data have shape {found.shape}, the array {tuple(shape)}",
            hint="there is one device: it has all elements",
            source=user_source(),
        )
    return found


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
        f"device info: {device_count()} local device, {CPU!r}",
        f"platform: {platform.platform()}",
    ]
    text = "\n".join(lines)
    if return_string:
        return text
    print(text)
    return None
