"""`jax.experimental.mesh_utils`: grids of the one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.sharding import make_mesh

__all__ = ["create_device_mesh"]


def create_device_mesh(mesh_shape: Sequence[int], devices: Any = None, **options: Any) -> Any:
    """The devices in a grid.

    >>> create_device_mesh((1, 1)).shape
    (1, 1)
    """
    return make_mesh(mesh_shape, range(len(mesh_shape)), devices=devices).devices
