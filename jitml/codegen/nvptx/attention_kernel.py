"""Attention in one launch: a block takes some rows of queries through all tiles of keys they meet.

A lane has the logits of its warp's rows and of its own keys in registers, where they become
exponentials; no array over all queries and all keys is made, and each tile of keys and values is
read once for all rows of the block. The steps and their orders are those of the body of
`Attention`: a logit is one chain over the features, the folds of a row are the tree that all
backends share, a tile's part of the result is one chain over its keys. So the bits are the CPU's.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.nvptx.asynchronous import await_copies, close_copies
from jitml.codegen.nvptx.attention import GridAttention
from jitml.codegen.nvptx.attention_limits import Limits
from jitml.codegen.nvptx.attention_panels import (
    DEPTH,
    WARP_ROWS,
    WIDTH,
    Block,
    Panels,
    Rows,
)
from jitml.codegen.nvptx.block import MOST_SMALL, barrier, divide, parts_of
from jitml.codegen.nvptx.warp import WARP
from jitml.codegen.nvptx.warp_fold import shuffle
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.attention import HIDDEN, by_name
from jitml.scalar.exponential import exp
from jitml.scalar.value import Value, convert, count_leading_zeros, maximum, minimum, select

MOST_ROWS = 64  # of queries that a block takes
_LEAST_WARPS = 4  # fewer would bring panels slowly
_TREE = 64  # lanes of a fold


def attention_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of attention."""
    return _Attention(eqn).text(target)


def _warps(rows: int) -> int:
    """How many warps share a tile: enough for all rows, within limits; a power of two."""
    wanted = -(-min(MOST_ROWS, rows) // WARP_ROWS)
    return max(_LEAST_WARPS, 1 << (wanted - 1).bit_length())


class _Attention:
    """Writes what a block does for some rows."""

    def __init__(self, eqn: Eqn) -> None:
        assert isinstance(eqn.op, GridAttention)
        op, tiling = eqn.op, eqn.op.tiling
        types = by_name([a.type for a in eqn.inputs], op.given)
        tiles, batch, heads, rows, features = types.q.shape
        self.block = Block(features, _warps(rows), -(-tiling.keys // WARP))
        sizes = (batch, heads, rows, features, types.pairs.shape[0], tiling.queries, tiling.keys)
        self.f = f = Function(len(eqn.inputs) + 3, sizes)
        self.emit = f.emit
        self.emit.aligns_vectors = True
        self.batch, self.heads, self.rows, self.features = f.size[:4]
        self.pairs, self.queries, self.keys = f.size[4:]
        self.last_key = f.argument(tiling.last_key)
        self.buffers = by_name(f.pointers[: len(eqn.inputs)], op.given)
        self.out, self.top, self.total = f.pointers[len(eqn.inputs) :]
        self.limits = Limits(f, types, self.buffers, tiling.left, tiling.right)
        self.units = tiles * batch * heads * -(-rows // self.block.rows)
        self.is_small = tiles * batch * heads * rows < MOST_SMALL
        self.panels = Panels(f, self.block, self.features)
        self.lane = convert(self.panels.lane, "i64")
        self.warp_row = convert(self.panels.warp, "i64") * WARP_ROWS

    def text(self, target: Target) -> KernelText:
        f = self.f
        self._unit(f.begin)
        text = self.panels.shared_memory() + f.text(target)
        return KernelText(text, f.sizes, self.units, self.block.threads, 0)

    def _unit(self, number: Value) -> None:
        """The rows of one unit: those of tile, batch and head, the rows fastest."""
        count = parts_of(self.rows, self.block.rows)
        above, part = divide(number, count, self.is_small)
        outer, self.head = divide(above, self.heads, self.is_small)
        self.tile, self.sample = divide(outer, self.batch, self.is_small)
        self.first = part * self.block.rows
        self.row_base = above * self.rows
        own = minimum(self.first + self.warp_row + self.lane, self.rows - 1)
        pair = divide(own, self.queries, self.is_small)
        self.group_and_query = [convert(x, "u32") for x in pair]
        first, end = (self._first_pair(self.tile + k) for k in (0, 1))
        zero, hidden = (self.emit.constant("f32", x) for x in (0, HIDDEN))
        start = [hidden, zero, *[zero] * (self.block.lane_rows * WIDTH)]
        top, total, *sums = self.emit.loop(first, end, 1, start, self._tile)
        self._write_rows(top, total)
        self._write(total, sums)

    def _tile(self, pair: Value, state: list[Value]) -> Sequence[Value]:
        """The greatest logit and the sum of exponentials of the row that this lane counts for, and
        this thread's part of the result, with one tile of keys more.
        """
        before, total, *sums = state
        j = convert(self._pair(pair, 1), "i64")
        stage, logits = self._logits(j)
        self.panels.ask_for_values(stage, self._values(j, self.f.number(0)))
        close_copies(self.emit)
        top, weights, grown = self._exponentials(before, self._limited(j, logits))
        shrink = exp(before - top)
        own = [shuffle(self.emit, "idx", shrink, row) for row in self._own_rows()]
        found = [
            old * own[place // WIDTH] + new
            for place, (old, new) in enumerate(
                zip(sums, self._attended(j, stage, weights), strict=True)
            )
        ]
        return [top, total * shrink + grown, *found]

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

    def _tile_base(self, j: Value) -> Value:
        """Where a tile of keys or of values begins."""
        return ((j * self.batch + self.sample) * self.heads + self.head) * self.keys * self.features

    def _values(self, j: Value, key: Value) -> Rows:
        """The values of a tile from a key on."""
        origin = self._tile_base(j) + key * self.features
        return self._rows(self.buffers.v, origin, self.keys - key)

    def _rows(self, pointer: Value, origin: Value, count: Value) -> Rows:
        return Rows(self.emit.address(pointer, origin, "f32"), convert(count, "u32"))

    def _own_rows(self) -> list[Value]:
        """The rows of the result of which this thread has a part, in its warp."""
        return [self.panels.first_row + n for n in range(self.block.lane_rows)]

    # ---- logits ----------------------------------------------------------------------------------

    def _logits(self, j: Value) -> tuple[Value, list[Value]]:
        """The stage that is free then, and the products of this warp's rows with this lane's keys,
        key by key for each row.
        """
        emit, panels = self.emit, self.panels
        origin = (self.row_base + self.first) * self.features
        count = minimum(self.rows - self.first, self.block.rows)
        queries = self._rows(self.buffers.q, origin, count)
        keys = self._rows(self.buffers.k, self._tile_base(j), self.keys)
        barrier(emit)  # others may still read what the last tile left
        stage, zero = emit.constant("u32", 0), emit.constant("f32", 0)
        panels.ask_for_features(stage, self.f.number(0), queries, keys)

        def panel(feature: Value, state: list[Value]) -> Sequence[Value]:
            stage, *sums = state
            await_copies(emit, 0)
            barrier(emit)
            following = feature + DEPTH
            emit.if_(
                following < self.features,
                lambda: panels.ask_for_features(stage ^ 1, following, queries, keys),
            )
            count = minimum(self.features - feature, DEPTH)
            return [stage ^ 1, *panels.add_products(stage, count, sums)]

        start = [stage, *[zero] * (WARP_ROWS * self.block.shares)]
        stage, *found = emit.loop(self.f.number(0), self.features, DEPTH, start, panel)
        return stage, found

    def _limited(self, j: Value, logits: Sequence[Value]) -> list[list[Value]]:
        """For each row the logits with the bias, where the query may see the key."""
        first, shares = j * self.keys, self.block.shares
        # What fills up the last tile counts for nothing, nor does what follows a tile.
        count = minimum(self.keys, self.last_key - first)
        rows = range(WARP_ROWS) if self.limits.are_any else ()
        places = [(self.sample, self.head, *self._query(row)) for row in rows]
        found: list[list[Value]] = [[] for _ in range(WARP_ROWS)]
        for n in range(shares):
            is_there = convert(self.panels.lane, "i32") < convert(count, "i32") - n * WARP
            key = first + minimum(self.lane + n * WARP, count - 1)
            own = logits[n::shares]
            if places:
                own = [self.limits.apply(x, (*p, key)) for x, p in zip(own, places, strict=True)]
            for row, x in zip(found, own, strict=True):
                row.append(select(is_there, x, -math.inf))
        return found

    def _query(self, row: int) -> list[Value]:
        """The group and query of one of the warp's rows. The lane that counts for it tells the
        others: what each computed would stay in registers all the time.
        """
        group, query = (
            convert(shuffle(self.emit, "idx", x, row), "i64") for x in self.group_and_query
        )
        return [group, query + self.tile * self.queries]

    # ---- exponentials ----------------------------------------------------------------------------

    def _exponentials(
        self, before: Value, logits: Sequence[Sequence[Value]]
    ) -> tuple[Value, list[list[Value]], Value]:
        """The greatest logit of this lane's row, with one tile more; the exponentials of all rows;
        their sum in this lane's row.
        """
        top = maximum(before, self._by_lane([self._fold(x, -math.inf, maximum) for x in logits]))
        weights = []
        for number, row in enumerate(logits):
            own = shuffle(self.emit, "idx", top, number)
            weights.append([exp(x - own) for x in row])
        grown = self._by_lane([self._fold(x, 0, lambda a, b: a + b) for x in weights])
        return top, weights, grown

    def _by_lane(self, rows: Sequence[Value]) -> Value:
        """Of what belongs to rows, what belongs to that with this lane's number."""
        found = rows[0]
        for number, x in enumerate(rows[1:], 1):
            found = select(self.panels.lane == number, x, found)
        return found

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

    def _attended(self, j: Value, stage: Value, weights: Sequence[Sequence[Value]]) -> list[Value]:
        """This thread's part of the result of one tile, whose first values are on their way."""
        emit, panels, shares = self.emit, self.panels, self.block.shares
        flat = [x for n in range(shares) for x in (row[n] for row in weights)]

        def panel(key: Value, state: list[Value]) -> Sequence[Value]:
            stage, *rest = state
            own, sums = rest[: len(flat)], rest[len(flat) :]
            barrier(emit)  # the last panel and its exponentials have been read
            panels.keep_weights(own[:WARP_ROWS])
            following = key + WARP
            emit.if_(
                following < self.keys,
                lambda: panels.ask_for_values(stage ^ 1, self._values(j, following)),
            )
            close_copies(emit)
            await_copies(emit, 1)
            barrier(emit)
            count = minimum(self.keys - key, WARP)
            after = panels.add_values(stage, count, sums)
            return [stage ^ 1, *own[WARP_ROWS:], *own[:WARP_ROWS], *after]

        zero = emit.constant("f32", 0)
        start = [stage, *flat, *[zero] * (self.block.lane_rows * WIDTH)]
        return emit.loop(self.f.number(0), self.keys, WARP, start, panel)[1 + len(flat) :]

    def _write_rows(self, top: Value, total: Value) -> None:
        """What belongs to the row that this lane counts for."""
        place = self.first + self.warp_row + self.lane
        is_there = (self.lane < WARP_ROWS) & (place < self.rows)

        def write() -> None:
            self._store(self.top, self.row_base + place, top)
            self._store(self.total, self.row_base + place, total)

        self.emit.if_(is_there, write)

    def _write(self, total: Value, sums: Sequence[Value]) -> None:
        """This thread's part of the result."""
        feature = convert(self.panels.first_feature, "i64")
        is_used = self.panels.lane / self.block.across * self.block.lane_rows < WARP_ROWS
        for number, row in enumerate(self._own_rows()):
            whole = shuffle(self.emit, "idx", total, row)
            own = [x / whole for x in sums[number * WIDTH :][:WIDTH]]
            place = self.first + self.warp_row + convert(row, "i64")
            is_there = is_used & (place < self.rows)
            at = (self.row_base + place) * self.features + feature
            for first in range(0, WIDTH, self.panels.width):
                part = self._vector(own[first:][: self.panels.width])
                is_inside = is_there & (feature + first < self.features)
                self._store_if(is_inside, self.out, at + first, part)

    def _store(self, pointer: Value, at: Value, value: Value) -> None:
        self.emit.store(self.emit.address(pointer, at, "f32"), value, "f32")

    def _store_if(self, condition: Value, pointer: Value, at: Value, value: Value) -> None:
        self.emit.if_(condition, lambda: self._store(pointer, at, value))

    def _vector(self, values: Sequence[Value]) -> Value:
        if len(values) == 1:
            return values[0]
        found = self.emit.splat(values[0], len(values))
        for lane, value in enumerate(values[1:], 1):
            found = self.emit.insert(found, value, lane)
        return found
