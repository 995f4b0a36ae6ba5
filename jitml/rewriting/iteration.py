"""What `for` goes through by number: ranges and arrays, also those not known while tracing, one or
several at once.

Each has `count`, how many items it has; `item(number)`; the `arrays` whose rows are part of its
items; and `row(number, rows)`, an item made of the rows of these at a position.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir.dtypes import INT32, is_integer, promote
from jitml.ir.errors import TracerIntegerConversionError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.lax.movement import dynamic_index_in_dim
from jitml.numpy.arithmetic import minimum
from jitml.numpy.elementwise import astype
from jitml.numpy.positions import where
from jitml.trace.core import Tracer, type_of
from jitml.trace.forms import LONG
from jitml.trace.numbers import literal
from jitml.transforms.values import as_value, literal_value, retyped

Items: TypeAlias = "TracedRange | Indexed | Joined"
_NUMBER = ArrayType(np.dtype(np.int64), ())
_INTEGER = ArrayType(INT32, (), True)  # what a Python integer is


def is_unknown(x: Any) -> bool:
    """Whether `x` is a value that is not known while tracing."""
    while isinstance(x, Tracer):
        if x.value is None:
            return True
        x = x.value
    return False


def numbered(first: int) -> Any:
    """A position, to count from."""
    return literal_value(literal(first, _NUMBER))


class TracedRange:
    """`range(start, stop, step)` of values that are not known while tracing."""

    arrays: Sequence[Any] = ()

    def __init__(self, *arguments: Any) -> None:
        types = [type_of(as_value(x)) for x in arguments]
        for type_ in types:
            if type_.shape or not is_integer(type_.dtype):
                raise TracerIntegerConversionError(
                    f"range takes integers, not {type_}",
                    hint="convert it with .astype(int)",
                    source=user_source(),
                )
        start, stop, step = ((0, *arguments, 1), (*arguments, 1), arguments)[len(arguments) - 1]
        if not is_unknown(step) and step == 0:
            raise ValueError("range() arg 3 must not be zero")
        self._arguments = arguments
        self._start, self._step = start, step
        self._type = ArrayType(*_shaped(promote(*[(t.dtype, t.weak) for t in types])))
        self.count: Any = _count(_wide(start), _wide(stop), step)

    def item(self, number: Any) -> Any:
        offset = number if is_one(self._step) else self._step * number
        return retyped(as_value(self._start + offset), self._type)

    def row(self, number: Any, rows: Iterator[Any]) -> Any:
        return self.item(number)

    def __reversed__(self) -> TracedRange:
        last = self.item(self.count - 1)
        return TracedRange(last, last - self._step * self.count, -self._step)

    def __iter__(self) -> Any:
        """Only `for` goes through such a range; whatever else does needs its numbers."""
        return iter(range(*map(operator.index, self._arguments)))

    def __len__(self) -> int:
        return len(range(*map(operator.index, self._arguments)))


def is_one(x: Any) -> bool:
    """Whether `x` is the number 1, known as such."""
    return not is_unknown(x) and x == 1


def _shaped(kind: tuple[Any, bool]) -> tuple[Any, tuple[int, ...], bool]:
    return kind[0], (), kind[1]


def _wide(x: Any) -> Any:
    return astype(as_value(x), np.int64)


def _count(start: Any, stop: Any, step: Any) -> Any:
    """How many items a range has; none or less where it is empty. In 64 bits no bound overflows."""
    if is_one(step):
        return stop - start
    step = _wide(step)
    up = (stop - start + step - 1) // where(step > 0, step, 1)
    down = (start - stop - step - 1) // where(step < 0, -step, 1)
    return where(step > 0, up, down)


class Indexed:
    """A range that is known, or an array."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self.count: Any = len(items)
        self.arrays: Sequence[Any] = [] if isinstance(items, range) else [items]

    def item(self, number: Any) -> Any:
        if isinstance(number, int):
            return self._items[number]
        if not isinstance(self._items, range):
            return dynamic_index_in_dim(self._items, number, keepdims=False)
        value = self._items.start + self._items.step * number
        ends = self._items[0], self._items[-1]
        fits = all(-(2**31) <= x < 2**31 for x in ends)
        return retyped(value, _INTEGER) if fits else value

    def row(self, number: Any, rows: Iterator[Any]) -> Any:
        return next(rows) if self.arrays else self.item(number)


class Joined:
    """Several of these, gone through at once: what `zip` and `enumerate` give."""

    def __init__(self, parts: Sequence[Items]) -> None:
        self._parts = parts
        counts = [part.count for part in parts]
        least: Any = minimum if any(map(is_unknown, counts)) else min
        self.count: Any = functools.reduce(least, counts)
        arrays = [x for part in parts for x in part.arrays if not is_unknown(self.count)]
        self.arrays: Sequence[Any] = [x[: self.count] for x in arrays]
        self._iterator: Iterator[Any] | None = None

    def item(self, number: Any) -> Any:
        return tuple([part.item(number) for part in self._parts])

    def row(self, number: Any, rows: Iterator[Any]) -> Any:
        return tuple([part.row(number, rows) for part in self._parts])

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = map(self.item, range(self.count))
        return next(self._iterator)


def items_of(iterable: Any) -> Items | None:
    """What `for` goes through by number, if it does."""
    if isinstance(iterable, (TracedRange, Joined)):
        return iterable
    is_array = hasattr(iterable, "shape") and hasattr(iterable, "dtype")
    return Indexed(iterable) if is_array or type(iterable) is range else None


def is_long(items: Items) -> bool:
    """Whether a loop over items is recorded as one, though Python could go through them."""
    return any(map(is_unknown, items.arrays)) and items.count > LONG


# ---- builtins ------------------------------------------------------------------------------------


def range_(*arguments: Any) -> Any:
    """`range`, also of values that are not known."""
    if any(map(is_unknown, arguments)):
        return TracedRange(*arguments)
    return range(*arguments)


def zip_(*iterables: Any, strict: bool = False) -> Any:
    """`zip`, by number where one of the iterables is unknown and long."""
    parts = [items_of(x) for x in iterables]
    if strict or None in parts or not _are_better_joined(iterables):
        return zip(*iterables, strict=strict)
    return Joined([part for part in parts if part is not None])


def enumerate_(iterable: Any, start: int = 0) -> Any:
    """`enumerate`, by number where the iterable is unknown and long."""
    items = items_of(iterable)
    if items is None or not _are_better_joined([iterable]):
        return enumerate(iterable, start)
    if isinstance(items, TracedRange):
        return Joined([TracedRange(start, start + items.count), items])
    return Joined([Indexed(range(start, start + items.count)), items])


def _are_better_joined(iterables: Sequence[Any]) -> bool:
    return any(
        isinstance(x, (TracedRange, Joined)) or (is_unknown(x) and len(x) > LONG) for x in iterables
    )
