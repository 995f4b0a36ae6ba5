"""Long lines: a radix sort, byte by byte from the least significant one of the last key.

A pass moves all operands to where their byte belongs; bytes that all elements have in common cost
no pass. Equal elements keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.keys import Words
from jitml.codegen.sorting.lines import Lines
from jitml.codegen.target import Target
from jitml.scalar.value import Value, convert, select

LONGEST = (1 << 32) - 1  # elements are counted in 32 bits
_DIGITS = 256
_COUNT_BYTES = 4 * _DIGITS


def radix_cost(extent: int, keys: Sequence[Words]) -> float:
    """About how many nanoseconds a line takes."""
    passes = sum(k.size_bytes for k in keys)
    return passes * (5 * extent + 300) + 2 * extent


def radix_kernel(lines: Lines, target: Target) -> KernelText:
    """The kernel that sorts one line after the other."""
    passes = sum(w.size_bytes for w in lines.keys)
    sorter = _Radix(lines, passes * _COUNT_BYTES)
    lines.each_line(sorter.line)
    cost = radix_cost(lines.extent, lines.keys)
    return lines.text(target, cost, passes * _COUNT_BYTES + 2 * lines.half_bytes)


class _Radix:
    """Writes the sort of one line: counts, then passes between two sets of buffers."""

    def __init__(self, lines: Lines, counts_bytes: int) -> None:
        self.lines, self.f = lines, lines.f
        self.emit = lines.f.emit
        self.counts_bytes = counts_bytes

    def line(self, base: Value) -> None:
        f, lines = self.f, self.lines
        zero, extent = f.number(0), lines.extent_value
        f.each(zero, f.number(self.counts_bytes // 4), self._clear, 8)
        f.each(zero, extent, lambda i: self._count_and_copy(base, i))
        side, first = zero, self.counts_bytes // _COUNT_BYTES
        for number, words, part in reversed(self._parts()):
            first -= words.bits // 8
            side = self._passes(number, words, part, first, side)

        def copy_out(i: Value) -> None:
            for k, words in enumerate(lines.operands):
                x = words.load(self.emit, self._buffer(k, side), i)
                lines.write(k, base, i, x)

        f.each(zero, extent, copy_out)

    def _parts(self) -> list[tuple[int, Words, int]]:
        """The words of the keys, the first that decides first: operand, words, which of them."""
        keys = enumerate(self.lines.keys)
        return [(k, words, part) for k, words in keys for part in range(words.per_element)]

    def _clear(self, i: Value) -> None:
        zeros = self.emit.constant("u32", 0, 8)
        self.emit.store(self._count(i), zeros, "u32")

    def _count(self, index: Value) -> Value:
        return self.emit.address(self.f.scratch, index, "u32")

    def _buffer(self, operand: int, side: Value) -> Value:
        offset = self.lines.offsets[operand] + side * self.lines.half + self.counts_bytes
        return self.emit.address(self.f.scratch, offset, "u8")

    def _count_and_copy(self, base: Value, i: Value) -> None:
        """Copy an element to the first buffers, and count each byte of its keys."""
        emit, first = self.emit, 0
        for number, words in enumerate(self.lines.operands):
            element = self.lines.read(number, base, i)
            words.store(emit, self._buffer(number, self.f.number(0)), i, element)
            for word in element if number < len(self.lines.keys) else ():
                key = words.key(word)
                for byte in range(words.bits // 8):
                    digit = _digit(key, key.like(8 * byte))
                    place = self._count(digit + (first + byte) * _DIGITS)
                    emit.store(place, emit.load(place, "u32") + 1, "u32")
                first += words.bits // 8

    def _passes(self, operand: int, words: Words, part: int, first: int, side: Value) -> Value:
        """The passes over the bytes of one word of a key; the side that its elements end on."""

        def one(byte: Value, state: list[Value]) -> Sequence[Value]:
            source = [self._buffer(k, state[0]) for k in range(len(self.lines.operands))]
            target = [self._buffer(k, 1 - state[0]) for k in range(len(self.lines.operands))]
            counts = (byte + first) * _DIGITS
            shift = convert(byte * 8, words.type)

            def digit(at: Value) -> Value:
                word = words.load(self.emit, source[operand], at)[part]
                return _digit(words.key(word), shift)

            common = self.emit.load(self._count(counts + digit(self.f.number(0))), "u32")
            skipped = convert(common, "i64") == self.lines.extent_value
            count = select(skipped, self.f.number(0), self.lines.extent_value)
            self._sum_up(counts, select(skipped, self.f.number(0), self.f.number(_DIGITS)))

            def move(i: Value) -> None:
                elements = [
                    w.load(self.emit, s, i)
                    for w, s in zip(self.lines.operands, source, strict=True)
                ]
                key = words.key(elements[operand][part])
                place = self._count(counts + _digit(key, shift))
                position = self.emit.load(place, "u32")
                self.emit.store(place, position + 1, "u32")
                at = convert(position, "i64")
                for w, t, element in zip(self.lines.operands, target, elements, strict=True):
                    w.store(self.emit, t, at, element)

            self.f.each(self.f.number(0), count, move)
            return [select(skipped, state[0], 1 - state[0])]

        zero, size = self.f.number(0), self.f.number(words.bits // 8)
        return self.emit.loop(zero, size, 1, [side], one)[0]

    def _sum_up(self, counts: Value, size: Value) -> None:
        """From how many there are of each digit to where the first of each belongs."""

        def one(i: Value, state: list[Value]) -> Sequence[Value]:
            place = self._count(counts + i)
            count = self.emit.load(place, "u32")
            self.emit.store(place, state[0], "u32")
            return [state[0] + count]

        self.emit.loop(self.f.number(0), size, 1, [self.emit.constant("u32", 0)], one)


def _digit(key: Value, shift: Value) -> Value:
    return convert((key >> shift) & 255, "i64")
