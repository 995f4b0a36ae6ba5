"""The loops of reductions, whose order is fixed by the number of elements alone.

Element r goes to accumulator r mod 64 (or the next power of two of a shorter run); accumulators
start at the identity and are combined by halves: j with j + 32, then j + 16, … The order is the
same along vector lanes, across memory, unrolled and in the scalar rest, so bits depend on none of
these. Lanes have accumulators to spare, so that form is only for folds in which a combination with
the identity changes nothing. Reductions with `lanes` None (the blocks of a long one) have an
accumulator for each element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jitml.codegen.kernel import Axis, Node, Reduce
from jitml.codegen.nest import Nest
from jitml.scalar.complex import Complex
from jitml.scalar.value import BITS, Value, select

LANES = 64
UNROLLED_COST = 400  # instructions; a short reduction is unrolled if it stays below
MOST_REGISTER_BITS = 16 * 512  # of accumulators; as many again are left for the rest

State = list[Value]


def fold(nest: Nest, node: Node) -> State:
    """Write the reduction `node` at the current position; the scalars of its state."""
    done = nest.folded.get(node.number)
    return Fold(nest, node).run() if done is None else done()


def is_short(spec: Reduce, cost: int) -> bool:
    """Whether a reduction of elements of this cost is unrolled."""
    axis = spec.axis
    if axis is None or spec.limit is not None:
        return axis is None
    return axis.extent <= 16 and axis.extent * cost <= UNROLLED_COST


class Fold:
    """A reduction at one place of the nest."""

    def __init__(self, nest: Nest, node: Node) -> None:
        self.nest = nest
        self.frame = nest.frame
        self.emit = nest.emit
        self.spec: Reduce = node.data
        scalars = sum(2 if t in ("c64", "c128") else 1 for t in self.spec.types)
        self.elements = node.operands[:scalars]
        self.types = [n.type for n in self.elements]
        self.cost = sum(n.cost for n in self.elements)
        varies = nest.vector is not None and nest.vector in node.axes
        self.lanes = nest.lanes if varies else 1

    def run(self) -> State:
        axis = self.spec.axis
        if axis is None:
            self.nest.prepare(self.elements)
            return [self.nest.value(n) for n in self.elements]
        self.nest.prepare(self.elements)
        if is_short(self.spec, self.cost) and axis is not self.nest.vector:
            state = self._unrolled(axis)
        elif axis is self.nest.vector and self.nest.width > 1 and self.spec.runs_along_lanes:
            state = self._along_lanes(axis)
        else:
            state = self._across_memory(axis)
        self.nest.loop_done(axis)
        return state

    # ---- state ---------------------------------------------------------------------------------

    def identity(self, lanes: int) -> State:
        numbers: list[Any] = []
        for number in self.spec.identity:
            is_pair = isinstance(number, complex)
            numbers.extend((number.real, number.imag) if is_pair else (number,))
        return [self.emit.constant(t, n, lanes) for t, n in zip(self.types, numbers, strict=True)]

    def combine(self, a: State, b: State) -> State:
        """The op's own rule, for states whose complex entries are pairs of scalars."""
        return self._by(self.spec.op.combine, a, b)

    def append(self, a: State, element: State) -> State:
        """The same for an accumulator and an element that comes later."""
        return self._by(self.spec.op.append, a, element)

    def _by(self, rule: Callable[..., tuple[Any, ...]], a: State, b: State) -> State:
        flat: State = []
        for value in rule(self._grouped(a), self._grouped(b)):
            flat.extend((value.re, value.im) if isinstance(value, Complex) else (value,))
        return flat

    def _grouped(self, state: State) -> tuple[Any, ...]:
        grouped: list[Any] = []
        scalars = iter(state)
        for type_ in self.spec.types:
            first = next(scalars)
            grouped.append(Complex(first, next(scalars)) if type_ in ("c64", "c128") else first)
        return tuple(grouped)

    def element(self) -> State:
        self.nest.prepare(self.elements)
        values = [self.nest.value(n) for n in self.elements]
        lanes = max([self.lanes, *(v.lanes for v in values)])
        return [self.emit.splat(v, lanes) for v in values]

    def extent(self, axis: Axis) -> Value:
        size = self.frame.size(axis.extent)
        if self.spec.limit is None:
            return size
        limit = self.nest.index_value(self.spec.limit)
        return select(limit < size, limit, size)

    # ---- along the lanes of vectors
    # ---------------------------------------------------------------

    def _along_lanes(self, axis: Axis) -> State:
        """64 accumulators as vectors, or as many as there are elements; then the rest below 64."""
        width = self.nest.width
        count = max(1, min(LANES, _power_of_two(axis.extent)) // width)
        flat = [v for _ in range(count) for v in self.identity(width)]
        extent = self.extent(axis)
        whole = extent - (extent & (LANES - 1))
        if axis.extent >= LANES:
            flat = self._all_lanes(axis, whole, flat)
        return self._ended(axis, whole, extent, flat)

    def _ended(self, axis: Axis, whole: Value, extent: Value, flat: list[Value]) -> State:
        """The state after the elements from `whole` on, and the accumulators combined."""
        if self.spec.limit is not None:
            flat = self._rest_in_memory(axis, whole, extent, flat)
        elif axis.extent % LANES:
            flat = self._rest(axis, whole, flat)
        parts = len(self.types)
        vectors = [flat[k : k + parts] for k in range(0, len(flat), parts)]
        while len(vectors) > 1:
            half = len(vectors) // 2
            vectors = [self.combine(a, b) for a, b in zip(vectors, vectors[half:], strict=False)]
        return self._halve_lanes(vectors[0])

    def _all_lanes(self, axis: Axis, whole: Value, flat: list[Value]) -> list[Value]:
        """The elements up to `whole`, 64 at a time."""
        width, parts = self.nest.width, len(self.types)

        def step(index: Value, state: list[Value]) -> Sequence[Value]:
            after: list[Value] = []
            for k in range(LANES // width):
                old = state[k * parts : (k + 1) * parts]
                after.extend(self._combine_at(axis, index + k * width, width, old))
            return after

        with self.nest.scope():
            flat = self.emit.loop(self.frame.number(0), whole, LANES, flat, step)
        self.nest.ahead = []
        return flat

    def along_rows(self, places: Sequence[dict[Axis, Value]]) -> list[State]:
        """The states at several places of the axes around, at least 64 elements each: all of them
        are read side by side.
        """
        axis, nest, width = self.spec.axis, self.nest, self.nest.width
        assert axis is not None
        own = LANES // width * len(self.types)  # values of a row
        extent = self.extent(axis)
        whole = extent - (extent & (LANES - 1))
        known = []
        for place in places:
            with nest.placed(place) as found:
                nest.prepare(self.elements)
                known.append(found)

        def step(index: Value, state: list[Value]) -> Sequence[Value]:
            rows: list[list[Value]] = [[] for _ in places]
            for k in range(LANES // width):
                with nest.at(axis, index + k * width, width):
                    nest.prepare(self.elements)  # what the rows have in common
                    for number, place in enumerate(places):
                        first = number * own + k * len(self.types)
                        old = state[first : first + len(self.types)]
                        with nest.placed(place, known[number]):
                            rows[number] += self.append(old, self._splat(self.element(), width))
            return [v for row in rows for v in row]

        start = [v for _ in range(own // len(self.types)) for v in self.identity(width)]
        with nest.scope():
            flat = self.emit.loop(self.frame.number(0), whole, LANES, start * len(places), step)
        states = []
        for number, place in enumerate(places):
            with nest.placed(place, known[number]):
                row = flat[number * own : (number + 1) * own]
                states.append(self._ended(axis, whole, extent, row))
        return states

    def _combine_at(self, axis: Axis, index: Value, lanes: int, old: State) -> State:
        """Accumulators after the elements from `index` on."""
        with self.nest.at(axis, index, lanes):
            self.nest.fetch_ahead(index)
            return self.append(old, self._splat(self.element(), lanes))

    def _rest(self, axis: Axis, lower: Value, flat: list[Value]) -> list[Value]:
        """The last elements, fewer than 64: in full vectors, then in halves, quarters, …"""
        width, parts = self.nest.width, len(self.types)
        left = axis.extent % LANES
        for k in range(left // width):
            place = slice(k * parts, (k + 1) * parts)
            flat[place] = self._combine_at(axis, lower + k * width, width, flat[place])
        done = left - left % width
        place = slice(done // width * parts, (done // width + 1) * parts)
        for first, lanes in pieces(left % width, width):
            old = flat[place]
            some = [self.emit.shuffle(v, v, range(first, first + lanes)) for v in old]
            new = self._combine_at(axis, lower + (done + first), lanes, some)
            flat[place] = [
                self.emit.replace_lanes(a, b, first) for a, b in zip(old, new, strict=True)
            ]
        return flat

    def _splat(self, state: State, lanes: int) -> State:
        return [self.emit.splat(v, lanes) for v in state]

    def _rest_in_memory(
        self, axis: Axis, lower: Value, upper: Value, flat: list[Value]
    ) -> list[Value]:
        """As many of the last elements as a run has, one by one."""
        parts, width = len(self.types), self.nest.width
        memory = [self.frame.stack(LANES * size_bytes(t)) for t in self.types]
        places = [
            self.emit.address(memory[k % parts], self.frame.number(k // parts * width), t)
            for k, t in enumerate(self.types * (LANES // width))
        ]
        for place, value, type_ in zip(places, flat, self.types * (LANES // width), strict=True):
            self._put(place, value, type_)

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            with self.nest.at(axis, index, 1):
                lane = index - lower
                at = [
                    self.emit.address(m, lane, stored(t))
                    for m, t in zip(memory, self.types, strict=True)
                ]
                old = [self._get(p, t, 1) for p, t in zip(at, self.types, strict=True)]
                for place, value, type_ in zip(
                    at, self.append(old, self.element()), self.types, strict=True
                ):
                    self._put(place, value, type_)
            return []

        with self.nest.scope():
            self.emit.loop(lower, upper, 1, [], step)
        return [
            self._get(place, type_, width)
            for place, type_ in zip(places, self.types * (LANES // width), strict=True)
        ]

    def _halve_lanes(self, state: State) -> State:
        lanes = state[0].lanes
        while lanes > 1:
            lanes //= 2
            low = [self.emit.shuffle(v, v, range(lanes)) for v in state]
            high = [self.emit.shuffle(v, v, range(lanes, 2 * lanes)) for v in state]
            state = self.combine(low, high)
        return state

    # ---- across memory, and unrolled
    # -------------------------------------------------------------------

    def _across_memory(self, axis: Axis) -> State:
        """Accumulators in memory, each of as many lanes as the loop around has."""
        count = _power_of_two(axis.extent)
        if self.spec.lanes is not None:
            count = min(LANES, count)
        memory = [self._memory(count, t) for t in self.types]
        zero, extent = self.frame.number(0), self.extent(axis)
        if count < axis.extent:
            whole = extent - (extent & (count - 1))
            self._whole_runs(axis, memory, whole)
            self._one_by_one(axis, memory, whole, extent)
        else:
            self._start(memory, count)
            self._one_by_one(axis, memory, zero, extent)
        self._halve_memory(memory, count)
        return self._read(memory, zero)

    def _whole_runs(self, axis: Axis, memory: list[Value], whole: Value) -> None:
        """The elements up to `whole`, for some accumulators in registers after the other."""
        group = self._accumulators()

        def some(first: Value, _: list[Value]) -> Sequence[Value]:
            parts = len(self.types)

            def step(index: Value, state: list[Value]) -> Sequence[Value]:
                after: list[Value] = []
                for k in range(group):
                    old = state[k * parts : (k + 1) * parts]
                    with self.nest.scope(), self.nest.at(axis, index + k, None):
                        new = self._splat(self.element(), self.lanes)
                        after.extend(self.append(old, new))
                return after

            start = [v for _ in range(group) for v in self.identity(self.lanes)]
            found = self.emit.loop(first, whole, LANES, start, step)
            for k in range(group):
                self._write(memory, first + k, found[k * parts : (k + 1) * parts])
            return []

        with self.nest.scope():
            self.emit.loop(self.frame.number(0), self.frame.number(LANES), group, [], some)

    def _accumulators(self) -> int:
        """How many are in registers at the same time, without many instructions for each."""
        bits = sum(BITS[t] for t in self.types) * self.lanes
        group = LANES
        while group > 1 and (
            group * bits > MOST_REGISTER_BITS or group * (self.cost + 4) > UNROLLED_COST
        ):
            group //= 2
        return group

    def _start(self, memory: list[Value], count: int) -> None:
        def start(index: Value, _: list[Value]) -> Sequence[Value]:
            self._write(memory, index, self.identity(self.lanes))
            return []

        with self.nest.scope():
            self.emit.loop(self.frame.number(0), self._count(count), 1, [], start)

    def _one_by_one(self, axis: Axis, memory: list[Value], lower: Value, upper: Value) -> None:
        """Further elements, one for each accumulator."""

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            with self.nest.at(axis, index, None):
                slot = index - lower
                old, new = self._read(memory, slot), self._splat(self.element(), self.lanes)
                self._write(memory, slot, self.append(old, new))
            return []

        with self.nest.scope():
            self.emit.loop(lower, upper, 1, [], step)

    def _count(self, count: int) -> Value:
        return self.frame.size(count) if self.spec.lanes is None else self.frame.number(count)

    def _halve_memory(self, memory: list[Value], count: int) -> None:
        """Combine the two halves until one accumulator is left."""
        levels = count.bit_length() - 1
        total = self._count(count)

        def level(number: Value, _: list[Value]) -> Sequence[Value]:
            half = total >> (number + 1)

            def pair(index: Value, _: list[Value]) -> Sequence[Value]:
                both = self.combine(self._read(memory, index), self._read(memory, index + half))
                self._write(memory, index, both)
                return []

            self.emit.loop(self.frame.number(0), half, 1, [], pair)
            return []

        limit = self.frame.size(levels) if self.spec.lanes is None else self.frame.number(levels)
        with self.nest.scope():
            self.emit.loop(self.frame.number(0), limit, 1, [], level)

    def _memory(self, count: int, type_: str) -> Value:
        size = count * self.lanes * size_bytes(type_)
        return self.frame.scratch(size) if self.spec.lanes is None else self.frame.stack(size)

    def _read(self, memory: list[Value], slot: Value) -> State:
        return [
            self._get(self._slot(m, slot, t), t, self.lanes)
            for m, t in zip(memory, self.types, strict=True)
        ]

    def _write(self, memory: list[Value], slot: Value, state: State) -> None:
        for m, value, type_ in zip(memory, state, self.types, strict=True):
            self._put(self._slot(m, slot, type_), value, type_)

    def _slot(self, memory: Value, slot: Value, type_: str) -> Value:
        return self.emit.address(memory, slot * self.lanes, stored(type_))

    def _put(self, place: Value, value: Value, type_: str) -> None:
        self.emit.store(place, value, stored(type_))

    def _get(self, place: Value, type_: str, lanes: int) -> Value:
        return self.emit.load(place, stored(type_), lanes)

    def _unrolled(self, axis: Axis) -> State:
        half = _power_of_two(axis.extent)
        states = [self.identity(self.lanes) for _ in range(half)]
        for number in range(axis.extent):
            with self.nest.scope(), self.nest.at(axis, self.frame.number(number), None):
                states[number] = self.append(
                    states[number], self._splat(self.element(), self.lanes)
                )
        while half > 1:
            half //= 2
            states = [self.combine(a, b) for a, b in zip(states, states[half:], strict=False)]
        return states[0]


def pieces(count: int, width: int) -> Iterator[tuple[int, int]]:
    """The first number and the number of lanes of the vectors, narrower than `width`, that `count`
    elements fill.
    """
    first = 0
    while first < count:
        while width > count - first:
            width //= 2
        yield first, width
        first += width


def _power_of_two(n: int) -> int:
    """The least power of two that is not below `n`."""
    return 1 << (n - 1).bit_length()


def stored(type_: str) -> str:
    return "bool" if type_ == "i1" else type_


def size_bytes(type_: str) -> int:
    return max(1, BITS[type_] // 8)
