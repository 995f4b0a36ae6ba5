"""Where programs run: on this machine's processors, or on the device that `JITML_DEVICE` names.

In: programs lowered for a device. Out: executables that the runtime takes for a CPU's: their one
step calls the device. Nothing of CUDA is loaded, and no driver asked for, unless it was asked for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jitml.codegen.target import Target
from jitml.ir.errors import ArgumentError, JitmlError
from jitml_runtime import Buffer, Executable, HostCall, Plan, from_numpy

if TYPE_CHECKING:
    from jitml.codegen.plan import Program
    from jitml.device.executable import Device
    from jitml.ir.graph import Eqn

CPU, CUDA, EMULATED = "cpu", "cuda", "cuda-emulated"


@functools.cache
def device_name() -> str:
    """The device that programs run on, as `JITML_DEVICE` names it."""
    name = os.environ.get("JITML_DEVICE", CPU) or CPU
    if name not in (CPU, CUDA, EMULATED):
        raise ArgumentError(
            f"JITML_DEVICE={name!r}: there is no such device",
            hint=f"expected {CPU!r}, {CUDA!r} or {EMULATED!r}",
        )
    return name


@functools.cache
def device() -> Device:
    """The device itself; NoDeviceError where there is none."""
    from jitml.device.driver import Driver, load_libcuda
    from jitml.device.executable import Device

    if device_name() == EMULATED:
        from jitml.emulation.libcuda import EmulatedCuda

        return Device(Driver(EmulatedCuda()))
    return Device(Driver(load_libcuda()))


@functools.cache
def device_target() -> Target:
    """What kernels of the device are compiled for."""
    from jitml.codegen.nvptx.target import gpu_target

    return gpu_target(device().driver.target)


@functools.cache
def _ptx(text: str, target: Target) -> str:
    from jitml.codegen.nvptx.target import compile_ptx

    return compile_ptx(text, target)


def device_executable(program: Program, host: Callable[[Eqn], Any]) -> tuple[Plan, Executable]:
    """The plan of one call of the device that runs `program`, and its executable. Equations that
    only the host computes are run by what `host` gives for them.
    """
    from jitml.device.errors import DeviceError
    from jitml.device.executable import DeviceExecutable

    target = device_target()
    inner = DeviceExecutable(
        device(),
        program.plan,
        [_ptx(code.text, target) for code in program.kernels],
        [bool(sites) for sites in program.sites],
        [getattr(f, "on_views", None) or host(f) for f in program.functions],  # type: ignore[arg-type]
    )

    def run(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        try:
            inner.run_on_views(inputs, outputs)
        except DeviceError as error:
            raise _located(error, program, inner.at) from None

    plan = _one_call(program.plan)
    return plan, Executable(plan, (), inner, [run])


def _located(error: JitmlError, program: Program, instruction: int) -> JitmlError:
    """An error with the user's line of the instruction that it met, or came after."""
    sources = program.sources[instruction] if instruction < len(program.sources) else ()
    return error.located(sources[0]) if sources else error


def _one_call(plan: Plan) -> Plan:
    """A plan with the same signature whose one step calls function 0 on all inputs and outputs."""
    has_memory = [
        number
        for number in range(len(plan.outputs))
        if not (plan.forward and plan.forward[number] is not None)
        and not (plan.duplicates and plan.duplicates[number] is not None)
    ]
    buffers = [Buffer("input", k, 0, spec.size_bytes) for k, spec in enumerate(plan.inputs)]
    buffers += [Buffer("output", k, 0, plan.outputs[k].size_bytes) for k in has_memory]
    count = len(plan.inputs)
    step = HostCall(
        0,
        tuple(range(count)),
        tuple(range(count, len(buffers))),
        plan.inputs,
        tuple(plan.outputs[k] for k in has_memory),
        "run on the device",
    )
    return Plan(
        plan.inputs,
        plan.outputs,
        tuple(buffers),
        (step,),
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
