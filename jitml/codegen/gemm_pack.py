"""Moving blocks of matrices between arrays and panels.

In: source and destination pointers, byte strides and extents. Out: LLVM functions that copy,
widen, transpose and pad (`pack_a`, `pack_panel`), or narrow and store (`unpack`). Packing never
changes a number's value; the packed B of a complex product has each row twice, as (re, im) and as
(-im, re). Nothing here knows blocks or threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jitml.codegen.gemm_function import Function
from jitml.codegen.gemm_types import GemmTypes
from jitml.scalar.value import Value, convert, select

# Destination, its row stride, source, its strides along rows and columns, rows, columns.
COPY = ("ptr", "i64", "ptr", "i64", "i64", "i64", "i64")
# Moves `lanes` consecutive numbers to a destination from a source.
_Move = Callable[[Function, Value, Value, int], None]


def pack_functions(types: GemmTypes) -> list[Function]:
    """The three copies with the helpers that they call."""
    wide = types.tile.itemsize * types.parts
    widen, narrow = partial(_widen, types), partial(_narrow, types)
    unpack_sizes = (types.result_bytes, wide)
    functions = [
        _clear(types),
        _copy_each("store_each", types, narrow, unpack_sizes),
        _copy_rows("unpack", types, narrow, unpack_sizes, "store_each"),
        *_copies("copy", types, widen, (wide, types.operand_bytes)),
        _pack("pack_a", types, "copy"),
    ]
    if not types.pairs:
        return [*functions, _copy_transposed(types), _pack("pack_panel", types, "copy")]
    turn = partial(_turn, types)
    turned = _copies("turn", types, turn, (wide, types.operand_bytes))
    return [*functions, *turned, _pack("pack_panel", types, "turn")]


def _copies(prefix: str, types: GemmTypes, move: _Move, sizes: tuple[int, int]) -> list[Function]:
    each = _copy_each(f"{prefix}_each", types, move, sizes)
    return [each, _copy_rows(f"{prefix}_rows", types, move, sizes, each.name)]


def _widen(types: GemmTypes, f: Function, to: Value, at: Value, lanes: int) -> None:
    value = f.load(at, types.operand, lanes)
    f.store(to, convert(value, types.compute), types.compute)


def _narrow(types: GemmTypes, f: Function, to: Value, at: Value, lanes: int) -> None:
    value = convert(f.load(at, types.compute, lanes), types.accumulate)
    kept = "f32" if types.result in ("f16", "bf16") else types.result
    f.store(to, convert(value, kept), types.result)


def _turn(types: GemmTypes, f: Function, to: Value, at: Value, lanes: int) -> None:
    """A row of pairs, and below it each pair times i."""
    value = convert(f.load(at, types.operand, lanes), types.compute)
    f.store(to, value, types.compute)
    swapped = f.shuffle(value, value, [lane ^ 1 for lane in range(lanes)])
    even = ", ".join(f"i1 {'false' if lane % 2 else 'true'}" for lane in range(lanes))
    turned = select(Value(f, "i1", lanes, f"<{even}>"), -swapped, swapped)
    panel_row = f.integer(types.tile.columns * types.tile.itemsize)
    f.store(f.offset(to, panel_row), turned, types.compute)


def _clear(types: GemmTypes) -> Function:
    """Zero a number of bytes, a multiple of the vector."""
    f = Function("clear", ("ptr", "i64"))
    to, size = f.parameters
    zero = f.constant(types.compute, 0, types.tile.lanes)

    def body(at: Value, _: list[Value]) -> list[Value]:
        f.store(f.offset(to, at), zero, types.compute)
        return []

    f.loop(f.integer(0), size, types.tile.vector_bytes, [], body)
    return f


def _copy_each(name: str, types: GemmTypes, move: _Move, sizes: tuple[int, int]) -> Function:
    """Element by element, with any strides; `sizes`: of a destination's and a source's element."""
    f = Function(name, COPY)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters

    def row(i: Value, _: list[Value]) -> list[Value]:
        to_now, at_now = f.offset(to, i * to_row), f.offset(at, i * at_row)

        def column(j: Value, _: list[Value]) -> list[Value]:
            place = f.offset(at_now, j * at_column)
            move(f, f.offset(to_now, j * sizes[0]), place, types.parts)
            return []

        f.loop(f.integer(0), columns, 1, [], column)
        return []

    f.loop(f.integer(0), rows, 1, [], row)
    return f


def _copy_rows(
    name: str, types: GemmTypes, move: _Move, sizes: tuple[int, int], rest_name: str
) -> Function:
    """Rows of consecutive elements, a vector at a time, then what is left of all rows."""
    f = Function(name, COPY)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters
    step = types.tile.lanes // types.parts
    rest = columns % step
    full = columns - rest

    def row(i: Value, _: list[Value]) -> list[Value]:
        to_now, at_now = f.offset(to, i * to_row), f.offset(at, i * at_row)

        def column(j: Value, _: list[Value]) -> list[Value]:
            place = f.offset(at_now, j * sizes[1])
            move(f, f.offset(to_now, j * sizes[0]), place, types.tile.lanes)
            return []

        f.loop(f.integer(0), full, step, [], column)
        return []

    f.loop(f.integer(0), rows, 1, [], row)
    to_rest, at_rest = f.offset(to, full * sizes[0]), f.offset(at, full * sizes[1])
    arguments = (to_rest, to_row, at_rest, at_row, at_column, rows, rest)
    f.if_(rest > 0, lambda: f.call(rest_name, arguments))
    return f


def _copy_transposed(types: GemmTypes) -> Function:
    """The source is consecutive along rows: square blocks turn in registers."""
    f = Function("copy_transposed", COPY)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters
    lanes, size = types.tile.lanes, types.tile.itemsize
    full_rows, full_columns = rows - rows % lanes, columns - columns % lanes

    def block(i: Value, j: Value) -> None:
        start = f.offset(f.offset(at, i * at_row), j * at_column)
        places = [f.offset(start, at_column * lane) for lane in range(lanes)]
        loaded = [f.load(place, types.operand, lanes) for place in places]
        turned = _transpose(f, [convert(value, types.compute) for value in loaded])
        target = f.offset(f.offset(to, i * to_row), j * size)
        for lane, value in enumerate(turned):
            f.store(f.offset(target, to_row * lane), value, types.compute)

    def row(i: Value, _: list[Value]) -> list[Value]:
        def column(j: Value, _: list[Value]) -> list[Value]:
            block(i, j)
            return []

        f.loop(f.integer(0), full_columns, lanes, [], column)
        return []

    def rest(i: Value, j: Value, height: Value, width: Value) -> None:
        to_rest = f.offset(f.offset(to, i * to_row), j * size)
        at_rest = f.offset(f.offset(at, i * at_row), j * at_column)
        f.call("copy_each", (to_rest, to_row, at_rest, at_row, at_column, height, width))

    f.loop(f.integer(0), full_rows, lanes, [], row)
    rest(full_rows, f.integer(0), rows - full_rows, columns)
    rest(f.integer(0), full_columns, full_rows, columns - full_columns)
    return f


def _transpose(f: Function, rows: list[Value]) -> list[Value]:
    """Transpose a square of lanes: swap off-diagonal blocks of half the size, log2 times."""
    lanes = len(rows)
    half = lanes // 2
    while half:
        low = [lane if not lane & half else lanes + lane - half for lane in range(lanes)]
        high = [lane + half if not lane & half else lanes + lane for lane in range(lanes)]
        after = list(rows)
        for i in range(lanes):
            if not i & half:
                after[i] = f.shuffle(rows[i], rows[i + half], low)
                after[i + half] = f.shuffle(rows[i], rows[i + half], high)
        rows = after
        half //= 2
    return rows


def _pack(name: str, types: GemmTypes, prefix: str) -> Function:
    """Choose the copy that suits the source's strides; zeros pad a panel that is too narrow."""
    f = Function(name, COPY)
    to, to_row, _, at_row, at_column, rows, columns = f.parameters
    if name == "pack_panel":
        narrow = columns < types.tile.columns // types.parts
        f.if_(narrow, lambda: f.call("clear", (to, rows * to_row)))
    along_rows = at_column == types.operand_bytes
    f.if_(along_rows, lambda: f.call(f"{prefix}_rows", f.parameters))
    scattered = ~along_rows
    if not types.pairs and types.tile.lanes > 1:
        along_columns = scattered & (at_row == types.operand_bytes)
        f.if_(along_columns, lambda: f.call("copy_transposed", f.parameters))
        scattered = scattered & ~along_columns
    f.if_(scattered, lambda: f.call(f"{prefix}_each", f.parameters))
    return f
