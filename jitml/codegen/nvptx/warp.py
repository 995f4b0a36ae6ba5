"""Reductions along memory by the threads of a warp, and what else runs along it.

Comes in: a kernel whose reductions run along memory, once for each unit. Goes out: the text of
loops whose steps the threads share, by vectors where memory allows (the folds are `warp_fold`'s).
Values that several loops need stay in shared memory, each for the thread that made it, so that rows
are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jitml.codegen.fold import LANES, size_bytes
from jitml.codegen.kernel import Axis, Kernel, Reduce
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.vectors import Walk, walk_along
from jitml.codegen.row_buffer import loads_to_keep, nodes_to_keep
from jitml.scalar.value import Value, convert, select

WARP = 32
_ALIGNMENT = 128  # of shared memory: that of the widest vector


def suits_warps(kernel: Kernel) -> bool:
    """Whether a kernel's reductions run along memory over more than a warp, once for each unit."""
    nodes = kernel.nodes()
    outer = set(kernel.live_outer())
    folds = [n for n in nodes if n.name == "reduce" and n.data.axis is not None]
    longest = [n for n in folds if is_by_warp(n.data)]
    if not longest:
        return False
    if any(not n.axes <= outer for n in folds):
        return False
    axes = {n.data.axis for n in longest}
    loads = [n.data.index for n in nodes if n.name == "load" and n.axes & axes]
    along = sum(any(i.coefficient(a) in (1, 2) for a in axes) for i in loads)
    inner = [a for a in kernel.inner if not a.merged and a.extent != 1]
    stores_along = all(
        s.index.coefficient(inner[-1]) == 1 for s in kernel.stores if inner and inner[-1] in
        (s.index.axes | {a for n in s.roots for a in n.axes})
    )  # fmt: skip
    return 2 * along >= len(loads) and stores_along


def is_by_warp(spec: Reduce) -> bool:
    """Whether the tree of a reduction has all its lanes, and accumulators that move by shuffles."""
    axis = spec.axis
    return axis is not None and axis.extent > LANES // 2 and spec.runs_along_lanes


class Row(NamedTuple):
    """The elements of an axis, as the threads count them: from a sector's begin on, so that the
    first is number `begin`, and `end` is behind the last. If it `is_whole`, no vector is cut.
    """

    axis: Axis
    begin: Value
    end: Value
    is_whole: bool


class Warp:
    """The threads that take a unit together, at a place of the nest."""

    def __init__(self, nest: Nest, is_aligned: bool) -> None:
        self.nest = nest
        self.emit = nest.emit
        self.is_aligned = is_aligned
        self._row_bytes = self._turn_bytes = 0

    @property
    def lane(self) -> Value:
        """The number of this thread in its warp."""
        return convert(thread_number(self.emit) & (WARP - 1), "i64")

    def by_first_lane(self, body: Callable[[], None]) -> None:
        """Let one thread do it."""
        self.emit.if_(self.lane == 0, body)

    @contextmanager
    def along(self, axis: Axis) -> Iterator[int]:
        """Inside, loops over `axis` are in vectors of so many elements."""
        nest, width = self.nest, self._walk(axis).width
        before = nest.vector, nest.width
        nest.vector, nest.width = (axis, width) if width > 1 else (None, 1)
        try:
            yield width
        finally:
            nest.vector, nest.width = before

    def _walk(self, axis: Axis) -> Walk:
        return walk_along(self.nest.kernel, axis) if self.is_aligned else Walk(1)

    def row(self, axis: Axis, extent: Value, is_whole: bool) -> Row:
        """The elements of `axis` below `extent`; `is_whole`: these are whole vectors."""
        walk = self._walk(axis)
        if walk.start is None:
            return Row(axis, self.nest.frame.number(0), extent, is_whole)
        self.nest.prepare(walk.start.nodes)
        begin = self.nest.index_parts(walk.start)[0] & (walk.elements - 1)
        return Row(axis, begin, extent + begin, False)

    def loop(self, axis: Axis, body: Callable[[], None]) -> None:
        """A loop over all of `axis`, whose steps the threads share."""
        nest, extent = self.nest, self.nest.frame.size(axis.extent)
        with nest.scope(), self.along(axis) as width:
            row = self.row(axis, extent, axis.extent % width == 0)

            def turn(base: Value, _: list[Value]) -> Sequence[Value]:
                self.take(row, base, body)
                return []

            self.emit.loop(nest.frame.number(0), row.end, WARP * width, [], turn)

    def take(self, row: Row, base: Value, body: Callable[[], None]) -> None:
        """Run `body` for the elements of a turn that begins with number `base`: each thread takes
        a vector, and what is left of those that are cut at the ends, some take one by one.
        """
        nest, width = self.nest, self.nest.width
        at = base + self.lane * width

        def vector() -> None:
            with nest.at(row.axis, at - row.begin, width):
                body()

        fits = at + width <= row.end
        self.emit.if_(fits if row.is_whole else fits & (at >= row.begin), vector)
        if row.is_whole or width == 1:
            return
        number, is_there = self._cut(row)
        is_now = (number >= base) & (number < base + WARP * width)

        def one() -> None:
            with nest.at(row.axis, number - row.begin, 1):
                body()

        self.emit.if_(is_there & is_now, one)

    def _cut(self, row: Row) -> tuple[Value, Value]:
        """The number of the element of the first vector, or of the last, that is this thread's if
        the vector is cut; whether there is one. Vectors are no longer than half a warp.
        """
        width, lane = self.nest.width, self.lane
        first, last = row.begin & -width, row.end & -width
        is_cut = (first < row.begin) | (first + width > row.end)
        is_first = lane < width
        number = select(is_first, first, last) + (lane & (width - 1))
        is_there = select(is_first, is_cut, (last != first) & (lane < 2 * width))
        return number, is_there & (number >= row.begin) & (number < row.end)

    # ---- rows in shared memory -----------------------------------------------------------------

    def keep_rows(self, inner: Sequence[Axis]) -> None:
        """Keep what several loops over an axis need, as far as there is room. Where one of them is
        no warp's, each thread goes through the whole row by itself.
        """
        places: dict[int, tuple[Axis, Value]] = {}
        nest, specs = self.nest, [n.data for n in self.nest.nodes if n.name == "reduce"]
        folds = [s for s in specs if is_by_warp(s)]
        alone = {s.axis for s in specs if not is_by_warp(s)}
        axes = [a for a in dict.fromkeys([*inner[-1:], *(s.axis for s in folds)]) if a not in alone]
        most = MOST_SHARED_BYTES - max(self._bytes_of_turns(s) for s in folds)
        rows = shared_memory(self.emit, "rows")
        dear = list(nodes_to_keep(nest.kernel, nest.nodes, axes))
        for axis, node in [*loads_to_keep(nest.kernel, nest.nodes, axes), *dear]:
            walk = self._walk(axis)
            size = _room((axis.extent + walk.elements - 1) * size_bytes(node.type))
            if node.number not in places and self._row_bytes + size <= most:
                begin = self.emit.address(rows, nest.frame.number(self._row_bytes), "u8")
                row = self.row(axis, nest.frame.size(axis.extent), False)
                places[node.number] = (axis, self.emit.address(begin, row.begin, node.type))
                self._row_bytes += size
        nest.keep_in(places)

    def _bytes_of_turns(self, fold: Reduce) -> int:
        """What the threads hand each other in two turns of a fold."""
        assert fold.axis is not None
        with self.along(fold.axis) as width:
            return 2 * WARP * width * sum(map(size_bytes, fold.types))

    def turns(self, fold: Reduce) -> list[Value]:
        """Memory for that: for each of its scalars."""
        self._turn_bytes = max(self._turn_bytes, self._bytes_of_turns(fold))
        memory, place, found = shared_memory(self.emit, "turns"), 0, []
        for type_ in fold.types:
            found.append(self.emit.address(memory, self.nest.frame.number(place), "u8"))
            place += 2 * WARP * self.nest.width * size_bytes(type_)
        return found

    def shared_memory(self) -> str:
        """The declarations of the rows, and of turns."""
        sizes = {"rows": self._row_bytes, "turns": self._turn_bytes}
        return "".join(declare_shared(k, n, _ALIGNMENT) for k, n in sizes.items() if n)


def _room(row_bytes: int) -> int:
    """A little more, so that one text serves rows of several sizes."""
    step = max(512, 1 << (row_bytes.bit_length() - 3))
    return -(-row_bytes // step) * step
