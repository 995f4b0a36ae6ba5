"""Loads that jump along the vector axis of a kernel and run on along another: read in square tiles,
turned over in registers.

Comes in: a kernel whose vectors would be gathered element by element. Goes out: the axis along
which the loads run on, and code that keeps a tile of each, turned over, in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.kernel import Axis, Kernel, Load, Node
from jitml.codegen.nest import Nest
from jitml.codegen.square import transposed
from jitml.scalar.value import BITS, Value, select

TILES = 4  # side by side: they share the pages they read
_TYPES = ("f32", "f64", "i32", "u32", "i64", "u64")


class Tiling(NamedTuple):
    """Tiles of `side`² elements over the vector axis and `axis`, of these loads."""

    axis: Axis
    side: int
    loads: list[Node]


def choose_tiling(kernel: Kernel, nest: Nest) -> Tiling | None:
    """The tiles to read in; None where no load of the kernel is to be turned over, or where
    reductions or updates decide the order of its loops.
    """
    vector, outer = nest.vector, kernel.live_outer()
    if vector not in outer or kernel.inner or any(s.combine for s in kernel.stores):
        return None
    assert vector is not None
    if any(n.name == "reduce" for n in nest.nodes):
        return None
    for axis in outer:
        loads = [n for n in nest.nodes if n.name == "load" and _is_turned(n, vector, axis)]
        sizes = {BITS[n.type] // 8 for n in loads}
        if axis is vector or len(sizes) != 1:
            continue
        side = min(nest.target.vector_bytes // max(sizes), nest.width)
        if side > 2 and min(axis.extent, vector.extent) >= side:
            return Tiling(axis, side, loads)
    return None


def _is_turned(node: Node, vector: Axis, axis: Axis) -> bool:
    load: Load = node.data
    along, across = load.index.coefficient(axis), load.index.coefficient(vector)
    plain = not node.operands and not load.index.values and node.type in _TYPES
    return plain and node.type == load.storage and along == 1 and across not in (-1, 0, 1)


def write_tiles(nest: Nest, tiling: Tiling, first: Value, body: Callable[[], None]) -> None:
    """Run `body` for `TILES` tiles of positions along the tiles' axis, from `first` on, for each
    vector of the vector axis; element by element where no vector is full.
    """
    vector, axis, side = nest.vector, tiling.axis, tiling.side
    assert vector is not None
    frame = nest.frame
    extent = frame.size(axis.extent)
    last = _lesser(first + TILES * side, extent)
    whole = frame.size(vector.extent)
    whole = whole - (whole & (side - 1))
    memory = [frame.stack(side * side * BITS[n.type] // 8) for n in tiling.loads]

    def tile(begin: Value, _: list[Value]) -> Sequence[Value]:
        # The last one begins earlier, where it would end behind the axis.
        start, end = _lesser(begin, extent - side), _lesser(begin + side, extent)
        for node, place in zip(tiling.loads, memory, strict=True):
            _turn_over(nest, tiling, node, start, place)
        with nest.keeping(tiling.loads, axis, memory, start):
            nest.loop(axis, begin, end, None, body)
        return []

    def strip() -> None:
        nest.emit.loop(first, last, side, [], tile)

    nest.width = side
    nest.loop(vector, frame.number(0), whole, side, strip)
    if vector.extent % side:

        def single() -> None:
            nest.loop(vector, whole, frame.size(vector.extent), 1, body)

        nest.loop(axis, first, last, None, single)


def _lesser(a: Value, b: Value) -> Value:
    return select(a < b, a, b)


def _turn_over(nest: Nest, tiling: Tiling, node: Node, start: Value, memory: Value) -> None:
    """Read a tile, row by row along its axis, and store its columns one after the other."""
    load: Load = node.data
    emit, side, vector = nest.emit, tiling.side, nest.vector
    assert vector is not None
    with nest.at(tiling.axis, start, None):
        scalar, _, _ = nest.index_parts(load.index)
        step = nest.frame.size(load.index.coefficient(vector))
        rows = []
        for k in range(side):
            address = emit.address(
                nest.frame.pointers[load.operand], scalar + step * k, load.storage
            )
            rows.append(emit.load(address, load.storage, side))
    for k, column in enumerate(transposed(emit, rows)):
        emit.store(emit.address(memory, nest.frame.number(k * side), node.type), column, node.type)
