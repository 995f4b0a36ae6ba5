"""Reductions along memory by the threads of a warp, in the tree that all backends share.

Element k of a reduction belongs to lane k mod 64 of the tree, in order; then lanes 32 apart are
combined, 16 apart, and so on. A thread holds two lanes and combines those by itself, the rest by
shuffles. So the bits are the CPU's.

Where memory allows, a thread reads as many elements side by side as its widest access holds. Two
are those of the two lanes that it holds. Of more, a turn of the warp is several turns of the tree:
the threads compute what they have read, and hand it through shared memory to those whose lanes it
belongs to. Elsewhere a thread reads one by one, and holds lanes 32 apart.

Where a row begins within a sector, turns begin with the sector: threads then hold other lanes than
they would, by so many, and in the end hand them to those whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.fold import LANES, Fold, State, stored
from jitml.codegen.kernel import Axis, Node
from jitml.codegen.llvm import Body, Emitter, llvm_type
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import barrier
from jitml.codegen.nvptx.vectors import is_multiple
from jitml.codegen.nvptx.warp import WARP, Row, Warp, is_by_warp
from jitml.scalar.value import BITS, Value, bitcast, convert, select


def write_in(warp: Warp) -> Callable[[Nest, Node], object]:
    """What writes a node where the threads of a warp take a unit."""

    def write(nest: Nest, node: Node) -> object:
        if node.name == "reduce" and is_by_warp(node.data):
            return _WarpFold(nest, node, warp).run()
        return write_node(nest, node)

    return write


class _WarpFold(Fold):
    """One reduction, two lanes of its tree for each thread."""

    def __init__(self, nest: Nest, node: Node, warp: Warp) -> None:
        super().__init__(nest, node)
        self.lanes = 1
        self.warp = warp

    def run(self) -> State:
        axis = self.spec.axis
        assert axis is not None
        self.nest.prepare(self.elements)
        extent = self.extent(axis)
        with self.warp.along(axis) as width:
            fold = self._in_vectors if width > 1 else self._in_ones
            total = fold(axis, extent)
        self.nest.loop_done(axis)
        return [shuffle(self.emit, "idx", v, 0) for v in total]

    def _join(self, state: State) -> State:
        """The states of all threads combined; the first thread has the result."""
        for distance in (16, 8, 4, 2, 1):
            there = [shuffle(self.emit, "down", v, distance) for v in state]
            state = self.combine(state, there)
        return state

    # ---- lanes 32 apart, elements one by one ---------------------------------------------------

    def _in_ones(self, axis: Axis, extent: Value) -> State:
        """The state of all lanes."""
        lane, row = self.warp.lane, self.warp.row(axis, extent, True)
        whole = row.end - (row.end & (LANES - 1))
        step = self._step if row.begin.number == 0 else self._step_if_there

        def both(base: Value, state: State) -> State:
            groups = _split(state, len(self.types))
            return [
                x
                for k, group in enumerate(groups)
                for x in step(row, base + lane + k * WARP, group)
            ]

        state = self.identity(1) * 2
        with self.nest.scope():
            state = self.emit.loop(self.nest.frame.number(0), whole, LANES, state, both)
        groups = [
            self._step_if_there(row, whole + lane + k * WARP, group)
            for k, group in enumerate(_split(state, len(self.types)))
        ]
        return self._join_halves(row, *groups)

    def _step(self, row: Row, number: Value, state: State) -> State:
        with self.nest.at(row.axis, number - row.begin, 1):
            return self.combine(state, self.element())

    def _step_if_there(self, row: Row, number: Value, state: State) -> State:
        """One more element, if there is one."""
        with self.nest.scope():
            return self.emit.rarely(
                _is_inside(row, number),
                lambda *now: self._step(row, number, list(now)),
                tuple(state),
                state,
            )

    def _join_halves(self, row: Row, low: State, high: State) -> State:
        """The state of all lanes, from those of lanes 32 apart: where a row begins later, lanes
        are that many threads further on, or in the other half.
        """
        if row.begin.number == 0:
            return self._join(self.combine(low, high))
        lane, pairs = self.warp.lane, list(zip(low, high, strict=True))
        is_low = lane >= row.begin
        low = [select(is_low, a, b) for a, b in pairs]
        high = [select(is_low, b, a) for a, b in pairs]
        there = convert((lane + row.begin) & (WARP - 1), "u32")
        return self._join([shuffle(self.emit, "idx", x, there) for x in self.combine(low, high)])

    # ---- lanes side by side, elements in vectors -----------------------------------------------

    def _in_vectors(self, axis: Axis, extent: Value) -> State:
        """The same, where threads read vectors."""
        width, limit, parts = self.nest.width, self.spec.limit, len(self.types)
        is_whole = axis.extent % width == 0 and (limit is None or is_multiple(limit, width))
        row = self.warp.row(axis, extent, is_whole)
        if row.is_whole and width == 2:
            step = self._step_in_pairs(axis, extent)
        else:
            step = self._step_in_turns(row)
        with self.nest.scope():
            zero, start = self.frame.number(0), self.identity(1) * 2
            state = self.emit.loop(zero, row.end, WARP * width, start, step)
        low, high = state[:parts], state[parts:]
        if row.is_whole:
            return self.combine(self._join(low), self._join(high))
        return self._join_halves(row, low, high)

    def _step_in_pairs(self, axis: Axis, extent: Value) -> Body:
        """Each thread reads what belongs to its own lanes."""

        def step(base: Value, state: list[Value]) -> Sequence[Value]:
            at = base + self.warp.lane * 2

            def both(*now: Value) -> State:
                with self.nest.at(axis, at, 2):
                    return self._combine_lanes(now, self._splat(self.element(), 2))

            return self.emit.rarely(at < extent, both, tuple(state), state)

        return step

    def _step_in_turns(self, row: Row) -> Body:
        """The threads compute the elements of a turn, then each takes those of its lanes. Turns
        use one half of the memory and the other, so that one barrier is enough.
        """
        emit, width, lane = self.emit, self.nest.width, self.warp.lane
        turn, count = WARP * width, 2 if row.is_whole else 1  # that are there together, or not
        begin, apart = (lane * 2, 1) if row.is_whole else (lane, WARP)
        memory = self.warp.turns(self.spec)
        barrier(emit)  # what was here before has been read

        def cells(base: Value, element: Value) -> list[tuple[Value, str]]:
            """Where the scalars of an element lie, and what is stored there."""
            place = element + (base & turn)
            return [
                (emit.address(m, place, stored(t)), stored(t))
                for m, t in zip(memory, self.types, strict=True)
            ]

        def compute(base: Value) -> None:
            values = self._splat(self.element(), self.nest.lanes)
            there = cells(base, self.nest.position[row.axis] + row.begin - base)
            for (cell, storage), value in zip(there, values, strict=True):
                emit.store(cell, value, storage)

        def take(base: Value, element: Value, state: State) -> State:
            def combined(*now: Value) -> State:
                found = [emit.load(cell, x, count) for cell, x in cells(base, element)]
                return self._combine_lanes(now, found)

            return emit.rarely(_is_inside(row, base + element), combined, tuple(state), state)

        def step(base: Value, state: list[Value]) -> Sequence[Value]:
            groups = _split(state, count * len(self.types))
            self.warp.take(row, base, lambda: compute(base))
            barrier(emit)
            for first in range(0, turn, LANES):
                groups = [take(base, begin + (first + k * apart), x) for k, x in enumerate(groups)]
            return [x for group in groups for x in group]

        return step

    def _combine_lanes(self, states: Sequence[Value], element: State) -> State:
        """The states of some lanes, each after one more element: a lane of these vectors."""
        after: State = []
        for k, state in enumerate(_split(states, len(self.types))):
            after.extend(self.combine(state, [self.emit.extract(x, k) for x in element]))
        return after


def _is_inside(row: Row, number: Value) -> Value:
    """Whether there is an element with this number."""
    inside = number < row.end
    return inside if row.begin.number == 0 else inside & (number >= row.begin)


def _split(values: Sequence[Value], count: int) -> list[State]:
    """The values, so many at a time."""
    return [list(values[k : k + count]) for k in range(0, len(values), count)]


def shuffle(emit: Emitter, mode: str, value: Value, by: int | Value) -> Value:
    """The value of another thread: of the one `by` further on, or of number `by`."""
    bits = BITS[value.type]
    if bits < 32:
        return convert(shuffle(emit, mode, convert(value, "u32"), by), "u8") != 0 if (
            value.type == "i1"
        ) else convert(shuffle(emit, mode, convert(value, "u32"), by), value.type)  # fmt: skip
    if bits == 64:
        whole = bitcast(value, "u64")
        low, high = convert(whole, "u32"), convert(whole >> 32, "u32")
        low, high = shuffle(emit, mode, low, by), shuffle(emit, mode, high, by)
        return bitcast(convert(low, "u64") | (convert(high, "u64") << 32), value.type)
    function = f"@llvm.nvvm.shfl.sync.{mode}.i32"
    emit.declarations.add(f"declare i32 {function}(i32, i32, i32, i32) convergent")
    word = bitcast(value, "u32")
    there = by.ref if isinstance(by, Value) else by
    text = f"call i32 {function}(i32 -1, {llvm_type('u32')} {word.ref}, i32 {there}, i32 31)"
    return bitcast(emit.effect(text, "u32"), value.type)
