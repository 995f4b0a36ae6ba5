"""Micro-kernels of the matrix product: one tile of C in registers, one ordered chain over k per
element.

In: pointers into A, B and C with run-time byte strides. Out: LLVM functions
`micro<vectors>x<rows>` for each number of rows of a tile, and `column<vectors>`, which runs them
down a column of tiles. Reading and writing C go through separate pointers: the first K-block
reads a row of zeros with stride 0. Nothing here knows where the operands come from (arrays or
packed panels).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from jitml.codegen.gemm_function import Function
from jitml.scalar.value import BITS, FLOATS, Value, fma

# a, its row and k strides, b, its k stride, the number of k, then c read and c written, each with
# its row stride.
_MICRO = ("ptr", "i64", "i64", "ptr", "i64", "i64", "ptr", "i64", "ptr", "i64")
COLUMN = (*_MICRO, "i64")
# The rows left below the full tiles are fewer than 8: their binary digits say which kernels run.
_TAILS = (4, 2, 1)


class Tile(NamedTuple):
    """The largest register tile: `rows` × `vectors` vectors of `lanes` numbers."""

    compute: str
    lanes: int
    rows: int
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


def tile_functions(tile: Tile) -> list[Function]:
    """All micro-kernels of a tile and the columns that call them."""
    widths = range(1, tile.vectors + 1)
    micros = [_micro(tile, v, rows) for v in widths for rows in (tile.rows, *_TAILS)]
    return micros + [_column(tile, v) for v in widths]


def multiply_add(a: Value, b: Value, c: Value) -> Value:
    """One link of the chain: a fused multiply-add, or a wrapping one for integers."""
    return fma(a, b, c) if a.type in FLOATS else a * b + c


def _load_vectors(f: Function, tile: Tile, place: Value, vectors: int) -> list[Value]:
    steps = (f.integer(tile.vector_bytes * v) for v in range(vectors))
    return [f.load(f.offset(place, step), tile.compute, tile.lanes) for step in steps]


def _micro(tile: Tile, vectors: int, rows: int) -> Function:
    """c_out[rows, vectors] = c_in + Σ_k a[row, k] · b[k, vector], in the order of k."""
    f = Function(f"micro{vectors}x{rows}", _MICRO)
    a, a_row, a_step, b, b_step, count, c_in, c_in_row, c_out, c_out_row = f.parameters
    sums = [
        value
        for row in range(rows)
        for value in _load_vectors(f, tile, f.offset(c_in, c_in_row * row), vectors)
    ]
    # Left to itself, strength reduction would chain the additions of one row to the next.
    starts = [f.opaque(f.offset(a, a_row * row)) for row in range(rows)]

    def step(_: Value, state: list[Value]) -> list[Value]:
        b_now, along, *sums_now = state
        row_b = _load_vectors(f, tile, b_now, vectors)
        after = []
        for row in range(rows):
            value = f.splat(f.load(f.offset(starts[row], along), tile.compute), tile.lanes)
            after += [
                multiply_add(value, row_b[v], sums_now[row * vectors + v]) for v in range(vectors)
            ]
        return [f.offset(b_now, b_step), along + a_step, *after]

    state = f.loop(f.integer(0), count, 1, [b, f.integer(0), *sums], step)
    for index, value in enumerate(state[2:]):
        row, v = divmod(index, vectors)
        place = f.offset(f.offset(c_out, c_out_row * row), f.integer(tile.vector_bytes * v))
        f.store(place, value, tile.compute)
    return f


def _column(tile: Tile, vectors: int) -> Function:
    """Run full tiles down `rows` rows, then smaller ones for the rest."""
    f = Function(f"column{vectors}", COLUMN)
    a, a_row, a_step, b, b_step, count, c_in, c_in_row, c_out, c_out_row, rows = f.parameters

    def call(height: int, row: Value) -> None:
        a_now, in_now, out_now = (
            f.offset(start, row * stride)
            for start, stride in ((a, a_row), (c_in, c_in_row), (c_out, c_out_row))
        )
        f.call(
            f"micro{vectors}x{height}",
            (a_now, a_row, a_step, b, b_step, count, in_now, c_in_row, out_now, c_out_row),
        )

    def full(row: Value, _: list[Value]) -> list[Value]:
        call(tile.rows, row)
        return []

    rest = rows % tile.rows
    f.loop(f.integer(0), rows - rest, tile.rows, [], full)
    for height in _TAILS:
        before = rows - rest + (rest & (8 - 2 * height))
        f.if_((rest & height) != 0, partial(call, height, before))
    return f
