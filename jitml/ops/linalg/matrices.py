"""What ops of matrices have in common: the last two axes are a matrix, those before them a batch.

In: types and traced values. Out: checks with errors, the batch rule, small matrix algebra for
derivative rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, DType, is_complex, real_dtype
from jitml.ir.errors import DifferentiationError, DTypeError, ShapeError
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.contraction import dot_general
from jitml.ops.elementwise import add, complex_, conj, convert, eq, ge, gt, mul, real, select, sub
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.layout import batch_to_front, broadcast_in_dim, iota, transpose
from jitml.ops.reduction import reduce_sum
from jitml.trace.core import bind, current_source, type_of
from jitml_runtime.record import frozen

# Types of which there are routines.
DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "complex64", "complex128"))


# Rows and columns up to which matrices have kernels of their own, where there are any: LAPACK takes
# longer to be called.
SMALL = 32


@frozen
class MatrixOp(Op):
    """An op on matrices, whatever batch they are in."""

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        moved = [batch_to_front(size, x, axis) for x, axis in zip(inputs, axes, strict=True)]
        outputs = bind(self, *moved)
        return outputs, [0] * len(outputs)


class Underivable(MatrixOp):
    """An op on matrices that has no derivative."""

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        outputs = bind(self, *primals)
        if any(t is not None for t in tangents):
            raise DifferentiationError(
                f"{self.name} has no derivative",
                hint="stop_gradient what it is applied to, or use qr, lu, cholesky, eigh or svd",
                source=current_source(),
            )
        return outputs, [None] * len(outputs)


def each_matrix(function: Callable[..., Any], *arrays: Any) -> tuple[Any, ...]:
    """`function` of matrices (the last two axes of the first array, as many outputs as it gives)
    for each element of their batch.
    """
    batch = arrays[0].shape[:-2]
    places = list(np.ndindex(*batch)) or [()]
    found = [function(*(a[place] for a in arrays)) for place in places]
    rows = zip(*found, strict=True)
    return tuple([np.stack(row).reshape(*batch, *row[0].shape) for row in rows])


def check_matrix(name: str, x: ArrayType, square: bool = False, what: str = "") -> None:
    """Raise unless `x` is one matrix or more, of a dtype that routines take."""
    subject = f"{what} " if what else ""
    if x.dtype not in DTYPES:
        raise DTypeError(
            f"{name}: {subject}{x} has dtype {x.dtype.name}",
            hint="matrices are float32, float64, complex64 or complex128: convert with .astype",
        )
    if x.ndim < 2:
        raise ShapeError(f"{name}: {subject}{x} is no matrix: it has fewer than 2 axes")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name}: {subject}{x} is not square: its last two axes differ "
            f"({x.shape[-2]} != {x.shape[-1]})"
        )


def is_small(*types: ArrayType) -> bool:
    """Whether matrices are small, and there are any."""
    return all(min(t.shape) > 0 and max(t.shape[-2:]) <= SMALL for t in types)


def check_same_batch(name: str, x: ArrayType, y: ArrayType, x_rank: int, y_rank: int) -> None:
    """Raise unless two inputs have one dtype and the same axes in front of their last ones."""
    if x.dtype != y.dtype:
        raise DTypeError(f"{name}: dtypes differ: {x}, {y}", hint="convert one with .astype")
    if x.shape[: x.ndim - x_rank] != y.shape[: y.ndim - y_rank]:
        raise ShapeError(f"{name}: batch axes differ: {x}, {y}")


# ---- small matrix algebra --------------------------------------------------------------------


def flipped(x: Traced) -> Traced:
    """The transposes of matrices."""
    ndim = type_of(x).ndim
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def adjoint(x: Traced) -> Traced:
    """The conjugate transposes of matrices."""
    return conjugate(flipped(x))


def conjugate(x: Traced) -> Traced:
    """The complex conjugate; of reals, `x` itself."""
    return conj(x) if is_complex(type_of(x).dtype) else x


def times(*factors: Traced) -> Traced:
    """The product of matrices, from the left on."""
    product, *rest = factors
    for factor in rest:
        ndim = type_of(product).ndim
        batch = tuple(range(ndim - 2))
        product = dot_general(product, factor, (((ndim - 1,), (ndim - 2,)), (batch, batch)))
    return product


def rows_and_columns(x: Traced) -> tuple[Traced, Traced]:
    """The numbers of row and column of each element."""
    type_ = type_of(x)
    row, column = (iota(INT32, type_.shape, type_.ndim - k) for k in (2, 1))
    return row, column


def lower_part(x: Traced, diagonal: int = 0) -> Traced:
    """The elements on and below a diagonal, 0 elsewhere."""
    rows, columns = rows_and_columns(x)
    return select(ge(add(rows, diagonal), columns), x, zeros_like(x))


def upper_part(x: Traced, diagonal: int = 0) -> Traced:
    """The elements on and above a diagonal, 0 elsewhere."""
    rows, columns = rows_and_columns(x)
    return select(ge(columns, add(rows, diagonal)), x, zeros_like(x))


def on_diagonal(x: Traced) -> Traced:
    """Which elements of matrices lie on the main diagonal."""
    return eq(*rows_and_columns(x))


def identity_like(x: Traced) -> Traced:
    """Matrices of the type of `x` with ones on the diagonal."""
    return convert(on_diagonal(x), type_of(x).dtype)


def diagonal_of(x: Traced) -> Traced:
    """The main diagonals of square matrices."""
    return reduce_sum(select(on_diagonal(x), x, zeros_like(x)), (type_of(x).ndim - 1,))


def as_rows(x: Traced, count: int) -> Traced:
    """Vectors as matrices of `count` equal rows."""
    *batch, size = type_of(x).shape
    axes = (*range(len(batch)), len(batch) + 1)
    return broadcast_in_dim(x, (*batch, count, size), axes)


def as_columns(x: Traced, count: int) -> Traced:
    """Vectors as matrices of `count` equal columns."""
    *batch, size = type_of(x).shape
    return broadcast_in_dim(x, (*batch, size, count), tuple(range(len(batch) + 1)))


def spread(x: Traced, like: ArrayType) -> Traced:
    """One number for each element of a batch as an array of the shape of `like`."""
    return broadcast_in_dim(x, like.shape, tuple(range(type_of(x).ndim)))


def as_complex(x: Traced, like: DType) -> Traced:
    """Real numbers in the dtype `like`, which may be complex."""
    return complex_(x, zeros_like(x)) if is_complex(like) else x


def real_part(x: Traced) -> Traced:
    """The real part; of reals, `x` itself."""
    return real(x) if is_complex(type_of(x).dtype) else x


def difference_table(x: Traced) -> Traced:
    """Of vectors x the matrices of x_j − x_i."""
    size = type_of(x).shape[-1]
    return sub(as_rows(x, size), as_columns(x, size))


def valid_or_nan(info: Traced, x: Traced, fails: str = "ne") -> Traced:
    """`x`, but NaN for the elements of the batch that a routine has failed for."""
    type_, batch = type_of(x), type_of(info).ndim
    good = eq(info, 0) if fails == "ne" else ge(info, 0)
    good = broadcast_in_dim(good, type_.shape, tuple(range(batch)))
    nothing = full_of(ArrayType(real_dtype(type_.dtype), type_.shape), np.nan)
    return select(good, x, complex_(nothing, nothing) if is_complex(type_.dtype) else nothing)


def scaled_rows(x: Traced, factors: Traced) -> Traced:
    """diag(factors) · x."""
    type_ = type_of(x)
    return mul(as_columns(as_complex(factors, type_.dtype), type_.shape[-1]), x)


def scaled_columns(x: Traced, factors: Traced) -> Traced:
    """x · diag(factors)."""
    type_ = type_of(x)
    return mul(x, as_rows(as_complex(factors, type_.dtype), type_.shape[-2]))


def half_diagonal(x: Traced) -> Traced:
    """The lower triangle with its diagonal halved."""
    rows, columns = rows_and_columns(x)
    below = select(gt(rows, columns), x, zeros_like(x))
    return add(below, select(eq(rows, columns), mul(x, 0.5), zeros_like(x)))
