"""Scatters by warps: all at once, and yet in the order of the updates; and those without an order.

Updates of one element must be applied in their order, so each element belongs to one thread. A warp
has a share of the slices (by a hash of where they begin) and 32 elements of each: its threads look
at 32 positions at a time, find by a vote which of these are the warp's, and apply those one after
the other, a thread to each element of the slice.

Where no two updates meet, or they may be applied in any order by atomic instructions, a thread
takes each. An atomic addition of f32 takes numbers below 2⁻¹²⁶ for zeros.

Comes in: a scatter's kernel and the shape of its array. Goes out: the axes along which updates
never meet, the text of a warp's share, the text of an atomic update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.kernel import Axis, Index, Kernel, Node, Store
from jitml.codegen.llvm import llvm_type
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.block import thread_number
from jitml.codegen.target import Target
from jitml.codegen.updates import update
from jitml.scalar.value import Value, convert, minimum

WARP = 32
_WARPS = 1024  # of a launch, at most
_SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)  # an odd number near 2⁶⁴ / φ, as a signed one


_FLOATS = {"f32": "float", "f64": "double", "f16": "half", "bf16": "bfloat"}
_WHOLE = ("i32", "u32", "i64", "u64")
_LEAST_BFLOAT16 = 90  # the first target that adds these atomically


def can_be_atomic(spec: Store, target: Target) -> bool:
    """Whether an instruction of the target applies updates that meet, in any order."""
    if spec.storage == "bf16" and int(target.cpu.removeprefix("sm_")) < _LEAST_BFLOAT16:
        return False
    floats = tuple(_FLOATS) if spec.meeting == "add" else ()
    return spec.meeting in ("add", "min", "max") and spec.storage in (*_WHOLE, *floats)


def update_atomically(nest: Nest, spec: Store) -> None:
    """One update, if it lands inside, that may meet others."""
    emit, scale = nest.emit, len(spec.nodes)
    where = emit.constant("i1", True) if spec.where is None else nest.value(spec.where)
    index, _, _ = nest.index_parts(spec.index)

    def write() -> None:
        for part, node in enumerate(spec.nodes):
            element = index * scale + part
            place = emit.address(nest.frame.pointers[spec.operand], element, spec.storage)
            there = emit.pure(f"addrspacecast ptr {place.ref} to ptr addrspace(1)", "ptr")
            emit.line(
                f"{emit.fresh()} = atomicrmw {_operation(spec)} ptr addrspace(1) {there.ref}, "
                f'{_operand(nest, spec, node)} syncscope("device") monotonic'
            )

    emit.if_(where, write)


def _operation(spec: Store) -> str:
    """LLVM's name of what is done."""
    if spec.storage in _FLOATS:
        return f"f{spec.meeting}"
    return f"u{spec.meeting}" if spec.storage[0] == "u" and spec.meeting != "add" else spec.meeting


def _operand(nest: Nest, spec: Store, node: Node) -> str:
    """A number as it is stored, with its type."""
    raw = nest.emit.narrow(nest.value(node), spec.storage)
    before, after = llvm_type(raw.type), _FLOATS.get(spec.storage, llvm_type(raw.type))
    if before == after:
        return f"{after} {raw.ref}"
    return f"{after} {nest.emit.pure(f'bitcast {before} {raw.ref} to {after}', spec.storage).ref}"


def free_axes(kernel: Kernel, shape: Sequence[int]) -> list[Axis]:
    """The outer axes along which all positions lie in different elements of an array of this shape:
    they run through its axes from 0 on, and nothing else moves along these.
    """
    (spec,) = kernel.stores
    index = spec.index
    fixed = _axes_below([*index.nodes, *([] if spec.where is None else [spec.where])])
    terms = [(a, c) for a, c in index.terms if not a.merged and a.extent != 1]
    if index.constant or any(c < 0 for _, c in (*terms, *index.values)):
        return []
    moved = [(a, _axes_moved(c, a.extent, shape)) for a, c in terms]
    by_values = [_axes_moved(c, 2, shape) for _, c in index.values]
    free = set()
    for axis, own in moved:
        others = [*by_values, *(m for a, m in moved if a is not axis)]
        if axis not in fixed and not any(own & other for other in others):
            free.add(axis)
    return [a for a in kernel.live_outer() if a in free]


def _axes_below(roots: Sequence[Node]) -> set[Axis]:
    """The axes that values depend on; for what a check reports it need not be run again."""
    found: set[Axis] = set()
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.number in seen:
            continue
        seen.add(node.number)
        operands = node.operands
        if node.name in ("load", "index"):
            index = node.data if node.name == "index" else node.data.index
            found |= {a for a, _ in index.terms}
        elif node.name == "check":
            operands = operands[:2]  # the third is the place that it names
        else:
            found |= node.axes.difference(*(o.axes for o in operands))
        stack.extend(operands)
    return found


def _axes_moved(step: int, extent: int, shape: Sequence[int]) -> set[int]:
    """Which axes of an array one moves along by so many steps of so many elements."""
    found, stride = set(), math.prod(shape)
    for axis, length in enumerate(shape):
        upper, stride = stride, stride // length
        if stride < step * extent and step < upper:
            found.add(axis)
    return found


class Shares:
    """How a scatter is shared out among warps."""

    def __init__(self, nest: Nest, shape: Sequence[int]) -> None:
        self.nest = nest
        self.emit = nest.emit
        self.free = free_axes(nest.kernel, shape)
        self.slices = [a for a in nest.kernel.live_outer() if a not in self.free]
        self.count = math.prod(a.extent for a in self.slices)
        self.size = math.prod(a.extent for a in self.free)
        self.parts = -(-self.size // WARP)
        # Looking at 32 positions takes about as long as applying one.
        most = max(1, min(self.count // WARP, _WARPS // self.parts))
        self.share_bits = most.bit_length() - 1
        self.units = self.parts << self.share_bits

    def write(self, number: Value, locate: Callable[[Sequence[Axis], Value], None]) -> None:
        """The share with this number; `locate` sets the positions along axes."""
        emit, frame = self.emit, self.nest.frame
        lane = convert(thread_number(emit) & (WARP - 1), "i64")
        share, part = number & ((1 << self.share_bits) - 1), number >> self.share_bits
        element = part * WARP + lane
        count = frame.size(self.count)

        def look(base: Value, _: list[Value]) -> Sequence[Value]:
            mine = self._is_mine(base + lane, count, share, locate)
            votes = self._vote(mine)

            def apply(_: Value, state: list[Value]) -> Sequence[Value]:
                (left,) = state
                slice_ = base + convert(self._lowest(left), "i64")
                emit.if_(
                    element < frame.size(self.size), lambda: self._apply(slice_, element, locate)
                )
                return [left & (left - 1)]

            whole = emit.intrinsic("ctpop", "u32", 1, [votes.ref])
            emit.loop(frame.number(0), convert(whole, "i64"), 1, [votes], apply)
            return []

        with self.nest.scope():
            emit.loop(frame.number(0), count, WARP, [], look)

    def _is_mine(
        self,
        slice_: Value,
        count: Value,
        share: Value,
        locate: Callable[[Sequence[Axis], Value], None],
    ) -> Value:
        """Whether a slice is there, lands inside, and is this warp's."""
        nest = self.nest
        (spec,) = nest.kernel.stores
        with nest.scope():
            locate(self.slices, minimum(slice_, count - 1))
            for axis in self.free:
                nest.position[axis] = nest.frame.number(0)
            nest.prepare(self._deciding())
            begin, _, _ = nest.index_parts(spec.index)
            mine = slice_ < count
            if spec.where is not None:
                mine = mine & nest.value(spec.where)
            if self.share_bits:
                spread = convert(begin * _SPREAD, "u64") >> (64 - self.share_bits)
                mine = mine & (convert(spread, "i64") == share)
            self._leave()
        return mine

    def _deciding(self) -> list[Node]:
        (spec,) = self.nest.kernel.stores
        index: Index = spec.index
        return [*index.nodes, *([] if spec.where is None else [spec.where])]

    def _leave(self) -> None:
        for axis in (*self.slices, *self.free):
            self.nest.position.pop(axis, None)

    def _apply(
        self,
        slice_: Value,
        element: Value,
        locate: Callable[[Sequence[Axis], Value], None],
    ) -> None:
        nest = self.nest
        (spec,) = nest.kernel.stores
        with nest.scope():
            locate(self.slices, slice_)
            locate(self.free, element)
            nest.prepare([*self._deciding(), *spec.nodes])
            update(nest, spec)
            self._leave()

    def _vote(self, mine: Value) -> Value:
        """The threads of the warp for which it holds, as bits."""
        function = "@llvm.nvvm.vote.ballot.sync"
        self.emit.declarations.add(f"declare i32 {function}(i32, i1) convergent")
        return self.emit.effect(f"call i32 {function}(i32 -1, i1 {mine.ref})", "u32")

    def _lowest(self, bits: Value) -> Value:
        """The number of the lowest bit that is set."""
        self.emit.declarations.add("declare i32 @llvm.cttz.i32(i32, i1)")
        return self.emit.pure(f"call i32 @llvm.cttz.i32(i32 {bits.ref}, i1 true)", "u32")
