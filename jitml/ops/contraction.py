"""`dot_general`: sums of products over contracted axes, for each index of the batch axes.

In: two arrays of one dtype and which of their axes are contracted and batched. Out: an array with
the batch axes, then the other axes of the first, then those of the second. 16-bit floats accumulate
in f32 and are rounded once. The planner maps it to matrix products by way of `canonical`; the op
knows no GEMM.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir.dtypes import (
    BOOL,
    FLOAT32,
    INT32,
    DType,
    is_bool,
    is_float,
    is_integer,
    kind,
    promote,
)
from jitml.ir.errors import ArgumentError, AxisError, DTypeError, ShapeError
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, convert, ne
from jitml.ops.kinds import Traced
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen

Axes: TypeAlias = tuple[int, ...]
# ((contracted axes of x, of y), (batch axes of x, of y)), as JAX has it.
DotDimensionNumbers: TypeAlias = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]
_PRECISIONS = {
    "default": None, "fastest": None, "bfloat16": None,
    "high": "high", "tensorfloat32": "high",
    "highest": "highest", "float32": "highest",
}  # fmt: skip


@frozen
class DotGeneral(Op):
    """x · y over the contracted axes, for each index of the batch axes.

    Shapes: x: [batch…, free…, contract…], y: [batch…, contract…, free…], each in any order of axes
    → [batch…, free of x…, free of y…]
    """

    name = "dot_general"
    dimension_numbers: DotDimensionNumbers
    precision: str | None = None
    preferred_element_type: DType | None = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, y = types
        dtype = product_dtype(self.name, x, y, self.preferred_element_type)
        self._check_axes(x, y)
        (batch, x_free, _), (_, _, y_free) = self.canonical(x, y)
        shape = (*(x.shape[a] for a in (*batch, *x_free)), *(y.shape[a] for a in y_free))
        return (ArrayType(dtype, shape, x.weak and y.weak and dtype == x.dtype),)

    def _check_axes(self, x: ArrayType, y: ArrayType) -> None:
        contract, batch = self.dimension_numbers
        for what, (x_axes, y_axes) in (("contract", contract), ("batch", batch)):
            if len(x_axes) != len(y_axes):
                raise ShapeError(
                    f"dot_general: {what}s {len(x_axes)} axes of {x} with {len(y_axes)} of {y}"
                )
            for i, j in zip(x_axes, y_axes, strict=True):
                if not (0 <= i < x.ndim and 0 <= j < y.ndim):
                    raise AxisError(f"dot_general: {x} and {y} do not have axes {i} and {j}")
                if x.shape[i] != y.shape[j]:
                    raise ShapeError(
                        f"dot_general: {what} sizes differ: axis {i} of {x} and axis {j} of {y}"
                        f"  ({x.shape[i]} != {y.shape[j]})",
                    )
        for type_, side in ((x, 0), (y, 1)):
            used = [*self.dimension_numbers[0][side], *self.dimension_numbers[1][side]]
            if len(set(used)) != len(used):
                raise AxisError(f"dot_general: an axis of {type_} is named twice in {tuple(used)}")

    def canonical(
        self, x: ArrayType, y: ArrayType
    ) -> tuple[tuple[Axes, Axes, Axes], tuple[Axes, Axes, Axes]]:
        """The operands as `[B, M, K] · [B, K, N]`: axes of x (batch, free, contract) and of y
        (batch, contract, free), each in order.
        """
        (x_contract, y_contract), (x_batch, y_batch) = self.dimension_numbers
        x_free = tuple(a for a in range(x.ndim) if a not in x_contract and a not in x_batch)
        y_free = tuple(a for a in range(y.ndim) if a not in y_contract and a not in y_batch)
        return (x_batch, x_free, x_contract), (y_batch, y_contract, y_free)

    def accumulator(self, dtype: DType) -> DType:
        """The dtype in which products of operands of `dtype` are summed."""
        wide, _ = promote((dtype, False), (self.preferred_element_type or dtype, False))
        return FLOAT32 if is_float(wide) and wide.itemsize == 2 else wide

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, y = (np.asarray(a) for a in arrays)
        x_type, y_type = ArrayType(x.dtype, x.shape), ArrayType(y.dtype, y.shape)
        (out,) = self.infer(x_type, y_type)
        x_axes, y_axes = self.canonical(x_type, y_type)
        wide = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}.get(
            kind(out.dtype), self.accumulator(x.dtype)
        )
        with np.errstate(all="ignore"):
            product = np.matmul(_in_line(x, x_axes, wide), _in_line(y, y_axes, wide))
            return (product.reshape(out.shape).astype(out.dtype),)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x, y), (dx, dy) = primals, tangents
        parts = [] if dx is None else [bind1(self, dx, y)]
        parts += [] if dy is None else [bind1(self, x, dy)]
        total = add(*parts) if len(parts) == 2 else parts[0] if parts else None
        return [bind1(self, x, y)], [total]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, y) = cotangents, inputs
        if ct is None:
            return [None, None]
        if isinstance(x, Undefined):
            return [self._cotangent(ct, y, x.type, 0), None]
        assert isinstance(y, Undefined)
        return [None, self._cotangent(ct, x, y.type, 1)]

    def _cotangent(self, ct: Traced, known: Traced, wanted: ArrayType, side: int) -> Traced:
        """The cotangent of operand `side`: `ct` times the other one, over the other's free axes."""
        from jitml.ops.movement import transpose

        types = (wanted, type_of(known)) if side == 0 else (type_of(known), wanted)
        (x_batch, x_free, x_contract), (y_batch, y_contract, y_free) = self.canonical(*types)
        batch = tuple(range(len(x_batch)))
        rows = tuple(range(len(batch), len(batch) + len(x_free)))
        columns = tuple(range(len(batch) + len(x_free), type_of(ct).ndim))
        if side == 0:
            own = (x_batch, x_free, x_contract)
            other_batch, other_contract, other_free, summed = y_batch, y_contract, y_free, columns
        else:
            own = (y_batch, y_free, y_contract)
            other_batch, other_contract, other_free, summed = x_batch, x_contract, x_free, rows
        own_batch, own_free, own_contract = own
        # The contracted axes come out in the order in which they lie in the other operand.
        rest = tuple(own_contract[i] for i in np.argsort(other_contract, kind="stable"))
        ct, known, preferred = product_operands(ct, known, wanted.dtype)
        forward = (*own_batch, *own_free, *rest)
        backward = (*own_batch, *rest, *own_free)
        if backward == tuple(range(wanted.ndim)):
            numbers = ((other_free, summed), (other_batch, batch))
            return bind1(DotGeneral(numbers, self.precision, preferred), known, ct)
        numbers = ((summed, other_free), (batch, other_batch))
        result = bind1(DotGeneral(numbers, self.precision, preferred), ct, known)
        return transpose(result, tuple(int(i) for i in np.argsort(forward)))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        """Two batch axes become a batch axis of the product; one alone becomes a free axis."""
        (contract, batch), (i, j) = self.dimension_numbers, axes
        x_axes = [tuple(a + (i is not None and a >= i) for a in c[0]) for c in (contract, batch)]
        y_axes = [tuple(a + (j is not None and a >= j) for a in c[1]) for c in (contract, batch)]
        if i is not None and j is not None:
            x_axes[1], y_axes[1] = (i, *x_axes[1]), (j, *y_axes[1])
        numbers = ((x_axes[0], y_axes[0]), (x_axes[1], y_axes[1]))
        op = DotGeneral(numbers, self.precision, self.preferred_element_type)
        (x_batch, x_free, _), (_, _, y_free) = op.canonical(*map(type_of, inputs))
        order = [("x", a) for a in (*x_batch, *x_free)] + [("y", a) for a in y_free]
        out_axis = order.index(("y", j) if i is None else ("x", i))  # type: ignore[arg-type]
        return [bind1(op, *inputs)], [out_axis]


def _in_line(x: Any, axes: tuple[Axes, Axes, Axes], dtype: DType) -> Any:
    """`x` with three groups of axes merged into three axes."""
    lengths = [math.prod(x.shape[a] for a in group) for group in axes]
    return x.transpose([a for group in axes for a in group]).reshape(lengths).astype(dtype)


def product_dtype(name: str, x: ArrayType, y: ArrayType, preferred: DType | None) -> DType:
    """The dtype of a sum of products of `x` and `y`; raises DTypeError if there is none."""
    if x.dtype != y.dtype:
        raise DTypeError(
            f"{name}: dtypes differ: {x} and {y}", hint="convert one of them with .astype"
        )
    if is_bool(x.dtype):
        raise DTypeError(f"{name} does not take bool", hint="convert to an integer first")
    dtype = preferred or x.dtype
    if _are_far_apart(x.dtype, dtype):
        raise DTypeError(
            f"{name}: operands of {x.dtype.name} cannot give {dtype.name} in one step",
            hint="convert the narrower of the two",
        )
    if kind(dtype) != kind(x.dtype) or (is_integer(dtype) and dtype.itemsize < x.dtype.itemsize):
        raise DTypeError(
            f"{name}: operands of {x.dtype.name} cannot give {dtype.name}",
            hint="preferred_element_type must be of the same kind, and no narrower integer",
        )
    return dtype


def product_operands(x: Traced, y: Traced, result: DType) -> tuple[Traced, Traced, DType | None]:
    """`x` and `y` in one dtype, and the preferred_element_type that gives a `result`."""
    dtypes = {(type_of(v).dtype, False) for v in (x, y)}
    wide = promote(*sorted(dtypes, key=str))[0]
    return convert(x, wide), convert(y, wide), None if wide == result else result


def _are_far_apart(a: DType, b: DType) -> bool:
    """Whether one is a 16-bit float and the other a 64-bit one, for which there is no kernel."""
    return is_float(a) and is_float(b) and {a.itemsize, b.itemsize} == {2, 8}


def stated_operands(
    x: Traced, y: Traced, preferred: DType | None
) -> tuple[Traced, Traced, DType | None, DType | None]:
    """Operands and preferred_element_type as the op takes them, and what to convert the result to.

    Integers that are to give floats, and 16-bit floats that are to give f64, are converted before.
    """
    dtype = type_of(x).dtype
    if preferred is None or preferred == dtype:
        return x, y, None, None
    far = _are_far_apart(dtype, preferred)
    if far and preferred.itemsize < dtype.itemsize:
        return x, y, None, preferred
    if far or (is_integer(dtype) and is_float(preferred)):
        return convert(x, preferred), convert(y, preferred), None, None
    return x, y, preferred, None


def convert_to(x: Traced, dtype: DType | None) -> Traced:
    """`x` converted to `dtype`, if there is one."""
    return x if dtype is None else convert(x, dtype)


def check_precision(precision: Any) -> str | None:
    """None, "high" or "highest": from a name, an enum with names, or a pair (the higher counts).

    Algorithms, which tell in what dtype to add up, are exact to the operands' dtype here.
    """
    if hasattr(precision, "accumulation_type"):
        return None
    if isinstance(precision, (tuple, list)):
        ranks = [None, "high", "highest"]
        return max(map(check_precision, precision), key=ranks.index)
    if precision is None:
        return None
    name = str(getattr(precision, "name", precision)).lower()
    if name not in _PRECISIONS:
        raise ArgumentError(
            f"precision {precision!r} is not known", hint=f"use one of {', '.join(_PRECISIONS)}"
        )
    return _PRECISIONS[name]


def dot_general(
    x: Traced,
    y: Traced,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: DType | None = None,
) -> Traced:
    """x · y over the contracted axes, for each index of the batch axes.

    `dimension_numbers` is `((contract of x, of y), (batch of x, of y))`. Bools give whether any
    product is true.
    """
    numbers = _dimension_numbers(dimension_numbers)
    dtype, preferred = type_of(x).dtype, preferred_element_type
    if is_bool(dtype) and type_of(y).dtype == BOOL and preferred in (None, BOOL):
        count = dot_general(convert(x, INT32), convert(y, INT32), numbers, precision)
        return ne(count, 0)
    x, y, preferred, after = stated_operands(x, y, preferred)
    op = DotGeneral(numbers, check_precision(precision), preferred)
    return convert_to(bind1(op, x, y), after)


def _dimension_numbers(given: Any) -> DotDimensionNumbers:
    """Nested sequences of integers as nested tuples."""
    try:
        (x_contract, y_contract), (x_batch, y_batch) = (map(tuple, pair) for pair in given)
        x_contract, y_contract, x_batch, y_batch = (
            tuple(map(operator.index, axes)) for axes in (x_contract, y_contract, x_batch, y_batch)
        )
    except (TypeError, ValueError):
        raise ArgumentError(
            f"dot_general: dimension_numbers={given!r}",
            hint="give ((contracted axes of x, of y), (batch axes of x, of y))",
        ) from None
    return (x_contract, y_contract), (x_batch, y_batch)
