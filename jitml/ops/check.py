"""`Check`: a condition that must hold, with what is to be told where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import CheckError
from jitml.ops.callback import DebugCallback, HostFunction, Values
from jitml.ops.dynamic import row_at
from jitml.ops.kinds import Traced
from jitml.ops.layout import batch_to_front
from jitml.ops.reduction import argmin, reduce_and
from jitml.trace.core import bind
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen, replace


@frozen
class Check(DebugCallback):
    """Call `function` with a 0-d bool and values; it raises if the first is false.

    One for `debug` only counts where checks are made into values: else it may be dropped.
    """

    name = "check"
    debug: bool = False

    @property
    def has_effect(self) -> bool:
        return not self.debug

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        """Check all elements at once, with the values of the first that fails."""
        holds, *values = [batch_to_front(size, x, a) for x, a in zip(inputs, axes, strict=True)]
        if axes[0] is None:
            rows: list[Traced] = [row_at(x, literal(0)) for x in values]
            return bind(self, reduce_and(holds, (0,)), *rows), []
        first = argmin(holds, 0)
        rows = [*[row_at(x, first) for x in values], first]
        told = replace(self, function=_with_lane(self.function))
        return bind(told, reduce_and(holds, (0,)), *rows), []


def _with_lane(function: HostFunction) -> HostFunction:
    """The function of a check, whose last value is the element of a map that failed first."""

    def describe(arrays: Sequence[Any]) -> CheckError:
        error: CheckError = function.callback(arrays[:-1])
        error.message += f"\n  in lane {int(np.asarray(arrays[-1]))}"
        return error

    def flat(arrays: Sequence[Any], types: Sequence[Any]) -> Sequence[Any]:
        try:
            return function.flat(arrays[:-1], types)
        except CheckError as error:
            error.message += f"\n  in lane {int(np.asarray(arrays[-1]))}"
            raise

    key = ("lane", function.number)
    return HostFunction.of(key, function.name, describe, flat, function.source)
