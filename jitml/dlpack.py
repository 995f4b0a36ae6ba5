"""Exchange of memory with other libraries through DLPack."""

from __future__ import annotations

from typing import Any

from jitml.numpy.creation import from_dlpack
from jitml.typing import Array


def to_dlpack(x: Array) -> Any:
    """A capsule over the memory of an array, read-only for whoever takes it.

    >>> import jitml.numpy as jnp
    >>> type(to_dlpack(jnp.ones(2))).__name__
    'PyCapsule'
    """
    return x.__dlpack__()


__all__ = ["from_dlpack", "to_dlpack"]
