"""Products of matrices by tiles: a block makes a square of the result, panel by panel of k.

Each panel, 8 deep, of both operands goes through shared memory, where there are two: while one is
summed up, the next is on its way in registers. A thread has 16 by 16 bytes of numbers in each
quarter of the square. Elements lie in shared memory along the free axis, by 16 bytes, whose places
are exchanged so that no access finds two of its own in one bank.

Comes in: a `GemmShape` and its types. Goes out: the text of its kernel. The bits are the CPU's:
each element is one chain over k. What lies beyond the end of k is -0 times 0: that changes no sum,
of whichever sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.emit import KernelText
from jitml.codegen.gemm import GemmShape
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.nvptx.block import (
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.operand import Operand, layouts, multiply_add, rounded_sum
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.scalar.value import BITS, FLOATS, Value, convert, select

DEPTH = 8  # of a panel
_LARGE, _SMALL = 128, 64  # sides of squares
_LARGE_EXTENT = 96  # of results from which on squares are large
_LEAST_WORK = 1 << 13
_BYTES = 16


def suits_tiles(shape: GemmShape, types: GemmTypes) -> bool:
    """Whether a product has enough work for tiles."""
    work = shape.m * shape.n * shape.k
    return not types.pairs and shape.k >= DEPTH and work >= _LEAST_WORK


def tile_kernel(shape: GemmShape, types: GemmTypes, target: Target, is_aligned: bool) -> KernelText:
    """The kernel of a product; a block takes a square."""
    return _Tiles(shape, types, is_aligned).text(target)


class _Panel(NamedTuple):
    """How a block reads panels of an operand: `width` elements at a time."""

    operand: Operand
    extent: Value  # of the free axis
    along_depth: bool
    width: int
    pad: Value


class _Tiles:
    """Writes one square of the result."""

    def __init__(self, shape: GemmShape, types: GemmTypes, is_aligned: bool) -> None:
        self.types = types
        self.bytes = BITS[types.compute] // 8
        self.width = _BYTES // self.bytes  # numbers in 16 bytes
        is_large = min(shape.m, shape.n) >= _LARGE_EXTENT and self.bytes == 4
        self.side = _LARGE if is_large else _SMALL
        self.across = self.side // (2 * self.width)  # threads along one side
        self.threads = self.across**2
        self.writes_vectors = is_aligned and shape.n % self.width == 0
        self.f = Function(3, (shape.m, shape.n, shape.k, shape.c_batch))
        self.f.emit.aligns_vectors = True
        self.m, self.n, self.k, self.c_batch = self.f.size
        self.panels = self._panels(shape, is_aligned)
        self.units = shape.batch * _tiles(shape.m, self.side) * _tiles(shape.n, self.side)
        self.thread = thread_number(self.f.emit)
        self.shared = [shared_memory(self.f.emit, name) for name in ("panels_a", "panels_b")]

    def _panels(self, shape: GemmShape, is_aligned: bool) -> list[_Panel]:
        found = []
        # -0 leaves every sum as it is.
        pads = (-0.0, 0.0) if self.types.compute in FLOATS else (0, 0)
        for number, (layout, extent) in enumerate(
            zip(layouts(shape), (self.m, self.n), strict=True)
        ):
            width = self.width if is_aligned and layout.has_vectors(self.width) else 1
            found.append(
                _Panel(
                    Operand(self.f, number, layout),
                    extent,
                    layout.runs_along_depth(),
                    width,
                    self.f.emit.constant(self.types.compute, pads[number], width),
                )
            )
        return found

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._square(f.begin)
        size = 2 * DEPTH * self.side * self.bytes
        shared = "".join(declare_shared(name, size) for name in ("panels_a", "panels_b"))
        return KernelText(shared + f.text(target), f.sizes, self.units, self.threads, 0)

    def _square(self, number: Value) -> None:
        """The square with this number, counted along rows."""
        f, emit = self.f, self.f.emit
        down, right = ((x + (self.side - 1)) / self.side for x in (self.m, self.n))
        is_small = self.units < MOST_SMALL
        batch, rest = divide(number, down * right, is_small)
        row, column = (x * self.side for x in divide(rest, right, is_small))
        read_a, read_b = (
            self._reader(panel, batch, first)
            for panel, first in zip(self.panels, (row, column), strict=True)
        )
        barrier(emit)  # others may still read the panels of the last square
        # Elements one by one need registers for their places: then nothing is read ahead.
        ahead = all(p.width > 1 for p in self.panels)
        first = [read(f.number(0)) if ahead else [] for read in (read_a, read_b)]
        zero = emit.constant(self.types.compute, 0)
        count = (2 * self.width) ** 2

        def panel(k: Value, state: list[Value]) -> Sequence[Value]:
            end_a = count + len(first[0])
            turn = convert(k / DEPTH & 1, "u32") * (DEPTH * self.side)
            self._keep(0, turn, state[count:end_a] if ahead else read_a(k))
            self._keep(1, turn, state[end_a:] if ahead else read_b(k))
            barrier(emit)
            following = read_a(k + DEPTH) + read_b(k + DEPTH) if ahead else []
            return [*self._sums(turn, state[:count]), *following]

        state = emit.loop(
            f.number(0), self.k, DEPTH, [*([zero] * count), *first[0], *first[1]], panel
        )
        self._write(batch, row, column, state[:count])

    # ---- panels ----------------------------------------------------------------------------------

    def _places(self, panel: _Panel) -> list[tuple[Value, Value]]:
        """Where the elements that this thread brings lie: along the free axis, and in depth."""
        turns = self.side * DEPTH // (self.threads * panel.width)
        places = []
        for turn in range(turns):
            number = self.thread + turn * self.threads
            row_length = (DEPTH if panel.along_depth else self.side) // panel.width
            along, across = number % row_length * panel.width, number / row_length
            places.append((across, along) if panel.along_depth else (along, across))
        return places

    def _reader(self, panel: _Panel, batch: Value, first: Value) -> Callable[[Value], list[Value]]:
        """What reads this thread's elements of the panel that begins at some depth."""
        operand, emit = panel.operand, self.f.emit
        begins = []
        for free, depth in self._places(panel):
            at = first + convert(free, "i64")
            offset = batch * operand.batch + operand.offset_along(operand.free, at)
            begins.append((at < panel.extent, offset, convert(depth, "i64")))

        def read(k: Value) -> list[Value]:
            found = []
            for is_inside, offset, depth in begins:
                at = k + depth
                place = offset + operand.offset_along(operand.depth, at)
                is_there = is_inside & (at < self.k)
                place = select(is_there, place, 0)
                address = emit.address(operand.pointer, place, self.types.operand)
                value = convert(
                    emit.load(address, self.types.operand, panel.width), self.types.compute
                )
                found.append(select(is_there, value, panel.pad))
            return found

        return read

    def _keep(self, number: int, turn: Value, values: Sequence[Value]) -> None:
        """Leave what this thread has read in shared memory."""
        panel, emit = self.panels[number], self.f.emit
        for value, (free, depth) in zip(values, self._places(panel), strict=True):
            if not panel.along_depth or panel.width == 1:
                emit.store(self._cell(number, turn, free, depth), value, self.types.compute)
                continue
            for lane in range(panel.width):
                cell = self._cell(number, turn, free, depth + lane)
                emit.store(cell, emit.extract(value, lane), self.types.compute)

    def _cell(self, number: int, turn: Value, free: Value, depth: Value | int) -> Value:
        """Where an element lies in shared memory."""
        swapped = free ^ ((depth & (DEPTH - 1)) * self.width)
        place = turn + depth * self.side + swapped
        return self.f.emit.address(self.shared[number], convert(place, "i64"), self.types.compute)

    # ---- sums ------------------------------------------------------------------------------------

    def _quarters(self, place: Value) -> list[Value]:
        """Where a thread's elements begin along one side."""
        return [place * self.width + half * (self.side // 2) for half in (0, 1)]

    @property
    def _position(self) -> tuple[Value, Value]:
        """This thread's place in the square, down and right."""
        return self.thread / self.across, self.thread % self.across

    def _sums(self, turn: Value, sums: Sequence[Value]) -> list[Value]:
        """The sums with one panel more."""
        emit, found = self.f.emit, list(sums)
        for depth in range(DEPTH):
            factors = []
            for number, place in enumerate(self._position):
                vectors = [
                    emit.load(self._cell(number, turn, free, depth), self.types.compute, self.width)
                    for free in self._quarters(place)
                ]
                factors.append([emit.extract(v, q) for v in vectors for q in range(self.width)])
            rows, columns = factors
            pairs = ((x, y) for x in rows for y in columns)
            found = [multiply_add(x, y, total) for (x, y), total in zip(pairs, found, strict=True)]
        return found

    # ---- the result ------------------------------------------------------------------------------

    def _write(self, batch: Value, row: Value, column: Value, sums: Sequence[Value]) -> None:
        emit, width = self.f.emit, self.width
        down, right = self._position
        length = 2 * width
        for i in range(length):
            at = row + convert(self._quarters(down)[i // width] + i % width, "i64")
            line = batch * self.c_batch + at * self.n

            def write_row(i: int = i, line: Value = line) -> None:
                for half, begin in enumerate(self._quarters(right)):
                    first = i * length + half * width
                    self._write_run(
                        line, column + convert(begin, "i64"), sums[first : first + width]
                    )

            emit.if_(at < self.m, write_row)

    def _write_run(self, line: Value, column: Value, sums: Sequence[Value]) -> None:
        """Numbers side by side, as far as they are within the result."""
        emit, result = self.f.emit, self.types.result
        rounded = [rounded_sum(total, self.types) for total in sums]

        def store(value: Value, place: Value) -> None:
            address = emit.address(self.f.pointers[2], line + place, result)
            emit.if_(place < self.n, lambda: emit.store(address, value, result))

        if self.writes_vectors:
            vector = emit.splat(rounded[0], len(rounded))
            for lane, value in enumerate(rounded[1:], 1):
                vector = emit.insert(vector, value, lane)
            store(vector, column)
            return
        for lane, value in enumerate(rounded):
            store(value, column + lane)


def _tiles(extent: int, side: int) -> int:
    return -(-extent // side)
