"""How a matrix product is cut into blocks, and how its kernels reach the operands.

In: extents and strides (`GemmShape`), types, and whether an epilogue runs on rows of C. Out:
`Blocks`, plain numbers that follow from these alone. What the kernels are is not known here.

Operands are read where they are if a block of A and a panel of B lie on few pages: to pack them
costs more then than it saves. Else they are packed: A block by block, B panel by panel, or
beforehand where many blocks of rows share it.
"""

from __future__ import annotations

from typing import NamedTuple

from jitml.codegen.gemm_driver import (
    A_DIRECT,
    A_GATHERED,
    A_PACKED,
    A_ROWS,
    B_DIRECT,
    B_GATHERED,
    B_IN_UNIT,
    B_PACKED,
    C_DIRECT,
    C_HELD,
)
from jitml.codegen.gemm_gather import Gather, run_of_depth, run_of_lanes
from jitml.codegen.gemm_types import GemmTypes

# Blocking, measured by benchmarks/gemm.py: a block of A stays in the second-level cache, panels of
# B come into it just in time; deep blocks read and write C less often.
_BLOCK_DEPTH = 544
_BLOCK_ROWS = {4: 140, 8: 98}  # by the size of a number
_BLOCK_COLUMNS = 2048
_HELD_COLUMNS = 512
# Multiply-adds up to which a product is one unit.
_SPLIT_WORK = 1 << 20
# From these extents on it may pay to pack operands: a panel of B serves so many rows, a block of A
# so many panels.
_PACK_ROWS = 64
_PACK_PANELS = 6
# The most bytes between rows with which blocks of A and panels of B are on few enough pages for a
# processor to know where these are.
_A_STRIDE, _B_STRIDE = 1 << 12, 1 << 11
# Blocks of rows of which each may pack its B anew.
_PACKED_AGAIN = 2
# Gathered rows are read where they are by so few panels of B, in runs of at least so many k.
_ROWS_PANELS, _ROWS_RUN = 2, 32
# Blocks of rows that one packed panel of a gathered B serves.
_GATHER_ROWS = 3
# With few k, most time goes to writing a result of so many elements: whole rows of it, few at once.
_FLAT_DEPTH, _FLAT_RESULT, _FLAT_ROWS = 128, 1 << 18, 28
# Units wanted of a product that is split, and tiles of rows and panels that they should have.
_UNITS = 4
_LEAST_TILES = 4


class GemmShape(NamedTuple):
    """Extents, and strides in elements (any sign; 0 repeats); rows of C are consecutive.

    Where rows and k of an operand are several axes each, these are given in place of strides.
    """

    batch: int
    m: int
    n: int
    k: int
    a_batch: int
    a_row: int
    a_column: int
    b_batch: int
    b_row: int
    b_column: int
    c_batch: int
    c_row: int
    a_gather: Gather | None = None
    b_gather: Gather | None = None


class Blocks:
    """Blocks and ways to reach the operands, for the real product."""

    def __init__(self, shape: GemmShape, types: GemmTypes, has_epilogue: bool) -> None:
        self.shape, self.types, self.has_epilogue = shape, types, has_epilogue
        self.tile = types.tile
        self.columns, self.depth = shape.n * types.parts, shape.k * types.parts
        self.c_mode = C_DIRECT if types.plain_result else C_HELD
        depth_blocks = max(1, divide_up(self.depth, _BLOCK_DEPTH))
        self.block_depth = max(round_up(divide_up(self.depth, depth_blocks), 4), 4)
        self.lane_run = self._lane_run()
        self.a_mode = A_PACKED if self._packs_a() else A_DIRECT
        if shape.a_gather:
            run = self._rows_run(shape.a_gather)
            self.a_mode = A_ROWS if run else A_GATHERED
            self.block_depth = run or self.block_depth
        self._choose_blocks()
        self.b_mode = self._choose_b()

    def _packs_a(self) -> bool:
        """Whether A cannot be read in place, or is read often, from many pages of memory."""
        s, types = self.shape, self.types
        if not types.plain_operand or (types.pairs and s.a_column != 1):
            return True
        if self.lane_run or s.m < _PACK_ROWS or self.columns < _PACK_PANELS * self.tile.columns:
            return False
        stride = max(abs(s.a_row), abs(s.a_column)) * types.operand_bytes
        return stride > _A_STRIDE or (stride == _A_STRIDE and self._has_many_rows())

    def _has_many_rows(self) -> bool:
        """Whether many blocks of rows share a B that is packed."""
        is_far = abs(self.shape.b_row) * self.types.operand_bytes > _B_STRIDE
        return is_far and self.shape.m > _PACKED_AGAIN * _BLOCK_ROWS[self.tile.itemsize]

    def _lane_run(self) -> int:
        """The lanes of a gathered B that lie side by side where whole tiles read them there."""
        s = self.shape
        if s.b_gather is None or s.a_gather or s.m % self.tile.rows:
            return 0
        run = run_of_lanes(s.b_gather, self.types)
        return run if run >= self.tile.columns else 0

    def _reads_b(self) -> bool:
        """Whether B is read where it is: its panels are on few pages, or used by few rows."""
        s, types = self.shape, self.types
        in_place = types.plain_operand and not types.pairs and s.b_column == 1
        is_near = abs(s.b_row) * types.operand_bytes <= _B_STRIDE
        return self.a_mode < A_PACKED and in_place and (is_near or s.m < _PACK_ROWS)

    def _rows_run(self, gather: Gather) -> int:
        """The K-blocks of gathered rows that are read where they are: parts of runs. 0: they are
        packed."""
        run = run_of_depth(gather, self.types)
        parts = divide_up(run, _BLOCK_DEPTH)
        too_wide = self.columns > _ROWS_PANELS * self.tile.columns
        if too_wide or run % parts or run // parts < _ROWS_RUN:
            return 0
        return run // parts

    def _choose_blocks(self) -> None:
        m, tile = self.shape.m, self.tile
        self.tile_rows = tile.rows if self.a_mode < A_PACKED else tile.panel_rows
        self.row_tiles = divide_up(m, self.tile_rows)
        self.column_panels = divide_up(self.columns, tile.columns)
        limit = _HELD_COLUMNS if self.c_mode == C_HELD else _BLOCK_COLUMNS
        column_blocks = divide_up(self.columns, limit)
        row_blocks = divide_up(m, self._most_rows())
        if self.has_epilogue:  # it takes whole rows; what they need should stay in cache
            row_blocks, column_blocks = row_blocks * column_blocks, 1
        if self.shape.batch == 1 and m * self.columns * self.depth > _SPLIT_WORK:
            row_blocks, column_blocks = self._split(row_blocks, column_blocks)
        self.row_blocks, self.column_blocks = min(row_blocks, self.row_tiles), column_blocks
        self.block_rows = divide_up(self.row_tiles, self.row_blocks) * self.tile_rows
        self.block_columns = divide_up(self.column_panels, column_blocks) * tile.columns

    def _most_rows(self) -> int:
        """Rows of a block of A that a cache holds."""
        s, most = self.shape, _BLOCK_ROWS[self.tile.itemsize]
        if s.b_gather:  # what is gathered is gathered anew for each block of rows
            return most * _GATHER_ROWS
        if self.depth <= _FLAT_DEPTH and s.n * s.m > _FLAT_RESULT:
            return _FLAT_ROWS
        return most * max(1, _BLOCK_DEPTH // max(1, self.depth))

    def _split(self, row_blocks: int, column_blocks: int) -> tuple[int, int]:
        """More blocks, for threads to share: those for which least must be packed again."""
        packs_a = self.a_mode >= A_PACKED
        most_rows = max(row_blocks, self.row_tiles // _LEAST_TILES)
        most_columns = max(column_blocks, self.column_panels // (_LEAST_TILES if packs_a else 1))
        if self.shape.b_gather and not self.has_epilogue:
            most_rows = row_blocks

        def rows_for(columns: int) -> int:
            return min(round_up(row_blocks, divide_up(_UNITS, columns)), most_rows)

        def cost(columns: int) -> tuple[int, int]:
            rows = rows_for(columns)
            of_b = 0 if self._reads_b() else min(rows, _PACKED_AGAIN) * self.columns
            return -min(_UNITS, rows * columns), columns * self.shape.m * packs_a + of_b

        wider = (2, 4) if not self.has_epilogue else ()
        choices = [column_blocks, *(c for c in wider if column_blocks < c <= most_columns)]
        columns = min(choices, key=cost)
        return rows_for(columns), columns

    def _choose_b(self) -> int:
        """B is packed beforehand where more than a few units share it."""
        if self.shape.b_gather:
            return B_GATHERED
        if self._reads_b():
            return B_DIRECT
        return B_PACKED if self.row_blocks > _PACKED_AGAIN else B_IN_UNIT


def divide_up(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    """The least multiple of b that is not below a."""
    return divide_up(a, b) * b
