"""Folds over sliding windows: sum, product, extremes, bitwise and, or; the arithmetic of windows.

In: one array and, per axis, size, stride, padding and dilation of the window. Out: one element per
window. There is no kernel of its own: `expand` states it as pad, window and reduction, which fuse.
Padding takes no part in the fold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jitml.ir.dtypes import FLOAT32, INT32, DType, is_float
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, and_, convert, eq, maximum, minimum, mul, ne, or_, select
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.movement import pad, slice_, window
from jitml.ops.reduction import (
    Fold,
    ReduceAnd,
    ReduceMax,
    ReduceMin,
    ReduceOr,
    ReduceProd,
    ReduceSum,
    reduce_min,
    reduce_sum,
    widened,
)
from jitml.trace.core import bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen

Pairs: TypeAlias = tuple[tuple[int, int], ...]

_FOLDS: dict[str, type[Fold]] = {
    "sum": ReduceSum,
    "prod": ReduceProd,
    "max": ReduceMax,
    "min": ReduceMin,
    "and": ReduceAnd,
    "or": ReduceOr,
}


_COMBINES = {"sum": add, "prod": mul, "max": maximum, "min": minimum, "and": and_, "or": or_}
_MOST_PIECES = 32  # elements of a window that are read as so many slices


class WindowAxis(NamedTuple):
    """How a window slides along one axis: its p-th position starts at p · stride − low."""

    length: int
    size: int
    stride: int
    low: int
    high: int
    base_dilation: int
    dilation: int

    @property
    def positions(self) -> int:
        """How many window positions there are."""
        room = dilated(self.length, self.base_dilation) + self.low + self.high
        return max(0, (room - dilated(self.size, self.dilation)) // self.stride + 1)

    def adjoint_padding(self) -> tuple[int, int]:
        """Padding of the reversed window sliding over the dilated positions, so that it meets each
        element of the axis: what spreads cotangents of windows back over the elements.
        """
        low = dilated(self.size, self.dilation) - 1 - self.low
        length = dilated(self.length, self.base_dilation)
        return low, length - dilated(self.positions, self.stride) + self.low

    def phase(self, period: int, number: int) -> tuple[WindowAxis, int, int] | None:
        """Positions number, number + period, … of a window over an axis of which the elements are
        `period` apart (if that is not 1, the stride is): the axis for these, on which elements are
        neighbours; the first offset in the window that meets elements, and the step to the next.
        None if none does.
        """
        positions = -(-(self.positions - number) // period)
        step = period // math.gcd(period, self.dilation)
        for first in range(min(step, self.size)):
            shift = number + first * self.dilation - self.low
            if shift % period == 0 and positions > 0:
                size, dilation = -(-(self.size - first) // step), step * self.dilation // period
                low, base = -shift // period, self.base_dilation // period
                reach = (positions - 1) * self.stride + (size - 1) * dilation + 1
                high = reach - dilated(self.length, base) - low
                axis = WindowAxis(self.length, size, self.stride, low, high, base, dilation)
                return axis, first, step
        return None


def dilated(length: int, dilation: int) -> int:
    """The length of an axis whose neighbours are put `dilation` apart."""
    return (length - 1) * dilation + 1 if length > 0 else 0


def padding_pairs(
    padding: str | Sequence[Sequence[int]],
    lengths: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
) -> Pairs:
    """Pairs (low, high) from pairs, or from "VALID", "SAME" or "SAME_LOWER".

    `sizes` are the windows' with dilation; SAME gives ceil(length / stride) positions.
    """
    if not isinstance(padding, str):
        return tuple((int(low), int(high)) for low, high in padding)
    if padding.upper() == "VALID":
        return ((0, 0),) * len(sizes)
    if padding.upper() not in ("SAME", "SAME_LOWER"):
        raise ArgumentError(
            f"padding {padding!r} is not known",
            hint='use "SAME", "SAME_LOWER", "VALID" or pairs (low, high)',
        )
    pairs = []
    for length, size, stride in zip(lengths, sizes, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if padding.upper() == "SAME" else (large, small))
    return tuple(pairs)


def check_window(name: str, rank: int, **numbers: Sequence[Any]) -> None:
    """Raise unless each parameter has one entry per axis, and sizes and steps are positive."""
    for what, entries in numbers.items():
        if len(entries) != rank:
            raise ShapeError(f"{name}: {what} has {len(entries)} entries for {rank} axes")
        if what != "padding" and any(n < 1 for n in entries):
            raise ArgumentError(f"{name}: {what} must be positive, got {tuple(entries)}")


@frozen
class ReduceWindow(Op):
    """The fold `kind` over each window of the padded, dilated array."""

    name = "reduce_window"
    kind: str
    window_dimensions: tuple[int, ...]
    window_strides: tuple[int, ...]
    padding: Pairs
    base_dilation: tuple[int, ...]
    window_dilation: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        if self.kind not in _FOLDS:
            raise ArgumentError(f"reduce_window: kind {self.kind!r} is none of {', '.join(_FOLDS)}")
        check_window("reduce_window", x.ndim, **self._numbers())
        self._fold(()).infer(x)
        return (x.with_shape(tuple(axis.positions for axis in self._axes(x.shape))),)

    def _numbers(self) -> dict[str, Sequence[Any]]:
        return {name: value for name, value in self.parameters().items() if name != "kind"}

    def _fold(self, axes: tuple[int, ...]) -> Fold:
        return _FOLDS[self.kind](axes)

    def _axes(self, shape: Sequence[int]) -> list[WindowAxis]:
        low, high = (tuple(pair[i] for pair in self.padding) for i in (0, 1))
        return [
            WindowAxis(*numbers)
            for numbers in zip(
                shape,
                self.window_dimensions,
                self.window_strides,
                low,
                high,
                self.base_dilation,
                self.window_dilation,
                strict=True,
            )
        ]

    def _config(self) -> list[tuple[int, int, int]]:
        return [
            (low, high, base - 1)
            for (low, high), base in zip(self.padding, self.base_dilation, strict=True)
        ]

    def fill(self, dtype: DType) -> Any:
        """The number that padding is filled with (0 for sums, so that padding hides a −0)."""
        return self._fold(()).empty_value(dtype)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        (out,) = self.infer(ArrayType(x.dtype, x.shape))
        wide, fill = widened(x), self.fill(x.dtype)
        if 0 in out.shape:
            return (np.full(out.shape, fill, x.dtype),)
        wide = padded(wide, fill, self._config())
        result = np.full(out.shape, self._fold(()).identity(x.dtype)[0], wide.dtype)
        with np.errstate(all="ignore"):
            for offset in np.ndindex(*self.window_dimensions):
                piece = window_piece(wide, offset, self._axes(x.shape))
                result = self._fold(()).ufunc(result, piece)
        return (result.astype(x.dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (x,) = inputs
        type_ = type_of(x)
        (out,) = self.infer(type_)
        fill = self.fill(type_.dtype)
        if 0 in out.shape:
            return [full_of(out, fill)]
        if self._is_small:
            return [self._of_pieces(x, fill)]
        windows, axes = self._windows(x, fill)
        return [bind1(self._fold(axes), windows) if axes else windows]

    @property
    def _is_small(self) -> bool:
        return is_small(self.window_dimensions)

    def _of_pieces(self, x: Traced, fill: Any) -> Traced:
        """The pieces combined by halves. 16-bit floats stay f32 between."""
        type_ = type_of(x)
        narrow = is_float(type_.dtype) and type_.dtype.itemsize == 2
        x = convert(x, FLOAT32 if narrow else type_.dtype, type_.weak)
        pieces, combine = self._pieces(x, fill), _COMBINES[self.kind]
        while len(pieces) > 1:
            half = (len(pieces) + 1) // 2
            both = zip(pieces, pieces[half:], strict=False)
            pieces = [*[combine(a, b) for a, b in both], *pieces[len(pieces) - half : half]]
        return convert(pieces[0], type_.dtype, type_.weak)

    def _pieces(self, x: Traced, fill: Any) -> list[Traced]:
        """Slices of the padded `x`, one for each place in the window."""
        whole = pad(x, literal(fill, type_of(x)), self._config())
        axes = self._axes(type_of(x).shape)
        return [piece for _, piece in window_slices(whole, axes, range(len(axes)))]

    def _windows(self, x: Traced, fill: Any) -> tuple[Traced, tuple[int, ...]]:
        """The windows of the padded `x`, and which axes hold their elements (the last ones)."""
        type_ = type_of(x)
        numbers = (self.window_dimensions, self.window_strides, self.window_dilation)
        axes = [a for a in range(type_.ndim) if (numbers[0][a], numbers[1][a]) != (1, 1)]
        sizes, strides, dilations = ([n[a] for a in axes] for n in numbers)
        whole = pad(x, literal(fill, type_), self._config())
        windows = window(whole, axes, sizes, strides, dilations) if axes else whole
        return windows, tuple(range(type_.ndim, type_.ndim + len(axes)))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        out = bind1(self, x)
        if t is None:
            return [out], [None]
        if self.kind == "sum":
            return [out], [bind1(self, t)]
        if type_of(out).size == 0:
            return [out], [zeros_like(out)]
        if self._is_small and self.kind in ("max", "min"):
            return [out], [self._first_attained(x, t, out)]
        (windows, axes) = self._windows(x, self.fill(type_of(x).dtype))
        moved, _ = self._windows(t, 0)
        if not axes:
            return [out], [moved]
        if self.kind == "prod":
            _, (tangent,) = ReduceProd(axes).jvp([windows], [moved])
            return [out], [tangent]
        return [out], [_first_attained(windows, moved, out, axes)]

    def _first_attained(self, x: Traced, t: Traced, out: Traced) -> Traced:
        """The tangent at the first place in each window that holds the extreme."""
        *pieces, _ = self._pieces(x, self.fill(type_of(x).dtype))
        *moved, found = self._pieces(t, 0)
        for piece, tangent in zip(pieces[::-1], moved[::-1], strict=True):
            found = select(or_(eq(piece, out), ne(piece, piece)), tangent, found)
        return found

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        """Of a sum: each element gets the sum of the cotangents of the windows that hold it."""
        (ct,), (x,) = cotangents, inputs
        if self.kind != "sum":
            raise self._lacks("transpose")
        if ct is None:
            return [None]
        if 0 in (*x.type.shape, *type_of(ct).shape):
            return [full_of(x.type, 0)]
        adjoint = ReduceWindow(
            "sum",
            self.window_dimensions,
            self.base_dilation,
            tuple(axis.adjoint_padding() for axis in self._axes(x.type.shape)),
            self.window_strides,
            self.window_dilation,
        )
        return [bind1(adjoint, ct)]

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (axis,) = axes
        assert axis is not None

        def beside(entries: tuple[Any, ...], entry: Any) -> tuple[Any, ...]:
            return (*entries[:axis], entry, *entries[axis:])

        op = ReduceWindow(
            self.kind,
            beside(self.window_dimensions, 1),
            beside(self.window_strides, 1),
            beside(self.padding, (0, 0)),
            beside(self.base_dilation, 1),
            beside(self.window_dilation, 1),
        )
        return [bind1(op, *inputs)], [axis]


def _first_attained(windows: Traced, t: Traced, out: Traced, axes: tuple[int, ...]) -> Traced:
    """The element of `t` at the first place in each window where `windows` equals `out`."""
    from jitml.ops.movement import broadcast_in_dim, iota, reshape

    shape = type_of(windows).shape
    sizes = tuple(shape[axis] for axis in axes)
    attained = or_(eq(windows, broadcast_in_dim(out, shape, range(axes[0]))), ne(windows, windows))
    count = math.prod(sizes)
    place = broadcast_in_dim(reshape(iota(INT32, (count,), 0), sizes), shape, axes)
    first = reduce_min(select(attained, place, full_of(type_of(place), count)), axes)
    chosen = eq(place, broadcast_in_dim(first, shape, range(axes[0])))
    return reduce_sum(select(chosen, t, zeros_like(t)), axes)


def is_small(sizes: Sequence[int]) -> bool:
    """Whether windows of these sizes are read as slices, one for each of their elements."""
    return math.prod(sizes) <= _MOST_PIECES


def window_slices(
    x: Traced, axes: Sequence[WindowAxis], places: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Traced]]:
    """For each offset within the window, along the axes of the padded `x` at `places`: the elements
    at that offset of all windows.
    """
    low, high = [0] * type_of(x).ndim, list(type_of(x).shape)
    strides = [1] * len(low)
    for offset in np.ndindex(*[axis.size for axis in axes]):
        for k, axis, place in zip(offset, axes, places, strict=True):
            low[place] = k * axis.dilation
            high[place] = low[place] + (axis.positions - 1) * axis.stride + 1
            strides[place] = axis.stride
        yield offset, slice_(x, low, high, strides)


def padded(x: Any, fill: Any, config: Sequence[tuple[int, int, int]]) -> Any:
    """A NumPy array padded with `fill`, (low, high, interior) per axis; negative ones crop."""
    interiors = [interior for _, _, interior in config]
    lengths = [dilated(n, interior + 1) for n, interior in zip(x.shape, interiors, strict=True)]
    wide = np.full(lengths, fill, x.dtype)
    wide[tuple(slice(None, None, interior + 1) for interior in interiors)] = x
    margins = [(max(low, 0), max(high, 0)) for low, high, _ in config]
    wide = np.pad(wide, margins, constant_values=fill) if x.ndim else wide
    crops = zip(wide.shape, config, strict=True)
    return wide[tuple(slice(max(-low, 0), n - max(-high, 0)) for n, (low, high, _) in crops)]


def window_piece(x: Any, offset: Sequence[int], axes: Sequence[WindowAxis]) -> Any:
    """The elements at `offset` in each window of a padded NumPy array; `axes` are its last axes."""
    cuts = []
    for k, axis in zip(offset, axes, strict=True):
        start = k * axis.dilation
        stop = start + dilated(axis.positions, axis.stride)
        cuts.append(slice(start, stop, axis.stride))
    return x[(..., *cuts)]


def reduce_window(
    x: Traced,
    kind: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[Sequence[int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Traced:
    """The fold `kind` (sum, prod, max, min, and, or) over each window of `x`.

    Sizes, strides and dilations have one entry per axis, as does `padding` if it is not a word.
    """
    shape = type_of(x).shape

    def entries(numbers: Sequence[int] | None) -> tuple[int, ...]:
        return (1,) * len(shape) if numbers is None else tuple(map(int, numbers))

    sizes, strides, dilations = map(entries, (window_dimensions, window_strides, window_dilation))
    base = entries(base_dilation)
    check_window(
        "reduce_window", len(shape), window_dimensions=sizes, window_strides=strides,
        window_dilation=dilations, base_dilation=base,
    )  # fmt: skip
    lengths = [dilated(n, b) for n, b in zip(shape, base, strict=True)]
    spans = [dilated(size, d) for size, d in zip(sizes, dilations, strict=True)]
    pairs = padding_pairs(padding, lengths, spans, strides)
    return bind1(ReduceWindow(kind, sizes, strides, pairs, base, dilations), x)
