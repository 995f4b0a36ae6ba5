"""The runtime's own errors.

In: positions and reasons. Out: exceptions that the layers above translate into the user's terms.
Must not know: graphs, equations or source lines; those stay with the compiler's tables.
"""

from __future__ import annotations

from collections.abc import Sequence


class LoadError(Exception):
    """An object file cannot be loaded: it is damaged or asks for something unsupported."""


class KernelFault(Exception):
    """A check inside a kernel failed; of several, the one that comes first in program order.

    ``instruction`` is the position in the plan, ``site`` the failed check within the kernel,
    ``index`` the linear index in the failing equation's space, ``value`` the offending value,
    ``steps`` the steps that the loops around it were at, from the innermost out.
    """

    def __init__(
        self, instruction: int, site: int, index: int, value: int, steps: tuple[int, ...] = ()
    ) -> None:
        super().__init__(instruction, site, index, value, steps)
        self.instruction = instruction
        self.site = site
        self.index = index
        self.value = value
        self.steps = steps

    def __str__(self) -> str:
        return (
            f"check {self.site} of instruction {self.instruction} failed "
            f"at index {self.index} (value {self.value})"
        )


# What the index of a fault counts: elements of a result, steps of a loop that is one kernel, or
# elements among others that take the same branch, which are no elements of the user's.
ELEMENTS, STEPS, LANES = "elements", "steps", "lanes"


def place_of(fault: KernelFault, counted: str, subject: str) -> str:
    """Where in an array (`subject` says which) and in loops a check failed, as messages tell it."""
    if counted == LANES:
        return "in an element of a map"
    index, steps = fault.index, fault.steps
    if counted == STEPS:
        index, steps = 0, (index, *steps)
    return f"at element {index} of {subject}{loop_steps(steps)}"


def lane_text(lanes: Sequence[int]) -> str:
    """In which elements of maps around it a check was, the outermost first."""
    if not lanes:
        return ""
    word = "lane" if len(lanes) == 1 else "lanes"
    return f", in {word} {', '.join(map(str, lanes))}"


def loop_steps(steps: Sequence[int]) -> str:
    """At which steps the loops around a check were, the outermost first."""
    if not steps:
        return ""
    word = "step" if len(steps) == 1 else "steps"
    return f", at loop {word} {', '.join(map(str, reversed(steps)))}"


DELETED = (
    "Array has been deleted: it was donated to a compiled function or delete() was called; "
    "keep a copy, or do not donate it, to read it afterwards"
)
IMMUTABLE = (
    "Array is immutable and does not support item assignment: "
    "instead of x[i] = y, use x = x.at[i].set(y)"
)
