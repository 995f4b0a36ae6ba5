"""Plans as numbers and strings, and back.

In: a `Plan`. Out: what a `Packer` holds of it; a reader that trusts nothing but leaves the check of
the plan's consistency to `check_plan`. Host calls name functions of the process that made the plan:
a plan with one cannot be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

import numpy as np

from .dtypes import ROWS
from .packing import FormatError, Packer, Unpacker
from .plan import ArraySpec, Branch, Buffer, Copy, HostCall, Instruction, Loop, Plan, Step

_KINDS: tuple[Literal["input", "output", "temp", "constant", "moving"], ...] = (
    "input",
    "output",
    "temp",
    "constant",
    "moving",
)
_RUN, _COPY, _BRANCH, _LOOP = 0, 1, 2, 3
_DTYPES = {str(row.dtype): row.dtype for row in ROWS}
_NONE = -1
Read = TypeVar("Read")


def is_storable(plan: Plan) -> bool:
    """Whether all of a plan can be stored."""
    return not any(isinstance(step, HostCall) for step in plan.instructions)


def write_plan(out: Packer, plan: Plan) -> None:
    """Add a plan that `is_storable`."""
    for specs in (plan.inputs, plan.outputs):
        out.integer(len(specs))
        for spec in specs:
            write_spec(out, spec)
    out.integer(len(plan.buffers))
    for buffer in plan.buffers:
        kind = _KINDS.index(buffer.kind)
        out.integers((kind, buffer.index, buffer.offset, buffer.size_bytes))
    out.integer(len(plan.instructions))
    for step in plan.instructions:
        _write_step(out, step)
    out.integer(plan.arena_bytes)
    out.integer(len(plan.constants))
    for constant in plan.constants:
        out.data(constant)
    out.integers(number for pair in plan.aliases for number in pair)
    for table in (plan.forward, plan.duplicates):
        out.integers(_NONE if number is None else number for number in table)
    out.integer(len(plan.routines))
    for number, name in plan.routines:
        out.integer(number)
        out.text(name)


def read_plan(source: Unpacker) -> Plan:
    """Read a plan; FormatError if that is not what is there."""
    inputs = _read_all(source, read_spec)
    outputs = _read_all(source, read_spec)
    buffers = _read_all(source, _read_buffer)
    instructions = _read_all(source, _read_step)
    arena_bytes = source.integer()
    constants = _read_all(source, Unpacker.data)
    paired = source.integers()
    aliases = tuple(zip(paired[::2], paired[1::2], strict=False))
    forward, duplicates = (_optional(source.integers()) for _ in range(2))
    routines = _read_all(source, lambda s: (s.integer(), s.text()))
    return Plan(
        inputs,
        outputs,
        buffers,
        instructions,
        arena_bytes,
        constants,
        aliases,
        forward,
        duplicates,
        routines,
    )


def write_spec(out: Packer, spec: ArraySpec) -> None:
    """Add a type of array."""
    out.text(str(spec.dtype))
    out.integer(spec.weak)
    out.integers(spec.shape)


def read_spec(source: Unpacker) -> ArraySpec:
    """Read a type of array."""
    name = source.text()
    dtype = _DTYPES.get(name)
    if dtype is None:
        missing = "pip install ml_dtypes" if name == "bfloat16" else "it is unknown here"
        raise FormatError(f"arrays of dtype {name} are needed: {missing}")
    weak = bool(source.integer())
    return ArraySpec(np.dtype(dtype), source.integers(), weak)


def _write_step(out: Packer, step: Step) -> None:
    if isinstance(step, Instruction):
        sizes = (step.extent, step.grain, step.scratch_bytes, step.work_ns)
        out.integers((_RUN, step.kernel, *sizes))
        out.integers(step.buffers)
        out.integers(step.sizes)
    elif isinstance(step, Copy):
        out.integers((_COPY, step.source, step.target))
    elif isinstance(step, Branch):
        out.integers((_BRANCH, step.index))
        out.integers(step.ends)
    elif isinstance(step, Loop):
        ends = (step.condition_end, step.end)
        out.integers((_LOOP, step.length, step.predicate, *ends, step.reverse))
        out.integers(step.moving)
        out.integers(number for pair in step.carries for number in pair)
    else:
        raise FormatError(f"the host call {step.label} cannot be stored")
    out.text(step.label)


def _read_step(source: Unpacker) -> Step:
    kind, *numbers = source.integers() or (_NONE,)
    if kind == _RUN and len(numbers) == 5:
        kernel, extent, grain, scratch_bytes, work_ns = numbers
        buffers, sizes = source.integers(), source.integers()
        label = source.text()
        return Instruction(kernel, buffers, sizes, extent, grain, scratch_bytes, label, work_ns)
    if kind == _COPY and len(numbers) == 2:
        return Copy(numbers[0], numbers[1], source.text())
    if kind == _BRANCH and len(numbers) == 1:
        return Branch(numbers[0], source.integers(), source.text())
    if kind == _LOOP and len(numbers) == 5:
        length, predicate, condition_end, end, reverse = numbers
        moving, paired = source.integers(), source.integers()
        carries = tuple(zip(paired[::2], paired[1::2], strict=False))
        label = source.text()
        return Loop(length, predicate, condition_end, end, moving, carries, bool(reverse), label)
    raise FormatError(f"there is no step of kind {kind} with {len(numbers)} numbers")


def _read_buffer(source: Unpacker) -> Buffer:
    numbers = source.integers()
    if len(numbers) != 4 or not 0 <= numbers[0] < len(_KINDS):
        raise FormatError(f"{numbers} describes no buffer")
    return Buffer(_KINDS[numbers[0]], *numbers[1:])


def _read_all(source: Unpacker, read: Callable[[Unpacker], Read]) -> tuple[Read, ...]:
    return tuple([read(source) for _ in range(source.count())])


def _optional(numbers: Iterable[int]) -> tuple[int | None, ...]:
    return tuple([None if number == _NONE else number for number in numbers])
