"""Reductions along memory by the threads of a warp, and what else runs along it.

Comes in: a kernel whose reductions run along memory, once for each unit. Goes out: the text of
loops whose steps the threads share, by vectors where memory allows (the folds are `warp_fold`'s).
Values that several loops need stay in shared memory, each for the thread that made it, so that rows
are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from jitml.codegen.fold import LANES, size_bytes
from jitml.codegen.kernel import Axis, Kernel, Reduce
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.vectors import take_vector, vector_along
from jitml.codegen.row_buffer import loads_to_keep, nodes_to_keep
from jitml.scalar.value import Value, convert

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
        nest = self.nest
        before = nest.vector, nest.width
        width = vector_along(nest.kernel, axis) if self.is_aligned else 1
        nest.vector, nest.width = (axis, width) if width > 1 else (None, 1)
        try:
            yield width
        finally:
            nest.vector, nest.width = before

    def loop(self, axis: Axis, body: Callable[[], None]) -> None:
        """A loop over all of `axis`, whose steps the threads share."""
        nest, extent = self.nest, self.nest.frame.size(axis.extent)

        def one(index: Value, _: list[Value]) -> Sequence[Value]:
            with nest.at(axis, index, None):
                body()
            return []

        def vector(index: Value, _: list[Value]) -> Sequence[Value]:
            take_vector(nest, index, extent, axis.extent % nest.width == 0, body)
            return []

        with nest.scope(), self.along(axis) as width:
            step = vector if width > 1 else one
            self.emit.loop(self.lane * width, extent, WARP * width, [], step)

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
            size = _room(axis.extent * size_bytes(node.type))
            if node.number not in places and self._row_bytes + size <= most:
                begin = nest.frame.number(self._row_bytes)
                places[node.number] = (axis, self.emit.address(rows, begin, "u8"))
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
