"""Reductions along rows of memory, for some rows side by side.

A processor fetches ahead within a page of memory, and waits where the next one begins. Several rows
are several pages, which it fetches beside each other: long rows are read up to 1.6 times as fast.

Comes in: a kernel whose vectors run along rows that it reduces, and how one unit of it is written.
Goes out: code that does the first reduction of some rows together, then each row's unit, in which
`fold` finds the state. The order of each row's combinations is that of `fold`. While the units
compute, the next rows are fetched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.codegen.fold import LANES, MOST_REGISTER_BITS, UNROLLED_COST, Fold, stored
from jitml.codegen.kernel import Axis, Load, Node, post_order
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.codegen.row_buffer import nodes_to_keep
from jitml.scalar.value import BITS, Value, minimum

_MOST_ROWS = 4
_LONG_ROW = 1 << 12  # bytes: a page
_MUCH = 1 << 20  # bytes of all rows: more than what lies in caches near by
_LITTLE = 1 << 17  # bytes of the next rows: a nearby cache has room for them beside what is there
_ONE_BY_ONE = ("reduce", "state", "check", "repeat", "rarely")  # what is not written for many rows


class Rows(NamedTuple):
    """How many rows are reduced together, by which reduction, and what of the next rows is fetched
    meanwhile.
    """

    together: int
    reduction: Node
    fetched: list[Load]


def choose_rows(nest: Nest, outer: Sequence[Axis], inner: Sequence[Axis]) -> Rows | None:
    """Whether units, one for each position of the `outer` axes, begin with a long row to read."""
    axis = nest.vector
    reductions = [n for n in nest.nodes if n.name == "reduce" and n.data.axis is axis]
    if axis is None or not reductions or nest.width == 1 or axis.extent < LANES:
        return None
    first = min(reductions, key=lambda n: n.number)
    *below, _ = post_order(first, set())
    if not first.data.runs_along_lanes or first.data.limit is not None:
        return None
    if any(n.name in _ONE_BY_ONE for n in below):
        return None
    kept = {n.number for _, n in nodes_to_keep(nest.kernel, nest.nodes, inner)}
    if any(n.number in kept for n in below):  # the row's own loop is to keep them
        return None
    long = [n.data for n in below if n.name == "load" and _is_long(n.data, axis)]
    if not long:
        return None
    bits = LANES * sum(BITS[n.type] for n in first.operands)
    cost = LANES // nest.width * sum(n.cost for n in first.operands)
    rows = min(_MOST_ROWS, MOST_REGISTER_BITS // bits, 2 * UNROLLED_COST // max(1, cost))
    units = math.prod(a.extent for a in outer)
    if not 2 <= rows <= units // 2:
        return None
    apart = list({_row(x, axis): x for x in long}.values())
    is_little = rows * sum(_row_bytes(x, axis) for x in apart) <= _LITTLE
    return Rows(rows, first, apart if is_little and {axis}.issuperset(inner) else [])


def _is_long(load: Load, axis: Axis) -> bool:
    """Whether rows of what is read fill pages, and all of it more than a cache."""
    if load.index.values or load.index.coefficient(axis) != 1:
        return False
    size = _row_bytes(load, axis)
    others = (a.extent for a in load.index.axes if not a.merged and a is not axis)
    return size >= _LONG_ROW and size * math.prod(others) >= _MUCH


def _row(load: Load, axis: Axis) -> Any:
    """Equal for loads of elements of the same row, more or less."""
    return load.operand, load.index.key[::2], load.index.constant // axis.extent


def _row_bytes(load: Load, axis: Axis) -> int:
    return STORAGE_BITS[load.storage] // 8 * axis.extent


def write_rows(
    nest: Nest,
    rows: Rows,
    begin: Value,
    end: Value,
    locate: Callable[[Value], None],
    unit: Callable[[], None],
) -> None:
    """The units [begin, end); `locate` sets the positions of the outer axes for one of them."""
    emit, number, axis = nest.emit, nest.frame.number, rows.reduction.data.axis
    reduction = Fold(nest, rows.reduction)
    memory = [nest.frame.stack(8 * rows.together) for _ in reduction.types]

    def slots(row: Value) -> list[Value]:
        return [
            emit.address(m, row, stored(t)) for m, t in zip(memory, reduction.types, strict=True)
        ]

    def place(unit_number: Value) -> dict[Axis, Value]:
        before = dict(nest.position)
        locate(unit_number)
        found = {a: p for a, p in nest.position.items() if a not in before}
        for a in found:
            del nest.position[a]
        return found

    def beginning(load: Load) -> tuple[Value, str]:
        index, _, _ = nest.index_parts(load.index)
        return emit.address(nest.frame.pointers[load.operand], index, load.storage), load.storage

    def block(first: Value, _: list[Value]) -> Sequence[Value]:
        last = end - 1
        places = [place(minimum(first + k, last)) for k in range(rows.together)]
        for k, state in enumerate(reduction.along_rows(places)):
            for slot, value, type_ in zip(slots(number(k)), state, reduction.types, strict=True):
                emit.store(slot, value, stored(type_))

        def row(k: Value, _: list[Value]) -> Sequence[Value]:
            nest.folded[rows.reduction.number] = lambda: [
                emit.load(slot, stored(t), 1)
                for slot, t in zip(slots(k), reduction.types, strict=True)
            ]
            following = place(minimum(first + k + rows.together, last))
            with nest.placed({**following, axis: number(0)}):
                nest.ahead = [beginning(load) for load in rows.fetched]
            with nest.placed(place(first + k)):
                unit()
            nest.ahead = []
            nest.folded.clear()
            return []

        with nest.scope():
            emit.loop(number(0), minimum(end - first, number(rows.together)), 1, [], row)
        return []

    with nest.scope():
        emit.loop(begin, end, rows.together, [], block)
