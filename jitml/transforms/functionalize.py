"""Checks as values: a graph to the graph that also returns what failed first.

In: a graph, and the kinds of checks that are wanted: "user" (`Check` equations), "nan", "div",
"index"; or those that only watch, "made nan" and "made inf": what an equation makes of values that
are free of it is noted, all goes on as without, and checks of the user stay. Out: a graph whose
first inputs and outputs are the state: the number of the site that failed first (0: none), then
slots for the values that belong to it, and for the steps at which the loops around it were; and the
sites.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from jitml.ir.dtypes import INT32, INT64, is_complex, is_inexact
from jitml.ir.graph import Eqn, Graph, Literal
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.check import Check
from jitml.ops.cond import Cond, cond_values
from jitml.ops.control import split
from jitml.ops.dynamic import DynamicSlice, DynamicUpdateSlice, row_at
from jitml.ops.elementwise import (
    abs_,
    add,
    and_,
    convert,
    eq,
    ge,
    imag,
    lt,
    ne,
    not_,
    or_,
    real,
    rem,
    select,
    sub,
)
from jitml.ops.indexing import Gather, Slices
from jitml.ops.kinds import Movement, full_of
from jitml.ops.layout import BroadcastInDim, broadcast_in_dim, iota, reshape
from jitml.ops.reduction import argmax, reduce_min, reduce_or
from jitml.ops.require import Require
from jitml.ops.scan import MAP, Scan, scan_values
from jitml.ops.scatter import Scatter
from jitml.ops.slicing import concatenate
from jitml.ops.while_loop import Lanes, While, while_values
from jitml.trace.conventions import CONVENTIONS
from jitml.trace.core import bind, trace_graph, type_of, using_source
from jitml.trace.inline import replay
from jitml.trace.numbers import literal
from jitml_runtime.errors import lane_text, loop_steps
from jitml_runtime.record import replace

Values = Sequence[Any]
CODE = ArrayType(INT32, ())
_POSITION = ArrayType(INT64, ())
_PLACE = (_POSITION,) * 2  # an index, and its number among those of a slice

_ONE = literal(1, _POSITION)

# The ops that can make a NaN of numbers.
_NAN_NAMES = (
    "acos acosh add asin asinh atan atan2 atanh cbrt conv_general_dilated cos cosh cumlogsumexp "
    "cummax cummin cumprod cumsum digamma div dot_general erf erf_inv erfc exp exp2 expm1 "
    "integer_pow lgamma log log1p logistic mul pad pow reduce_prod reduce_sum reduce_window rem "
    "rsqrt sin sinh sqrt sub tan tanh"
)
_NAN = frozenset(_NAN_NAMES.split())

WATCHED = ("made nan", "made inf")
_PASSED_ON_NAMES = "abs barrier copy identity max min neg real imag select sign sort"
_PASSED_ON = frozenset(_PASSED_ON_NAMES.split())


class Site(NamedTuple):
    """A check: its number in the state, its kind, the equation, and the slots of its values."""

    number: int
    kind: str
    eqn: Eqn
    slots: tuple[int, ...]
    loops: tuple[str, ...]  # around it, whose steps lie in the last slots, the outermost first

    def place(self, slots: Sequence[Any], deepest: int) -> str:
        """In which elements of maps and at which steps of loops it failed, for the values of all
        slots, where the deepest site has so many loops around it.
        """
        first = len(slots) - deepest
        steps = [int(x) for x in slots[first : first + len(self.loops)]]
        pairs = [pair for pair in zip(self.loops, steps, strict=True) if pair[0] != Lanes.name]
        is_element = len(pairs) < len(steps)
        lanes = [step for label, step in pairs if label == MAP]
        others = [step for label, step in pairs if label != MAP]
        text = lane_text(lanes) + loop_steps(others[::-1])
        return f", in an element of a map{text}" if is_element else text


class Functionalized(NamedTuple):
    """The graph with its state; the types of the state's slots; the sites."""

    graph: Graph
    slots: tuple[ArrayType, ...]
    sites: tuple[Site, ...]

    @property
    def deepest(self) -> int:
        """How many loops are around the site with most of them."""
        return deepest(self.sites)


def deepest(sites: Sequence[Site]) -> int:
    """How many loops are around the site with most of them."""
    return max([len(site.loops) for site in sites], default=0)


def functionalize(graph: Graph, kinds: Collection[str]) -> Functionalized:
    """The graph that also returns which check failed first.

    Before: `graph f(%x) { check %p; %y = sin %x; return %y }`
    After:  `graph f.checked(%code, %x) { …; %y = sin %x; return %code.1, %y }`
    """
    sites = _Sites(kinds)
    sites.find(graph)
    own = len(sites.slots)
    sites.slots += [_POSITION] * deepest(sites.found)
    count = 1 + len(sites.slots)

    def checked(*values: Any) -> list[Any]:
        state, inputs = split(values, count)
        after, outputs = _Checker(sites, count, own).graph(graph, state, inputs)
        return [*after, *outputs]

    types = [CODE, *sites.slots, *graph.input_types]
    names = ["failed", *[""] * len(sites.slots), *(v.name for v in graph.inputs)]
    traced = trace_graph(checked, types, f"{graph.name}.checked", names)
    return Functionalized(traced.graph, tuple(sites.slots), tuple(sites.found))


# ---- what is checked -----------------------------------------------------------------------------


class _Sites:
    """The checks of a graph. Slots are shared: only the first failure is told."""

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = frozenset(kinds)
        self.found: list[Site] = []
        self.slots: list[ArrayType] = []
        self.of: dict[Eqn, list[Site]] = {}
        self.inside: dict[Eqn, bool] = {}  # whether its graphs have checks

    def find(self, graph: Graph, loops: tuple[str, ...] = ()) -> bool:
        """Note the sites of a graph; whether it has any, or checks that are not wanted."""
        before = len(self.found)
        has_known = False
        for eqn in graph.eqns:
            if eqn in self.of:  # a graph that is found in several places
                has_known = has_known or bool(self.of[eqn]) or self.inside[eqn]
                continue
            self.of[eqn] = []
            inner = (*loops, eqn.op.step_label) if isinstance(eqn.op, (Scan, While)) else loops
            found = [self.find(g, inner) for g in nested_graphs(eqn.op)]  # all of them
            self.inside[eqn] = any(found)
            has_known = has_known or isinstance(eqn.op, Check)
            for kind, types in _checks(eqn):
                if kind in self.kinds:
                    self._add(kind, eqn, types, loops)
        return has_known or len(self.found) > before

    def _add(self, kind: str, eqn: Eqn, types: Sequence[ArrayType], loops: tuple[str, ...]) -> None:
        free = list(range(len(self.slots)))
        slots = []
        for type_ in types:
            number = next((n for n in free if self.slots[n] == type_), None)
            if number is None:
                self.slots.append(type_)
                number = len(self.slots) - 1
            else:
                free.remove(number)
            slots.append(number)
        site = Site(len(self.found) + 1, kind, eqn, tuple(slots), loops)
        self.found.append(site)
        self.of[eqn].append(site)


def _checks(eqn: Eqn) -> Iterator[tuple[str, Sequence[ArrayType]]]:
    """The kinds of checks that an equation can be given, and the types of their values."""
    op = eqn.op
    if isinstance(op, Check):
        yield "user", [a.type.strong() for a in eqn.inputs[1:]]
    divides = op.name == "div" and (is_inexact(eqn.inputs[0].type.dtype) or CONVENTIONS.are_of_jax)
    if divides or (isinstance(op, Require) and op.condition == "nonzero"):
        yield "div", (_POSITION,)
    if op.name in _NAN and any(is_inexact(v.type.dtype) for v in eqn.outputs):
        yield "nan", (_POSITION,)
    if any(is_inexact(v.type.dtype) for v in eqn.outputs) and not _only_moves(op):
        yield from ((kind, (_POSITION,)) for kind in WATCHED)
    is_block = isinstance(op, (DynamicSlice, DynamicUpdateSlice)) and eqn.inputs[0].type.shape
    reads = isinstance(op, (Gather, Scatter)) and op.mode == "raise" and eqn.inputs[1].type.size
    if is_block or reads:
        yield "index", _PLACE


def _only_moves(op: Op) -> bool:
    """Whether what an op gives holds nothing that it was not given."""
    fills = isinstance(op, Gather) and op.mode == "fill"
    return op.name in _PASSED_ON or (isinstance(op, Movement) and not fills)


class _Rows(NamedTuple):
    """Where an equation reads or writes: vectors of start positions, along the last axis; for each
    of them the axis, and the last position that is inside.
    """

    positions: Any
    axes: tuple[int, ...]
    limits: tuple[int, ...]


def _index_rows(eqn: Eqn, inputs: Values) -> _Rows:
    """The positions of an equation that must be in bounds."""
    op, shape = eqn.op, eqn.inputs[0].type.shape
    if isinstance(op, (Gather, Scatter)):
        slices: Slices = (
            op._slices
            if isinstance(op, Gather)
            else op._slices(len(shape), eqn.inputs[2].type.shape)
        )
        return _Rows(inputs[1], slices.moving, tuple(slices.limits(shape)))
    is_read = isinstance(op, DynamicSlice)
    sizes = op.sizes if isinstance(op, DynamicSlice) else eqn.inputs[1].type.shape
    starts = [reshape(convert(x, INT64), (1,)) for x in inputs[1 if is_read else 2 :]]
    limits = tuple([n - k for n, k in zip(shape, sizes, strict=True)])
    return _Rows(concatenate(starts, 0), tuple(range(len(shape))), limits)


# ---- the graph with checks -----------------------------------------------------------------------


class _Checker:
    """Replays graphs, passing the state on."""

    def __init__(self, sites: _Sites, count: int, own: int, is_silent: bool = False) -> None:
        self.sites = sites
        self.count = count
        self.own = own  # slots before those of steps
        self.depth = 0
        self.is_silent = is_silent  # computes for its checks alone what runs beside
        self.only_watches = not sites.kinds.isdisjoint(WATCHED)
        self.holds: dict[tuple[int, str], tuple[Any, Any]] = {}  # by value and kind: if it has any

    def graph(self, graph: Graph, state: Values, inputs: Values) -> tuple[Values, Values]:
        """The state after a graph, and its outputs."""
        known: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
        for eqn in graph.eqns:
            state, outputs = self._eqn(eqn, state, [known.get(a, a) for a in eqn.inputs])
            known.update(zip(eqn.outputs, outputs, strict=True))
        return state, [known.get(a, a) for a in graph.outputs]

    def _eqn(self, eqn: Eqn, state: Values, inputs: Values) -> tuple[Values, Values]:
        with using_source(eqn.source):
            if self.sites.inside.get(eqn):
                return self._nested(eqn, state, inputs)
            sites = self.sites.of.get(eqn, ())
            if self.is_silent and eqn.op.has_effect and not eqn.outputs and not sites:
                return state, []
            outputs: Values = []
            if self.only_watches:
                outputs = replay(eqn, inputs)
            elif not isinstance(eqn.op, Check):
                outputs = replay(replace(eqn, op=_harmless(eqn) if sites else eqn.op), inputs)
            for site in sites:
                find = self._made if self.only_watches else _failure
                failed, values = find(site, inputs, outputs)
                state = _noted(state, site, failed, values)
            return state, outputs

    def _made(self, site: Site, inputs: Values, outputs: Values) -> tuple[Any, Values]:
        """Whether outputs hold what no input does, and the place of the first such."""
        first, *others = [x for x in outputs if is_inexact(type_of(x).dtype)]
        made, values = _first(_HOLDS[site.kind](first))
        self.holds[id(first), site.kind] = (first, made)
        for other in others:
            made = or_(made, self._any_in(other, site.kind))
        for x in inputs:
            if not isinstance(x, Literal) and is_inexact(type_of(x).dtype):
                made = and_(made, not_(self._any_in(x, site.kind)))
        return made, values

    def _any_in(self, x: Any, kind: str) -> Any:
        found = self.holds.get((id(x), kind))
        if found is None:
            found = self.holds[id(x), kind] = (x, _any(_HOLDS[kind](x)))
        return found[1]

    def _nested(self, eqn: Eqn, state: Values, inputs: Values) -> tuple[Values, Values]:
        op = eqn.op
        if isinstance(op, Cond):
            return self._cond(op, state, inputs)
        if isinstance(op, Scan):
            return self._scan(op, state, inputs)
        if isinstance(op, While):
            return self._while(op, state, inputs)
        body = getattr(op, "body", None)
        if not isinstance(body, Graph) or len(body.inputs) != len(inputs):
            return state, replay(eqn, inputs)
        # A call with a rule of its own keeps the rule; its checks are made beside.
        silent = _Checker(self.sites, self.count, self.own, is_silent=True)
        silent.depth = self.depth
        state, _ = silent.graph(body, state, inputs)
        if self.only_watches:
            return state, replay(eqn, inputs)
        return state, bind(map_nested(op, self._unchecked), *inputs)

    def _unchecked(self, graph: Graph) -> Graph:
        """The graph without the checks that are made elsewhere."""
        eqns = []
        for eqn in graph.eqns:
            sites = self.sites.of.get(eqn, ())
            if isinstance(eqn.op, Check):
                continue
            op = map_nested(_harmless(eqn) if sites else eqn.op, self._unchecked)
            eqns.append(replace(eqn, op=op))
        return graph.with_eqns(eqns)

    def _cond(self, op: Cond, state: Values, inputs: Values) -> tuple[Values, Values]:
        index, *operands = inputs

        def branch(number: int, *values: Any) -> Values:
            before, given = split(values, self.count)
            after, outputs = self.graph(op.branches[number], before, given)
            return [*after, *outputs]

        names = [b.name for b in op.branches]
        found = cond_values(branch, index, [*state, *operands], names)
        return found[: self.count], found[self.count :]

    def _scan(self, op: Scan, state: Values, inputs: Values) -> tuple[Values, Values]:
        constants, carries, arrays = op.groups(inputs)

        def step(cs: list[Any], ks: list[Any], xs: list[Any]) -> tuple[Values, Values]:
            (number,), before, given = split(ks, 1, self.count)
            after, outputs = self._inside(op.body, number, before, [*cs, *given, *xs])
            nexts = [add(number, _ONE), *after, *outputs[: op.carries]]
            return nexts, outputs[op.carries :]

        start = [_zero(), *state, *carries]
        last, ys = scan_values(step, constants, start, arrays, op.length, op.reverse, op.body.name)
        return last[1 : 1 + self.count], [*last[1 + self.count :], *ys]

    def _inside(
        self, body: Graph, number: Any, before: Values, inputs: Values
    ) -> tuple[Values, Values]:
        """As `graph`, for the body of a loop at a step; its number is noted with a failure."""
        self.depth += 1
        after, outputs = self.graph(body, before, inputs)
        self.depth -= 1
        place = 1 + self.own + self.depth
        if place >= self.count:
            return after, outputs
        is_new = and_(eq(before[0], literal(0, CODE)), ne(after[0], literal(0, CODE)))
        noted = list(after)
        noted[place] = select(is_new, number, after[place])
        return noted, outputs

    def _while(self, op: While, state: Values, inputs: Values) -> tuple[Values, Values]:
        """The condition is checked before the loop and after each step; a loop in which a check
        has failed ends.
        """
        asked, shared, carries = op.groups(inputs)

        def asks(constants: Values, before: Values, given: Values) -> tuple[Values, Any]:
            after, (holds,) = self.graph(op.condition, before, [*constants, *given])
            return after, holds if self.only_watches else and_(holds, eq(after[0], 0))

        def step(cs: list[Any], ks: list[Any]) -> Values:
            asked_here, shared_here = split(cs, len(asked))
            (number,), before, (_, *given) = split(ks, 1, self.count)
            after, nexts = self._inside(op.body, number, before, [*shared_here, *given])
            after, holds = asks(asked_here, after, nexts)
            return [add(number, _ONE), *after, holds, *nexts]

        state, holds = asks(asked, state, carries)
        found = while_values(
            lambda cs, ks: [ks[1 + self.count]],
            step,
            [],
            [*asked, *shared],
            [_zero(), *state, holds, *carries],
            op.body.name,
            type(op),
        )
        return found[1 : 1 + self.count], found[self.count + 2 :]


def _harmless(eqn: Eqn) -> Op:
    """The equation's op with no check of its own."""
    op = eqn.op
    if isinstance(op, Require):
        shape = eqn.inputs[0].type.shape
        return BroadcastInDim(shape, tuple(range(len(shape))))
    if isinstance(op, Gather) and op.mode == "raise":
        return replace(op, mode="clip")
    if isinstance(op, Scatter) and op.mode == "raise":
        return replace(op, mode="drop")
    return op


def _failure(site: Site, inputs: Values, outputs: Values) -> tuple[Any, Values]:
    """Whether a check fails, and its values."""
    if site.kind == "user":
        return eq(inputs[0], literal(False)), inputs[1:]
    if site.kind == "div":
        return _first(eq(inputs[-1], literal(0, ArrayType(type_of(inputs[-1]).dtype, ()))))
    if site.kind == "nan":
        floats = [x for x in outputs if is_inexact(type_of(x).dtype)]
        found, values = _first(ne(floats[0], floats[0]))
        for other in floats[1:]:
            found = or_(found, _any(ne(other, other)))
        return found, values
    return _out_of_bounds(site.eqn, inputs)


def _is_nan(x: Any) -> Any:
    return ne(x, x)


def _is_inf(x: Any) -> Any:
    if is_complex(type_of(x).dtype):
        return or_(_is_inf(real(x)), _is_inf(imag(x)))
    return eq(abs_(x), full_of(type_of(x), math.inf))


_HOLDS = dict(zip(WATCHED, (_is_nan, _is_inf), strict=True))


def _any(flags: Any) -> Any:
    shape = type_of(flags).shape
    return reduce_or(flags, range(len(shape))) if shape else flags


def _first(flags: Any) -> tuple[Any, Values]:
    """Whether any of the flags is set, and the linear index of the first that is."""
    shape, size = type_of(flags).shape, type_of(flags).size
    if not shape or not size:
        return _any(flags), (_zero(),)
    places = reshape(iota(INT64, (size,), 0), shape)
    nowhere = full_of(type_of(places), size)
    first = reduce_min(select(flags, places, nowhere), range(len(shape)))
    return lt(first, literal(size, _POSITION)), (first,)


def _zero() -> Any:
    """A position to start from."""
    return full_of(_POSITION, 0)


def _out_of_bounds(eqn: Eqn, inputs: Values) -> tuple[Any, Values]:
    """Whether a position is out of bounds, the first such, and its place in its vector."""
    rows = _index_rows(eqn, inputs)
    positions = convert(rows.positions, INT64)
    shape = type_of(positions).shape
    last = [reshape(literal(n, ArrayType(INT64, ())), (1,)) for n in rows.limits]
    limits = broadcast_in_dim(concatenate(last, 0), shape, (len(shape) - 1,))
    zero = literal(0, ArrayType(INT64, ()))
    bad = or_(lt(positions, zero), ge(sub(positions, limits), literal(1, ArrayType(INT64, ()))))
    size = type_of(positions).size
    flat = reshape(bad, (size,))
    first = argmax(convert(flat, INT32), 0, INT64)
    column = rem(first, literal(len(rows.axes), ArrayType(INT64, ())))
    return _any(flat), (row_at(reshape(positions, (size,)), first), column)


def _noted(state: Values, site: Site, failed: Any, values: Values) -> Values:
    """The state with a failure, if it is the first."""
    code, *slots = state
    is_first = and_(failed, eq(code, literal(0, CODE)))
    code = select(is_first, literal(site.number, CODE), code)
    for number, x in zip(site.slots, values, strict=True):
        type_ = type_of(slots[number])
        slots[number] = select(is_first, convert(x, type_.dtype), slots[number])
    return [code, *slots]
