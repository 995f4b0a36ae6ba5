"""Sorting networks over vectors of unsigned integers: no branch and no address depends on the data.

`Columns` sorts each lane of the rows of a block for itself; `merge_runs` merges sorted runs
that lie one after the other. Equal integers are one and the same to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitml.codegen.llvm import Emitter
from jitml.codegen.special import Function
from jitml.scalar.value import Value, maximum, minimum, select

_UNIT_LEVELS = 2
UNIT = 1 << _UNIT_LEVELS  # rows that are always compared together


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


class Columns:
    """A block of vectors, each lane of which is to be sorted for itself: `rows` of them, a multiple
    of `UNIT`.

    Merge exchange (Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2 M).
    """

    def __init__(self, f: Function, block: Integers, rows: int) -> None:
        self.f, self.block = f, block
        self.size = f.argument(rows * block.lanes)
        self.levels = f.argument((rows - 1).bit_length())

    def sort(self, first: Value) -> None:
        """Sort the rows that begin at element `first`."""
        f, lanes = self.f, self.block.lanes
        block = self.block.behind(first)

        def level(number: Value, width: Value, count: int) -> None:
            """Compare rows with the bit of level `number` in their number, or (first) without it,
            with rows further on; `width` of them, `count` at once, lie together.
            """

            def compare(k: Value) -> None:
                begin = select(k == 0, f.number(0), width)
                distance = select(k == 0, width, (f.number(lanes) << (self.levels - k)) - width)
                far, end = block.behind(distance), self.size - distance

                def run(begin: Value) -> None:
                    if count < UNIT:
                        _exchange(block, far, begin, count)
                        return
                    stop = minimum(begin + width, end)
                    f.each(begin, stop, lambda at: _exchange(block, far, at, UNIT), UNIT * lanes)

                f.each(begin, end, run, width * 2)

            f.each(f.number(0), number + 1, compare)

        def wide(number: Value) -> None:
            level(number, f.number(lanes) << (self.levels - 1 - number), UNIT)

        f.each(f.number(0), self.levels - _UNIT_LEVELS, wide)
        for bit in reversed(range(_UNIT_LEVELS)):
            level(self.levels - 1 - bit, f.number(lanes << bit), 1 << bit)


def _exchange(near: Integers, far: Integers, at: Value, count: int) -> None:
    """Put `count` vectors and those in the same places further on in order."""
    for k in range(count):
        place = at + k * near.lanes
        a, b = near.load(place), far.load(place)
        near.store(place, minimum(a, b))
        far.store(place, maximum(a, b))


def merge_vectors(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """The lower and the upper half of two sorted vectors, each sorted: a bitonic merge.

    Between its steps the elements change places so that each step is one minimum and one maximum.
    """
    lanes = a.lanes
    count = 2 * lanes
    # places[e] is where element e is, in the vectors one after the other: `b` counts backwards.
    places = [*range(lanes), *reversed(range(lanes, count))]

    def gather(elements: Sequence[int]) -> Value:
        picked = [places[e] for e in elements]
        if picked == list(range(lanes)):
            return low
        return emit.shuffle(low, high, picked)

    low, high = a, b
    distance = lanes
    while distance:
        firsts = [e for e in range(count) if not e & distance]
        seconds = [e + distance for e in firsts]
        x, y = gather(firsts), gather(seconds)
        low, high = minimum(x, y), maximum(x, y)
        for place, e in enumerate([*firsts, *seconds]):
            places[e] = place
        distance //= 2
    x, y = gather(range(lanes)), gather(range(lanes, count))
    return x, y


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

        def pair(low: Value) -> None:
            middle, end = minimum(low + width, size), minimum(low + width * 2, size)
            _merge(f, source, target, low, middle, end)

        f.each(f.number(0), size, pair, width * 2)

    f.each(f.number(0), levels, level)
    return levels & 1


def _merge(
    f: Function, source: Integers, target: Integers, low: Value, middle: Value, end: Value
) -> None:
    """Merge two runs, the second of which may be empty, from both ends at once: two chains of
    vectors that do not wait for each other.
    """
    lanes = source.lanes
    upward, downward = _Upward(source, middle, end), _Downward(source, low, middle)
    # If their number is odd, both chains come to the vector in the middle, and to the same.
    half = low + (((end - low + lanes) >> 1) & -lanes)

    def both() -> None:
        def step(at: Value, state: list[Value]) -> Sequence[Value]:
            lower, *up = upward.step(state[:3])
            upper, *down = downward.step(state[3:])
            target.store(at, lower)
            target.store(end - lanes - (at - low), upper)
            return [*up, *down]

        up = [source.load(low), low + lanes, middle]
        down = [source.load(middle - lanes), middle - lanes, end]
        f.emit.loop(low, half, lanes, [*up, *down], step)

    f.emit.if_(middle < end, both)
    f.each(select(middle < end, end, low), end, lambda i: target.store(i, source.load(i)), lanes)


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
