"""Build kernels from equations.

Comes in: the equations of a graph, which variables have buffers, and the roots that a kernel is to
store. Goes out: a `Kernel`. Loop axes that an index would have to divide are split, axes that run
as one are merged; a kernel that cannot be built as asked raises `NeedsBuffer` with the variable
that must be computed apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jitml.codegen.element import (
    MOST_REPEATED,
    ElementBuilder,
    NeedsBuffer,
    Reader,
    extent_of,
    linear_index,
    part_type,
    product,
    storage_type,
)
from jitml.codegen.kernel import (
    Axis,
    Index,
    Kernel,
    Load,
    Node,
    OpaqueDivision,
    Site,
    SplitAxis,
    Store,
    UnrollAxis,
    post_order,
)
from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Eqn, Var
from jitml.ops.scatter import Scatter
from jitml.scalar.value import Value

STRIDED_COST = 16  # of a read that a vector makes lane by lane
MOST_GATHERED = 4  # elements of an array for each that is needed
CHEAP = 8  # instructions; up to this many had better be repeated than stored and loaded
MOST_UNROLLED = 9  # positions along short axes that are written apart
SELDOM = 8  # what is read so many times less often does not decide
SMALL_WORK = 1 << 15  # elements; below it a kernel without parallel units is fine


@dataclass(frozen=True, eq=False)
class Built:
    """A kernel, the variables of its operands (the ones read, then the ones written), all that it
    computes, the nodes that do so, and about how many instructions it has.
    """

    kernel: Kernel
    reads: tuple[Var, ...]
    writes: tuple[Var, ...]
    computed: frozenset[Var]
    nodes: tuple[tuple[Var, Node], ...] = ()
    size: int = 0


class _Unmerged(Exception):
    """A reduction runs over several loop axes which cannot become one."""


def build_kernel(
    definitions: Mapping[Var, Eqn],
    buffers: set[Var],
    roots: Sequence[Var],
    most_repeated: int = MOST_REPEATED,
    for_threads: bool = False,
) -> Built:
    """The kernel that computes `roots` from the other variables in `buffers`. One `for_threads` has
    no vectors in which what a row needs once would be cheaper for several rows at a time.
    """
    splits: dict[int, tuple[int, ...]] = {}
    unrolled: set[int] = set()
    shares_axes = True
    while True:
        builder = _GroupBuilder(definitions, buffers, roots, splits, shares_axes, unrolled)
        builder.most_repeated = most_repeated
        builder.for_threads = for_threads
        try:
            return builder.build()
        except SplitAxis as split:
            builder.record_split(split)
        except UnrollAxis as asked:
            unrolled.update(builder.positions_of(asked.axis))
        except _Unmerged:
            assert shares_axes, roots
            shares_axes = False


def build_scatter(
    definitions: Mapping[Var, Eqn],
    buffers: set[Var],
    eqn: Eqn,
    most_repeated: int = MOST_REPEATED,
) -> Built:
    """The kernel that applies the updates of a scatter, in order, to its output (which holds the
    operand).
    """
    builder = _GroupBuilder(definitions, buffers, (), {}, False)
    builder.most_repeated = most_repeated
    return builder.build_scatter(eqn)


def strided_view(
    definitions: Mapping[Var, Eqn], buffers: set[Var], var: Var
) -> tuple[Var, int, tuple[int, ...]] | None:
    """`var` as (buffer variable, offset, strides) in elements if it is only an index map over one;
    else None.
    """
    builder = ElementBuilder(definitions, buffers)
    axes = [builder.kernel.axis(extent) for extent in var.type.shape]
    index = [Index(builder.kernel, ((axis, 1),)) for axis in axes]
    builder.kernel.refuse_division = True
    try:
        element = builder.element(var, index)
        builder.check_refused()
    except (OpaqueDivision, NeedsBuffer):
        return None
    parts = [element.ref] if isinstance(element, Value) else [element.re.ref, element.im.ref]
    if any(node.name != "load" or node.operands for node in parts):
        return None
    loads: list[Load] = [node.data for node in parts]
    first, last = loads[0], loads[-1]
    source, scale = builder.reads[first.operand], len(parts)
    if source.type.dtype != var.type.dtype or first.operand != last.operand:
        return None
    if first.index.constant % scale or last.index.constant != first.index.constant + scale - 1:
        return None
    strides = tuple(first.index.coefficient(axis) // scale for axis in axes)
    return source, first.index.constant // scale, strides


class _GroupBuilder(ElementBuilder):
    """One attempt at one kernel."""

    def __init__(
        self,
        definitions: Mapping[Var, Eqn],
        buffers: set[Var],
        roots: Sequence[Var],
        splits: dict[int, tuple[int, ...]],
        shares_axes: bool,
        unrolled: Collection[int] = (),
    ) -> None:
        super().__init__(definitions, buffers, roots)
        self.writes = tuple(roots)
        self.splits = splits
        self.shares_axes = shares_axes
        self.unrolled = unrolled
        self.root_axes: list[tuple[Axis, ...]] = []
        self.root_index: list[Index] = []

    def build(self) -> Built:
        main = max(self.writes, key=lambda v: v.type.ndim)
        self._make_axes(main.type.shape)
        self.kernel.splittable.update(a for axes in self.root_axes for a in axes)
        self._allow_unrolling(main)
        self.free_index = self.root_index if self.shares_axes and not self.unrolled else []
        # Further roots of lower rank are evaluated where the main root needs them.
        roots = [main, *(root for root in self.writes if root is not main)]
        elements = []
        for point in self._points(main.type.shape):
            for root in roots:
                index = point if root is main else self._index_of_root(root, main, point)
                elements.append((root, self.compute(root, index), index))
        self.check_refused()
        place = {v: len(self.reads) + k for k, v in enumerate(self.writes)}
        elements.sort(key=lambda stored: place[stored[0]])
        stores = [self._store(place[root], root, x, index) for root, x, index in elements]
        bound = {axis for axes in self.bound for axis in axes}
        axes = [axis for axes in self.root_axes for axis in axes]
        outer, inner = [a for a in axes if a not in bound], [a for a in axes if a in bound]
        kernel = Kernel(outer, inner, self._storages(), stores, self._sites_in_order())
        collapse(kernel, self)
        self._check_reductions(kernel)
        self._check_repeats(kernel)
        return self._built(kernel, self.writes)

    def _built(self, kernel: Kernel, writes: tuple[Var, ...]) -> Built:
        size = self.kernel.instruction_count
        return Built(kernel, tuple(self.reads), writes, self._computed(), self._nodes(), size)

    def _allow_unrolling(self, main: Var) -> None:
        """Short axes of the roots may be unrolled, but few positions in all."""
        shape = main.type.shape
        if any(root.type.shape != shape for root in self.writes):
            return
        self.points = math.prod(shape[k] for k in self.unrolled)
        for extent, axes in zip(shape, self.root_axes, strict=True):
            if len(axes) == 1 and extent > 1 and extent * self.points <= MOST_UNROLLED:
                self.kernel.unrollable.update(axes)

    def positions_of(self, axis: Axis) -> list[int]:
        """The dimension of the roots that `axis` runs over."""
        return [position for position, axes in enumerate(self.root_axes) if axis in axes]

    def _points(self, shape: tuple[int, ...]) -> Iterator[list[Index]]:
        """The index of the main root, for each position along unrolled axes."""
        runs = (range(n) if k in self.unrolled else (None,) for k, n in enumerate(shape))
        for fixed in itertools.product(*runs):
            yield [
                known if place is None else Index(self.kernel, (), place)
                for known, place in zip(self.root_index, fixed, strict=True)
            ]

    def _index_of_root(self, root: Var, main: Var, point: list[Index]) -> list[Index]:
        """Where a further root is evaluated: all over, or (of lower rank) where the main root needs
        it.
        """
        if root.type.shape == main.type.shape:
            return point
        for (var, _, mask), (index, _) in self.memo.items():
            if var is root and mask is None and _visits_once(index, root.type.shape):
                return list(index)
        raise NeedsBuffer(root)

    def _computed(self) -> frozenset[Var]:
        return frozenset(var for var, _, _ in self.memo)

    def _nodes(self) -> tuple[tuple[Var, Node], ...]:
        values = [(var, value) for (var, _, _), (_, value) in self.memo.items()]
        return tuple([(var, (x if isinstance(x, Value) else x.re).ref) for var, x in values])

    def _storages(self, *more: Var) -> tuple[str, ...]:
        return tuple(storage_type(v.type) for v in (*self.reads, *self.writes, *more))

    def _sites_in_order(self) -> tuple[Site, ...]:
        """The checks' sites in the order of their equations, which the numbers of the check nodes
        follow.
        """
        if not self.sites:
            return ()
        place = {id(eqn): number for number, eqn in enumerate(self.definitions.values())}
        order = sorted(range(len(self.sites)), key=lambda k: place[id(self.sites[k].eqn)])
        number = {old: new for new, old in enumerate(order)}
        for node in self.kernel.nodes("check"):
            node.data = number[node.data]
        return tuple(self.sites[k] for k in order)

    def build_scatter(self, eqn: Eqn) -> Built:
        """One unit for each element of the updates, slice by slice."""
        op = eqn.op
        assert isinstance(op, Scatter)
        (target,), updates = eqn.outputs, eqn.inputs[2]
        self._make_axes(updates.type.shape)
        reader = Reader(self, eqn, self.root_index, updates.type.shape)
        target_index, inside = op.lower_target(reader, list(self.root_index))
        where = reader.checked(inside)
        element = reader(2, self.root_index)
        self.check_refused()
        index = [i if isinstance(i, Index) else Index(self.kernel, (), i) for i in target_index]
        linear = linear_index(self.kernel, index, target.type.shape)
        self.kernel.indices.append(linear)
        parts = (element.ref,) if isinstance(element, Value) else (element.re.ref, element.im.ref)
        storage = part_type(target.type) if len(parts) == 2 else storage_type(target.type)
        condition = None if where is None else where.ref
        meeting = "in order" if op.order == "given" else op.kind
        meeting = "never" if op.unique_indices else meeting
        store = Store(len(self.reads), storage, parts, linear, condition, op.lower_combine, meeting)
        outer = [a for k in op.update_order(updates.type.ndim) for a in self.root_axes[k]]
        kernel = Kernel(outer, [], self._storages(target), [store], self._sites_in_order())
        collapse(kernel, self)
        self._check_reductions(kernel)
        return self._built(kernel, (target,))

    def _make_axes(self, shape: tuple[int, ...]) -> None:
        for position, extent in enumerate(shape):
            extents = () if position in self.unrolled else self.splits.get(position, (extent,))
            axes = tuple(self.kernel.axis(e) for e in extents)
            self.root_axes.append(axes)
            self.root_index.append(self._join(axes))

    def _join(self, axes: tuple[Axis, ...]) -> Index:
        """The index of a dimension that was split over `axes`."""
        index = Index(self.kernel, ())
        for axis in axes:
            index = index * axis.extent
            if axis.extent != 1:
                index = index + Index(self.kernel, ((axis, 1),))
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

    def _store(self, operand: int, root: Var, element: Any, index: Sequence[Index]) -> Store:
        linear = linear_index(self.kernel, index, root.type.shape)
        self.kernel.indices.append(linear)
        if is_complex(root.type.dtype):
            return Store(operand, part_type(root.type), (element.re.ref, element.im.ref), linear)
        return Store(operand, storage_type(root.type), (element.ref,), linear)

    def _check_reductions(self, kernel: Kernel) -> None:
        """Every reduction is to run once for each unit, enough units must be left to run in
        parallel, and what is stored beside a reduction must lie along it in memory.
        """
        live = set(kernel.live_outer())
        outer, inner = product(live), product(a for a in kernel.inner if not a.merged)
        is_serial = inner > 1 and outer < 8 and outer * inner > SMALL_WORK
        is_serial |= outer * inner > SMALL_WORK and _runs_across(kernel)
        inside = [
            (var, node)
            for var, node in self.reductions
            if not {*self.writes} <= {*self.definitions[var].outputs}
        ]
        for var, node in inside:
            axes = {a for a in node.axes if not a.merged and a.extent != 1}
            work = outer * inner * product(node.data.live_axes)
            is_hoisted = not axes and work <= SMALL_WORK and var not in self.writes
            if is_serial or not (axes == live or is_hoisted):
                alike = [(v, n) for v, n in inside if _runs_alike(n, node, kernel.inner)]
                raise NeedsBuffer(*dict.fromkeys(self._apart(v, n) for v, n in alike))
            if work > SMALL_WORK and self._runs_against_others(kernel, node):
                raise NeedsBuffer(var)

    def _apart(self, var: Var, node: Node) -> Var:
        """What to compute apart for a reduction that cannot run here: what a reduction above it
        reads, if that is not larger.
        """
        for above, other in self.reductions:
            source = self.definitions[above].inputs[0]
            is_above = other is not node and node in post_order(other, set())
            if is_above and isinstance(source, Var) and source.type.size <= var.type.size:
                return source
        return var

    def _runs_against_others(self, kernel: Kernel, node: Node) -> bool:
        """Whether what a reduction reads lies along an axis in memory, but along none together with
        what the rest of the kernel reads.
        """
        all_axes = {*kernel.live_outer(), *kernel.inner}
        all_axes.update(a for _, n in self.reductions for a in n.data.live_axes)
        own, every = _loads([node]), _loads([n for s in kernel.stores for n in s.roots])
        return bool(_axes_along(own, all_axes)) and not _axes_along(every, all_axes)

    def _check_repeats(self, kernel: Kernel) -> None:
        """Dear values are not to be computed again and again over outer axes on which they do not
        depend: the innermost one runs within the others, but around reductions.
        """
        live = kernel.live_outer()
        loops = {*live, *kernel.inner}
        # The other outputs of an equation come with the one that is stored.
        stored = {var for root in self.writes for var in self.definitions[root].outputs}
        worst, most = None, MOST_REPEATED
        for (var, _, _), (index, value) in self.memo.items():
            node = (value if isinstance(value, Value) else value.re).ref
            is_reduced = not loops.issuperset(a for a in node.axes if not a.merged)
            around = set(live if kernel.inner or is_reduced else live[:-1])
            inside = [a for a in node.axes if not a.merged and a not in loops] or live[-1:]
            own = STRIDED_COST if self._is_packed(var, index, node, inside) else node.cost
            cost = own * (product(around - node.axes) - 1)
            is_dear = own > CHEAP and node.axes and var not in stored
            if is_dear and cost > most:
                worst, most = var, cost
        if worst is not None:
            raise NeedsBuffer(worst)

    def _is_packed(
        self, var: Var, index: Sequence[Index], node: Node, inside: Sequence[Axis]
    ) -> bool:
        """Whether a buffer for `var` would hold side by side what is read by jumps along the axes
        `inside`; or at least at known places what is read at others.
        """
        if node.name != "load" or not inside or len(index) != var.type.ndim:
            return False
        own = node.data.index
        if any(not a.merged for x in own.nodes for a in x.axes):
            elements = product(a for a in node.axes if not a.merged)
            return var.type.size <= MOST_GATHERED * elements
        if all(abs(own.coefficient(a)) <= 1 for a in inside):
            return False
        place = linear_index(self.kernel, index, var.type.shape)
        return all(abs(place.coefficient(a)) == 1 for a in inside)


def _runs_alike(one: Node, other: Node, inner: Sequence[Axis]) -> bool:
    """Whether two reductions run over the same axes, or as many steps of their own, once for each
    unit of the same ones.
    """
    own, others = ([a for a in node.data.axes if a in inner] for node in (one, other))
    steps = [product(node.data.live_axes) for node in (one, other)]
    return one.axes == other.axes and own == others and steps[0] == steps[1]


def _loads(roots: Iterable[Node]) -> list[Index]:
    """Where the nodes below `roots` read, but for what is read seldom beside the rest."""
    found: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.number not in found:
            found[node.number] = node
            stack.extend(node.operands)
    indices = [n.data.index for n in found.values() if n.name == "load"]
    counts = [product(a for a in index.axes if not a.merged) for index in indices]
    most = max(counts, default=1)
    return [index for index, n in zip(indices, counts, strict=True) if n * SELDOM >= most]


def _axes_along(indices: Sequence[Index], axes: Iterable[Axis]) -> list[Axis]:
    """The axes, if not short, along which all is read from neighbours, or the same."""
    return [
        a
        for a in axes
        if not a.merged
        and a.extent >= MOST_UNROLLED
        and all(abs(index.coefficient(a)) <= 1 for index in indices)
    ]


def _runs_across(kernel: Kernel) -> bool:
    """Whether a store runs over inner axes by jumps, and could run over an outer one without."""

    def has_neighbours(store: Store, axes: Iterable[Axis]) -> bool:
        return any(store.index.coefficient(a) == 1 for a in axes)

    inner = [a for a in kernel.inner if not a.merged and a.extent > 1]
    return any(
        any(store.index.coefficient(a) for a in inner)
        and not has_neighbours(store, inner)
        and has_neighbours(store, kernel.live_outer())
        for store in kernel.stores
    )


def _visits_once(index: Sequence[Index], shape: tuple[int, ...]) -> bool:
    """Whether an index visits every element of `shape` once per step of its axes."""
    axes = [axis for i in index for axis in i.axes]
    plain = all(extent_of(i) == n and not i.constant for i, n in zip(index, shape, strict=True))
    return plain and len(axes) == len(set(axes))


def collapse(kernel: Kernel, group: ElementBuilder) -> None:
    """Merge neighbouring loop axes over which every index runs as over one."""
    runs = [kernel.outer, kernel.inner]
    inner = set(kernel.inner)
    runs += [list(axes) for axes in group.bound if not inner.intersection(axes)]
    for axes in runs:
        _merge_run([a for a in axes if a.extent != 1], group)
    if any(len(node.data.live_axes) > 1 for _, node in group.reductions):
        raise _Unmerged


def _merge_run(axes: list[Axis], group: ElementBuilder) -> None:
    if not axes:
        return
    into = axes.pop()
    while axes:
        axis = axes.pop()
        runs_on = all(
            i.coefficient(axis) == i.coefficient(into) * into.extent for i in group.kernel.indices
        )
        if runs_on and all((axis in bound) == (into in bound) for bound in group.bound):
            into.extent *= axis.extent
            axis.merged = True
        else:
            into = axis
