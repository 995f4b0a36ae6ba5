"""Reductions across memory by a block, in the tree that all backends share.

A warp reads along memory, where neighbouring threads have neighbouring columns, as many as their
widest access holds. Each warp of the block takes every so many rows, and so has some lanes of the
tree for itself: it combines these, and hands what is left through shared memory to the first warp,
which combines the rest of the tree and tells all. So the bits are the CPU's.

Comes in: a kernel whose reductions run across memory, once for each unit. Goes out: how a block
takes it, and the text of the folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.fold import LANES, UNROLLED_COST, Fold, State, is_short, size_bytes, stored
from jitml.codegen.kernel import Axis, Kernel, Node, Store
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    barrier,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.vectors import vector_along
from jitml.scalar.value import Value, convert

WARP = 32
_MOST_WARPS = 16
_LEAST_ROWS = 4  # of a warp
_LEAST_COLUMNS = 16
_MOST_WORDS = 64  # of a thread's accumulators, of 4 bytes
_MOST_COST = 256  # instructions for a vector; more values at a time would not be in registers
_DEAR_COST = 64  # instructions for an element; threads of fewer warps have more registers
_ALIGNMENT = 128  # of shared memory: that of the widest vector


class Columns(NamedTuple):
    """A block's share: `warps` go along `axis`, each thread in vectors of `width` elements."""

    axis: Axis
    width: int
    warps: int


def is_long_fold(node: Node) -> bool:
    """Whether the accumulators of a reduction need more than a thread's registers."""
    return node.name == "reduce" and not is_short(node.data, _cost(node))


def find_columns(kernel: Kernel, is_aligned: bool) -> Columns | None:
    """How a block takes the kernel's reductions; None if each thread had better take its own."""
    nodes, outer = kernel.nodes(), set(kernel.live_outer())
    folds = [n for n in nodes if is_long_fold(n)]
    if not folds or any(n.name == "reduce" and not n.axes <= outer for n in nodes):
        return None
    if not all(n.data.runs_along_lanes for n in folds):
        return None
    fixed = {a for n in folds if n.data.limit is not None for a in n.data.limit.axes}
    axis = _column_axis(kernel, nodes)
    if axis is None or axis in fixed:
        return None
    warps = _warps(folds)
    width = _width(kernel, nodes, axis) if is_aligned else 1
    while width and not (axis.extent % width == 0 and _has_room(folds, width, warps)):
        width //= 2
    return Columns(axis, width, warps) if width else None


def _cost(fold: Node) -> int:
    """The instructions for an element of a reduction."""
    return sum(n.cost for n in fold.operands)


def _warps(folds: Sequence[Node]) -> int:
    """How many warps share the rows."""
    rows: int = min(n.data.axis.extent for n in folds)
    most = _MOST_WARPS if max(map(_cost, folds)) <= _DEAR_COST else _MOST_WARPS // 2
    return min(most, 1 << max(0, (rows // _LEAST_ROWS).bit_length() - 1))


def _width(kernel: Kernel, nodes: Sequence[Node], axis: Axis) -> int:
    """How many columns memory allows a thread to take."""
    if any(n.name in ("repeat", "rarely") for n in nodes):
        return 1
    loads = [n for n in nodes if n.name == "load"]
    return vector_along(axis, loads, _side_by_side(kernel, axis))


def _side_by_side(kernel: Kernel, axis: Axis) -> list[Store]:
    """The stores that are to be vectors: results of reductions may lie apart, which are few."""
    is_one = all(a.merged or a.extent == 1 for a in kernel.inner)
    return [s for s in kernel.stores if not is_one or s.index.coefficient(axis) == 1]


def _column_axis(kernel: Kernel, nodes: Sequence[Node]) -> Axis | None:
    """The axis of the units along which most loads lie side by side, of the last ones."""
    loads = [n.data.index for n in nodes if n.name == "load"]
    long = [a for a in kernel.live_outer() if a.extent >= _LEAST_COLUMNS]
    along = {a: sum(i.coefficient(a) == 1 for i in loads) for a in reversed(long)}
    axis = max(along, key=along.__getitem__, default=None)
    return axis if axis is not None and along[axis] else None


def _has_room(folds: Sequence[Node], width: int, warps: int) -> bool:
    """Whether a thread's accumulators and values are in registers, those of a block in memory."""
    for fold in folds:
        element = width * sum(size_bytes(t) for t in fold.data.types)
        own = _lanes(fold.data.axis) // warps
        is_small = own * element <= 4 * _MOST_WORDS
        is_small &= element * warps * WARP <= MOST_SHARED_BYTES
        if not is_small or (width > 1 and width * _cost(fold) > _MOST_COST):
            return False
    return True


def _lanes(axis: Axis) -> int:
    """How many lanes the tree over an axis has."""
    return min(LANES, 1 << (axis.extent - 1).bit_length())


class Block:
    """The threads that take a unit together, at a place of the nest."""

    def __init__(self, nest: Nest, columns: Columns) -> None:
        self.nest, self.columns = nest, columns
        self.emit = nest.emit
        self.threads = columns.warps * WARP
        self._memory_bytes = 0

    @property
    def lane(self) -> Value:
        """The number of this thread in its warp."""
        return convert(thread_number(self.emit) & (WARP - 1), "i64")

    @property
    def warp(self) -> Value:
        """The number of this thread's warp."""
        return convert(thread_number(self.emit) >> (WARP.bit_length() - 1), "i64")

    def rows(self, axis: Axis, body: Callable[[], None]) -> None:
        """A loop over all of `axis`, whose steps the warps share."""

        def one(index: Value, _: list[Value]) -> Sequence[Value]:
            with self.nest.at(axis, index, None):
                body()
            return []

        with self.nest.scope():
            extent = self.nest.frame.size(axis.extent)
            self.emit.loop(self.warp, extent, self.columns.warps, [], one)

    def write_node(self, nest: Nest, node: Node) -> object:
        """Write a node where the threads of a block take a unit."""
        return _ColumnFold(nest, node, self).run() if is_long_fold(node) else write_node(nest, node)

    def memory(self, types: Sequence[str], lanes: int) -> list[Value]:
        """Memory for a vector of each thread, of each of these types."""
        place, found = 0, []
        for type_ in types:
            start = self.nest.frame.number(place)
            found.append(self.emit.address(shared_memory(self.emit, "columns"), start, "u8"))
            place += self.threads * lanes * size_bytes(type_)
        self._memory_bytes = max(self._memory_bytes, place)
        return found

    def shared_memory(self) -> str:
        """The declaration of that memory."""
        return declare_shared("columns", self._memory_bytes, _ALIGNMENT)


class _ColumnFold(Fold):
    """One reduction, some lanes of its tree for each warp."""

    def __init__(self, nest: Nest, node: Node, block: Block) -> None:
        super().__init__(nest, node)
        self.block = block
        self.warps = block.columns.warps

    def run(self) -> State:
        axis = self.spec.axis
        assert axis is not None
        self.nest.prepare(self.elements)
        states = self._own_lanes(axis, self.extent(axis))
        while len(states) > 1:
            half = len(states) // 2
            states = [self.combine(a, b) for a, b in zip(states, states[half:], strict=False)]
        return self._joined(states[0])

    def _own_lanes(self, axis: Axis, extent: Value) -> list[State]:
        """The states of this warp's lanes: each has every so many rows."""
        lanes, parts = _lanes(axis), len(self.types)
        count = lanes // self.warps
        states = [self.identity(self.lanes) for _ in range(count)]
        first = [self.block.warp + k * self.warps for k in range(count)]
        whole = self.frame.number(0)

        def rows(base: Value, flat: State) -> State:
            found: State = []
            for k, place in enumerate(first):
                found += self._row(axis, base + place, flat[k * parts : (k + 1) * parts])
            return found

        # Else the rows of each lane have a loop.
        is_short = count * self.lanes * self.cost <= UNROLLED_COST
        if is_short and axis.extent >= lanes:
            whole = extent - (extent & (lanes - 1))
            with self.nest.scope():
                flat = self.emit.loop(
                    self.frame.number(0), whole, lanes, [x for s in states for x in s], rows
                )
            states = [flat[k * parts : (k + 1) * parts] for k in range(count)]
        if is_short and axis.extent % lanes == 0 and self.spec.limit is None:
            return states
        with self.nest.scope():
            return [
                self.emit.loop(
                    whole + place, extent, lanes, state, lambda at, now: self._row(axis, at, now)
                )
                for place, state in zip(first, states, strict=True)
            ]

    def _row(self, axis: Axis, at: Value, state: State) -> State:
        """A state after one more row."""
        with self.nest.scope(), self.nest.at(axis, at, None):
            return self.combine(state, [self.emit.splat(v, self.lanes) for v in self.element()])

    def _joined(self, own: State) -> State:
        """The states of all warps combined, which all threads get."""
        block, emit = self.block, self.emit
        memory = block.memory(self.types, self.lanes)

        def cells(warp: Value | int) -> list[Value]:
            place = (self.frame.number(0) + warp) * WARP + block.lane
            return [
                emit.address(m, place * self.lanes, stored(t))
                for m, t in zip(memory, self.types, strict=True)
            ]

        def read(warp: int) -> State:
            pairs = zip(cells(warp), self.types, strict=True)
            return [emit.load(cell, stored(t), self.lanes) for cell, t in pairs]

        def keep(warp: Value | int, state: State) -> None:
            for cell, value, type_ in zip(cells(warp), state, self.types, strict=True):
                emit.store(cell, value, stored(type_))

        def joined(first: int, apart: int) -> State:
            """The state of every so many warps from the first on."""
            if apart == self.warps:
                return read(first)
            return self.combine(joined(first, 2 * apart), joined(first + apart, 2 * apart))

        barrier(emit)  # what was here before has been read
        keep(block.warp, own)
        barrier(emit)
        emit.if_(block.warp == 0, lambda: keep(0, joined(0, 1)))
        barrier(emit)
        return read(0)
