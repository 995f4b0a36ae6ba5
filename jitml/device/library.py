"""One of NVIDIA's libraries on a device, and what it can be asked for.

In: names and arguments of its C functions, as nvmath-python binds them. Out: what they give; what
they refuse is an error with a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jitml.device.errors import DeviceError, DeviceMemoryError, LibraryError, NoLibraryError

if TYPE_CHECKING:
    from jitml.device.driver import Driver

TITLES = {
    "cufft": "cuFFT",
    "cusolverDn": "cuSOLVER",
    "cublas": "cuBLAS",
    "cublasLt": "cuBLASLt",
}
# Statuses by library: there is no memory; it cannot do what it is asked for.
NO_MEMORY = {"cufft": 2, "cusolverDn": 2, "cublas": 3, "cublasLt": 3}
NOT_THERE = {"cufft": (8, 14, 16, 17), "cusolverDn": (4, 9), "cublas": (8, 15), "cublasLt": (8, 15)}


class Library:
    """A library; `handle` is what its functions take first."""

    def __init__(self, name: str, bindings: Any, driver: Driver) -> None:
        self.name = name
        self.title = TITLES[name]
        self.handle = 0
        self._bindings = bindings
        self._driver = driver
        self._stream: int | None = None

    def follow(self) -> None:
        """Let the handle mean the stream that the driver asks."""
        stream = self._driver.stream.value
        if stream != self._stream:
            self.call("set_stream", self.handle, stream)
            self._stream = stream

    def call(self, function: str, *arguments: Any) -> Any:
        """What a function gives. NoLibraryError where the library cannot do this, LibraryError
        where it fails.
        """
        found = getattr(self._bindings, function, None)
        if found is None:
            raise NoLibraryError(f"this {self.title} has no {function}")
        try:
            return found(*arguments)
        except (OSError, RuntimeError) as error:  # of the bindings: they find no library
            raise NoLibraryError(f"{self.title} cannot be used: {error}") from None
        except Exception as error:
            if not hasattr(error, "status"):
                raise
            kind = self._kind(error.status)
            raise kind(f"{self.title} reports {error} ({function})") from None

    def _kind(self, status: int) -> type[DeviceError]:
        if status == NO_MEMORY[self.name]:
            return DeviceMemoryError
        return NoLibraryError if status in NOT_THERE[self.name] else LibraryError


class Routine(Protocol):
    """What a library computes instead of the host or of a kernel. `is_recordable`: it may be part
    of a graph.
    """

    title: str
    work_bytes: int
    is_recordable: bool

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        """Ask for the outputs, in the device's stream; all are addresses, `work` has memory for
        what comes meanwhile.
        """
