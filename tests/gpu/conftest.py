"""Programs on an emulated device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import jitml
from jitml.device.driver import Driver, load_libcuda
from jitml.device.executable import Device
from jitml.emulation.libcuda import EmulatedCuda
from jitml.pipeline import devices


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedCuda]:
    """Whatever runs meanwhile runs on this device: a real one if JITML_DEVICE=cuda asks for it."""
    is_real = os.environ.get("JITML_DEVICE") == devices.CUDA
    cuda = load_libcuda() if is_real else EmulatedCuda()
    device = Device(Driver(cuda))
    jitml.clear_caches()
    monkeypatch.setattr(devices, "device_name", lambda: devices.EMULATED)
    monkeypatch.setattr(devices, "device", lambda: device)
    monkeypatch.setattr(jitml.pipeline.compile, "device_name", lambda: devices.EMULATED)
    yield cuda
    jitml.clear_caches()


@pytest.fixture
def measured(emulated: EmulatedCuda) -> Any:
    """The same, with what launches do counted."""
    emulated.measures = True
    return emulated
