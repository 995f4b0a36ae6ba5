"""A sorting network over rows of vectors of unsigned integers: each lane is sorted for itself. No
branch and no address depends on the data.

Blocks of 2, 4, 8, … rows are sorted, each by merging its halves: rows are compared with their
mirror images in the block, then with rows at a quarter of its length, an eighth, and so on
(Batcher, Sorting networks and their applications, 1968). Three such steps are done at once, in
registers, with eight rows that are compared with one another.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.sorting.network import Integers
from jitml.codegen.special import Function
from jitml.scalar.value import Value, maximum, minimum, select

_STEPS = 3  # that are done at once
UNIT = 1 << _STEPS  # rows that are
LEAST = 4  # rows


def rows_of(count: int) -> int:
    """How many rows, of which there is a network, are enough for `count`."""
    return LEAST if count <= LEAST else -(-count // UNIT) * UNIT


class Columns:
    """A block of vectors, each lane of which is to be sorted for itself: `rows` of them."""

    def __init__(self, f: Function, block: Integers, rows: int) -> None:
        assert rows_of(rows) == rows, rows
        self.f, self.block, self.lanes = f, block, block.lanes
        self.together = min(rows, UNIT)
        self.size = f.argument(rows * block.lanes)
        self.levels = f.argument(max(0, (rows - 1).bit_length() - _STEPS))

    def sort(self, first: Value) -> None:
        """Sort the rows that begin at element `first`."""
        f, block = self.f, self.block.behind(first)
        f.each(f.number(0), self.size, lambda at: self._few(block, at), self.together * self.lanes)
        if self.together == UNIT:
            f.each(f.number(0), self.levels, lambda level: self._merge(block, level))

    # ---- in registers ------------------------------------------------------------------------

    def _few(self, block: Integers, at: Value) -> None:
        """Sort rows that lie together."""
        places = [at + k * self.lanes for k in range(self.together)]
        rows = [block.load(place) for place in places]
        length = 2
        while length <= len(rows):
            for start in range(0, len(rows), length):
                middle, end = start + length // 2, start + length
                flipped = [*rows[start:middle], *reversed(rows[middle:end])]
                lower, upper = _compared(flipped, length // 2)
                rows[start:middle] = _halved(lower)
                rows[middle:end] = _halved(upper)
            length *= 2
        for place, row in zip(places, rows, strict=True):
            block.store(place, row)

    def _halve(self, block: Integers, end: Value, step: Value, count: int) -> None:
        """Compare, in all rows before `end`, those that lie `count` / 2 steps apart, then half as
        many, down to one: `count` rows at once.
        """

        def few(first: Value) -> None:
            places = [first + step * k for k in range(count)]
            rows = _halved([block.load(place) for place in places])
            for place, row in zip(places, rows, strict=True):
                block.store(place, row)

        f = self.f
        f.each(
            f.number(0),
            end,
            lambda start: f.each(start, start + step, few, self.lanes),
            step * count,
        )

    # ---- levels ------------------------------------------------------------------------------

    def _merge(self, block: Integers, level: Value) -> None:
        """Merge the halves of blocks of 16 · 2^level rows."""
        f, lanes = self.f, self.lanes
        eighth = f.number(2 * lanes) << level
        length = eighth * UNIT
        whole = self.size - self.size % length
        f.each(f.number(0), whole, lambda start: self._flip(block, start, eighth), length)
        left, groups = (level + 1) % _STEPS, (level + 1) / _STEPS
        for steps in range(1, _STEPS):
            step = f.number(lanes) << (groups * _STEPS)
            halve = lambda n=1 << steps, s=step: self._halve(block, whole, s, n)  # noqa: E731
            f.emit.if_(left == steps, halve)

        def group(number: Value) -> None:
            step = f.number(lanes) << ((groups - 1 - number) * _STEPS)
            self._halve(block, whole, step, UNIT)

        f.each(f.number(0), groups, group)
        f.emit.if_(whole < self.size, lambda: self._merge_part(block, whole, level, length))

    def _flip(self, block: Integers, start: Value, eighth: Value) -> None:
        """The first three steps in the whole block from `start` on."""
        last = start + eighth * UNIT - self.lanes

        def few(i: Value) -> None:
            low = [start + i + eighth * k for k in range(UNIT // 2)]
            high = [last - i - eighth * k for k in range(UNIT // 2)]
            rows = [block.load(place) for place in (*low, *high)]
            lower, upper = _compared(rows, UNIT // 2)
            rows = [*_halved(lower), *_halved(upper)]
            for place, row in zip((*low, *reversed(high)), rows, strict=True):
                block.store(place, row)

        self.f.each(self.f.number(0), eighth, few, self.lanes)

    def _merge_part(self, block: Integers, start: Value, level: Value, length: Value) -> None:
        """All steps in a block of which some rows are missing at the end: they would come last."""
        f, lanes = self.f, self.lanes
        mirror = start * 2 + length - lanes
        first = mirror - self.size + lanes
        first = select(first > start, first, start)

        def flip(low: Value) -> None:
            _exchange(block, low, mirror - low)

        f.each(first, start + (length >> 1), flip, lanes)

        def halve(number: Value) -> None:
            step = length >> (number + 2)
            end = self.size - step

            def run(begin: Value) -> None:
                stop = minimum(begin + step, end)
                f.each(begin, stop, lambda low: _exchange(block, low, low + step), lanes)

            f.each(start, end, run, step * 2)

        f.each(f.number(0), level + _STEPS, halve)


def _compared(rows: Sequence[Value], distance: int) -> tuple[list[Value], list[Value]]:
    """The lesser and the greater of the first rows and those `distance` behind them. (Where the
    latter are in reverse, so are the greater: what halves them next gives the same.)
    """
    pairs = list(zip(rows[:distance], rows[distance:], strict=True))
    return [minimum(a, b) for a, b in pairs], [maximum(a, b) for a, b in pairs]


def _halved(rows: Sequence[Value]) -> list[Value]:
    """Rows compared with those at half their number, then each half likewise."""
    if len(rows) == 1:
        return [*rows]
    lower, upper = _compared(rows, len(rows) // 2)
    return [*_halved(lower), *_halved(upper)]


def _exchange(block: Integers, low: Value, high: Value) -> None:
    """Put the vectors at two places in order."""
    a, b = block.load(low), block.load(high)
    block.store(low, minimum(a, b))
    block.store(high, maximum(a, b))
