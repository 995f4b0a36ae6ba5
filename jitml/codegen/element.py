"""One element of a variable as nodes of a kernel: what it is made of, down to loads from buffers.

Comes in: equations, which variables have buffers, an index. Goes out: a scalar value (or a complex
pair). Movement is index arithmetic, reductions become nodes, everything else is scalar
instructions. A variable that cannot, or had better not, be computed inside the kernel raises
`NeedsBuffer`. Nothing here knows of stores and loops.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitml.codegen.expand import BLOCK, Combine, Partial
from jitml.codegen.kernel import (
    Axis,
    Index,
    KernelBuilder,
    Load,
    Node,
    OpaqueDivision,
    Reduce,
    Site,
)
from jitml.codegen.llvm import COMPUTE
from jitml.ir.dtypes import is_complex, short_name
from jitml.ir.graph import Atom, Eqn, Literal, Var
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import Bitcast
from jitml.ops.kinds import Elementwise, Movement, Reduction, choose
from jitml.ops.layout import Reshape
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, bitcast, convert

MOST_NODES = 1500  # in one kernel: the time to compile it stays bounded
MOST_READS = 24  # index maps behind each other: they recurse
MOST_REPEATED = 64  # instructions that may be repeated at further indices
MOST_OF_ROOT = 8  # the same for what is stored anyway
LARGE_ROOT = 1 << 14  # elements; to store and load fewer takes longer than to repeat much
_NO_INDEX = (False,)  # what the index of a 0-d variable is known as


class NeedsBuffer(Exception):
    """Variables must have buffers of their own: they are not to be computed inside this kernel."""

    def __init__(self, *variables: Var) -> None:
        super().__init__(*variables)
        self.variables = variables


class Flat(list[Index]):
    """The index of an element by its row-major position alone: what is left of an index behind a
    reshape of `source`.
    """

    def __init__(self, linear: Index, source: Atom) -> None:
        super().__init__([linear])
        self.linear = linear
        self.source = source


class ElementBuilder:
    """Builds elements in one kernel; equal elements are built once."""

    def __init__(
        self, definitions: Mapping[Var, Eqn], buffers: set[Var], roots: Iterable[Var] = ()
    ) -> None:
        self.definitions = definitions
        self.buffers = buffers
        self.roots = set(roots)
        self.refused: dict[Var, None] = {}  # what must be computed apart: read as if it were
        self.kernel = KernelBuilder()
        self.reads: list[Var] = []
        self.operands: dict[Var, int] = {}
        self.sites: list[Site] = []
        self.within: list[Var] = []  # roots at whose elements we are
        self.mask: Value | None = None
        self.depth = 0
        self.memo: dict[Any, Any] = {}
        # Instructions when a variable was first asked for, and, in order, when it was there.
        self.begun: dict[Var, int] = {}
        self.finished: dict[Var, int] = {}
        # What a variable costs in each form of its index; threads repeat none of equal nodes.
        self.repeated: dict[Var, dict[int, int]] = {}
        self.for_threads = False
        self.most_repeated = MOST_REPEATED
        self.points = 1  # of an unrolled root: as many indices of a variable are no repetition
        self.reductions: list[tuple[Var, Node]] = []
        # Dimensions of the root that a reduction may run over, and those that reductions run over.
        self.free_index: list[Index] = []
        self.reduce_index: list[Index] = []
        self.bound: list[tuple[Axis, ...]] = []

    def element(self, atom: Atom, index: Sequence[Index]) -> Any:
        """The scalar value (or complex pair) of `atom` at `index`."""
        if isinstance(atom, Literal):
            return self._literal(atom)
        if not atom.type.size:
            # Read only where a mask forbids it.
            return self._literal(Literal(0, atom.type.with_shape(())))
        if not self._is_computed(atom):
            return self._load(atom, index)
        return self.compute(atom, index)

    def compute(self, var: Var, index: Sequence[Index]) -> Any:
        """The element of `var` by its equation. Chains of elementwise equations and reshapes do not
        recurse.
        """
        wanted = self._key(var, index)
        memo, begun, (_, whole, mask) = self.memo, self.begun, wanted
        stack = [(var, index, whole)]
        while stack:
            at, where, place = stack[-1]
            if (at, place, mask) in memo:
                stack.pop()
                continue
            if at not in begun:
                begun[at] = self.kernel.instruction_count
            beside = self._beside(self.definitions[at], where, place)
            missing = [x for x in beside if (x[0], x[2], mask) not in memo]
            if missing:
                stack.extend(reversed(missing))
            else:
                stack.pop()
                self._compute_here(at, where)
        return memo[wanted][1]

    def _beside(self, eqn: Eqn, index: Sequence[Index], place: Any) -> list[tuple[Var, Any, Any]]:
        """The computed elements that one of an elementwise equation or a reshape, whose index is
        known as `place`, is made of: variables, indices, what these are known as.
        """
        if not isinstance(eqn.op, (Elementwise, Reshape)):
            return []
        inside = [x for x in eqn.inputs if isinstance(x, Var) and x.type.size]
        inside = [x for x in inside if self._is_computed(x)]
        if isinstance(eqn.op, Elementwise):
            return [(x, index, place) if x.type.shape else (x, (), _NO_INDEX) for x in inside]
        before = self._behind_reshape(eqn, index)
        return [(x, before, self._key(x, before)[1]) for x in inside]

    def _is_computed(self, var: Var) -> bool:
        if var in self.refused or var not in self.definitions:
            return False
        return var not in self.buffers or var in self.roots

    def _refuse(self, var: Var) -> None:
        """Note that `var` must be computed apart, and go on, to find all such at once."""
        if var in self.roots:
            raise NeedsBuffer(var)
        self.refused[var] = None

    def _key(self, var: Var, index: Sequence[Index]) -> tuple[Any, ...]:
        mask = self.mask.ref.number if self.mask is not None else None
        return var, (type(index) is Flat, *[i.key for i in index]), mask

    def _compute_here(self, var: Var, index: Sequence[Index]) -> None:
        """Enter the element of `var` (and of what its equation computes beside it) in the memo."""
        eqn = self.definitions[var]
        _, where, mask = self._key(var, index)
        if var in self.roots:
            self.within.append(var)
        results = self._results(eqn, var, index)
        for output, result in zip(eqn.outputs, results, strict=True):
            self.memo[output, where, mask] = (tuple(index), result)
        self.finished[var] = self.kernel.instruction_count
        self._limit(var, results)
        if var in self.roots:
            self.within.pop()

    def _limit(self, var: Var, results: Sequence[Any]) -> None:
        """Refuse kernels that are too large, and dear values that are computed over and over. What
        a root needs of another one, at further indices, is read from where that is stored.
        """
        is_root = var in self.roots
        if not is_root and self.kernel.instruction_count > MOST_NODES:
            raise NeedsBuffer(*self.refused, *self._largest_parts(var))
        dearest = max(map(_first_node, results), key=lambda node: node.cost)
        costs = self.repeated.setdefault(var, {})
        costs[dearest.number if self.for_threads else len(costs)] = dearest.cost
        most = MOST_OF_ROOT if is_root and var.type.size >= LARGE_ROOT else self.most_repeated
        is_repeated = sum([*costs.values()][self.points :]) > most
        if is_repeated and (not is_root or len(self.roots) > 1):
            self._refuse(self.within[-1] if len(self.within) > 1 else var)

    def _largest_parts(self, at: Var) -> list[Var]:
        """What to compute apart where all is too much, now that `at` is there: of the values that
        are still needed, the largest, which are half of the work together; or all of them, and what
        equations wait for.
        """
        done = {out for var in self.finished for out in self.definitions[var].outputs}
        begun = [self.definitions[var] for var in self.begun]
        inputs = (x for e in begun if done.isdisjoint(e.outputs) for x in e.inputs)
        needed = [x for x in inputs if isinstance(x, Var)]
        needed += [] if self.roots <= done else self.roots  # of which one must be left
        sizes = {x: self.finished[x] - self.begun[x] for x in needed if x in self.finished}
        parts = sorted(sizes, key=sizes.__getitem__, reverse=True)
        for number, size in enumerate(itertools.accumulate(sizes[var] for var in parts), 1):
            if size > MOST_NODES // 2:
                return parts[:number]
        waiting = [x for x in needed if x not in self.begun and self._is_computed(x)]
        return list(dict.fromkeys([*parts, *waiting])) or [at]

    def check_refused(self) -> None:
        """Raise if there is anything to compute apart."""
        if self.refused:
            raise NeedsBuffer(*self.refused)

    def _results(self, eqn: Eqn, var: Var, index: Sequence[Index]) -> list[Any]:
        op = eqn.op
        if type(index) is Flat and not isinstance(op, (Elementwise, Reshape)):
            index = self._split_flat(index, var)
        if isinstance(op, Elementwise):
            return self._elementwise(eqn, index)
        if isinstance(op, Reshape):
            return [self.element(eqn.inputs[0], self._behind_reshape(eqn, index))]
        if isinstance(op, Movement):
            return [op.lower(Reader(self, eqn, index), list(index))]
        if self.mask is not None:
            # Where to read is decided by position: a fold would be repeated for each.
            self._refuse(var)
            return [self._load(out, index) for out in eqn.outputs]
        if isinstance(op, Reduction):
            return [self._reduction(op, eqn, index)]
        if isinstance(op, Partial):
            return self._partial(op.reduction, eqn, index)
        if isinstance(op, Combine):
            return [self._combine(op.reduction, eqn, index)]
        raise NeedsBuffer(var)

    def _deeper(self, atom: Atom, index: Sequence[Index]) -> Any:
        """An element behind an index map or a reduction."""
        if self.depth == MOST_READS and isinstance(atom, Var) and self._is_computed(atom):
            self._refuse(atom)
        self.depth += 1
        try:
            return self.element(atom, index)
        finally:
            self.depth -= 1

    def _elementwise(self, eqn: Eqn, index: Sequence[Index]) -> list[Any]:
        values = [self.element(x, index if x.type.shape else ()) for x in eqn.inputs]
        if isinstance(eqn.op, Bitcast):
            return [self._bitcast(eqn, values[0])]
        assert isinstance(eqn.op, Elementwise)
        result = eqn.op.lower(*values)
        results = list(result) if isinstance(result, tuple) else [result]
        return [
            self._rounded(value, out.type) for value, out in zip(results, eqn.outputs, strict=True)
        ]

    def _rounded(self, value: Any, type_: ArrayType) -> Any:
        """16-bit floats round after every equation."""
        storage = storage_type(type_)
        if storage not in ("f16", "bf16"):
            return value
        node = self.kernel.node("round", "f32", (value.ref,), storage, storage)
        return Value(self.kernel, "f32", 1, node)

    def _bitcast(self, eqn: Eqn, value: Value) -> Value:
        """Between 16-bit floats and integers the bits are those of the stored form."""
        before, after = storage_type(eqn.inputs[0].type), storage_type(eqn.outputs[0].type)
        if before in ("f16", "bf16"):
            node = self.kernel.node("narrow", "u16", (value.ref,), before, before)
            value = Value(self.kernel, "u16", 1, node)
        if after in ("f16", "bf16"):
            bits = bitcast(value, "u16")
            node = self.kernel.node("widen", "f32", (bits.ref,), after, after)
            return Value(self.kernel, "f32", 1, node)
        return bitcast(value, after)

    def _behind_reshape(self, eqn: Eqn, index: Sequence[Index]) -> list[Index]:
        """The index along each dimension of what is reshaped, where loops run along them: an
        element has one index, however it is reached. Else its position alone.
        """
        (source,), (result,) = eqn.inputs, eqn.outputs
        linear = linear_index(self.kernel, index, result.type.shape)
        if source.type.ndim == 1:
            return [linear]
        split, rest = [], linear
        for extent in reversed(source.type.shape):
            separated = rest.separated(extent)
            if separated is None:
                return Flat(linear, source)
            rest, along = separated
            split.append(along)
        return split[::-1]

    def _split_flat(self, index: Flat, var: Var) -> list[Index]:
        """The index along each dimension of `var`. If that would divide for each element, what was
        reshaped gets a buffer: then all of it is computed by dimensions.
        """
        linear = index.linear
        before, self.kernel.refuse_division = self.kernel.refuse_division, True
        try:
            split = []
            for extent in reversed(var.type.shape):
                split.append(linear % extent if extent != 1 else Index(self.kernel, ()))
                linear = linear // extent if extent != 1 else linear
        except OpaqueDivision:
            source = var if index.source in self.roots else index.source
            assert isinstance(source, Var)  # numbers are read without an index
            raise NeedsBuffer(source) from None
        finally:
            self.kernel.refuse_division = before
        return split[::-1]

    def _literal(self, literal: Literal) -> Any:
        if is_complex(literal.type.dtype):
            part, number = part_type(literal.type), complex(literal.value)
            return Complex(
                self.kernel.constant(part, number.real), self.kernel.constant(part, number.imag)
            )
        assert not isinstance(literal.value, complex)
        return self.kernel.constant(compute_type(literal.type), literal.value)

    # ---- loads --------------------------------------------------------------------------------

    def _load(self, var: Var, index: Sequence[Index]) -> Any:
        linear = linear_index(self.kernel, index, var.type.shape)
        if var not in self.operands:
            self.operands[var] = len(self.reads)
            self.reads.append(var)
        if is_complex(var.type.dtype):
            part = part_type(var.type)
            re, im = (self._load_scalar(var, part, part, linear * 2 + k, True) for k in (0, 1))
            return Complex(re, im)
        return self._load_scalar(var, storage_type(var.type), compute_type(var.type), linear)

    def _load_scalar(
        self, var: Var, storage: str, type_: str, index: Index, is_part: bool = False
    ) -> Value:
        operand = self.operands[var]
        mask = () if self.mask is None else (self.mask.ref,)
        key = (operand, index.key, len(mask))
        load = Load(operand, storage, index, is_part)
        self.kernel.indices.append(index)
        node = self.kernel.node("load", type_, (*mask, *index.nodes), load, key, index.axes)
        return Value(self.kernel, type_, 1, node)

    # ---- reductions ------------------------------------------------------------------------------

    def _reduction(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> Any:
        (source,), (axis,) = eqn.inputs, op.axes
        position = self._reduction_index(source.type.shape[axis], index)
        used = {a for i in index for a in i.axes}
        axes = tuple(sorted(position.axes - used, key=lambda a: a.number))
        state = self._fold(op, eqn, index, position, axes, None)
        return self._rounded(op.result(state), eqn.outputs[0].type)

    def _partial(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> list[Any]:
        """The states of one block: `BLOCK` elements, fewer in the last."""
        extent = eqn.inputs[0].type.shape[op.axes[0]]
        first, axis = index[-1] * BLOCK, self.kernel.axis(BLOCK)
        position = first + Index(self.kernel, ((axis, 1),))
        limit = -first + extent if extent % BLOCK else None
        return list(self._fold(op, eqn, index[:-1], position, (axis,), limit))

    def _fold(
        self,
        op: Reduction,
        eqn: Eqn,
        index: Sequence[Index],
        position: Index,
        axes: tuple[Axis, ...],
        limit: Index | None,
    ) -> tuple[Any, ...]:
        """The state of the elements of the source at `position` along the reduced axis, over loop
        `axes`.
        """
        (source,), (axis,) = eqn.inputs, op.axes
        joined = [*index[:axis], position, *index[axis:]]
        state = op.element(self._deeper(source, joined), position.value())
        dtype = source.type.dtype
        spec = Reduce(op, axes, op.state_types(dtype), op.identity(dtype), limit)
        return self._reduce(eqn, spec, state)

    def _combine(self, op: Reduction, eqn: Eqn, index: Sequence[Index]) -> Any:
        blocks = self.kernel.axis(eqn.inputs[0].type.shape[-1])
        along = [*index, Index(self.kernel, ((blocks, 1),))]
        state = tuple(self._deeper(x, along) for x in eqn.inputs)
        source = eqn.inputs[0]
        assert isinstance(source, Var)
        dtype = self.definitions[source].inputs[0].type.dtype
        spec = Reduce(op, (blocks,), op.state_types(dtype), op.identity(dtype), lanes=None)
        return self._rounded(op.result(self._reduce(eqn, spec, state)), eqn.outputs[0].type)

    def _reduce(self, eqn: Eqn, spec: Reduce, state: tuple[Any, ...]) -> tuple[Any, ...]:
        nodes = tuple(
            part.ref
            for value in state
            for part in ((value,) if isinstance(value, Value) else (value.re, value.im))
        )
        limit = () if spec.limit is None else spec.limit.nodes
        key = (spec.op, tuple(a.number for a in spec.axes), spec.limit and spec.limit.key)
        if spec.limit is not None:
            self.kernel.indices.append(spec.limit)
        axes = frozenset() if spec.limit is None else spec.limit.axes
        node = self.kernel.node(
            "reduce", "state", (*nodes, *limit), spec, key, axes, frozenset(spec.axes)
        )
        self.kernel.count_loop(nodes, spec.axes)
        self.reductions.append((eqn.outputs[0], node))
        if spec.axes not in self.bound:
            self.bound.append(spec.axes)
        return self._unflatten(node, spec.types)

    def _unflatten(self, node: Node, types: Sequence[str]) -> tuple[Any, ...]:
        """The state of a reduction as values: nodes `state` number its scalars."""
        parts: list[Any] = []
        number = 0
        for type_ in types:
            scalar = {"c64": "f32", "c128": "f64"}.get(type_, type_)
            numbers = range(number, number + (2 if scalar != type_ else 1))
            values = [
                Value(self.kernel, scalar, 1, self.kernel.node("state", scalar, (node,), k, k))
                for k in numbers
            ]
            number += len(values)
            parts.append(values[0] if len(values) == 1 else Complex(*values))
        return tuple(parts)

    def _reduction_index(self, extent: int, index: Sequence[Index]) -> Index:
        """What to run over: dimensions of the root that are free here if their extents fit, else a
        new axis.
        """
        used = {axis for i in index for axis in i.axes}
        for known in self.reduce_index:
            if not used & known.axes and extent_of(known) == extent:
                return known
        found = self._free_run(extent, used)
        if found is None:
            found = Index(self.kernel, ((self.kernel.axis(extent), 1),))
        self.reduce_index.append(found)
        return found

    def _free_run(self, extent: int, used: set[Axis]) -> Index | None:
        """Neighbouring dimensions of the root, none of them used, that have `extent` elements
        together.
        """
        for first in range(len(self.free_index)):
            total = Index(self.kernel, ())
            for dimension in self.free_index[first:]:
                if used & dimension.axes:
                    break
                total = total * extent_of(dimension) + dimension
                if extent_of(total) >= extent:
                    break
            if extent_of(total) == extent and total.terms:
                return total
        return None


class Reader:
    """What a movement op's `lower` reads its inputs through."""

    def __init__(
        self,
        builder: ElementBuilder,
        eqn: Eqn,
        index: Sequence[Index],
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self._builder = builder
        self._eqn = eqn
        self._index = tuple(index)
        self._shape = eqn.outputs[0].type.shape if shape is None else shape
        self._checked: Value | None = None

    def __call__(self, number: int, index: Sequence[Any], where: Value | None = None) -> Any:
        builder = self._builder
        if where is not None:
            builder.kernel.ask_to_unroll(where)
            if where.number is False:  # here nothing is read
                return builder.element(Literal(0, self.type(number).with_shape(())), ())
        before = builder.mask
        for guard in (where, self._checked):
            if guard is not None and guard.number is not True:
                builder.mask = guard if builder.mask is None else builder.mask & guard
        try:
            element = builder._deeper(self._eqn.inputs[number], self._indices(index))
        finally:
            builder.mask = before
        return element if self._checked is None else self._guarded(element)

    def _guarded(self, element: Any) -> Any:
        """An element that needs the checks: those of a load are its mask, others (constants) choose
        by them.
        """
        assert self._checked is not None
        if _first_node(element).name == "load":
            return element
        parts = (element,) if isinstance(element, Value) else (element.re, element.im)
        zeros = [part.like(0) for part in parts]
        return choose(self._checked, element, zeros[0] if len(zeros) == 1 else Complex(*zeros))

    def _indices(self, index: Sequence[Any]) -> list[Index]:
        kernel = self._builder.kernel
        return [i if isinstance(i, Index) else Index(kernel, (), i) for i in index]

    @property
    def count(self) -> int:
        """The number of inputs."""
        return len(self._eqn.inputs)

    def type(self, number: int) -> ArrayType:
        return self._eqn.inputs[number].type

    def index(self, value: Value) -> Index:
        return self._builder.kernel.index_of(value)

    def value(self, index: Index) -> Value:
        return index.value()

    def check(self, ok: Value, value: Value) -> None:
        """Record a fault with the offending `value` where `ok` is false; later reads happen only
        where it holds.
        """
        if ok.number is True:
            return
        builder = self._builder
        site = len(builder.sites)
        builder.sites.append(Site(self._eqn))
        linear = linear_index(builder.kernel, self._index, self._shape).value()
        mask = () if builder.mask is None else (builder.mask.ref,)
        operands = (ok.ref, convert(value, "i64").ref, linear.ref, *mask)
        node = builder.kernel.node("check", "i1", operands, site, site)
        checked = Value(builder.kernel, "i1", 1, node)
        self._checked = checked if self._checked is None else self._checked & checked

    def checked(self, inside: Value | None) -> Value | None:
        """Where the checks so far hold, and `inside` too."""
        if inside is None or self._checked is None:
            return self._checked if inside is None else inside
        return inside & self._checked


def _first_node(element: Any) -> Node:
    node: Node = (element if isinstance(element, Value) else element.re).ref
    return node


def extent_of(index: Index) -> int:
    """How many values an index takes that starts at 0."""
    bounds = index.bounds()
    return bounds[1] + 1 if bounds else 0


def linear_index(builder: KernelBuilder, index: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of `index` in an array of `shape`."""
    if isinstance(index, Flat):
        return index.linear
    linear, stride = Index(builder, ()), 1
    for i, extent in zip(reversed(index), reversed(shape), strict=True):
        linear = linear + i * stride
        stride *= extent
    return linear


def storage_type(type_: ArrayType) -> str:
    """What an element of this type is stored as."""
    return short_name(type_.dtype)


def part_type(type_: ArrayType) -> str:
    """The type of the real part of a complex type."""
    return "f32" if short_name(type_.dtype) == "c64" else "f64"


def compute_type(type_: ArrayType) -> str:
    """The scalar type that an element of this type is computed in."""
    storage = storage_type(type_)
    return COMPUTE.get(storage, storage)


def product(axes: Iterable[Axis]) -> int:
    """The number of steps of a nest over `axes`."""
    return math.prod(axis.extent for axis in axes)
