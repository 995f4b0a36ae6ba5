"""Run a graph equation by equation, the bodies of its loops and branches too, in Python.

In: a graph and arrays. Out: its outputs; who wants to may look at each equation's values on the
way, and at which steps the loops around it are. What has an effect and no outputs is left out, so
that a graph may be run again to find something out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir.graph import Eqn, Graph, Literal
from jitml.ops.cond import Cond
from jitml.ops.control import split, stacked_type
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml.trace.core import bind, using_source
from jitml.transforms.values import literal_value
from jitml_runtime import from_numpy

Values: TypeAlias = "Sequence[Any]"
# An equation, its inputs, its outputs, and the steps of the loops around it, the outermost first.
Visit: TypeAlias = Callable[[Eqn, Values, Values, "tuple[int, ...]"], None]


def run_stepwise(
    graph: Graph, values: Values, visit: Visit | None = None, steps: tuple[int, ...] = ()
) -> list[Any]:
    """The outputs of `graph`; `visit` is called after each equation, loops' bodies first."""
    known: dict[Any, Any] = dict(zip(graph.inputs, values, strict=True))
    for eqn in graph.eqns:
        inputs = [known.get(a, a) for a in eqn.inputs]
        outputs = run_equation(eqn, inputs, visit, steps)
        if visit is not None:
            visit(eqn, inputs, outputs, steps)
        known.update(zip(eqn.outputs, outputs, strict=True))
    return [_settled(known.get(a, a)) for a in graph.outputs]


def run_equation(
    eqn: Eqn, inputs: Values, visit: Visit | None = None, steps: tuple[int, ...] = ()
) -> Values:
    """The outputs of one equation."""
    op = eqn.op
    if isinstance(op, Cond):
        number = int(_settled(inputs[0]))
        branch = op.branches[min(max(number, 0), len(op.branches) - 1)]
        return run_stepwise(branch, inputs[1:], visit, steps)
    if isinstance(op, Scan):
        return _run_scan(op, inputs, visit, steps)
    if isinstance(op, While):
        return _run_while(op, inputs, visit, steps)
    if op.name == "barrier":
        return inputs
    if op.has_rule:
        return run_stepwise(op.body, inputs, visit, steps)  # type: ignore[attr-defined]
    if op.has_effect and not eqn.outputs:
        return []
    with using_source(eqn.source):
        return bind(op, *inputs)


def steps_of_scan(op: Scan, inputs: Values) -> Callable[[int, Values], list[Any]]:
    """The inputs of the body at a step, for the carries that it has then."""
    constants, _, arrays = op.groups(inputs)
    moving = [np.asarray(_settled(x)) for x in arrays]

    def at(step: int, carries: Values) -> list[Any]:
        place = op.length - 1 - step if op.reverse else step
        return [*constants, *carries, *[from_numpy(np.asarray(x[place])) for x in moving]]

    return at


def _run_scan(op: Scan, inputs: Values, visit: Visit | None, steps: tuple[int, ...]) -> list[Any]:
    inputs_at = steps_of_scan(op, inputs)
    carries: Values = op.groups(inputs)[1]
    rows: list[Values] = []
    for step in range(op.length):
        found = run_stepwise(op.body, inputs_at(step, carries), visit, (*steps, step))
        carries, row = split(found, op.carries)
        rows.append(row)
    if op.reverse:
        rows.reverse()
    stacks = []
    for number, type_ in enumerate(op.body.output_types[op.carries :]):
        whole = stacked_type(type_, op.length)
        stack = np.empty(whole.shape, whole.dtype)
        for place, own in enumerate(rows):
            stack[place] = np.asarray(own[number])
        stacks.append(from_numpy(stack, whole.weak))
    return [*map(_settled, carries), *stacks]


def _run_while(op: While, inputs: Values, visit: Visit | None, steps: tuple[int, ...]) -> Values:
    asked, constants, start = op.groups(inputs)
    carries: Values = start
    step = 0
    while bool(run_stepwise(op.condition, [*asked, *carries], visit, (*steps, step))[0]):
        carries = run_stepwise(op.body, [*constants, *carries], visit, (*steps, step))
        step += 1
    return list(map(_settled, carries))


def _settled(x: Any) -> Any:
    """A number as an array."""
    return literal_value(x) if isinstance(x, Literal) else x
