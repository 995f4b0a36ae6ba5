"""Short lines: a merge sort, bottom up. Of equal elements the earlier stays in front."""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.lines import Lines
from jitml.codegen.target import Target
from jitml.scalar.value import Value, minimum, select


def merge_cost(extent: int) -> float:
    """About how many nanoseconds a line takes."""
    return 4.0 * extent * _levels(extent) + 2 * extent


def merge_kernel(lines: Lines, target: Target) -> KernelText:
    """The kernel that sorts one line after the other."""
    lines.each_line(_Merge(lines).line)
    return lines.text(target, merge_cost(lines.extent), 2 * lines.half_bytes)


def _levels(extent: int) -> int:
    return max(0, (extent - 1).bit_length())


class _Merge:
    """Writes the sort of one line, between two sets of buffers in scratch memory."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.f = lines, lines.f
        self.emit = lines.f.emit

    def line(self, base: Value) -> None:
        f, lines = self.f, self.lines
        levels = f.number(_levels(lines.extent))

        def copy_in(i: Value) -> None:
            for k, words in enumerate(lines.operands):
                words.store(self.emit, self._buffer(k, f.number(0)), i, lines.read(k, base, i))

        def copy_out(i: Value) -> None:
            for k, words in enumerate(lines.operands):
                element = words.load(self.emit, self._buffer(k, levels & 1), i)
                lines.write(k, base, i, element)

        f.each(f.number(0), lines.extent_value, copy_in)
        f.each(f.number(0), levels, self._level)
        f.each(f.number(0), lines.extent_value, copy_out)

    def _buffer(self, operand: int, side: Value) -> Value:
        offset = self.lines.offsets[operand] + side * self.lines.half
        return self.emit.address(self.f.scratch, offset, "u8")

    def _level(self, level: Value) -> None:
        """Merge runs of 2^level in pairs, from one set of buffers to the other."""
        f, extent = self.f, self.lines.extent_value
        width = f.number(1) << level
        count = len(self.lines.operands)
        sources = [self._buffer(k, level & 1) for k in range(count)]
        targets = [self._buffer(k, (level + 1) & 1) for k in range(count)]

        def merge(pair: Value) -> None:
            low = pair * width * 2
            middle = minimum(low + width, extent)
            high = minimum(low + width * 2, extent)

            def step(at: Value, state: list[Value]) -> Sequence[Value]:
                return self._step(sources, targets, at, state, middle, high)

            self.emit.loop(low, high, 1, [low, middle], step)

        pairs = (extent + width * 2 - 1) >> (level + 1)
        f.each(f.number(0), pairs, merge)

    def _step(
        self,
        sources: list[Value],
        targets: list[Value],
        at: Value,
        state: list[Value],
        middle: Value,
        high: Value,
    ) -> Sequence[Value]:
        """Take the smaller of the two heads; of equal ones the first."""
        left, right = state
        heads = minimum(left, middle - 1), minimum(right, high - 1)
        second_first = self._less(sources, heads[1], heads[0]) & (right < high)
        take_second = second_first | (left >= middle)
        chosen = select(take_second, heads[1], heads[0])
        for words, source, target in zip(self.lines.operands, sources, targets, strict=True):
            words.store(self.emit, target, at, words.load(self.emit, source, chosen))
        return [select(take_second, left, left + 1), select(take_second, right + 1, right)]

    def _less(self, sources: list[Value], first: Value, second: Value) -> Value:
        """Whether the keys at `first` come strictly before those at `second`."""
        pairs = []
        for words, source in zip(self.lines.keys, sources, strict=False):
            a = words.load(self.emit, source, first)
            b = words.load(self.emit, source, second)
            pairs += [(words.key(x), words.key(y)) for x, y in zip(a, b, strict=True)]
        x, y = pairs[-1]
        below = x < y
        for x, y in reversed(pairs[:-1]):
            below = (x < y) | ((x == y) & below)
        return below
