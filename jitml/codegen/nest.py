"""A place in the loop nest under construction: where each axis stands, and what has been computed.

Comes in: nodes that are wanted, and a function that writes one node. Goes out: their values, each
written once for every place where it can be had. The order of the loops is `emit`'s business, what
a node becomes is `node`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jitml.codegen.frame import Frame
from jitml.codegen.kernel import Axis, Index, Kernel, Node
from jitml.codegen.llvm import LINE_BYTES, STORAGE_BITS
from jitml.codegen.row_buffer import nodes_to_keep
from jitml.codegen.sharing import shared_calls
from jitml.codegen.target import Target
from jitml.codegen.vectorize import choose_vector_axis, choose_width
from jitml.scalar.value import BITS, Value

ROW_BUFFER_BYTES = 1 << 18


class Nest:
    """The state of the nest while its text is written.

    `vector` is the axis that runs in vectors, `width` how wide they are in its main loop, `lanes`
    how wide they are at this place, `shared` the calls of functions that are code of their own.
    """

    def __init__(
        self,
        kernel: Kernel,
        frame: Frame,
        target: Target,
        write_node: Callable[[Nest, Node], Any],
    ) -> None:
        self.kernel = kernel
        self.target = target
        self.nodes = kernel.nodes()
        self.operand_bytes = operand_bytes(kernel, self.nodes)
        self.frame = frame
        self.emit = frame.emit
        self.vector = choose_vector_axis(kernel, self.nodes)
        self.shared = shared_calls(self.nodes)
        self.width = choose_width(self.vector, self.nodes, bool(self.shared), target)
        self.lanes = 1
        self.position: dict[Axis, Value] = {}
        self.write_node = write_node
        # Where elements are read: the operand, what its index has beside a constant, the constant.
        loads = [n.data for n in self.nodes if n.name == "load"]
        self.reads = {(x.operand, x.index.key[::2], x.index.constant) for x in loads}
        self._memory: list[dict[Any, Any]] = [{}]
        # Nodes kept in memory: their axis and place; those stored so far; those to be loaded.
        self._buffers: dict[int, tuple[Axis, Value]] = {}
        self._filling: set[int] = set()
        self._filled: set[int] = set()
        # Reductions that have been written before this place: what reads their state.
        self.folded: dict[int, Callable[[], list[Value]]] = {}
        # Rows that are read later, and what of: fetched beside the next loop along them.
        self.ahead: list[tuple[Value, str]] = []

    # ---- places --------------------------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Code that need not dominate what follows: what it computes is forgotten after it."""
        self._memory.append({})
        try:
            yield
        finally:
            self._memory.pop()

    @contextmanager
    def placed(
        self, place: Mapping[Axis, Value], known: Mapping[Any, Any] | None = None
    ) -> Iterator[dict[Any, Any]]:
        """Inside, these axes stand where they are told to, and what is `known` there has been
        computed; what is computed there is given.
        """
        self.position.update(place)
        self._memory.append(dict(known or {}))
        try:
            yield self._memory[-1]
        finally:
            self._memory.pop()
            for axis in place:
                del self.position[axis]

    @contextmanager
    def at(self, axis: Axis, index: Value, lanes: int | None) -> Iterator[None]:
        """Inside a loop over `axis`: at `index`, in vectors of `lanes` (None: as around)."""
        before = self.lanes
        self.lanes = before if lanes is None else lanes
        self.position[axis] = index
        with self.scope():
            yield
        del self.position[axis]
        self.lanes = before

    def loop(
        self, axis: Axis, lower: Value, upper: Value, lanes: int | None, body: Callable[[], None]
    ) -> None:
        """A loop over [lower, upper) of `axis` in steps of `lanes` (None: in ones, with the vectors
        of the loop around).
        """

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            self.position[axis] = index
            if axis is self.vector:
                self.fetch_ahead(index)
            body()
            return []

        before = self.lanes
        self.lanes = before if lanes is None else lanes
        with self.scope():
            self.emit.loop(lower, upper, 1 if lanes is None else lanes, [], step)
        self.lanes = before
        del self.position[axis]
        if axis is self.vector:
            self.ahead = []

    def fetch_ahead(self, index: Value) -> None:
        """Ask for the vectors at `index` of the rows to be read later."""
        for first, storage in self.ahead:
            in_line = max(1, LINE_BYTES * 8 // STORAGE_BITS[storage])
            for k in range(0, self.lanes, in_line):
                self.emit.prefetch(self.emit.address(first, index + k, storage), 1)

    # ---- values --------------------------------------------------------------------------------

    def find(self, key: Any) -> Any:
        """What is known here under `key` (a node's number, or what loads remember)."""
        for scope in reversed(self._memory):
            if key in scope:
                return scope[key]
        return None

    def remember(self, key: Any, value: Any) -> None:
        """Keep `value` until the end of this scope."""
        self._memory[-1][key] = value

    def value(self, node: Node) -> Value:
        """The value of a node that has been prepared."""
        found = self.find(node.number)
        assert isinstance(found, Value), node
        return found

    def prepare(self, roots: Sequence[Node]) -> None:
        """Write all nodes below `roots` that can be had at this place and are not yet."""
        bound = set(self.position)
        ready: dict[int, Node] = {}
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node.number in seen or self.find(node.number) is not None:
                continue
            seen.add(node.number)
            if all(a in bound or a.merged or a.extent == 1 for a in node.axes):
                ready[node.number] = node
                if node.number in self._filled:
                    continue
            stack.extend(node.operands)
        for number in sorted(ready):
            if number in self._filled:
                self.remember(number, self._read_buffer(ready[number]))
            else:
                self.remember(number, self.write_node(self, ready[number]))
                self._fill_buffer(ready[number])

    # ---- values kept in memory from one loop to the next -----------------------------------------

    def plan_buffers(self, inner: Sequence[Axis]) -> None:
        """Decide which values of the loops over `inner` axes are kept from the first loop to the
        others.
        """
        kept: dict[int, tuple[Axis, Value]] = {}
        for axis, node in nodes_to_keep(self.kernel, self.nodes, inner):
            lanes = self._lanes_beside(axis, node)
            size = axis.extent * lanes * max(1, BITS[node.type] // 8)
            if size <= ROW_BUFFER_BYTES:
                kept[node.number] = (axis, self.frame.scratch(size))
        self.keep_in(kept)

    def keep_in(self, places: dict[int, tuple[Axis, Value]]) -> None:
        """Keep the nodes of these numbers in memory, from their first loop over an axis on."""
        self._buffers, self._filling, self._filled = places, set(), set()

    @contextmanager
    def keeping(
        self, nodes: Sequence[Node], axis: Axis, memory: Sequence[Value], first: Value
    ) -> Iterator[None]:
        """Inside, nodes are read from `memory`, where vectors of them lie for each position of
        `axis` from `first` on.
        """
        before = self._buffers, self._filled
        places = [
            self.emit.address(m, self.frame.number(0) - first * self.lanes, n.type)
            for n, m in zip(nodes, memory, strict=True)
        ]
        kept = {n.number: (axis, place) for n, place in zip(nodes, places, strict=True)}
        self._buffers, self._filled = kept, set(kept)
        try:
            yield
        finally:
            self._buffers, self._filled = before

    def loop_done(self, axis: Axis) -> None:
        """After a first loop over `axis`, buffered values are loaded instead of computed."""
        self._filled |= {n for n in self._filling if self._buffers[n][0] is axis}

    def _lanes_beside(self, axis: Axis, node: Node) -> int:
        """How many lanes one position of `axis` has."""
        is_across = axis is not self.vector and self.vector in node.axes
        return self.lanes if is_across else 1

    def _fill_buffer(self, node: Node) -> None:
        if node.number in self._buffers and node.number not in self._filled:
            self._filling.add(node.number)
            self.emit.store(self._buffer_address(node), self.value(node), node.type)

    def _read_buffer(self, node: Node) -> Value:
        axis = self._buffers[node.number][0]
        lanes = self.lanes if axis is self.vector else self._lanes_beside(axis, node)
        return self.emit.load(self._buffer_address(node), node.type, lanes)

    def _buffer_address(self, node: Node) -> Value:
        axis, pointer = self._buffers[node.number]
        index = self.position[axis] * self._lanes_beside(axis, node)
        return self.emit.address(pointer, index, node.type)

    # ---- indices -------------------------------------------------------------------------------

    def index_parts(self, index: Index) -> tuple[Value, int, Value | None]:
        """An index as scalar + stride·lane + vector: its value at lane 0, its step per lane, and
        what else varies.
        """
        size, stride, vector = self.frame.size, 0, None
        scalar = (
            size(index.constant)
            if index.constant >= 0
            else self.frame.number(0) - size(-index.constant)
        )
        for axis, c in index.terms:
            if axis.merged or axis.extent == 1:
                continue
            if axis is self.vector and self.lanes > 1:
                stride = c
            scalar = self.plus(scalar, self.position[axis], c)
        for node, c in index.values:
            value = self.value(node)
            if value.lanes == 1:
                scalar = self.plus(scalar, value, c)
            else:
                zero = self.emit.constant("i64", 0, value.lanes)
                vector = self.plus(zero if vector is None else vector, value, c)
        return scalar, stride, vector

    def plus(self, total: Value, value: Value, factor: int) -> Value:
        """total + value · factor."""
        product = value if abs(factor) == 1 else value * self.frame.size(abs(factor))
        return total - product if factor < 0 else total + product

    def index_value(self, index: Index) -> Value:
        """An index as one value, of as many lanes as it differs in."""
        scalar, stride, vector = self.index_parts(index)
        if stride:
            lanes = self.emit.lane_numbers(self.lanes)
            scaled = self.plus(self.emit.constant("i64", 0, self.lanes), lanes, stride)
            scalar = scaled + scalar
        return scalar if vector is None else vector + scalar


def operand_bytes(kernel: Kernel, nodes: Sequence[Node]) -> list[int]:
    """How much of each operand a kernel reads or writes, at most."""
    sizes = [0] * len(kernel.operands)
    accesses = [(x.data, 2 if x.data.is_part else 1) for x in nodes if x.name == "load"]
    accesses += [(x, len(x.nodes)) for x in kernel.stores]
    for access, parts in accesses:
        elements = parts * math.prod(a.extent for a in access.index.axes if not a.merged)
        size = elements * STORAGE_BITS[access.storage] // 8
        sizes[access.operand] = max(sizes[access.operand], size)
    return sizes
