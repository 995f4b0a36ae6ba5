"""What goes wrong in a kernel, named; on a device most of it would be silence or noise."""

from __future__ import annotations


class EmulatedFault(Exception):
    """A kernel did what it must not; `kind` is one of:

    out-of-bounds, uninitialised, misaligned, read-only, race, divergent-barrier, shuffle,
    unset-register, endless, launch, and order, where results depend on that of threads.
    """

    def __init__(self, kind: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.line = line

    def __str__(self) -> str:
        where = f" (line {self.line} of the PTX)" if self.line else ""
        return f"{self.kind}: {self.message}{where}"
