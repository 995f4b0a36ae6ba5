"""What can go wrong with a device, by name."""

from __future__ import annotations

from jitml.ir.errors import JitmlError


class DeviceError(JitmlError, RuntimeError):
    """A device, or its driver, has refused or failed."""


class NoDeviceError(DeviceError):
    """There is no driver, or no device."""


class DriverVersionError(NoDeviceError):
    """The driver is too old for what is compiled."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no memory left."""


class PlacementError(DeviceError, ValueError):
    """Arrays that are to be used together are on different devices."""


class LaunchError(DeviceError):
    """The device has refused a kernel."""


class DeviceLostError(DeviceError):
    """The device has gone, or hangs, or a kernel has failed."""

    is_known = False  # whether the device has begun anew for it


class ArrayLostError(DeviceError):
    """The elements of an array went with a device that had to begin anew."""


class IllegalAccessError(DeviceLostError):
    """A kernel has reached memory that is not its own."""


class LibraryError(DeviceError):
    """A library of the device has refused or failed."""


class NoLibraryError(DeviceError):
    """No library of the device computes this."""
