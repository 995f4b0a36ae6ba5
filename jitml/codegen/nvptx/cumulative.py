"""Cumulative folds, in order along their axis, so that bits are the CPU's.

Where lines lie side by side, a thread runs along some of them, as many as its widest access holds.
Where elements of a line do, a block brings tiles of 32 lines, or long pieces of one, into shared
memory and back, all threads together, in vectors; in between a thread runs along each line. Lines
that begin within a sector are taken from the sector's begin on.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.nvptx.block import (
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.target import ACCESS_BYTES, SECTOR_BYTES
from jitml.codegen.special import Element, Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.cumulative import Cumulative
from jitml.scalar.value import BITS, Value, convert, maximum, minimum, select

THREADS = 128
_TILES = ((32, 32), (1, 1024))  # lines and elements of each
_FEW_LINES = 8
_ALIGNMENT = 128  # of shared memory: that of the widest vector


def cumulative_kernel(eqn: Eqn, target: Target, is_aligned: bool) -> KernelText:
    """The kernel of a cumulative fold; buffers that are not aligned are read one by one."""
    op, shape = eqn.op, eqn.inputs[0].type.shape
    assert isinstance(op, Cumulative)
    extent, inner = shape[op.axis], math.prod(shape[op.axis + 1 :])
    lines = math.prod(shape) // extent
    element = Element(eqn.inputs[0].type)
    has_vectors = is_aligned and not element.is_complex
    width = max(1, ACCESS_BYTES // element.size_bytes) if has_vectors else 1
    if inner > 1:
        return _across(op, element, (lines, extent, inner), width, target)
    return _Tiles(op, element, lines, extent, width).text(target)


def _across(
    op: Cumulative, element: Element, sizes: tuple[int, int, int], width: int, target: Target
) -> KernelText:
    """A thread for some lines side by side."""
    lines, _, beside = sizes
    while beside % width:
        width //= 2
    f = Function(2, sizes[1:], aligns_vectors=True)
    extent, inner = f.size
    outer, column = divide(f.begin * width, inner, lines < MOST_SMALL)
    base = outer * extent * inner + column

    def at(step: Value) -> Value:
        return base + (extent - 1 - step if op.reverse else step) * inner

    def advance(step: Value, running: list[Value]) -> Sequence[Value]:
        x = element.load(f.emit, f.pointers[0], at(step), width)
        total = op.lower_combine(element.group(running), x)
        element.store(f.emit, f.pointers[1], at(step), total)
        return element.scalars(total)

    first = element.load(f.emit, f.pointers[0], at(f.number(0)), width)
    element.store(f.emit, f.pointers[1], at(f.number(0)), first)
    f.emit.loop(f.number(1), extent, 1, element.scalars(first), advance)
    return KernelText(f.text(target), f.sizes, lines // width, 1, 0)


class _Tiles:
    """Writes the fold of some lines, tile by tile. An element has a number along its line, which
    is how far it is behind the sector in which the line begins.
    """

    def __init__(
        self, op: Cumulative, element: Element, lines: int, extent: int, width: int
    ) -> None:
        self.op, self.element, self.width = op, element, width
        self.rows, self.columns = _TILES[lines < _FEW_LINES]
        self.units = -(-lines // self.rows)
        self.sector = max(1, SECTOR_BYTES // element.size_bytes)  # elements
        self.begins_anywhere = extent % self.sector != 0
        self.has_cut = self.begins_anywhere and width > 1
        self.f = Function(2, (lines, extent), aligns_vectors=True)
        self.emit = self.f.emit
        self.lines, self.extent = self.f.size
        self.thread = convert(thread_number(self.emit), "i64")
        self.kept = "bool" if element.compute == "i1" else element.compute

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._group(f.begin * self.rows)
        size = self.rows * (self.columns + 1) * max(1, BITS[self.element.compute] // 8)
        shared = "".join(
            declare_shared(f"part{k}", size, _ALIGNMENT) for k in range(self.element.parts)
        )
        return KernelText(shared + f.text(target), f.sizes, self.units, THREADS, 0)

    def _group(self, first: Value) -> None:
        """The lines from the first of a group on."""
        zero, line = self.f.number(0), first + self.thread
        begin = self._begin(line)
        is_runner = (self.thread < self.rows) & (line < self.lines)
        end = select(is_runner, begin + self.extent, zero)

        def tile(base: Value, running: list[Value]) -> Sequence[Value]:
            if self.has_cut:
                barrier(self.emit)  # others have taken back what was here
            self._copy(first, base, self._bring)
            barrier(self.emit)
            after = self._run(base, begin, end, running)
            barrier(self.emit)
            self._copy(first, base, self._take_back)
            return after

        start = [self.emit.constant(self.element.compute, 0)] * self.element.parts
        most = self.extent + (self.sector - 1 if self.begins_anywhere else 0)
        self.emit.loop(zero, most, self.columns, start, tile)

    def _run(self, base: Value, begin: Value, end: Value, running: list[Value]) -> list[Value]:
        """The fold of this thread's line after the elements of a tile, which are replaced."""

        def advance(number: Value, before: list[Value]) -> Sequence[Value]:
            cells = self._cells(self.thread, number - base)
            x = self.element.group([self.emit.load(c, self.kept) for c in cells])
            total = self.element.scalars(self.op.lower_combine(self.element.group(before), x))
            pairs = zip(self.element.scalars(x), total, strict=True)
            parts = [select(number == begin, own, sum_) for own, sum_ in pairs]
            for cell, part in zip(cells, parts, strict=True):
                self.emit.store(cell, part, self.kept)
            return parts

        lower, upper = maximum(base, begin), minimum(base + self.columns, end)
        return self.emit.loop(lower, upper, 1, running, advance)

    def _begin(self, line: Value) -> Value:
        """The number of the first element of a line."""
        if not self.begins_anywhere:
            return self.f.number(0)
        start = line * self.extent
        return (-(start + self.extent) if self.op.reverse else start) & (self.sector - 1)

    def _cells(self, row: Value, column: Value) -> list[Value]:
        """Where the parts of an element lie in shared memory."""
        place = row * (self.columns + 1) + column
        return [
            self.emit.address(shared_memory(self.emit, f"part{k}"), place, self.kept)
            for k in range(self.element.parts)
        ]

    # ---- between an array and shared memory -----------------------------------------------------

    def _copy(
        self, first: Value, base: Value, body: Callable[[Value, Value, Value, int], None]
    ) -> None:
        """Run `body` for what of a tile is this thread's: vectors, and what is left of those that
        are cut at the ends of lines, one by one.
        """
        width, f = self.width, self.f
        per_row = self.columns // width

        def vector(number: Value) -> None:
            row, place = divide(number, f.number(per_row), True)
            self._if_there(first, base, row, base + place * width, width, body)

        def cut(number: Value) -> None:
            row, place = divide(number, f.number(2 * width), True)
            begin = self._begin(first + row)
            ends = begin & -width, (begin + self.extent) & -width
            is_first = place < width
            at = select(is_first, *ends) + (place & (width - 1))
            is_cut = select(is_first, ends[0] + width > begin + self.extent, ends[0] != ends[1])
            is_cut = is_cut | (is_first & (ends[0] < begin))
            is_now = (at >= base) & (at < base + self.columns)
            self.emit.if_(is_cut & is_now, lambda: self._if_there(first, base, row, at, 1, body))

        f.each(self.thread, f.number(self.rows * per_row), vector, THREADS)
        if self.has_cut:
            f.each(self.thread, f.number(self.rows * 2 * width), cut, THREADS)

    def _if_there(
        self,
        first: Value,
        base: Value,
        row: Value,
        number: Value,
        lanes: int,
        body: Callable[[Value, Value, Value, int], None],
    ) -> None:
        """Run `body` for elements of a line from this number on, if it has all of them."""
        line = first + row
        at = number - self._begin(line)
        if self.op.reverse:
            place = (line + 1) * self.extent - at - lanes
        else:
            place = line * self.extent + at
        is_there = (at >= 0) & (at + lanes <= self.extent) & (line < self.lines)
        self.emit.if_(is_there, lambda: body(place, row, number - base, lanes))

    def _bring(self, place: Value, row: Value, column: Value, lanes: int) -> None:
        x = self.element.load(self.emit, self.f.pointers[0], place, lanes)
        for k in range(lanes):
            cells = self._cells(row, column + (lanes - 1 - k if self.op.reverse else k))
            for cell, part in zip(cells, self.element.scalars(x), strict=True):
                self.emit.store(cell, self.emit.extract(part, k), self.kept)

    def _take_back(self, place: Value, row: Value, column: Value, lanes: int) -> None:
        parts = [Value(self.emit, self.element.compute, lanes, "poison")] * self.element.parts
        for k in range(lanes):
            cells = self._cells(row, column + (lanes - 1 - k if self.op.reverse else k))
            found = [self.emit.load(cell, self.kept) for cell in cells]
            parts = [
                self.emit.insert(a, b, k) if lanes > 1 else b
                for a, b in zip(parts, found, strict=True)
            ]
        self.element.store(self.emit, self.f.pointers[1], place, self.element.group(parts))
