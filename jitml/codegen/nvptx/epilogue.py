"""What becomes of the sums of a product: they are stored, or the kernel that follows takes them.

Comes in: the group of a product and the group after it. Goes out: an `Epilogue`, if the second
works on each element of the product on its own, and the text of its nodes at a place of the
product's kernel. They are written as in a kernel of its own, but what it would read of the product
is at hand. Where nothing follows, the epilogue stores the product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jitml.codegen.element import part_type, storage_type
from jitml.codegen.epilogue import kernel_after
from jitml.codegen.frame import Frame
from jitml.codegen.fuse import Group
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.kernel import Axis, Index, Kernel, KernelBuilder, Load, Node, Store
from jitml.codegen.llvm import COMPUTE
from jitml.codegen.memory import store_all
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.nvptx.block import MOST_SMALL
from jitml.codegen.nvptx.kernels import locate, vector_axis
from jitml.codegen.nvptx.operand import rounded_sum
from jitml.codegen.nvptx.target import ACCESS_BYTES
from jitml.codegen.nvptx.tiles import find_turn
from jitml.codegen.sharing import instructions
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Var
from jitml.scalar.value import BITS, Value

_MOST_INSTRUCTIONS = 400  # beside sums in registers; longer kernels had better run on their own


class Epilogue(NamedTuple):
    """A kernel whose operand `product` is the result of a product. That is not in memory, unless
    the kernel stores it, too.
    """

    kernel: Kernel
    product: int
    is_stored: bool

    @property
    def buffers(self) -> int:
        """How many of the kernel's operands are in memory."""
        return len(self.kernel.operands) - (not self.is_stored)

    @property
    def loads(self) -> list[Node]:
        """The nodes that are the product's elements, by parts."""
        loads = (n for n in self.kernel.nodes() if n.name == "load")
        return sorted(
            (n for n in loads if n.data.operand == self.product),
            key=lambda n: n.data.index.constant,
        )

    @property
    def order(self) -> list[Axis]:
        """The loop axes in the order in which they run through the product."""
        index: Index = self.loads[0].data.index
        return sorted(self.kernel.live_outer(), key=index.coefficient, reverse=True)

    def others(self, operands: Sequence[Var]) -> list[Var]:
        """Those of the kernel's operands that are in memory."""
        return [v for k, v in enumerate(operands) if self.is_stored or k != self.product]


def plain_epilogue(result: Var) -> Epilogue:
    """That of a product which nothing follows: it is stored."""
    builder = KernelBuilder()
    axis = builder.axis(result.type.size)
    along = Index(builder, ((axis, 1),))
    parts = 2 if is_complex(result.type.dtype) else 1
    storage = part_type(result.type) if parts == 2 else storage_type(result.type)
    nodes = []
    for part in range(parts):
        load = Load(0, storage, along * parts + part, parts == 2)
        type_ = COMPUTE.get(storage, storage)
        nodes.append(builder.node("load", type_, (), load, part, frozenset({axis})))
    kernel = Kernel([axis], [], (storage,), [Store(0, storage, tuple(nodes), along)])
    return Epilogue(kernel, 0, True)


def joined_epilogue(product: Group, after: Group, is_stored: bool) -> Epilogue | None:
    """`after` as the epilogue of `product`, which may have to be `stored`; None if it cannot, or
    had better not, be one.
    """
    kernel = kernel_after(product, after)
    if (
        kernel is None
        or kernel.inner
        or sum(map(instructions, kernel.nodes())) > _MOST_INSTRUCTIONS
    ):
        return None
    assert after.built is not None
    (result,) = product.roots
    epilogue = Epilogue(kernel, after.built.reads.index(result), is_stored)
    if not _is_by_elements(epilogue, result) or find_turn(kernel) is not None:
        return None
    if not is_stored:
        return epilogue
    (load,) = epilogue.loads
    store = Store(epilogue.product, load.data.storage, (load,), load.data.index)
    whole = Kernel(kernel.outer, [], kernel.operands, [store, *kernel.stores])
    return epilogue._replace(kernel=whole)


def _is_by_elements(epilogue: Epilogue, result: Var) -> bool:
    """Whether the kernel goes once through the product, in any order of its axes, and reads it
    where it is.
    """
    loads = epilogue.loads
    index: Index = loads[0].data.index
    if len(loads) > 1 or loads[0].operands:
        return False
    stride = 1
    for axis in reversed(epilogue.order):
        if index.coefficient(axis) != stride:
            return False
        stride *= axis.extent
    return stride == result.type.size


class _Run(NamedTuple):
    """Some loop axes, and which of batch, row and column count the same elements."""

    axes: list[Axis]
    digits: slice


_COLUMN = slice(-1, None)


def _runs(axes: Sequence[Axis], extents: Sequence[int]) -> list[_Run]:
    """The shortest runs of axes that are as long as some of the extents together."""
    found = []
    axis, digit = len(axes), 0  # `digit` is counted from the end
    while axis:
        last, begin = axis, digit - 1
        axis -= 1
        while (own := math.prod(a.extent for a in axes[axis:last])) != (
            whole := math.prod(extents[begin : digit or None])
        ):
            if own < whole:
                axis -= 1
            else:
                begin -= 1
        if axis == 0:  # extents of 1 in front change nothing, not even the text
            begin = -len(extents)
        found.append(_Run(list(axes[axis:last]), slice(begin, digit or None)))
        digit = begin
    return found


class _FunctionFrame(Frame):
    """What nodes find of the function that they become part of."""

    def __init__(self, f: Function, pointers: list[Value]) -> None:
        self.f = f
        self.emit = f.emit
        self.pointers = pointers
        self._arguments: dict[int, Value] = {}

    def size(self, n: int) -> Value:
        if n in (0, 1):
            return self.number(n)
        if n not in self._arguments:
            self._arguments[n] = self.f.argument(n)
        return self._arguments[n]


class EpilogueWriter:
    """Writes an epilogue in the function of a product, whose first two buffers are its operands.

    `width` is how many elements side by side it takes at once.
    """

    def __init__(
        self,
        f: Function,
        epilogue: Epilogue,
        shape: GemmShape,
        types: GemmTypes,
        target: Target,
        is_aligned: bool,
    ) -> None:
        self.f, self.types = f, types
        kernel = epilogue.kernel
        pointers = f.pointers[2:]
        if not epilogue.is_stored:
            pointers.insert(epilogue.product, f.pointers[0])  # nobody reads it
        self.nest = Nest(kernel, _FunctionFrame(f, pointers), target, write_node)
        self.loads = epilogue.loads
        self.stores = kernel.stores
        self.roots = [n for s in kernel.stores for n in s.roots]
        self.instructions = sum(map(instructions, self.nest.nodes))
        self.extents: tuple[int, ...] = (shape.batch, shape.m, shape.n)
        self.is_small = shape.batch * shape.m * shape.n < MOST_SMALL
        self.runs = _runs(epilogue.order, self.extents)
        self.width = self._choose_width(epilogue) if is_aligned else 1
        self.nest.vector = epilogue.order[-1] if self.width > 1 else None
        self.nest.width = self.nest.lanes = self.width

    def _choose_width(self, epilogue: Epilogue) -> int:
        found = vector_axis(epilogue.kernel)
        if found is None or found[0] is not epilogue.order[-1]:
            return 1
        width = min(found[1], ACCESS_BYTES // (BITS[self.types.compute] // 8))
        while self.extents[-1] % width:
            width //= 2
        return width

    @contextmanager
    def at_column(self, column: Value) -> Iterator[None]:
        """Inside, elements from this column on are written. What depends on nothing else is
        computed once.
        """
        nest = self.nest
        own = [run for run in self.runs if run.digits == _COLUMN]
        with nest.scope():
            self._locate(own, (column,))
            if len(own) < len(self.runs):
                nest.prepare(self.roots)
            yield
        self._leave(own)

    def write(self, place: tuple[Value, Value, Value], sums: Sequence[Value]) -> None:
        """The elements at this batch, row and column; `sums` has a value for each part."""
        nest = self.nest
        others = [run for run in self.runs if run.digits != _COLUMN]
        with nest.scope():
            self._locate(others, place)
            for node, total in zip(self.loads, sums, strict=True):
                nest.remember(node.number, self._as_read(node, total))
            nest.prepare(self.roots)
            store_all(nest, self.stores)
        self._leave(others)

    def _as_read(self, node: Node, total: Value) -> Value:
        """A sum as it would read back. One that is but stored is rounded there."""
        value, storage = rounded_sum(total, self.types), node.data.storage
        is_used = any(node in n.operands for n in self.nest.nodes) or any(
            node in s.nodes and s.storage != storage for s in self.stores
        )
        return self.nest.emit.round_to(value, storage) if is_used else value

    def _locate(self, runs: Sequence[_Run], place: Sequence[Value]) -> None:
        """Set the positions along the axes of `runs`; `place` ends with the column."""
        for run in runs:
            extents, values = self.extents[run.digits], place[run.digits]
            number = values[0]
            for extent, value in zip(extents[1:], values[1:], strict=True):
                number = number * self.nest.frame.size(extent) + value
            locate(self.nest, run.axes, number, self.is_small)

    def _leave(self, runs: Sequence[_Run]) -> None:
        for run in runs:
            for axis in run.axes:
                del self.nest.position[axis]
