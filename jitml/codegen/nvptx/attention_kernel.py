"""Attention in one launch: a block takes some rows of queries through all tiles of keys they meet.

In shared memory are the block's queries and the logits of one tile, which become exponentials; no
array over all queries and all keys is made. The steps and their orders are those of the body of
`Attention`: a logit is one chain over the features, the folds of a row are the tree that all
backends share, a tile's part of the result is one chain over its keys. So the bits are the CPU's.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.nvptx.attention import MOST_KEYS, GridAttention
from jitml.codegen.nvptx.attention_limits import Limits
from jitml.codegen.nvptx.block import (
    MOST_SMALL,
    barrier,
    declare_shared,
    divide,
    shared_memory,
    thread_number,
)
from jitml.codegen.nvptx.warp import WARP
from jitml.codegen.nvptx.warp_fold import shuffle
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.attention import HIDDEN, by_name
from jitml.scalar.exponential import exp
from jitml.scalar.value import Value, convert, count_leading_zeros, fma, maximum, minimum, select

THREADS = 128
ROWS = 16  # of queries that a block takes
_PITCH = MOST_KEYS + 4  # of logits; threads that read rows side by side find them in other banks
_WIDTH = 4  # numbers in 16 bytes
_TREE = 64  # lanes of a fold
_WARPS = THREADS // WARP


def attention_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of attention."""
    return _Attention(eqn).text(target)


class _Attention:
    """Writes what a block does for some rows."""

    def __init__(self, eqn: Eqn) -> None:
        assert isinstance(eqn.op, GridAttention)
        self.op = op = eqn.op
        types = by_name([a.type for a in eqn.inputs], op.given)
        tiles, batch, heads, rows, features = types.q.shape
        self.features_count = features
        # Arrays are rows of features: where these fill vectors, slices of arrays are aligned too.
        self.width = _WIDTH if features % _WIDTH == 0 else 1
        self.shares = -(-op.keys // THREADS)  # keys that a thread has
        sizes = (batch, heads, rows, features, types.pairs.shape[0], op.queries, op.keys)
        self.f = f = Function(len(eqn.inputs) + 3, sizes)
        self.emit = emit = f.emit
        emit.aligns_vectors = True
        self.batch, self.heads, self.rows, self.features = f.size[:4]
        self.pairs, self.queries, self.keys = f.size[4:]
        self.last_key = f.argument(op.last_key)
        self.buffers = by_name(f.pointers[: len(eqn.inputs)], op.given)
        self.out, self.top, self.total = f.pointers[len(eqn.inputs) :]
        self.limits = Limits(f, types, self.buffers, op.left, op.right)
        self.units = tiles * batch * heads * -(-rows // ROWS)
        self.is_small = tiles * batch * heads * rows < MOST_SMALL
        self.thread = convert(thread_number(emit), "i64")
        self.q, self.logits, self.shrinks = (
            shared_memory(emit, name) for name in ("queries", "logits", "shrinks")
        )

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._unit(f.begin)
        shared = "".join(
            declare_shared(name, 4 * size)
            for name, size in (
                ("queries", ROWS * self.features_count),
                ("logits", ROWS * _PITCH),
                ("shrinks", ROWS),
            )
        )
        return KernelText(shared + f.text(target), f.sizes, self.units, THREADS, 0)

    def _unit(self, number: Value) -> None:
        """The rows of one unit: those of tile, batch and head, the rows fastest."""
        emit = self.emit
        above, part = divide(number, (self.rows + (ROWS - 1)) / ROWS, self.is_small)
        outer, self.head = divide(above, self.heads, self.is_small)
        self.tile, self.sample = divide(outer, self.batch, self.is_small)
        self.first = part * ROWS
        self.row_base = above * self.rows
        self._bring_queries()
        barrier(emit)
        zero, hidden = (emit.constant("f32", x) for x in (0, HIDDEN))
        own = ROWS // _WARPS
        sums = self._rows_of_thread * self.width
        start = [*[hidden] * own, *[zero] * own, *[zero] * sums]

        def tile(pair: Value, state: list[Value]) -> Sequence[Value]:
            j = convert(self._pair(pair, 1), "i64")
            self._find_logits(j)
            self._limit_logits(j)
            barrier(emit)
            tops, totals = self._exponentials(state[:own], state[own : 2 * own])
            barrier(emit)
            after = self._add_values(j, state[2 * own :])
            barrier(emit)
            return [*tops, *totals, *after]

        first, end = (self._first_pair(self.tile + k) for k in (0, 1))
        state = emit.loop(first, end, 1, start, tile)
        self._write_rows(state[:own], state[own : 2 * own])
        barrier(emit)
        self._write(state[2 * own :])

    # ---- where things are ------------------------------------------------------------------------

    def _pair(self, number: Value, part: int) -> Value:
        return self.emit.load(
            self.emit.address(self.buffers.pairs, number * 2 + part, "i32"), "i32"
        )

    def _first_pair(self, tile: Value) -> Value:
        """The number of the first pair whose queries are not before a tile."""

        def halve(_: Value, state: list[Value]) -> Sequence[Value]:
            least, most = state
            at = (least + most) >> 1
            going = least < most
            number = self._pair(select(going, at, 0), 0)
            before = convert(number, "i64") < tile
            return [select(going & before, at + 1, least), select(going & ~before, at, most)]

        steps = self.f.number(64) - count_leading_zeros(self.pairs)
        return self.emit.loop(self.f.number(0), steps, 1, [self.f.number(0), self.pairs], halve)[0]

    def _load(self, pointer: Value, at: Value, width: int = 1) -> Value:
        return self.emit.load(self.emit.address(pointer, at, "f32"), "f32", width)

    def _store(self, pointer: Value, at: Value, value: Value) -> None:
        self.emit.store(self.emit.address(pointer, at, "f32"), value, "f32")

    def _tile_base(self, j: Value) -> Value:
        """Where a tile of keys or of values begins."""
        return ((j * self.batch + self.sample) * self.heads + self.head) * self.keys * self.features

    # ---- logits ----------------------------------------------------------------------------------

    def _bring_queries(self) -> None:
        """The block's rows of queries; zeros behind the last."""
        base = self.row_base * self.features
        end = self.rows * self.features
        zero = self.emit.constant("f32", 0, self.width)

        def bring(at: Value) -> None:
            place = self.first * self.features + at
            is_there = place < end
            value = self._load(self.buffers.q, base + select(is_there, place, 0), self.width)
            self._store(self.q, at, select(is_there, value, zero))

        self.f.each(self.thread * self.width, self.features * ROWS, bring, THREADS * self.width)

    def _own_keys(self) -> list[Value]:
        """The keys of this thread; they may lie behind the last of the tile."""
        return [self.thread + share * THREADS for share in range(self.shares)]

    def _inside(self, key: Value) -> Value:
        return minimum(key, self.keys - 1)

    def _find_logits(self, j: Value) -> None:
        """Products of all rows with this thread's keys."""
        emit, base = self.emit, self._tile_base(j)
        begins = [base + self._inside(key) * self.features for key in self._own_keys()]
        zero = emit.constant("f32", 0)

        def step(at: Value, sums: list[Value]) -> Sequence[Value]:
            keys = [self._load(self.buffers.k, begin + at, self.width) for begin in begins]
            found = list(sums)
            for row in range(ROWS):
                query = self._load(self.q, self.features * row + at, self.width)
                for share, key in enumerate(keys):
                    place = row * self.shares + share
                    for n in range(self.width):
                        pair = emit.extract(query, n), emit.extract(key, n)
                        found[place] = fma(*pair, found[place])
            return found

        start = [zero] * (ROWS * self.shares)
        sums = iter(emit.loop(self.f.number(0), self.features, self.width, start, step))
        for row in range(ROWS):
            for key in self._own_keys():
                self._store(self.logits, key + row * _PITCH, next(sums))

    def _limit_logits(self, j: Value) -> None:
        """The bias, and what queries may not see, for this thread's keys."""

        def limit(row: Value) -> None:
            number = minimum(self.first + row, self.rows - 1)
            group, query = divide(number, self.queries, self.is_small)
            query = query + self.tile * self.queries
            for own in self._own_keys():
                key = self._inside(own) + j * self.keys
                at = row * _PITCH + own
                place = (self.sample, self.head, group, query, key)
                x = self.limits.apply(self._load(self.logits, at), place)
                # What fills up the last tile counts for nothing, nor does what follows a tile.
                is_there = (own < self.keys) & (key < self.last_key)
                self._store(self.logits, at, select(is_there, x, -math.inf))

        self.f.each(self.f.number(0), self.f.number(ROWS), limit)

    # ---- exponentials ----------------------------------------------------------------------------

    def _warp_rows(self) -> list[Value]:
        """The rows of this thread's warp."""
        warp = self.thread / WARP
        return [warp + k * _WARPS for k in range(ROWS // _WARPS)]

    def _exponentials(
        self, tops: Sequence[Value], totals: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        """Turn the logits into exponentials; the greatest ones and sums with those of this tile."""
        found = [
            self._row(row, before, total)
            for row, before, total in zip(self._warp_rows(), tops, totals, strict=True)
        ]
        return [top for top, _ in found], [total for _, total in found]

    def _row(self, row: Value, before: Value, total: Value) -> tuple[Value, Value]:
        lane = self.thread % WARP
        places = [row * _PITCH + lane + n * WARP for n in range(self.shares * THREADS // WARP)]
        logits = [self._load(self.logits, at) for at in places]
        top = maximum(before, self._fold(logits, -math.inf, maximum))
        shrink = exp(before - top)
        grown = [exp(x - top) for x in logits]
        for at, x in zip(places, grown, strict=True):
            self._store(self.logits, at, x)
        self._store_if(lane == 0, self.shrinks, row, shrink)
        return top, total * shrink + self._fold(grown, 0, lambda a, b: a + b)

    def _fold(
        self, values: Sequence[Value], start: float, combine: Callable[[Value, Value], Value]
    ) -> Value:
        """The fold of a row, of which a thread has every 32nd element: two lanes of the tree."""
        halves = []
        for half in (0, 1):
            x = self.emit.constant("f32", start)
            for value in values[half :: _TREE // WARP]:
                x = combine(x, value)
            halves.append(x)
        x = combine(*halves)
        for distance in (16, 8, 4, 2, 1):
            x = combine(x, shuffle(self.emit, "down", x, distance))
        return shuffle(self.emit, "idx", x, 0)

    # ---- the result ------------------------------------------------------------------------------

    @property
    def _across(self) -> int:
        """Threads that have a row of the result: a power of two."""
        count: int = -(-self.features_count // self.width)
        return 1 << (count - 1).bit_length()

    @property
    def _rows_of_thread(self) -> int:
        return max(1, ROWS * self._across // THREADS)

    def _own_place(self) -> tuple[list[Value], Value, Value]:
        """This thread's rows and first feature of the result, and whether it has any."""
        row = self.thread / self._across * self._rows_of_thread
        feature = self.thread % self._across * self.width
        is_used = (row < ROWS) & (feature < self.features)
        row, feature = select(is_used, row, 0), select(is_used, feature, 0)
        return [row + n for n in range(self._rows_of_thread)], feature, is_used

    def _add_values(self, j: Value, sums: Sequence[Value]) -> list[Value]:
        """The sums with those of one tile more."""
        emit, (rows, feature, _) = self.emit, self._own_place()
        begin = self._tile_base(j) + feature
        zero = emit.constant("f32", 0)

        def steps(count: int) -> Callable[[Value, list[Value]], Sequence[Value]]:
            def step(key: Value, state: list[Value]) -> Sequence[Value]:
                found = list(state)
                values = [
                    self._load(self.buffers.v, begin + (key + n) * self.features, self.width)
                    for n in range(count)
                ]
                weights = [self._load(self.logits, row * _PITCH + key, count) for row in rows]
                for number, weight in enumerate(weights):
                    for n, value in enumerate(values):
                        factor = emit.extract(weight, n)
                        for lane in range(self.width):
                            place = number * self.width + lane
                            found[place] = fma(factor, emit.extract(value, lane), found[place])
                return found

            return step

        whole = self.keys - self.keys % _WIDTH
        state = [zero] * len(sums)
        state = emit.loop(self.f.number(0), whole, _WIDTH, state, steps(_WIDTH))
        state = emit.loop(whole, self.keys, 1, state, steps(1))
        shrinks = [self._load(self.shrinks, row) for row in rows]
        return [
            old * shrinks[place // self.width] + new
            for place, (old, new) in enumerate(zip(sums, state, strict=True))
        ]

    def _write_rows(self, tops: Sequence[Value], totals: Sequence[Value]) -> None:
        """What belongs to rows; the sums also for those who divide by them."""
        for row, top, total in zip(self._warp_rows(), tops, totals, strict=True):
            place = self.first + row
            is_there = (self.thread % WARP == 0) & (place < self.rows)
            at = self.row_base + place
            self._store_if(is_there, self.top, at, top)
            self._store_if(is_there, self.total, at, total)
            self._store_if(is_there, self.shrinks, row, total)

    def _write(self, sums: Sequence[Value]) -> None:
        rows, feature, is_used = self._own_place()
        for number, row in enumerate(rows):
            total = self._load(self.shrinks, row)
            own = [x / total for x in sums[number * self.width :][: self.width]]
            at = (self.row_base + self.first + row) * self.features + feature
            is_there = is_used & (self.first + row < self.rows)
            self._store_if(is_there, self.out, at, self._vector(own))

    def _store_if(self, condition: Value, pointer: Value, at: Value, value: Value) -> None:
        self.emit.if_(condition, lambda: self._store(pointer, at, value))

    def _vector(self, values: Sequence[Value]) -> Value:
        if len(values) == 1:
            return values[0]
        found = self.emit.splat(values[0], len(values))
        for lane, value in enumerate(values[1:], 1):
            found = self.emit.insert(found, value, lane)
        return found
