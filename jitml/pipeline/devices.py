"""Where programs run: on this machine's processors, or on the device that `JITML_DEVICE` names.

In: programs lowered for a device. Out: executables that the runtime takes for a CPU's: their one
step calls the device. Nothing of CUDA is loaded, and no driver asked for, unless it was asked for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from jitml.codegen.target import Target
from jitml.ir.errors import ArgumentError, JitmlError
from jitml.pipeline.spans import spanning
from jitml.trace.flags import flag
from jitml_runtime import Executable, KernelFault, Plan, from_numpy

if TYPE_CHECKING:
    from jitml.codegen.plan import Program
    from jitml.device.device import Device
    from jitml.ir.graph import Eqn

CPU, CUDA, EMULATED = "cpu", "cuda", "cuda-emulated"


def _asked() -> tuple[str, int]:
    """The kind of device that `JITML_DEVICE` names, and how many emulated ones there are."""
    text = os.environ.get("JITML_DEVICE", CPU) or CPU
    name, colon, number = text.partition(":")
    is_count = not colon or (name == EMULATED and number.isdecimal() and 0 < int(number) <= 16)
    if name not in (CPU, CUDA, EMULATED) or not is_count:
        raise ArgumentError(
            f"JITML_DEVICE={text!r}: there is no such device",
            hint=f"expected {CPU!r}, {CUDA!r}, {EMULATED!r}, or {EMULATED + ':2'!r} for two",
        )
    return name, int(number or 1)


@functools.cache
def device_name() -> str:
    """The device that programs run on, as `JITML_DEVICE` names it."""
    return _asked()[0]


@functools.cache
def device_library() -> Any:
    """The driver's library; NoDeviceError where there is none."""
    from jitml.device.driver import load_libcuda

    if device_name() == EMULATED:
        from jitml.emulation.whole_libcuda import WholeCuda

        return WholeCuda(device_count=_asked()[1])
    return load_libcuda()


_OPENED: WeakSet[Device] = WeakSet()


@functools.cache
def device(ordinal: int) -> Device:
    """A device, opened when it is first asked for."""
    from jitml.device.device import Device
    from jitml.device.driver import Driver
    from jitml.device.placement import set_default

    set_default(default_device)
    opened = Device(Driver(device_library(), ordinal), spanning)
    _OPENED.add(opened)
    return opened


def finish_calls() -> None:
    """Wait for what devices were asked; calls on their way keep what they may have to tell. What
    has gone wrong is told to whoever reads results.
    """
    for opened in [*_OPENED]:
        with suppress(JitmlError), opened.entered():
            opened.wait()


def default_device() -> Device:
    """Where programs run whose arguments do not say it."""
    return device(getattr(flag("jax_default_device"), "id", 0))


def device_target() -> Target:
    """What kernels of the devices are compiled for."""
    from jitml.codegen.nvptx.target import gpu_target

    return gpu_target(default_device().driver.target)


@functools.cache
def _ptx(text: str, target: Target) -> str:
    from jitml.codegen.nvptx.target import compile_ptx

    return compile_ptx(text, target)


def device_executable(program: Program, host: Callable[[Eqn], Any]) -> tuple[Plan, Executable]:
    """An executable that runs `program` on the device of its arguments, and its plan, which has the
    signature alone. Equations that only the host computes are run by what `host` gives for them.
    """
    from jitml.device.executable import DeviceExecutable
    from jitml.device.launches import Code

    target = device_target()
    code = Code(
        program.plan,
        tuple([_ptx(code.text, target) for code in program.kernels]),
        tuple([bool(sites) for sites in program.sites]),
        tuple([getattr(f, "on_views", None) or host(f) for f in program.functions]),  # type: ignore[arg-type]
    )
    inner = DeviceExecutable(
        code,
        functools.partial(_explained, program),
        functools.partial(_located, program),
        waits=any(code.checked) and not any(source for row in program.sources for source in row),
    )
    plan = signature_of(program.plan)
    return plan, Executable(plan, (), inner, (), inner.run)


def _explained(program: Program, fault: KernelFault) -> BaseException:
    from jitml.pipeline.faults import explain_fault

    return explain_fault(program, fault)


def _located(program: Program, error: JitmlError, instruction: int) -> JitmlError:
    """An error with the user's line of the instruction that it met, or came after."""
    sources = program.sources[instruction] if instruction < len(program.sources) else ()
    return error.located(sources[0]) if sources else error


def signature_of(plan: Plan) -> Plan:
    """The plan without its steps: what a delegate runs."""
    return Plan(
        plan.inputs,
        plan.outputs,
        (),
        (),
        aliases=plan.aliases,
        forward=plan.forward,
        duplicates=plan.duplicates,
    )


def host_call(run: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[..., None]:
    """What computes an equation on the host, as plans call it."""

    def call(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        results = run([from_numpy(view) for view in inputs])
        for view, result in zip(outputs, results, strict=True):
            view[...] = result

    return call
