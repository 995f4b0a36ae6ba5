"""What a block of attention has in shared memory: panels of its operands, and some exponentials.

A panel of features has 8 numbers of each query of the block and of each key of a tile; a panel of
values has 32 keys' rows. They come by cp.async into one of two stages: while one panel is
multiplied, the next is on its way. Runs of 16 bytes in panels of features have their places
exchanged, so that those of eight keys are in different banks.

Each warp has 8 rows of queries. Of a row's logits a lane has those of every 32nd key, in registers;
of a row of the result, 4 features side by side.

Comes in: a function under construction, the block's measures, where rows lie. Goes out: values and
lines of its text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from jitml.codegen.nvptx.asynchronous import close_copies, copy_later
from jitml.codegen.nvptx.block import declare_shared, shared_memory, thread_number
from jitml.codegen.nvptx.warp import WARP
from jitml.codegen.special import Function
from jitml.scalar.value import Value, convert, fma, select

WARP_ROWS = 4  # of queries that a warp has: they have their runs in one order
DEPTH = 8  # features in a panel
WIDTH = 4  # numbers in 16 bytes
_BYTES = 4  # of a number
_ROW_BYTES = DEPTH * _BYTES  # of a panel of features
_KEYS_AT_ONCE = 2  # of a panel of values: more take more registers
_PITCH = WARP + WIDTH  # of rows of exponentials: they begin in different banks


class Block(NamedTuple):
    """The measures of a block: features, warps, and the keys that a lane has of a tile."""

    features: int
    warps: int
    shares: int

    @property
    def threads(self) -> int:
        return self.warps * WARP

    @property
    def rows(self) -> int:
        """Of queries."""
        return self.warps * WARP_ROWS

    @property
    def keys(self) -> int:
        """That a panel has room for."""
        return self.shares * WARP

    @property
    def across(self) -> int:
        """Lanes that have a row of the result: a power of two."""
        count = -(-self.features // WIDTH)
        return 1 << (count - 1).bit_length()

    @property
    def lane_rows(self) -> int:
        """Rows of the result of which a lane has a part."""
        return max(1, WARP_ROWS * self.across // WARP)

    @property
    def stage_bytes(self) -> int:
        """The larger of a panel of features and one of values."""
        features = (self.rows + self.keys) * DEPTH
        return _BYTES * max(features, WARP * self.across * WIDTH)


class Rows(NamedTuple):
    """Where rows of features begin, and how many there are: less than 2³¹ numbers in all."""

    pointer: Value
    height: Value


class Panels:
    """The shared memory of a block, and what its threads do with it."""

    def __init__(self, f: Function, block: Block, features: Value) -> None:
        self.f, self.emit, self.block, self.features = f, f.emit, block, features
        # Arrays are rows of features: where these fill vectors, slices of arrays are aligned too.
        self.width = WIDTH if block.features % WIDTH == 0 else 1
        self.thread = thread_number(self.emit)
        self.lane, self.warp = self.thread % WARP, self.thread / WARP
        self.stages = shared_memory(self.emit, "stages")
        self.weights = shared_memory(self.emit, "weights")

    def shared_memory(self) -> str:
        """Its declarations."""
        weights = _BYTES * _PITCH * self.block.rows
        stages = declare_shared("stages", 2 * self.block.stage_bytes, 128)
        return stages + declare_shared("weights", weights)

    @property
    def first_row(self) -> Value:
        """The first row of this thread's part of the result, in its warp."""
        row = self.lane / self.block.across * self.block.lane_rows
        return row if self.block.across * WARP_ROWS >= WARP else select(row < WARP_ROWS, row, 0)

    @property
    def first_feature(self) -> Value:
        """The first feature of this thread's part of the result."""
        return self.lane % self.block.across * WIDTH

    # ---- copies ----------------------------------------------------------------------------------

    def ask_for_features(self, stage: Value, first: Value, queries: Rows, keys: Rows) -> None:
        """Ask for the panel that begins at a feature."""
        begin = stage * self.block.stage_bytes
        parts = DEPTH // self.width
        self._ask(keys, self.block.keys, parts, first, partial(self._cell, begin))
        begin = begin + self.block.keys * _ROW_BYTES
        self._ask(queries, self.block.rows, parts, first, partial(self._cell, begin))
        close_copies(self.emit)

    def ask_for_values(self, stage: Value, values: Rows) -> None:
        """Ask for a panel of values."""
        begin, pitch = stage * self.block.stage_bytes, self.block.across * WIDTH

        def cell(row: Value, feature: Value) -> Value:
            return begin + (row * pitch + feature) * _BYTES

        self._ask(values, WARP, pitch // self.width, self.f.number(0), cell)

    def _ask(
        self,
        source: Rows,
        count: int,
        parts: int,
        first: Value,
        cell: Callable[[Value, Value], Value],
    ) -> None:
        """Ask for so many rows, in so many parts each, from a feature on; zeros beyond the last."""
        emit, threads, size = self.emit, self.block.threads, self.width * _BYTES
        features = convert(self.features, "u32")
        feature = self.thread % parts * self.width
        at = convert(first, "u32") + feature

        def copy(number: Value) -> None:
            row = convert(number, "u32") / parts
            is_there = (row < source.height) & (at < features)
            place = convert(select(is_there, row * features + at, 0), "i64")
            target = emit.address(self.stages, convert(cell(row, feature), "i64"), "u8")
            wanted = select(is_there, emit.constant("u32", size), 0)
            copy_later(emit, target, emit.address(source.pointer, place, "f32"), size, wanted)

        thread = convert(self.thread, "i64")
        self.f.each(thread, self.f.number(count * parts), copy, threads)

    @staticmethod
    def _cell(begin: Value, row: Value, feature: Value) -> Value:
        """Where a number of a panel of features lies, in bytes."""
        run = feature / WIDTH ^ (row / WIDTH & 1)
        return begin + row * _ROW_BYTES + (run * WIDTH + feature % WIDTH) * _BYTES

    # ---- products --------------------------------------------------------------------------------

    def _load(self, memory: Value, begin: Value, offset: int, width: int) -> Value:
        place = self.emit.address(memory, convert(begin, "i64"), "u8")
        return self.emit.load(self.emit.address(place, self.f.number(offset), "u8"), "f32", width)

    def add_products(self, stage: Value, count: Value, sums: Sequence[Value]) -> list[Value]:
        """The logits of this thread's rows and keys with so many features more of a panel."""
        begin = stage * self.block.stage_bytes
        queries = begin + self.block.keys * _ROW_BYTES

        def step(used: int, at: Value, state: list[Value]) -> Sequence[Value]:
            """A run of features, of which the first `used` count."""
            feature, found = convert(at, "u32"), list(state)
            first = self._cell(queries, self.warp * WARP_ROWS, feature)
            rows = [
                self._load(self.stages, first, row * _ROW_BYTES, WIDTH) for row in range(WARP_ROWS)
            ]
            first = self._cell(begin, self.lane, feature)
            for n in range(self.block.shares):
                key = self._load(self.stages, first, n * WARP * _ROW_BYTES, WIDTH)
                for row, query in enumerate(rows):
                    place = row * self.block.shares + n
                    for k in range(used):
                        pair = self.emit.extract(query, k), self.emit.extract(key, k)
                        found[place] = fma(*pair, found[place])
            return found

        whole, rest = count - count % WIDTH, self.block.features % WIDTH
        zero = self.f.number(0)
        found = self.emit.loop(zero, whole, WIDTH, sums, partial(step, WIDTH))
        return self.emit.loop(whole, count, WIDTH, found, partial(step, rest)) if rest else found

    def add_values(self, stage: Value, count: Value, sums: Sequence[Value]) -> list[Value]:
        """This thread's part of the result with so many keys more of a panel of values."""
        emit, block = self.emit, self.block
        begin = stage * block.stage_bytes + self.first_feature * _BYTES
        own = (self.warp * WARP_ROWS + self.first_row) * (_PITCH * _BYTES)
        pitch = block.across * WIDTH * _BYTES

        def step(count: int, at: Value, state: list[Value]) -> Sequence[Value]:
            key, found = convert(at, "u32"), list(state)
            values = [
                self._load(self.stages, begin + key * pitch, n * pitch, WIDTH) for n in range(count)
            ]
            for row in range(block.lane_rows):
                weights = self._load(self.weights, own + key * _BYTES, row * _PITCH * _BYTES, count)
                for n, value in enumerate(values):
                    factor = emit.extract(weights, n)
                    for k in range(row * WIDTH, (row + 1) * WIDTH):
                        found[k] = fma(factor, emit.extract(value, k % WIDTH), found[k])
            return found

        whole = count - count % _KEYS_AT_ONCE
        state = emit.loop(
            self.f.number(0), whole, _KEYS_AT_ONCE, sums, partial(step, _KEYS_AT_ONCE)
        )
        return emit.loop(whole, count, 1, state, partial(step, 1))

    def keep_weights(self, weights: Sequence[Value]) -> None:
        """Leave one of this thread's exponentials of each row to the lanes of its warp."""
        first = (self.warp * (WARP_ROWS * _PITCH) + self.lane) * _BYTES
        place = self.emit.address(self.weights, convert(first, "i64"), "u8")
        for row, weight in enumerate(weights):
            at = self.emit.address(place, self.f.number(row * _PITCH), "f32")
            self.emit.store(at, weight, "f32")
