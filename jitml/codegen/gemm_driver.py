"""The blocked loops around the micro-kernels: the ABI kernels `gemm` and `pack_b`.

In: run-time sizes (`GemmSizes`), which also say how to block and where scratch areas lie. Out:
LLVM functions. A unit of `gemm` is a block of rows × a block of columns of one matrix of the
batch; within it K-blocks run in order, and for each the panels of columns, so that every element
of C is one chain over k whatever the blocks. How sizes are chosen is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from jitml.codegen.gemm_function import ABI, SCRATCH_OFFSET, STOPPED, Function, smaller
from jitml.codegen.gemm_micro import STRIDES
from jitml.codegen.gemm_types import GemmTypes
from jitml.scalar.value import Value, select

# A_ROWS: rows are where a table says, and each K-block of them lies side by side.
A_DIRECT, A_ROWS, A_PACKED, A_GATHERED = 0, 1, 2, 3
B_DIRECT, B_PACKED, B_IN_UNIT, B_GATHERED = 0, 1, 2, 3
C_DIRECT, C_HELD = 0, 1
NO_EPILOGUE = -1


class GemmSizes(NamedTuple):
    """The `sizes` of the kernel `gemm`; the epilogue's own sizes follow.

    Extents count numbers of the real product (a complex one has twice the columns and depth);
    strides are bytes.
    """

    rows: int
    columns: int
    depth: int
    a_batch: int
    a_row: int
    a_step: int  # along k, per element of the array
    b_batch: int  # of the packed panels where B is packed
    b_row: int
    b_column: int
    c_batch: int
    c_row: int
    row_blocks: int  # units share tiles of rows, and panels of columns, evenly
    column_blocks: int
    tiles_each: int
    tiles_left: int  # the first units have one more each
    panels_each: int
    panels_left: int
    tile_rows: int
    block_rows: int  # the most that a unit has
    block_depth: int
    a_mode: int
    b_mode: int
    c_mode: int
    tile_a_row: int  # strides of A as the micro-kernel sees it
    tile_a_step: int
    scratch_b: int  # where areas of the scratch memory begin; A's is first
    scratch_c: int
    scratch_end: int
    a_record: int  # where in `sizes`, in bytes, records of gathered operands begin
    b_record: int
    a_table: int  # where in the scratch memory their tables are
    b_table: int
    row_table: int  # where in the scratch memory the places of a unit's rows are
    row_run: int  # how many k of an operand of A_ROWS lie side by side
    lane_run: int  # lanes of a gathered B that are read where they are side by side; or 0
    epilogue_sizes: int  # where in `sizes`, in bytes, those of the epilogue begin; or NO_EPILOGUE
    epilogue_units: int  # of the epilogue in a row of C


class PackSizes(NamedTuple):
    """The `sizes` of the kernel `pack_b`, whose units are groups of panels of each matrix."""

    groups: int
    group_columns: int
    row_groups: int
    group_rows: int
    block_rows: int  # read of all panels of a group before the next rows are
    columns: int
    rows: int
    b_batch: int
    b_row: int
    b_column: int
    packed_batch: int


def pack_b(types: GemmTypes) -> Function:
    """Kernel over buffers (b, packed): panels of B, each of all rows and one tile's columns. A unit
    is a group of rows of a group of panels.
    """
    f = Function("pack_b", ABI, "i32", cold=True)
    buffers, sizes, begin, end, fault = f.parameters
    s = _Sizes(f, sizes, PackSizes._fields)
    b, packed = f.load_pointer(buffers, 0), f.load_pointer(buffers, 1)
    width = types.tile.columns // types.parts
    to_row = f.integer(types.tile.b_row * types.parts)

    def unit(index: Value, _: list[Value]) -> list[Value]:
        f.leave_if_stopped(fault)
        blocks = index / s["row_groups"]
        batch, first = blocks / s["groups"], blocks % s["groups"] * s["group_columns"]
        first_row = index % s["row_groups"] * s["group_rows"]
        last_row = smaller(first_row + s["group_rows"], s["rows"])
        to_matrix = f.offset(packed, batch * s["packed_batch"])
        matrix = f.offset(b, batch * s["b_batch"])
        last = smaller(first + s["group_columns"], s["columns"])

        def block(row: Value, _: list[Value]) -> list[Value]:
            rows = smaller(last_row - row, s["block_rows"])
            to_block = f.offset(to_matrix, row * to_row)
            at_block = f.offset(matrix, row * s["b_row"])

            def panel(column: Value, _: list[Value]) -> list[Value]:
                # A panel takes the bytes of its columns of all rows.
                to = f.offset(to_block, column * s["rows"] * (types.tile.itemsize * types.parts**2))
                at = f.offset(at_block, column * s["b_column"])
                columns = smaller(s["columns"] - column, f.integer(width))
                f.call("pack_panel", (to, to_row, at, s["b_row"], s["b_column"], rows, columns))
                return []

            f.loop(first, last, width, [], panel)
            return []

        f.loop(first_row, last_row, s["block_rows"], [], block)
        return []

    f.loop(begin, end, 1, [], unit)
    f.line("ret i32 0")
    return f


def gemm(types: GemmTypes, gathers: bool) -> Function:
    """Kernel over buffers (a, b or packed panels, c), then the epilogue's code and buffers."""
    return _Driver(types, gathers).function


class _Sizes:
    """Numbers in memory by name, loaded anew wherever they are used: so few are alive at a time,
    and the compiler need not search where to keep them.
    """

    def __init__(self, f: Function, sizes: Value, names: Sequence[str]) -> None:
        self._f, self._sizes = f, sizes
        self._places = {name: 8 * place for place, name in enumerate(names)}

    def __getitem__(self, name: str) -> Value:
        f = self._f
        place = f.offset(self._sizes, f.integer(self._places[name]))
        return f.effect(f"load i64, ptr {place.ref}, align 8", "i64")


class _Driver:
    """Writes `gemm`; attributes are the values that the loops share."""

    def __init__(self, types: GemmTypes, gathers: bool) -> None:
        self.types = types
        self.gathers = gathers
        self.tile = types.tile
        self.function = f = Function("gemm", ABI, "i32", cold=True)
        self.buffers, self.sizes, begin, end, self.fault = f.parameters
        self.s = _Sizes(f, self.sizes, GemmSizes._fields)
        self.a, self.b, self.c = (f.load_pointer(self.buffers, i) for i in range(3))
        self.scratch = f.load_pointer(self.fault, SCRATCH_OFFSET // 8)
        self.status = f.effect("alloca i32, align 4", "ptr")
        f.line(f"store i32 0, ptr {self.status.ref}, align 4")
        self.strides = f.effect(f"alloca [{len(STRIDES)} x i64], align 8", "ptr")
        self.table = f.effect(f"alloca [{self.tile.rows} x i64], align 8", "ptr")
        for row in range(self.tile.rows):
            f.store_integer(self.table, row, self.s["tile_a_row"] * row)
        self.reads_runs = gathers and types.masks_operand
        self.lane = f.effect("alloca i64, align 8", "ptr")
        self.has_epilogue = self.s["epilogue_sizes"] >= 0
        f.loop(begin, end, 1, [], self._unit)
        f.line(f"%status = load i32, ptr {self.status.ref}, align 4")
        f.line("ret i32 %status")

    def _unit(self, index: Value, _: list[Value]) -> list[Value]:
        f, s = self.function, self.s
        blocks = index / s["column_blocks"]
        self.batch = blocks / s["row_blocks"]
        row_share, column_share = blocks % s["row_blocks"], index % s["column_blocks"]
        width = self.tile.columns
        self.row, last_row = (
            smaller(s["rows"], self._first(share, "tiles") * s["tile_rows"])
            for share in (row_share, row_share + 1)
        )
        self.column, last_column = (
            smaller(s["columns"], self._first(share, "panels") * width)
            for share in (column_share, column_share + 1)
        )
        self.rows, self.columns = last_row - self.row, last_column - self.column
        self.a_matrix = f.offset(self.a, self.batch * s["a_batch"])
        self.a_unit = f.offset(self.a_matrix, self.row * s["a_row"])
        self.b_matrix = f.offset(self.b, self.batch * s["b_batch"])
        self.c_unit = f.offset(
            f.offset(f.offset(self.c, self.batch * s["c_batch"]), self.row * s["c_row"]),
            self._elements(self.column) * self.types.result_bytes,
        )
        if self.gathers:
            f.if_(s["a_mode"] == A_ROWS, self._find_rows)
        # A product of depth 0 has one empty K-block, which writes the zeros.
        depth = select(s["depth"] > 0, s["depth"], 1)
        f.loop(f.integer(0), depth, s["block_depth"], [], self._depth_block)
        f.if_(self.has_epilogue, self._call_epilogue)
        return []

    def _first(self, share: Value, what: str) -> Value:
        """The first of the tiles or panels of a share: shares differ by one at most."""
        return share * self.s[f"{what}_each"] + smaller(share, self.s[f"{what}_left"])

    def _elements(self, numbers: Value) -> Value:
        return numbers >> 1 if self.types.pairs else numbers

    def _depth_block(self, k: Value, _: list[Value]) -> list[Value]:
        f, s = self.function, self.s
        f.leave_if_stopped(self.fault)
        self.k = k
        self.depth = smaller(s["depth"] - k, s["block_depth"])
        self.is_first = k == 0
        self.is_last = k + s["block_depth"] >= s["depth"]
        start = f.offset(self.a_unit, self._elements(k) * s["a_step"])
        is_packed = s["a_mode"] >= A_PACKED
        f.if_(is_packed, lambda: self._pack_a(start))
        if self.gathers:
            f.if_(s["b_mode"] == B_GATHERED, partial(self._find_k, "b"))
            start = self._run_of_rows(start)
        self.a_block = select(is_packed, self.scratch, start)
        f.loop(f.integer(0), self.columns, self.tile.columns, [], self._panel)
        return []

    def _pack_a(self, start: Value) -> None:
        """Copy the block of A, each tile's rows side by side for each k."""
        f, s, tile = self.function, self.s, self.tile
        to_row = f.integer(tile.a_row * self.types.parts)
        packed_tile = self.depth * tile.a_row

        def pack(row: Value, _: list[Value]) -> list[Value]:
            to = f.offset(self.scratch, row / tile.panel_rows * packed_tile)
            at = f.offset(start, row * s["a_row"])
            rows = smaller(self.rows - row, f.integer(tile.panel_rows))
            depth = self._elements(self.depth)
            arguments = (to, to_row, at, s["a_step"], s["a_row"], depth, rows)
            if not self.gathers:
                f.call("pack_a", arguments)
                return []
            f.if_(~is_gathered, lambda: f.call("pack_a", arguments))
            lanes = (self.row + row, rows)
            f.if_(is_gathered, lambda: self._gather("a", (to, to_row, self.a_matrix), lanes))
            return []

        is_gathered = s["a_mode"] == A_GATHERED
        if self.gathers:
            f.if_(is_gathered, partial(self._find_k, "a"))
        f.loop(f.integer(0), self.rows, tile.panel_rows, [], pack)

    def _find_rows(self) -> None:
        """Find where the rows of the unit lie."""
        f, s = self.function, self.s
        table = f.offset(self.scratch, s["row_table"])
        record = f.offset(self.sizes, s["a_record"])
        f.call("gather_rows", (table, record, self.row, self.rows))

    def _run_of_rows(self, start: Value) -> Value:
        """Where the K-block begins: `start`, or for A_ROWS somewhere in a run of k."""
        f, s = self.function, self.s
        is_rows = s["a_mode"] == A_ROWS
        f.if_(is_rows, partial(self._find_k, "a"))
        place = f.load(f.offset(self.scratch, select(is_rows, s["a_table"], 0)), "i64")
        inside = self.k % select(is_rows, s["row_run"], 1) * self.tile.itemsize
        return select(is_rows, f.offset(self.a_matrix, place + inside), start)

    def _find_k(self, name: str) -> None:
        """Find where the K-block of a gathered operand lies."""
        f, s = self.function, self.s
        table = f.offset(self.scratch, s[f"{name}_table"])
        record = f.offset(self.sizes, s[f"{name}_record"])
        f.call("gather_table", (table, record, self.k, self.depth))

    def _gather(self, name: str, ends: tuple[Value, ...], lanes: tuple[Value, Value]) -> None:
        """Pack a panel of a gathered operand; `ends`: to, to_row and the matrix."""
        f, s = self.function, self.s
        table = f.offset(self.scratch, s[f"{name}_table"])
        record = f.offset(self.sizes, s[f"{name}_record"])
        f.call("gather", (*ends, record, table, *lanes, self.k, self.depth))

    def _panel(self, j: Value, _: list[Value]) -> list[Value]:
        f, s, tile = self.function, self.s, self.tile
        width = smaller(self.columns - j, f.integer(tile.columns))
        is_partial = width % tile.lanes != 0  # what matters where there are no masks
        if tile.masks:
            is_partial = f.constant("i1", 0)
        in_runs = self._find_run(self.column + j, width)
        b, b_row = self._panel_of_b(j, width, is_partial, in_runs)
        b_next = f.offset(b, select(s["b_mode"] == B_PACKED, s["depth"] * b_row, 0))
        result = f.offset(self.c_unit, self._elements(j) * self.types.result_bytes)
        hold_row = tile.b_row
        hold_at = s["scratch_c"] + select(
            s["c_mode"] == C_HELD, j * s["block_rows"] * tile.itemsize, 0
        )
        hold = f.offset(self.scratch, hold_at)
        is_held = (s["c_mode"] == C_HELD) | is_partial
        c_out = select(is_held, hold, result)
        c_out_row = select(is_held, f.integer(hold_row), s["c_row"])
        zeros = Value(f, "ptr", 1, "@zeros")
        c_in = select(self.is_first, zeros, c_out)
        c_in_row = select(self.is_first, f.integer(0), c_out_row)
        c = (c_in, c_in_row, c_out, c_out_row)
        self._column((b, b_row, b_next), c, width, in_runs)
        if self.types.holds:
            element = f.integer(tile.itemsize * self.types.parts)
            store = (
                result, s["c_row"], hold, f.integer(hold_row), element, self.rows,
                self._elements(width),
            )  # fmt: skip
            f.if_(is_held & self.is_last, lambda: f.call("store_rows", store))
        return []

    def _find_run(self, column: Value, width: Value) -> Value:
        """Whether the panel from a column on is read where it lies, which `self.lane` then says."""
        f, s, tile = self.function, self.s, self.tile
        if not self.reads_runs:
            return f.constant("i1", 0)
        run = s["lane_run"]
        inside = column % select(run > 0, run, 1)
        found = (width == tile.columns) & (inside + tile.columns <= run)
        record = f.offset(self.sizes, s["b_record"])
        f.if_(found, lambda: f.call("find_lane", (self.lane, record, column)))
        return found

    def _column(self, b: Sequence[Value], c: Sequence[Value], width: Value, in_runs: Value) -> None:
        """Multiply the block of A with a panel of B."""
        f, s = self.function, self.s
        start, b_row, b_next = b
        c_in, c_in_row, c_out, c_out_row = c
        a_row, is_rows = s["tile_a_row"], s["a_mode"] == A_ROWS
        a_ahead = a_row * self.tile.rows / select(self.depth > 0, self.depth, 1)
        strides = (
            a_row, s["tile_a_step"], b_row, c_in_row, c_out_row, width, a_ahead,
            select(is_rows, 0, a_row), select(is_rows, f.integer(8), 0),
        )  # fmt: skip
        for index, stride in enumerate(strides):
            f.store_integer(self.strides, index, stride)
        table = select(is_rows, f.offset(self.scratch, s["row_table"]), self.table)
        common = (self.a_block, start, self.depth, c_in, c_out, self.strides, table, self.rows)
        is_packed = s["a_mode"] >= A_PACKED
        f.if_(is_packed, lambda: f.call("column_packed", (*common, b_next)))
        f.if_(~(is_packed | in_runs), lambda: f.call("column", common))
        if self.reads_runs:
            b_table = f.offset(self.scratch, s["b_table"])
            f.if_(in_runs, lambda: f.call("column_runs", (*common, b_table)))

    def _panel_of_b(
        self, j: Value, width: Value, is_partial: Value, in_runs: Value
    ) -> tuple[Value, Value]:
        """Pointer and row stride of a panel of B; packs it if it must be and is not yet."""
        f, s, tile = self.function, self.s, self.tile
        panel_row = tile.b_row
        column = self.column + j
        in_place = f.offset(
            f.offset(self.b_matrix, self._elements(self.k) * s["b_row"]),
            self._elements(column) * s["b_column"],
        )
        packed = f.offset(self.b_matrix, column * s["depth"] * tile.itemsize + self.k * panel_row)
        here = f.offset(self.scratch, s["scratch_b"])
        pack_here = (s["b_mode"] == B_IN_UNIT) | ((s["b_mode"] == B_DIRECT) & is_partial)
        arguments = (
            here, f.integer(panel_row * self.types.parts), in_place, s["b_row"], s["b_column"],
            self._elements(self.depth), self._elements(width),
        )  # fmt: skip
        f.if_(pack_here, lambda: f.call("pack_panel", arguments))
        if self.gathers:
            is_gathered = (s["b_mode"] == B_GATHERED) & ~in_runs
            ends = (here, f.integer(panel_row), self.b_matrix)
            f.if_(is_gathered, lambda: self._gather("b", ends, (column, width)))
            pack_here = pack_here | is_gathered
        is_packed = s["b_mode"] == B_PACKED
        pointer = select(is_packed, packed, select(pack_here, here, in_place))
        if self.reads_runs:
            found = f.offset(self.b_matrix, f.load(self.lane, "i64"))
            pointer = select(in_runs, found, pointer)
        row = select(is_packed | pack_here, f.integer(panel_row), s["b_row"])
        return pointer, row

    def _call_epilogue(self) -> None:
        """Run it for the rows of C that are finished."""
        f, s = self.function, self.s
        sizes = f.offset(self.sizes, s["epilogue_sizes"])
        own_scratch = f.offset(self.scratch, s["scratch_end"])
        first = self.batch * s["rows"] + self.row
        units = (first * s["epilogue_units"], (first + self.rows) * s["epilogue_units"])
        code = f.load_pointer(f.load_pointer(self.buffers, 3), 0)
        buffers = f.offset(self.buffers, f.integer(8 * 4))
        place = f.offset(self.fault, f.integer(SCRATCH_OFFSET))
        f.line(f"store ptr {own_scratch.ref}, ptr {place.ref}, align 8")
        status = f.call_kernel(code, (buffers, sizes, *units, self.fault))
        f.line(f"store ptr {self.scratch.ref}, ptr {place.ref}, align 8")
        f.if_(status == STOPPED, lambda: f.leave(STOPPED))
        before = f.effect(f"load i32, ptr {self.status.ref}, align 4", "i32")
        f.line(f"store i32 {(before | status).ref}, ptr {self.status.ref}, align 4")
