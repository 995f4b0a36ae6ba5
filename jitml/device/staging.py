"""Memory of the host that a device copies from while the host goes on.

In: elements that may be gone, or others, before the copy is made. Out: a place with a copy of
them, which is used again when the device was waited for.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from jitml.device.driver import Driver

LEAST_BYTES = 256


class Staging:
    """Places by their sizes, which are powers of two."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._free: dict[int, list[int]] = {}
        self._taken: list[tuple[int, int]] = []
        self.taken_bytes = 0

    def stage(self, data: np.ndarray[Any, Any]) -> int:
        """The address of a copy, which lasts until `release`."""
        size = max(LEAST_BYTES, 1 << (data.nbytes - 1).bit_length())
        free = self._free.get(size)
        address = free.pop() if free else self._driver.allocate_host(size)
        self._taken.append((size, address))
        self.taken_bytes += size
        ctypes.memmove(address, data.ctypes.data, data.nbytes)
        return address

    def release(self) -> None:
        """No copy is on its way any more."""
        for size, address in self._taken:
            self._free.setdefault(size, []).append(address)
        self._taken.clear()
        self.taken_bytes = 0
