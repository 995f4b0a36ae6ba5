"""Moving blocks of matrices between arrays and panels.

In: source and destination pointers, byte strides and extents. Out: LLVM functions that copy,
widen, transpose and pad (`pack_a`, `pack_panel`), or narrow and store (`store_rows`). Packing never
changes a number's value; the packed B of a complex product has each row twice, as (re, im) and as
(-im, re). Panels that are too narrow are padded only where the micro-kernels have no masks. Nothing
here knows blocks or threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jitml.codegen.gemm_function import Function, smaller
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.square import transposed
from jitml.scalar.value import Value, convert, select

# Destination, its row stride, source, its strides along rows and columns, rows, columns.
COPY = ("ptr", "i64", "ptr", "i64", "i64", "i64", "i64")
# Destination, its row stride, a base, offsets from it, how many of them, elements at each.
TURN = ("ptr", "i64", "ptr", "ptr", "i64", "i64")
# How far along each column a transposing copy fetches ahead.
_AHEAD_BYTES = 512
_AHEAD_ROWS = 16
# Moves `lanes` consecutive numbers to a destination from a source.
_Move = Callable[[Function, Value, Value, int], None]


def pack_functions(types: GemmTypes) -> list[Function]:
    """`pack_a`, `pack_panel` and `store_rows` with what they call."""
    size, wide = types.operand_bytes // types.parts, types.tile.itemsize
    widen = partial(_widen, types)
    results = (types.result_bytes, wide * types.parts)
    functions = [*_copies("copy", types, widen, (wide, size), 1), _turn_squares(types)]
    functions += [_copy_transposed(types), _pack(types)]
    if not types.tile.masks:
        functions.append(_clear(types))
    if types.holds:
        functions += _copies("store", types, partial(_narrow, types), results, types.parts)
    if not types.pairs:
        return [*functions, _pack_b(types)]
    pair = 2 * size
    return [
        *functions,
        _copy_each("split_each", partial(_split, types), (wide, pair), 2),
        *_copies("turn", types, partial(_turn, types), (2 * wide, pair), 2),
        _pack_pairs(types),
        _pack_b(types),
    ]


def _copies(
    prefix: str, types: GemmTypes, move: _Move, sizes: tuple[int, int], parts: int
) -> list[Function]:
    lanes = types.tile.block
    each = _copy_each(f"{prefix}_each", move, sizes, parts)
    return [each, _copy_rows(f"{prefix}_rows", move, sizes, (lanes, parts), each.name)]


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
    panel_row = f.integer(types.tile.b_row)
    f.store(f.offset(to, panel_row), turned, types.compute)


def _split(types: GemmTypes, f: Function, to: Value, at: Value, lanes: int) -> None:
    """The parts of one complex number, in two rows of a panel of A."""
    value = convert(f.load(at, types.operand, lanes), types.compute)
    for part in range(lanes):
        place = f.offset(to, f.integer(part * types.tile.a_row))
        f.store(place, f.extract(value, part), types.compute)


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


def _copy_each(name: str, move: _Move, sizes: tuple[int, int], parts: int) -> Function:
    """Element by element; `sizes`: of a destination's element and of the source's."""
    f = Function(name, COPY)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters

    def row(i: Value, _: list[Value]) -> list[Value]:
        to_now, at_now = f.offset(to, i * to_row), f.offset(at, i * at_row)

        def column(j: Value, _: list[Value]) -> list[Value]:
            move(f, f.offset(to_now, j * sizes[0]), f.offset(at_now, j * at_column), parts)
            return []

        f.loop(f.integer(0), columns, 1, [], column)
        return []

    f.loop(f.integer(0), rows, 1, [], row)
    return f


def _copy_rows(
    name: str, move: _Move, sizes: tuple[int, int], group: tuple[int, int], rest_name: str
) -> Function:
    """Rows of consecutive elements, a vector at a time, then what is left of all rows."""
    f = Function(name, COPY)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters
    lanes, parts = group
    rest = columns % (lanes // parts)
    full = columns - rest

    def row(i: Value, _: list[Value]) -> list[Value]:
        to_now, at_now = f.offset(to, i * to_row), f.offset(at, i * at_row)

        def column(j: Value, _: list[Value]) -> list[Value]:
            target, source = f.offset(to_now, j * sizes[0]), f.offset(at_now, j * sizes[1])
            f.prefetch(f.offset(source, at_row * _AHEAD_ROWS), 1)
            move(f, target, source, lanes)
            return []

        f.loop(f.integer(0), full, lanes // parts, [], column)
        return []

    f.loop(f.integer(0), rows, 1, [], row)
    to_rest, at_rest = f.offset(to, full * sizes[0]), f.offset(at, full * sizes[1])
    arguments = (to_rest, to_row, at_rest, at_row, at_column, rows, rest)
    f.if_(rest > 0, lambda: f.call(rest_name, arguments))
    return f


def _turn_squares(types: GemmTypes) -> Function:
    """Transpose `count` consecutive elements from each of some places, which lie at offsets from a
    base, to rows: squares turn in registers.

    The first `lanes` offsets count, the last one of them for the rest of the square. Where elements
    can be masked, `count` may be any number, but the last square writes whole rows; panels have
    room for that.
    """
    f = Function("turn_squares", TURN)
    to, to_row, base, offsets, lanes, count = f.parameters
    square, size = types.tile.block, types.operand_bytes // types.parts
    numbers = [smaller(f.integer(lane), lanes - 1) for lane in range(square)]
    # Left to itself, strength reduction would take long over all these addresses.
    places = [f.opaque(f.offset(base, f.load(f.offset(offsets, n * 8), "i64"))) for n in numbers]

    def turn(k: Value, _: list[Value]) -> list[Value]:
        now = f.opaque(k * size)
        at = [f.offset(place, now) for place in places]
        for place in at:
            f.prefetch(f.offset(place, f.integer(_AHEAD_BYTES)), 1)
        if types.masks_operand:
            mask = f.first_lanes(count - k, square)
            rows = [f.load_lanes(place, types.compute, mask) for place in at]
        else:
            rows = [convert(f.load(p, types.operand, square), types.compute) for p in at]
        row_place = f.opaque(f.offset(to, k * to_row))
        for value in transposed(f, rows):
            f.store(row_place, value, types.compute)
            row_place = f.offset(row_place, to_row)
        return []

    f.loop(f.integer(0), count, square, [], turn)
    return f


def _copy_transposed(types: GemmTypes) -> Function:
    """The source is consecutive along rows. Where fewer columns are left than a square has, the
    last one is repeated; panels are wide enough for that.
    """
    f = Function("copy_transposed", COPY, cold=True)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters
    lanes, size = types.tile.block, types.tile.itemsize
    full = rows - rows % lanes
    offsets = f.effect(f"alloca [{lanes} x i64], align 8", "ptr")
    for lane in range(lanes):
        f.store_integer(offsets, lane, at_column * lane)

    def column(j: Value, _: list[Value]) -> list[Value]:
        base, target = f.offset(at, j * at_column), f.offset(to, j * size)
        f.call("turn_squares", (target, to_row, base, offsets, columns - j, full))
        return []

    f.loop(f.integer(0), columns, lanes, [], column)
    to_rest, at_rest = f.offset(to, full * to_row), f.offset(at, full * at_row)
    f.call("copy_each", (to_rest, to_row, at_rest, at_row, at_column, rows - full, columns))
    return f


def _pack(types: GemmTypes) -> Function:
    """Numbers (not pairs): choose the copy that suits the source's strides."""
    f = Function("pack_a" if not types.pairs else "pack_numbers", COPY, cold=True)
    _, _, _, at_row, at_column, _, _ = f.parameters
    size = types.operand_bytes // types.parts
    along_rows = at_column == size
    f.if_(along_rows, lambda: f.call("copy_rows", f.parameters))
    along_columns = ~along_rows & (at_row == size)
    if types.tile.lanes > 1:
        f.if_(along_columns, lambda: f.call("copy_transposed", f.parameters))
    f.if_(~(along_rows | along_columns), lambda: f.call("copy_each", f.parameters))
    return f


def _pack_pairs(types: GemmTypes) -> Function:
    """Pack complex A: pairs that follow each other along k are as many numbers."""
    f = Function("pack_a", COPY, cold=True)
    to, to_row, at, at_row, at_column, rows, columns = f.parameters
    is_dense = at_row == types.operand_bytes
    part = f.integer(types.operand_bytes // 2)
    numbers = (to, to_row >> 1, at, part, at_column, rows * 2, columns)
    f.if_(is_dense, lambda: f.call("pack_numbers", numbers))
    f.if_(~is_dense, lambda: f.call("split_each", f.parameters))
    return f


def _pack_b(types: GemmTypes) -> Function:
    """Pack a panel of B; without masks, one that is too narrow is filled up with zeros."""
    f = Function("pack_panel", COPY, cold=True)
    to, to_row, _, _, at_column, rows, columns = f.parameters
    if not types.tile.masks:
        narrow = columns < types.tile.columns // types.parts
        f.if_(narrow, lambda: f.call("clear", (to, rows * to_row)))
    if not types.pairs:
        f.call("pack_a", f.parameters)
        return f
    along_rows = at_column == types.operand_bytes
    f.if_(along_rows, lambda: f.call("turn_rows", f.parameters))
    f.if_(~along_rows, lambda: f.call("turn_each", f.parameters))
    return f
