"""Steps of random well-typed programs: a pool of values, and for each op a step that applies it to
values of the pool.

A step takes what fits from the pool and adapts it (converts, broadcasts, slices) where nothing
does, so every op is within reach of any pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, kind, short_name
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops import cumulative, elementwise, reduction
from jitml.ops.contraction import dot_general
from jitml.ops.convolution import conv_general_dilated
from jitml.ops.dynamic import dynamic_slice, dynamic_update_slice
from jitml.ops.indexing import GatherDimensionNumbers, gather
from jitml.ops.kinds import Row
from jitml.ops.layout import broadcast_in_dim, iota, reshape, reverse, transpose
from jitml.ops.random_bits import threefry2x32
from jitml.ops.reduce_window import reduce_window
from jitml.ops.require import require
from jitml.ops.scatter import ScatterDimensionNumbers, scatter
from jitml.ops.slicing import concatenate, pad, slice_, window
from jitml.ops.sort import sort
from jitml.ops.top_k import top_k
from jitml.trace.core import type_of
from jitml.trace.numbers import literal

Draw = Callable[[int], int]  # a number below the given one

SHAPES: tuple[tuple[int, ...], ...] = (
    (), (1,), (3,), (17,), (64,), (65,), (4, 5), (2, 33), (3, 1, 7), (2, 3, 4), (5, 70), (0, 3),
)  # fmt: skip
DTYPES = tuple(
    FROM_SHORT_NAME[d]
    for d in ["f32", "f64", "f32", "bf16", "f16", "c64", "i32", "u8", "i64", "u32", "bool"]
)
MOST_ELEMENTS = 9000
_MODEST = [
    "exp",
    "exp2",
    "expm1",
    "sinh",
    "cosh",
    "lgamma",
    "cumprod",
    "reduce_prod",
    "integer_pow",
    "pow",
]


class Program:
    """A program under construction, inside a trace."""

    def __init__(self, draw: Draw, inputs: Sequence[Any]) -> None:
        self.draw = draw
        self.pool = list(inputs)

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.draw(len(items))]

    def take(self, kinds: str = "biufc", least: int = 0) -> Any:
        """A value of one of the `kinds` with at least `least` axes."""
        # Late values first, so that chains grow.
        recent = self.pool[::-1][: 4 + self.draw(8)]
        fitting = [
            x for x in recent if kind(type_of(x).dtype) in kinds and type_of(x).ndim >= least
        ]
        x = self.pick(fitting or recent)
        if type_of(x).ndim < least:
            shape = (*self.pick([(2,), (3,), (17,)][:2]), *[3] * (least - 1))
            x = self.fitted(x, shape)
        return self.of_kind(x, kinds)

    def of_kind(self, x: Any, kinds: str) -> Any:
        own = kind(type_of(x).dtype)
        if own in kinds:
            return x
        dtype = self.pick([d for d in DTYPES if kind(d) in kinds])
        return self.converted(x, dtype)

    def converted(self, x: Any, dtype: DType) -> Any:
        """`x` as `dtype`; of complex numbers the real part."""
        x = elementwise.real(x) if kind(type_of(x).dtype) == "c" and kind(dtype) != "c" else x
        return elementwise.convert(x, dtype)

    def like(self, model: Any, kinds: str = "") -> Any:
        """A value of the shape of `model`, and of its dtype unless kinds are given."""
        type_ = type_of(model)
        x = self.fitted(self.pick(self.pool), type_.shape)
        if kinds:
            return self.of_kind(x, kinds)
        return self.converted(x, type_.dtype)

    def fitted(self, x: Any, shape: tuple[int, ...]) -> Any:
        """`x` sliced and broadcast to `shape`."""
        own = type_of(x).shape
        if own == shape:
            return x
        if 0 in own:
            return broadcast_in_dim(literal(0, ArrayType(type_of(x).dtype, ())), shape, ())
        kept = own[max(0, len(own) - len(shape)) :]
        first = len(shape) - len(kept)
        sizes = [
            n if n == m or n == 1 else (m if n > m else 1)
            for n, m in zip(kept, shape[first:], strict=True)
        ]
        lost = len(own) - len(kept)
        x = slice_(x, (0,) * len(own), (*[1] * lost, *sizes))
        return broadcast_in_dim(reshape(x, tuple(sizes)), shape, range(first, len(shape)))

    def tame(self, x: Any) -> Any:
        """`x` squeezed so that steep functions of it stay finite."""
        own = kind(type_of(x).dtype)
        if own == "f":
            return elementwise.tanh(x)
        return x

    def add(self, *outputs: Any) -> None:
        self.pool.extend(x for x in outputs if type_of(x).size <= MOST_ELEMENTS)

    def axis(self, x: Any) -> int:
        return self.draw(type_of(x).ndim)


# Ops that lack a second derivative, and the slopes that are their first.
ONCE_DIFFERENTIABLE = {
    "betainc", "betainc_grad_a", "betainc_grad_b", "expn", "hyp1f1", "hyp1f1_grad_a",
    "hyp1f1_grad_b", "hyp2f1", "hyp2f1_grad_a", "hyp2f1_grad_c", "igamma", "igamma_grad_a",
    "igammac", "polygamma", "random_gamma_grad", "zeta", "zeta_grad_x",
}  # fmt: skip

# ---- a step for each op --------------------------------------------------------------------------


Step = Callable[[Program], None]


def _row_step(row: Row) -> Step:
    arity = len(row.partials)

    def step(p: Program) -> None:
        x = p.take(row.kinds)
        x = p.tame(x) if row.name in _MODEST else x
        rest = [p.like(x) for _ in range(arity - 1)]
        if p.draw(3) == 0 and rest:
            scalar = reshape(p.fitted(rest[0], (1,)), ())
            rest[0] = scalar
        p.add(row(x, *rest))

    return step


def _select(p: Program) -> None:
    x = p.take()
    p.add(elementwise.select(p.like(x, "b"), x, p.like(x)))


def _convert(p: Program) -> None:
    x, dtype = p.take("biuf"), p.pick(DTYPES)
    if kind(dtype) in "iu" and kind(type_of(x).dtype) == "f":
        x = p.tame(x)  # out of range, NumPy's result is undefined
        x = elementwise.abs_(x) if kind(dtype) == "u" else x
    p.add(elementwise.convert(x, dtype))


_SAME_WIDTH = {
    "f32": "u32", "u32": "i32", "i32": "u32", "f64": "i64", "i64": "u64", "u64": "i64",
    "bf16": "u16", "f16": "i16", "u8": "i8", "i8": "u8", "i16": "u16", "u16": "i16",
}  # fmt: skip


def _bitcast(p: Program) -> None:
    x = p.take("iuf")
    p.add(elementwise.bitcast(x, FROM_SHORT_NAME[_SAME_WIDTH[short_name(type_of(x).dtype)]]))


def _integer_pow(p: Program) -> None:
    p.add(elementwise.integer_pow(p.tame(p.take("fc")), p.pick((2, 3, -1, 5, 0))))


def _dot_general(p: Program) -> None:
    x = p.take("f", 2)
    ndim = type_of(x).ndim
    axis, batch = p.axis(x), p.draw(2) if ndim > 2 else 0
    contract = axis if not batch or axis else 1
    shape = type_of(x).shape
    columns = p.pick((1, 3, 7))
    if shape[contract] > 500:
        return
    y_shape = (shape[0], shape[contract], columns) if batch else (shape[contract], columns)
    y = p.like(broadcast_in_dim(literal(0, ArrayType(type_of(x).dtype, ())), y_shape, ()))
    numbers = (((contract,), (batch,)), ((0,), (0,)) if batch else ((), ()))
    p.add(dot_general(x, y, numbers))


def _conv(p: Program) -> None:
    x = p.tame(p.take("f", 3))
    if type_of(x).ndim != 3 or 0 in type_of(x).shape:
        x = p.fitted(x, (2, 3, 6))
    features = type_of(x).shape[1]
    zero = literal(0, ArrayType(type_of(x).dtype, ()))
    w = p.like(broadcast_in_dim(zero, (2, features, p.pick((1, 2, 3))), ()))
    p.add(conv_general_dilated(x, w, (p.pick((1, 2)),), ((1, 2),), None, (p.pick((1, 2)),)))


def _broadcast(p: Program) -> None:
    x = p.take()
    shape, count = type_of(x).shape, p.pick((2, 3, 5))
    where = p.draw(len(shape) + 1)
    kept = [a + (a >= where) for a in range(len(shape))]
    p.add(broadcast_in_dim(x, (*shape[:where], count, *shape[where:]), kept))


def _reshape(p: Program) -> None:
    x = p.take()
    size = type_of(x).size
    divisors = [d for d in range(1, min(size, 70) + 1) if size % d == 0] or [1]
    first = p.pick(divisors)
    rest = [d for d in divisors if (size // first) % d == 0] or [1]
    second = p.pick(rest)
    shape = (first, size // first // second, second) if size else (p.pick((2, 3)), 0)
    p.add(reshape(x, p.pick([shape, (size,), shape[::-1]])))


def _transpose(p: Program) -> None:
    x = p.take(least=2)
    ndim = type_of(x).ndim
    order = list(range(ndim))
    for k in range(ndim):
        other = p.draw(ndim)
        order[k], order[other] = order[other], order[k]
    p.add(transpose(x, order))


def _reverse(p: Program) -> None:
    x = p.take(least=1)
    p.add(reverse(x, (p.axis(x),)))


def _iota(p: Program) -> None:
    shape = p.pick(SHAPES[1:-1])
    p.add(iota(p.pick([d for d in DTYPES if kind(d) in "iuf"]), shape, p.draw(len(shape))))


def indices(p: Program, shape: tuple[int, ...], limit: int) -> Any:
    """Integers from 0 to `limit`, made from a value of the pool."""
    x = p.fitted(p.take("iu"), shape)
    wide = elementwise.convert(x, FROM_SHORT_NAME["i32"])
    return elementwise.abs_(elementwise.rem(wide, limit + 1))


_GATHER_ROWS = ((5,), (2, 3), (17,), (0,))


def _gather(p: Program) -> None:
    x = p.take(least=1)
    shape, axis = type_of(x).shape, p.axis(x)
    if 0 in shape:
        return
    rows = p.pick(_GATHER_ROWS)
    mode = p.pick(("raise", "clip", "fill", "promise_in_bounds"))
    beyond = 3 if mode in ("clip", "fill") else 0
    chosen = indices(p, (*rows, 1), shape[axis] - 1 + beyond)
    offsets = [*range(len(rows), len(rows) + len(shape) - 1)]
    sizes = tuple(1 if a == axis else n for a, n in enumerate(shape))
    numbers = GatherDimensionNumbers(tuple(offsets), (axis,), (axis,))
    p.add(gather(x, chosen, numbers, sizes, mode))


def _require(p: Program) -> None:
    x = p.take("iu")
    small = elementwise.and_(x, literal(63, ArrayType(type_of(x).dtype, ())))
    odd = elementwise.or_(small, literal(1, ArrayType(type_of(x).dtype, ())))
    p.add(require(odd, p.pick(("nonzero", "natural", "int8", "uint32"))))


def _scatter(p: Program) -> None:
    combine = p.pick(("set", "add", "mul", "min", "max"))
    x = p.take("iuf", 1)
    shape, axis = type_of(x).shape, p.axis(x)
    if 0 in shape:
        return
    rows = p.pick(_GATHER_ROWS)
    mode = p.pick(("raise", "clip", "drop"))
    chosen = indices(p, (*rows, 1), shape[axis] - 1 + (3 if mode != "raise" else 0))
    others = tuple(n for a, n in enumerate(shape) if a != axis)
    zero = literal(0, ArrayType(type_of(x).dtype, ()))
    updates = p.like(broadcast_in_dim(zero, (*rows, *others), ()))
    windows = tuple(range(len(rows), len(rows) + len(others)))
    numbers = ScatterDimensionNumbers(windows, (axis,), (axis,))
    p.add(scatter(x, chosen, updates, numbers, combine, mode))


def _slice(p: Program) -> None:
    x = p.take(least=1)
    shape = type_of(x).shape
    starts = [p.draw(max(1, n // 2)) if n else 0 for n in shape]
    strides = [p.pick((1, 1, 2, 3)) for _ in shape]
    p.add(slice_(x, starts, shape, strides))


def _pad(p: Program) -> None:
    x = p.take()
    config = []
    for n in type_of(x).shape:
        low, high, interior = p.pick(((0, 0, 0), (1, 2, 0), (2, 0, 1), (-1, 1, 0), (0, 3, 0)))
        config.append((max(low, -n), high, interior if n < 100 else 0))
    fill = reshape(p.fitted(p.like(x), (1,) * type_of(x).ndim), ())
    p.add(pad(x, fill, config))


def _concatenate(p: Program) -> None:
    x = p.take(least=1)
    axis, y = p.axis(x), p.like(x)
    limit = [p.draw(n + 1) if a == axis else n for a, n in enumerate(type_of(y).shape)]
    p.add(concatenate([x, slice_(y, [0] * len(limit), limit), x][: 2 + p.draw(2)], axis))


def _window(p: Program) -> None:
    x = p.take(least=1)
    axis = p.axis(x)
    length = type_of(x).shape[axis]
    if length < 2 or type_of(x).size > 2000:
        return
    sizes, dilations = ((1, 2, 3), (1, 2)) if length >= 5 else ((1, 2), (1,))
    p.add(window(x, (axis,), (p.pick(sizes),), (p.pick((1, 2)),), (p.pick(dilations),)))


def _reduce_window(p: Program) -> None:
    x = p.take("f", 1)
    ndim, axis = type_of(x).ndim, p.axis(x)
    if type_of(x).shape[axis] < 3:
        return
    sizes = [1] * ndim
    sizes[axis] = p.pick((2, 3))
    name = p.pick(("sum", "max", "min"))
    p.add(reduce_window(x, name, sizes, None, p.pick(("SAME", "VALID"))))


def _starts(p: Program, shape: Sequence[int]) -> list[Any]:
    return [reshape(indices(p, (1,), 2 * n), ()) for n in shape]


def _dynamic_slice(p: Program) -> None:
    x = p.take(least=1)
    shape = type_of(x).shape
    p.add(dynamic_slice(x, _starts(p, shape), [p.draw(n + 1) for n in shape]))


def _dynamic_update_slice(p: Program) -> None:
    x = p.take(least=1)
    shape = type_of(x).shape
    sizes = [p.draw(n + 1) for n in shape]
    update = slice_(p.like(x), [0] * len(shape), sizes)
    p.add(dynamic_update_slice(x, update, _starts(p, shape)))


def _fold(name: str, kinds: str) -> Step:
    def step(p: Program) -> None:
        x = p.take(kinds, 1)
        x = p.tame(x) if name in _MODEST else x
        ndim = type_of(x).ndim
        axes = p.pick([(a,) for a in range(ndim)] + [tuple(range(ndim)), tuple({0, ndim - 1})])
        p.add(getattr(reduction, name)(x, axes))

    return step


def _arg(name: str) -> Step:
    def step(p: Program) -> None:
        x = p.take("biuf", 1)
        axis = p.axis(x)
        if type_of(x).shape[axis]:
            p.add(getattr(reduction, name)(x, axis))

    return step


def _cumulative(name: str, kinds: str) -> Step:
    def step(p: Program) -> None:
        x = p.take(kinds, 1)
        x = p.tame(x) if name in _MODEST else x
        p.add(getattr(cumulative, name)(x, p.axis(x), bool(p.draw(2))))

    return step


def _sort(p: Program) -> None:
    x = p.take("iuf", 1)
    operands = [x, p.like(x, "iuf")][: 1 + p.draw(2)]
    p.add(*sort(operands, p.axis(x)))


def _top_k(p: Program) -> None:
    x = p.take("iuf", 1)
    if type_of(x).dtype.itemsize > 4:
        x = elementwise.convert(x, FROM_SHORT_NAME["f32"])
    axis = p.axis(x)
    p.add(*top_k(x, p.draw(type_of(x).shape[axis] + 1), axis))


def _threefry(p: Program) -> None:
    x = elementwise.convert(elementwise.abs_(p.take("iu")), FROM_SHORT_NAME["u32"])
    key = literal(p.draw(100), ArrayType(FROM_SHORT_NAME["u32"], ()))
    p.add(*threefry2x32(key, key, x, elementwise.not_(x)))


def _all_steps() -> dict[str, Step]:
    steps: dict[str, Step] = {
        "select": _select, "convert": _convert, "bitcast": _bitcast, "integer_pow": _integer_pow,
        "dot_general": _dot_general, "conv_general_dilated": _conv, "broadcast_in_dim": _broadcast,
        "reshape": _reshape, "transpose": _transpose, "reverse": _reverse, "iota": _iota,
        "gather": _gather, "require": _require, "scatter": _scatter, "slice": _slice, "pad": _pad,
        "concatenate": _concatenate, "window": _window, "reduce_window": _reduce_window,
        "dynamic_slice": _dynamic_slice, "dynamic_update_slice": _dynamic_update_slice,
        "argmax": _arg("argmax"), "argmin": _arg("argmin"), "sort": _sort,
        "threefry2x32": _threefry, "top_k": _top_k,
    }  # fmt: skip
    for name, op in Op.registry.items():
        if isinstance(op, Row) and name not in ONCE_DIFFERENTIABLE:
            steps[name] = _row_step(op)
    for name in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min"):
        steps[name] = _fold(name, "iuf" if name in ("reduce_max", "reduce_min") else "iufc")
    for name in ("reduce_and", "reduce_or", "reduce_xor"):
        steps[name] = _fold(name, "biu")
    for name in ("cumsum", "cumprod", "cummax", "cummin"):
        steps[name] = _cumulative(name, "iuf")
    steps["cumlogsumexp"] = _cumulative("cumlogsumexp", "f")
    return steps


STEPS = _all_steps()
