"""The packages numba-cuda and cuda.core themselves, on an emulated device that jitml uses, too.

Import this first: `library` is what they load as libcuda, `double` what it does. numba links
machine code, which an emulated device cannot run: it is let link PTX instead, by the same linker.
They are imported when the double is there.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import Any

os.environ["JITML_DEVICE"] = "cuda-emulated"

from jitml.emulation.shared_library import SharedLibrary
from jitml.pipeline.devices import device_library

double = device_library()
library = SharedLibrary(double)

core = import_module("cuda.core")
cuda = import_module("numba.cuda")
driver = import_module("numba.cuda.cudadrv.driver")


def link_ptx(linker: Any) -> Any:
    """What the linker gives a driver that compiles PTX."""
    return core.ObjectCode.from_ptx(linker.get_linked_ptx())


LINK_MACHINE_CODE = driver._Linker.complete
driver._Linker.complete = link_ptx


def release_all() -> None:
    """Let numba give back what it keeps for later."""
    gc.collect()
    context = cuda.current_context()
    context.synchronize()
    context.memory_manager.deallocations.clear()
    context.deallocations.clear()


def check() -> None:
    """Nothing has been called that the double lacks, and it has not failed itself."""
    assert not library.unsupported, library.unsupported
    assert not library.failures, library.failures
