"""Micro-kernels of the matrix product: a tile of C in registers, one ordered chain over k each.

In: pointers into A, B and C with byte strides. Out: LLVM functions: `micro<vectors>x<rows>`, tiles
with operands of any strides; `panel`, the large tile over packed operands; `column<vectors>` and
`column_packed`, which run tiles down the rows of C. Reading and writing C go through separate
pointers: the first K-block reads a row of zeros with stride 0. Nothing here knows where the
operands come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from jitml.codegen.gemm_function import Function, smaller
from jitml.scalar.value import BITS, FLOATS, Value, fma

# a, b, the number of k, c read and c written, and the strides: few enough to stay in registers.
_MICRO = ("ptr", "ptr", "i64", "ptr", "ptr", "ptr")
COLUMN = (*_MICRO, "i64")  # … and rows
# What the strides are, in an array: of a along rows and k, of b along k, of the rows of c.
STRIDES = ("a_row", "a_step", "b_step", "c_in_row", "c_out_row")
# … and, where a and b are packed, what of b to fetch ahead, and how much of it per k.
_PANEL = (*_MICRO, "ptr", "i64")
COLUMN_PACKED = (*COLUMN, "i64", "ptr")  # … and width, and the next panel of b
_TAILS = (8, 4, 2, 1)
_BLOCK = 8  # rows and columns of the blocks that packing moves at once
_AHEAD_BYTES = 1024


class Tile(NamedTuple):
    """Register tiles of numbers of type `compute`, `vectors` vectors of `lanes` wide.

    `rows` is the height for operands of any strides, `panel_rows` the one for packed operands.
    """

    compute: str
    lanes: int
    rows: int
    panel_rows: int
    vectors: int = 2

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors

    @property
    def itemsize(self) -> int:
        return BITS[self.compute] // 8

    @property
    def vector_bytes(self) -> int:
        return self.lanes * self.itemsize

    @property
    def block(self) -> int:
        """Lanes of the vectors that packing uses."""
        return min(self.lanes, _BLOCK)

    @property
    def a_row(self) -> int:
        """Bytes of one k of packed A: the rows of a tile, with room for whole blocks."""
        return -(-self.panel_rows // _BLOCK) * _BLOCK * self.itemsize

    @property
    def b_row(self) -> int:
        """Bytes of one k of packed B."""
        return self.columns * self.itemsize


def tile_functions(tile: Tile) -> list[Function]:
    """All micro-kernels of a tile and the columns that call them."""
    widths = range(1, tile.vectors + 1)
    heights = sorted({tile.rows, *(h for h in _TAILS if h < max(tile.rows, tile.panel_rows))})
    micros = [_micro(tile, v, rows) for v in widths for rows in heights]
    columns = [_column(tile, v, heights) for v in widths]
    return [*micros, _panel(tile), *columns, _column_packed(tile)]


def load_strides(f: Function, strides: Value) -> list[Value]:
    """The elements of the array of strides."""
    return [f.load_integer(strides, index) for index in range(len(STRIDES))]


def multiply_add(a: Value, b: Value, c: Value) -> Value:
    """One link of the chain: a fused multiply-add, or a wrapping one for integers."""
    return fma(a, b, c) if a.type in FLOATS else a * b + c


def _tile_places(
    f: Function, tile: Tile, c: Value, stride: Value, shape: tuple[int, int]
) -> list[Value]:
    """Addresses of the vectors of a tile of C, row by row."""
    rows, vectors = shape
    return [
        f.offset(f.offset(c, stride * row), f.integer(tile.vector_bytes * v))
        for row in range(rows)
        for v in range(vectors)
    ]


def _accumulate(
    f: Function, tile: Tile, a: Sequence[Value], b: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    """Add one k: the numbers at addresses `a` times the vectors at addresses `b`."""
    row_b = [f.load(place, tile.compute, tile.lanes) for place in b]
    after = []
    for row, place in enumerate(a):
        value = f.splat(f.load(place, tile.compute), tile.lanes)
        row_sums = sums[row * len(b) : (row + 1) * len(b)]
        after += [multiply_add(value, x, y) for x, y in zip(row_b, row_sums, strict=True)]
    return after


def _vectors(f: Function, tile: Tile, place: Value, vectors: int) -> list[Value]:
    return [f.offset(place, f.integer(tile.vector_bytes * v)) for v in range(vectors)]


def _micro(tile: Tile, vectors: int, rows: int) -> Function:
    """c_out[rows, vectors] = c_in + Σ_k a[row, k] · b[k, vector], in the order of k."""
    f = Function(f"micro{vectors}x{rows}", _MICRO)
    a, b, count, c_in, c_out, strides = f.parameters
    a_row, a_step, b_step, c_in_row, c_out_row = load_strides(f, strides)
    shape = (rows, vectors)
    sums = [
        f.load(place, tile.compute, tile.lanes)
        for place in _tile_places(f, tile, c_in, c_in_row, shape)
    ]
    # Left to itself, strength reduction would chain the additions of one row to the next.
    starts = [f.opaque(f.offset(a, a_row * row)) for row in range(rows)]

    def step(_: Value, state: list[Value]) -> list[Value]:
        b_now, along, *sums_now = state
        places = [f.offset(start, along) for start in starts]
        after = _accumulate(f, tile, places, _vectors(f, tile, b_now, vectors), sums_now)
        return [f.offset(b_now, b_step), along + a_step, *after]

    state = f.loop(f.integer(0), count, 1, [b, f.integer(0), *sums], step)
    places = _tile_places(f, tile, c_out, c_out_row, shape)
    for place, value in zip(places, state[2:], strict=True):
        f.store(place, value, tile.compute)
    return f


def _panel(tile: Tile) -> Function:
    """The large tile over packed operands, fetching ahead.

    A's next tile follows this one in memory; B's next panel is fetched bit by bit, a share in
    each tile; so is the tile of C below this one.
    """
    f = Function("panel", _PANEL)
    a, b, count, c_in, c_out, strides, b_next, b_next_step = f.parameters
    _, _, _, c_in_row, c_out_row = load_strides(f, strides)
    shape = (tile.panel_rows, tile.vectors)
    sums = [
        f.load(place, tile.compute, tile.lanes)
        for place in _tile_places(f, tile, c_in, c_in_row, shape)
    ]
    below = f.offset(c_out, c_out_row * tile.panel_rows)
    for place in _tile_places(f, tile, below, c_out_row, shape):
        f.prefetch(place, 1, to_write=True)

    def step(_: Value, state: list[Value]) -> list[Value]:
        a_now, b_now, next_now, *sums_now = state
        ahead = f.integer(_AHEAD_BYTES)
        for place in (a_now, *_vectors(f, tile, b_now, tile.vectors)):
            f.prefetch(f.offset(place, ahead), 1)
        f.prefetch(next_now, 2)
        places = [f.offset(a_now, f.integer(tile.itemsize * row)) for row in range(shape[0])]
        after = _accumulate(f, tile, places, _vectors(f, tile, b_now, tile.vectors), sums_now)
        moved = (f.offset(a_now, f.integer(tile.a_row)), f.offset(b_now, f.integer(tile.b_row)))
        return [*moved, f.offset(next_now, b_next_step), *after]

    state = f.loop(f.integer(0), count, 1, [a, b, b_next, *sums], step)
    places = _tile_places(f, tile, c_out, c_out_row, shape)
    for place, value in zip(places, state[3:], strict=True):
        f.store(place, value, tile.compute)
    return f


def _column(tile: Tile, vectors: int, heights: Sequence[int]) -> Function:
    """Run tiles of the full height down `rows` rows, then smaller ones for the rest."""
    f = Function(f"column{vectors}", COLUMN, cold=True)
    a, b, count, c_in, c_out, strides, rows = f.parameters
    a_row, _, _, c_in_row, c_out_row = load_strides(f, strides)

    def call(height: int, row: Value) -> None:
        a_now, in_now, out_now = (
            f.offset(start, row * stride)
            for start, stride in ((a, a_row), (c_in, c_in_row), (c_out, c_out_row))
        )
        f.call(f"micro{vectors}x{height}", (a_now, b, count, in_now, out_now, strides))

    def full(row: Value, _: list[Value]) -> list[Value]:
        call(tile.rows, row)
        return []

    rest = rows % tile.rows
    f.loop(f.integer(0), rows - rest, tile.rows, [], full)
    # The rest is below 8: its binary digits say which smaller kernels run.
    for height in (h for h in heights if h < tile.rows):
        before = rows - rest + (rest & (8 - 2 * height))
        f.if_((rest & height) != 0, partial(call, height, before))
    return f


def _column_packed(tile: Tile) -> Function:
    """Run the large tile down the rows; what is too low or too narrow goes the general way."""
    f = Function("column_packed", COLUMN_PACKED, cold=True)
    a, b, count, c_in, c_out, strides, rows, width, b_next = f.parameters
    _, _, _, c_in_row, c_out_row = load_strides(f, strides)
    is_wide = width > tile.lanes * (tile.vectors - 1)
    a_tile = count * tile.a_row
    share = f.integer(tile.b_row * tile.panel_rows) / rows

    def body(row: Value, state: list[Value]) -> list[Value]:
        a_now, in_now, out_now, ahead = state
        height = smaller(rows - row, f.integer(tile.panel_rows))
        arguments = (a_now, b, count, in_now, out_now, strides)
        is_full = is_wide & (height == tile.panel_rows)
        f.if_(is_full, lambda: f.call("panel", (*arguments, ahead, share)))
        f.if_(is_wide & ~is_full, lambda: f.call("column2", (*arguments, height)))
        f.if_(~is_wide, lambda: f.call("column1", (*arguments, height)))
        steps = (a_tile, c_in_row * tile.panel_rows, c_out_row * tile.panel_rows, share * count)
        return [f.offset(place, step) for place, step in zip(state, steps, strict=True)]

    f.loop(f.integer(0), rows, tile.panel_rows, [a, c_in, c_out, b_next], body)
    return f
