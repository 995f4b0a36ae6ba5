"""Elements side by side that a thread takes together: as many as its widest access holds.

Comes in: a kernel, and an axis along which threads share the work. Goes out: how many elements
each takes in a turn, and the text that takes them. Bits do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jitml.codegen.kernel import Axis, Index, Kernel, Load
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.target import ACCESS_BYTES
from jitml.codegen.vectorize import varies
from jitml.scalar.value import Value, minimum, select


class _Access(NamedTuple):
    """One load or store: `group` numbers of its array make an element (two of a complex one)."""

    position: Index
    size_bytes: int
    group: int


def vector_along(kernel: Kernel, axis: Axis) -> int:
    """How many elements along `axis` a thread takes together. It is 1 unless all that differs along
    the axis lies side by side in memory, at multiples of the vectors' size.
    """
    accesses = _accesses_along(kernel, axis)
    if not accesses:
        return 1
    width = ACCESS_BYTES // max(a.size_bytes for a in accesses)
    while width > 1 and not all(_is_aligned(a, axis, width) for a in accesses):
        width //= 2
    return min(width, 1 << (axis.extent.bit_length() - 1))


def _accesses_along(kernel: Kernel, axis: Axis) -> list[_Access] | None:
    """The accesses that differ along `axis`; None if one of them reaches scattered or chosen
    elements.
    """
    found = []
    for node in kernel.nodes():
        if node.name == "load" and axis in node.axes:
            load: Load = node.data
            masks = node.operands[: len(node.operands) - len(load.index.nodes)]
            group = 2 if load.is_part else 1
            is_chosen = any(load.is_part or varies(mask, axis) for mask in masks)
            if is_chosen or load.index.coefficient(axis) != group:
                return None
            found.append(_Access(load.index, group * STORAGE_BITS[load.storage] // 8, group))
    for spec in kernel.stores:
        if axis in spec.index.axes:
            parts = len(spec.nodes)
            is_chosen = spec.where is not None and varies(spec.where, axis)
            is_chosen |= spec.combine is not None and parts > 1
            if is_chosen or spec.index.coefficient(axis) != 1:
                return None
            found.append(_Access(spec.index, parts * STORAGE_BITS[spec.storage] // 8, 1))
    if any(axis in n.axes for a in found for n in a.position.nodes):
        return None
    return found


def _is_aligned(access: _Access, axis: Axis, width: int) -> bool:
    """Whether vectors of this access begin at multiples of their size."""
    index, step = access.position, access.group * width
    others = [c for a, c in index.terms if a is not axis and not a.merged and a.extent != 1]
    first = index.constant // access.group * access.group  # of the pair that the element is in
    return not any(c % step for c in (first, *others, *(c for _, c in index.values)))


def take_vector(
    nest: Nest, at: Value, upper: Value, is_whole: bool, body: Callable[[], None]
) -> None:
    """Run `body` for this thread's elements along the nest's vector axis: the vector from `at` on,
    or one by one as many of it as lie below `upper`. If it `is_whole`, that are all or none.
    """
    axis, width = nest.vector, nest.width
    assert axis is not None
    fits = at + width <= upper

    def vector() -> None:
        with nest.at(axis, at, width):
            body()

    nest.emit.if_(fits, vector)
    if not is_whole and width > 1:
        end = minimum(at + width, upper)
        nest.loop(axis, select(fits, end, at), end, 1, body)
