"""Steps that a library of the device takes over where there is one.

What a step is without that library is its base: a call of the host.
"""

from __future__ import annotations

from jitml.ops.library import LibraryCall
from jitml_runtime import HostCall
from jitml_runtime.record import frozen


@frozen
class LibraryStep(HostCall):
    """A routine for each element of a batch: the host's, unless the device has one."""

    call: LibraryCall
