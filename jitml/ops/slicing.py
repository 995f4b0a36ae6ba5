"""Movement ops that leave out or add elements at fixed positions: slice, pad, concatenate, window.

All are linear, and their `lower` are index maps. The functions beside the ops leave the checks to
`infer` and return their input where the op would change nothing.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, select
from jitml.ops.kinds import Movement, Traced, choose, full_of, with_literals, zeros_like
from jitml.ops.layout import (
    LinearMovement,
    batch_to_front,
    broadcast_in_dim,
    check_axes,
    insert,
    integers,
    reshape,
    shift,
)
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


def check_lengths(name: str, type_: ArrayType, **lists: Sequence[Any]) -> None:
    """Raise ArgumentError unless each list has one entry per axis of `type_`."""
    for label, entries in lists.items():
        if len(entries) != type_.ndim:
            raise ArgumentError(
                f"{name}: {label} has {len(entries)} entries for the {type_.ndim} axes of {type_}",
                hint=f"give one entry of {label} per axis",
            )


# ---- slice ---------------------------------------------------------------------------------------


@frozen
class Slice(LinearMovement):
    """The elements at start, start + stride, … below limit, per axis."""

    name = "slice"
    start: tuple[int, ...]
    limit: tuple[int, ...]
    strides: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_lengths(self.name, x, start=self.start, limit=self.limit, strides=self.strides)
        for axis, (start, limit, stride) in enumerate(self._ranges()):
            if not 0 <= start <= limit <= x.shape[axis]:
                raise ShapeError(
                    f"slice: {start}:{limit} does not lie within axis {axis} of {x}",
                    hint=f"0 <= start <= limit <= {x.shape[axis]} must hold",
                )
            if stride < 1:
                raise ArgumentError(
                    f"slice: the stride {stride} of axis {axis} is not positive",
                    hint="use reverse for a negative step",
                )
        return (x.with_shape(tuple(len(range(*r)) for r in self._ranges())),)

    def _ranges(self) -> list[tuple[int, int, int]]:
        return list(zip(self.start, self.limit, self.strides, strict=True))

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.asarray(arrays[0])[tuple(slice(*r) for r in self._ranges())],)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        positions = zip(index, self.start, self.strides, strict=True)
        return read(0, [scaled(i, stride) + start for i, start, stride in positions])

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        config = [
            spread(n, type_.shape[axis], start, stride)
            for axis, (n, start, stride) in enumerate(
                zip(type_of(ct).shape, self.start, self.strides, strict=True)
            )
        ]
        return pad(ct, 0, config)

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        start, limit = insert(self.start, axis, 0), insert(self.limit, axis, size)
        return slice_(x, start, limit, insert(self.strides, axis, 1)), axis


def scaled(index: Any, factor: int) -> Any:
    """`index` times `factor`, without a multiplication by one."""
    return index if factor == 1 else index * factor


def spread(count: int, size: int, start: int, stride: int) -> tuple[int, int, int]:
    """The padding that puts `count` elements at start, start + stride, … of an axis of `size`."""
    used = (count - 1) * stride + 1 if count else 0
    return start, size - start - used, stride - 1


def slice_(
    x: Traced, start: Sequence[int], limit: Sequence[int], strides: Sequence[int] | None = None
) -> Traced:
    """The elements of `x` at start, start + stride, … below limit, per axis."""
    start, limit = integers(start), integers(limit)
    steps = (1,) * len(start) if strides is None else integers(strides)
    if limit == type_of(x).shape and not any(start) and all(s == 1 for s in steps):
        return x
    return bind1(Slice(start, limit, steps), x)


# ---- pad -----------------------------------------------------------------------------------------


@frozen
class Pad(Movement):
    """Per axis (low, high, interior): `interior` fill values between neighbours, then `low` before
    and `high` after.

    Negative low and high crop. The fill value is the second input.
    """

    name = "pad"
    config: tuple[tuple[int, int, int], ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, fill = types
        check_lengths(self.name, x, config=self.config)
        if fill.shape or fill.dtype != x.dtype:
            raise DTypeError(
                f"pad: the fill value is {fill}, the array {x}",
                hint=f"the fill value must be 0-d and {x.dtype.name}",
            )
        if any(interior < 0 for _, _, interior in self.config):
            raise ArgumentError(f"pad: negative interior padding in {self.config}")
        shape = tuple(
            low + dilated(n, interior) + high
            for n, (low, high, interior) in zip(x.shape, self.config, strict=True)
        )
        if any(n < 0 for n in shape):
            raise ShapeError(
                f"pad: {self.config} crops more than there is in {x}",
                hint="negative padding cannot exceed the axis",
            )
        return (ArrayType(x.dtype, shape, x.weak and fill.weak),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, fill = map(np.asarray, arrays)
        sizes = [dilated(n, c[2]) for n, c in zip(x.shape, self.config, strict=True)]
        wide = np.full(sizes, fill)
        wide[tuple(slice(None, None, interior + 1) for _, _, interior in self.config)] = x
        wide = (
            np.pad(
                wide,
                [(max(low, 0), max(high, 0)) for low, high, _ in self.config],
                constant_values=fill,
            )
            if x.ndim
            else wide
        )
        ends = zip(self.config, wide.shape, strict=True)
        return (wide[tuple(slice(max(-c[0], 0), n - max(-c[1], 0)) for c, n in ends)],)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        shape = read.type(0).shape
        source: list[Any] = []
        tests: list[Any] = []
        for i, n, (low, high, interior) in zip(index, shape, self.config, strict=True):
            position = i + -low if low else i
            tests += [position >= 0] if low > 0 else []
            tests += [position < dilated(n, interior)] if high > 0 or n == 0 else []
            tests += [position % (interior + 1) == 0] if interior and n > 1 else []
            # An axis of one element is read at 0 wherever the other tests hold.
            source.append(0 if n <= 1 else position // (interior + 1) if interior else position)
        if not tests:
            return read(0, source)
        inside = reduce(operator.and_, tests)
        return choose(inside, read(0, source, where=inside), read(1, []))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        out = bind1(self, *primals)
        if all(t is None for t in tangents):
            return [out], [None]
        parts = [zeros_like(x) if t is None else t for x, t in zip(primals, tangents, strict=True)]
        return [out], [bind1(self, *parts)]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, fill) = cotangents, inputs
        if ct is None:
            return [None, None]
        shape = (x.type if isinstance(x, Undefined) else type_of(x)).shape
        ct_x = self._unpad(ct, shape) if isinstance(x, Undefined) else None
        return [ct_x, self._sum_fill(ct, shape) if isinstance(fill, Undefined) else None]

    def _unpad(self, ct: Traced, shape: tuple[int, ...]) -> Traced:
        whole = pad(ct, 0, [(-low, -high, 0) for low, high, _ in self.config])
        sizes = type_of(whole).shape
        return slice_(whole, (0,) * len(sizes), sizes, [c[2] + 1 for c in self.config])

    def _sum_fill(self, ct: Traced, shape: tuple[int, ...]) -> Traced:
        from jitml.ops.reduction import reduce_sum

        filled = pad_mask(shape, self.config)
        return reduce_sum(select(filled, zeros_like(ct), ct), tuple(range(len(shape))))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x, fill), (axis, fill_axis) = inputs, axes
        if fill_axis is None:
            assert axis is not None
            config = (*self.config[:axis], (0, 0, 0), *self.config[axis:])
            return [pad(x, fill, config)], [axis]
        x = batch_to_front(size, x, axis)
        config = ((0, 0, 0), *self.config)
        out = pad(x, 0, config)
        inside = pad_mask(type_of(x).shape, config)
        fills = broadcast_in_dim(fill, type_of(out).shape, (0,))
        return [select(inside, out, fills)], [0]


def dilated(size: int, interior: int) -> int:
    """The length of an axis once `interior` elements are put between neighbours."""
    return (size - 1) * (interior + 1) + 1 if size else 0


def pad_mask(shape: tuple[int, ...], config: Sequence[tuple[int, int, int]]) -> Traced:
    """True where padding an array of `shape` gives an element of it, false for fill values."""
    return pad(full_of(ArrayType(np.dtype(bool), shape), True), False, config)


def pad(x: Traced, value: Traced, config: Sequence[Sequence[int]]) -> Traced:
    """`x` padded with the 0-d `value` (or Python number), (low, high, interior) per axis."""
    plain = tuple((operator.index(a), operator.index(b), operator.index(c)) for a, b, c in config)
    return x if not any(map(any, plain)) else bind1(Pad(plain), *with_literals((x, value)))


# ---- concatenate ---------------------------------------------------------------------------------


@frozen
class Concatenate(Movement):
    """The inputs one after the other along `axis`."""

    name = "concatenate"
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if not types:
            raise ArgumentError("concatenate: there is nothing to concatenate")
        first = types[0]
        check_axes(self.name, (self.axis,), first.ndim)
        for t in types[1:]:
            if t.dtype != first.dtype:
                raise DTypeError(
                    f"concatenate: dtypes differ: {', '.join(map(str, types))}",
                    hint="convert one of them with .astype",
                )
            if t.ndim != first.ndim or self._across(t.shape) != self._across(first.shape):
                raise ShapeError(
                    f"concatenate: {first} and {t} differ in more than axis {self.axis}",
                    hint="all other axes must have the same sizes",
                )
        total = sum(t.shape[self.axis] for t in types)
        shape = insert(self._across(first.shape), self.axis, total)
        return (ArrayType(first.dtype, shape, all(t.weak for t in types)),)

    def _across(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[: self.axis], *shape[self.axis + 1 :])

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.concatenate(arrays, self.axis),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        position, out = index[self.axis], None
        for k, start, limit in reversed(self._parts(read)):
            tests = [position >= start] if start else []
            tests += [] if out is None else [position < limit]
            inside = reduce(operator.and_, tests) if tests else None
            local = position + -start if start else position
            element = read(k, insert(self._across(tuple(index)), self.axis, local), where=inside)
            out = element if out is None else choose(tests[-1], element, out)
        return out

    def _parts(self, read: Any) -> list[tuple[int, int, int]]:
        """(input, start, limit) of the inputs that are not empty (of the first, if all are)."""
        sizes = [type_.shape[self.axis] for type_ in _input_types(read)]
        ends = list(itertools.accumulate(sizes))
        parts = [(k, ends[k] - n, ends[k]) for k, n in enumerate(sizes)]
        return [part for part in parts if part[1] < part[2]] or parts[:1]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        out = bind1(self, *primals)
        if all(t is None for t in tangents):
            return [out], [None]
        parts = [zeros_like(x) if t is None else t for x, t in zip(primals, tangents, strict=True)]
        return [out], [bind1(self, *parts)]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        if ct is None:
            return [None] * len(inputs)
        results: list[Traced | None] = []
        position, shape = 0, type_of(ct).shape
        for x in inputs:
            size = (x.type if isinstance(x, Undefined) else type_of(x)).shape[self.axis]
            start = insert((0,) * (len(shape) - 1), self.axis, position)
            limit = insert(self._across(shape), self.axis, position + size)
            results.append(slice_(ct, start, limit) if isinstance(x, Undefined) else None)
            position += size
        return results

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        parts = [batch_to_front(size, x, a) for x, a in zip(inputs, axes, strict=True)]
        return [concatenate(parts, self.axis + 1)], [0]


def _input_types(read: Any) -> Iterator[ArrayType]:
    """The types of all inputs; a reader knows no input beyond the last."""
    for k in itertools.count():
        try:
            yield read.type(k)
        except IndexError:
            return


def concatenate(xs: Sequence[Traced], axis: int) -> Traced:
    """The arrays `xs` one after the other along `axis`."""
    return xs[0] if len(xs) == 1 else bind1(Concatenate(operator.index(axis)), *xs)


# ---- window --------------------------------------------------------------------------------------


@frozen
class Window(LinearMovement):
    """All windows of an array: out[…o…, k…] = x[…, o · stride + k · dilation, …].

    A windowed axis of length n keeps its place: (n − ((size − 1) · dilation + 1)) // stride + 1
    positions of the window (none if it is longer than the axis). The offsets in the window are the
    last axes, in the order of `axes`.
    """

    name = "window"
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_axes(self.name, self.axes, x.ndim)
        if len({len(self.axes), len(self.sizes), len(self.strides), len(self.dilations)}) > 1:
            raise ArgumentError(f"window: {self} needs one size, stride and dilation per axis")
        if any(n < 1 for n in (*self.sizes, *self.strides, *self.dilations)):
            raise ArgumentError(f"window: sizes, strides and dilations of {self} must be positive")
        shape = list(x.shape)
        for axis, size, stride, dilation in self._axes():
            extent = (size - 1) * dilation + 1
            shape[axis] = max(0, (shape[axis] - extent) // stride + 1)
        return (x.with_shape((*shape, *self.sizes)),)

    def _axes(self) -> list[tuple[int, int, int, int]]:
        return list(zip(self.axes, self.sizes, self.strides, self.dilations, strict=True))

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        (out,) = self.infer(ArrayType(x.dtype, x.shape))
        steps = [
            n * self.strides[self.axes.index(a)] if a in self.axes else n
            for a, n in enumerate(x.strides)
        ]
        steps += [x.strides[a] * dilation for a, _, _, dilation in self._axes()]
        return (np.lib.stride_tricks.as_strided(x, out.shape, steps).copy(),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        rank = len(index) - len(self.axes)
        source = list(index[:rank])
        for offset, (axis, _, stride, dilation) in zip(index[rank:], self._axes(), strict=True):
            source[axis] = scaled(index[axis], stride) + scaled(offset, dilation)
        return read(0, source)

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        # Axis by axis, the last window axis first: each offset in the window is a padded piece.
        for axis, size, stride, dilation in reversed(self._axes()):
            length = type_.shape[axis]
            pieces = [
                spread_piece(ct, axis, k, (length, k * dilation, stride)) for k in range(size)
            ]
            ct = reduce(add, pieces)
        return ct

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        axes = shift(self.axes, axis)
        return bind1(Window(axes, self.sizes, self.strides, self.dilations), x), axis


def spread_piece(ct: Traced, axis: int, k: int, target: tuple[int, int, int]) -> Traced:
    """Element k of the last axis of `ct`, `axis` spread over (length, start, stride)."""
    shape = type_of(ct).shape
    start = (0,) * (len(shape) - 1) + (k,)
    piece = reshape(slice_(ct, start, (*shape[:-1], k + 1)), shape[:-1])
    length, first, stride = target
    config = [(0, 0, 0)] * (len(shape) - 1)
    config[axis] = spread(shape[axis], length, first, stride)
    return pad(piece, 0, config)


def window(
    x: Traced,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> Traced:
    """The windows of `x` along `axes`; their offsets become the last axes."""
    ones = (1,) * len(axes)
    op = Window(
        integers(axes),
        integers(sizes),
        ones if strides is None else integers(strides),
        ones if dilations is None else integers(dilations),
    )
    return bind1(op, x) if axes else x
