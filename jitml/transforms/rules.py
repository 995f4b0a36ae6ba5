"""The rewrite rules. Each is directional, makes the graph smaller, and keeps every bit (NaNs
count as equal).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.graph import Literal
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import (
    Convert,
    abs_,
    add,
    and_,
    complex_,
    conj,
    convert,
    div,
    imag,
    maximum,
    minimum,
    mul,
    neg,
    not_,
    or_,
    real,
    select,
    stop_gradient,
    sub,
    xor,
)
from jitml.ops.kinds import Elementwise
from jitml.ops.layout import BroadcastInDim, Reshape, Reverse, Transpose
from jitml.ops.movement import broadcast_in_dim, reshape, reverse, slice_, transpose
from jitml.ops.slicing import Slice
from jitml.trace.core import bind1, type_of
from jitml.trace.numbers import literal
from jitml.transforms.rewrite import Match, Rule, pair

PAIRS = (
    pair("neg_neg", lambda x: (neg(neg(x)), x), "iufc"),
    pair("not_not", lambda x: (not_(not_(x)), x), "biu"),
    pair("conj_conj", lambda x: (conj(conj(x)), x), "c"),
    pair("mul_one", lambda x: (mul(x, 1), x), "iuf"),
    pair("mul_minus_one", lambda x: (mul(x, -1), neg(x)), "if"),
    pair("mul_zero", lambda x: (mul(x, 0), 0), "iu"),
    pair("div_one", lambda x: (div(x, 1), x), "iuf"),
    pair("add_zero", lambda x: (add(x, 0), x), "iu"),
    pair("add_negative_zero", lambda x: (add(x, -0.0), x), "f"),
    pair("sub_zero", lambda x: (sub(x, 0), x), "iuf"),
    pair("sub_same", lambda x: (sub(x, x), 0), "iu"),
    pair("zero_minus", lambda x: (sub(0, x), neg(x)), "iu"),
    pair("negative_zero_minus", lambda x: (sub(-0.0, x), neg(x)), "f"),
    pair("add_neg", lambda x, y: (add(x, neg(y)), sub(x, y)), "iufc"),
    pair("sub_neg", lambda x, y: (sub(x, neg(y)), add(x, y)), "iufc"),
    pair("mul_neg_neg", lambda x, y: (mul(neg(x), neg(y)), mul(x, y)), "iufc"),
    pair("div_neg_neg", lambda x, y: (div(neg(x), neg(y)), div(x, y)), "f"),
    pair("abs_neg", lambda x: (abs_(neg(x)), abs_(x)), "ifc"),
    pair("abs_abs", lambda x: (abs_(abs_(x)), abs_(x)), "iuf"),
    pair("max_same", lambda x: (maximum(x, x), x), "biuf"),
    pair("min_same", lambda x: (minimum(x, x), x), "biuf"),
    pair("max_lowest", lambda x: (maximum(x, -math.inf), x), "f"),
    pair("min_highest", lambda x: (minimum(x, math.inf), x), "f"),
    pair("and_same", lambda x: (and_(x, x), x), "biu"),
    pair("or_same", lambda x: (or_(x, x), x), "biu"),
    pair("and_true", lambda x: (and_(x, True), x), "b"),
    pair("and_false", lambda x: (and_(x, False), False), "b"),
    pair("or_false", lambda x: (or_(x, False), x), "b"),
    pair("or_true", lambda x: (or_(x, True), True), "b"),
    pair("xor_same", lambda x: (xor(x, x), 0), "iu"),
    pair("select_same", lambda condition, x: (select(condition, x, x), x), "biufc"),
    pair(
        "select_not",
        lambda condition, x, y: (select(not_(condition), x, y), select(condition, y, x)),
        "biufc",
    ),
    pair(
        "select_select_true",
        lambda condition, x, y, z: (
            select(condition, select(condition, x, y), z),
            select(condition, x, z),
        ),
        "biufc",
    ),
    pair(
        "select_select_false",
        lambda condition, x, y, z: (
            select(condition, x, select(condition, y, z)),
            select(condition, x, z),
        ),
        "biufc",
    ),
    pair("real_complex", lambda x, y: (real(complex_(x, y)), x), "f"),
    pair("imag_complex", lambda x, y: (imag(complex_(x, y)), y), "f"),
    pair("complex_real_imag", lambda x: (complex_(real(x), imag(x)), x), "c"),
    pair("real_conj", lambda x: (real(conj(x)), real(x)), "c"),
    pair("imag_conj", lambda x: (imag(conj(x)), neg(imag(x))), "c"),
    # Derivatives are taken before this runs; after them the op is an identity.
    pair("stop_gradient", lambda x: (stop_gradient(x), x), "biufc"),
)


# ---- rules over ops with parameters --------------------------------------------------------------

_F32, _F64 = dtypes.FLOAT32, dtypes.FLOAT64


def _f32(*shape: int) -> ArrayType:
    return ArrayType(_F32, shape)


def over(name: str, *examples: Any) -> Callable[[Callable[..., Any]], Rule]:
    """Make a rule of a function `(op, *inputs) -> replacement | None` whose root is the op
    `name`.
    """

    def decorate(function: Callable[..., Any]) -> Rule:
        def apply(match: Match) -> Any | None:
            return function(match.op, *match.inputs)

        return Rule(function.__name__, (name,), apply, tuple(examples))

    return decorate


def chain(outer: type[Op], inner: type[Op], *examples: Any) -> Callable[..., Rule]:
    """Make a rule of a function `(outer op, inner op, x) -> replacement | None` for
    outer(inner(x)).
    """

    def decorate(function: Callable[..., Any]) -> Rule:
        def apply(match: Match) -> Any | None:
            within = match.definition(match.inputs[0])
            if within is None or not isinstance(within.op, inner):
                return None
            return function(match.op, within.op, *within.inputs)

        clues = frozenset([inner.name])
        return Rule(function.__name__, (outer.name,), apply, tuple(examples), clues=clues)

    return decorate


@over("reshape", ((_f32(2, 3),), lambda x: bind1(Reshape((2, 3)), x)))
def reshape_to_same(op: Reshape, x: Any) -> Any:
    return x if type_of(x).shape == op.shape else None


@chain(Reshape, Reshape, ((_f32(2, 3),), lambda x: reshape(reshape(x, (6,)), (3, 2))))
def reshape_reshape(outer: Reshape, inner: Reshape, x: Any) -> Any:
    return reshape(x, outer.shape)


@chain(
    Transpose,
    Transpose,
    ((_f32(2, 3, 4),), lambda x: transpose(transpose(x, (2, 0, 1)), (1, 0, 2))),
)
def transpose_transpose(outer: Transpose, inner: Transpose, x: Any) -> Any:
    return transpose(x, tuple(inner.permutation[a] for a in outer.permutation))


@chain(
    BroadcastInDim,
    BroadcastInDim,
    ((_f32(3),), lambda x: broadcast_in_dim(broadcast_in_dim(x, (1, 3), (1,)), (4, 2, 3), (1, 2))),
)
def broadcast_broadcast(outer: BroadcastInDim, inner: BroadcastInDim, x: Any) -> Any:
    return broadcast_in_dim(x, outer.shape, tuple(outer.dims[d] for d in inner.dims))


def _fills(op: BroadcastInDim) -> bool:
    return not op.dims


@chain(
    Reshape, BroadcastInDim, ((_f32(),), lambda x: reshape(broadcast_in_dim(x, (6,), ()), (2, 3)))
)
def reshape_fill(outer: Reshape, inner: BroadcastInDim, x: Any) -> Any:
    return broadcast_in_dim(x, outer.shape, ()) if _fills(inner) else None


@chain(
    Transpose,
    BroadcastInDim,
    ((_f32(),), lambda x: transpose(broadcast_in_dim(x, (2, 3), ()), (1, 0))),
)
def transpose_fill(outer: Transpose, inner: BroadcastInDim, x: Any) -> Any:
    shape = tuple(inner.shape[a] for a in outer.permutation)
    return broadcast_in_dim(x, shape, ()) if _fills(inner) else None


@chain(Reverse, Reverse, ((_f32(2, 3),), lambda x: reverse(reverse(x, (0,)), (0, 1))))
def reverse_reverse(outer: Reverse, inner: Reverse, x: Any) -> Any:
    return reverse(x, tuple(set(outer.axes) ^ set(inner.axes)))


@chain(Slice, Slice, ((_f32(9),), lambda x: slice_(slice_(x, (1,), (9,), (2,)), (1,), (4,), (2,))))
def slice_slice(outer: Slice, inner: Slice, x: Any) -> Any:
    steps = [a * b for a, b in zip(outer.strides, inner.strides, strict=True)]
    starts = [i + o * s for i, o, s in zip(inner.start, outer.start, inner.strides, strict=True)]
    lengths = [
        -(-(high - low) // step)
        for low, high, step in zip(outer.start, outer.limit, outer.strides, strict=True)
    ]
    limits = [
        start + (n - 1) * step + 1 if n > 0 else start
        for start, n, step in zip(starts, lengths, steps, strict=True)
    ]
    return slice_(x, starts, limits, steps)


def _holds_exactly(wide: dtypes.DType, narrow: dtypes.DType) -> bool:
    """Whether every value of `narrow` is one of `wide`, of the same kind."""
    same_kind = dtypes.kind(wide) == dtypes.kind(narrow) and dtypes.kind(wide) in "iufc"
    return same_kind and wide.itemsize > narrow.itemsize


@chain(
    Convert,
    Convert,
    ((_f32(5),), lambda x: convert(convert(x, _F64), np.dtype(np.int32))),
    ((_f32(5),), lambda x: convert(convert(x, _F64), _F32)),
)
def convert_widened(outer: Convert, inner: Convert, x: Any) -> Any:
    if not _holds_exactly(inner.dtype, type_of(x).dtype):
        return None
    return convert(x, outer.dtype, outer.weak)


@over("convert", ((_f32(2),), lambda x: bind1(Convert(_F32), x)))
def convert_to_same(op: Convert, x: Any) -> Any:
    type_ = type_of(x)
    return x if (type_.dtype, type_.weak) == (op.dtype, op.weak) else None


@over("select", ((_f32(2), _f32(2)), lambda x, y: select(literal(True), x, y)))
def select_literal(op: Op, condition: Any, x: Any, y: Any) -> Any:
    if not isinstance(condition, Literal):
        return None
    return x if condition.value else y


@over("div", ((_f32(4),), lambda x: div(x, 8.0)))
def div_power_of_two(op: Op, x: Any, y: Any) -> Any:
    """Both sides round the same real number once."""
    if not isinstance(y, Literal) or not isinstance(y.value, float) or not math.isfinite(y.value):
        return None
    mantissa, exponent = math.frexp(y.value)
    if abs(mantissa) != 0.5 or abs(exponent) > 12:  # far inside the normal range of float16
        return None
    return mul(x, 1.0 / y.value)


def _spread_operand(match: Match) -> Any | None:
    """A scalar that was spread beside a shaped operand is used as it is: elementwise ops do so."""
    inputs = list(match.inputs)
    if len(inputs) < 2 or not any(map(match.eqn, inputs)):
        return None
    changed = False
    for number, x in enumerate(inputs):
        eqn = match.eqn(x)
        if eqn is None or not isinstance(eqn.op, BroadcastInDim) or not _fills(eqn.op):
            continue
        others = inputs[:number] + inputs[number + 1 :]
        if any(type_of(o).shape == eqn.op.shape for o in others):
            (inputs[number],) = match.definition(x).inputs  # type: ignore[union-attr]
            changed = True
    if not changed or len(match.op.infer(*map(type_of, inputs))) > 1:
        return None
    return bind1(match.op, *inputs)


def _spread_example(x: Any, y: Any) -> Any:
    return add(broadcast_in_dim(x, (3,), ()), y)


spread_operand = Rule(
    "spread_operand",
    tuple(
        name
        for name, op in Op.registry.items()
        if isinstance(op, Elementwise) or (isinstance(op, type) and issubclass(op, Elementwise))
    ),
    _spread_operand,
    (((_f32(), _f32(3)), _spread_example),),
    clues=frozenset([BroadcastInDim.name]),
)

OVER_PARAMETERS: tuple[Rule, ...] = (
    reshape_to_same,
    reshape_reshape,
    transpose_transpose,
    broadcast_broadcast,
    reshape_fill,
    transpose_fill,
    reverse_reverse,
    slice_slice,
    convert_widened,
    convert_to_same,
    select_literal,
    div_power_of_two,
    spread_operand,
)

EXACT_RULES: tuple[Rule, ...] = PAIRS + OVER_PARAMETERS
