"""Many short lines: each lane of a vector has a line of its own, sorted by one network."""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.bitonic import Columns, rows_of
from jitml.codegen.sorting.coding import Coding
from jitml.codegen.sorting.pieces import PIECE, from_pieces, to_pieces
from jitml.codegen.sorting.transfer import Transfer
from jitml.codegen.target import Target
from jitml.scalar.value import Value, minimum

_LONGEST = 512  # the vectors of all elements then lie in the first cache
_LONGEST_BESIDE = 4096  # or in the second, where reading lines one by one would be slow


def lanes_fit(coding: Coding) -> bool:
    """Whether there are lines enough for all lanes, side by side or one behind the other."""
    lines = coding.lines
    if lines.inner >= coding.lanes:
        return lines.extent <= _LONGEST_BESIDE
    return lines.extent <= _LONGEST and lines.inner == 1 and lines.outer >= coding.lanes


def lanes_kernel(coding: Coding, target: Target) -> KernelText:
    """The kernel; its unit is a group of lines, the last of which begins earlier where it would not
    be full.
    """
    lines, f, lanes = coding.lines, coding.f, coding.lanes
    side_by_side = lines.inner > 1
    across = lines.inner if side_by_side else lines.outer
    groups = -(-across // lanes)
    last, per_outer = f.argument(across - lanes), f.argument(groups)
    writer = (_SideBySide if side_by_side else _OneBehindTheOther)(coding)

    def group(number: Value) -> None:
        outer = number / per_outer
        first = minimum((number - outer * per_outer) * lanes, last)
        writer.group(outer * lines.extent_value * lines.inner_value + first * writer.step)

    f.each(f.begin, f.end, group)
    units = groups * (lines.outer if side_by_side else 1)
    line_ns = lines.extent * (16 + lines.extent.bit_length() ** 2) // 32
    scratch = rows_of(lines.extent) * lanes * coding.size_bytes
    return lines.text(target, line_ns * lanes, scratch, units)


class _Group:
    """Writes the sort of a group of lines that begin `step` elements apart."""

    step: Value

    def __init__(self, coding: Coding) -> None:
        self.coding, self.lines, self.f = coding, coding.lines, coding.f
        self.emit, self.lanes = coding.f.emit, coding.lanes
        self.integers = coding.integers(coding.f.scratch)
        self.transfer = Transfer(coding)
        self.rows = rows_of(self.lines.extent)
        self.columns = Columns(self.f, self.integers, self.rows)

    def group(self, base: Value) -> None:
        f, coding = self.f, self.coding
        shared = self.read(base)
        end = f.number(self.rows - self.lines.extent) + self.lines.extent_value
        last = self.emit.splat(coding.last, self.lanes)
        f.each(self.lines.extent_value, end, lambda i: self.integers.store(i * self.lanes, last))
        self.columns.sort(f.number(0))
        zero, lanes = f.number(0), f.number(self.lanes)

        def take(lane: Value) -> None:
            line = base + lane * self.step
            self.transfer.take(line, lambda i: self.integers.load(i * self.lanes + lane, 1))

        def restore() -> None:
            f.each(zero, lanes, lambda lane: coding.restore(base + lane * self.step))

        if coding.has_position:
            f.each(zero, lanes, take)
        else:
            self.write(base)
        if not coding.is_exact:
            f.emit.if_(f.emit.any_lane(shared != 0), restore)

    def read(self, base: Value) -> Value:
        raise NotImplementedError

    def write(self, base: Value) -> None:
        raise NotImplementedError


class _SideBySide(_Group):
    """Lines whose first elements lie side by side: vectors are read as they lie."""

    def __init__(self, coding: Coding) -> None:
        super().__init__(coding)
        self.step = self.f.number(1)

    def read(self, base: Value) -> Value:
        def row(i: Value, state: list[Value]) -> Sequence[Value]:
            element = base + i * self.lines.inner_value
            integers, shared = self.transfer.read_vector(element, i, state[0])
            self.integers.store(i * self.lanes, integers)
            return [shared]

        start = [self.transfer.nothing_shared()]
        return self.emit.loop(self.f.number(0), self.lines.extent_value, 1, start, row)[0]

    def write(self, base: Value) -> None:
        def row(i: Value) -> None:
            element = base + i * self.lines.inner_value
            self.transfer.write_vector(element, self.integers.load(i * self.lanes))

        self.f.each(self.f.number(0), self.lines.extent_value, row)


class _OneBehindTheOther(_Group):
    """Lines one behind the other, read and written in pieces; what is left over of a line goes
    element by element.
    """

    def __init__(self, coding: Coding) -> None:
        super().__init__(coding)
        self.step = self.lines.extent_value
        self.whole = self.lines.extent_value & -PIECE

    def read(self, base: Value) -> Value:
        words, pointer = self.coding.words, self.f.pointers[0]

        def few(first: Value, state: list[Value]) -> Sequence[Value]:
            starts = [base + self.step * lane + first for lane in range(self.lanes)]
            pieces = [words.load(self.emit, pointer, start, PIECE)[0] for start in starts]
            (shared,) = state
            for k, row in enumerate(from_pieces(self.emit, pieces)):
                coded, shared = self.transfer.coded(row, first + k, shared)
                self.integers.store((first + k) * self.lanes, coded)
            return [shared]

        def single(i: Value, state: list[Value]) -> Sequence[Value]:
            def one(lane: Value, state: list[Value]) -> Sequence[Value]:
                line = base + lane * self.step
                coded, shared = self.transfer.read_one(line, i, state[0])
                self.integers.store(i * self.lanes + lane, coded)
                return [shared]

            return self.emit.loop(zero, self.f.number(self.lanes), 1, state, one)

        zero, start = self.f.number(0), [self.transfer.nothing_shared()]
        state = self.emit.loop(zero, self.whole, PIECE, start, few)
        return self.emit.loop(self.whole, self.lines.extent_value, 1, state, single)[0]

    def write(self, base: Value) -> None:
        pointer = self.f.pointers[len(self.lines.operands)]

        def few(first: Value) -> None:
            rows = [self.integers.load((first + k) * self.lanes) for k in range(PIECE)]
            rows = [self.coding.decode(row) for row in rows]
            for lane, piece in enumerate(to_pieces(self.emit, rows)):
                start = base + self.step * lane + first
                self.coding.words.store(self.emit, pointer, start, [piece])

        def single(i: Value) -> None:
            def one(lane: Value) -> None:
                word = self.coding.decode(self.integers.load(i * self.lanes + lane, 1))
                self.lines.write(0, base + lane * self.step, i, [word])

            self.f.each(self.f.number(0), self.f.number(self.lanes), one)

        self.f.each(self.f.number(0), self.whole, few, PIECE)
        self.f.each(self.whole, self.lines.extent_value, single)
