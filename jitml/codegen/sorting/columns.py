"""Sorting coded elements in memory: blocks are sorted in columns, one to a lane, and these are
merged. Long lines are sorted so.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.bitonic import UNIT, Columns
from jitml.codegen.sorting.coding import Coding
from jitml.codegen.sorting.network import Integers, merge_runs
from jitml.codegen.sorting.pieces import PIECE, to_pieces
from jitml.codegen.sorting.transfer import Transfer
from jitml.codegen.target import Target
from jitml.scalar.value import Value

_ROWS = 512  # that a block has at most: it then lies in the first cache
_MARGIN = 64  # bytes before and behind the integers that may be read
SHORTEST = 32


class Memory:
    """Scratch memory for at least `count` integers, twice: to sort is to move to and fro."""

    def __init__(self, coding: Coding, count: int) -> None:
        self.coding, self.f, self.lanes = coding, coding.f, coding.lanes
        vectors = -(-count // self.lanes)
        blocks = -(-vectors // _ROWS)
        multiple = max(self.lanes, UNIT)
        rows = -(-vectors // (blocks * multiple)) * multiple
        runs = blocks * self.lanes
        self.count = runs * rows
        gap = self.count * coding.size_bytes + _MARGIN
        self.scratch_bytes = 2 * gap + _MARGIN
        self.rows = rows
        self.size, self.gap = self.f.argument(self.count), self.f.argument(gap)
        self.row_count = self.f.argument(rows)
        self.merges = self.f.argument((runs - 1).bit_length())
        levels = rows.bit_length() ** 2 // 4 + runs.bit_length() * 2
        self.sort_ns = 0.25 * self.count * (8 + levels)

    def buffer(self, number: Value) -> Integers:
        """Where the integers are (0), and where they are moved to and fro (1)."""
        offset = number * self.gap + _MARGIN
        return self.coding.integers(self.f.emit.address(self.f.scratch, offset, "u8"))

    def sort(self) -> Integers:
        """Sort the integers; where they are then."""
        f, first, second = self.f, self.buffer(self.f.number(0)), self.buffer(self.f.number(1))
        columns = Columns(f, first, self.rows)
        for buffer in (first, second):  # what is read beyond the ends does not matter
            buffer.store(f.number(-1), self.coding.last)
            buffer.store(self.size, self.coding.last)

        def sort_block(at: Value) -> None:
            columns.sort(at)
            self._turn(first, second, at)

        f.each(f.number(0), self.size, sort_block, self.row_count * self.lanes)
        side = merge_runs(f, second, -self.gap, self.row_count, self.size, self.merges)
        return self.buffer(1 - side)

    def _turn(self, source: Integers, target: Integers, block: Value) -> None:
        """The columns of a block, one after the other."""

        def few(row: Value) -> None:
            start = block + row * self.lanes
            rows = [source.load(start + k * self.lanes) for k in range(PIECE)]
            for lane, piece in enumerate(to_pieces(self.f.emit, rows)):
                target.store(block + row + self.row_count * lane, piece)

        self.f.each(self.f.number(0), self.row_count, few, PIECE)


def columns_kernel(coding: Coding, target: Target) -> KernelText:
    """The kernel that sorts one line after the other."""
    lines = coding.lines
    writer = _Line(coding)
    lines.each_line(writer.line)
    cost = writer.memory.sort_ns + lines.extent
    return lines.text(target, cost, writer.memory.scratch_bytes)


class _Line:
    """Writes the sort of one line."""

    def __init__(self, coding: Coding) -> None:
        self.coding, self.lines, self.f = coding, coding.lines, coding.f
        self.emit, self.lanes = coding.f.emit, coding.lanes
        self.transfer = Transfer(coding)
        self.memory = Memory(coding, self.lines.extent)

    def line(self, base: Value) -> None:
        shared = self._read(base, self.memory.buffer(self.f.number(0)))
        self._write(base, self.memory.sort())
        if not self.coding.is_exact:
            asked = self.emit.any_lane(shared != 0)
            self.emit.if_(asked, lambda: self.coding.restore(base))

    def _read(self, base: Value, integers: Integers) -> Value:
        """The line's integers one after the other, and behind them those that come last."""

        def take(i: Value, coded: Value, _: list[Value]) -> Sequence[Value]:
            integers.store(i, coded)
            return []

        (shared,) = self.transfer.read_line(base, [], take)
        extent, size = self.lines.extent_value, self.memory.size
        self.f.each(extent, size, lambda i: integers.store(i, self.coding.last))
        return shared

    def _write(self, base: Value, integers: Integers) -> None:
        zero, extent = self.f.number(0), self.lines.extent_value
        whole = zero
        if self.lines.inner == 1 and not self.coding.has_position:
            whole = extent & -self.lanes
            self.f.each(
                zero,
                whole,
                lambda i: self.transfer.write_vector(base + i, integers.load(i)),
                self.lanes,
            )
        self.transfer.take(base, lambda i: integers.load(i, 1), whole)
