"""Reductions down the columns of memory, for a panel of columns at a time: row by row, with the
accumulators of the panel in the worker's scratch memory.

Comes in: a kernel whose vectors run across columns, and a loop over these. Goes out: code that
leaves the reductions' states in memory, where `fold` finds them. The order of each column's
combinations is that of `fold`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.fold import LANES, UNROLLED_COST, Fold, size_bytes, stored
from jitml.codegen.kernel import Axis, Node
from jitml.codegen.nest import Nest
from jitml.codegen.row_buffer import nodes_to_keep
from jitml.codegen.vectorize import UNITS_STEP
from jitml.scalar.value import Value, select

PANEL_BYTES = 1 << 17  # of a panel's accumulators: they stay in the second-level cache
ROWS = 4  # that go to the same accumulators, read at once
PANELS = 8  # at least, for a loop over columns is what threads share

Columns = Callable[[Value, Value, Callable[[], None]], None]  # from, to, what for each vector


class Panels(NamedTuple):
    """Reductions to be done in panels of `width` columns along `axis`."""

    axis: Axis
    width: int
    reductions: list[Node]


def choose_panels(
    nest: Nest, outer: Sequence[Axis], inner: Sequence[Axis], is_shared: bool
) -> Panels | None:
    """The panels for a loop over the vector axis, which threads may share, inside of loops over
    `outer` axes; None where not all that is reduced would be read row by row.
    """
    vector = nest.vector
    if vector is None or vector in inner:
        return None
    nodes = [n for n in nest.nodes if n.name == "reduce" and vector in n.axes]
    if not nodes or any(nodes_to_keep(nest.kernel, nest.nodes, inner)):
        return None
    bound = {vector, *outer}
    for node in nodes:
        spec = node.data
        if spec.axis in (None, vector) or spec.lanes is None:
            return None
        if spec.axis.extent < 2 * LANES or not bound.issuperset(_real(node.axes)):
            return None
    loads = [n for n in nest.nodes if n.name == "load" and vector in n.axes]
    if any(n.data.index.values or n.data.index.coefficient(vector) != 1 for n in loads):
        return None
    sizes = [sum(size_bytes(e.type) for e in n.operands) for n in nodes]
    most = PANEL_BYTES // (LANES * max(sizes))
    width = min(most, -(-vector.extent // (PANELS if is_shared else 1)))
    return Panels(vector, -(-width // UNITS_STEP) * UNITS_STEP, nodes)


def _real(axes: frozenset[Axis]) -> set[Axis]:
    return {a for a in axes if not a.merged and a.extent != 1}


def write_panels(
    nest: Nest,
    panels: Panels,
    lower: Value,
    upper: Value,
    columns: Columns,
    body: Callable[[Value, Value], None],
) -> None:
    """For each panel of the columns [lower, upper): its reductions, then `body`; `columns` runs
    something for each vector of some columns.
    """

    def panel(first: Value, _: list[Value]) -> Sequence[Value]:
        behind = first + panels.width
        end = select(behind < upper, behind, upper)
        with nest.scope():
            for node in panels.reductions:
                reduction = _Reduction(nest, node, panels, first, end, columns)
                reduction.write()
                nest.folded[node.number] = reduction.state
            body(first, end)
            nest.folded.clear()
        return []

    with nest.scope():
        nest.emit.loop(lower, upper, panels.width, [], panel)


class _Reduction:
    """Writes a reduction for the columns from `first` to `end`."""

    def __init__(
        self, nest: Nest, node: Node, panels: Panels, first: Value, end: Value, columns: Columns
    ) -> None:
        self.nest, self.node, self.panels = nest, node, panels
        self.first, self.end, self._columns = first, end, columns
        self.axis: Axis = node.data.axis
        self.types = Fold(nest, node).types
        sizes = [LANES * panels.width * size_bytes(t) for t in self.types]
        self.memory = [nest.frame.scratch(size) for size in sizes]

    def write(self) -> None:
        """Leave the states in the first row of accumulators."""
        emit, number = self.nest.emit, self.nest.frame.number
        self.nest.prepare(self.node.operands)
        together = self._together()
        span, extent = number(together * LANES), Fold(self.nest, self.node).extent(self.axis)
        rest = extent - (extent & (together * LANES - 1))

        def block(begin: Value, _: list[Value]) -> Sequence[Value]:
            self._rows(begin, begin + LANES, together)
            return []

        def quarter(number_: Value, _: list[Value]) -> Sequence[Value]:
            self._quarter(number(LANES) >> (number_ * 2))
            return []

        # Where rows may be few, the accumulators start empty.
        is_full = self.node.data.limit is None
        self._rows(number(0), number(LANES), together if is_full else 0, starts=True)
        with self.nest.scope():
            emit.loop(span if is_full else number(0), rest, together * LANES, [], block)
        self._rows(rest, extent, 1)
        with self.nest.scope():
            emit.loop(number(1), number(LANES.bit_length() // 2 + 1), 1, [], quarter)

    def _together(self) -> int:
        """How many rows with the same accumulators are read at once."""
        cost = sum(n.cost for n in self.node.operands) + 4
        count = ROWS
        while count > 1 and (count * cost > UNROLLED_COST or count * LANES > self.axis.extent):
            count //= 2
        return count

    def _quarter(self, count: Value) -> None:
        """Combine the halves of 4 · `count` rows of accumulators, and the halves of these."""

        def row(index: Value, _: list[Value]) -> Sequence[Value]:
            self.columns(lambda: self._combine_rows([index + count * k for k in range(4)]))
            return []

        self.nest.emit.loop(self.nest.frame.number(0), count, 1, [], row)

    def columns(self, body: Callable[[], None]) -> None:
        self._columns(self.first, self.end, body)

    def _rows(self, lower: Value, upper: Value, together: int, starts: bool = False) -> None:
        """Combine the accumulators of rows, which start there or have been stored, with `together`
        rows that have the same ones.
        """

        def row(index: Value, _: list[Value]) -> Sequence[Value]:
            self.columns(lambda: self._cell(index, together, starts))
            return []

        with self.nest.scope():
            self.nest.emit.loop(lower, upper, 1, [], row)

    def _cell(self, row: Value, together: int, starts: bool) -> None:
        fold, slot = Fold(self.nest, self.node), row & (LANES - 1)
        state = fold.identity(fold.lanes) if starts else self._read(slot)
        for k in range(together):
            with self.nest.scope(), self.nest.at(self.axis, row + k * LANES, None):
                state = fold.append(state, fold.element())
        self._write(slot, state)

    def _combine_rows(self, rows: Sequence[Value]) -> None:
        fold = Fold(self.nest, self.node)
        a, b, c, d = (self._read(row) for row in rows)
        self._write(rows[0], fold.combine(fold.combine(a, c), fold.combine(b, d)))

    def state(self) -> list[Value]:
        """The state of the columns at this place, when it has been written."""
        return self._read(self.nest.frame.number(0))

    def _read(self, slot: Value) -> list[Value]:
        lanes = self.nest.lanes
        places = zip(self.memory, self.types, strict=True)
        return [self.nest.emit.load(self._place(m, t, slot), stored(t), lanes) for m, t in places]

    def _write(self, slot: Value, state: list[Value]) -> None:
        for m, t, value in zip(self.memory, self.types, state, strict=True):
            self.nest.emit.store(self._place(m, t, slot), value, stored(t))

    def _place(self, memory: Value, type_: str, slot: Value) -> Value:
        column = self.nest.position[self.panels.axis] - self.first
        return self.nest.emit.address(memory, slot * self.panels.width + column, stored(type_))
