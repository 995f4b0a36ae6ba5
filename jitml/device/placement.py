"""Which device a program runs on: where its arguments are.

In: arrays, on devices and on the host. Out: the device that they draw the program to, and the
arguments there. Arrays that nobody has placed go where the others are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.device.device import Device
from jitml.device.errors import PlacementError
from jitml.device.memory import Resident
from jitml.ir.source import user_source
from jitml_runtime import Array, attach_remote, is_at_hand, remote_array, remote_of, to_numpy

_DEFAULT: list[Callable[[], Device]] = []


def set_default(find: Callable[[], Device]) -> None:
    """Tell where programs run whose arguments do not say it."""
    _DEFAULT[:] = [find]


class Placed:
    """Where a program runs, and whether its arguments want it so."""

    __slots__ = ("device", "is_committed")

    def __init__(self, device: Device, is_committed: bool) -> None:
        self.device = device
        self.is_committed = is_committed

    def residents(self, arguments: tuple[Array, ...]) -> list[Resident]:
        """The arguments on the device; what was not there is copied, and stays there."""
        known: dict[int, Resident] = {}
        for array in arguments:
            if id(array) not in known:
                known[id(array)] = resident_on(array, self.device)
        return [known[id(array)] for array in arguments]


def place_arguments(arguments: tuple[Array, ...]) -> Placed:
    """The device that arguments draw a program to; PlacementError where they disagree."""
    found: Device | None = None
    first = 0
    for number, array in enumerate(arguments):
        resident = remote_of(array)
        if resident is None or not resident.is_committed:
            continue
        if found is not None and resident.device is not found:
            raise _disagreement(arguments, (first, number), (found, resident.device))
        if found is None:
            found, first = resident.device, number
    return Placed(found or _DEFAULT[0](), found is not None)


def _disagreement(
    arguments: tuple[Array, ...], numbers: tuple[int, int], devices: tuple[Device, Device]
) -> PlacementError:
    first, second = (
        f"{arguments[n].dtype}{list(arguments[n].shape)} on {device}"
        for n, device in zip(numbers, devices, strict=True)
    )
    return PlacementError(
        f"the arguments are on different devices: {first}, and {second}",
        hint="bring them together: jitml.device_put(x, y.device)",
        source=user_source(),
    )


def resident_on(array: Array, device: Device) -> Resident:
    """An array's elements on a device."""
    resident: Resident | None = remote_of(array)
    if resident is None:
        return _copied_in(array, device)
    if resident.device is device and not resident.block.is_lost:
        return resident
    if is_at_hand(array):  # the copy is of no more use, or of none here
        resident.block = device.block_of(to_numpy(array))
        resident.maker = None
        return resident
    return moved(resident, device)


def moved(resident: Resident, device: Device) -> Resident:
    """What another device has, on this one."""
    resident.wait()  # or raise that it is lost
    return Resident(device.copy_from(resident.block), resident.dtype)


def _copied_in(array: Array, device: Device) -> Resident:
    data = to_numpy(array)
    resident = Resident(device.block_of(data), data.dtype)
    attach_remote(array, resident)  # not where others may write to its memory
    return resident


def put(array: Array, device: Device) -> Array:
    """The array on a device, where it stays."""
    with device.entered():
        here: Any = remote_of(array)
        if here is not None and here.device is device and not here.block.is_lost:
            if here.is_committed:
                return array
            found = Resident(here.block, here.dtype, here.maker, True, here.owner)
        elif is_at_hand(array):
            found = Resident(device.block_of(to_numpy(array)), array.dtype, None, True)
        else:
            found = moved(here, device)
            found.is_committed = True
        return remote_array(array.dtype, array.shape, array.weak_type, found)
