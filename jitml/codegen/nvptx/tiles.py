"""Transposes: kernels that read along one axis and write along another, by tiles of shared memory.

A block of 256 threads takes a square of elements: it reads rows of them, leaves these in shared
memory, and computes and writes along the other axis; both in vectors, where memory allows.

In shared memory a row is an array's row in groups of elements. Group g of row w takes the place of
group g ^ (w / width), so that a warp that writes rows finds its groups in different banks, and so
does one that reads columns: `together` vectors of `width` rows side by side, of as many columns as
make a warp, which are of one group. Rows of arrays that begin within a sector are taken from the
sector's begin on, as far as they lie in the tile, and what is before it last.

Comes in: a kernel of elementwise values and loads. Goes out: the two axes of its tiles, and the
text of a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jitml.codegen.kernel import Axis, Index, Kernel, Node
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    barrier,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.target import SECTOR_BYTES
from jitml.codegen.nvptx.vectors import is_multiple, vector_along
from jitml.scalar.value import Value, convert

THREADS = 256
_WARP = 32
_BANK_BYTES, _BANKS_BYTES = 4, 128  # of one bank, of all
_ROW_BYTES, _MOST_SIDE = 256, 64  # of a tile: long rows are few pieces of memory
_LEAST_EXTENT = 16


class Turn(NamedTuple):
    """The axis that is read along, the one that is written along, and the loads to turn."""

    read: Axis
    written: Axis
    loads: tuple[Node, ...]


def find_turn(kernel: Kernel) -> Turn | None:
    """The tiles of a kernel; None if it had better do without."""
    outer, nodes = kernel.live_outer(), kernel.nodes()
    if any(n.name in ("reduce", "check") for n in nodes):
        return None
    if any(not a.merged for a in kernel.inner):
        return None
    long = [a for a in outer if a.extent >= _LEAST_EXTENT]
    written = [a for a in long if all(s.index.coefficient(a) == 1 for s in kernel.stores)]
    if not written:
        return None
    loads = [n for n in nodes if n.name == "load"]
    for axis in long:
        turned = tuple(n for n in loads if _is_turned(n, axis, written[0]))
        if axis is not written[0] and turned and _side(turned):
            return Turn(axis, written[0], turned)
    return None


def _is_turned(node: Node, read: Axis, written: Axis) -> bool:
    """Whether elements of a load (or parts of complex ones) lie side by side along `read`, and
    apart along `written`.
    """
    index: Index = node.data.index
    group = 2 if node.data.is_part else 1
    return index.coefficient(read) == group and abs(index.coefficient(written)) > group


def _side(loads: Sequence[Node]) -> int:
    """The side of tiles of these loads; 0 if there is no room."""
    size, total = max(map(_size, loads)), sum(map(_size, loads))
    least = _BANKS_BYTES // size
    side = max(least, min(_MOST_SIDE, _ROW_BYTES // size))
    while side > least and total * side * side > MOST_SHARED_BYTES:
        side //= 2
    return side if total * side * side <= MOST_SHARED_BYTES else 0


def _size(node: Node) -> int:
    """The bytes of an element of a load."""
    return STORAGE_BITS[node.data.storage] // 8


class _Start(NamedTuple):
    """Where the rows along an axis begin, in elements, of which a sector has so many."""

    axis: Axis
    first: Index
    elements: int


class Tile:
    """Writes a tile, at a place of the nest that sets all other axes."""

    def __init__(self, nest: Nest, turn: Turn, is_aligned: bool) -> None:
        self.nest, self.turn = nest, turn
        self.emit = nest.emit
        self.side = _side(turn.loads)
        self.width = self._width(turn.written, is_aligned)
        self.read_width = min(self._width(turn.read, is_aligned), self.width)
        size = max(map(_size, turn.loads))
        group_bytes = max(self.read_width * size, _BANK_BYTES)
        self.together = min(_WARP, self.side // self.width, _BANKS_BYTES // group_bytes)

    def _width(self, axis: Axis, is_aligned: bool) -> int:
        """How many elements along one of the axes a thread takes."""
        turn, kernel = self.turn, self.nest.kernel
        if not is_aligned or any(n.name in ("repeat", "rarely") for n in self.nest.nodes):
            return 1
        others = [n for n in self.nest.nodes if n.name == "load" and n not in turn.loads]
        if axis is turn.read:
            width = vector_along(axis, turn.loads, ())
        else:
            width = vector_along(axis, others, kernel.stores)
        while axis.extent % width:
            width //= 2
        return width

    def counts(self) -> tuple[int, int]:
        """How many tiles there are along the axis that is read, and along the other."""
        read, written = (-(-a.extent // self.side) for a in self.turn[:2])
        return read, written

    def shared_memory(self) -> str:
        """The declarations of the tiles."""
        return "".join(
            declare_shared(f"tile{k}", self.side * self.side * _size(n))
            for k, n in enumerate(self.turn.loads)
        )

    def write(self, read: Value, written: Value, body: Callable[[], None]) -> None:
        """The tile that begins at these positions; `body` stores a vector."""
        first = {self.turn.read: read, self.turn.written: written}
        load, store = self.turn.loads[0].data, self.nest.kernel.stores[0]
        barrier(self.emit)
        with self._vectors(self.turn.read, self.read_width):
            start = self._start(load.index, load.storage, self.turn.read)
            self._each(first, self._along_row, start, self._keep)
        barrier(self.emit)

        def compute(row: Value, column: Value) -> None:
            for k, node in enumerate(self.turn.loads):
                self.nest.remember(node.number, self._column(k, node, row, column))
            body()

        with self._vectors(self.turn.written, self.width):
            start = self._start(store.index, store.storage, self.turn.written)
            self._each(first, self._along_column, start, compute)

    def _start(self, index: Index, storage: str, axis: Axis) -> _Start | None:
        """Where rows along an axis begin, unless that is at sectors."""
        start = index - Index(index.builder, ((axis, index.coefficient(axis)),))
        elements = SECTOR_BYTES * 8 // STORAGE_BITS[storage]
        is_known = index.coefficient(axis) == 1 and not index.values
        known = is_known and not is_multiple(start, elements)
        return _Start(axis, start, elements) if known else None

    @contextmanager
    def _vectors(self, axis: Axis, width: int) -> Iterator[None]:
        """Inside, vectors along `axis` have so many elements."""
        nest, before = self.nest, (self.nest.vector, self.nest.width, self.nest.lanes)
        nest.vector, nest.width, nest.lanes = (axis if width > 1 else None), width, width
        try:
            yield
        finally:
            nest.vector, nest.width, nest.lanes = before

    def _each(
        self,
        first: Mapping[Axis, Value],
        place: Callable[[Value], dict[Axis, Value]],
        start: _Start | None,
        body: Callable[[Value, Value], None],
    ) -> None:
        """Run `body` for this thread's vectors of the tile; `place` tells where each is by its
        number, if the rows that it is along `start` at sectors.
        """
        nest, (read, written, _) = self.nest, self.turn

        def step(number: Value, _: list[Value]) -> Sequence[Value]:
            inside = place(number)
            if start is not None:
                inside[start.axis] = self._shifted(inside, first, start)
            at = {axis: first[axis] + inside[axis] for axis in inside}

            def one() -> None:
                with nest.at(read, at[read], None), nest.at(written, at[written], None):
                    body(inside[written], inside[read])

            is_there = [at[axis] < nest.frame.size(axis.extent) for axis in at]
            self.emit.if_(is_there[0] & is_there[1], one)
            return []

        with nest.scope():
            thread = convert(thread_number(self.emit), "i64")
            count = nest.frame.number(self.side * self.side // nest.width)
            self.emit.loop(thread, count, THREADS, [], step)

    def _shifted(
        self, inside: Mapping[Axis, Value], first: Mapping[Axis, Value], start: _Start
    ) -> Value:
        """Where a vector is along the axis of `start`: as far before as its row begins behind a
        sector's begin, or at the row's end.
        """
        (across,) = {*inside} - {start.axis}
        with self.nest.at(across, first[across] + inside[across], None):
            behind = self.nest.index_parts(start.first)[0] & (start.elements - 1)
        return (inside[start.axis] - behind) & (self.side - 1)

    def _along_row(self, number: Value) -> dict[Axis, Value]:
        """Where a vector of the array that is read lies: row after row."""
        row, column = _divided(number, self.side // self.read_width)
        return {self.turn.written: row, self.turn.read: column * self.read_width}

    def _along_column(self, number: Value) -> dict[Axis, Value]:
        """Where a vector of what is written lies: some side by side, of some columns."""
        warp, lane = _divided(number, _WARP)
        column, beside = _divided(lane, self.together)
        down, right = _divided(warp, self.side // self.width // self.together)
        row = (right * self.together + beside) * self.width
        column = down * (_WARP // self.together) + column
        return {self.turn.written: row, self.turn.read: column}

    def _keep(self, row: Value, column: Value) -> None:
        self.nest.prepare(self.turn.loads)
        for k, node in enumerate(self.turn.loads):
            place = self._place(k, node, row, column)
            self.emit.store(place, self.nest.value(node), node.data.storage)

    def _column(self, number: int, node: Node, row: Value, column: Value) -> Value:
        """A vector down a column of a load's tile."""
        parts = [
            self.emit.load(self._place(number, node, row + k, column), node.data.storage)
            for k in range(self.width)
        ]
        if len(parts) == 1:
            return parts[0]
        vector = Value(self.emit, node.type, self.width, "poison")
        for k, part in enumerate(parts):
            vector = self.emit.insert(vector, part, k)
        return vector

    def _place(self, number: int, node: Node, row: Value, column: Value) -> Value:
        """Where an element of a load's tile lies."""
        size = _size(node)
        group = max(_BANKS_BYTES // (self.together * size), self.read_width)
        apart = min(self.together, self.side // group)
        at, inside = _divided(column, group)
        moved, _ = _divided(row, self.width)
        at = at ^ (moved & (apart - 1))
        tile = shared_memory(self.emit, f"tile{number}")
        return self.emit.address(tile, row * self.side + at * group + inside, node.data.storage)


def _divided(number: Value, divisor: int) -> tuple[Value, Value]:
    """Quotient and remainder by a power of two."""
    return number >> (divisor.bit_length() - 1), number & (divisor - 1)
