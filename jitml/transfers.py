"""Arrays to devices and back, under JAX's names.

In: arrays and trees of them. Out: arrays on a device, or in NumPy's hands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.hardware import (
    CPU,
    Device,
    check_device,
    default_device,
    find_device,
    gpu,
    place,
    placement,
)
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.trace.core import Tracer
from jitml.transforms.values import as_value
from jitml.tree import broadcast, leaves
from jitml.tree import map as tree_map
from jitml.typing import Array
from jitml_runtime import Array as ConcreteArray
from jitml_runtime import from_numpy, is_at_hand, remote_of

__all__ = [
    "copy_to_host_async", "device_get", "device_put", "make_array_from_callback",
    "make_array_from_process_local_data", "make_array_from_single_device_arrays",
]  # fmt: skip


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
    for where in (*_leaves_of(device), *_leaves_of(src)):
        check_device(where, "device_put")
    values = tree_map(lambda leaf: as_value(leaf, "device_put: the value"), x)
    if isinstance(device, (dict, list, tuple)) and not hasattr(device, "partitions"):
        return tree_map(_placed, values, broadcast(device, values, is_leaf=lambda d: d is None))
    return tree_map(lambda leaf: _placed(leaf, device), values)


def _placed(x: Any, where: Any) -> Any:
    """The array where a device or sharding says."""
    if type(x) is not ConcreteArray:
        return x
    device = None if hasattr(where, "partitions") else find_device(where, "device_put")
    if hasattr(where, "spec"):
        where.shard_shape(x.shape)
        x = x if device is None else _on_device(x, device)
        return place(x, where)
    return x if device is None else _on_device(x, device)


def _on_device(x: Any, device: Device) -> Any:
    """The array on a device: where it was, if that is it."""
    if device is not CPU:
        from jitml.device.placement import put

        return put(x, gpu(device))
    if default_device() is CPU or placement(x) is CPU:
        return x
    return place(from_numpy(np.asarray(x), weak=x.weak_type), CPU)


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
    """The tree `x`, whose arrays come to the host meanwhile.

    >>> copy_to_host_async(1)
    1
    """

    for leaf in leaves(x):
        remote = remote_of(leaf) if type(leaf) is ConcreteArray else None
        if remote is not None and not is_at_hand(leaf):
            remote.fetch()
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
    whole = _of_shape(shape, data_callback((slice(None),) * len(shape)), dtype)
    return device_put(whole, sharding)


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
        return device_put(_of_shape(global_shape, local_data), sharding)
    return device_put(local_data, sharding)


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
    return device_put(_of_shape(shape, arrays[0], dtype), sharding)


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
