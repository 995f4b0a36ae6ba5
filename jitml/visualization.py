"""How arrays lie on devices, shown: on the one device, one box."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

from jitml.hardware import default_device, device_of
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.source import user_source
from jitml.sharding import Sharding, SingleDeviceSharding
from jitml.transforms.values import as_value

__all__ = ["inspect_array_sharding", "visualize_array_sharding", "visualize_sharding"]


def visualize_sharding(
    shape: Sequence[int],
    sharding: Sharding,
    *,
    use_color: bool = True,
    scale: float = 1.0,
    min_width: int = 9,
    max_width: int = 80,
    color_map: Any = None,
) -> None:
    """Print which device has which part of an array of one or two dimensions.

    >>> import jitml
    >>> visualize_sharding((4, 4), jitml.numpy.ones(1).sharding)
    ┌─────────┐
    │  CPU 0  │
    └─────────┘
    """
    if len(shape) not in (1, 2):
        raise ShapeError(
            f"visualize_sharding: an array of {len(shape)} dimensions cannot be drawn",
            hint="it draws arrays of 1 or 2 dimensions",
            source=user_source(),
        )
    if not isinstance(sharding, Sharding):
        raise ArgumentError(
            f"visualize_sharding: a {type(sharding).__name__} is no sharding",
            hint="x.sharding has that of an array",
            source=user_source(),
        )
    width = max(min_width, 7)
    (device,) = sharding.device_set
    name = f"{device.platform.upper()} {device.id}".center(width)
    for line in (f"┌{'─' * width}┐", f"│{name}│", f"└{'─' * width}┘"):
        builtins.print(line)


def visualize_array_sharding(arr: Any, **kwargs: Any) -> None:
    """Print which device has which part of an array.

    >>> import jitml.numpy as jnp
    >>> visualize_array_sharding(jnp.ones(4))
    ┌─────────┐
    │  CPU 0  │
    └─────────┘
    """
    visualize_sharding(as_value(arr).shape, SingleDeviceSharding(device_of(arr)), **kwargs)


def inspect_array_sharding(value: Any, *, callback: Callable[[Sharding], None]) -> None:
    """Call a function with the sharding of an array.

    >>> import jitml.numpy as jnp
    >>> inspect_array_sharding(jnp.ones(4), callback=lambda found: print(found.num_devices))
    1
    """
    check_callable("inspect_array_sharding", callback)
    callback(SingleDeviceSharding(default_device()))
