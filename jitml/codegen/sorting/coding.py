"""Elements as unsigned integers that a network can sort, and back.

A key alone is such an integer where there is nothing to move but keys of one word. Else it is a
key of at most 32 bits with the element's position behind it: then no two are equal, equal keys keep
their order, and the positions say where each element comes from.
"""

from __future__ import annotations

from jitml.codegen.sorting.lines import Lines
from jitml.codegen.sorting.network import Integers
from jitml.codegen.target import Target
from jitml.scalar.value import Value, convert

_POSITION_BITS = 32
_LEAST_LANES = 4  # of vectors; a compiler splits those that a machine has not


class Coding:
    """How the elements of lines are coded; `fits` says whether they can be.

    Positions are coded if asked for, or if there is more to move than keys. The order can be
    `reverse`; of equal keys the earlier comes first all the same.
    """

    def __init__(
        self, lines: Lines, target: Target, has_position: bool = False, reverse: bool = False
    ) -> None:
        self.lines, self.words = lines, lines.keys[0]
        self.f, self.reverse = lines.f, reverse
        self.has_position = has_position or len(lines.operands) > 1
        wide = self.has_position or self.words.bits > 32
        self.type = "u64" if wide else "u32"
        self.lanes = max(_LEAST_LANES, target.lanes(8 if wide else 4))
        fits_word = len(lines.keys) == 1 and self.words.per_element == 1
        narrow = self.words.bits <= 32 and lines.extent <= 1 << _POSITION_BITS
        self.fits = fits_word and (narrow or not self.has_position)

    @property
    def size_bytes(self) -> int:
        """Of one integer."""
        return 8 if self.type == "u64" else 4

    @property
    def last(self) -> Value:
        """An integer behind which none comes."""
        return self.f.emit.constant(self.type, (1 << 8 * self.size_bytes) - 1)

    def integers(self, pointer: Value) -> Integers:
        return Integers(self.f.emit, self.type, self.lanes, pointer)

    def encode(self, word: Value, position: Value) -> Value:
        """The integers of words, from `position` on (a number for each of them)."""
        key = self.words.key(word)
        key = convert(~key if self.reverse else key, self.type)
        if not self.has_position:
            return key
        return (key << _POSITION_BITS) | convert(position, "u64")

    def decode(self, integer: Value) -> Value:
        """The word that had a key, unless several words have it."""
        return self.words.word(convert(integer, self.words.type))

    def position(self, integer: Value) -> Value:
        """Where in its line the element was."""
        return convert(integer & ((1 << _POSITION_BITS) - 1), "i64")

    @property
    def is_exact(self) -> bool:
        """Whether elements can be had back from their integers whatever they are."""
        return self.has_position or not self.words.may_share

    def restore(self, base: Value) -> None:
        """Put the elements of the line at `base` that share a key, zeros and NaNs, in their places
        in a sorted line: in the order in which they were.
        """
        lines, words, zero = self.lines, self.words, self.f.number(0)
        zero_key = 1 << words.bits - 1

        def count(i: Value, state: list[Value]) -> list[Value]:
            (word,) = lines.read(0, base, i)
            below = convert(words.key(word) < zero_key, "i64")
            nan = convert(words.is_nan(word), "i64")
            return [state[0] + below, state[1] - nan]

        start = [zero, lines.extent_value]
        places = self.f.emit.loop(zero, lines.extent_value, 1, start, count)

        def put(i: Value, state: list[Value]) -> list[Value]:
            (word,) = lines.read(0, base, i)
            is_zero, is_nan = words.is_zero(word), words.is_nan(word)
            self.f.emit.if_(is_zero, lambda: lines.write(0, base, state[0], [word]))
            self.f.emit.if_(is_nan, lambda: lines.write(0, base, state[1], [word]))
            return [state[0] + convert(is_zero, "i64"), state[1] + convert(is_nan, "i64")]

        self.f.emit.loop(zero, lines.extent_value, 1, places, put)
