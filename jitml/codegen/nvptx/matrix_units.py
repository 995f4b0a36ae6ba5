"""Products of matrices by matrix units: mma.sync over 16 by 8 results.

bfloat16 and float16 go this way, and float32 as tf32 where a program asks for precision "high"; if
it asks for "highest", nothing does. Bits are then not the CPU's: products are exact (of numbers
whose lower 13 bits are dropped, for tf32), but a unit cuts off what lies far below the largest of
the numbers that it adds, so a sum differs from the true one by at most
(k / 16 + 1) · 2⁻¹⁹ · Σ|a · b| (tf32: k / 8). Whole numbers below 2²⁴ in all sums come out exactly.

A block of 8 warps takes 128 by 128 results, each warp 64 by 32 of them. Panels of 64 bytes of k
come by cp.async into one of three stages of shared memory; while one is multiplied, two are on
their way. Where the free axis runs along memory a panel keeps that order, and ldmatrix turns it.
Runs of 16 bytes have their places exchanged, so that eight of a column are in different banks.

Comes in: a `GemmShape`, its types and an epilogue. Goes out: the text of its kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.emit import KernelText
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.nvptx.asynchronous import (
    RUN_BYTES,
    await_copies,
    close_copies,
    copy_later,
)
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
from jitml.codegen.nvptx.operand import Layout, Operand, layouts
from jitml.codegen.nvptx.square import Turns, write_square
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.scalar.value import Value, convert, maximum, minimum, select

SIDE = 128
THREADS = 256
STAGES = 3
_ROW_BYTES = 64  # of k, in a panel
_PANEL_BYTES = SIDE * _ROW_BYTES
_ROWS, _COLUMNS = 64, 32  # of a warp
_UNIT_ROWS, _UNIT_COLUMNS = 16, 8
_SUMS = 4  # that a thread has of a unit's results
_PITCH = SIDE + 8  # of rows on their way to the epilogue: they begin in different banks
_LEAST_SIDE, _LEAST_DEPTH = 64, 32
_WORDS = "{i32, i32, i32, i32}"
_NUMBERS = "{float, float, float, float}"


class _Unit(NamedTuple):
    """An instruction: its name, the LLVM type of a register of operands, an element's bytes."""

    function: str
    register: str
    size_bytes: int


_UNITS = {
    "bf16": _Unit("@llvm.nvvm.mma.m16n8k16.row.col.bf16", "i32", 2),
    "f16": _Unit("@llvm.nvvm.mma.m16n8k16.row.col.f32.f32", "<2 x half>", 2),
    "f32": _Unit("@llvm.nvvm.mma.m16n8k8.row.col.tf32", "i32", 4),
}


def suits_units(shape: GemmShape, types: GemmTypes, precision: str | None) -> bool:
    """Whether a product goes through matrix units."""
    is_allowed = precision == "high" if types.operand == "f32" else precision != "highest"
    is_known = types.operand in _UNITS and types.compute == "f32" and not types.pairs
    is_large = min(shape.m, shape.n) >= _LEAST_SIDE and shape.k >= _LEAST_DEPTH
    return is_allowed and is_known and is_large


def unit_kernel(
    shape: GemmShape, types: GemmTypes, epilogue: Epilogue, target: Target, is_aligned: bool
) -> KernelText:
    """The kernel of a product; a block takes a square."""
    return _Units(shape, types, epilogue, target, is_aligned).text(target)


class _Panel(NamedTuple):
    """How panels of an operand come: in runs of 16 bytes, or element by element. If `turned`, they
    lie in shared memory along the free axis.
    """

    operand: Operand
    extent: Value  # of the free axis
    by_runs: bool
    turned: bool
    begin: int  # in a stage


class _Units:
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
        self.unit = _UNITS[types.operand]
        self.size = self.unit.size_bytes
        self.run = RUN_BYTES // self.size  # elements
        self.depth = _ROW_BYTES // self.size  # of a panel
        self.f = Function(2 + epilogue.buffers, (shape.m, shape.n, shape.k))
        self.emit = self.f.emit
        self.emit.aligns_vectors = True
        self.m, self.n, self.k = self.f.size
        extents = (self.m, self.n)
        self.panels = [
            self._panel(k, x, extents[k], is_aligned) for k, x in enumerate(layouts(shape))
        ]
        self.epilogue = EpilogueWriter(self.f, epilogue, shape, types, target, is_aligned)
        squares = -(-shape.m // SIDE) * -(-shape.n // SIDE)
        self.extent = shape.batch * squares
        self.thread = thread_number(self.emit)
        self.lane, self.warp = self.thread % 32, self.thread / 32
        self.stages = shared_memory(self.emit, "stages")

    def _panel(self, number: int, layout: Layout, extent: Value, is_aligned: bool) -> _Panel:
        along_depth = layout.runs_along_depth()
        operand = Operand(self.f, number, layout)
        # ldmatrix turns numbers of two bytes only.
        turned = not along_depth and self.size == 2
        by_runs = is_aligned and layout.has_runs(self.run) and (along_depth or turned)
        return _Panel(operand, extent, by_runs, turned, number * _PANEL_BYTES)

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._square(f.begin)
        shared = declare_shared("stages", STAGES * 2 * _PANEL_BYTES, 128)
        return KernelText(shared + f.text(target), f.sizes, self.extent, THREADS, 0)

    def _square(self, number: Value) -> None:
        """The square with this number, counted along rows."""
        f = self.f
        down, right = (parts_of(x, SIDE) for x in (self.m, self.n))
        is_small = self.extent < MOST_SMALL
        batch, rest = divide(number, down * right, is_small)
        row, column = (x * SIDE for x in divide(rest, right, is_small))
        fetchers = [
            self._fetcher(panel, batch, begin)
            for panel, begin in zip(self.panels, (row, column), strict=True)
        ]

        def fetch(k: Value, stage: Value) -> None:
            for fetcher in fetchers:
                fetcher(k, stage)
            close_copies(self.emit)

        barrier(self.emit)  # others may still read what the last square left
        for stage in range(STAGES - 1):
            fetch(f.number(stage * self.depth), self.emit.constant("u32", stage))

        def panel(k: Value, state: list[Value]) -> Sequence[Value]:
            stage, *sums = state
            await_copies(self.emit, STAGES - 2)
            barrier(self.emit)
            free = select(stage == 0, STAGES - 1, stage - 1)
            fetch(k + (STAGES - 1) * self.depth, free)
            following = select(stage == STAGES - 1, 0, stage + 1)
            return [following, *self._multiplied(stage, sums)]

        zero, start = self.emit.constant("f32", 0), self.emit.constant("u32", 0)
        count = _SUMS * (_ROWS // _UNIT_ROWS) * (_COLUMNS // _UNIT_COLUMNS)
        _, *sums = self.emit.loop(
            f.number(0), self.k, self.depth, [start, *([zero] * count)], panel
        )
        await_copies(self.emit, 0)
        self._write(batch, row, column, sums)

    # ---- panels ----------------------------------------------------------------------------------

    def _fetcher(self, panel: _Panel, batch: Value, first: Value) -> Callable[[Value, Value], None]:
        """What asks for the panel that begins at some depth, into a stage."""
        way = self._ask_for_run if panel.by_runs else self._fetch_element
        start = batch * panel.operand.batch

        def fetch(k: Value, stage: Value) -> None:
            begin = stage * (2 * _PANEL_BYTES) + panel.begin
            if panel.by_runs:
                for turn in range(_PANEL_BYTES // (RUN_BYTES * THREADS)):
                    way(panel, start, (first, k), begin, self.thread + turn * THREADS)
                return
            # Elements come one after the other, so few registers are needed.
            with self.emit.scope():
                count = SIDE * self.depth // THREADS
                self.f.each(
                    self.f.number(0),
                    self.f.argument(count),
                    lambda turn: way(
                        panel, start, (first, k), begin,
                        self.thread + convert(turn, "u32") * THREADS,
                    ),
                )  # fmt: skip

        return fetch

    def _ask_for_run(
        self,
        panel: _Panel,
        start: Value,
        first: tuple[Value, Value],
        begin: Value,
        number: Value,
    ) -> None:
        """Ask for 16 bytes; what lies beyond the end is zero."""
        operand = panel.operand
        per_row = SIDE // self.run if panel.turned else self.depth // self.run
        row, run = number / per_row, number % per_row
        along = convert(run * self.run, "i64") + first[0 if panel.turned else 1]
        across = convert(row, "i64") + first[1 if panel.turned else 0]
        ends = (panel.extent, self.k) if panel.turned else (self.k, panel.extent)
        left = minimum(maximum(ends[0] - along, self.f.number(0)), self.f.number(self.run))
        left = select(across < ends[1], left, 0)
        axes = (operand.free, operand.depth) if panel.turned else (operand.depth, operand.free)
        place = start + along * axes[0][0][1] + across * axes[1][0][1]
        source = self.emit.address(operand.pointer, select(left > 0, place, 0), f"u{self.size * 8}")
        target = self._run_at(panel, begin, row, run)
        copy_later(self.emit, target, source, RUN_BYTES, left * self.size)

    def _fetch_element(
        self,
        panel: _Panel,
        start: Value,
        first: tuple[Value, Value],
        begin: Value,
        number: Value,
    ) -> None:
        """Bring one element; zero beyond the end."""
        emit, operand = self.emit, panel.operand
        free, depth = self._element_place(panel, number)
        at_free, at_depth = first[0] + convert(free, "i64"), first[1] + convert(depth, "i64")
        place = start + operand.offset_along(operand.free, at_free)
        place = place + operand.offset_along(operand.depth, at_depth)
        is_there = (at_free < panel.extent) & (at_depth < self.k)
        storage = f"u{self.size * 8}"
        source = emit.address(operand.pointer, select(is_there, place, 0), storage)
        row, along = (depth, free) if panel.turned else (free, depth)
        run = self._run_at(panel, begin, row, along / self.run)
        target = emit.address(run, convert(along % self.run, "i64"), storage)
        if self.size == 4:
            copy_later(emit, target, source, 4, select(is_there, self.f.number(4), 0))
        else:
            emit.store(target, select(is_there, emit.load(source, storage), 0), storage)

    def _element_place(self, panel: _Panel, number: Value) -> tuple[Value, Value]:
        """Which element a thread brings, along the free axis and in depth: neighbours lie side by
        side in memory, and in different banks.
        """
        if panel.turned:
            return number % SIDE, number / SIDE
        if panel.operand.layout.runs_along_depth() or self.size == 2:
            return number / self.depth, number % self.depth
        # 8 elements along memory by 4 in depth.
        block = number / 32
        return (
            block % (SIDE // 8) * 8 + number % 8,
            block / (SIDE // 8) * 4 + number % 32 / 8,
        )

    def _run_at(self, panel: _Panel, begin: Value, row: Value, run: Value) -> Value:
        """The address of 16 bytes of a panel."""
        swapped = run ^ (row & 7 if panel.turned else row / 2 & 3)
        pitch = SIDE * self.size if panel.turned else _ROW_BYTES
        place = begin + row * pitch + swapped * RUN_BYTES
        return self.emit.address(self.stages, convert(place, "i64"), "u8")

    # ---- products --------------------------------------------------------------------------------

    def _multiplied(self, stage: Value, sums: Sequence[Value]) -> list[Value]:
        """The sums with the products of a stage."""
        found = list(sums)
        down, right = self.warp / 4 * _ROWS, self.warp % 4 * _COLUMNS
        width = _UNIT_ROWS
        for step in range(2):  # a unit takes half of a panel's depth
            rows = [
                self._registers(stage, self.panels[0], down + width * i, step)
                for i in range(_ROWS // width)
            ]
            columns = []
            for j in range(_COLUMNS // width):
                both = self._registers(stage, self.panels[1], right + width * j, step)
                columns += [both[0::2], both[1::2]]
            for number, (x, y) in enumerate((x, y) for x in rows for y in columns):
                place = slice(number * _SUMS, (number + 1) * _SUMS)
                found[place] = self._multiply(x, y, found[place])
        return found

    def _registers(self, stage: Value, panel: _Panel, free: Value, step: int) -> list[Value]:
        """16 elements of the free axis from `free` on, by half of the panel's depth: registers for
        (depth, free) in their halves of 8: (0, 0), (0, 1), (1, 0), (1, 1).
        """
        emit, lane = self.emit, self.lane
        begin = stage * (2 * _PANEL_BYTES) + panel.begin
        upper_free, upper_depth = lane / 8 % 2, lane / 16
        if panel.turned:
            depth = step * _UNIT_ROWS + upper_depth * 8 + lane % 8
            place = self._run_at(panel, begin, depth, free / self.run + upper_free)
        else:
            row = free + upper_free * 8 + lane % 8
            place = self._run_at(panel, begin, row, upper_depth + 2 * step)
        turned = "trans." if panel.turned else ""
        function = f"@llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.{turned}b16.p3"
        emit.declarations.add(f"declare {_WORDS} {function}(ptr addrspace(3)) convergent")
        there = emit.pure(f"addrspacecast ptr {place.ref} to ptr addrspace(3)", "ptr").ref
        whole = emit.effect(f"call {_WORDS} {function}(ptr addrspace(3) {there})", "call")
        return [emit.pure(f"extractvalue {_WORDS} {whole.ref}, {k}", "u32") for k in range(4)]

    def _multiply(
        self, x: Sequence[Value], y: Sequence[Value], sums: Sequence[Value]
    ) -> list[Value]:
        emit, unit = self.emit, self.unit
        operands = [f"{unit.register} {self._register(v)}" for v in (*x, *y)]
        operands += [f"float {v.ref}" for v in sums]
        types = ", ".join([unit.register] * 6 + ["float"] * 4)
        emit.declarations.add(f"declare {_NUMBERS} {unit.function}({types}) convergent")
        whole = emit.effect(f"call {_NUMBERS} {unit.function}({', '.join(operands)})", "call")
        return [emit.pure(f"extractvalue {_NUMBERS} {whole.ref}, {k}", "f32") for k in range(4)]

    def _register(self, word: Value) -> str:
        if self.unit.register == "i32":
            return str(word.ref)
        return str(self.emit.pure(f"bitcast i32 {word.ref} to {self.unit.register}", "pair").ref)

    # ---- the result ------------------------------------------------------------------------------

    def _write(self, batch: Value, row: Value, column: Value, sums: Sequence[Value]) -> None:
        down, right = self.warp / 4, self.warp % 4 * _COLUMNS + self.lane % 4 * 2

        def keep(share: Sequence[Value]) -> None:
            begin = (down * _UNIT_ROWS + self.lane / 4) * _PITCH + right
            for number, pair in enumerate(zip(share[::2], share[1::2], strict=True)):
                unit, lower = divmod(number, 2)
                place = convert(begin, "i64") + (lower * 8 * _PITCH + unit * _UNIT_COLUMNS)
                address = self.emit.address(self.stages, place, "f32")
                both = self.emit.insert(self.emit.splat(pair[0], 2), pair[1], 1)
                self.emit.store(address, both, "f32")

        def row_of(turn: Value, at: Value) -> Value:
            return at / _UNIT_ROWS * _ROWS + turn * _UNIT_ROWS + at % _UNIT_ROWS

        turns = Turns(
            _ROWS // _UNIT_ROWS, SIDE // _ROWS * _UNIT_ROWS, SIDE, _PITCH, THREADS,
            self.stages, keep, row_of,
        )  # fmt: skip
        ends = self.m, self.n
        write_square(self.epilogue, turns, self.thread, (batch, row, column), ends, sums)
