"""Kernels to LLVM text for a CPU: the order of the loops, and how their units are shared out.

Comes in: a `Kernel`. Goes out: the text of one function of the kernel ABI, the `sizes` it is to be
called with, and how its units are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jitml.codegen.fold import pieces
from jitml.codegen.frame import Frame
from jitml.codegen.kernel import Axis, Index, Kernel, Store
from jitml.codegen.memory import store_all
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.panels import Panels, choose_panels, write_panels
from jitml.codegen.rows import choose_rows, write_rows
from jitml.codegen.segments import Segment, segments, usual_segment
from jitml.codegen.sharing import instructions
from jitml.codegen.target import Target
from jitml.codegen.tiles import TILES, Tiling, choose_tiling, write_tiles
from jitml.codegen.vectorize import UNITS_STEP
from jitml.scalar.value import Value, maximum, minimum

LONG_ROW = 16  # vectors; in so long a row it pays to begin with a part of one
MOST_IN_REST = 400  # instructions for the elements of a row that fill no whole vector
CHUNK_COST = 1 << 16  # instructions that one chunk of parallel work should have at least
_ACCESS = 4  # instructions in whose time a load or store is done, most often from beyond L1


@dataclass(frozen=True)
class KernelText:
    """LLVM text of a kernel (its function is named `kernel`) and how one call of it is made.

    `work_ns` is a rough estimate, for kernels whose time does not show in the bytes they touch.
    `elements_per_unit` is for kernels that run through elements in order; 0 for others. A call for
    some of the units begins and ends, but for the last unit, with a multiple of `step`.
    `instructions` is about how many a call takes, where that is known.
    """

    text: str
    sizes: tuple[int, ...]
    extent: int
    grain: int
    scratch_bytes: int
    work_ns: int = 0
    elements_per_unit: int = 0
    instructions: int = 0
    step: int = 1


def emit_kernel(kernel: Kernel, target: Target) -> KernelText:
    """Compile a kernel to LLVM text."""
    frame = Frame(target, len(kernel.operands))
    nest = Nest(kernel, frame, target, write_node)
    unit_axes, step = Loops(nest).write_units()
    text = frame.finish(has_checks=any(n.name == "check" for n in nest.nodes))
    extent = math.prod(a.extent for a in unit_axes)
    cost = _unit_cost(nest, set(unit_axes))
    grain = _grain(kernel, extent, cost, step)
    outer = kernel.live_outer()
    in_order = unit_axes == outer[: len(unit_axes)]
    elements = math.prod(a.extent for a in outer[len(unit_axes) :]) if in_order else 0
    return KernelText(
        text,
        tuple(frame.sizes),
        extent,
        grain,
        frame.scratch_bytes,
        elements_per_unit=elements,
        instructions=int(extent * cost),
        step=step,
    )


def _unit_cost(nest: Nest, unit_axes: set[Axis]) -> float:
    """About how many instructions one unit takes."""

    def times(axes: frozenset[Axis]) -> float:
        steps = math.prod(a.extent for a in axes if not a.merged and a not in unit_axes)
        return steps / nest.width if nest.vector in axes else steps

    total = sum(_ACCESS * times(s.index.axes) for s in nest.kernel.stores)
    for node in nest.nodes:
        if node.name not in ("constant", "size", "index", "state", "reduce", "rarely"):
            cost = _ACCESS if node.name == "load" else instructions(node)
            total += cost * times(node.axes)
    return total


def _grain(kernel: Kernel, extent: int, cost_per_unit: float, step: int) -> int:
    """Units in a chunk of parallel work: by cost, in whole steps; 0 where it must or may be one
    chunk.
    """
    if extent * cost_per_unit < 2 * CHUNK_COST or any(s.combine for s in kernel.stores):
        return 0
    grain = max(1, int(CHUNK_COST / cost_per_unit))
    return (grain + step - 1) // step * step


def _size(nest: Nest) -> int:
    """How many instructions the text of a nest has if each node is written once."""
    return sum(map(instructions, nest.nodes))


def _ahead(index: Index, axis: Axis, first: int, width: int) -> int | None:
    """How many positions from the `first` on it is to one where an index is a multiple of `width`,
    if it is the same number at all positions of the other axes.
    """
    others = [c for a, c in index.terms if a is not axis]
    is_plain = index.coefficient(axis) == 1 and not index.values
    if not is_plain or any(c % width for c in others):
        return None
    return -(index.constant + first) % width


class Loops:
    """The loops around a kernel's nodes."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.kernel = nest.kernel
        self.roots = [n for s in nest.kernel.stores for n in s.early]
        self.is_rare = False  # what is written now: little time, so short text

    def write_units(self) -> tuple[list[Axis], int]:
        """Write the loop over units [begin, end): the axes that it runs over, the step of
        chunks.
        """
        nest = self.nest
        begin, end = (Value(nest.emit, "i64", 1, f"%{name}") for name in ("begin", "end"))
        outer = self.kernel.live_outer()
        vector = nest.vector if nest.vector in outer else None
        others = [a for a in outer if a is not vector]
        count = math.prod(a.extent for a in others)
        if vector is not None and (not others or (count < 16 and vector.extent >= 2048)):
            panels = choose_panels(nest, others, self._inner(), True)
            self._nest(others, lambda: self._columns(vector, panels, begin, end))
            return [vector], panels.width if panels else UNITS_STEP
        if not outer:
            self.unit()
            return [], 1
        tiling = choose_tiling(self.kernel, nest)
        if tiling is not None:
            return self._write_tiles(tiling, others, begin, end), 1

        panels = choose_panels(nest, others, self._inner(), False)

        def unit(number: Value, _: list[Value]) -> Sequence[Value]:
            self.locate(others, number)
            if vector is None:
                self.unit()
            elif panels is None:
                self._usually(others, lambda: self._row(vector))
            else:
                nest.prepare(self.roots)
                self._columns(vector, panels, nest.frame.number(0), nest.frame.size(vector.extent))
            return []

        nest.prepare(self.roots)
        rows = choose_rows(nest, others, self._inner()) if vector is None else None
        if rows is not None:
            write_rows(nest, rows, begin, end, lambda n: self.locate(others, n), self.unit)
            return others, rows.together
        with nest.scope():
            nest.emit.loop(begin, end, 1, [], unit)
        return others, 1

    def _row(self, vector: Axis) -> None:
        """Everything for one position of the axes around the vector axis."""
        self.nest.prepare(self.roots)
        self._whole_axis(vector, self.unit)

    def _usually(self, axes: Sequence[Axis], body: Callable[[], None]) -> None:
        """Run `body`, written once more for where the comparisons with the positions along `axes`
        are what they are in most places.
        """
        nest = self.nest
        found = [(axis, usual_segment(axis, nest.nodes)) for axis in axes]
        usual = [(axis, segment) for axis, segment in found if segment is not None]
        if not usual:
            body()
            return
        known = {n: holds for _, segment in usual for n, holds in segment.known.items()}
        constants = {n: nest.emit.constant("i1", holds) for n, holds in known.items()}
        inside = nest.emit.constant("i1", True)
        for axis, segment in usual:
            position, first = nest.position[axis], nest.frame.size(segment.first)
            inside = inside & (position >= first) & (position < nest.frame.size(segment.end))

        def where_usual() -> None:
            with nest.placed({}, constants):
                body()

        def elsewhere() -> None:
            self.is_rare = True
            with nest.scope():
                body()
            self.is_rare = False

        nest.emit.if_(inside, where_usual, elsewhere)

    def _write_tiles(
        self, tiling: Tiling, others: Sequence[Axis], begin: Value, end: Value
    ) -> list[Axis]:
        """Units of several tiles along the tiles' axis, beside each other."""
        rows = TILES * tiling.side
        count = -(-tiling.axis.extent // rows)
        units = [Axis(count, a.number) if a is tiling.axis else a for a in others]
        place = units[list(others).index(tiling.axis)]

        def unit(number: Value, _: list[Value]) -> Sequence[Value]:
            self.locate(units, number)
            first = self.nest.position.pop(place) * rows
            write_tiles(self.nest, tiling, first, lambda: self._store_all(self.kernel.stores))
            return []

        with self.nest.scope():
            self.nest.emit.loop(begin, end, 1, [], unit)
        return units

    def locate(self, axes: Sequence[Axis], number: Value) -> None:
        """Set the positions along `axes` of the unit with this row-major number."""
        for axis in reversed(axes[1:]):
            extent = self.nest.frame.size(axis.extent)
            quotient = number / extent
            self.nest.position[axis] = number - quotient * extent
            number = quotient
        if axes:
            self.nest.position[axes[0]] = number

    def _inner(self) -> list[Axis]:
        inner = [a for a in self.kernel.inner if not a.merged and a.extent != 1]
        return sorted(inner, key=lambda a: a is self.nest.vector)

    def unit(self) -> None:
        """Everything for one position of the outer axes."""
        inner = self._inner()
        early, late = self._stores(inner)
        self.nest.plan_buffers(inner)
        self.nest.prepare(self.roots)
        store_all(self.nest, early)
        if late:
            self._nest(inner, lambda: self._store_all(late))

    def _stores(self, inner: Sequence[Axis]) -> tuple[list[Store], list[Store]]:
        """The stores outside of the loops over `inner` axes, and those inside."""
        within = set(inner)
        early: list[Store] = []
        late: list[Store] = []
        for spec in self.kernel.stores:
            is_late = within & (spec.index.axes | {a for n in spec.roots for a in n.axes})
            (late if is_late else early).append(spec)
        return early, late

    def _columns(self, vector: Axis, panels: Panels | None, lower: Value, upper: Value) -> None:
        """Everything for columns [lower, upper) of the vector axis."""
        if panels is None:
            for segment in self._segments(vector):
                first, end = self._within(segment, vector, lower, upper)
                self._vector_loop(vector, first, end, self._is_even(segment), self.unit)
            return
        inner = self._inner()
        early, late = self._stores(inner)

        def columns(first: Value, end: Value, body: Callable[[], None]) -> None:
            self._vector_loop(vector, first, end, vector.extent % self.nest.width == 0, body)

        def rest(first: Value, end: Value) -> None:
            if early:
                columns(first, end, lambda: self._store_all(early))
            if late:
                self._nest(inner, lambda: columns(first, end, lambda: self._store_all(late)))

        write_panels(self.nest, panels, lower, upper, columns, rest)

    def _within(
        self, segment: Segment, axis: Axis, lower: Value, upper: Value
    ) -> tuple[Value, Value]:
        """The part of [lower, upper) that lies in a segment of `axis`."""
        first, end = self.nest.frame.size(segment.first), self.nest.frame.size(segment.end)
        if segment.first:
            lower = maximum(lower, first)
        if segment.end < axis.extent:
            upper = minimum(upper, end)
        return lower, upper if segment.count == axis.extent else maximum(upper, lower)

    def _is_even(self, segment: Segment) -> bool:
        """Whether chunks of a segment are always whole vectors."""
        return segment.first % self.nest.width == segment.end % self.nest.width == 0

    def _store_all(self, specs: Sequence[Store]) -> None:
        self.nest.prepare([n for s in specs for n in s.early])
        store_all(self.nest, specs)

    def _nest(self, axes: Sequence[Axis], body: Callable[[], None]) -> None:
        """Loops over `axes`, the innermost in vectors if it is the vector axis."""
        if not axes:
            body()
            return
        axis, rest = axes[0], axes[1:]
        self.nest.prepare(self.roots)
        self._whole_axis(axis, lambda: self._nest(rest, body))

    def _whole_axis(self, axis: Axis, body: Callable[[], None]) -> None:
        size = self.nest.frame.size
        if axis is not self.nest.vector:
            self.nest.loop(axis, size(0), size(axis.extent), None, body)
            return
        for segment in self._segments(axis):
            lower, ahead = size(segment.first), self._ahead(axis, segment)
            for first, lanes in pieces(ahead, self.nest.width):
                with self.nest.at(axis, lower + first, lanes):
                    body()
            count = segment.count - ahead
            self._whole_segment(axis, lower + ahead, size(segment.end), count, body)

    def _ahead(self, axis: Axis, segment: Segment) -> int:
        """How many elements of a long segment come before those whose vectors are aligned where
        they are stored, if they are so in all rows: cache lines are not to be split.
        """
        width = self.nest.width
        aheads = {_ahead(s.index, axis, segment.first, width) for s in self.kernel.stores}
        ahead = (aheads.pop() or 0) if len(aheads) == 1 else 0
        text = len(list(pieces(ahead, width))) * _size(self.nest)
        return ahead if segment.count >= LONG_ROW * width and text <= MOST_IN_REST else 0

    def _whole_segment(
        self, axis: Axis, lower: Value, upper: Value, count: int, body: Callable[[], None]
    ) -> None:
        """Run `body` over the `count` positions [lower, upper) of the vector axis."""
        width = self.nest.width
        rest = list(pieces(count % width, width))
        if len(rest) * _size(self.nest) > MOST_IN_REST:
            self._vector_loop(axis, lower, upper, False, body)
            return
        whole = upper - ((upper - lower) & (width - 1))
        if count >= width:
            self.nest.loop(axis, lower, whole, width, body)
        for first, lanes in rest:
            with self.nest.at(axis, whole + first, lanes):
                body()

    def _segments(self, axis: Axis) -> Iterator[Segment]:
        """The segments of the vector axis, in each of which its comparisons are known."""
        whole = [Segment(0, axis.extent)]
        nodes, width = self.nest.nodes, self.nest.width
        for segment in whole if self.is_rare else segments(axis, nodes, width):
            known = {n: self.nest.emit.constant("i1", holds) for n, holds in segment.known.items()}
            with self.nest.placed({}, known):
                yield segment

    def _vector_loop(
        self, axis: Axis, lower: Value, upper: Value, is_even: bool, body: Callable[[], None]
    ) -> None:
        """Run `body` over [lower, upper) of `axis` in full vectors; what is left, if the count is
        not even in vectors, in narrower ones where it is long, else lane by lane.
        """
        width = self.nest.width
        if width > 1:
            whole = upper - ((upper - lower) & (width - 1))
            self.nest.loop(axis, lower, whole, width, body)
            if is_even:
                return
            lower = whole
            if self._has_long_body(width):
                self._narrower(axis, lower, upper, body)
                return
        self.nest.loop(axis, lower, upper, 1, body)

    def _has_long_body(self, width: int) -> bool:
        """Whether the body has loops, and not too many instructions to be written again for each
        width.
        """
        count = _size(self.nest) * width.bit_length()
        return count <= MOST_IN_REST and any(n.name == "reduce" for n in self.nest.nodes)

    def _narrower(self, axis: Axis, lower: Value, upper: Value, body: Callable[[], None]) -> None:
        """Run `body` over less than a vector: a half of one if there are as many left, a quarter,
        and so on.
        """
        left, lanes = upper - lower, self.nest.width // 2

        def some() -> None:
            with self.nest.at(axis, upper - (left & (2 * lanes - 1)), lanes):
                body()

        while lanes:
            self.nest.emit.if_((left & lanes) != 0, some)
            lanes //= 2
