"""Aligned memory for arrays and arenas, counted.

In: sizes. Out: NumPy byte arrays whose first byte is 64-byte aligned.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

from ..plan import ALIGNMENT_BYTES
from ..shortage import describe_shortage

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_blocks: dict[int, tuple[weakref.ref[Bytes], int]] = {}  # by the identity of the reference
_counts = {"bytes_in_use": 0, "peak_bytes": 0, "cached_bytes": 0, "allocations": 0}
live_arrays: dict[str, int] = {"count": 0}


def allocate(size_bytes: int) -> Bytes:
    """Return ``size_bytes`` aligned bytes, a view whose base owns the memory."""
    total = size_bytes + ALIGNMENT_BYTES
    try:
        if total > sys.maxsize:
            raise MemoryError
        block = np.empty(total, np.uint8)
    except MemoryError:
        from .array import list_stored_arrays  # above: arrays lie in this memory

        arrays = list_stored_arrays()
        message = describe_shortage(size_bytes, _counts["bytes_in_use"], arrays)
        raise MemoryError(message) from None
    reference = weakref.ref(block, _forget)
    _blocks[id(reference)] = (reference, total)
    _counts["allocations"] += 1
    _counts["bytes_in_use"] += total
    _counts["peak_bytes"] = max(_counts["peak_bytes"], _counts["bytes_in_use"])
    start = -block.ctypes.data % ALIGNMENT_BYTES
    return block[start : start + size_bytes]


def is_sole_view(array: np.ndarray[Any, Any]) -> bool:
    """Whether ``array`` is the only view of memory that `allocate` made."""
    base = array.base
    # References: the array's own base slot, this frame's variable, getrefcount's argument.
    return base is not None and sys.getrefcount(base) <= 3


def block_bytes(size_bytes: int, /) -> int:
    """Return the bytes that the allocator takes for a block of so many bytes."""
    return size_bytes + ALIGNMENT_BYTES


def memory_stats(reset_peak: bool = False) -> dict[str, int]:
    """Return what is allocated, in bytes and counts."""
    if reset_peak:
        _counts["peak_bytes"] = _counts["bytes_in_use"]
    return {**_counts, "live_arrays": live_arrays["count"]}


def release_cache() -> int:
    """Return cached blocks to the system: there are none, NumPy allocates."""
    return 0


def _forget(reference: weakref.ref[Bytes]) -> None:
    _counts["bytes_in_use"] -= _blocks.pop(id(reference))[1]
