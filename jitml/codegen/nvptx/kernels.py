"""The loops of a kernel for threads of a grid.

Comes in: a `Kernel`, the same that a CPU gets. Goes out: the text of one function of the kernel
ABI, and how many threads take a unit. Neighbouring threads reach neighbouring elements:

- one thread for each position of the outer axes, the last axis fastest; or for as many of them as
  16 bytes hold, where all accesses are aligned;
- a warp, where a reduction runs along memory: its threads are the lanes of the fixed tree;
- a block, where one runs across memory: its warps have some lanes of the tree each;
- a block, where a kernel reads along one axis and writes along another: it turns tiles;
- a warp, where updates must happen in order: it has some of the slices; else one thread for each.

Bits do not depend on which it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText, Loops
from jitml.codegen.frame import Frame
from jitml.codegen.kernel import Axis, Kernel
from jitml.codegen.memory import store, store_all
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import MOST_SMALL, divide
from jitml.codegen.nvptx.columns import WARP, Block, Columns, find_columns, is_long_fold
from jitml.codegen.nvptx.scatter import Shares, can_be_atomic, update_atomically
from jitml.codegen.nvptx.tiles import THREADS, Tile, Turn, find_turn
from jitml.codegen.nvptx.vectors import take_vector, vector_along
from jitml.codegen.nvptx.warp import Warp, suits_warps
from jitml.codegen.nvptx.warp_fold import write_in
from jitml.codegen.target import Target
from jitml.scalar.value import Value, minimum


def emit_threads(
    kernel: Kernel, target: Target, is_aligned: bool, updated: Sequence[int] = ()
) -> KernelText:
    """The text for a grid; its grain is the number of threads that take a unit together. Buffers
    that are not aligned are read one by one. A scatter has `updated` an array of this shape.
    """
    if any(s.combine for s in kernel.stores):
        return _emit_scatter(kernel, target, is_aligned, updated)
    if suits_warps(kernel):
        return _WarpLoops(kernel, target, is_aligned).text()
    columns = find_columns(kernel, is_aligned)
    if columns is not None:
        return _ColumnLoops(kernel, target, columns).text()
    turn = find_turn(kernel)
    if turn is not None:
        return _TileLoops(kernel, target, turn, is_aligned).text()
    vector = vector_axis(kernel) if is_aligned else None
    return _ThreadLoops(kernel, target, vector).text()


def _emit_scatter(
    kernel: Kernel, target: Target, is_aligned: bool, updated: Sequence[int]
) -> KernelText:
    (spec,) = kernel.stores
    if spec.meeting == "never":
        return _ThreadLoops(kernel, target, vector_axis(kernel) if is_aligned else None).text()
    if can_be_atomic(spec, target):
        return _AtomicLoops(kernel, target, None).text()
    return _ScatterLoops(kernel, target, updated).text()


def vector_axis(kernel: Kernel) -> tuple[Axis, int] | None:
    """The axis along which threads take several elements, and how many."""
    outer, nodes = kernel.live_outer(), kernel.nodes()
    if not outer or any(n.name in ("repeat", "rarely") or is_long_fold(n) for n in nodes):
        return None
    loads = [n for n in nodes if n.name == "load"]
    width = vector_along(outer[-1], loads, kernel.stores)
    while len(outer) > 1 and outer[-1].extent % width:
        width //= 2
    return (outer[-1], width) if width > 1 else None


def locate(nest: Nest, axes: Sequence[Axis], number: Value, is_small: bool) -> None:
    """Set the positions along `axes` that have this row-major number."""
    for axis in reversed(axes[1:]):
        size = nest.frame.size(axis.extent)
        number, nest.position[axis] = divide(number, size, is_small)
    if axes:
        nest.position[axes[0]] = number


class _ThreadLoops(Loops):
    """Units of one thread: an element of the outer axes, or a vector of them."""

    def __init__(self, kernel: Kernel, target: Target, vector: tuple[Axis, int] | None) -> None:
        frame = Frame(target, len(kernel.operands), aligns_vectors=True)
        super().__init__(Nest(kernel, frame, target, write_node))
        self.nest.vector, self.nest.width = vector or (None, 1)
        self.number = Value(self.nest.emit, "i64", 1, "%begin")  # a call of it is one unit

    def text(self) -> KernelText:
        """The kernel's text."""
        nest = self.nest
        extent = -(-math.prod(a.extent for a in self.write_units()[0]) // nest.width)
        text = nest.frame.finish(has_checks=any(n.name == "check" for n in nest.nodes))
        return KernelText(text, tuple(nest.frame.sizes), extent, 1, nest.frame.scratch_bytes)

    def locate(self, axes: Sequence[Axis], number: Value) -> None:
        """Set the positions along `axes` of the unit with this row-major number."""
        locate(self.nest, axes, number, math.prod(a.extent for a in axes) < MOST_SMALL)

    def write_units(self) -> tuple[list[Axis], int]:
        nest, outer = self.nest, self.kernel.live_outer()
        nest.prepare(self.roots)
        with nest.scope():
            self.locate(outer, self.number * nest.width)
            axis = nest.vector
            if axis is None:
                self.unit()
            elif axis.extent % nest.width == 0:
                with nest.at(axis, nest.position[axis], nest.width):
                    self.unit()
            else:
                upper = nest.frame.size(axis.extent)
                take_vector(nest, nest.position.pop(axis), upper, False, self.unit)
        return outer, 1


class _WarpLoops(_ThreadLoops):
    """Units of a warp: its threads share the loops along memory."""

    def __init__(self, kernel: Kernel, target: Target, is_aligned: bool) -> None:
        super().__init__(kernel, target, None)
        self.warp = Warp(self.nest, is_aligned)
        self.nest.write_node = write_in(self.warp)

    def text(self) -> KernelText:
        code = super().text()
        return KernelText(
            self.warp.shared_memory() + code.text, code.sizes, code.extent, WARP, code.scratch_bytes
        )

    def unit(self) -> None:
        """Everything for one position of the outer axes."""
        nest = self.nest
        inner = [a for a in self.kernel.inner if not a.merged and a.extent != 1]
        self.warp.keep_rows(inner)
        nest.prepare(self.roots)
        within = set(inner)
        late = []
        for spec in self.kernel.stores:
            if within & (spec.index.axes | {a for n in spec.roots for a in n.axes}):
                late.append(spec)
            else:
                self.warp.by_first_lane(lambda spec=spec: store(nest, spec))  # type: ignore[misc]
        if late:
            self._nest(inner, lambda: self._store_all(late))

    def _whole_axis(self, axis: Axis, body: Callable[[], None]) -> None:
        """The innermost loop in turns of the warp's threads."""
        live = [a for a in self.kernel.inner if not a.merged and a.extent != 1]
        if axis is not live[-1]:
            super()._whole_axis(axis, body)
            return
        self.warp.loop(axis, body)


class _ColumnLoops(_ThreadLoops):
    """Units of a block: some columns, whose rows its warps share."""

    def __init__(self, kernel: Kernel, target: Target, columns: Columns) -> None:
        super().__init__(kernel, target, None)
        self.columns = columns
        self.block = Block(self.nest, columns)
        self.nest.vector, self.nest.width = columns.axis, columns.width
        self.nest.write_node = self.block.write_node

    def text(self) -> KernelText:
        nest = self.nest
        extent = math.prod(a.extent for a in self.write_units()[0])
        text = nest.frame.finish(has_checks=any(n.name == "check" for n in nest.nodes))
        text = self.block.shared_memory() + text
        scratch = nest.frame.scratch_bytes
        return KernelText(text, tuple(nest.frame.sizes), extent, self.block.threads, scratch)

    def write_units(self) -> tuple[list[Axis], int]:
        nest, (axis, width, _) = self.nest, self.columns
        place = Axis(-(-axis.extent // (WARP * width)), axis.number)
        units = [place if a is axis else a for a in self.kernel.live_outer()]
        nest.prepare(self.roots)
        with nest.scope():
            self.locate(units, self.number)
            at = (nest.position.pop(place) * WARP + self.block.lane) * width
            end = nest.frame.size(axis.extent)
            # Threads behind the end do as the last ones do: all of them meet at barriers.
            with nest.at(axis, minimum(at, end - width), width):
                self._unit_of(at < end)
        return units, 1

    def _unit_of(self, is_there: Value) -> None:
        """Everything for some columns; stored if this thread has columns of its own."""
        nest, inner = self.nest, self._inner()
        nest.prepare([n for spec in self.kernel.stores for n in spec.roots])
        early, late = self._stores(inner)
        self.nest.emit.if_(is_there & (self.block.warp == 0), lambda: store_all(nest, early))
        if late:
            nest.emit.if_(is_there, lambda: self._nest(inner, lambda: self._store_all(late)))

    def _inner(self) -> list[Axis]:
        return [a for a in self.kernel.inner if not a.merged and a.extent != 1]

    def _whole_axis(self, axis: Axis, body: Callable[[], None]) -> None:
        """The outermost loop is shared by the warps."""
        if axis is self._inner()[0]:
            self.block.rows(axis, body)
            return
        nest = self.nest
        nest.loop(axis, nest.frame.number(0), nest.frame.size(axis.extent), None, body)


class _AtomicLoops(_ThreadLoops):
    """Units of one thread: an update of a scatter, at whatever time."""

    def unit(self) -> None:
        """One update."""
        (spec,) = self.kernel.stores
        self.nest.prepare(spec.roots)
        update_atomically(self.nest, spec)


class _ScatterLoops(_ThreadLoops):
    """Units of a warp: shares of a scatter."""

    def __init__(self, kernel: Kernel, target: Target, shape: Sequence[int]) -> None:
        super().__init__(kernel, target, None)
        self.shares = Shares(self.nest, shape)

    def text(self) -> KernelText:
        nest = self.nest
        self.shares.write(self.number, self.locate)
        text = nest.frame.finish(has_checks=any(n.name == "check" for n in nest.nodes))
        sizes, scratch = tuple(nest.frame.sizes), nest.frame.scratch_bytes
        return KernelText(text, sizes, self.shares.units, WARP, scratch)


class _TileLoops(_ThreadLoops):
    """Units of a block: tiles of two axes, at all positions of the others."""

    def __init__(self, kernel: Kernel, target: Target, turn: Turn, is_aligned: bool) -> None:
        super().__init__(kernel, target, None)
        self.tile = Tile(self.nest, turn, is_aligned)
        self.turn = turn

    def text(self) -> KernelText:
        nest = self.nest
        units = math.prod(a.extent for a in self.write_units()[0])
        text = self.tile.shared_memory() + nest.frame.finish(has_checks=False)
        return KernelText(text, tuple(nest.frame.sizes), units, THREADS, nest.frame.scratch_bytes)

    def write_units(self) -> tuple[list[Axis], int]:
        nest, turn = self.nest, self.turn
        # Blocks that follow each other read along the rows of the array.
        across, along = (Axis(n, -k) for k, n in enumerate(self.tile.counts()[::-1], 1))
        others = [a for a in self.kernel.live_outer() if a not in turn[:2]]
        units = [*others, across, along]
        with nest.scope():
            self.locate(units, self.number)
            written, read = nest.position.pop(across), nest.position.pop(along)
            stores = self.kernel.stores
            side = self.tile.side
            self.tile.write(read * side, written * side, lambda: self._store_all(stores))
        return units, 1
