"""Micro-kernels of the matrix product: a tile of C in registers, one ordered chain over k each.

In: pointers into A, B and C with byte strides. Out: LLVM functions: `micro<vectors>x<rows>`, tiles
with operands of any strides; `panel`, the large tile over packed operands; `column` and
`column_packed`, which run tiles down the rows of C; `runs` and `column_runs`, the same for panels
of B that a table leads to. Reading and writing C go through separate
pointers: the first K-block reads a row of zeros with stride 0. Nothing here knows where the
operands come from.

Few kernels serve all sizes, for each costs time to compile. Those for what is lower than the large
ones repeat the last row, that is, compute and store the same numbers again, and mask the columns
beyond the last one, where the machine has masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from jitml.codegen.gemm_function import Function, smaller
from jitml.scalar.value import BITS, FLOATS, Value, fma, select

# a, b, the number of k, c read and c written, and the strides: few enough to stay in registers.
_PANEL = ("ptr", "ptr", "i64", "ptr", "ptr", "ptr")
_MICRO = (*_PANEL, "ptr")  # … and where, from a, its rows are: a table of bytes
_MICRO_RUNS = (*_MICRO, "ptr")  # … and where, from b, each k is
COLUMN = (*_MICRO, "i64")  # … and rows
COLUMN_RUNS = (*COLUMN, "ptr")  # … and where, from b, each k is
# What the strides are, in an array: of a along rows and k, of b along k, of the rows of c; behind
# them the number of columns, how many bytes of a to fetch ahead per k, and by how many bytes a and
# the table move on with each row: one of them stays.
STRIDES = (
    "a_row", "a_step", "b_step", "c_in_row", "c_out_row", "columns", "a_ahead", "a_move",
    "table_move",
)  # fmt: skip
# Where a and b are packed: what of b to fetch ahead, and how much of it per k.
_PANEL_PACKED = (*_PANEL, "ptr", "i64")
COLUMN_PACKED = (*COLUMN, "ptr")  # … and the next panel of b
_BLOCK = 8  # rows and columns of the blocks that packing moves at once
_AHEAD_BYTES = 1024


class Tile(NamedTuple):
    """Register tiles of numbers of type `compute`, `vectors` vectors of `lanes` wide.

    `rows` is the height for operands of any strides, `panel_rows` the one for packed operands.
    `masks`: the machine can read and write some lanes of a vector.
    """

    compute: str
    lanes: int
    rows: int
    panel_rows: int
    masks: bool
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
    # To mask a vector costs as much as to multiply by it, so what does most of the work has none.
    micros = [_Micro(tile, tile.vectors, tile.rows), _Panel(tile)]
    micros += [_Partial(tile, *extents) for extents in _partial_tiles(tile)]
    return [*(micro.function for micro in micros), _column(tile), _column_packed(tile)]


def _partial_tiles(tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
    """Vectors and rows of the tiles for what is low or not as wide, and for what is narrow: of half
    the rows that one would be as slow.
    """
    return (tile.vectors, tile.rows // 2), (1, tile.rows)


def load_strides(f: Function, strides: Value) -> dict[str, Value]:
    """The elements of the array of strides."""
    return {name: f.load_integer(strides, index) for index, name in enumerate(STRIDES)}


def multiply_add(a: Value, b: Value, c: Value) -> Value:
    """One link of the chain: a fused multiply-add, or a wrapping one for integers."""
    return fma(a, b, c) if a.type in FLOATS else a * b + c


class _Micro:
    """c_out[rows, vectors] = c_in + Σ_k a[row, k] · b[k, vector], in the order of k."""

    def __init__(self, tile: Tile, vectors: int, rows: int) -> None:
        self.tile, self.vectors, self.rows = tile, vectors, rows
        self.function = f = self.start()
        self.strides = strides = load_strides(f, f.parameters[5])
        c_in_row, c_out_row = strides["c_in_row"], strides["c_out_row"]
        self.mask = self.mask_of(strides["columns"])
        c_in, c_out = f.parameters[3:5]
        sums = [v for place in self.row_places(c_in, c_in_row) for v in self.load_row(place)]
        results = self.chains(sums, c_out, c_out_row)
        for row, place in enumerate(self.row_places(c_out, c_out_row)):
            own = results[row * vectors : (row + 1) * vectors]
            for v, (to, value) in enumerate(zip(self.vectors_at(place), own, strict=True)):
                self._store(to, value, v)

    def start(self) -> Function:
        """The function, with nothing in it."""
        return Function(f"micro{self.vectors}x{self.rows}", _MICRO)

    def mask_of(self, columns: Value) -> Value | None:
        """The lanes of the last vector that are there, where this matters."""
        return None

    def row_places(self, first: Value, stride: Value) -> list[Value]:
        """Where the rows of a tile lie."""
        places = [first]
        for _ in range(1, self.rows):
            places.append(self.function.offset(places[-1], stride))
        return places

    def table_places(self) -> list[Value]:
        """What the table says of the rows."""
        f = self.function
        return [f.load_integer(f.parameters[6], row) for row in range(self.rows)]

    def vectors_at(self, place: Value) -> list[Value]:
        """Addresses of the vectors from `place` on."""
        f, size = self.function, self.tile.vector_bytes
        return [f.offset(place, f.integer(size * v)) for v in range(self.vectors)]

    def load_row(self, place: Value) -> list[Value]:
        """The vectors of a row of b or c."""
        f, tile = self.function, self.tile
        *whole, last = self.vectors_at(place)
        row = [f.load(at, tile.compute, tile.lanes) for at in whole]
        if self.mask is None:
            return [*row, f.load(last, tile.compute, tile.lanes)]
        return [*row, f.load_lanes(last, tile.compute, self.mask)]

    def _store(self, place: Value, value: Value, vector: int) -> None:
        f, type_ = self.function, self.tile.compute
        if self.mask is None or vector < self.vectors - 1:
            f.store(place, value, type_)
        else:
            f.store_lanes(place, value, type_, self.mask)

    def add(self, a: Sequence[Value], b: Value, sums: Sequence[Value]) -> list[Value]:
        """Add one k: the numbers at addresses `a` times the row at `b`."""
        f, tile = self.function, self.tile
        row_b = self.load_row(b)
        after = []
        for row, place in enumerate(a):
            value = f.splat(f.load(place, tile.compute), tile.lanes)
            row_sums = sums[row * len(row_b) : (row + 1) * len(row_b)]
            after += [multiply_add(value, x, y) for x, y in zip(row_b, row_sums, strict=True)]
        return after

    def chains(self, sums: list[Value], c_out: Value, c_out_row: Value) -> list[Value]:
        """The sums after all k; the tile of A below this one is fetched bit by bit."""
        f = self.function
        a, _, count = f.parameters[:3]
        # Left to itself, strength reduction would chain the additions of one row to the next.
        starts = [f.opaque(f.offset(a, place)) for place in self.table_places()]
        below = f.offset(starts[0], self.strides["a_row"] * self.rows)

        def step(_: Value, state: list[Value]) -> list[Value]:
            at, along, ahead, *sums_now = state
            f.prefetch(ahead, 1)
            row_b = self.row_of_b(at)
            after = self.add([f.offset(start, along) for start in starts], row_b, sums_now)
            steps = [self.strides[name] for name in ("a_step", "a_ahead")]
            moved = (self.next_of_b(at), along + steps[0], f.offset(ahead, steps[1]))
            return [*moved, *after]

        first = [self.first_of_b(), f.integer(0), below]
        return f.loop(f.integer(0), count, 1, [*first, *sums], step)[3:]

    def first_of_b(self) -> Value:
        """What tells where the first row of b is."""
        return self.function.parameters[1]

    def row_of_b(self, at: Value) -> Value:
        """The address of the row that `at` tells."""
        return at

    def next_of_b(self, at: Value) -> Value:
        """What tells where the row after that is."""
        return self.function.offset(at, self.strides["b_step"])


class _Partial(_Micro):
    """A tile with as many rows as the last parameter says, and of the last vector as many lanes as
    there are columns.
    """

    def start(self) -> Function:
        return Function(f"micro{self.vectors}x{self.rows}", COLUMN)

    def mask_of(self, columns: Value) -> Value | None:
        lanes = self.tile.lanes
        if not self.tile.masks:
            return None
        return self.function.first_lanes(columns - lanes * (self.vectors - 1), lanes)

    def row_places(self, first: Value, stride: Value) -> list[Value]:
        """Where they lie; the last one stands for those that are not there."""
        f = self.function
        count = f.opaque(f.parameters[7])
        places = [first]
        for row in range(1, self.rows):
            places.append(f.offset(places[-1], select(count > row, stride, 0)))
        return places

    def table_places(self) -> list[Value]:
        f = self.function
        table, count = f.parameters[6:]
        rows = [smaller(f.integer(row), count - 1) for row in range(self.rows)]
        return [f.load(f.offset(table, row * 8), "i64") for row in rows]


class _Panel(_Micro):
    """The large tile over packed operands, fetching ahead.

    A's next tile follows this one in memory; B's next panel is fetched bit by bit, a share in
    each tile; so is the tile of C below this one.
    """

    def __init__(self, tile: Tile) -> None:
        super().__init__(tile, tile.vectors, tile.panel_rows)

    def start(self) -> Function:
        return Function("panel", _PANEL_PACKED)

    def chains(self, sums: list[Value], c_out: Value, c_out_row: Value) -> list[Value]:
        f, tile = self.function, self.tile
        a, b, count = f.parameters[:3]
        b_next, b_next_step = f.parameters[6:]
        ahead = f.integer(_AHEAD_BYTES)

        def fetch_row(_: Value, state: list[Value]) -> list[Value]:
            for place in self.vectors_at(state[0]):
                f.prefetch(place, 1, to_write=True)
            return [f.offset(state[0], c_out_row)]

        below = f.offset(c_out, c_out_row * self.rows)
        f.loop(f.integer(0), f.integer(self.rows), 1, [below], fetch_row)

        def step(_: Value, state: list[Value]) -> list[Value]:
            a_now, b_now, next_now, *sums_now = state
            for place in (a_now, *self.vectors_at(b_now)):
                f.prefetch(f.offset(place, ahead), 1)
            f.prefetch(next_now, 2)
            places = [f.offset(a_now, f.integer(tile.itemsize * row)) for row in range(self.rows)]
            after = self.add(places, b_now, sums_now)
            moved = (f.offset(a_now, f.integer(tile.a_row)), f.offset(b_now, f.integer(tile.b_row)))
            return [*moved, f.offset(next_now, b_next_step), *after]

        return f.loop(f.integer(0), count, 1, [a, b, b_next, *sums], step)[3:]


class _Runs(_Micro):
    """The tile, where b is not at even distances: a table says where, from `b` on, each k is."""

    def __init__(self, tile: Tile) -> None:
        super().__init__(tile, tile.vectors, tile.rows)

    def start(self) -> Function:
        return Function("runs", _MICRO_RUNS)

    def first_of_b(self) -> Value:
        return self.function.parameters[7]

    def row_of_b(self, at: Value) -> Value:
        f = self.function
        return f.opaque(f.offset(f.parameters[1], f.load(at, "i64")))

    def next_of_b(self, at: Value) -> Value:
        return self.function.offset(at, self.function.integer(8))


def run_functions(tile: Tile) -> list[Function]:
    """What multiplies by panels of b that are read where they are."""
    f = Function("column_runs", COLUMN_RUNS, cold=True)
    a, b, count, c_in, c_out, strides, table, rows, b_table = f.parameters
    known = load_strides(f, strides)

    def body(_: Value, state: list[Value]) -> list[Value]:
        a_now, in_now, out_now, table_now = state
        f.call("runs", (a_now, b, count, in_now, out_now, strides, table_now, b_table))
        return _moved(f, known, state, f.integer(tile.rows))

    f.loop(f.integer(0), rows, tile.rows, [a, c_in, c_out, table], body)
    return [_Runs(tile).function, f]


def _moved(f: Function, known: dict[str, Value], state: list[Value], rows: Value) -> list[Value]:
    """Places in a, c read, c written and the table, so many rows further down."""
    names = ("a_move", "c_in_row", "c_out_row", "table_move")
    return [f.offset(at, known[name] * rows) for at, name in zip(state, names, strict=True)]


def _column(tile: Tile) -> Function:
    """Run tiles down `rows` rows."""
    f = Function("column", COLUMN, cold=True)
    a, b, count, c_in, c_out, strides, table, rows = f.parameters
    known = load_strides(f, strides)
    low, narrow = (f"micro{vectors}x{most}" for vectors, most in _partial_tiles(tile))
    is_narrow = known["columns"] <= tile.lanes * (tile.vectors - 1)
    share = select(is_narrow, f.integer(tile.rows), tile.rows // 2)
    whole = select(known["columns"] == tile.columns, rows - rows % tile.rows, 0)

    def full(_: Value, state: list[Value]) -> list[Value]:
        a_now, in_now, out_now, table_now = state
        name = f"micro{tile.vectors}x{tile.rows}"
        f.call(name, (a_now, b, count, in_now, out_now, strides, table_now))
        return _moved(f, known, state, f.integer(tile.rows))

    def rest(row: Value, state: list[Value]) -> list[Value]:
        a_now, in_now, out_now, table_now = state
        height = smaller(rows - row, share)
        arguments = (a_now, b, count, in_now, out_now, strides, table_now, height)
        f.if_(is_narrow, partial(f.call, narrow, arguments))
        f.if_(~is_narrow, partial(f.call, low, arguments))
        return _moved(f, known, state, share)

    state = f.loop(f.integer(0), whole, tile.rows, [a, c_in, c_out, table], full)
    f.loop(whole, rows, share, state, rest)
    return f


def _column_packed(tile: Tile) -> Function:
    """Run the large tile down the rows; what is lower or not as wide goes the general way."""
    f = Function("column_packed", COLUMN_PACKED, cold=True)
    a, b, count, c_in, c_out, strides, table, rows, b_next = f.parameters
    known = load_strides(f, strides)
    is_full = known["columns"] == tile.columns
    a_tile = count * tile.a_row
    share = f.integer(tile.b_row * tile.panel_rows) / rows

    def body(row: Value, state: list[Value]) -> list[Value]:
        a_now, in_now, out_now, ahead = state
        height = smaller(rows - row, f.integer(tile.panel_rows))
        arguments = (a_now, b, count, in_now, out_now, strides)
        is_whole = is_full & (height == tile.panel_rows)
        f.if_(is_whole, lambda: f.call("panel", (*arguments, ahead, share)))
        f.if_(~is_whole, lambda: f.call("column", (*arguments, table, height)))
        c_steps = [known[name] * tile.panel_rows for name in ("c_in_row", "c_out_row")]
        steps = (a_tile, *c_steps, share * count)
        return [f.offset(place, step) for place, step in zip(state, steps, strict=True)]

    f.loop(f.integer(0), rows, tile.panel_rows, [a, c_in, c_out, b_next], body)
    return f
