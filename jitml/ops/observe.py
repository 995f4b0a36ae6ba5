"""`Observe`: a value is told to a Python function when the program runs, a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

from jitml.ops.callback import DebugCallback, Values
from jitml.ops.layout import batch_to_front
from jitml.trace.core import bind
from jitml_runtime.record import frozen


@frozen
class Observe(DebugCallback):
    """Call `function` with a value; under vmap with the values of all elements, their axis in
    front.
    """

    name = "observe"

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        stacked = [batch_to_front(size, x, axis) for x, axis in zip(inputs, axes, strict=True)]
        return bind(self, *stacked), []
