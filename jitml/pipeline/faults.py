"""What a kernel's failed check means to the user: which index, axis, size and line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitml.codegen.kernel import Site
from jitml.codegen.plan import Program
from jitml.ir.errors import JitmlError, NativeError, OutOfBoundsError
from jitml.ir.graph import Eqn
from jitml.ops.indexing import Gather
from jitml.ops.native import NativeCall
from jitml.ops.require import Failure, Require
from jitml.ops.scan import MAP
from jitml.ops.scatter import Scatter
from jitml.ops.while_loop import Lanes
from jitml_runtime import KernelFault, Loop
from jitml_runtime.errors import ELEMENTS, LANES, STEPS, lane_text, loop_steps


def explain_fault(program: Program, fault: KernelFault) -> JitmlError:
    """The error for a check that has failed while `program` ran."""
    sites = program.sites[fault.instruction]
    eqn = sites[fault.site].eqn
    if isinstance(eqn.op, NativeCall):
        return NativeError(
            f"the compiled function {eqn.op.function.name} has raised an exception"
            f"{loop_steps(fault.steps)}",
            hint="call it with NumPy arrays, outside of compiled programs, to see which",
            source=eqn.source,
        )
    failure = failure_of(sites, fault.site)
    where = _place(program, fault, failure.subject)
    value: object = fault.value
    if isinstance(eqn.op, Require):
        value = eqn.op.told(fault.value, eqn.inputs[0].type.dtype)
    text = f"{failure.message.format(value=value)} ({where})"
    # One operation at hand has no line of its own: its caller locates the error.
    return failure.error(text, hint=failure.hint).located(eqn.source)


def _place(program: Program, fault: KernelFault, subject: str) -> str:
    """Where in a result, in which lane, at which steps of loops a check has failed."""
    instructions = program.plan.instructions
    site = program.sites[fault.instruction][fault.site]
    counted = counted_by(program, fault.instruction, fault.site)
    labels = [
        step.label
        for number, step in enumerate(instructions)
        if isinstance(step, Loop) and number < fault.instruction < step.end
    ]
    steps = list(fault.steps[::-1])  # the outermost first, as the labels
    index = fault.index
    if counted == STEPS:
        labels.append(instructions[fault.instruction].label)
        steps.append(index)
        index = 0
    pairs = list(zip(labels, steps, strict=False))
    lanes = [step for label, step in pairs if label == MAP]
    others = [step for label, step in pairs if label != MAP]
    where = lane_text(lanes) + loop_steps(others[::-1])
    if counted == LANES:
        return f"in an element of a map{where}"
    return f"at element {_element(site.eqn, index)} of {subject}{where}"


def _element(eqn: Eqn, index: int) -> str:
    """A linear index as the user counts, with an index for each axis where there are several."""
    shape = (eqn.inputs[2] if isinstance(eqn.op, Scatter) else eqn.outputs[0]).type.shape
    if len(shape) < 2 or not 0 <= index < math.prod(shape):
        return str(index)
    places = []
    for extent in reversed(shape):
        index, place = divmod(index, extent)
        places.append(str(place))
    return f"[{', '.join(reversed(places))}]"


def counted_by(program: Program, instruction: int, site: int) -> str:
    """What the index of a fault of this check counts."""
    if _is_in_lanes(program, instruction):
        return LANES
    return STEPS if program.sites[instruction][site].counts_steps else ELEMENTS


def _is_in_lanes(program: Program, instruction: int) -> bool:
    """Whether an instruction computes a branch for blocks of the elements that take it."""
    steps = enumerate(program.plan.instructions)
    return any(
        isinstance(step, Loop) and step.label == Lanes.name and number < instruction < step.end
        for number, step in steps
    )


def failure_of(sites: Sequence[Site], number: int) -> Failure:
    """What the failure of a check of an instruction means: `index {value} is out of bounds for
    axis 0 with size 3 of f32[3]`.
    """
    eqn = sites[number].eqn
    if isinstance(eqn.op, Require):
        return eqn.op.meaning.failure
    operand = eqn.inputs[0].type
    axis = _axis(eqn, [n for n, site in enumerate(sites) if site.eqn is eqn].index(number))
    where = "" if axis is None else f"axis {axis} with size {operand.shape[axis]} of "
    return Failure(
        "the result",
        OutOfBoundsError,
        f"index {{value}} is out of bounds for {where}{operand}",
        "x.at[index].get(mode='fill') reads, .set(…, mode='drop') writes only what is inside; "
        "'clip' takes the nearest",
    )


def _axis(eqn: Eqn, number: int) -> int | None:
    """The axis whose position the check `number` of an equation is about."""
    if isinstance(eqn.op, Gather):
        axes = eqn.op.dimension_numbers.start_index_map
    elif isinstance(eqn.op, Scatter):
        axes = eqn.op.dimension_numbers.scatter_dims_to_operand_dims
    else:
        return None
    return int(axes[number]) if number < len(axes) else None
