"""Reductions along memory by the threads of a warp, in the tree that all backends share.

Element k of a reduction belongs to lane k mod 64 of the tree, in order; then lanes 32 apart are
combined, 16 apart, and so on. A thread holds two lanes, 32 apart: it combines those by itself, and
the rest by shuffles. So the bits are the CPU's.

Comes in: a kernel whose reductions run along memory, once for each unit. Goes out: the text of
their folds, and of loops whose steps the threads share. Values that several loops need stay in
shared memory, each for the thread that made it, so that rows are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.fold import LANES, Fold, State
from jitml.codegen.kernel import Axis, Kernel, Node, Reduce
from jitml.codegen.llvm import Emitter, llvm_type
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.codegen.row_buffer import loads_to_keep, nodes_to_keep
from jitml.scalar.value import BITS, Value, bitcast, convert

WARP = 32


def suits_warps(kernel: Kernel) -> bool:
    """Whether a kernel's reductions run along memory over more than a warp, once for each unit."""
    nodes = kernel.nodes()
    outer = set(kernel.live_outer())
    folds = [n for n in nodes if n.name == "reduce" and n.data.axis is not None]
    longest = [n for n in folds if is_by_warp(n.data)]
    if not longest:
        return False
    if any(not n.axes <= outer for n in folds):
        return False
    axes = {n.data.axis for n in longest}
    loads = [n.data.index for n in nodes if n.name == "load" and n.axes & axes]
    along = sum(any(i.coefficient(a) in (1, 2) for a in axes) for i in loads)
    inner = [a for a in kernel.inner if not a.merged and a.extent != 1]
    stores_along = all(
        s.index.coefficient(inner[-1]) == 1 for s in kernel.stores if inner and inner[-1] in
        (s.index.axes | {a for n in s.roots for a in n.axes})
    )  # fmt: skip
    return 2 * along >= len(loads) and stores_along


def is_by_warp(spec: Reduce) -> bool:
    """Whether the tree of a reduction has all its lanes, and accumulators that move by shuffles."""
    axis = spec.axis
    return axis is not None and axis.extent > LANES // 2 and spec.runs_along_lanes


class Warp:
    """The threads that take a unit together, at a place of the nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.emit = nest.emit
        nest.write_node = self._write
        self._row_bytes = 0

    @property
    def lane(self) -> Value:
        """The number of this thread in its warp."""
        return convert(thread_number(self.emit) & (WARP - 1), "i64")

    def _write(self, nest: Nest, node: Node) -> object:
        if node.name == "reduce" and is_by_warp(node.data):
            return _WarpFold(nest, node, self).run()
        return write_node(nest, node)

    def by_first_lane(self, body: Callable[[], None]) -> None:
        """Let one thread do it."""
        self.emit.if_(self.lane == 0, body)

    def loop(self, axis: Axis, body: Callable[[], None]) -> None:
        """A loop over all of `axis`, whose steps the threads share."""
        nest = self.nest

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            with nest.at(axis, index, None):
                body()
            return []

        with nest.scope():
            self.emit.loop(self.lane, nest.frame.size(axis.extent), WARP, [], step)

    # ---- rows in shared memory -----------------------------------------------------------------

    def keep_rows(self, inner: Sequence[Axis]) -> None:
        """Keep what several loops over an axis need, as far as there is room."""
        places: dict[int, tuple[Axis, Value]] = {}
        nest, axes = self.nest, set(inner[-1:])
        rows = shared_memory(self.emit, "rows")
        dear = list(nodes_to_keep(nest.kernel, nest.nodes, list(axes)))
        for axis, node in [*loads_to_keep(nest.kernel, nest.nodes, list(axes)), *dear]:
            size = _room(axis.extent * max(1, BITS[node.type] // 8))
            if node.number not in places and self._row_bytes + size <= MOST_SHARED_BYTES:
                begin = nest.frame.number(self._row_bytes)
                places[node.number] = (axis, self.emit.address(rows, begin, "u8"))
                self._row_bytes += size
        nest.keep_in(places)

    def shared_memory(self) -> str:
        """The declaration of the rows."""
        return declare_shared("rows", self._row_bytes) if self._row_bytes else ""


class _WarpFold(Fold):
    """One reduction, two lanes of its tree for each thread."""

    def __init__(self, nest: Nest, node: Node, warp: Warp) -> None:
        super().__init__(nest, node)
        self.lanes = 1
        self.warp = warp

    def run(self) -> State:
        axis = self.spec.axis
        assert axis is not None
        self.nest.prepare(self.elements)
        extent, lane = self.extent(axis), self.warp.lane
        whole = extent - (extent & (LANES - 1))
        parts = len(self.types)

        def both(base: Value, state: State) -> State:
            low = self._step(axis, base + lane, state[:parts])
            return low + self._step(axis, base + lane + WARP, state[parts:])

        state = self.identity(1) * 2
        with self.nest.scope():
            state = self.emit.loop(self.nest.frame.number(0), whole, LANES, state, both)
        low = self._last(axis, whole + lane, extent, state[:parts])
        high = self._last(axis, whole + lane + WARP, extent, state[parts:])
        total = self.combine(low, high)
        for distance in (16, 8, 4, 2, 1):
            there = [shuffle(self.emit, "down", v, distance) for v in total]
            total = self.combine(total, there)
        self.nest.loop_done(axis)
        return [shuffle(self.emit, "idx", v, 0) for v in total]

    def _step(self, axis: Axis, index: Value, state: State) -> State:
        with self.nest.at(axis, index, 1):
            return self.combine(state, self.element())

    def _last(self, axis: Axis, index: Value, extent: Value, state: State) -> State:
        """One more element, if there is one."""
        with self.nest.scope():
            return self.emit.rarely(
                index < extent, lambda *now: self._step(axis, index, list(now)), tuple(state), state
            )


def _room(size_bytes: int) -> int:
    """A little more, so that one text serves rows of several sizes."""
    step = max(512, 1 << (size_bytes.bit_length() - 3))
    return -(-size_bytes // step) * step


def shuffle(emit: Emitter, mode: str, value: Value, by: int) -> Value:
    """The value of another thread: of the one `by` further on, or of number `by`."""
    bits = BITS[value.type]
    if bits < 32:
        return convert(shuffle(emit, mode, convert(value, "u32"), by), "u8") != 0 if (
            value.type == "i1"
        ) else convert(shuffle(emit, mode, convert(value, "u32"), by), value.type)  # fmt: skip
    if bits == 64:
        whole = bitcast(value, "u64")
        low, high = convert(whole, "u32"), convert(whole >> 32, "u32")
        low, high = shuffle(emit, mode, low, by), shuffle(emit, mode, high, by)
        return bitcast(convert(low, "u64") | (convert(high, "u64") << 32), value.type)
    function = f"@llvm.nvvm.shfl.sync.{mode}.i32"
    emit.declarations.add(f"declare i32 {function}(i32, i32, i32, i32) convergent")
    word = bitcast(value, "u32")
    text = f"call i32 {function}(i32 -1, {llvm_type('u32')} {word.ref}, i32 {by}, i32 31)"
    return bitcast(emit.effect(text, "u32"), value.type)
