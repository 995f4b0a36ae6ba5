"""What the Python array API standard lets one ask of a namespace: devices, dtypes, abilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.hardware import Device, check_device, devices
from jitml.numpy.types import isdtype
from jitml.trace.numbers import DEFAULT_DTYPES

__all__ = ["__array_namespace_info__"]

_DTYPES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
)


class __array_namespace_info__:
    """The answers, as methods.

    >>> __array_namespace_info__().default_device()
    CpuDevice(id=0)
    """

    def capabilities(self) -> dict[str, Any]:
        """What the namespace can do."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where arrays are made."""
        return devices()[0]

    def default_dtypes(self, *, device: object = None) -> dict[str, np.dtype[Any]]:
        """The dtypes that arrays have if none is asked for."""
        self._check(device)
        integer = DEFAULT_DTYPES.of(int)
        return {
            "real floating": DEFAULT_DTYPES.of(float),
            "complex floating": DEFAULT_DTYPES.of(complex),
            "integral": integer,
            "indexing": integer,
        }

    def dtypes(
        self, *, device: object = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """The dtypes that arrays can have, of a kind or of several."""
        self._check(device)
        every = {name: np.dtype(name) for name in _DTYPES.split()}
        return {n: d for n, d in every.items() if kind is None or isdtype(d, kind)}

    def devices(self) -> list[Device]:
        """Where arrays can be."""
        return devices()

    def _check(self, device: object) -> None:
        check_device(device, "__array_namespace_info__")
