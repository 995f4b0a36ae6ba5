"""Elements of lines into vectors of integers and back, whole vectors of them or one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.sorting.coding import Coding
from jitml.scalar.value import Value, convert

Take = Callable[[Value, Value, list[Value]], Sequence[Value]]


class Transfer:
    """Reads the key of lines, coded, into `integers`, and writes lines from them.

    `shared`, a vector of the integers' type that is not 0 where an element has to be restored, goes
    through all that reads.
    """

    def __init__(self, coding: Coding) -> None:
        self.coding, self.lines, self.f = coding, coding.lines, coding.f
        self.emit, self.lanes = coding.f.emit, coding.lanes

    def nothing_shared(self) -> Value:
        return self.emit.constant(self.coding.type, 0, self.lanes)

    def read_vector(self, element: Value, position: Value, shared: Value) -> tuple[Value, Value]:
        """The coded elements from `element` of the first operand on, and what `shared` is then."""
        pointer = self.f.pointers[0]
        (word,) = self.coding.words.load(self.emit, pointer, element, self.lanes)
        return self.coded(word, position, shared)

    def coded(self, words: Value, position: Value, shared: Value) -> tuple[Value, Value]:
        """Words coded, and what `shared` is then."""
        coding = self.coding
        if not coding.is_exact:
            shared = shared | convert(coding.words.shared(words), coding.type)
        return coding.encode(words, position), shared

    def read_one(self, base: Value, i: Value, shared: Value) -> tuple[Value, Value]:
        """Likewise for element `i` of the line at `base`, in lane 0."""
        coding = self.coding
        (word,) = self.lines.read(0, base, i)
        if not coding.is_exact:
            one = convert(coding.words.shared(word), coding.type)
            shared = self.emit.insert(shared, self.emit.extract(shared, 0) | one, 0)
        return coding.encode(word, i), shared

    def read_line(self, base: Value, state: list[Value], take: Take) -> list[Value]:
        """`take(i, coded, state)` gives the next state for each element of the line at `base`, or
        vector of them; what `shared` is then, and the last state.
        """
        zero, extent = self.f.number(0), self.lines.extent_value
        whole = extent & -self.lanes if self.lines.inner == 1 else zero

        def vector(i: Value, state: list[Value]) -> Sequence[Value]:
            coded, shared = self.read_vector(base + i, self.positions(i), state[0])
            return [shared, *take(i, coded, state[1:])]

        def single(i: Value, state: list[Value]) -> Sequence[Value]:
            coded, shared = self.read_one(base, i, state[0])
            return [shared, *take(i, coded, state[1:])]

        state = self.emit.loop(zero, whole, self.lanes, [self.nothing_shared(), *state], vector)
        return self.emit.loop(whole, extent, 1, state, single)

    def write_vector(self, element: Value, integers: Value) -> None:
        """Decode vectors to where `element` of the first result is."""
        pointer = self.f.pointers[len(self.lines.operands)]
        self.coding.words.store(self.emit, pointer, element, [self.coding.decode(integers)])

    def take(
        self, base: Value, integer: Callable[[Value], Value], first: Value | None = None
    ) -> None:
        """Write the line at `base`, from element `first` on: element i is the one whose position
        `integer(i)` has, or that has this key.
        """

        def one(i: Value) -> None:
            found = integer(i)
            if not self.coding.has_position:
                self.lines.write(0, base, i, [self.coding.decode(found)])
                return
            position = self.coding.position(found)
            for k in range(len(self.lines.operands)):
                self.lines.write(k, base, i, self.lines.read(k, base, position))

        self.f.each(self.f.number(0) if first is None else first, self.lines.extent_value, one)

    def positions(self, first: Value) -> Value:
        return self.emit.splat(first, self.lanes) + self.emit.lane_numbers(self.lanes)
