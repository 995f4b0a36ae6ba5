"""Reductions along memory by the threads of a warp, in the tree that all backends share.

Element k of a reduction belongs to lane k mod 64 of the tree, in order; then lanes 32 apart are
combined, 16 apart, and so on. A thread holds two lanes and combines those by itself, the rest by
shuffles. So the bits are the CPU's.

Where memory allows, a thread reads as many elements side by side as its widest access holds. Two
are those of the two lanes that it holds. Of more, a turn of the warp is several turns of the tree:
the threads compute what they have read, and hand it through shared memory to those whose lanes it
belongs to. Elsewhere a thread reads one by one, and holds lanes 32 apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.fold import LANES, Fold, State, stored
from jitml.codegen.kernel import Axis, Index, Node
from jitml.codegen.llvm import Body, Emitter, llvm_type
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import barrier
from jitml.codegen.nvptx.vectors import take_vector
from jitml.codegen.nvptx.warp import WARP, Warp, is_by_warp
from jitml.scalar.value import BITS, Value, bitcast, convert


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
            if width > 1:
                low, high = self._in_vectors(axis, extent)
                total = self.combine(self._join(low), self._join(high))
            else:
                low, high = self._in_ones(axis, extent)
                total = self._join(self.combine(low, high))
        self.nest.loop_done(axis)
        return [shuffle(self.emit, "idx", v, 0) for v in total]

    def _join(self, state: State) -> State:
        """The states of all threads combined; the first thread has the result."""
        for distance in (16, 8, 4, 2, 1):
            there = [shuffle(self.emit, "down", v, distance) for v in state]
            state = self.combine(state, there)
        return state

    # ---- lanes 32 apart, elements one by one ---------------------------------------------------

    def _in_ones(self, axis: Axis, extent: Value) -> tuple[State, State]:
        """The state of a thread's two lanes in the end."""
        lane, parts = self.warp.lane, len(self.types)
        whole = extent - (extent & (LANES - 1))

        def both(base: Value, state: State) -> State:
            low = self._step(axis, base + lane, state[:parts])
            return low + self._step(axis, base + lane + WARP, state[parts:])

        state = self.identity(1) * 2
        with self.nest.scope():
            state = self.emit.loop(self.nest.frame.number(0), whole, LANES, state, both)
        low = self._last(axis, whole + lane, extent, state[:parts])
        return low, self._last(axis, whole + lane + WARP, extent, state[parts:])

    def _step(self, axis: Axis, index: Value, state: State) -> State:
        with self.nest.at(axis, index, 1):
            return self.combine(state, self.element())

    def _last(self, axis: Axis, index: Value, extent: Value, state: State) -> State:
        """One more element, if there is one."""
        with self.nest.scope():
            return self.emit.rarely(
                index < extent, lambda *now: self._step(axis, index, list(now)), tuple(state), state
            )

    # ---- lanes side by side, elements in vectors -----------------------------------------------

    def _in_vectors(self, axis: Axis, extent: Value) -> tuple[State, State]:
        """The same, where threads read vectors."""
        width, limit, parts = self.nest.width, self.spec.limit, len(self.types)
        is_whole = axis.extent % width == 0 and (limit is None or _is_multiple(limit, width))
        if is_whole and width == 2:
            step = self._step_in_pairs(axis, extent)
        else:
            step = self._step_in_turns(axis, extent, is_whole)
        with self.nest.scope():
            zero, start = self.frame.number(0), self.identity(1) * 2
            state = self.emit.loop(zero, extent, WARP * width, start, step)
        return state[:parts], state[parts:]

    def _step_in_pairs(self, axis: Axis, extent: Value) -> Body:
        """Each thread reads what belongs to its own lanes."""

        def step(base: Value, state: list[Value]) -> Sequence[Value]:
            at = base + self.warp.lane * 2

            def both(*now: Value) -> State:
                with self.nest.at(axis, at, 2):
                    return self._combine_lanes(now, self._splat(self.element(), 2))

            return self.emit.rarely(at < extent, both, tuple(state), state)

        return step

    def _step_in_turns(self, axis: Axis, extent: Value, is_whole: bool) -> Body:
        """The threads compute the elements of a turn, then each takes those of its lanes. Turns
        use one half of the memory and the other, so that one barrier is enough.
        """
        emit, width, lane = self.emit, self.nest.width, self.warp.lane
        turn, count = WARP * width, 2 if is_whole else 1  # that are there together, or neither is
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
            there = cells(base, self.nest.position[axis] - base)
            for (cell, storage), value in zip(there, values, strict=True):
                emit.store(cell, value, storage)

        def take(base: Value, element: Value, state: State) -> State:
            def combined(*now: Value) -> State:
                found = [emit.load(cell, x, count) for cell, x in cells(base, element)]
                return self._combine_lanes(now, found)

            return emit.rarely(base + element < extent, combined, tuple(state), state)

        def step(base: Value, state: list[Value]) -> Sequence[Value]:
            at, groups = base + lane * width, _split(state, count * len(self.types))
            take_vector(self.nest, at, extent, is_whole, lambda: compute(base))
            barrier(emit)
            for first in range(0, turn, LANES):
                begin = lane * 2 + first
                groups = [take(base, begin + k, x) for k, x in enumerate(groups)]
            return [x for group in groups for x in group]

        return step

    def _combine_lanes(self, states: Sequence[Value], element: State) -> State:
        """The states of some lanes, each after one more element: a lane of these vectors."""
        after: State = []
        for k, state in enumerate(_split(states, len(self.types))):
            after.extend(self.combine(state, [self.emit.extract(x, k) for x in element]))
        return after


def _split(values: Sequence[Value], count: int) -> list[State]:
    """The values, so many at a time."""
    return [list(values[k : k + count]) for k in range(0, len(values), count)]


def _is_multiple(index: Index, number: int) -> bool:
    """Whether an index is always a multiple of a number."""
    factors = (index.constant, *(c for _, c in (*index.terms, *index.values)))
    return not any(c % number for c in factors)


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
    other = by.ref if isinstance(by, Value) else by
    text = f"call i32 {function}(i32 -1, {llvm_type('u32')} {word.ref}, i32 {other}, i32 31)"
    return bitcast(emit.effect(text, "u32"), value.type)
