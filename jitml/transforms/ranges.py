"""Ranges: what integers a program computes at least and at most, and what that decides.

Comes in: a graph. Goes out: the same, where indices that always lie in an array are not checked,
and comparisons whose outcome is known (whether an index is negative, for one) choose nothing.

A range holds for every element of a variable; where nothing else is known, it is that of the dtype.
Arithmetic passes ranges on, unless it could wrap around. What a scan carries has the range of a
counter, or of whatever its body gives. Of what loops of unknown length carry nothing is known:
elements of a map of them run beside each other, and one that has ended may have any state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from jitml.ir.dtypes import BOOL, is_integer
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.cond import Cond
from jitml.ops.cumulative import Cumulative
from jitml.ops.dynamic import DynamicSlice
from jitml.ops.elementwise import Convert, Select
from jitml.ops.indexing import Gather
from jitml.ops.layout import BroadcastInDim, Iota, Reshape, Reverse, Transpose
from jitml.ops.reduction import ArgMax, ArgMin, ReduceMax, ReduceMin, ReduceSum
from jitml.ops.require import Require
from jitml.ops.scan import Scan
from jitml.ops.scatter import Scatter
from jitml.ops.slicing import Concatenate, Slice
from jitml.ops.sort import Sort
from jitml_runtime.record import replace


class Range(NamedTuple):
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def holds(self, other: Range) -> bool:
        return self.low <= other.low and other.high <= self.high


Known: TypeAlias = "Sequence[Range | None]"  # None: not of whole numbers, or as the dtype says
_NEVER, _ALWAYS, _EITHER = Range(0, 0), Range(1, 1), Range(0, 1)


def ranges(graph: Graph) -> Graph:
    """Drop checks of indices and choices that the ranges of integers decide.

    Before: `%i = iota …; %n = lt %i, 0; %w = add %i, 8; %j = select %n, %w, %i; gather %x, %j`
    After:  `%i = iota …; gather %x, %i {mode='inside'}`
    """
    return _narrowed(graph, [None] * len(graph.inputs)).graph


class _Narrowed(NamedTuple):
    graph: Graph
    outputs: Known


def _narrowed(graph: Graph, inputs: Known) -> _Narrowed:
    """The graph for inputs of these ranges, and the ranges of its outputs."""
    found = _Narrowing()
    for var, given in zip(graph.inputs, inputs, strict=True):
        found.note(var, given)
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        if any(a in found.same for a in eqn.inputs):
            eqn = replace(eqn, inputs=tuple([found.same.get(a, a) for a in eqn.inputs]))
        operand = found.chosen(eqn)
        if operand is not None:
            found.same[eqn.outputs[0]] = operand
        else:
            eqns.append(found.equation(eqn))
    outputs = tuple([found.same.get(a, a) for a in graph.outputs])
    unchanged = not found.same and all(a is b for a, b in zip(eqns, graph.eqns, strict=True))
    result = graph if unchanged else Graph(graph.name, graph.inputs, tuple(eqns), outputs)
    return _Narrowed(result, [found.range_of(a) for a in outputs])


class _Narrowing:
    """What is known of the variables of one graph; `same` are those that are another's value."""

    def __init__(self) -> None:
        self.known: dict[Atom, Range] = {}
        self.columns: dict[Atom, list[Range | None]] = {}  # of indices, one for each axis
        self.same: dict[Atom, Atom] = {}

    def note(self, var: Var, range_: Range | None) -> None:
        """Keep a range, if the type can hold it: else numbers wrap around."""
        if range_ is not None and is_whole(var.type) and limits(var.type).holds(range_):
            self.known[var] = range_

    def range_of(self, atom: Atom) -> Range | None:
        if not is_whole(atom.type):
            return None
        if isinstance(atom, Literal):
            number = _number(atom)
            return Range(number, number)
        return self.known.get(atom) or limits(atom.type)

    def chosen(self, eqn: Eqn) -> Atom | None:
        """The operand that a selection always gives, or that meets what is required of it."""
        if isinstance(eqn.op, Require):
            is_met = _meets(self.range_of(eqn.inputs[0]), eqn.op.condition)
            return eqn.inputs[0] if is_met else None
        if not isinstance(eqn.op, Select):
            return None
        condition = self.range_of(eqn.inputs[0])
        if condition == _EITHER:
            return None
        operand = eqn.inputs[1 if condition == _ALWAYS else 2]
        return operand if operand.type == eqn.outputs[0].type else None

    def equation(self, eqn: Eqn) -> Eqn:
        """The equation as it is for these ranges; those of its outputs are noted."""
        op, given = eqn.op, [self.range_of(a) for a in eqn.inputs]
        results: Known = [None] * len(eqn.outputs)
        if isinstance(op, Scan):
            op, results = _scan(op, given)
        elif isinstance(op, Cond):
            op, results = _cond(op, given)
        elif any(nested_graphs(op)):
            op = _with_bodies(op, [ranges(body) for body in nested_graphs(op)])
        elif isinstance(op, (Gather, Scatter)) and self._is_inside(eqn, op):
            op = replace(op, mode="inside")
        if isinstance(op, Sort):
            results = given
        elif len(results) == 1 and is_whole(eqn.outputs[0].type) and results[0] is None:
            results = [_result(eqn, given)]
            if _has_columns(eqn):
                self.columns[eqn.outputs[0]] = given
        for var, range_ in zip(eqn.outputs, results, strict=True):
            self.note(var, range_)
        return eqn if op is eqn.op else replace(eqn, op=op)

    def _is_inside(self, eqn: Eqn, op: Gather | Scatter) -> bool:
        """Whether all slices lie in the array."""
        last = op.start_limits(*(a.type for a in eqn.inputs))
        index = eqn.inputs[1]
        columns = self.columns.get(index) or [self.range_of(index)] * len(last)
        return op.mode != "inside" and all(
            x is not None and x.low >= 0 and x.high <= limit
            for x, limit in zip(columns, last, strict=True)
        )


def is_whole(type_: ArrayType) -> bool:
    """Whether elements are integers or bools, which are 0 and 1."""
    return type_.dtype == BOOL or is_integer(type_.dtype)


def _number(literal: Literal) -> int:
    assert isinstance(literal.value, int)
    return int(literal.value)


def limits(type_: ArrayType) -> Range:
    """The range of a dtype."""
    if type_.dtype == BOOL:
        return _EITHER
    info = np.iinfo(type_.dtype)
    return Range(int(info.min), int(info.max))


def _meets(x: Range | None, condition: str) -> bool:
    """Whether all numbers of a range meet a condition of `Require`."""
    if x is None:
        return False
    if condition == "nonzero":
        return x.low > 0 or x.high < 0
    if condition == "natural":
        return x.low >= 0
    return limits(ArrayType(np.dtype(condition), ())).holds(x)


def _has_columns(eqn: Eqn) -> bool:
    """Whether each operand is a column of the result."""
    op, rank = eqn.op, eqn.outputs[0].type.ndim
    is_last = isinstance(op, Concatenate) and op.axis == rank - 1
    return is_last and all(a.type.shape[-1] == 1 for a in eqn.inputs)


def _with_bodies(op: Op, bodies: Sequence[Graph]) -> Op:
    """The op with other nested graphs; itself if they are the same."""
    if all(a is b for a, b in zip(nested_graphs(op), bodies, strict=True)):
        return op
    following = iter(bodies)
    return map_nested(op, lambda _: next(following))


# ---- control flow --------------------------------------------------------------------------------


def _scan(op: Scan, given: Known) -> tuple[Op, Known]:
    """Counters are known from their steps; whatever else is carried is, at each step, the first
    value or what a body gives that knows nothing of it.
    """
    constants, carries, arrays = op.groups(given)
    steps = [_step(op, k) for k in range(op.carries)]
    carried = [
        _counted(x, step, max(0, op.length - 1)) for x, step in zip(carries, steps, strict=True)
    ]
    others = [k for k, step in enumerate(steps) if step is None and carries[k] is not None]
    if others:
        found = _narrowed(op.body, [*constants, *carried, *arrays])
        for k in others:
            carried[k] = _union(carries[k], found.outputs[k])
    found = _narrowed(op.body, [*constants, *carried, *arrays])
    last = [
        x if step is None else _counted(first, step, op.length)
        for x, step, first in zip(carried, steps, carries, strict=True)
    ]
    return _with_bodies(op, [found.graph]), [*last, *found.outputs[op.carries :]]


def _step(op: Scan, number: int) -> int | None:
    """What each step adds to a carry."""
    carry, after = op.body.inputs[op.constants + number], op.body.outputs[number]
    if after is carry:
        return 0
    eqn = next((e for e in op.body.eqns if after in e.outputs), None)
    if eqn is None or eqn.op.name not in ("add", "sub") or not is_whole(carry.type):
        return None
    x, y = eqn.inputs
    if eqn.op.name == "add" and y is carry:
        x, y = y, x
    if x is not carry or not isinstance(y, Literal):
        return None
    return _number(y) if eqn.op.name == "add" else -_number(y)


def _counted(first: Range | None, step: int | None, steps: int) -> Range | None:
    """The range of what begins in `first`, within so many steps."""
    if first is None or step is None:
        return None
    return Range(first.low + min(0, step * steps), first.high + max(0, step * steps))


def _cond(op: Cond, given: Known) -> tuple[Op, Known]:
    found = [_narrowed(branch, given[1:]) for branch in op.branches]
    outputs = [_union(*row) for row in zip(*(f.outputs for f in found), strict=True)]
    return _with_bodies(op, [f.graph for f in found]), outputs


# ---- rules ---------------------------------------------------------------------------------------


def _union(*parts: Range | None) -> Range | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or not known:
        return None
    return Range(min(part.low for part in known), max(part.high for part in known))


def _result(eqn: Eqn, given: Known) -> Range | None:
    """The range of an equation's only output, which is of whole numbers."""
    op, type_ = eqn.op, eqn.outputs[0].type
    rule = _RULES.get(op.name)
    if rule is not None:
        return rule(*given) if None not in given else None
    if isinstance(op, Iota):
        return Range(0, max(0, type_.shape[op.axis] - 1))
    if isinstance(op, (ArgMax, ArgMin)):
        shape = eqn.inputs[0].type.shape
        return Range(0, max(0, math.prod(shape[axis] for axis in op.axes) - 1))
    if isinstance(op, Gather):  # what could not be read is 0, until the program ends with an error
        return None if op.mode == "fill" else _union(given[0], _NEVER)
    if isinstance(op, Require):  # likewise 1
        return _union(given[0], _ALWAYS)
    if isinstance(op, (Concatenate, Select)):
        return _union(*given[isinstance(op, Select) :])
    if isinstance(op, _MOVEMENTS) or (isinstance(op, _EXTREMES) and eqn.inputs[0].type.size):
        return given[0]
    if isinstance(op, ReduceSum):
        return _times(given[0], eqn.inputs[0].type.size // max(1, type_.size))
    if op.name == "cumsum" and isinstance(op, Cumulative):
        return _times(given[0], type_.shape[op.axis])
    return None


_MOVEMENTS = (Reshape, BroadcastInDim, Transpose, Reverse, Slice, DynamicSlice, Convert)
_EXTREMES = (ReduceMax, ReduceMin)


def _times(x: Range | None, count: int) -> Range | None:
    """The range of sums of up to `count` numbers."""
    return None if x is None else Range(min(0, x.low * count), max(0, x.high * count))


def _combined(function: Callable[[int, int], int]) -> Callable[[Range, Range], Range]:
    """The rule of a function of two numbers that takes its extremes at theirs."""

    def rule(a: Range, b: Range) -> Range:
        corners = [function(x, y) for x in a for y in b]
        return Range(min(corners), max(corners))

    return rule


def _less(a: Range, b: Range) -> Range:
    return Range(int(a.high < b.low), int(a.low < b.high))


def _less_or_equal(a: Range, b: Range) -> Range:
    return Range(int(a.high <= b.low), int(a.low <= b.high))


def _equal(a: Range, b: Range) -> Range:
    return Range(int(a == b and a.low == a.high), int(a.low <= b.high and b.low <= a.high))


def _different(a: Range, b: Range) -> Range:
    low, high = _equal(a, b)
    return Range(1 - high, 1 - low)


def _and(a: Range, b: Range) -> Range | None:
    """Of numbers that are not negative, the result has no bit more than either."""
    tops = [x.high for x in (a, b) if x.low >= 0]
    return Range(int(a == b == _ALWAYS), min(tops)) if tops else None


def _or(a: Range, b: Range) -> Range | None:
    if min(a.low, b.low) < 0:
        return None
    return Range(max(a.low, b.low), (1 << max(a.high, b.high).bit_length()) - 1)


def _divide(a: Range, b: Range) -> Range | None:
    return _combined(lambda x, y: x // y)(a, b) if a.low >= 0 and b.low > 0 else None


def _remainder(a: Range, b: Range) -> Range | None:
    """It has the sign of the dividend."""
    if b.low <= 0:
        return None
    return Range(max(a.low, 1 - b.high) if a.low < 0 else 0, max(0, min(a.high, b.high - 1)))


def _absolute(x: Range) -> Range:
    low = 0 if x.low <= 0 <= x.high else min(abs(x.low), abs(x.high))
    return Range(low, max(abs(x.low), abs(x.high)))


def _clamped(low: Range, x: Range, high: Range) -> Range:
    return _combined(min)(_combined(max)(low, x), high)


_RULES: dict[str, Callable[..., Range | None]] = {
    "add": _combined(lambda x, y: x + y),
    "sub": _combined(lambda x, y: x - y),
    "mul": _combined(lambda x, y: x * y),
    "neg": lambda x: Range(-x.high, -x.low),
    "abs": _absolute,
    "max": _combined(max),
    "min": _combined(min),
    "clamp": _clamped,
    "div": _divide,
    "rem": _remainder,
    "and": _and,
    "or": _or,
    "lt": _less,
    "le": _less_or_equal,
    "gt": lambda a, b: _less(b, a),
    "ge": lambda a, b: _less_or_equal(b, a),
    "eq": _equal,
    "ne": _different,
}
