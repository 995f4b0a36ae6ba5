"""Sorts: blocks sort tiles of lines in shared memory, then launches merge them in pairs.

Merging needs no order among threads: an element's place is its own number plus that of the elements
of the other run that come before it, which a search by halves finds. Of equal elements the earlier
stays in front.

Comes in: a `sort` equation whose operands are contiguous arrays. Goes out: the launches and the
memory between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.emit import KernelText
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    parts_of,
    shared_memory,
    thread_number,
)
from jitml.codegen.sorting.keys import Words, words_of
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.sort import Sort
from jitml.scalar.value import Value, convert, count_leading_zeros, minimum, select

SHORTEST = 33  # lines; a thread sorts shorter ones by itself
_MOST_TILE = 2048
_MOST_THREADS = 256


class Launch(NamedTuple):
    """A kernel, and which of the operands' sets of buffers it reads and writes: INPUT, OUTPUT, or
    the number of a set between.
    """

    code: KernelText
    source: int
    target: int


INPUT, OUTPUT = -1, -2


def is_long(eqn: Eqn) -> bool:
    """Whether lines are too long for a thread to sort them by itself."""
    return eqn.inputs[0].type.size > 0 and _Lines.of(eqn).extent >= SHORTEST


def sort_launches(eqn: Eqn, target: Target) -> list[Launch]:
    """The launches of a sort."""
    lines = _Lines.of(eqn)
    tile = lines.tile
    widths = [tile << k for k in range((-(-lines.extent // tile) - 1).bit_length())]
    found = [Launch(_tile_kernel(lines, not widths, target), INPUT, 0 if widths else OUTPUT)]
    for number, width in enumerate(widths):
        is_last = number == len(widths) - 1
        code = _merge_kernel(lines, width, is_last, target)
        found.append(Launch(code, number % 2, OUTPUT if is_last else (number + 1) % 2))
    return found


class _Lines(NamedTuple):
    """What is sorted: `number` lines of `extent` elements that lie `inner` apart."""

    number: int
    extent: int
    inner: int
    words: tuple[Words, ...]
    keys: int

    @classmethod
    def of(cls, eqn: Eqn) -> _Lines:
        op, shape = eqn.op, eqn.inputs[0].type.shape
        assert isinstance(op, Sort)
        extent, inner = shape[op.dimension], math.prod(shape[op.dimension + 1 :])
        words = tuple(words_of(a.type) for a in eqn.inputs)
        return cls(math.prod(shape) // extent, extent, inner, words, op.num_keys)

    @property
    def tile(self) -> int:
        """How many elements a block sorts: a power of two."""
        most = MOST_SHARED_BYTES // (2 * sum(w.size_bytes for w in self.words))
        wanted = 1 << (self.extent - 1).bit_length()
        return min(_MOST_TILE, 1 << (most.bit_length() - 1), wanted)

    @property
    def is_small(self) -> bool:
        """Whether numbers of elements may be divided in 32 bits."""
        return self.number * self.extent < MOST_SMALL

    def first(self, line: Value, extent: Value, inner: Value) -> Value:
        """Where the first element of a line lies."""
        outer, beside = divide(line, inner, self.is_small)
        return outer * extent * inner + beside


Key = list[Value]


class _Merge:
    """Finds places of elements among the other run's."""

    def __init__(self, f: Function, lines: _Lines) -> None:
        self.f, self.emit, self.lines = f, f.emit, lines

    def key(self, pointers: Sequence[Value], at: Value) -> Key:
        """The key of an element, in one word or several."""
        found = []
        for words, pointer in zip(self.lines.words[: self.lines.keys], pointers, strict=False):
            found += [words.key(w) for w in words.load(self.emit, pointer, at)]
        return found

    def is_less(self, a: Key, b: Key) -> Value:
        """Whether a comes strictly before b."""
        below = a[-1] < b[-1]
        for x, y in zip(reversed(a[:-1]), reversed(b[:-1]), strict=True):
            below = (x < y) | ((x == y) & below)
        return below

    def place(
        self, pointers: Sequence[Value], base: Value, i: Value, ends: tuple[Value, Value, Value]
    ) -> Value:
        """The place of element i of a line at `base`, in which the runs [low, middle) and
        [middle, high) are merged.
        """
        low, middle, high = ends
        own = self.key(pointers, base + i)
        is_right = i >= middle
        begin, end = select(is_right, low, middle), select(is_right, middle, high)

        def halve(_: Value, state: list[Value]) -> Sequence[Value]:
            least, most = state
            at = (least + most) >> 1
            # Where nothing is left the own key is read, and not used.
            going = least < most
            other = self.key(pointers, base + select(going, at, i))
            ahead = self.is_less(other, own) | (is_right & ~self.is_less(own, other))
            return [
                select(going & ahead, at + 1, least),
                select(going & ~ahead, at, most),
            ]

        # A run of n elements takes as many steps as n has bits.
        steps = self.f.number(64) - count_leading_zeros(end - begin)
        before, _ = self.emit.loop(self.f.number(0), steps, 1, [begin, end], halve)
        return i + (before - begin) - select(is_right, middle - low, 0)

    def ends(self, i: Value, width: Value, extent: Value) -> tuple[Value, Value, Value]:
        """The runs of `width` elements, of `extent` in all, one of which has element i."""
        low = i & (self.f.number(0) - width * 2)  # widths are powers of two
        return low, minimum(low + width, extent), minimum(low + width * 2, extent)


def _merge_kernel(lines: _Lines, width: int, is_last: bool, target: Target) -> KernelText:
    """One element for each thread, from one set of buffers to another."""
    count = len(lines.words)
    f = Function(2 * count, (lines.extent, lines.inner if is_last else 1, width))
    extent, inner, run = f.size
    merge = _Merge(f, lines)
    sources, targets = f.pointers[:count], f.pointers[count:]

    def element(number: Value) -> None:
        line, i = divide(number, extent, lines.is_small)
        base = line * extent
        place = merge.place(sources, base, i, merge.ends(i, run, extent))
        there = lines.first(line, extent, inner) + place * inner
        for words, source, pointer in zip(lines.words, sources, targets, strict=True):
            words.store(f.emit, pointer, there, words.load(f.emit, source, base + i))

    element(f.begin)
    return KernelText(f.text(target), f.sizes, lines.number * lines.extent, 1, 0)


def _tile_kernel(lines: _Lines, is_last: bool, target: Target) -> KernelText:
    """One tile for each block, from the operands to the first set of buffers."""
    return _Tile(lines, is_last).text(target)


class _Tile:
    """Writes the sort of one tile, between two places in shared memory."""

    def __init__(self, lines: _Lines, is_last: bool) -> None:
        self.lines = lines
        self.side = lines.tile
        self.threads = min(_MOST_THREADS, max(32, self.side // 4))
        count = len(lines.words)
        self.f = Function(2 * count, (lines.extent, lines.inner, lines.inner if is_last else 1))
        self.emit = self.f.emit
        self.extent, self.inner, self.target_inner = self.f.size
        self.tiles = -(-lines.extent // self.side)
        self.merge = _Merge(self.f, lines)
        self.thread = convert(thread_number(self.emit), "i64")

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._tile(f.begin)
        shared = "".join(
            declare_shared(f"tile{k}", 2 * self.side * w.size_bytes)
            for k, w in enumerate(self.lines.words)
        )
        units = self.lines.number * self.tiles
        return KernelText(shared + f.text(target), f.sizes, units, self.threads, 0)

    def _tile(self, number: Value) -> None:
        f, lines, count = self.f, self.lines, len(self.lines.words)
        tiles = parts_of(self.extent, self.side)
        line, tile = divide(number, tiles, lines.is_small)
        first = tile * self.side
        size = minimum(self.extent - first, f.number(self.side))
        source, target = (
            lines.first(line, self.extent, inner) + first * inner
            for inner in (self.inner, self.target_inner)
        )

        def copy_in(i: Value) -> None:
            for k, words in enumerate(lines.words):
                word = words.load(self.emit, f.pointers[k], source + i * self.inner)
                words.store(self.emit, self._buffers(f.number(0))[k], i, word)

        def level(bit: Value) -> None:
            barrier(self.emit)
            here, there = self._buffers(bit & 1), self._buffers(bit + 1 & 1)
            width = f.number(1) << bit

            def move(i: Value) -> None:
                ends = self.merge.ends(i, width, size)
                place = self.merge.place(here, f.number(0), i, ends)
                for k, words in enumerate(lines.words):
                    words.store(self.emit, there[k], place, words.load(self.emit, here[k], i))

            self._each(size, move)

        levels = f.number(self.side.bit_length() - 1)

        def copy_out(i: Value) -> None:
            for k, words in enumerate(lines.words):
                word = words.load(self.emit, self._buffers(levels & 1)[k], i)
                pointer = f.pointers[count + k]
                words.store(self.emit, pointer, target + i * self.target_inner, word)

        self._each(size, copy_in)
        f.each(f.number(0), levels, level)
        barrier(self.emit)
        self._each(size, copy_out)

    def _each(self, size: Value, body: Callable[[Value], None]) -> None:
        """Run `body` for the elements that are this thread's."""
        self.f.each(self.thread, size, body, self.threads)

    def _buffers(self, side: Value) -> list[Value]:
        """Where the operands' elements lie, on one of two sides."""
        return [
            self.emit.address(
                shared_memory(self.emit, f"tile{k}"), side * (self.side * w.size_bytes), "u8"
            )
            for k, w in enumerate(self.lines.words)
        ]
