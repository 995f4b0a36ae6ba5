"""Programs on an emulated device.

With JITML_GPU_RUNG=threads its kernels run as LLVM text, thread by thread, instead of as PTX.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import jitml
from jitml.codegen.nvptx.target import optimized
from jitml.device.driver import load_libcuda
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.llvm_cuda import LlvmCuda
from jitml.pipeline import devices


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedCuda]:
    """Whatever runs meanwhile runs on this device: a real one if JITML_DEVICE=cuda asks for it."""
    is_real = os.environ.get("JITML_DEVICE") == devices.CUDA
    cuda = load_libcuda() if is_real else EmulatedCuda()
    if os.environ.get("JITML_GPU_RUNG") == "threads":
        cuda = LlvmCuda()
        monkeypatch.setattr(devices, "_ptx", lambda text, target: str(optimized(text, target)))
    jitml.clear_caches()
    devices.device.cache_clear()
    monkeypatch.setattr(devices, "device_name", lambda: devices.EMULATED)
    monkeypatch.setattr(devices, "device_library", lambda: cuda)
    monkeypatch.setattr(jitml.pipeline.compile, "device_name", lambda: devices.EMULATED)
    yield cuda
    jitml.clear_caches()
    devices.device.cache_clear()


@pytest.fixture
def measured(emulated: EmulatedCuda) -> Any:
    """The same, with what launches do counted."""
    emulated.measures = True
    return emulated
