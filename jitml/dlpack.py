"""Exchange of memory with other libraries through DLPack."""

from __future__ import annotations

from typing import Any

from jitml.ir.arguments import as_numpy_dtype
from jitml.ir.dtypes import is_supported
from jitml.numpy.creation import from_dlpack
from jitml.typing import Array


def to_dlpack(x: Array) -> Any:
    """A capsule over the memory of an array, read-only for whoever takes it.

    >>> import jitml.numpy as jnp
    >>> type(to_dlpack(jnp.ones(2))).__name__
    'PyCapsule'
    """
    return x.__dlpack__()


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of a dtype can be exchanged.

    >>> is_supported_dtype("bfloat16"), is_supported_dtype("int4")
    (True, False)
    """
    return is_supported(as_numpy_dtype("is_supported_dtype", dtype))


__all__ = ["from_dlpack", "is_supported_dtype", "to_dlpack"]
