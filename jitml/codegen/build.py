"""Build kernels from equations, on demand: to get an element of an output, ask for the elements it is made of.

Comes in: the equations of a graph, which variables have buffers, and the roots that a kernel is to store. Goes out: a
`Kernel`. Movement is index arithmetic, reductions become nodes, everything else is scalar instructions. A kernel that
cannot be built as asked raises `NeedsBuffer` with the variable that must be computed apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jitml.codegen.expand import BLOCK, Combine, Partial
from jitml.codegen.kernel import (
    Axis,
    Index,
    Kernel,
    KernelBuilder,
    Node,
    OpaqueDivision,
    SplitAxis,
    Store,
)
from jitml.codegen.llvm import COMPUTE
from jitml.ir.dtypes import is_complex, short_name
from jitml.ir.graph import Atom, Eqn, Literal, Var
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import Bitcast
from jitml.ops.kinds import Elementwise, Movement, Reduction
from jitml.ops.layout import Reshape
from jitml.ops.scatter import Scatter
from jitml.scalar.value import Value, bitcast

SMALL_WORK = 1 << 15  # elements; below it a kernel without parallel units is fine


class NeedsBuffer(Exception):
    """`var` must have a buffer of its own: it cannot be computed inside this kernel."""

    def __init__(self, var: Var) -> None:
        super().__init__(var)
        self.var = var


@dataclass(frozen=True, eq=False)
class Load:
    """Read element `index` of operand `operand`, which stores `storage`."""

    operand: int
    storage: str
    index: Index
    is_part: bool = False  # of a complex pair: the other part lies beside it


@dataclass(frozen=True, eq=False)
class Reduce:
    """Fold the element nodes over `axes` (one, once the axes are collapsed) with the op's `combine`."""

    op: Reduction
    axes: tuple[Axis, ...]
    types: tuple[str, ...]
    identity: tuple[bool | int | float, ...]
    limit: Index | None = None  # where the extent differs between units (the last block of a long reduction)
    lanes: int | None = 64  # accumulators; None: one for each element

    @property
    def axis(self) -> Axis | None:
        """The loop axis; None if there is but one element."""
        return next((a for a in self.axes if not a.merged and a.extent != 1), None)


@dataclass(frozen=True, eq=False)
class Site:
    """A check: which equation makes it, told to the user if it fails."""

    eqn: Eqn


@dataclass(frozen=True, eq=False)
class Built:
    """A kernel and the variables of its operands: the ones read, then the ones written."""

    kernel: Kernel
    reads: tuple[Var, ...]
    writes: tuple[Var, ...]


def build_kernel(
    definitions: Mapping[Var, Eqn], buffers: set[Var], roots: Sequence[Var]
) -> Built:
    """The kernel that computes `roots` from variables in `buffers` (and graph inputs)."""
    splits: dict[int, tuple[int, ...]] = {}
    while True:
        builder = _GroupBuilder(definitions, buffers, set(roots), splits)
        try:
            return builder.build(roots)
        except SplitAxis as split:
            builder.record_split(split)


def build_scatter(definitions: Mapping[Var, Eqn], buffers: set[Var], eqn: Eqn) -> Built:
    """The kernel that applies the updates of a scatter, in order, to its output (which holds the operand)."""
    builder = _GroupBuilder(definitions, buffers, set(eqn.outputs), {})
    return builder.build_scatter(eqn)


def strided_view(
    definitions: Mapping[Var, Eqn], buffers: set[Var], var: Var
) -> tuple[Var, int, tuple[int, ...]] | None:
    """`var` as (buffer variable, offset, strides) in elements if it is only an index map over one; else None."""
    builder = _GroupBuilder(definitions, buffers, set(), {})
    axes = [builder.kernel.axis(extent) for extent in var.type.shape]
    index = [Index(builder.kernel, ((axis, 1),)) for axis in axes]
    builder.kernel.refuse_division = True
    try:
        element = builder.element(var, index)
    except (OpaqueDivision, NeedsBuffer, SplitAxis):
        return None
    first = element if isinstance(element, Value) else element.re
    node = first.ref
    if node.name != "load" or node.operands:
        return None
    load: Load = node.data
    if len(builder.reads) != 1 or builder.reads[0].type.dtype != var.type.dtype:
        return None
    scale = 1 if isinstance(element, Value) else 2
    strides = tuple(load.index.coefficient(axis) // scale for axis in axes)
    return builder.reads[0], load.index.constant // scale, strides


class Flat(list[Index]):
    """The index of an element by its row-major position alone: what is left of an index behind a reshape."""

    @property
    def linear(self) -> Index:
        return self[0]


class _GroupBuilder:
    """One attempt at one kernel."""

    def __init__(
        self,
        definitions: Mapping[Var, Eqn],
        buffers: set[Var],
        roots: set[Var],
        splits: dict[int, tuple[int, ...]],
    ) -> None:
        self.definitions = definitions
        self.buffers = buffers
        self.roots = roots
        self.splits = splits
        self.kernel = KernelBuilder()
        self.reads: list[Var] = []
        self.operands: dict[Var, int] = {}
        self.sites: list[Site] = []
        self.mask: Value | None = None
        self.memo: dict[Any, Any] = {}
        self.root_axes: list[tuple[Axis, ...]] = []
        self.root_index: list[Index] = []
        self.bound: list[tuple[Axis, ...]] = []
        self.reduce_index: list[Index] = []

    # ---- the whole kernel ----------------------------------------------------------------

    def build(self, roots: Sequence[Var]) -> Built:
        main = max(roots, key=lambda v: v.type.ndim)
        self._make_axes(main.type.shape)
        stores = []
        for number, root in enumerate(roots):
            index = self.root_index if root.type.shape == main.type.shape else self._outer_index(root)
            self.mask = None
            stores.append((number, root, self._compute(root, index), index))
        reads = tuple(self.reads)
        kernel_stores = [
            self._store(len(reads) + number, root, element, index)
            for number, root, element, index in stores
        ]
        bound = {axis for axes in self.bound for axis in axes}
        outer = [a for axes in self.root_axes for a in axes if a not in bound]
        inner = [a for axes in self.root_axes for a in axes if a in bound]
        storages = tuple(_storage(v.type) for v in (*reads, *roots))
        kernel = Kernel(outer, inner, storages, kernel_stores, tuple(self.sites))
        self._check_reductions(kernel)
        collapse(kernel, self)
        return Built(kernel, reads, tuple(roots))

    def build_scatter(self, eqn: Eqn) -> Built:
        """One unit for each element of the updates."""
        op = eqn.op
        assert isinstance(op, Scatter)
        (target,), updates = eqn.outputs, eqn.inputs[2]
        self._make_axes(updates.type.shape)
        self.kernel.splittable.clear()
        reader = _Reader(self, eqn, self.root_index, updates.type.shape)
        target_index, inside = op.lower_target(reader, list(self.root_index))
        index = _indices(self.kernel, target_index)
        where = reader.checked(inside)
        element = reader(2, self.root_index)
        linear = linear_index(self.kernel, index, target.type.shape)
        self.kernel.indices.append(linear)
        reads = tuple(self.reads)
        parts = (element.ref,) if isinstance(element, Value) else (element.re.ref, element.im.ref)
        storage = _part(target.type) if len(parts) == 2 else _storage(target.type)
        condition = None if where is None else where.ref
        store = Store(len(reads), storage, parts, linear, condition, op.lower_combine)
        outer = [a for axes in self.root_axes for a in axes]
        storages = tuple(_storage(v.type) for v in (*reads, target))
        kernel = Kernel(outer, [], storages, [store], tuple(self.sites))
        collapse(kernel, self)
        return Built(kernel, reads, (target,))

    def _make_axes(self, shape: tuple[int, ...]) -> None:
        for position, extent in enumerate(shape):
            extents = self.splits.get(position, (extent,))
            axes = tuple(self.kernel.axis(e) for e in extents)
            self.kernel.splittable.update(axes)
            self.root_axes.append(axes)
            self.root_index.append(self._join(axes))

    def _join(self, axes: tuple[Axis, ...]) -> Index:
        """The index of a dimension that was split over `axes`."""
        index, stride = Index(self.kernel, ()), 1
        for axis in reversed(axes):
            if axis.extent != 1:
                index = index + Index(self.kernel, ((axis, stride),))
            stride *= axis.extent
        return index

    def record_split(self, split: SplitAxis) -> None:
        """Make the next attempt loop over the split axis as two."""
        for position, axes in enumerate(self.root_axes):
            if split.axis in axes:
                extents: list[int] = []
                for axis in axes:
                    halves = (axis.extent // split.inner, split.inner)
                    extents.extend(halves if axis is split.axis else (axis.extent,))
                self.splits[position] = tuple(extents)

    def _outer_index(self, root: Var) -> list[Index]:
        """Where a further root of lower rank (a reduction inside the kernel) is evaluated by the main root."""
        for (var, _, _), (index, _) in self.memo.items():
            if var is root and _are_distinct_axes(index, root.type.shape):
                return list(index)
        raise NeedsBuffer(root)

    def _store(self, operand: int, root: Var, element: Any, index: Sequence[Index]) -> Store:
        linear = linear_index(self.kernel, index, root.type.shape)
        self.kernel.indices.append(linear)
        if is_complex(root.type.dtype):
            return Store(operand, _part(root.type), (element.re.ref, element.im.ref), linear)
        return Store(operand, _storage(root.type), (element.ref,), linear)

    def _check_reductions(self, kernel: Kernel) -> None:
        """A reduction must depend on outer axes only, and must leave enough units to run in parallel."""
        inner = set(kernel.inner)
        outer = math.prod(axis.extent for axis in kernel.outer)
        for (var, _, _), (_, value) in self.memo.items():
            eqn = self.definitions.get(var)
            if eqn is None or not isinstance(eqn.op, (Reduction, Combine)) or var in self.roots:
                continue
            node = value.ref if isinstance(value, Value) else value.re.ref
            work = outer * math.prod(axis.extent for axis in inner)
            if node.axes & inner or (inner and outer < 8 and work > SMALL_WORK):
                raise NeedsBuffer(var)

    # ---- elements ---------------------------------------------------------------------------

    def element(self, atom: Atom, index: Sequence[Index]) -> Any:
        """The scalar value (or complex pair) of `atom` at `index`."""
        if isinstance(atom, Literal):
            return self._literal(atom)
        if atom in self.buffers and atom not in self.roots:
            return self._load(atom, index)
        if atom not in self.definitions:
            return self._load(atom, index)
        return self._compute(atom, index)

    def _compute(self, var: Var, index: Sequence[Index]) -> Any:
        mask = self.mask.ref.number if self.mask is not None else None
        key = (var, (type(index) is Flat, *(i.key for i in index)), mask)
        found = self.memo.get(key)
        if found is not None:
            return found[1]
        eqn = self.definitions[var]
        op = eqn.op
        if type(index) is Flat and not isinstance(op, (Elementwise, Reshape)):
            index = self._split_flat(index.linear, var)
        if isinstance(op, Elementwise):
            results = self._elementwise(eqn, index)
        elif isinstance(op, Reshape):
            results = [self._reshape(eqn, index)]
        elif isinstance(op, Movement):
            results = [op.lower(_Reader(self, eqn, index), list(index))]
        elif isinstance(op, Reduction):
            results = [self._reduction(op, eqn, index)]
        elif isinstance(op, Partial):
            results = self._partial(op.reduction, eqn, index)
        elif isinstance(op, Combine):
            results = [self._combine(op.reduction, eqn, index)]
        else:
            raise NeedsBuffer(var)
        for output, result in zip(eqn.outputs, results, strict=True):
            self.memo[output, key[1], mask] = (tuple(index), result)
        return self.memo[key][1]

    def _elementwise(self, eqn: Eqn, index: Sequence[Index]) -> list[Any]:
        values = [self.element(x, index if x.type.shape else ()) for x in eqn.inputs]
        if isinstance(eqn.op, Bitcast):
            return [self._bitcast(eqn, values[0])]
        result = eqn.op.lower(*values)
        results = list(result) if isinstance(result, tuple) else [result]
        return [
            self._rounded(value, out.type) for value, out in zip(results, eqn.outputs, strict=True)
        ]

    def _rounded(self, value: Any, type_: ArrayType) -> Any:
        """16-bit floats round after every equation."""
        storage = _storage(type_)
        if storage not in ("f16", "bf16"):
            return value
        node = self.kernel.node("round", "f32", (value.ref,), storage, storage)
        return Value(self.kernel, "f32", 1, node)

    def _bitcast(self, eqn: Eqn, value: Value) -> Value:
        """Between 16-bit floats and integers the bits are those of the stored form."""
        before, after = _storage(eqn.inputs[0].type), _storage(eqn.outputs[0].type)
        if before in ("f16", "bf16"):
            node = self.kernel.node("narrow", "u16", (value.ref,), before, before)
            value = Value(self.kernel, "u16", 1, node)
        if after in ("f16", "bf16"):
            bits = bitcast(value, "u16")
            node = self.kernel.node("widen", "f32", (bits.ref,), after, after)
            return Value(self.kernel, "f32", 1, node)
        return bitcast(value, after)

    def _reshape(self, eqn: Eqn, index: Sequence[Index]) -> Any:
        """Through the linear index; of a buffer, whose elements are in order, that is all."""
        (source,) = eqn.inputs
        linear = linear_index(self.kernel, index, eqn.outputs[0].type.shape)
        return self.element(source, Flat([linear]))

    def _split_flat(self, linear: Index, var: Var) -> list[Index]:
        """The index along each dimension of `var` of the element at position `linear`."""
        before, self.kernel.refuse_division = self.kernel.refuse_division, True
        try:
            split = []
            for extent in reversed(var.type.shape):
                split.append(linear % extent if extent != 1 else Index(self.kernel, ()))
                linear = linear // extent if extent != 1 else linear
        except OpaqueDivision:
            raise NeedsBuffer(var) from None
        finally:
            self.kernel.refuse_division = before
        return split[::-1]

    def _literal(self, literal: Literal) -> Any:
        dtype = literal.type.dtype
        if is_complex(dtype):
            from jitml.scalar.complex import Complex

            part, number = _part(literal.type), complex(literal.value)
            return Complex(
                self.kernel.constant(part, number.real), self.kernel.constant(part, number.imag)
            )
        assert not isinstance(literal.value, complex)
        return self.kernel.constant(_compute_type(literal.type), literal.value)

    # ---- loads --------------------------------------------------------------------------------

    def _load(self, var: Var, index: Sequence[Index]) -> Any:
        return self._load_linear(var, linear_index(self.kernel, index, var.type.shape))

    def _load_linear(self, var: Var, linear: Index) -> Any:
        if var not in self.operands:
            self.operands[var] = len(self.reads)
            self.reads.append(var)
        operand = self.operands[var]
        if is_complex(var.type.dtype):
            from jitml.scalar.complex import Complex

            part = _part(var.type)
            re, im = (
                self._load_scalar(operand, part, part, linear * 2 + k, True) for k in (0, 1)
            )
            return Complex(re, im)
        return self._load_scalar(operand, _storage(var.type), _compute_type(var.type), linear)

    def _load_scalar(
        self, operand: int, storage: str, type_: str, index: Index, is_part: bool = False
    ) -> Value:
        mask = () if self.mask is None else (self.mask.ref,)
        key = (operand, storage, index.key, len(mask))
        node = self.kernel.node(
            "load", type_, (*mask, *index.nodes), Load(operand, storage, index, is_part), key, index.axes
        )
        self.kernel.indices.append(index)
        return Value(self.kernel, type_, 1, node)

    # ---- reductions ------------------------------------------------------------------------------

    def _reduction(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> Any:
        (source,) = eqn.inputs
        (axis,) = op.axes
        position = self._reduction_index(source.type.shape[axis], index)
        state = self._fold(op, source, axis, index, position, None)
        return self._rounded(op.result(state), eqn.outputs[0].type)

    def _partial(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> list[Any]:
        """The states of one block: `BLOCK` elements, fewer in the last."""
        (source,) = eqn.inputs
        (axis,) = op.axes
        extent = source.type.shape[axis]
        first = index[-1] * BLOCK
        position = first + Index(self.kernel, ((self.kernel.axis(BLOCK), 1),))
        limit = -first + extent if extent % BLOCK else None
        return list(self._fold(op, source, axis, index[:-1], position, limit))

    def _fold(
        self,
        op: Reduction,
        source: Atom,
        axis: int,
        index: Sequence[Index],
        position: Index,
        limit: Index | None,
    ) -> tuple[Any, ...]:
        """The state of a run of elements of `source`: those at `position` along `axis`."""
        dtype = source.type.dtype
        joined = [*index[:axis], position, *index[axis:]]
        state = op.element(self.element(source, joined), position.value())
        axes = position.axes - {a for i in index for a in i.axes} - (limit.axes if limit else set())
        spec = Reduce(op, _in_order(axes), op.state_types(dtype), op.identity(dtype), limit)
        return self._reduce(spec, state)

    def _combine(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> Any:
        blocks = self.kernel.axis(eqn.inputs[0].type.shape[-1])
        along = [*index, Index(self.kernel, ((blocks, 1),))]
        state = tuple(self.element(x, along) for x in eqn.inputs)
        dtypes = op.state_types(self._reduced_type(eqn).dtype)
        identity = op.identity(self._reduced_type(eqn).dtype)
        spec = Reduce(op, (blocks,), dtypes, identity, lanes=None)
        return self._rounded(op.result(self._reduce(spec, state)), eqn.outputs[0].type)

    def _reduced_type(self, eqn: Eqn) -> ArrayType:
        """The type of what a long reduction reduced before its blocks."""
        source = eqn.inputs[0]
        assert isinstance(source, Var)
        return self.definitions[source].inputs[0].type

    def _reduce(self, spec: Reduce, state: tuple[Any, ...]) -> tuple[Any, ...]:
        nodes = tuple(
            part.ref
            for value in state
            for part in ((value,) if isinstance(value, Value) else (value.re, value.im))
        )
        limit = () if spec.limit is None else spec.limit.nodes
        key = (spec.op, tuple(a.number for a in spec.axes), spec.limit and spec.limit.key)
        node = self.kernel.node(
            "reduce", "state", (*nodes, *limit), spec, key, bound=frozenset(spec.axes)
        )
        if spec.axes not in self.bound:
            self.bound.append(spec.axes)
        return _unflatten(self.kernel, node, spec.types)

    def _reduction_index(self, extent: int, index: Sequence[Index]) -> Index:
        """What to run over: a dimension of the root that is free here if its extent fits, else a new axis."""
        used = {axis for i in index for axis in i.axes}
        for known in self.reduce_index:
            if not used & known.axes and _extent(known) == extent:
                return known
        for free in self.root_index:
            if not free.axes & used and _extent(free) == extent and extent != 1:
                self.reduce_index.append(free)
                return free
        fresh = Index(self.kernel, ((self.kernel.axis(extent), 1),))
        self.reduce_index.append(fresh)
        return fresh


def _in_order(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    return tuple(sorted(axes, key=lambda a: a.number))


def _extent(index: Index) -> int:
    bounds = index.bounds()
    return bounds[1] + 1 if bounds else 0


def _are_distinct_axes(index: Sequence[Index], shape: tuple[int, ...]) -> bool:
    """Whether an index visits every element of `shape` once per step of its axes."""
    axes = [axis for i in index for axis in i.axes]
    plain = all(_extent(i) == n and not i.constant for i, n in zip(index, shape, strict=True))
    return plain and len(axes) == len(set(axes))


def _unflatten(builder: KernelBuilder, node: Node, types: Sequence[str]) -> tuple[Any, ...]:
    """The state of a reduction as values: nodes `state` number its scalars."""
    parts: list[Any] = []
    number = 0
    for type_ in types:
        width = 2 if type_ in ("c64", "c128") else 1
        scalar = {"c64": "f32", "c128": "f64"}.get(type_, type_)
        values = [
            Value(builder, scalar, 1, builder.node("state", scalar, (node,), number + k, number + k))
            for k in range(width)
        ]
        number += width
        if width == 2:
            from jitml.scalar.complex import Complex

            parts.append(Complex(*values))
        else:
            parts.append(values[0])
    return tuple(parts)


class _Reader:
    """What a movement op's `lower` reads its inputs through."""

    def __init__(
        self,
        group: _GroupBuilder,
        eqn: Eqn,
        index: Sequence[Index],
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self._group = group
        self._eqn = eqn
        self._index = tuple(index)
        self._shape = eqn.outputs[0].type.shape if shape is None else shape
        self._checked: Value | None = None

    def __call__(self, number: int, index: Sequence[Any], where: Value | None = None) -> Any:
        group = self._group
        before = group.mask
        for guard in (where, self._checked):
            if guard is not None and guard.number is not True:
                group.mask = guard if group.mask is None else group.mask & guard
        try:
            return group.element(self._eqn.inputs[number], _indices(group.kernel, index))
        finally:
            group.mask = before

    def type(self, number: int) -> ArrayType:
        return self._eqn.inputs[number].type

    def index(self, value: Value) -> Index:
        return self._group.kernel.index_of(value)

    def value(self, index: Index) -> Value:
        return index.value()

    def check(self, ok: Value, value: Value) -> None:
        """Record a fault with the offending `value` where `ok` is false; later reads happen only where it holds."""
        from jitml.scalar.value import convert

        group = self._group
        if ok.number is True:
            return
        site = len(group.sites)
        group.sites.append(Site(self._eqn))
        linear = linear_index(group.kernel, self._index, self._shape).value()
        mask = () if group.mask is None else (group.mask.ref,)
        node = group.kernel.node(
            "check", "i1", (ok.ref, convert(value, "i64").ref, linear.ref, *mask), site, site
        )
        checked = Value(group.kernel, "i1", 1, node)
        self._checked = checked if self._checked is None else self._checked & checked


    def checked(self, inside: Value | None) -> Value | None:
        """Where the checks so far hold, and `inside` too."""
        if inside is None or self._checked is None:
            return self._checked if inside is None else inside
        return inside & self._checked


def _indices(builder: KernelBuilder, index: Sequence[Any]) -> list[Index]:
    return [i if isinstance(i, Index) else Index(builder, (), i) for i in index]


def linear_index(
    builder: KernelBuilder, index: Sequence[Index], shape: Sequence[int]
) -> Index:
    """The row-major position of `index` in an array of `shape`."""
    if isinstance(index, Flat):
        return index.linear
    linear, stride = Index(builder, ()), 1
    for i, extent in zip(reversed(index), reversed(shape), strict=True):
        linear = linear + i * stride
        stride *= extent
    return linear


def _storage(type_: ArrayType) -> str:
    return short_name(type_.dtype)


def _part(type_: ArrayType) -> str:
    return "f32" if short_name(type_.dtype) == "c64" else "f64"


def _compute_type(type_: ArrayType) -> str:
    storage = _storage(type_)
    return COMPUTE.get(storage, storage)


def collapse(kernel: Kernel, group: _GroupBuilder) -> None:
    """Merge neighbouring loop axes over which every index runs as over one."""
    runs = [kernel.outer, kernel.inner]
    inner = set(kernel.inner)
    runs += [list(axes) for axes in group.bound if not inner.intersection(axes)]
    for axes in runs:
        live = [a for a in axes if a.extent != 1]
        for a, b in zip(reversed(live[:-1]), reversed(live[1:]), strict=True):
            if all(
                i.coefficient(a) == i.coefficient(b) * b.extent for i in group.kernel.indices
            ) and _bound_together(group, a, b):
                b.extent *= a.extent
                a.merged = True
    for node in kernel.nodes():
        if node.name == "reduce":
            live = [x for x in node.data.axes if not x.merged and x.extent != 1]
            if len(live) > 1:
                raise NeedsBuffer(_reduced_variable(group, node))


def _bound_together(group: _GroupBuilder, a: Axis, b: Axis) -> bool:
    return all((a in axes) == (b in axes) for axes in group.bound)


def _reduced_variable(group: _GroupBuilder, node: Node) -> Var:
    """The input of the reduction that `node` is."""
    for (var, _, _), (_, value) in group.memo.items():
        eqn = group.definitions[var]
        if isinstance(eqn.op, Reduction) and eqn.op is node.data.op:
            first = value if isinstance(value, Value) else value.re
            if first.ref is node or node in first.ref.operands:
                (source,) = eqn.inputs
                assert isinstance(source, Var)
                return source
    raise AssertionError("a reduction without an equation")
