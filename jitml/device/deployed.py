"""Programs of files on a device.

In: a file that holds a program for GPUs. Out: the program, run on one of them. The compiler takes
no part.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from jitml.device.errors import DeviceError
from jitml.device.executable import DeviceExecutable
from jitml.device.launches import Code
from jitml.device.placement import put
from jitml.pipeline import devices
from jitml_runtime import Array, Executable, LoadError
from jitml_runtime.deployment import Deployment, GpuPart, Program, explain_check, unpack
from jitml_runtime.packing import FormatError


def load_on(path: str | os.PathLike[str], ordinal: int) -> Program:
    """The program in a file, on a device."""
    with open(path, "rb") as file:
        data = file.read()
    device = devices.device(ordinal)
    try:
        deployment = unpack(data)
        part = _part_for(deployment, device.driver.target)
    except (FormatError, LoadError) as error:
        raise LoadError(f"{os.fspath(path)} cannot be loaded: {error}") from None
    code = Code(
        part.plan, tuple([text.decode() for text in part.ptx]), tuple(map(bool, part.checks))
    )
    inner = DeviceExecutable(code, partial(explain_check, part.checks), _unlocated)

    def run(arguments: tuple[Array, ...], explain: Any) -> list[Array]:
        return inner.run(tuple([put(x, device) for x in arguments]), explain)

    executable = Executable(devices.signature_of(part.plan), (), inner, (), run)
    return Program(deployment, executable, part.checks)


def _unlocated(error: DeviceError, instruction: int) -> DeviceError:
    return error


def _part_for(deployment: Deployment, target: str) -> GpuPart:
    """The part for a GPU, or for the latest before it: drivers compile PTX for later ones."""
    fitting = [part for part in deployment.gpus if _number(part.target) <= _number(target)]
    if not fitting:
        held = ", ".join(part.target for part in deployment.gpus) or "no GPU"
        raise LoadError(
            f"it was saved for {held}, this is {target}: save it with gpus=({target!r},)"
        )
    return max(fitting, key=lambda part: _number(part.target))


def _number(target: str) -> int:
    return int(target.removeprefix("sm_"))
