"""Merging networks over vectors of unsigned integers: no branch depends on the data.

`merge_runs` merges sorted runs that lie one after the other. Equal integers are one and the same to
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitml.codegen.llvm import Emitter
from jitml.codegen.special import Function
from jitml.scalar.value import Value, maximum, minimum, select

_IN_REGISTER_BITS = {"u32": 4, "u64": 2}  # integers in 128 bits


class Integers(NamedTuple):
    """Memory of unsigned integers of a type, read and written in vectors of `lanes`."""

    emit: Emitter
    type: str
    lanes: int
    pointer: Value

    def load(self, index: Value, lanes: int | None = None) -> Value:
        place = self.emit.address(self.pointer, index, self.type)
        return self.emit.load(place, self.type, self.lanes if lanes is None else lanes)

    def behind(self, count: Value) -> Integers:
        """The integers behind the first `count`."""
        return self._replace(pointer=self.emit.address(self.pointer, count, self.type))

    def store(self, index: Value, value: Value) -> None:
        self.emit.store(self.emit.address(self.pointer, index, self.type), value, self.type)


def merge_vectors(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """The lower and the upper half of two sorted vectors, each sorted: a bitonic merge.

    Between its steps the elements change places so that each step is one minimum and one maximum.
    """
    lanes = a.lanes
    backwards = emit.shuffle(b, b, range(lanes - 1, -1, -1))
    low, high = minimum(a, backwards), maximum(a, backwards)
    elements = list(range(2 * lanes))  # those of `low`, then those of `high`
    distance = lanes // 2
    while distance:
        firsts, seconds = _partners(lanes, elements.index(distance), _IN_REGISTER_BITS[a.type])
        x, y = emit.shuffle(low, high, firsts), emit.shuffle(low, high, seconds)
        low, high = minimum(x, y), maximum(x, y)
        elements = [elements[k] for k in (*firsts, *seconds)]
        distance //= 2
    places = [elements.index(e) for e in range(2 * lanes)]
    return emit.shuffle(low, high, places[:lanes]), emit.shuffle(low, high, places[lanes:])


def _partners(lanes: int, step: int, group: int) -> tuple[list[int], list[int]]:
    """Of two vectors the lanes that are compared, if these are `step` lanes apart: both in an order
    for which a machine has fast instructions, those that leave elements in their 128 bits (`group`
    lanes), or move these as a whole.
    """
    block = group if step < group else lanes
    firsts = [
        vector + first + k
        for first in range(0, lanes, block)
        for vector in (0, lanes)
        for k in range(block)
        if not k & step
    ]
    return firsts, [k + step for k in firsts]


def merge_runs(
    f: Function, memory: Integers, gap: Value, run: Value, size: Value, levels: Value
) -> Value:
    """Merge runs of `run` elements, all of `size`, pair by pair, `levels` times: from one buffer to
    the other, `gap` bytes behind it, and back; which one (0 or 1) they end in. `run` and `size`
    are multiples of the lanes; one vector before and behind the buffers may be read.
    """

    def side(number: Value) -> Integers:
        return memory._replace(pointer=f.emit.address(memory.pointer, number * gap, "u8"))

    def level(number: Value) -> None:
        source, target, width = side(number & 1), side((number + 1) & 1), run << number

        def pair(low: Value) -> _Pair:
            middle, end = minimum(low + width, size), minimum(low + width * 2, size)
            return _Pair(source, target, low, middle, end)

        twice = width * 4
        whole = size / twice * twice
        f.each(f.number(0), whole, lambda low: _merge(f, pair(low), pair(low + width * 2)), twice)
        f.each(whole, size, lambda low: _merge_or_copy(f, pair(low)), width * 2)

    f.each(f.number(0), levels, level)
    return levels & 1


class _Pair(NamedTuple):
    """Two runs to merge, one behind the other. This is done from both ends at once: two chains of
    vectors that do not wait for each other.
    """

    source: Integers
    target: Integers
    low: Value
    middle: Value
    end: Value

    def start(self) -> list[Value]:
        """The state before the first step."""
        first, last = self.low, self.middle - self.source.lanes
        up = [self.source.load(first), first + self.source.lanes, self.middle]
        return [*up, self.source.load(last), last, self.end]

    def step(self, done: Value, state: list[Value]) -> list[Value]:
        """Write a vector at each end, when `done` elements are there; the next state."""
        source, low, middle, end = self.source, self.low, self.middle, self.end
        lower, *up = _Upward(source, middle, end).step(state[:3])
        upper, *down = _Downward(source, low, middle).step(state[3:])
        self.target.store(low + done, lower)
        self.target.store(end - source.lanes - done, upper)
        return [*up, *down]


def _merge(f: Function, *pairs: _Pair) -> None:
    """Merge pairs that are as long as the first one, all at once."""
    first, lanes = pairs[0], pairs[0].source.lanes
    # If the number of vectors is odd, both chains come to the one in the middle, and to the same.
    half = ((first.end - first.low + lanes) >> 1) & -lanes
    starts = [pair.start() for pair in pairs]
    size = len(starts[0])

    def step(done: Value, state: list[Value]) -> Sequence[Value]:
        parts = [state[k * size : (k + 1) * size] for k in range(len(pairs))]
        return [x for pair, p in zip(pairs, parts, strict=True) for x in pair.step(done, p)]

    f.emit.loop(f.number(0), half, lanes, [x for start in starts for x in start], step)


def _merge_or_copy(f: Function, pair: _Pair) -> None:
    """Merge a pair of runs, the second of which may be empty."""
    source, target, low, middle, end = pair
    f.emit.if_(middle < end, lambda: _merge(f, pair))
    start = select(middle < end, end, low)
    f.each(start, end, lambda i: target.store(i, source.load(i)), source.lanes)


class _Upward(NamedTuple):
    """The smallest elements first: the next vector comes from the run whose next element is
    smaller. State: what is left over, the next of the first run, the next of the second.
    """

    source: Integers
    middle: Value
    end: Value

    def step(self, state: list[Value]) -> list[Value]:
        left, i, j = state
        a, b = self.source.load(i, 1), self.source.load(j, 1)
        first = (i < self.middle) & ((a <= b) | (j >= self.end))
        vector = self.source.load(select(first, i, j))
        lower, upper = merge_vectors(self.source.emit, left, vector)
        step = self.source.lanes
        return [lower, upper, select(first, i + step, i), select(first, j, j + step)]


class _Downward(NamedTuple):
    """The largest elements first. State: what is left over, where what is left of the runs ends."""

    source: Integers
    low: Value
    middle: Value

    def step(self, state: list[Value]) -> list[Value]:
        left, i, j = state
        a, b = self.source.load(i - 1, 1), self.source.load(j - 1, 1)
        first = (i > self.low) & ((a > b) | (j <= self.middle))
        step = self.source.lanes
        vector = self.source.load(select(first, i, j) - step)
        lower, upper = merge_vectors(self.source.emit, left, vector)
        return [upper, lower, select(first, i - step, i), select(first, j, j - step)]
