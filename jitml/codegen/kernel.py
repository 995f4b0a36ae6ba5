"""The kernel IR: one loop nest whose body is a graph of scalar instructions.

A `Kernel` has loop axes and `Node`s: constants, indices, loads, scalar instructions, checks and
reductions. Lowering rules run once with a `KernelBuilder` as their scalar builder; equal nodes are
one node, so common subexpressions and loop invariants fall out. Backends (`emit`) read kernels;
nothing here knows LLVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jitml.codegen.routine import INSTRUCTION_COSTS, REPEATED_CALL, measured
from jitml.scalar.value import Number, Value


class Axis:
    """A loop axis. `merged` means that an inner axis has taken it in: it has become part of that
    axis' extent.
    """

    __slots__ = ("extent", "merged", "number")

    def __init__(self, extent: int, number: int) -> None:
        self.extent = extent
        self.number = number
        self.merged = False

    def __repr__(self) -> str:
        return f"axis{self.number}<{self.extent}>"


class Node:
    """One value of a kernel: instruction `name` over `operands`, with whatever else tells it apart
    in `data`.

    `axes` are the loop axes that it depends on; `cost` is the number of instructions below it.
    """

    __slots__ = ("axes", "cost", "data", "name", "number", "operands", "type")

    def __init__(
        self,
        name: str,
        type_: str,
        operands: tuple[Node, ...],
        data: Any,
        axes: frozenset[Axis],
        number: int,
    ) -> None:
        self.name = name
        self.type = type_
        self.operands = operands
        self.data = data
        self.axes = axes
        self.number = number
        own = data.cost if name == "call" else INSTRUCTION_COSTS.get(name, 1)
        self.cost: int = min(own + sum(x.cost for x in operands), _MOST)

    def __repr__(self) -> str:
        return f"{self.name}:{self.type}#{self.number}"


_MOST = 1 << 20


class Index:
    """An index expression: Σ coefficient·axis + constant + Σ coefficient·(value known at run
    time).
    """

    __slots__ = ("_key", "builder", "constant", "terms", "values")

    def __init__(
        self,
        builder: KernelBuilder,
        terms: tuple[tuple[Axis, int], ...],
        constant: int = 0,
        values: tuple[tuple[Node, int], ...] = (),
    ) -> None:
        self.builder = builder
        self.terms = terms
        self.constant = constant
        self.values = values
        self._key: tuple[Any, ...] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others of the same kernel: terms, constant, values."""
        if self._key is None:
            self._key = (
                tuple([(axis.number, c) for axis, c in self.terms]),
                self.constant,
                tuple([(node.number, c) for node, c in self.values]),
            )
        return self._key

    def coefficient(self, axis: Axis) -> int:
        return next((c for a, c in self.terms if a is axis), 0)

    @property
    def axes(self) -> frozenset[Axis]:
        found = {axis for axis, _ in self.terms}
        return frozenset(found.union(*(node.axes for node, _ in self.values)))

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for node, _ in self.values)

    def bounds(self) -> tuple[int, int] | None:
        """The least and greatest value, where they are known before the run."""
        if self.values:
            return None
        ends = [c * (axis.extent - 1) for axis, c in self.terms]
        return (
            self.constant + sum(e for e in ends if e < 0),
            self.constant + sum(e for e in ends if e > 0),
        )

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.builder, self.terms, self.constant + other, self.values)
        return Index(
            self.builder,
            _sum_terms(self.terms, other.terms, lambda axis: axis.number),
            self.constant + other.constant,
            _sum_terms(self.values, other.values, lambda node: node.number),
        )

    __radd__ = __add__

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return Index(self.builder, ())
        terms = tuple((axis, c * factor) for axis, c in self.terms)
        values = tuple((node, c * factor) for node, c in self.values)
        return Index(self.builder, terms, self.constant * factor, values)

    __rmul__ = __mul__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: Index | int) -> Index:
        return self + (-other)

    def __rsub__(self, other: int) -> Index:
        return -self + other

    def __floordiv__(self, divisor: int) -> Index:
        return self._divide(divisor)[0]

    def __mod__(self, divisor: int) -> Index:
        return self._divide(divisor)[1]

    def _divide(self, divisor: int) -> tuple[Index, Index]:
        """Quotient and remainder of a non-negative index; by terms where they separate, else at run
        time.
        """
        separated = self.separated(divisor)
        if separated is not None:
            return separated
        self.builder.ask_for_split(self, divisor)
        value = self.value()
        return self.builder.index_of(value / divisor), self.builder.index_of(value % divisor)

    def separated(self, divisor: int) -> tuple[Index, Index] | None:
        """Quotient and remainder of a non-negative index, if its terms separate into them."""
        whole: list[tuple[Axis, int]] = []
        rest: list[tuple[Axis, int]] = []
        for axis, c in self.terms:
            (whole if c % divisor == 0 else rest).append((axis, c))
        offset = self.constant % divisor
        remainder = Index(self.builder, tuple(rest), offset)
        bounds = remainder.bounds()
        if self.values or bounds is None or bounds[0] < 0 or bounds[1] >= divisor:
            return None
        quotient = tuple((axis, c // divisor) for axis, c in whole)
        return Index(self.builder, quotient, self.constant // divisor), remainder

    def clamp(self, low: int, high: int) -> Index:
        """This index, brought into [low, high]."""
        bounds = self.bounds()
        if bounds is not None and low <= bounds[0] and bounds[1] <= high:
            return self
        from jitml.scalar.value import select

        value, least, most = self.value(), self.builder.size(low), self.builder.size(high)
        value = select(value < least, least, value)
        return self.builder.index_of(select(value > most, most, value))

    def value(self) -> Value:
        """The index as an i64 scalar value."""
        if (
            not self.terms
            and not self.constant
            and len(self.values) == 1
            and self.values[0][1] == 1
        ):
            return Value(self.builder, "i64", 1, self.values[0][0])
        if not self.terms and not self.values:
            return self.builder.size(self.constant)
        node = self.builder.node("index", "i64", self.nodes, self, self.key, self.axes)
        return Value(self.builder, "i64", 1, node)

    def _compare(self, name: str, other: int | Index) -> Value:
        difference = self - other
        bounds = difference.bounds()
        if bounds is not None:
            low, high = bounds
            always, never = {
                "lt": (high < 0, low >= 0),
                "le": (high <= 0, low > 0),
                "gt": (low > 0, high <= 0),
                "ge": (low >= 0, high < 0),
                "eq": (low == high == 0, low > 0 or high < 0),
                "ne": (low > 0 or high < 0, low == high == 0),
            }[name]
            if always or never:
                return self.builder.constant("i1", always)
        right = self.builder.size(other) if isinstance(other, int) else other.value()
        return self.builder.instruction(name, "i1", 1, (self.value(), right))

    def __lt__(self, other: int | Index) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: int | Index) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: int | Index) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: int | Index) -> Value:
        return self._compare("ge", other)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        assert isinstance(other, (int, Index))
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Value:  # type: ignore[override]
        assert isinstance(other, (int, Index))
        return self._compare("ne", other)

    __hash__ = object.__hash__


def _sum_terms(a: Any, b: Any, order: Any) -> Any:
    if not a or not b:
        return a or b
    total: dict[Any, int] = dict(a)
    for key, c in b:
        total[key] = total.get(key, 0) + c
    return tuple(sorted(((k, c) for k, c in total.items() if c), key=lambda term: order(term[0])))


class OpaqueDivision(Exception):
    """An index could only be divided at run time, where that is refused."""


class SplitAxis(Exception):
    """An index must be divided: the loop over `axis` is to become two, the inner one of extent
    `inner`.
    """

    def __init__(self, axis: Axis, inner: int) -> None:
        super().__init__(axis, inner)
        self.axis = axis
        self.inner = inner


class UnrollAxis(Exception):
    """What is read depends on the position along a short `axis`: each is to be written apart."""

    def __init__(self, axis: Axis) -> None:
        super().__init__(axis)
        self.axis = axis


class KernelBuilder:
    """Builds the nodes of one kernel; the scalar builder that lowering rules write with."""

    def __init__(self) -> None:
        self._nodes: dict[Any, Node] = {}
        self._axes = 0
        self._instructions = 0  # of calls, and of loops that compute again what others did
        self._in_loops: set[int] = set()
        self._called: set[Any] = set()
        self.splittable: set[Axis] = set()
        self.unrollable: set[Axis] = set()
        self.indices: list[Index] = []
        self.refuse_division = False

    @property
    def instruction_count(self) -> int:
        """About how many instructions there will be to compile."""
        return len(self._nodes) + self._instructions

    def count_loop(self, roots: Sequence[Node], axes: tuple[Axis, ...]) -> None:
        """Count what a loop over `axes` has to compute again for `roots`."""
        inside: set[int] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node.number not in inside and not node.axes.isdisjoint(axes):
                inside.add(node.number)
                stack.extend(node.operands)
        self._instructions += len(inside & self._in_loops)
        self._in_loops |= inside

    def nodes(self, name: str) -> list[Node]:
        """All nodes made so far that are called `name`."""
        return [node for node in self._nodes.values() if node.name == name]

    def axis(self, extent: int) -> Axis:
        self._axes += 1
        return Axis(extent, self._axes)

    def ask_for_split(self, index: Index, divisor: int) -> None:
        """Raise SplitAxis if splitting a loop axis makes the division of `index` one by terms."""
        for axis, c in index.terms:
            if 0 < c < divisor and divisor % c == 0 and axis in self.splittable:
                inner = divisor // c
                if inner < axis.extent and axis.extent % inner == 0:
                    raise SplitAxis(axis, inner)
        if self.refuse_division:
            raise OpaqueDivision

    def ask_to_unroll(self, condition: Value) -> None:
        """Raise UnrollAxis if the condition differs along a short loop axis."""
        axes = () if condition.number is not None else condition.ref.axes
        for axis in self.unrollable.intersection(axes):
            raise UnrollAxis(axis)

    def node(
        self,
        name: str,
        type_: str,
        operands: tuple[Node, ...] = (),
        data: Any = None,
        key: Any = None,
        axes: frozenset[Axis] = frozenset(),
        bound: frozenset[Axis] = frozenset(),
    ) -> Node:
        """The node with these fields; an equal one made before is the same node.

        It depends on `axes` and on those of its operands, less the ones that it has `bound` (a
        reduction's).
        """
        identity = (name, type_, tuple([x.number for x in operands]), key)
        found = self._nodes.get(identity)
        if found is None:
            axes = _axes_together(operands, axes, bound)
            found = Node(name, type_, operands, data, axes, len(self._nodes))
            self._nodes[identity] = found
            if isinstance(data, Index):
                self.indices.append(data)
        return found

    def constant(self, type_: str, number: Number, lanes: int = 1) -> Value:
        node = self.node("constant", type_, (), number, (type(number) is bool, repr(number)))
        return Value(self, type_, 1, node, number)

    def size(self, number: int) -> Value:
        """An integer that depends on sizes: passed to the kernel at run time, not part of its
        code.
        """
        return Value(self, "i64", 1, self.node("size", "i64", (), number, number))

    def splat(self, value: Value, lanes: int) -> Value:
        return value

    def index_of(self, value: Value) -> Index:
        from jitml.scalar.value import convert

        return Index(self, (), 0, ((convert(value, "i64").ref, 1),))

    def instruction(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value:
        simple = decided(name, operands)
        if simple is not None:
            return simple
        node = self.node(name, type_, tuple([x.ref for x in operands]))
        return Value(self, type_, 1, node)

    def lookup(self, table: Sequence[float], index: Value, type_: str) -> Value:
        numbers = tuple(table)
        return Value(self, type_, 1, self.node("lookup", type_, (index.ref,), numbers, numbers))

    def apply(self, function: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
        """One node for all of `function`, unless operands vary along different axes: parts of it
        may then be computed outside of some loop.
        """
        if len({x.ref.axes for x in operands}) > 1:
            return function(*operands)
        call = measured(function, tuple(x.type for x in operands))
        self._instructions += REPEATED_CALL if function in self._called else call.instructions
        self._called.add(function)
        refs = tuple(x.ref for x in operands)
        return Value(self, call.type, 1, self.node("call", call.type, refs, call, function))

    def rarely(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        """A node with a side path: its operands are the condition, the usual values, and what the
        rare ones are computed from.
        """
        refs = tuple(value.ref for value in (condition, *usual, *operands))
        node = self.node("rarely", "state", refs, (rare, len(usual)), rare)
        return [
            Value(self, value.type, 1, self.node("state", value.type, (node,), k, k))
            for k, value in enumerate(usual)
        ]

    def repeat(
        self,
        condition: Callable[..., Value],
        step: Callable[..., Sequence[Value]],
        state: Sequence[Value],
        fixed: tuple[Value, ...],
    ) -> list[Value]:
        """A node with a loop: its operands are the state before it, and what the steps read."""
        refs = tuple(value.ref for value in (*state, *fixed))
        data = (condition, step, len(state))
        node = self.node("repeat", "state", refs, data, (condition, step))
        return [
            Value(self, value.type, 1, self.node("state", value.type, (node,), k, k))
            for k, value in enumerate(state)
        ]


def _axes_together(
    operands: tuple[Node, ...], own: frozenset[Axis], bound: frozenset[Axis]
) -> frozenset[Axis]:
    """The axes of the operands and `own` ones, less those that are `bound`."""
    first = operands[0].axes if operands else own
    if not own and not bound and all(x.axes is first for x in operands):
        return first  # most often
    return own.union(*(x.axes for x in operands)) - bound


def decided(name: str, operands: tuple[Value, ...]) -> Value | None:
    """What an instruction is by those conditions that are known where it is written."""
    first = operands[0]
    if first.type != "i1":
        return None
    if name == "select" and first.number is not None:
        return operands[1] if first.number else operands[2]
    if name in ("and", "or"):
        for known, other in (operands, operands[::-1]):
            if known.number is not None:
                return other if bool(known.number) is (name == "and") else known
    if name == "xor" and first.number is not None and operands[1].number is not None:
        return first.builder.constant("i1", bool(first.number) != bool(operands[1].number))
    return None


@dataclass(frozen=True, eq=False)
class Load:
    """Read element `index` of operand `operand`, which stores `storage`."""

    operand: int
    storage: str
    index: Index
    is_part: bool = False  # of a complex pair: the other part lies beside it


@dataclass(frozen=True, eq=False)
class Reduce:
    """Fold the element nodes over `axes` (one, once the axes are collapsed) with `op`, which has a
    `combine` rule.
    """

    op: Any
    axes: tuple[Axis, ...]
    types: tuple[str, ...]
    identity: tuple[Number | complex, ...]
    limit: Index | None = (
        None  # where the extent differs between units (the last block of a long reduction)
    )
    lanes: int | None = 64  # accumulators; None: one for each element

    @property
    def runs_along_lanes(self) -> bool:
        """Whether vectors may hold its accumulators. A complex product with the identity may make
        0·inf.
        """
        return self.lanes is not None and not any(t in ("c64", "c128") for t in self.types)

    @property
    def live_axes(self) -> list[Axis]:
        return [a for a in self.axes if not a.merged and a.extent != 1]

    @property
    def axis(self) -> Axis | None:
        """The loop axis; None if there is but one element."""
        return next(iter(self.live_axes), None)


@dataclass(frozen=True, eq=False)
class Site:
    """A check: which equation makes it, told to the user if it fails. One that `counts_steps` tells
    the step of a loop in place of an element.
    """

    eqn: Any
    counts_steps: bool = False


@dataclass(frozen=True, eq=False)
class Store:
    """Root of a kernel: `nodes` (two for a complex value) go to element `index` of output operand
    `operand`.

    An update (of a scatter) happens only where `where` holds and stores `combine(old, new)`; those
    of one element run in the order given, if `meeting` does not say that none meet ("never"), or
    what is done in any order ("add", "min", "max").
    """

    operand: int
    storage: str
    nodes: tuple[Node, ...]
    index: Index
    where: Node | None = None
    combine: Callable[[Any, Any], Any] | None = None
    meeting: str = "in order"

    @property
    def roots(self) -> tuple[Node, ...]:
        """Every node that the store needs."""
        return (*self.nodes, *self.index.nodes, *(() if self.where is None else (self.where,)))

    @property
    def early(self) -> tuple[Node, ...]:
        """What is computed whether or not an update happens: all of it, but for a new value that is
        read and computed at once.
        """
        if self.where is None or len(self.nodes) != 1:
            return self.roots
        below = post_order(self.nodes[0], {self.where.number})
        return self.roots if any(n.name in _OWN_CODE for n in below) else self.roots[1:]


# Nodes that are more than a read or an instruction.
_OWN_CODE = ("reduce", "state", "check", "repeat", "rarely", "call")


@dataclass(eq=False)
class Kernel:
    """A loop nest: `outer` axes in order, each unit of which runs the reductions and the loop over
    `inner` axes.

    `operands` gives the storage type of each buffer, inputs first; `sites` describe the checks.
    """

    outer: list[Axis]
    inner: list[Axis]
    operands: tuple[str, ...]
    stores: list[Store]
    sites: tuple[Any, ...] = ()

    def live_outer(self) -> list[Axis]:
        return [axis for axis in self.outer if not axis.merged and axis.extent != 1]

    def nodes(self) -> list[Node]:
        """All nodes that the stores need, operands before users."""
        ordered: list[Node] = []
        seen: set[int] = set()
        for store in self.stores:
            for root in store.roots:
                ordered.extend(post_order(root, seen))
        return ordered


def post_order(root: Node, seen: set[int]) -> Iterator[Node]:
    """A node and all that it is computed from, operands before users, but for those `seen`."""
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node.number not in seen:
            seen.add(node.number)
            stack.append((node, True))
            stack.extend((x, False) for x in reversed(node.operands))
