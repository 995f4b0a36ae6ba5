"""Products of windows with a kernel, laid out so that neither needs to be moved in memory.

In: an array with the offsets in its windows as last axes, a kernel, and which axes of these and of
the result are batch, features and space. Out: the result, by `dot_general` or, where each feature
is convolved apart, by slices. Convolutions are stated in these; derivatives are not known here.

Axes go by names: batch n, groups g, features f of the result and c of the array, places oᵢ of
windows and offsets kᵢ in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitml.ir.dtypes import DType
from jitml.ir.types import ArrayType
from jitml.ops.contraction import DotGeneral
from jitml.ops.elementwise import add, convert, mul
from jitml.ops.kinds import Traced
from jitml.ops.movement import (
    broadcast_in_dim,
    concatenate,
    move_axis,
    reshape,
    slice_,
    transpose,
)
from jitml.ops.reduce_window import WindowAxis, window_slices
from jitml.ops.reduction import reduce_sum
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen

Axes = tuple[int, ...]
_FEW_FEATURES = 48


class ConvDimensionNumbers(NamedTuple):
    """Axes of the three arrays: (batch, feature, space…), of the kernel (out, in, space…)."""

    lhs_spec: Axes
    rhs_spec: Axes
    out_spec: Axes


@frozen
class WindowProduct(DotGeneral):
    """A product with windows. It stays one of matrices where these have one row or column: as their
    elements are read many times, multiplying and adding up all of them apart would be slower.
    """

    name = "window_product"


class Layout(NamedTuple):
    """How a product is to be made."""

    numbers: ConvDimensionNumbers
    groups: int
    precision: str | None
    preferred: DType | None


def product_of_windows(x: Traced, w: Traced, layout: Layout) -> Traced:
    """Windows times kernel; sums run in the order of the array's axes. The features of the result
    are split into groups.
    """
    (lhs, rhs, out), groups = layout.numbers, layout.groups
    offsets, places = ([f"{name}{i}" for i in range(len(lhs) - 2)] for name in "ko")
    summed = [name for name in _named(lhs, ["n", "c", *offsets]) if name != "n"]
    x_names, last = [*_named(lhs, ["n", "c", *places]), *offsets], len(lhs) - 1
    w_names = _named(rhs, ["f", "c", *offsets])
    out_names = _named(out, ["n", "f", *places])
    at = out_names.index("f")
    before, after = out_names[:at], out_names[at + 1 :]
    features = type_of(w).shape[rhs[0]] // groups
    g = ["g"] * (groups > 1)
    if g:
        x, x_names = _with_groups(x, x_names, "c", groups)
        w, w_names = _with_groups(w, w_names, "f", groups)
        out_names[at:at] = g
    # Of one row the place among the other axes does not matter. Windows which lie side by side in
    # memory, rather than what is summed in them, are best read as columns where rows are few.
    is_wide = not after and x_names[last] == "n" and type_of(x).shape[last] > 1
    if features == 1 or (is_wide and features <= _FEW_FEATURES):
        before, after = [], [*before, *after]
    if not after:
        x = _in_order(x, x_names, [*g, *before, *summed])
        w = _in_order(w, w_names, [*g, "f", *summed])
        product, names = _contract(x, w, len(g), len(summed), layout), [*g, *before, "f"]
    else:
        x = _in_order(x, x_names, [*before, *g, *after, *summed])
        w = _in_order(w, w_names, [*g, "f", *summed])
        wide = (*type_of(x).shape[: len(before)], *type_of(w).shape)
        w = broadcast_in_dim(w, wide, tuple(range(len(before), len(wide))))
        product = _contract(w, x, len(before) + len(g), len(summed), layout)
        names = [*before, *g, "f", *after]
    return _in_order(product, names, out_names)


def _contract(x: Traced, y: Traced, batch: int, summed: int, layout: Layout) -> Traced:
    """A product over the last axes of both, whose first ones are a batch."""
    x_axes, y_axes = (tuple(range(type_of(v).ndim - summed, type_of(v).ndim)) for v in (x, y))
    first = tuple(range(batch))
    numbers = ((x_axes, y_axes), (first, first))
    return bind1(WindowProduct(numbers, layout.precision, layout.preferred), x, y)


# ---- features apart ------------------------------------------------------------------------------


def sum_of_slices(
    x: Traced, w: Traced, axes: Sequence[WindowAxis], layout: Layout, out: ArrayType
) -> Traced:
    """Where each feature has a small window of its own: the sum of slices of the padded `x` times
    numbers.
    """
    lhs, rhs, out_spec = layout.numbers
    x, w = _accumulated(x, w, layout)
    w = transpose(w, (rhs[0], *rhs[2:], rhs[1]))
    order = [lhs[out_spec.index(axis)] for axis in range(len(lhs))]
    total = None
    for offset, piece in window_slices(x, axes, lhs[2:]):
        first = (0, *offset, 0)
        last = (out.shape[out_spec[1]], *[k + 1 for k in offset], 1)
        factor = broadcast_in_dim(
            reshape(slice_(w, first, last), last[:1]), out.shape, out_spec[1:2]
        )
        term = mul(transpose(piece, order), factor)
        total = term if total is None else add(total, term)
    assert total is not None
    return convert(total, out.dtype, out.weak)


def sums_of_slices(
    x: Traced, ct: Traced, axes: Sequence[WindowAxis], layout: Layout, w: ArrayType
) -> Traced:
    """The transpose of `sum_of_slices`, by the kernel `w`: for each offset in the windows, the sum
    of a slice of the padded `x` times the cotangent.
    """
    lhs, rhs, out = layout.numbers
    x, ct = _accumulated(x, ct, layout)
    order = [lhs[out.index(axis)] for axis in range(len(lhs))]
    # The innermost axis of space first, so that what is left is small.
    inner = max(out[2:])
    others = [axis - (axis > inner) for axis in range(len(out)) if axis not in (out[1], inner)]
    sums = []
    for _, piece in window_slices(x, axes, lhs[2:]):
        rows = reduce_sum(mul(transpose(piece, order), ct), (inner,))
        total = reduce_sum(rows, tuple(others))
        sums.append(reshape(total, (*type_of(total).shape, 1)))
    result = reshape(concatenate(sums, 1), tuple(w.shape[axis] for axis in (*rhs[:2], *rhs[2:])))
    result = transpose(result, [rhs.index(axis) for axis in range(len(rhs))])
    return convert(result, w.dtype, w.weak)


def _accumulated(x: Traced, w: Traced, layout: Layout) -> tuple[Traced, Traced]:
    """Both in the dtype in which products are summed."""
    wide = DotGeneral((((), ()), ((), ())), None, layout.preferred)
    dtype = wide.accumulator(type_of(x).dtype)
    return convert(x, dtype), convert(w, dtype)


# ---- names ---------------------------------------------------------------------------------------


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
