"""Elements side by side that a thread takes together: as many as its widest access holds.

Comes in: a kernel, and an axis along which threads share the work. Goes out: how many elements
each takes in a turn, and the text that takes them. Bits do not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.kernel import Axis, Index, Kernel, Load, Node, Store
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.target import ACCESS_BYTES, SECTOR_BYTES
from jitml.codegen.vectorize import varies
from jitml.scalar.value import Value, minimum, select


class _Access(NamedTuple):
    """One load or store: `group` numbers of its array make an element (two of a complex one)."""

    position: Index
    size_bytes: int
    group: int


class Walk(NamedTuple):
    """How threads go along an axis: `width` elements each. Where rows begin anywhere, they begin
    at `start` (elements of the array), and threads at the multiple of `elements` before.
    """

    width: int
    start: Index | None = None
    elements: int = 1


def walk_along(kernel: Kernel, axis: Axis) -> Walk:
    """How threads that take rows together go along `axis`: by sectors of the largest array, if all
    that differs along the axis lies side by side; in vectors, if rows of the others begin as far
    from one as its rows do.
    """
    loads = [n for n in kernel.nodes() if n.name == "load"]
    width = vector_along(axis, loads, kernel.stores)
    accesses = _accesses_along(axis, loads, kernel.stores)
    if not accesses or any(a.group > 1 for a in accesses):
        return Walk(width)
    along = Index(accesses[0].position.builder, ((axis, 1),))
    start = max((a.position for a in accesses), key=_size) - along
    elements = SECTOR_BYTES // min(a.size_bytes for a in accesses)
    if is_multiple(start, elements):
        return Walk(width)
    width = ACCESS_BYTES // max(a.size_bytes for a in accesses)
    while width > 1 and not all(is_multiple(a.position - along - start, width) for a in accesses):
        width //= 2
    return Walk(width, start, elements)


def vector_along(axis: Axis, loads: Sequence[Node], stores: Sequence[Store]) -> int:
    """How many elements along `axis` a thread takes together. It is 1 unless all that differs along
    the axis lies side by side in memory, at multiples of the vectors' size.
    """
    accesses = _accesses_along(axis, loads, stores)
    if not accesses:
        return 1
    width = ACCESS_BYTES // max(a.size_bytes for a in accesses)
    while width > 1 and not all(_is_aligned(a, axis, width) for a in accesses):
        width //= 2
    return min(width, 1 << (axis.extent.bit_length() - 1))


def _accesses_along(
    axis: Axis, loads: Sequence[Node], stores: Sequence[Store]
) -> list[_Access] | None:
    """The accesses that differ along `axis`; None if one of them reaches scattered or chosen
    elements.
    """
    found = []
    for node in loads:
        if axis in node.axes:
            load: Load = node.data
            masks = node.operands[: len(node.operands) - len(load.index.nodes)]
            group = 2 if load.is_part else 1
            is_chosen = any(load.is_part or varies(mask, axis) for mask in masks)
            if is_chosen or load.index.coefficient(axis) != group:
                return None
            found.append(_Access(load.index, group * STORAGE_BITS[load.storage] // 8, group))
    for spec in stores:
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
    index = access.position
    rest = index - Index(index.builder, ((axis, index.coefficient(axis)),))
    first = index.constant // access.group * access.group  # of the pair that the element is in
    return is_multiple(rest - index.constant + first, access.group * width)


def _size(index: Index) -> int:
    """How many elements an index reaches."""
    return math.prod(a.extent for a in index.axes if not a.merged)


def is_multiple(index: Index, number: int) -> bool:
    """Whether an index is always a multiple of a number."""
    factors = [c for a, c in index.terms if not a.merged and a.extent != 1]
    return not any(c % number for c in (index.constant, *factors, *(c for _, c in index.values)))


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
