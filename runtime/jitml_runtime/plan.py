"""The plan: the flat table that the compiler hands over and the executors run.

In: numbers decided by the compiler. Out: frozen data that `check_plan` has found consistent, so
that an executor need not doubt it. Must not know: graphs, equations, Python functions.

Kernels have the C signature
``int32_t kernel(void **buffers, const int64_t *sizes, int64_t begin, int64_t end, fault *f)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from .record import frozen

ALIGNMENT_BYTES = 64
# "kernel 3" is the routine that is the plan's own kernel 3, for kernels that call kernels.
KERNEL_ROUTINE = "kernel"
ROUTINE_BYTES = 24


@frozen
class ArraySpec:
    """Element type and shape of an argument or a result."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    weak: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes that the elements take."""
        return prod(self.shape) * self.dtype.itemsize


@frozen
class Buffer:
    """Where some of a plan's memory lies.

    ``index`` is the argument, output or constant number; ``offset`` counts within the per-call
    arena and is a multiple of 64 (temp only). A "moving" buffer is a slice of the earlier buffer
    ``index``, another one at each step of a loop.
    """

    kind: Literal["input", "output", "temp", "constant", "moving"]
    index: int
    offset: int
    size_bytes: int


@frozen
class Instruction:
    """Run a kernel over ``extent`` units in chunks of ``grain``; more than one run in parallel.

    The grain depends on shapes alone, never on the machine; 0 means one chunk.
    ``work_ns`` is a rough estimate of the whole work, for kernels whose time does not show in the
    bytes of their buffers (loops): it decides whether other Python threads may run meanwhile.
    """

    kernel: int
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]
    extent: int
    grain: int
    scratch_bytes: int
    label: str
    work_ns: int = 0


@frozen
class Copy:
    """Copy one buffer to another of the same size; nothing happens if they are the same memory."""

    source: int
    target: int
    label: str


@frozen
class HostCall:
    """Call a Python function: ``function(inputs, outputs)``, both tuples of NumPy arrays.

    ``function`` is an index into the executable's table. Inputs are read-only views and outputs
    writable ones, straight into the plan's memory: keeping one beyond the call is safe, but its
    contents may change, so user code that might keep one is to be given copies.
    """

    function: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_specs: tuple[ArraySpec, ...]
    output_specs: tuple[ArraySpec, ...]
    label: str


@frozen
class Branch:
    """Run one of several blocks: the one that the 32-bit integer in buffer ``index`` numbers,
    clamped to those that there are.

    The blocks follow this step one after the other; ``ends`` are the positions at which they end.
    """

    index: int
    ends: tuple[int, ...]
    label: str


@frozen
class Loop:
    """Run a block ``length`` times, or (-1) while the byte in buffer ``predicate`` is not 0.

    Two blocks follow this step: one that sets the predicate (up to ``condition_end``, run before
    each step), and the body (up to ``end``). Before each step, ``moving`` buffers are set to the
    next slice of what they move over, from the last one on if ``reverse``. After it, each pair of
    ``carries`` (current, next) changes places.
    """

    length: int
    predicate: int
    condition_end: int
    end: int
    moving: tuple[int, ...]
    carries: tuple[tuple[int, int], ...]
    reverse: bool
    label: str


Step = Instruction | Copy | HostCall | Branch | Loop


def block_ends(step: Step) -> tuple[int, ...]:
    """Where the blocks that follow a step end; none for a step without blocks."""
    if isinstance(step, Branch):
        return step.ends
    return (step.condition_end, step.end) if isinstance(step, Loop) else ()


@frozen
class Plan:
    """A compiled program: its signature, its memory and its instructions in order.

    ``aliases`` pairs (output, donated input): the output may take the input's memory, if nobody
    else holds it; the input is deleted either way. ``forward`` has, for each output, the argument
    that is returned as it is, or shared in the output's shape, or None; ``duplicates`` has, for
    each output, the earlier output that it equals, or None. An empty tuple means None throughout.
    ``routines`` pairs (constant, name): that constant is to hold where a library's routine is (see
    `library`).
    """

    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    buffers: tuple[Buffer, ...]
    instructions: tuple[Step, ...]
    arena_bytes: int = 0
    constants: tuple[bytes, ...] = ()
    aliases: tuple[tuple[int, int], ...] = ()
    forward: tuple[int | None, ...] = ()
    duplicates: tuple[int | None, ...] = ()
    routines: tuple[tuple[int, str], ...] = ()


def check_plan(plan: Plan, kernels: int, functions: int) -> None:
    """Raise ValueError unless every number in ``plan`` refers to something that exists."""
    for problem in _problems(plan, kernels, functions):
        raise ValueError(f"malformed plan: {problem}")


def _problems(plan: Plan, kernels: int, functions: int) -> Iterator[str]:
    if plan.arena_bytes < 0:
        yield f"the arena has {plan.arena_bytes} bytes"
    for spec in plan.inputs + plan.outputs:
        if min(spec.shape, default=0) < 0:
            yield f"shape {spec.shape} has a negative size"
    sizes = {
        "input": [spec.size_bytes for spec in plan.inputs],
        "output": [spec.size_bytes for spec in plan.outputs],
        "constant": [len(constant) for constant in plan.constants],
    }
    for number, buffer in enumerate(plan.buffers):
        problem = _buffer_problem(plan, number, buffer, sizes)
        if problem:
            yield f"buffer {number}: {problem}"
    for number, step in enumerate(plan.instructions):
        problem = _step_problem(plan, step, kernels, functions)
        if problem:
            yield f"instruction {number} ({step.label}): {problem}"
    yield from _block_problems(plan)
    yield from _result_problems(plan)
    for number, name in plan.routines:
        if not 0 <= number < len(plan.constants) or len(plan.constants[number]) != ROUTINE_BYTES:
            yield f"there is no constant {number} for the address of {name}"
        family, _, which = name.partition(" ")
        if family == KERNEL_ROUTINE and not (which.isdecimal() and int(which) < kernels):
            yield f"there is no {name} to be called"


def _buffer_problem(plan: Plan, number: int, buffer: Buffer, sizes: dict[str, list[int]]) -> str:
    if buffer.kind == "temp":
        end = buffer.offset + buffer.size_bytes
        inside = min(buffer.offset, buffer.size_bytes) >= 0 and end <= plan.arena_bytes
        if not inside or buffer.offset % ALIGNMENT_BYTES:
            return f"bytes {buffer.offset} to {end} are not an aligned part of the arena"
        return ""
    if buffer.kind == "moving":
        is_earlier = 0 <= buffer.index < number
        return "" if is_earlier else f"buffer {buffer.index} is no earlier one to move over"
    if buffer.kind not in sizes:
        return f"unknown kind {buffer.kind!r}"
    known = sizes[buffer.kind]
    if not 0 <= buffer.index < len(known):
        return f"there is no {buffer.kind} {buffer.index}"
    if buffer.size_bytes != known[buffer.index]:
        expected = known[buffer.index]
        return f"{buffer.size_bytes} bytes, but {buffer.kind} {buffer.index} has {expected}"
    if buffer.kind == "output" and _is_set(plan.forward, buffer.index):
        return f"output {buffer.index} is an argument passed through and has no memory"
    if buffer.kind == "output" and _is_set(plan.duplicates, buffer.index):
        return f"output {buffer.index} is another output's duplicate and has no memory"
    return ""


def _step_problem(plan: Plan, step: Step, kernels: int, functions: int) -> str:
    if isinstance(step, Instruction):
        if not 0 <= step.kernel < kernels:
            return f"there is no kernel {step.kernel}"
        if min(step.extent, step.grain, step.scratch_bytes, step.work_ns) < 0:
            return "negative extent, grain, scratch size or work"
        return _reference_problem(plan, step.buffers)
    if isinstance(step, Copy):
        problem = _reference_problem(plan, (step.source, step.target))
        if problem:
            return problem
        sizes = [plan.buffers[number].size_bytes for number in (step.source, step.target)]
        return "" if sizes[0] == sizes[1] else f"copies {sizes[0]} bytes to {sizes[1]}"
    if isinstance(step, Branch):
        problem = _reference_problem(plan, (step.index,))
        is_number = problem or plan.buffers[step.index].size_bytes == 4
        return problem if is_number else f"buffer {step.index} holds no 32-bit number"
    if isinstance(step, Loop):
        return _loop_problem(plan, step)
    if not 0 <= step.function < functions:
        return f"there is no host function {step.function}"
    return (
        _reference_problem(plan, step.inputs + step.outputs)
        or _view_problem(plan, step.inputs, step.input_specs)
        or _view_problem(plan, step.outputs, step.output_specs)
    )


def _loop_problem(plan: Plan, step: Loop) -> str:
    asked = (step.predicate,) if step.length < 0 else ()
    numbers = (*asked, *step.moving, *(number for pair in step.carries for number in pair))
    problem = _reference_problem(plan, numbers)
    if problem:
        return problem
    if step.length < -1 or (step.length < 0 and plan.buffers[step.predicate].size_bytes != 1):
        return f"a loop of length {step.length} over predicate {step.predicate}"
    for number in step.moving:
        moving = plan.buffers[number]
        if moving.kind != "moving" or step.length < 0:
            return f"buffer {number} does not move"
        whole = plan.buffers[moving.index].size_bytes
        if moving.size_bytes * step.length != whole:
            return f"{step.length} slices of {moving.size_bytes} bytes in {whole} bytes"
    for pair in step.carries:
        current, following = (plan.buffers[number] for number in pair)
        if {current.kind, following.kind} != {"temp"}:
            return f"carries {pair} are not temporary"
        if current.size_bytes != following.size_bytes:
            return f"carries {pair} differ in size"
    return ""


def _block_problems(plan: Plan) -> Iterator[str]:
    """Every block ends where the next one begins, inside the block around it."""
    around = [len(plan.instructions)]
    for number, step in enumerate(plan.instructions):
        while around[-1] == number:
            around.pop()
        ends = block_ends(step)
        if isinstance(step, Branch) and not ends:
            yield f"instruction {number} ({step.label}) has no blocks"
        if list(ends) != sorted(ends) or (ends and not number < ends[0] <= ends[-1] <= around[-1]):
            yield f"instruction {number} ({step.label}) has blocks that end at {ends}"
            return
        around += [end for end in reversed(ends) if end > number + 1]


def _reference_problem(plan: Plan, numbers: Sequence[int]) -> str:
    bad = [number for number in numbers if not 0 <= number < len(plan.buffers)]
    return f"there is no buffer {bad[0]}" if bad else ""


def _view_problem(plan: Plan, numbers: Sequence[int], specs: Sequence[ArraySpec]) -> str:
    if len(numbers) != len(specs):
        return f"{len(numbers)} buffers but {len(specs)} types"
    for number, spec in zip(numbers, specs, strict=True):
        if spec.size_bytes > plan.buffers[number].size_bytes:
            return f"{spec} does not fit into buffer {number}"
    return ""


def _is_set(table: tuple[int | None, ...], index: int) -> bool:
    return index < len(table) and table[index] is not None


def _can_share(source: ArraySpec, target: ArraySpec) -> bool:
    return source.dtype == target.dtype and source.size_bytes == target.size_bytes


def _result_problems(plan: Plan) -> Iterator[str]:
    for name, table in (("forward", plan.forward), ("duplicates", plan.duplicates)):
        if table and len(table) != len(plan.outputs):
            yield f"{name} has {len(table)} entries for {len(plan.outputs)} outputs"
    for output, argument in enumerate(plan.forward):
        if argument is not None and not 0 <= argument < len(plan.inputs):
            yield f"output {output} passes on argument {argument}, which does not exist"
        elif argument is not None and not _can_share(plan.inputs[argument], plan.outputs[output]):
            yield f"output {output} cannot share the memory of argument {argument}"
    for output, earlier in enumerate(plan.duplicates):
        if earlier is not None and not 0 <= earlier < output:
            yield f"output {output} duplicates {earlier}, which is no earlier output"
    taken: set[int] = set()
    for output, argument in plan.aliases:
        if not (0 <= output < len(plan.outputs) and 0 <= argument < len(plan.inputs)):
            yield f"alias ({output}, {argument}) names no output or no input"
        elif argument in plan.forward:
            yield f"argument {argument} is both passed through and donated"
        elif argument in taken:
            yield f"argument {argument} is donated twice"
        elif _is_set(plan.forward, output) or _is_set(plan.duplicates, output):
            yield f"output {output} has no memory of its own and cannot take a donated one"
        elif plan.outputs[output].size_bytes != plan.inputs[argument].size_bytes:
            yield f"output {output} and donated argument {argument} differ in size"
        taken.add(argument)
