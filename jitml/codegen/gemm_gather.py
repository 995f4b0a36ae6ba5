"""Packing operands of which rows and k are several axes each, such as the windows of an image.

In: `Gather`, the axes of an operand with their strides. Out: the numbers that describe it to the
kernel (`gather_record`), and LLVM functions: `gather_table`, which finds where a K-block lies, and
`gather`, which packs a panel: panel[k, lane] = array[place of lane + place of k]. Nothing is
written but the panel, so windows never exist in memory. What reads the panels is not known here.

Where few columns use them, rows are not packed: of those whose k lie side by side in runs,
`gather_rows` says where each begins, and kernels read them there.

Memory is read along that axis, of k or of the lanes, which lies side by side over the longer run.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from jitml.codegen.gemm_function import Function, larger, smaller
from jitml.codegen.gemm_types import GemmTypes
from jitml.scalar.value import Value, convert, select

EACH, ALONG_DEPTH, ALONG_LANES = 0, 1, 2
# The elements of a record, before the pairs (extent, stride) of lanes and of k, innermost first.
_MODE, _LANE_RUN, _DEPTH_RUN, _LANE_AXES, _DEPTH_AXES, _PAIRS = range(6)
_LEAST_RUN = 3  # shorter runs are read element by element
_WAYS, _CACHE_WAY = 8, 4096  # lines that a cache holds of those so many bytes apart
# Destination, its row stride, the array, the record, the table of k, first lane, lanes, k, depth.
_GATHER = ("ptr", "i64", "ptr", "ptr", "ptr", "i64", "i64", "i64", "i64")
Axis = tuple[int, int]  # extent, and stride in elements


class Gather(NamedTuple):
    """The axes that count as rows (or columns) and those that count as k, outermost first."""

    lanes: tuple[Axis, ...]
    depth: tuple[Axis, ...]


def merged_axes(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The same places in the same order by fewer axes; at least one."""
    merged: list[Axis] = []
    for extent, stride in axes:
        if extent == 1:
            continue
        if merged and merged[-1][1] == stride * extent:
            merged[-1] = (merged[-1][0] * extent, stride)
        else:
            merged.append((extent, stride))
    return tuple(merged) or ((1, 0),)


def gather_record(gather: Gather, types: GemmTypes) -> tuple[int, ...]:
    """The numbers by which the kernels know an operand; its axes are merged."""
    lanes, depth = gather
    lane_run, depth_run = (axes[-1][0] if axes[-1][1] == 1 else 1 for axes in gather)
    is_wide = types.masks_operand
    mode = EACH
    if is_wide and depth_run >= max(_LEAST_RUN, min(lane_run, types.tile.lanes)):
        mode = ALONG_DEPTH
    elif is_wide and lane_run >= _LEAST_RUN:
        mode = ALONG_LANES
    lane_run = lane_run if mode == ALONG_LANES else 1
    depth_run = depth_run if mode == ALONG_DEPTH else 1
    lanes = lanes[:-1] if mode == ALONG_LANES else lanes
    depth = depth[:-1] if mode == ALONG_DEPTH else depth
    size = types.operand_bytes
    pairs = [
        number
        for extent, stride in (*reversed(lanes or ((1, 0),)), *reversed(depth or ((1, 0),)))
        for number in (extent, stride * size)
    ]
    counts = max(1, len(lanes)), max(1, len(depth))
    return (mode, lane_run, depth_run, *counts, *pairs)


def run_of_depth(gather: Gather, types: GemmTypes) -> int:
    """How many k lie side by side, where kernels read them so; else 1."""
    mode, _, run, *_ = gather_record(gather, types)
    return run if mode == ALONG_DEPTH else 1


def run_of_lanes(gather: Gather, types: GemmTypes) -> int:
    """How many lanes lie side by side, where kernels may read them there for each k; else 0.

    They may not where the rows for different k meet in few lines of a cache.
    """
    mode, run, *_ = gather_record(gather, types)
    meet = any(
        extent > _WAYS and stride * types.operand_bytes % _CACHE_WAY == 0
        for extent, stride in gather.depth
    )
    return run if mode == ALONG_LANES and not meet else 0


def table_entries(block_depth: int) -> int:
    """The most that `gather_table` writes for a K-block: runs may begin before and end after it."""
    return block_depth + 2


def gather_functions(types: GemmTypes) -> list[Function]:
    """`gather` and `gather_table`, with what they call."""
    functions = [_find_places(), _gather_table(), _gather_rows(), _gather_each(types)]
    functions.append(_find_lane(types))
    modes = {EACH: "gather_each"}
    if types.masks_operand:
        functions += [_gather_along_depth(types), _gather_along_lanes(types)]
        functions += [_gather_whole(types), _gather_piece(types)]
        modes |= {ALONG_DEPTH: "gather_along_depth", ALONG_LANES: "gather_along_lanes"}
    f = Function("gather", _GATHER, cold=True)
    wanted = f.load_integer(f.parameters[3], _MODE)
    for mode, name in modes.items():
        f.if_(wanted == mode, partial(f.call, name, f.parameters))
    return [*functions, f]


# ---- places --------------------------------------------------------------------------------------


def _find_places() -> Function:
    """Where the elements first … first + count - 1 of some axes lie, into a table."""
    f = Function("find_places", ("ptr", "ptr", "i64", "i64", "i64"), cold=True)
    table, axes, axis_count, first, count = f.parameters
    extent, stride = f.load_integer(axes, 0), f.load_integer(axes, 1)
    end = first + count

    def run(number: Value, _: list[Value]) -> list[Value]:
        def outer(axis: Value, state: list[Value]) -> list[Value]:
            rest, place = state
            pair = f.offset(axes, axis * 16)
            size, step = (f.load(f.offset(pair, f.integer(at)), "i64") for at in (0, 8))
            return [rest / size, place + rest % size * step]

        begin = number * extent
        state = [number, f.integer(0)]
        place = f.loop(f.integer(1), axis_count, 1, state, outer)[1]

        def element(index: Value, _: list[Value]) -> list[Value]:
            to = f.opaque(f.offset(table, (index - first) * 8))
            f.store(to, place + (index - begin) * stride, "i64")
            return []

        f.loop(larger(begin, first), smaller(begin + extent, end), 1, [], element)
        return []

    f.loop(first / extent, (end - 1) / extent + 1, 1, [], run)
    return f


def _axes_of(f: Function, record: Value, of_depth: bool) -> tuple[Value, Value]:
    """The pairs of the lanes' or of k's axes, and how many there are."""
    pairs = f.offset(record, f.integer(8 * _PAIRS))
    count = f.load_integer(record, _LANE_AXES)
    if not of_depth:
        return pairs, count
    return f.offset(pairs, count * 16), f.load_integer(record, _DEPTH_AXES)


def _gather_table() -> Function:
    """The places of the runs that the K-block from `start` on touches."""
    f = Function("gather_table", ("ptr", "ptr", "i64", "i64"), cold=True)
    table, record, start, depth = f.parameters
    run = f.load_integer(record, _DEPTH_RUN)
    first = start / run
    count = (start + depth - 1) / run + 1 - first
    f.call("find_places", (table, *_axes_of(f, record, True), first, count))
    return f


def _gather_rows() -> Function:
    """The places of some lanes, from `first` on."""
    f = Function("gather_rows", ("ptr", "ptr", "i64", "i64"), cold=True)
    table, record, first, count = f.parameters
    f.call("find_places", (table, *_axes_of(f, record, False), first, count))
    return f


def _find_lane(types: GemmTypes) -> Function:
    """The place of one lane."""
    f = Function("find_lane", ("ptr", "ptr", "i64"), cold=True)
    place, record, lane = f.parameters
    run = f.load_integer(record, _LANE_RUN)
    f.call("find_places", (place, *_axes_of(f, record, False), lane / run, f.integer(1)))
    first = f.effect(f"load i64, ptr {place.ref}, align 8", "i64")
    f.store(place, first + lane % run * types.operand_bytes, "i64")
    return f


def _places_of_lanes(
    f: Function, types: GemmTypes, record: Value, first: Value, count: Value
) -> Value:
    """A table with the places of a panel's lanes."""
    most = max(types.tile.columns, types.tile.panel_rows)
    table = f.effect(f"alloca [{most} x i64], align 8", "ptr")
    f.call("find_places", (table, *_axes_of(f, record, False), first, count))
    return table


# ---- packing -------------------------------------------------------------------------------------


def _gather_each(types: GemmTypes) -> Function:
    f = Function("gather_each", _GATHER)
    to, to_row, at, record, table, first, lanes, _, depth = f.parameters
    places = _places_of_lanes(f, types, record, first, lanes)
    size = types.tile.itemsize

    def lane(j: Value, _: list[Value]) -> list[Value]:
        source = f.offset(at, f.load(f.offset(places, j * 8), "i64"))

        def step(k: Value, state: list[Value]) -> list[Value]:
            place = f.offset(source, f.load(f.offset(table, k * 8), "i64"))
            value = convert(f.load(place, types.operand), types.compute)
            f.store(state[0], value, types.compute)
            return [f.offset(state[0], to_row)]

        f.loop(f.integer(0), depth, 1, [f.offset(to, j * size)], step)
        return []

    f.loop(f.integer(0), lanes, 1, [], lane)
    return f


def _gather_along_depth(types: GemmTypes) -> Function:
    """Each lane reads runs of k: squares turn in registers.

    A square at the end of a run writes rows beyond it, which the next run overwrites; behind the
    last K-block there is room. Where lanes end within a square, the last one is repeated.
    """
    f = Function("gather_along_depth", _GATHER, cold=True)
    to, to_row, at, record, table, first, lanes, start, depth = f.parameters
    places = _places_of_lanes(f, types, record, first, lanes)
    run = f.load_integer(record, _DEPTH_RUN)
    square, size = types.tile.block, types.tile.itemsize
    before = start % run
    runs = (before + depth - 1) / run + 1

    def one_run(number: Value, _: list[Value]) -> list[Value]:
        lower = larger(number * run - before, f.integer(0))
        count = smaller((number + 1) * run - before, depth) - lower
        place = f.load(f.offset(table, number * 8), "i64")
        source = f.offset(at, place + (lower + before - number * run) * size)
        target = f.offset(to, lower * to_row)

        def group(j: Value, _: list[Value]) -> list[Value]:
            ends = (f.offset(target, j * size), to_row, source, f.offset(places, j * 8))
            f.call("turn_squares", (*ends, lanes - j, count))
            return []

        f.loop(f.integer(0), lanes, square, [], group)
        return []

    f.loop(f.integer(0), runs, 1, [], one_run)
    return f


def _gather_along_lanes(types: GemmTypes) -> Function:
    """Each k reads runs of lanes: a panel's row is in one of them, or each of its vectors is put
    together of pieces.
    """
    f = Function("gather_along_lanes", _GATHER, cold=True)
    to, to_row, at, record, table, first, lanes, _, depth = f.parameters
    run = f.load_integer(record, _LANE_RUN)
    place = f.effect("alloca i64, align 8", "ptr")
    axes = _axes_of(f, record, False)
    width, size = types.tile.lanes, types.tile.itemsize

    def vector(j: Value, _: list[Value]) -> list[Value]:
        lower = first + j
        upper = first + smaller(j + width, lanes)

        def piece(number: Value, _: list[Value]) -> list[Value]:
            begin = number * run
            f.call("find_places", (place, *axes, number, f.integer(1)))
            source = f.offset(at, f.load(place, "i64") + (lower - begin) * size)
            ends = (larger(begin - lower, f.integer(0)), smaller(begin + run, upper) - lower)
            f.call("gather_piece", (f.offset(to, j * size), to_row, source, table, *ends, depth))
            return []

        f.loop(lower / run, (upper - 1) / run + 1, 1, [], piece)
        return []

    inside, columns = first % run, types.tile.columns
    is_whole = inside + columns <= run

    def whole() -> None:
        f.call("find_lane", (place, record, first))
        source = f.offset(at, f.load(place, "i64"))
        f.call("gather_whole", (to, to_row, source, table, depth))

    f.if_(is_whole, whole)
    f.loop(f.integer(0), select(is_whole, 0, lanes), width, [], vector)
    return f


def _gather_whole(types: GemmTypes) -> Function:
    """The rows of a panel of B, each of which lies in one run."""
    f = Function("gather_whole", ("ptr", "i64", "ptr", "ptr", "i64"))
    to, to_row, source, table, depth = f.parameters
    tile = types.tile

    def step(k: Value, state: list[Value]) -> list[Value]:
        place = f.offset(source, f.load(f.opaque(f.offset(table, k * 8)), "i64"))
        for v in range(tile.vectors):
            part = f.integer(v * tile.vector_bytes)
            value = f.load(f.offset(place, part), types.compute, tile.lanes)
            f.store(f.offset(state[0], part), value, types.compute)
        return [f.offset(state[0], to_row)]

    f.loop(f.integer(0), depth, 1, [to], step)
    return f


def _gather_piece(types: GemmTypes) -> Function:
    """The lanes from one number to another of a vector of each row."""
    f = Function("gather_piece", ("ptr", "i64", "ptr", "ptr", "i64", "i64", "i64"))
    to, to_row, source, table, lower, upper, depth = f.parameters
    width = types.tile.lanes
    mask = f.first_lanes(upper, width) & ~f.first_lanes(lower, width)

    def step(k: Value, state: list[Value]) -> list[Value]:
        place = f.offset(source, f.load(f.opaque(f.offset(table, k * 8)), "i64"))
        old = f.load(state[0], types.compute, width)
        value = select(mask, f.load_lanes(place, types.compute, mask), old)
        f.store(state[0], value, types.compute)
        return [f.offset(state[0], to_row)]

    f.loop(f.integer(0), depth, 1, [to], step)
    return f
