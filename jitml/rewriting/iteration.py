"""What `for` goes through by number: ranges and arrays, also those not known while tracing."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitml.ir.dtypes import is_integer
from jitml.ir.errors import TracerIntegerConversionError
from jitml.ir.source import user_source
from jitml.lax.movement import dynamic_index_in_dim
from jitml.numpy.elementwise import astype
from jitml.numpy.positions import where
from jitml.trace.core import Tracer, type_of
from jitml.trace.forms import LONG
from jitml.transforms.values import as_value


class TracedRange:
    """`range(start, stop, step)` of values that are not known while tracing.

    `count` is how many items it has.
    """

    def __init__(self, *arguments: Any) -> None:
        for x in arguments:
            type_ = type_of(as_value(x))
            if type_.shape or not is_integer(type_.dtype):
                raise TracerIntegerConversionError(
                    f"range takes integers, not {type_}",
                    hint="convert it with .astype(int)",
                    source=user_source(),
                )
        start, stop, step = ((0, *arguments, 1), (*arguments, 1), arguments)[len(arguments) - 1]
        if not isinstance(step, Tracer) and step == 0:
            raise ValueError("range() arg 3 must not be zero")
        self._arguments = arguments
        self._start, self._step = start, step
        self._type = type_of(as_value(start + (stop - stop) + (step - step)))
        wide = [astype(as_value(x), np.int64) for x in (start, stop, step)]
        self.count = _count(*wide)

    def item(self, number: Any) -> Any:
        """The item at a position."""
        return self._start + self._step * astype(number, self._type.dtype)

    def __reversed__(self) -> TracedRange:
        last = self.item(self.count - 1)
        return TracedRange(last, last - self._step * astype(self.count, last.dtype), -self._step)

    def __iter__(self) -> Any:
        """Only `for` goes through such a range; whatever else does needs its numbers."""
        return iter(range(*map(operator.index, self._arguments)))

    def __len__(self) -> int:
        return len(range(*map(operator.index, self._arguments)))


def _count(start: Any, stop: Any, step: Any) -> Any:
    """How many items a range has, of 64-bit integers."""
    up = (stop - start + step - 1) // where(step > 0, step, 1)
    down = (start - stop - step - 1) // where(step < 0, -step, 1)
    return where(step > 0, up, down)


class Indexed:
    """A range that is known, or an array, by number."""

    def __init__(self, items: Any) -> None:
        self.rows = items
        self.count = len(items)
        self.is_long = not isinstance(items, range) and self.count > LONG

    def item(self, number: Any) -> Any:
        """The item at a position."""
        if isinstance(self.rows, range):
            if isinstance(number, int):
                return self.rows[number]
            return self.rows.start + self.rows.step * astype(number, np.int32)
        if isinstance(number, int):
            return self.rows[number]
        return dynamic_index_in_dim(self.rows, number, keepdims=False)
