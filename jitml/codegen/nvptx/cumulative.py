"""Cumulative folds, in order along their axis, so that bits are the CPU's.

Where lines lie side by side, a thread runs along each. Where elements of a line do, a block brings
tiles of 32 lines, or long pieces of one, into shared memory and back, all threads together; in
between a thread runs along each line.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitml.codegen.emit import KernelText
from jitml.codegen.nvptx.block import (
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    shared_memory,
    thread_number,
)
from jitml.codegen.special import Element, Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.cumulative import Cumulative
from jitml.scalar.value import BITS, Value, convert, minimum, select

THREADS = 128
_TILES = ((32, 32), (1, 1024))  # lines and elements of each
_FEW_LINES = 8


def cumulative_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of a cumulative fold."""
    op, shape = eqn.op, eqn.inputs[0].type.shape
    assert isinstance(op, Cumulative)
    extent, inner = shape[op.axis], math.prod(shape[op.axis + 1 :])
    lines = math.prod(shape) // extent
    if inner > 1:
        return _across(eqn, op, (lines, extent, inner), target)
    return _Tiles(eqn, op, lines, extent).text(target)


def _across(eqn: Eqn, op: Cumulative, sizes: tuple[int, int, int], target: Target) -> KernelText:
    """A thread for each line, neighbours side by side."""
    element = Element(eqn.inputs[0].type)
    f = Function(2, sizes[1:])
    extent, inner = f.size

    def line(number: Value) -> None:
        outer, beside = divide(number, inner, sizes[0] < MOST_SMALL)
        base = outer * extent * inner + beside

        def at(step: Value) -> Value:
            return base + (extent - 1 - step if op.reverse else step) * inner

        def advance(step: Value, running: list[Value]) -> Sequence[Value]:
            x = element.load(f.emit, f.pointers[0], at(step))
            total = op.lower_combine(element.group(running), x)
            element.store(f.emit, f.pointers[1], at(step), total)
            return element.scalars(total)

        first = element.load(f.emit, f.pointers[0], at(f.number(0)))
        element.store(f.emit, f.pointers[1], at(f.number(0)), first)
        f.emit.loop(f.number(1), extent, 1, element.scalars(first), advance)

    line(f.begin)
    return KernelText(f.text(target), f.sizes, sizes[0], 1, 0)


class _Tiles:
    """Writes the fold of some lines, tile by tile."""

    def __init__(self, eqn: Eqn, op: Cumulative, lines: int, extent: int) -> None:
        self.op = op
        self.element = Element(eqn.inputs[0].type)
        self.rows, self.columns = _TILES[lines < _FEW_LINES]
        self.units = -(-lines // self.rows)
        self.f = Function(2, (lines, extent))
        self.emit = self.f.emit
        self.lines, self.extent = self.f.size
        self.thread = convert(thread_number(self.emit), "i64")
        self.kept = "bool" if self.element.compute == "i1" else self.element.compute

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._group(f.begin)
        size = self.rows * (self.columns + 1) * max(1, BITS[self.element.compute] // 8)
        shared = "".join(declare_shared(f"part{k}", size) for k in range(self.element.parts))
        return KernelText(shared + f.text(target), f.sizes, self.units, THREADS, 0)

    def _group(self, number: Value) -> None:
        """The lines of one group."""
        first = number * self.rows
        is_runner = (self.thread < self.rows) & (first + self.thread < self.lines)

        def tile(begin: Value, running: list[Value]) -> Sequence[Value]:
            size = minimum(self.extent - begin, self.f.number(self.columns))
            self._each(first, begin, size, self._copy_in)
            barrier(self.emit)
            steps = select(is_runner, size, 0)

            def advance(step: Value, before: list[Value]) -> Sequence[Value]:
                cells = self._cells(self.thread, step)
                x = self.element.group([self.emit.load(c, self.kept) for c in cells])
                total = self.op.lower_combine(self.element.group(before), x)
                is_first = begin + step == 0
                parts = [
                    select(is_first, own, sum_)
                    for own, sum_ in zip(self._parts(x), self._parts(total), strict=True)
                ]
                for cell, part in zip(cells, parts, strict=True):
                    self.emit.store(cell, part, self.kept)
                return parts

            after = self.emit.loop(self.f.number(0), steps, 1, running, advance)
            barrier(self.emit)
            self._each(first, begin, size, self._copy_out)
            return after

        zero = self.emit.constant(self.element.compute, 0)
        start = [zero] * self.element.parts
        self.emit.loop(self.f.number(0), self.extent, self.columns, start, tile)

    def _parts(self, x: Any) -> list[Value]:
        return self.element.scalars(x)

    def _cells(self, row: Value, column: Value) -> list[Value]:
        """Where the parts of an element lie in shared memory."""
        place = row * (self.columns + 1) + column
        return [
            self.emit.address(shared_memory(self.emit, f"part{k}"), place, self.kept)
            for k in range(self.element.parts)
        ]

    def _each(self, first: Value, begin: Value, size: Value, body: Any) -> None:
        """Run `body` for this thread's elements of a tile, with place and cells."""

        def one(number: Value) -> None:
            row, column = divide(number, self.f.number(self.columns), True)
            at = begin + column
            at = self.extent - 1 - at if self.op.reverse else at
            place = (first + row) * self.extent + at
            is_there = (column < size) & (first + row < self.lines)
            self.emit.if_(is_there, lambda: body(place, self._cells(row, column)))

        count = self.f.number(self.rows * self.columns)
        self.f.each(self.thread, count, one, THREADS)

    def _copy_in(self, place: Value, cells: Sequence[Value]) -> None:
        x = self.element.load(self.emit, self.f.pointers[0], place)
        for cell, part in zip(cells, self._parts(x), strict=True):
            self.emit.store(cell, part, self.kept)

    def _copy_out(self, place: Value, cells: Sequence[Value]) -> None:
        parts = [self.emit.load(cell, self.kept) for cell in cells]
        self.element.store(self.emit, self.f.pointers[1], place, self.element.group(parts))
