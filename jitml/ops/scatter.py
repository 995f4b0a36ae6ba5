"""Scatter: put updates into slices of an array, at positions read from another array.

Updates are applied in row-major order of the updates, so that duplicates have one outcome: the last
one set wins, and sums round in that order. Where `order` is "any", a GPU may add them as they come,
and sums differ in their last bits from run to run. Modes are as in `indexing`; "drop" leaves out an
update whose slice does not lie in the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import INT32, INT64, is_bool, is_complex
from jitml.ir.errors import ArgumentError, DTypeError, OutOfBoundsError, ShapeError, TransformError
from jitml.ir.op import Op, Undefined
from jitml.ir.text import PARAMETER_CLASSES
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, div, eq, mul, ne, or_, select
from jitml.ops.indexing import (
    GatherDimensionNumbers,
    Slices,
    check_index_array,
    check_mode,
    check_operand_axes,
    check_order,
    check_sorted,
    gather,
    plus,
    up,
    window_axes,
)
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.layout import batch_to_front, check_axes, integers, iota, move_axis, reshape
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


class ScatterDimensionNumbers(NamedTuple):
    """Which axes are which in a scatter, as in JAX. The last axis of the indices holds the start
    positions.

    `update_window_dims`: axes of the updates that run inside a slice. `inserted_window_dims`: axes
    of the operand that the updates lack. `scatter_dims_to_operand_dims`: axis of the operand for
    each start position. The batching axes of operand and indices run together.
    """

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


PARAMETER_CLASSES["ScatterDimensionNumbers"] = ScatterDimensionNumbers
SCATTER_MODES = ("raise", "clip", "drop", "promise_in_bounds", "inside")
KINDS = ("set", "add", "mul", "min", "max")
_UFUNCS: dict[str, Any] = {
    "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
}  # fmt: skip


@frozen
class Scatter(Op):
    """The first input with the updates (third input) put in or combined, at the start positions
    (second input).

    `unique_indices` promises that no element is updated twice: derivatives make use of it, and
    GPUs, where updates then need no order.
    """

    name = "scatter"
    kind: str
    dimension_numbers: ScatterDimensionNumbers
    mode: str = "raise"
    unique_indices: bool = False
    order: str = "given"

    @property
    def _removed(self) -> tuple[int, ...]:
        n = self.dimension_numbers
        return n.inserted_window_dims + n.operand_batching_dims

    def _sizes(self, ndim: int, updates: Sequence[int]) -> tuple[int, ...]:
        """The sizes of a slice of the operand."""
        inside = iter(self.dimension_numbers.update_window_dims)
        return tuple(1 if a in self._removed else updates[next(inside)] for a in range(ndim))

    def _slices(self, ndim: int, updates: Sequence[int]) -> Slices:
        n = self.dimension_numbers
        return Slices(
            n.scatter_dims_to_operand_dims, n.operand_batching_dims,
            n.scatter_indices_batching_dims, self._sizes(ndim, updates),
            "drop" if self.mode == "promise_in_bounds" else self.mode,
        )  # fmt: skip

    def start_limits(self, x: ArrayType, indices: ArrayType, updates: ArrayType) -> list[int]:
        """For each start position the last at which a slice lies in the array."""
        return self._slices(x.ndim, updates.shape).limits(x.shape)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, indices, updates = types
        self._check_parameters(types)
        numbers = self.dimension_numbers
        check_index_array(self.name, indices, numbers.scatter_dims_to_operand_dims)
        check_sorted(self.name, "update_window_dims", numbers.update_window_dims, updates.ndim)
        check_axes(f"{self.name}: axes that updates lack", self._removed, x.ndim)
        windows = len(numbers.update_window_dims)
        if windows + len(self._removed) != x.ndim or updates.ndim != indices.ndim - 1 + windows:
            raise ShapeError(
                f"scatter: updates {updates} with windows along {numbers.update_window_dims} "
                f"do not have the axes of indices {indices} and of slices of {x}"
            )
        slices = self._slices(x.ndim, updates.shape)
        check_operand_axes(self.name, x, indices, numbers.inserted_window_dims, slices)
        self._check_sizes(x, indices, updates)
        return (ArrayType(x.dtype, x.shape, x.weak and updates.weak),)

    def _check_parameters(self, types: Sequence[ArrayType]) -> None:
        x, _, updates = types
        check_mode(self.name, self.mode, SCATTER_MODES)
        if self.kind not in KINDS:
            raise ArgumentError(
                f"scatter: there is no kind {self.kind!r}", hint=f"kinds are {KINDS}"
            )
        check_order(self.name, self.order)
        if x.dtype != updates.dtype:
            raise DTypeError(
                f"scatter: the array is {x}, the updates are {updates}",
                hint="convert the updates with .astype",
            )
        refused = is_bool if self.kind in ("add", "mul") else is_complex
        if self.kind != "set" and refused(x.dtype):
            raise DTypeError(f"scatter: {self.kind} does not take {x.dtype.name}")

    def _check_sizes(self, x: ArrayType, indices: ArrayType, updates: ArrayType) -> None:
        windows = self.dimension_numbers.update_window_dims
        rows = tuple(n for a, n in enumerate(updates.shape) if a not in windows)
        if rows != indices.shape[:-1]:
            raise ShapeError(
                f"scatter: updates {updates} do not have a slice per row of indices {indices}",
                hint=f"axes of the updates outside of {windows} must be {indices.shape[:-1]}",
            )
        sizes = self._sizes(x.ndim, updates.shape)
        if any(sizes[a] > x.shape[a] for a in window_axes(x.ndim, self._removed)):
            raise ShapeError(
                f"scatter: slices of sizes {sizes} do not fit in {x}",
                hint="no update may be larger than the array",
            )

    def update_order(self, ndim: int) -> list[int]:
        """The axes of the updates in the order of the updates: a slice, then the next one."""
        windows = self.dimension_numbers.update_window_dims
        return sorted(range(ndim), key=lambda axis: axis in windows)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, indices, updates = map(np.asarray, arrays)
        windows = self.dimension_numbers.update_window_dims
        result = x.copy()
        if not updates.size:
            return (result,)
        starts, inside = self._slices(x.ndim, updates.shape).value_starts(x.shape, indices)
        if self.mode in ("raise", "inside") and not inside.all():
            raise OutOfBoundsError(f"scatter: an index is out of bounds for {x.shape}")
        target = [np.expand_dims(s, windows) for s in starts]
        for axis, along in zip(window_axes(x.ndim, self._removed), windows, strict=True):
            steps = [-1 if a == along else 1 for a in range(updates.ndim)]
            target[axis] = target[axis] + np.arange(updates.shape[along]).reshape(steps)
        order = self.update_order(updates.ndim)
        kept, *target = (
            np.broadcast_to(t, updates.shape).transpose(order)
            for t in (np.expand_dims(inside, windows), *target)
        )
        self._apply(result, tuple(t[kept] for t in target), updates.transpose(order)[kept])
        return (result,)

    def _apply(self, result: Any, places: tuple[Any, ...], updates: Any) -> None:
        for k, update in enumerate(updates):
            place = tuple(p[k] for p in places)
            combined = update if self.kind == "set" else _UFUNCS[self.kind](result[place], update)
            result[place] = combined

    def lower_target(
        self, read: Any, update_index: Sequence[Any]
    ) -> tuple[list[Any], Value | None]:
        """Where in the operand an update goes, and whether it does (None: always)."""
        x, updates = read.type(0), read.type(2)
        windows = self.dimension_numbers.update_window_dims
        batch = [i for a, i in enumerate(update_index) if a not in windows]
        slices = self._slices(x.ndim, updates.shape)
        target, inside = slices.lower_starts(read, x.shape, batch)
        for axis, along in zip(window_axes(x.ndim, self._removed), windows, strict=True):
            target[axis] = plus(target[axis], update_index[along])
        return target, inside

    def lower_combine(self, old: Any, new: Any) -> Any:
        """The element after an update."""
        if self.kind == "set":
            return new
        if self.kind in ("add", "mul"):
            return old + new if self.kind == "add" else old * new
        if old.type == "i1":
            return old & new if self.kind == "min" else old | new
        return (scalar.minimum if self.kind == "min" else scalar.maximum)(old, new)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        x, indices, updates = primals
        out = bind1(self, x, indices, updates)
        dx, _, du = tangents
        if dx is None and du is None:
            return [out], [None]
        if self.kind == "mul":
            return [out], [self._mul_tangent(primals, dx, du)]
        dx = zeros_like(x) if dx is None else dx
        du = zeros_like(updates) if du is None else du
        if self.kind in ("set", "add"):
            return [out], [bind1(self, dx, indices, du)]
        return [out], [self._extremum_tangent(primals, out, dx, du)]

    def _mul_tangent(
        self, primals: Sequence[Traced], dx: Traced | None, du: Traced | None
    ) -> Traced:
        x, indices, updates = primals
        from_x = None if dx is None else bind1(self, dx, indices, updates)
        if du is None:
            return from_x
        if not self.unique_indices:
            raise TransformError(
                "scatter: a product of updates has a derivative only where indices are unique",
                hint="pass unique_indices=True if no element is multiplied twice",
            )
        from_updates = mul(x, self._like("add", zeros_like(x), indices, du))
        return from_updates if from_x is None else add(from_x, from_updates)

    def _extremum_tangent(
        self, primals: Sequence[Traced], out: Traced, dx: Traced, du: Traced
    ) -> Traced:
        """The mean of the tangents of the old element and updates that are the extremum."""
        x, indices, updates = primals
        kept = or_(eq(x, out), ne(x, x))
        took = or_(eq(updates, self._gather(out, indices, updates)), ne(updates, updates))
        one, zero = full_of(type_of(x), 1), zeros_like(x)
        ones, zeros = full_of(type_of(updates), 1), zeros_like(updates)
        count = self._like("add", select(kept, one, zero), indices, select(took, ones, zeros))
        total = self._like("add", select(kept, dx, zero), indices, select(took, du, zeros))
        return div(total, count)

    def _like(self, kind: str, x: Traced, indices: Traced, updates: Traced) -> Traced:
        """A scatter of another kind to the same places."""
        op = Scatter(kind, self.dimension_numbers, self.mode, self.unique_indices, self.order)
        return bind1(op, x, indices, updates)

    def _gather(self, x: Traced, indices: Traced, updates: Traced, fill: Any = 0) -> Traced:
        """What `x` has at the places of the updates; `fill` for updates that are dropped."""
        sizes = self._sizes(type_of(x).ndim, type_of(updates).shape)
        mode = "fill" if self.mode == "drop" else self.mode
        numbers = GatherDimensionNumbers(*self.dimension_numbers)
        return gather(x, indices, numbers, sizes, mode, fill, self.order)

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, indices, updates) = cotangents, inputs
        linear_updates = isinstance(updates, Undefined)
        if self.kind in ("min", "max") or (self.kind == "mul" and linear_updates):
            raise self._lacks("transpose")
        if ct is None:
            return [None, None, None]
        ct_x = self._transpose_operand(ct, indices, updates) if isinstance(x, Undefined) else None
        ct_updates = self._transpose_updates(ct, indices, updates) if linear_updates else None
        return [ct_x, None, ct_updates]

    def _transpose_operand(self, ct: Traced, indices: Traced, updates: Traced) -> Traced:
        if self.kind == "add":
            return ct
        factor = updates if self.kind == "mul" else zeros_like(updates)
        return bind1(self, ct, indices, factor)

    def _transpose_updates(self, ct: Traced, indices: Traced, updates: Traced) -> Traced:
        ct_updates = self._gather(ct, indices, updates)
        if self.kind == "add" or self.unique_indices:
            return ct_updates
        winner = self._is_winner(type_of(ct), indices, type_of(updates))
        return select(winner, ct_updates, zeros_like(updates))

    def _is_winner(self, x: ArrayType, indices: Traced, updates: ArrayType) -> Traced:
        """Whether an update is the last one set at its place: it finds its own number there."""
        dtype = INT32 if updates.size < 2**31 else INT64
        numbers = reshape(iota(dtype, (updates.size,), 0), updates.shape)
        nobody = full_of(ArrayType(dtype, x.shape), -1)
        last = self._like("set", nobody, indices, numbers)
        return eq(self._gather(last, indices, numbers, -1), numbers)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x, indices, updates), (axis, indices_axis, updates_axis) = inputs, axes
        x = batch_to_front(size, x, axis)
        updates = batch_to_front(size, updates, updates_axis)
        n = self.dimension_numbers
        windows, batching = up(n.update_window_dims), up(n.operand_batching_dims)
        indices_batching = n.scatter_indices_batching_dims
        if indices_axis is None:
            windows = (0, *windows)
        else:
            indices = move_axis(indices, indices_axis, 0)
            batching, indices_batching = (0, *batching), (0, *up(indices_batching))
        numbers = ScatterDimensionNumbers(
            windows, up(n.inserted_window_dims), up(n.scatter_dims_to_operand_dims),
            batching, indices_batching,
        )  # fmt: skip
        op = Scatter(self.kind, numbers, self.mode, self.unique_indices, self.order)
        return [bind1(op, x, indices, updates)], [0]


def scatter(
    x: Traced,
    indices: Traced,
    updates: Traced,
    dimension_numbers: ScatterDimensionNumbers,
    kind: str = "set",
    mode: str = "raise",
    unique_indices: bool = False,
    order: str = "given",
) -> Traced:
    """`x` with `updates` set, added, … (the `kind`) at the start positions in `indices`."""
    numbers = ScatterDimensionNumbers(*map(integers, dimension_numbers))
    return bind1(Scatter(kind, numbers, mode, bool(unique_indices), order), x, indices, updates)
