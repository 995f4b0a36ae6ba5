"""`conv_general_dilated`: convolutions of any rank, strided, padded, dilated and grouped.

In: an array and a kernel, and which of their axes are batch, features and space. Out: an array of
windows' products with the kernel. The op has no machine kernel of its own: `expand` states it as
pad, window and products. Both transposes are convolutions. Batch groups are feature groups of a
rearranged array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import DType, kind
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.op import Op, Undefined
from jitml.ir.text import PARAMETER_CLASSES
from jitml.ir.types import ArrayType
from jitml.ops.contraction import (
    Axes,
    check_precision,
    convert_to,
    product_dtype,
    product_operands,
    stated_operands,
)
from jitml.ops.elementwise import add
from jitml.ops.kinds import Traced, full_of
from jitml.ops.movement import concatenate, move_axis, pad, reshape, slice_, transpose, window
from jitml.ops.reduce_window import (
    Pairs,
    WindowAxis,
    check_window,
    dilated,
    is_small,
    padded,
    padding_pairs,
    window_piece,
)
from jitml.ops.window_products import (
    ConvDimensionNumbers,
    Layout,
    merged_into,
    product_of_windows,
    split,
    sum_of_slices,
    sums_of_slices,
)
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen, replace

PARAMETER_CLASSES["ConvDimensionNumbers"] = ConvDimensionNumbers


@frozen
class ConvGeneralDilated(Op):
    """out[n, f, o] = Σ_{k, c} x[n, c, o · stride + k · rhs_dilation − low] w[f, c, k], x dilated.

    With `feature_group_count` = G, the features of x and of out are G groups, each convolved with
    its own part of w.
    """

    name = "conv_general_dilated"
    window_strides: tuple[int, ...]
    padding: Pairs
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: ConvDimensionNumbers
    feature_group_count: int = 1
    precision: str | None = None
    preferred_element_type: DType | None = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, w = types
        dtype = product_dtype(self.name, x, w, self.preferred_element_type)
        self._check(x, w)
        shape = [0] * x.ndim
        lhs, rhs, out = self.dimension_numbers
        shape[out[0]], shape[out[1]] = x.shape[lhs[0]], w.shape[rhs[0]]
        for position, axis in zip(out[2:], self._axes(x.shape, w.shape), strict=True):
            shape[position] = axis.positions
        return (ArrayType(dtype, tuple(shape), x.weak and w.weak and dtype == x.dtype),)

    def _check(self, x: ArrayType, w: ArrayType) -> None:
        name, groups = self.name, self.feature_group_count
        _check_ranks(x, w, self.dimension_numbers)
        check_window(
            name, x.ndim - 2, window_strides=self.window_strides, padding=self.padding,
            lhs_dilation=self.lhs_dilation, rhs_dilation=self.rhs_dilation,
        )  # fmt: skip
        lhs, rhs, _ = self.dimension_numbers
        features, inputs, outputs = x.shape[lhs[1]], w.shape[rhs[1]], w.shape[rhs[0]]
        if groups < 1 or features != inputs * groups or outputs % groups:
            grouped = f" times {groups} groups" if groups != 1 else ""
            raise ShapeError(
                f"{name}: {x} has {features} features, the kernel {w} takes {inputs}{grouped} "
                f"and gives {outputs}",
                hint="check dimension_numbers; outputs must divide evenly among the groups",
            )

    def _axes(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> list[WindowAxis]:
        lhs, rhs, _ = self.dimension_numbers
        return [
            WindowAxis(x_shape[i], w_shape[j], stride, low, high, base, dilation)
            for i, j, stride, (low, high), base, dilation in zip(
                lhs[2:],
                rhs[2:],
                self.window_strides,
                self.padding,
                self.lhs_dilation,
                self.rhs_dilation,
                strict=True,
            )
        ]

    def _config(self, rank: int) -> list[tuple[int, int, int]]:
        config = [(0, 0, 0)] * rank
        spatial = self.dimension_numbers.lhs_spec[2:]
        for axis, (low, high), base in zip(spatial, self.padding, self.lhs_dilation, strict=True):
            config[axis] = (low, high, base - 1)
        return config

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, w = (np.asarray(a) for a in arrays)
        (out,) = self.infer(ArrayType(x.dtype, x.shape), ArrayType(w.dtype, w.shape))
        if 0 in (*out.shape, *w.shape):
            return (np.zeros(out.shape, out.dtype),)
        axes = self._axes(x.shape, w.shape)
        wide = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}.get(
            kind(out.dtype), out.dtype
        )
        lhs, rhs, out_spec = self.dimension_numbers
        x = padded(x, 0, self._config(x.ndim)).transpose(lhs).astype(wide)
        w = w.transpose(rhs).astype(wide)
        groups, (batch, features), outputs = self.feature_group_count, x.shape[:2], w.shape[0]
        x = x.reshape(batch, groups, features // groups, *x.shape[2:])
        w = w.reshape(groups, outputs // groups, *w.shape[1:])
        counts = tuple(axis.positions for axis in axes)
        result = np.zeros((batch, groups, outputs // groups, *counts), wide)
        with np.errstate(all="ignore"):
            for offset in np.ndindex(*w.shape[3:]):
                piece, weights = window_piece(x, offset, axes), w[(..., *offset)]
                result += np.einsum("ngc...,gfc->ngf...", piece, weights)
            result = result.reshape(batch, outputs, *counts).astype(out.dtype)
        return (result.transpose(np.argsort(out_spec)),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """A product of windows with the kernel, or sums of slices where features are apart."""
        x, w = inputs
        (out,) = self.infer(type_of(x), type_of(w))
        if 0 in (*out.shape, *type_of(w).shape):
            return [full_of(out, 0)]
        axes = self._axes(type_of(x).shape, type_of(w).shape)
        if any(axis.base_dilation > 1 and axis.stride == 1 for axis in axes):
            return [self._in_phases(x, w, axes, out)]
        (lhs, rhs, _), groups = self.dimension_numbers, self.feature_group_count
        layout = Layout(self.dimension_numbers, groups, self.precision, self.preferred_element_type)
        x = pad(x, 0, self._config(len(lhs)))
        depth, features = (type_of(w).shape[axis] for axis in (rhs[1], rhs[0]))
        sizes = [axis.size for axis in axes]
        if depth == 1 and features == groups > 1 and is_small(sizes):
            return [sum_of_slices(x, w, axes, layout, out)]
        x = window(x, lhs[2:], sizes, self.window_strides, self.rhs_dilation)
        return [reshape(product_of_windows(x, w, layout), out.shape)]

    def _layout(self) -> Layout:
        return Layout(
            self.dimension_numbers,
            self.feature_group_count,
            self.precision,
            self.preferred_element_type,
        )

    def _in_phases(
        self, x: Traced, w: Traced, axes: Sequence[WindowAxis], out: ArrayType
    ) -> Traced:
        """Between the elements of a dilated array lies nothing that needs to be multiplied: each
        phase of the result, every so many places, is a convolution of the plain array with some
        elements of the kernel.
        """
        spatial = self.dimension_numbers.out_spec[2:]
        periods = [axis.base_dilation if axis.stride == 1 else 1 for axis in axes]
        shape = list(out.shape)
        for axis, period in zip(spatial, periods, strict=True):
            shape[axis] = -(-shape[axis] // period)
        pieces = []
        for phases in np.ndindex(*periods):
            cuts = [a.phase(n, p) for a, n, p in zip(axes, periods, phases, strict=True)]
            if None in cuts:
                piece = full_of(out.with_shape(tuple(shape)), 0)
            else:
                piece = self._of_phase(x, w, cuts)  # type: ignore[arg-type]
                lengths = type_of(piece).shape
                piece = pad(piece, 0, [(0, n - m, 0) for n, m in zip(shape, lengths, strict=True)])
            pieces.append(reshape(piece, (1, *shape)))
        whole = reshape(concatenate(pieces, 0), (*periods, *shape))
        order = []
        for axis in range(len(shape)):
            order += [len(periods) + axis, *([spatial.index(axis)] if axis in spatial else [])]
        for axis, period in zip(spatial, periods, strict=True):
            shape[axis] *= period
        return slice_(reshape(transpose(whole, order), tuple(shape)), (0,) * len(shape), out.shape)

    def _of_phase(
        self, x: Traced, w: Traced, cuts: Sequence[tuple[WindowAxis, int, int]]
    ) -> Traced:
        """The convolution with every so manieth element of the kernel, from a first one on."""
        rhs = self.dimension_numbers.rhs_spec
        first, steps, end = [0] * len(rhs), [1] * len(rhs), list(type_of(w).shape)
        for axis, (cut, start, step) in zip(rhs[2:], cuts, strict=True):
            first[axis], steps[axis] = start, step
            end[axis] = start + (cut.size - 1) * step + 1
        op = replace(
            self,
            padding=tuple((cut.low, cut.high) for cut, _, _ in cuts),
            lhs_dilation=tuple(cut.base_dilation for cut, _, _ in cuts),
            rhs_dilation=tuple(cut.dilation for cut, _, _ in cuts),
        )
        return bind1(op, x, slice_(w, first, end, steps))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x, w), (dx, dw) = primals, tangents
        parts = [] if dx is None else [bind1(self, dx, w)]
        parts += [] if dw is None else [bind1(self, x, dw)]
        total = add(*parts) if len(parts) == 2 else parts[0] if parts else None
        return [bind1(self, x, w)], [total]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, w) = cotangents, inputs
        if ct is None:
            return [None, None]
        if isinstance(x, Undefined):
            return [self._lhs_cotangent(ct, w, x.type), None]
        assert isinstance(w, Undefined)
        return [None, self._rhs_cotangent(ct, x, w.type)]

    def _lhs_cotangent(self, ct: Traced, w: Traced, x: ArrayType) -> Traced:
        """The dilated cotangent convolved with the reversed kernel, in- and outputs swapped."""
        from jitml.ops.movement import reverse

        w_shape, groups = type_of(w).shape, self.feature_group_count
        if 0 in (*x.shape, *w_shape, *type_of(ct).shape):
            return full_of(x, 0)
        lhs, rhs, out = self.dimension_numbers
        w = regrouped(w, rhs[0], rhs[1], groups)
        ct, w, preferred = product_operands(ct, reverse(w, rhs[2:]), x.dtype)
        op = ConvGeneralDilated(
            self.lhs_dilation,
            tuple(axis.adjoint_padding() for axis in self._axes(x.shape, w_shape)),
            self.window_strides,
            self.rhs_dilation,
            ConvDimensionNumbers(out, (rhs[1], rhs[0], *rhs[2:]), lhs),
            groups,
            self.precision,
            preferred,
        )
        return bind1(op, ct, w)

    def _rhs_cotangent(self, ct: Traced, x: Traced, w: ArrayType) -> Traced:
        """x convolved with the dilated cotangent, the batch taking the part of the features."""
        x_shape = type_of(x).shape
        if 0 in (*x_shape, *w.shape, *type_of(ct).shape):
            return full_of(w, 0)
        lhs, rhs, out = self.dimension_numbers
        axes = self._axes(x_shape, w.shape)
        is_apart = w.shape[rhs[1]] == 1 and w.shape[rhs[0]] == self.feature_group_count > 1
        if is_apart and is_small([axis.size for axis in axes]):
            x, ct, _ = product_operands(x, ct, w.dtype)
            x = pad(x, 0, self._config(len(lhs)))
            return sums_of_slices(x, ct, axes, self._layout(), w)
        x = regrouped(x, lhs[1], lhs[0], self.feature_group_count)
        x, ct, preferred = product_operands(x, ct, w.dtype)
        padding = []
        for axis in axes:
            length = dilated(axis.length, axis.base_dilation)
            reach = dilated(axis.size, axis.dilation) - 1 + dilated(axis.positions, axis.stride)
            padding.append((axis.low, reach - length - axis.low))
        op = ConvGeneralDilated(
            self.rhs_dilation,
            tuple(padding),
            self.lhs_dilation,
            self.window_strides,
            ConvDimensionNumbers(
                (lhs[1], lhs[0], *lhs[2:]),
                (out[1], out[0], *out[2:]),
                (rhs[1], rhs[0], *rhs[2:]),
            ),
            self.feature_group_count,
            self.precision,
            preferred,
        )
        return bind1(op, x, ct)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        """A batch of x joins its batch axis, one of w its outputs; batches of both are groups."""
        (x, w), (i, j) = inputs, axes
        if size == 0:
            types = [_without_axis(type_of(v), axis) for v, axis in zip(inputs, axes, strict=True)]
            (out,) = self.infer(*types)
            return [full_of(out.with_shape((0, *out.shape)), 0)], [0]
        lhs, rhs, out_spec = self.dimension_numbers
        if j is None:
            assert i is not None
            out = bind1(self, merged_into(x, i, lhs[0]), w)
            return [split(out, out_spec[0], size)], [out_spec[0]]
        if i is None:
            return self._batch_kernels(size, x, w, j)
        x, w = merged_into(x, i, lhs[1]), merged_into(w, j, rhs[0])
        out = bind1(self._with_group_count(self.feature_group_count * size), x, w)
        return [split(out, out_spec[1], size)], [out_spec[1]]

    def _batch_kernels(
        self, size: int, x: Traced, w: Traced, j: int
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:

        _, rhs, out_spec = self.dimension_numbers
        outputs, groups = out_spec[1], self.feature_group_count
        if groups == 1:
            out = bind1(self, x, merged_into(w, j, rhs[0]))
            return [split(out, outputs, size)], [outputs]
        # The outputs of each group stay together: (groups, batch, outputs per group).
        w = split(move_axis(w, j, 0), rhs[0] + 1, groups)
        w = merged_into(w, 0, rhs[0] + 1)
        out = split(bind1(self, x, merged_into(w, rhs[0], rhs[0])), outputs, groups)
        out = move_axis(split(out, outputs + 1, size), outputs + 1, 0)
        return [merged_into(out, outputs + 1, outputs + 1)], [0]

    def _with_group_count(self, count: int) -> ConvGeneralDilated:
        return ConvGeneralDilated(**{**self.parameters(), "feature_group_count": count})


def _check_ranks(x: ArrayType, w: ArrayType, numbers: ConvDimensionNumbers) -> None:
    name = ConvGeneralDilated.name
    if x.ndim != w.ndim or x.ndim < 2:
        raise ShapeError(
            f"{name}: an array {x} and a kernel {w} do not have the same number of spatial axes",
            hint="the array is batch, feature, space…, the kernel output, input, space…",
        )
    for spec in numbers:
        if sorted(spec) != list(range(x.ndim)):
            raise ArgumentError(f"{name}: {tuple(spec)} is no order of {x.ndim} axes")


def _without_axis(type_: ArrayType, axis: int | None) -> ArrayType:
    shape = tuple(n for a, n in enumerate(type_.shape) if a != axis)
    return type_.with_shape(shape)


def regrouped(x: Traced, source: int, target: int, groups: int) -> Traced:
    """The groups in axis `source` moved into axis `target` as its slow part."""
    return x if groups == 1 else merged_into(split(x, source, groups), source, target)


def conv_dimension_numbers(rank: int, dimension_numbers: Any) -> ConvDimensionNumbers:
    """From None (batch, feature, space…), strings such as ("NHWC", "HWIO", "NHWC"), or axes."""
    if dimension_numbers is None:
        order = tuple(range(rank))
        return ConvDimensionNumbers(order, order, order)
    specs = tuple(dimension_numbers)
    if len(specs) != 3:
        raise ArgumentError(f"dimension_numbers has {len(specs)} entries, not three")
    if not all(isinstance(spec, str) for spec in specs):
        return ConvDimensionNumbers(*(tuple(map(int, spec)) for spec in specs))
    lhs, rhs, out = specs
    for spec, first in ((lhs, "NC"), (rhs, "OI"), (out, "NC")):
        fits = len(spec) == rank == len(set(spec)) and all(letter in spec for letter in first)
        if not fits or {*spec} - {*first} != {*rhs} - {*"OI"}:
            raise ArgumentError(
                f"dimension_numbers {specs} do not fit arrays of {rank} dimensions",
                hint='each names every axis once, such as ("NHWC", "HWIO", "NHWC")',
            )
    spatial = [letter for letter in rhs if letter not in "OI"]
    return ConvDimensionNumbers(
        tuple(map(lhs.index, ["N", "C", *spatial])),
        tuple(map(rhs.index, ["O", "I", *spatial])),
        tuple(map(out.index, ["N", "C", *spatial])),
    )


def conv_general_dilated(
    lhs: Traced,
    rhs: Traced,
    window_strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DType | None = None,
) -> Traced:
    """`lhs` convolved with the kernel `rhs`; parameters and meaning are JAX's."""
    x, w = type_of(lhs), type_of(rhs)
    numbers = conv_dimension_numbers(x.ndim, dimension_numbers)
    _check_ranks(x, w, numbers)
    strides = tuple(map(int, window_strides))
    x_steps, w_steps = (
        (1,) * (x.ndim - 2) if steps is None else tuple(map(int, steps))
        for steps in (lhs_dilation, rhs_dilation)
    )
    pairs = _padding_pairs(padding, x, w, numbers, (strides, x_steps, w_steps))
    groups = int(feature_group_count)
    if batch_group_count != 1:
        lhs, groups = _batch_groups(lhs, w, numbers, groups, int(batch_group_count))
    lhs, rhs, preferred, after = stated_operands(lhs, rhs, preferred_element_type)
    op = ConvGeneralDilated(
        strides, pairs, x_steps, w_steps, numbers, groups, check_precision(precision), preferred
    )
    return convert_to(bind1(op, lhs, rhs), after)


def _padding_pairs(
    padding: str | Sequence[Sequence[int]],
    x: ArrayType,
    w: ArrayType,
    numbers: ConvDimensionNumbers,
    steps: tuple[Axes, Axes, Axes],
) -> Pairs:
    """Pairs (low, high) from the padding that a user gave; `steps`: strides and both dilations."""
    strides, x_steps, w_steps = steps
    name, spatial = ConvGeneralDilated.name, numbers.lhs_spec[2:]
    check_window(
        name, len(spatial), window_strides=strides, lhs_dilation=x_steps, rhs_dilation=w_steps
    )
    if isinstance(padding, str) and any(step != 1 for step in x_steps):
        raise ArgumentError(
            f"{name}: padding {padding!r} with lhs_dilation={x_steps}",
            hint="give pairs (low, high): a word has no one meaning for a dilated array",
        )
    kernel = zip(numbers.rhs_spec[2:], w_steps, strict=True)
    spans = [dilated(w.shape[axis], step) for axis, step in kernel]
    return padding_pairs(padding, [x.shape[axis] for axis in spatial], spans, strides)


def _batch_groups(
    x: Traced, w: ArrayType, numbers: ConvDimensionNumbers, feature_groups: int, groups: int
) -> tuple[Traced, int]:
    """`x` with the groups of its batch moved into its features, which makes them feature groups."""
    batch = type_of(x).shape[numbers.lhs_spec[0]]
    outputs = w.shape[numbers.rhs_spec[0]]
    if feature_groups != 1 or groups < 1 or batch % groups or outputs % groups:
        raise ArgumentError(
            f"conv_general_dilated: batch_group_count={groups} with feature_group_count="
            f"{feature_groups}, a batch of {batch} and {outputs} outputs",
            hint="it must divide batch and outputs, and one of the two counts must be 1",
        )
    return regrouped(x, numbers.lhs_spec[0], numbers.lhs_spec[1], groups), groups
