"""`conv_general_dilated`: convolutions of any rank, strided, padded, dilated and grouped.

In: an array and a kernel, and which of their axes are batch, features and space. Out: an array of
windows' products with the kernel. The op has no machine kernel of its own: `expand` states it as
pad, window and dot_general. Both transposes are convolutions. Batch groups are feature groups of a
rearranged array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType, kind
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.op import Op, Undefined
from jitml.ir.text import PARAMETER_CLASSES
from jitml.ir.types import ArrayType
from jitml.ops.contraction import (
    Axes,
    DotGeneral,
    check_precision,
    convert_to,
    product_dtype,
    product_operands,
    stated_operands,
)
from jitml.ops.elementwise import add, convert, mul
from jitml.ops.kinds import Traced, full_of
from jitml.ops.movement import (
    broadcast_in_dim,
    move_axis,
    pad,
    reshape,
    slice_,
    transpose,
    window,
)
from jitml.ops.reduce_window import (
    Pairs,
    WindowAxis,
    check_window,
    dilated,
    is_small,
    padded,
    padding_pairs,
    window_piece,
    window_slices,
)
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


class ConvDimensionNumbers(NamedTuple):
    """Axes of the three arrays: (batch, feature, space…), of the kernel (out, in, space…)."""

    lhs_spec: Axes
    rhs_spec: Axes
    out_spec: Axes


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
        """A product of the windows with the kernel; sums run in the order of the array's axes."""
        x, w = inputs
        (out,) = self.infer(type_of(x), type_of(w))
        if 0 in (*out.shape, *type_of(w).shape):
            return [full_of(out, 0)]
        axes, groups = self._axes(type_of(x).shape, type_of(w).shape), self.feature_group_count
        lhs, rhs, _ = self.dimension_numbers
        x = pad(x, 0, self._config(len(lhs)))
        depth, features = (type_of(w).shape[axis] for axis in (rhs[1], rhs[0]))
        sizes = [axis.size for axis in axes]
        if depth == 1 and features == groups > 1 and is_small(sizes):
            return [self._of_slices(x, w, axes, out)]
        x = window(x, lhs[2:], sizes, self.window_strides, self.rhs_dilation)
        return [reshape(self._product(x, w), out.shape)]

    def _product(self, x: Traced, w: Traced) -> Traced:
        """Windows times kernel, laid out as the result is, features split into groups.

        Axes go by names: batch n, groups g, features f of the result and c of the array, places oᵢ
        of windows and offsets kᵢ in them.
        """
        (lhs, rhs, out), groups = self.dimension_numbers, self.feature_group_count
        offsets, places = ([f"{name}{i}" for i in range(len(lhs) - 2)] for name in "ko")
        summed = _named(lhs, ["n", "c", *offsets])
        summed.remove("n")
        x_names = [*_named(lhs, ["n", "c", *places]), *offsets]
        w_names = _named(rhs, ["f", "c", *offsets])
        out_names = _named(out, ["n", "f", *places])
        at = out_names.index("f")
        before, after = out_names[:at], out_names[at + 1 :]
        if groups > 1:
            x, x_names = _with_groups(x, x_names, "c", groups)
            w, w_names = _with_groups(w, w_names, "f", groups)
            out_names[at:at] = ["g"]
        g = ["g"] * (groups > 1)
        if not after:
            x = _in_order(x, x_names, [*g, *before, *summed])
            w = _in_order(w, w_names, [*g, "f", *summed])
            product = self._contract(x, w, len(g), len(summed))
            return transpose(product, [[*g, *before, "f"].index(name) for name in out_names])
        x = _in_order(x, x_names, [*before, *g, *after, *summed])
        w = _in_order(w, w_names, [*g, "f", *summed])
        outer = type_of(x).shape[: len(before)]
        wide = (*outer, *type_of(w).shape)
        w = broadcast_in_dim(w, wide, tuple(range(len(before), len(wide))))
        return self._contract(w, x, len(before) + len(g), len(summed))

    def _contract(self, x: Traced, y: Traced, batch: int, summed: int) -> Traced:
        """A product over the last axes of both, whose first ones are a batch."""
        contract = tuple(tuple(range(type_of(v).ndim - summed, type_of(v).ndim)) for v in (x, y))
        first = tuple(range(batch))
        numbers = ((contract[0], contract[1]), (first, first))
        return bind1(DotGeneral(numbers, self.precision, self.preferred_element_type), x, y)

    def _of_slices(
        self, x: Traced, w: Traced, axes: Sequence[WindowAxis], out: ArrayType
    ) -> Traced:
        """Where each feature has a window of its own: the sum of slices times numbers."""
        lhs, rhs, out_spec = self.dimension_numbers
        wide = DotGeneral((((), ()), ((), ())), None, self.preferred_element_type)
        dtype = wide.accumulator(type_of(x).dtype)
        w = transpose(convert(w, dtype), (rhs[0], *rhs[2:], rhs[1]))
        order = [lhs[out_spec.index(axis)] for axis in range(len(lhs))]
        total = None
        for offset, piece in window_slices(convert(x, dtype), axes, lhs[2:]):
            first = (0, *offset, 0)
            last = (out.shape[out_spec[1]], *[k + 1 for k in offset], 1)
            factor = broadcast_in_dim(
                reshape(slice_(w, first, last), last[:1]), out.shape, out_spec[1:2]
            )
            term = mul(transpose(piece, order), factor)
            total = term if total is None else add(total, term)
        assert total is not None
        return convert(total, out.dtype, out.weak)

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
        x = regrouped(x, lhs[1], lhs[0], self.feature_group_count)
        x, ct, preferred = product_operands(x, ct, w.dtype)
        padding = []
        for axis in self._axes(x_shape, w.shape):
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


def _named(spec: Axes, names: Sequence[str]) -> list[str]:
    """The names of an array's axes in order, where `spec` says at which axis each name is."""
    by_axis = dict(zip(spec, names, strict=True))
    return [by_axis[axis] for axis in range(len(spec))]


def _in_order(x: Traced, names: Sequence[str], wanted: Sequence[str]) -> Traced:
    """`x` with its axes, which have `names`, in the order of those `wanted`."""
    return transpose(x, [names.index(name) for name in wanted])


def _with_groups(
    x: Traced, names: list[str], split_name: str, groups: int
) -> tuple[Traced, list[str]]:
    axis = names.index(split_name)
    return split(x, axis, groups), [*names[:axis], "g", *names[axis:]]


def _without_axis(type_: ArrayType, axis: int | None) -> ArrayType:
    shape = tuple(n for a, n in enumerate(type_.shape) if a != axis)
    return type_.with_shape(shape)


def split(x: Traced, axis: int, outer: int) -> Traced:
    """`axis` of length n as two axes of lengths `outer` and n / outer."""
    shape = type_of(x).shape
    return reshape(x, (*shape[:axis], outer, shape[axis] // outer, *shape[axis + 1 :]))


def merged_into(x: Traced, axis: int, target: int) -> Traced:
    """`axis` merged into another as its slow part; `target` is the other's place without `axis`."""
    x = move_axis(x, axis, target)
    shape = type_of(x).shape
    size = shape[target] * shape[target + 1]
    return reshape(x, (*shape[:target], size, *shape[target + 2 :]))


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
