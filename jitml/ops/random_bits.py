"""Threefry-2x32 with 20 rounds: random bits as a pure function of a key and a counter.

In: two words of key and two of counter per element, all u32. Out: two words of random bits. It
knows nothing of keys as objects or of distributions; `jitml.random` builds those.
Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import DType
from jitml.ir.errors import DTypeError
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Elementwise, Traced
from jitml.ops.tangents import WithoutTangents
from jitml.trace.core import bind
from jitml_runtime.record import frozen

_UINT32: DType = np.dtype(np.uint32)
_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_BLOCKS = 5


@frozen
class Threefry2x32(WithoutTangents, Elementwise):
    """Two words of random bits from two words of key and two of counter."""

    name = "threefry2x32"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return tuple(t.strong() for t in super().infer(*types))

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        if any(t.dtype != _UINT32 for t in types):
            raise DTypeError(
                f"threefry2x32: takes uint32 only, got {', '.join(map(str, types))}",
                hint="convert the words of key and counter with .astype('uint32')",
            )

    def output_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        return (_UINT32, _UINT32)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        with np.errstate(over="ignore"):
            return tuple(map(np.asarray, _threefry(*np.broadcast_arrays(*arrays))))

    def lower(self, *values: Any) -> Any:
        return _threefry(*values)


def _threefry(key0: Any, key1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """The rounds, on NumPy arrays and on scalar values alike: only + ^ | << >> on u32."""
    keys = (key0, key1, key0 ^ key1 ^ _constant(key0, _PARITY))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for block in range(_BLOCKS):
        for distance in _ROTATIONS[block % 2]:
            x0 = x0 + x1
            x1 = _rotated(x1, distance) ^ x0
        x0 = x0 + keys[(block + 1) % 3]
        x1 = x1 + keys[(block + 2) % 3] + _constant(x1, block + 1)
    return x0, x1


def _constant(like: Any, number: int) -> Any:
    return np.uint32(number) if isinstance(like, (np.ndarray, np.generic)) else like.like(number)


def _rotated(x: Any, distance: int) -> Any:
    return (x << _constant(x, distance)) | (x >> _constant(x, 32 - distance))


def threefry2x32(
    key0: Traced, key1: Traced, count0: Traced, count1: Traced
) -> tuple[Traced, Traced]:
    """Random bits `(bits0, bits1)` for each element; 0-d keys serve all elements."""
    bits0, bits1 = bind(Threefry2x32(), key0, key1, count0, count1)
    return bits0, bits1
