"""Updates of a scatter: read, combine, write, where they land inside.

Comes in: an update, at a place of the nest. Goes out: the text of it, or of one for each lane.
Lanes that lie side by side are updated at once; others may be the same element, and go in order:
what they need is computed in vectors, and checked there for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.kernel import Index, Node, Store
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.scalar.complex import Complex
from jitml.scalar.value import SIGNED, UNSIGNED, Value, convert


def update(nest: Nest, spec: Store) -> None:
    """One update, or one for each lane."""
    emit = nest.emit
    where = emit.constant("i1", True) if spec.where is None else nest.value(spec.where)
    scalar, stride, vector = nest.index_parts(spec.index)
    is_dense = vector is None and stride == 1 and len(spec.nodes) == 1
    if nest.lanes > 1 and not is_dense:
        _update_lanes(nest, spec, where)
        return

    def write() -> None:
        _know_inside(nest, spec)
        nest.prepare(spec.nodes)
        combine(nest, spec, scalar, [emit.splat(nest.value(n), nest.lanes) for n in spec.nodes])

    with nest.scope():
        emit.if_(where, write)


def _know_inside(nest: Nest, spec: Store) -> None:
    """From here to the end of the scope updates are known to land inside."""
    if spec.where is not None:
        nest.remember(spec.where.number, nest.emit.constant("i1", True))


def combine(nest: Nest, spec: Store, index: Value, new: Sequence[Value]) -> Sequence[Value]:
    """Combine the element at `index`, or as many as `new` has lanes, with new values; the parts of
    what is there now.
    """
    emit, scale = nest.emit, len(new)
    assert spec.combine is not None
    pointer = nest.frame.pointers[spec.operand]
    places = [emit.address(pointer, index * scale + part, spec.storage) for part in range(scale)]
    old = [emit.load(place, spec.storage, new[0].lanes) for place in places]
    if scale == 1:
        results = [spec.combine(old[0], new[0])]
    else:
        both = spec.combine(Complex(*old), Complex(*new))
        results = [both.re, both.im]
    for place, value in zip(places, results, strict=True):
        emit.store(place, value, spec.storage)
    return results


def _update_lanes(nest: Nest, spec: Store, where: Value) -> None:
    """An update for each lane, one after the other: without a branch where all land inside and no
    index counts from the end.
    """
    emit, lanes = nest.emit, nest.lanes
    index = emit.splat(nest.index_value(spec.index), lanes)
    given = [_as_given(node) for node in spec.index.nodes]
    is_rare = ~emit.splat(where, lanes)
    for counts_from_end, _ in given:
        if counts_from_end is not None:
            is_rare = is_rare | emit.splat(nest.value(counts_from_end), lanes)

    def all_lanes() -> None:
        _know_inside(nest, spec)
        place = _index_reader(nest, spec, [_reader(nest, spec, node) for _, node in given])
        reads = [_reader(nest, spec, node) for node in spec.nodes]
        for lane in range(lanes):
            combine(nest, spec, place(lane), [read(lane) for read in reads])

    some = emit.any_lane(is_rare)
    for condition, write in (
        (~some, all_lanes),
        (some, lambda: _update_some(nest, spec, index, where)),
    ):
        with nest.scope():
            emit.if_(condition, write)


def _as_given(node: Node) -> tuple[Node | None, Node]:
    """An index before it was widened, and before the size was added if it counts from the end: the
    condition for that, and the index, which lies in memory.
    """
    if node.name == "convert" and node.operands[0].type in SIGNED | UNSIGNED:
        node = node.operands[0]
    if node.name == "select" and node.operands[2].name == "load":
        return node.operands[0], node.operands[2]
    return None, node


def _index_reader(
    nest: Nest, spec: Store, reads: Sequence[Callable[[int], Value]]
) -> Callable[[int], Value]:
    """What gives the index of a lane; `reads` give the values that it is made of."""
    fixed = Index(spec.index.builder, spec.index.terms, spec.index.constant)
    scalar, stride, _ = nest.index_parts(fixed)

    def place(lane: int) -> Value:
        total = nest.plus(scalar, nest.frame.number(lane), stride)
        for read, (_, factor) in zip(reads, spec.index.values, strict=True):
            total = nest.plus(total, convert(read(lane), "i64"), factor)
        return total

    return place


def _reader(nest: Nest, spec: Store, node: Node) -> Callable[[int], Value]:
    """What gives the value of a node in a lane: what is only read, and always then, is read lane by
    lane, other vectors are put into memory first. That takes less than to get lanes out of them.
    """
    emit, frame = nest.emit, nest.frame
    if node.name == "load" and _is_read_if_inside(spec, node):
        nest.prepare(node.data.index.nodes)
        scalar, stride, vector = nest.index_parts(node.data.index)
        if vector is None:
            pointer, storage = frame.pointers[node.data.operand], node.data.storage

            def read(lane: int) -> Value:
                index = nest.plus(scalar, frame.number(lane), stride)
                return emit.load(emit.address(pointer, index, storage), storage)

            return read
    nest.prepare([node])
    if nest.value(node).lanes == 1:
        return lambda lane: nest.value(node)
    kept = _kept(nest, nest.value(node))
    return lambda lane: kept(frame.number(lane))


def _is_read_if_inside(spec: Store, load: Node) -> bool:
    masks = load.operands[: len(load.operands) - len(load.data.index.nodes)]
    return all(mask is spec.where for mask in masks)


def _update_some(nest: Nest, spec: Store, index: Value, where: Value) -> None:
    """Updates in the lanes that land inside, in a loop."""
    nest.prepare(spec.nodes)
    values = [where, index, *(nest.value(n) for n in spec.nodes)]
    reads = [_kept(nest, value) for value in values]

    def step(lane: Value, _: list[Value]) -> Sequence[Value]:
        inside, *places = (read(lane) for read in reads)

        def write() -> None:
            combine(nest, spec, places[0], places[1:])

        nest.emit.if_(inside, write)
        return []

    nest.emit.loop(nest.frame.number(0), nest.frame.number(nest.lanes), 1, [], step)


def _kept(nest: Nest, value: Value) -> Callable[[Value], Value]:
    """What gives a lane of a value by its number: the value is kept in memory."""
    emit, storage = nest.emit, "bool" if value.type == "i1" else value.type
    memory = nest.frame.stack(nest.lanes * STORAGE_BITS[storage] // 8)
    emit.store(memory, emit.splat(value, nest.lanes), storage)
    return lambda lane: emit.load(emit.address(memory, lane, storage), storage)
