"""Which NVIDIA GPUs there are, asked when somebody wants to know, and what they did."""

from __future__ import annotations

from dataclasses import asdict

from jitml.device.device import Device
from jitml.device.driver import Driver, load_libcuda
from jitml.device.errors import DeviceError


def describe_cuda() -> str:
    """The first GPU that the driver knows, or why there is none."""
    try:
        driver = Driver(load_libcuda())
    except DeviceError as error:
        return error.message
    return f"JITML_DEVICE=cuda runs programs on {driver.name} ({driver.target})"


def statistics_of(device: Device) -> dict[str, int]:
    """Memory in use, and what has been copied and launched since the process began."""
    with device.entered():
        device.collect()
        _, limit = device.driver.free_bytes()
        return {
            "bytes_in_use": device.bytes_in_use,
            "peak_bytes_in_use": device.peak_bytes,
            "bytes_limit": limit,
            **asdict(device.counts),
        }
