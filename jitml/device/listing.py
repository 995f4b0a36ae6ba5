"""Which NVIDIA GPUs there are, asked of the driver when somebody wants to know."""

from __future__ import annotations

from jitml.device.driver import Driver, load_libcuda
from jitml.device.errors import DeviceError


def describe_cuda() -> str:
    """The first GPU that the driver knows, or why there is none."""
    try:
        driver = Driver(load_libcuda())
    except DeviceError as error:
        return error.message
    return f"JITML_DEVICE=cuda runs programs on {driver.name} ({driver.target})"
