"""Memory of a device, and arrays whose elements lie in it.

In: sizes, elements on the host. Out: `Block`s, which go back to the device's pool with their last
owner, in order with its stream; `Resident`s, which arrays refer to and ask for their elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.device.errors import ArrayLostError
from jitml.ir.errors import JitmlError
from jitml.ir.source import user_source

if TYPE_CHECKING:
    from jitml.device.calls import Pending
    from jitml.device.device import Device

Host = np.ndarray[Any, Any]


class Block:
    """Some memory of a device."""

    __slots__ = ("address", "device", "generation", "size_bytes")

    def __init__(self, device: Device, size_bytes: int) -> None:
        self.device = device
        self.size_bytes = size_bytes
        self.generation = device.generation
        self.address = device.allocate(size_bytes)

    @property
    def is_lost(self) -> bool:
        """Whether the device has begun anew since."""
        return self.generation != self.device.generation

    def __del__(self) -> None:
        if hasattr(self, "address"):  # what the device had no memory for has none to give back
            self.device.discard(self.generation, self.address)


class Resident:
    """Where an array's elements lie on a device; the runtime's arrays refer to it.

    `maker` is the call that computes them, `is_committed` says whether somebody has placed them
    there (or what they were computed from), so that they draw programs to this device.
    """

    __slots__ = ("_host", "block", "dtype", "is_committed", "maker", "owner")

    def __init__(
        self,
        block: Block,
        dtype: Any,
        maker: Pending | None = None,
        is_committed: bool = False,
        owner: Any = None,
    ) -> None:
        self.block = block
        self.dtype = np.dtype(dtype)
        self.maker = maker
        self.is_committed = is_committed
        self.owner = owner  # of memory that is not ours
        self._host: Host | None = None

    @property
    def device(self) -> Device:
        """The device that has the elements."""
        return self.block.device

    def check(self) -> None:
        """Raise what went wrong when they were computed; they must have been waited for."""
        if self.maker is not None:
            self.maker.check()
        if self.block.is_lost:
            raise ArrayLostError(
                "the elements of this array went with the device, which has begun anew",
                hint="compute the array again; what has been read before a failure stays",
            )

    def wait(self) -> None:
        """Wait until the elements are there."""
        with self.device.entered():
            self.device.wait()
            self.check()

    def is_ready(self) -> bool:
        """Whether nobody would have to wait."""
        maker = self.maker
        if maker is None or maker.is_settled:
            return True
        with self.device.entered() as device:
            return device.driver.is_idle()

    def fetch(self) -> None:
        """Ask for the elements to come to the host."""
        with self.device.entered() as device:
            if self._host is None:
                self.check()
                self._host = np.empty(self.block.size_bytes // self.dtype.itemsize, self.dtype)
                device.copy_out(self._host, self.block.address)

    def read(self) -> Host:
        """The elements on the host, in one row."""
        with self.device.entered():
            try:
                self.fetch()
                self.wait()
            except BaseException as error:
                self._host = None
                if isinstance(error, JitmlError):
                    raise error.located(user_source()) from None
                raise
            assert self._host is not None
            found, self._host = self._host, None
            return found

    # ---- for other libraries -------------------------------------------------------------------

    def dlpack_device(self) -> tuple[int, int]:
        """The device as DLPack calls it."""
        from jitml.device.interchange import CUDA

        return (CUDA, self.device.driver.ordinal)

    def dlpack(self, array: Any, stream: Any, version: Any, device: Any, copy: Any) -> Any:
        """A capsule over the memory on the device, or a copy on the host."""
        from jitml.device.interchange import export_capsule

        return export_capsule(self, array, stream, version, device, copy)
