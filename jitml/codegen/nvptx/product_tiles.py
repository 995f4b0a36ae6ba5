"""Products of matrices by tiles: a block makes a square of the result, panel by panel of k.

Each panel, 8 deep, of both operands goes through shared memory, where there are two: while one is
summed up, the next is on its way in registers. A thread has 16 by 16 bytes of numbers in each
quarter of the square. Elements lie in shared memory along the free axis, by 16 bytes, whose places
are exchanged so that no access finds two of its own in one bank.

Comes in: a `GemmShape`, its types and an epilogue. Goes out: the text of its kernel. The bits are
the CPU's: each element is one chain over k. What lies beyond the end of k is -0 times 0: that
changes no sum, of whichever sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.emit import KernelText
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.nvptx.block import (
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    parts_of,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.epilogue import Epilogue, EpilogueWriter
from jitml.codegen.nvptx.operand import Operand, layouts, multiply_add
from jitml.codegen.nvptx.square import Turns, write_square
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.scalar.value import BITS, FLOATS, Value, convert, select

DEPTH = 8  # of a panel
_LARGE, _SMALL = 128, 64  # sides of squares
_LARGE_EXTENT = 96  # of results from which on squares are large
_LEAST_WORK = 1 << 13
_BYTES = 16
_ROWS_AT_ONCE = 2  # of a thread's sums, on their way to the epilogue


def suits_tiles(shape: GemmShape, types: GemmTypes) -> bool:
    """Whether a product has enough work for tiles."""
    work = shape.m * shape.n * shape.k
    return not types.pairs and shape.k >= DEPTH and work >= _LEAST_WORK


def tile_kernel(
    shape: GemmShape, types: GemmTypes, epilogue: Epilogue, target: Target, is_aligned: bool
) -> KernelText:
    """The kernel of a product; a block takes a square."""
    return _Tiles(shape, types, epilogue, target, is_aligned).text(target)


class _Panel(NamedTuple):
    """How a block reads panels of an operand: `width` elements at a time."""

    operand: Operand
    extent: Value  # of the free axis
    along_depth: bool
    width: int
    pad: Value


class _Tiles:
    """Writes one square of the result."""

    def __init__(
        self,
        shape: GemmShape,
        types: GemmTypes,
        epilogue: Epilogue,
        target: Target,
        is_aligned: bool,
    ) -> None:
        self.types = types
        self.bytes = BITS[types.compute] // 8
        self.width = _BYTES // self.bytes  # numbers in 16 bytes
        is_large = min(shape.m, shape.n) >= _LARGE_EXTENT and self.bytes == 4
        self.side = _LARGE if is_large else _SMALL
        self.across = self.side // (2 * self.width)  # threads along one side
        self.threads = self.across**2
        self.f = Function(2 + epilogue.buffers, (shape.m, shape.n, shape.k))
        self.f.emit.aligns_vectors = True
        self.m, self.n, self.k = self.f.size
        self.panels = self._panels(shape, is_aligned)
        self.epilogue = EpilogueWriter(self.f, epilogue, shape, types, target, is_aligned)
        self.units = shape.batch * _tiles(shape.m, self.side) * _tiles(shape.n, self.side)
        self.thread = thread_number(self.f.emit)
        self.shared = shared_memory(self.f.emit, "panels")

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
        shared = declare_shared("panels", 2 * self._panels_size * self.bytes)
        return KernelText(shared + f.text(target), f.sizes, self.units, self.threads, 0)

    @property
    def _panels_size(self) -> int:
        """Of both panels of an operand, in numbers."""
        return 2 * DEPTH * self.side

    def _square(self, number: Value) -> None:
        """The square with this number, counted along rows."""
        f, emit = self.f, self.f.emit
        down, right = (parts_of(x, self.side) for x in (self.m, self.n))
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
        place = turn + depth * self.side + swapped + number * self._panels_size
        return self.f.emit.address(self.shared, convert(place, "i64"), self.types.compute)

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
        down, right = self._position
        length = 2 * self.width  # of this thread's part of the square

        def keep(share: Sequence[Value]) -> None:
            begin = down * (_ROWS_AT_ONCE * self.side) + right * self.width
            for i in range(_ROWS_AT_ONCE):
                for half in (0, 1):
                    first = i * length + half * self.width
                    offset = i * self.side + half * (self.side // 2)
                    self._keep_run(begin, offset, share[first : first + self.width])

        def row_of(turn: Value, at: Value) -> Value:
            i = turn * _ROWS_AT_ONCE + at % _ROWS_AT_ONCE
            quarter = i / self.width * (self.side // 2)
            return quarter + at / _ROWS_AT_ONCE * self.width + i % self.width

        turns = Turns(
            length // _ROWS_AT_ONCE, self.across * _ROWS_AT_ONCE, self.side, self.side,
            self.threads, self.shared, keep, row_of,
        )  # fmt: skip
        ends = self.m, self.n
        write_square(self.epilogue, turns, self.thread, (batch, row, column), ends, sums)

    def _keep_run(self, begin: Value, offset: int, sums: Sequence[Value]) -> None:
        """Leave numbers side by side in shared memory."""
        emit = self.f.emit
        vector = emit.splat(sums[0], self.width)
        for lane, value in enumerate(sums[1:], 1):
            vector = emit.insert(vector, value, lane)
        place = convert(begin, "i64") + offset
        emit.store(emit.address(self.shared, place, self.types.compute), vector, self.types.compute)


def _tiles(extent: int, side: int) -> int:
    return -(-extent // side)
