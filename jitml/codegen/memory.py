"""Loads and stores of a kernel: consecutive, repeated, a few apart, in pairs, or lane by lane.

Comes in: a `Load` or `Store`, at a place of the nest. Goes out: the text of the accesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitml.codegen.kernel import Load, Node, Store
from jitml.codegen.llvm import LINE_BYTES, STORAGE_BITS, llvm_type, suffix
from jitml.codegen.masked import masked_load, raw_type
from jitml.codegen.nest import Nest
from jitml.codegen.updates import update
from jitml.scalar.value import Value

STREAMED_BYTES = 1 << 25  # that a kernel reads and writes: more than a large cache has room for
MOST_COLUMNS = 8  # of short rows that are read or written as a whole; loads for one vector


class _Place(NamedTuple):
    """The elements that one access touches: pointer[scalar + stride·lane + vector]."""

    pointer: Value
    scalar: Value
    stride: int
    vector: Value | None


def load(nest: Nest, node: Node) -> Value:
    """Read an element, or one per lane; where a mask comes first among the operands, zero where it
    is false.
    """
    spec: Load = node.data
    is_masked = len(node.operands) > len(spec.index.nodes)
    mask = nest.value(node.operands[0]) if is_masked else None
    if mask is not None and mask.number is not None:
        if not mask.number:
            return nest.emit.constant(node.type, 0)
        mask = None
    place = _Place(nest.frame.pointers[spec.operand], *nest.index_parts(spec.index))
    pointer, scalar, stride, vector = place
    if vector is None and stride == 0:
        if spec.is_part and mask is None and nest.emit.aligns_vectors:
            return _load_column(nest, pointer, spec, 2, 1)
        if mask is not None and mask.lanes > 1:
            return _gather(nest, place, spec.storage, mask)
        return _load_one(nest, place, spec.storage, mask)
    if vector is None and stride == 1:
        address = nest.emit.address(pointer, scalar, spec.storage)
        if mask is None:
            return nest.emit.load(address, spec.storage, nest.lanes)
        address = _if_there(nest, nest.emit.any_lane(mask), address)
        if mask.lanes == 1:
            return nest.emit.load(address, spec.storage, nest.lanes)
        return masked_load(nest.emit, address, spec.storage, mask)
    if vector is None and mask is None and _is_in_rows(nest, spec, stride):
        return _load_column(nest, pointer, spec, stride, nest.lanes)
    is_close = abs(stride) <= min(MOST_COLUMNS, nest.lanes // 2)
    if vector is None and mask is None and (is_close or stride == -1):
        return _load_apart(nest, place, spec.storage)
    return _gather(nest, _with_short_offsets(nest, spec, place), spec.storage, mask)


def _with_short_offsets(nest: Nest, spec: Load, place: _Place) -> _Place:
    """The place with offsets of 32 bits, of which one instruction takes twice as many, if they come
    from such numbers.
    """
    nodes = spec.index.nodes
    is_plain = place.stride == 0 and len(nodes) == 1 and spec.index.values[0][1] == 1
    if not is_plain or nodes[0].name != "convert" or nodes[0].operands[0].type != "i32":
        return place
    return place._replace(vector=nest.value(nodes[0].operands[0]))


def _load_one(nest: Nest, place: _Place, storage: str, mask: Value | None) -> Value:
    address = nest.emit.address(place.pointer, place.scalar, storage)
    if mask is not None:
        address = _if_there(nest, mask, address)
    return nest.emit.load(address, storage)


def _if_there(nest: Nest, mask: Value, address: Value) -> Value:
    """The address where the mask holds, else that of zeros: where nothing is to be read there need
    be no memory, which is slow to find out even if the lanes are masked.
    """
    text = f"select i1 {mask.ref}, ptr {address.ref}, ptr {nest.frame.zeros()}"
    return nest.emit.pure(text, "ptr")


def _is_in_rows(nest: Nest, spec: Load, stride: int) -> bool:
    """Whether lanes read one column each of short rows that lie behind each other, to whose ends
    the kernel reads.
    """
    if not 1 < stride <= MOST_COLUMNS or nest.lanes == 1:
        return False
    if spec.is_part and stride == 2:
        return True
    last = spec.index.constant // stride * stride + stride - 1
    return (spec.operand, spec.index.key[::2], last) in nest.reads


def _load_column(nest: Nest, pointer: Value, spec: Load, stride: int, lanes: int) -> Value:
    """A column (the real or the imaginary parts, say) of short rows, out of one wide load."""
    column, count = spec.index.constant % stride, stride * lanes
    scalar, _, _ = nest.index_parts(spec.index + -column)
    first = nest.emit.address(pointer, scalar, spec.storage)
    key = ("rows", spec.operand, first.ref)
    wide = nest.find(key)
    if wide is None:
        wide = nest.emit.load(first, spec.storage, count)
        nest.remember(key, wide)
    return nest.emit.shuffle(wide, wide, range(column, count, stride))


def _load_apart(nest: Nest, place: _Place, storage: str) -> Value:
    """Elements a few apart, forwards or backwards, out of loads of all from the first to the last
    of them, and of no more.
    """
    emit, lanes, step = nest.emit, nest.lanes, abs(place.stride)
    offsets = range(0, lanes * step, step)
    if place.stride < 0:
        offsets = offsets[::-1]
    lowest = place.scalar + min(0, place.stride) * (lanes - 1)
    starts = [*range(0, (step - 1) * lanes, lanes), (step - 1) * (lanes - 1)]
    chosen: Value | None = None
    for number, start in enumerate(starts):
        part = emit.load(emit.address(place.pointer, lowest + start, storage), storage, lanes)
        order = [
            lanes + offset - start if min(offset // lanes, step - 1) == number else lane
            for lane, offset in enumerate(offsets)
        ]
        chosen = emit.shuffle(part if chosen is None else chosen, part, order)
    assert chosen is not None
    return chosen


def _gather(nest: Nest, place: _Place, storage: str, mask: Value | None) -> Value:
    emit, lanes = nest.emit, nest.lanes
    offsets = emit.constant("i64", 0, lanes) if place.vector is None else place.vector
    if place.stride:
        offsets = nest.plus(offsets, emit.lane_numbers(lanes), place.stride)
    base = emit.address(place.pointer, place.scalar, storage)
    raw = raw_type(storage)
    addresses = emit.pure(
        f"getelementptr i{STORAGE_BITS[storage]}, ptr {base.ref}, "
        f"{llvm_type(offsets.type, lanes)} {offsets.ref}",
        "ptr",
        lanes,
    )
    truth = emit.constant("i1", True, lanes) if mask is None else mask
    truth = emit.splat(truth, lanes)
    result, masks = llvm_type(raw, lanes), llvm_type("i1", lanes)
    function = f"@llvm.masked.gather.{suffix(raw, lanes)}.v{lanes}p0"
    pointers = f"<{lanes} x ptr>"
    emit.declarations.add(f"declare {result} {function}({pointers}, i32, {masks}, {result})")
    text = (
        f"call {result} {function}({pointers} {addresses.ref}, "
        f"i32 {STORAGE_BITS[storage] // 8}, {masks} {truth.ref}, {result} zeroinitializer)"
    )
    return emit.widen(emit.effect(text, raw, lanes), storage)


def store_all(nest: Nest, specs: Sequence[Store]) -> None:
    """Write what is to be written at this place; the columns of short rows together."""
    left = list(specs)
    while left:
        spec = left[0]
        stride = 0 if nest.vector is None else spec.index.coefficient(nest.vector)
        row = left[:stride] if 1 < stride <= MOST_COLUMNS and nest.lanes > 1 else [spec]
        if 1 < stride == len(row) and _is_row(row):
            _store_row(nest, row)
        else:
            row = [spec]
            store(nest, spec)
        del left[: len(row)]


def _is_row(specs: Sequence[Store]) -> bool:
    """Whether the stores are the columns of rows that long."""
    if any(s.combine or len(s.nodes) != 1 for s in specs):
        return False
    first = specs[0]
    return all(
        s.operand == first.operand
        and s.index.key[::2] == first.index.key[::2]
        and s.index.constant == first.index.constant + k
        for k, s in enumerate(specs)
    )


def _store_row(nest: Nest, specs: Sequence[Store]) -> None:
    """The columns of short rows side by side, in one wide store."""
    emit, lanes, storage = nest.emit, nest.lanes, specs[0].storage
    scalar, _, _ = nest.index_parts(specs[0].index)
    columns = [emit.splat(nest.value(s.nodes[0]), lanes) for s in specs]
    address = emit.address(nest.frame.pointers[specs[0].operand], scalar, storage)
    _store_neighbours(nest, specs[0], address, _interleave_all(nest, columns))


def _interleave_all(nest: Nest, columns: Sequence[Value]) -> Value:
    """The first lanes of all vectors, then the second ones, and so on."""
    lanes, parts = columns[0].lanes, list(columns)
    while len(parts) > 2:
        parts += parts[-1:] * (len(parts) % 2)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [nest.emit.shuffle(a, b, range(2 * a.lanes)) for a, b in pairs]
    order = [column * lanes + lane for lane in range(lanes) for column in range(len(columns))]
    return nest.emit.shuffle(parts[0], parts[-1], order)


def store(nest: Nest, spec: Store) -> None:
    """Write an element, or one per lane, of one part or (complex) two."""
    if spec.combine is not None:
        update(nest, spec)
        return
    lanes = nest.lanes if nest.vector in spec.index.axes else 1
    values = [nest.emit.splat(nest.value(n), lanes) for n in spec.nodes]
    scalar, stride, vector = nest.index_parts(spec.index)
    assert vector is None
    place = _Place(nest.frame.pointers[spec.operand], scalar, stride, None)
    if lanes > 1 and stride != 1:
        _scatter(nest, place, spec.storage, values)
    elif len(values) == 2:
        _store_pairs(nest, place, spec, values)
    else:
        address = nest.emit.address(place.pointer, scalar, spec.storage)
        _store_neighbours(nest, spec, address, values[0])


def _store_neighbours(nest: Nest, spec: Store, address: Value, value: Value) -> None:
    """Write a vector. Where caches have no room for what the kernel touches, whole cache lines of
    large arrays go past them, and are not read before.
    """
    emit, sizes = nest.emit, nest.operand_bytes
    is_large = sum(sizes) >= STREAMED_BYTES and sizes[spec.operand] * 4 >= STREAMED_BYTES
    line = LINE_BYTES * 8 // STORAGE_BITS[spec.storage]
    if value.lanes % line or not is_large or not nest.target.is_x86:
        emit.store(address, value, spec.storage)
        return
    nest.frame.is_streaming = True
    place = emit.pure(f"ptrtoint ptr {address.ref} to i64", "i64")
    raw = emit.narrow(value, spec.storage)
    emit.if_(
        (place & (LINE_BYTES - 1)) == 0,
        lambda: emit.store(address, raw, raw.type, streaming=True),
        lambda: emit.store(address, raw, raw.type),
    )


def _store_pairs(nest: Nest, place: _Place, spec: Store, values: list[Value]) -> None:
    """Complex numbers: real and imaginary parts side by side."""
    address = nest.emit.address(place.pointer, place.scalar * 2, spec.storage)
    _store_neighbours(nest, spec, address, _interleave(nest, *values))


def _interleave(nest: Nest, a: Value, b: Value) -> Value:
    if a.lanes > 1:
        return _interleave_all(nest, (a, b))
    empty = Value(nest.emit, a.type, 2, "poison")
    return nest.emit.insert(nest.emit.insert(empty, a, 0), b, 1)


def _scatter(nest: Nest, place: _Place, storage: str, values: list[Value]) -> None:
    """Element by element."""
    width = len(values)
    for lane in range(values[0].lanes):
        index = nest.plus(place.scalar, nest.frame.number(lane), place.stride) * width
        for part, value in enumerate(values):
            address = nest.emit.address(place.pointer, index + part, storage)
            nest.emit.store(address, nest.emit.extract(value, lane), storage)
