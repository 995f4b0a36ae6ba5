"""Systems of equations, inverses, determinants and ranks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import is_complex, real_dtype
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.types import ArrayType
from jitml.numpy import extremes, reductions
from jitml.numpy.creation import zeros
from jitml.numpy.elementwise import absolute
from jitml.numpy.linalg.operands import checked, matrices, square_matrices, system
from jitml.numpy.manipulation import broadcast_to, moveaxis
from jitml.numpy.matrices import eye
from jitml.numpy.operands import (
    cast,
    fail,
    floated,
    joined_shape,
    operand,
    promoted,
    settle,
    strong,
)
from jitml.ops import elementwise as ew
from jitml.ops.linalg import determinant
from jitml.ops.linalg import matrices as mt
from jitml.ops.linalg import svd as svd_op
from jitml.ops.linalg.lu import lu
from jitml.ops.linalg.solve import solve as solve_op
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike


class SlogdetResult(NamedTuple):
    """Sign, and logarithm of the size, of determinants."""

    sign: Array
    logabsdet: Array


def solve(a: ArrayLike, b: ArrayLike) -> Array:
    """x of a x = b; `b` is a vector, or matrices whose batch broadcasts with that of `a`.

    Singular matrices give infinities and NaN.

    >>> import jitml.numpy as jnp
    >>> print(solve(jnp.array([[2.0, 0.0], [0.0, 4.0]]), jnp.array([2.0, 4.0])))
    [1. 1.]
    """
    left, right = system("solve", a, b)
    n = left.shape[-1]
    if right.ndim == 1:
        if right.shape != (n,):
            fail(
                ShapeError,
                f"solve: b must have as many elements as a has rows: {type_of(left)}, "
                f"{type_of(right)}  ({n} != {right.shape[0]})",
            )
        return settle(solved(left, broadcast_to(right[:, None], (*left.shape[:-1], 1))))[..., 0]
    if right.shape[-2] != n:
        hint = "write b[..., None] for one vector for each matrix" if right.shape[-1] == n else ""
        fail(
            ShapeError,
            f"solve: b must have as many rows as a: {type_of(left)}, {type_of(right)}  "
            f"({n} != {right.shape[-2]})",
            hint,
        )
    return settle(solved(left, right))


def solved(a: Any, b: Any) -> Any:
    """a⁻¹ b for matrices whose batches broadcast."""
    batch = batch_shape("solve", a, b)
    return solve_op(
        settle(broadcast_to(a, (*batch, *a.shape[-2:]))),
        settle(broadcast_to(b, (*batch, *b.shape[-2:]))),
    )


def batch_shape(name: str, *xs: Any) -> tuple[int, ...]:
    """What the axes in front of the last two broadcast to."""
    try:
        return joined_shape([x.shape[:-2] for x in xs])
    except ValueError:
        listed = " and ".join(str(type_of(x)) for x in xs)
        fail(ShapeError, f"{name}: batch axes do not broadcast: {listed}")


def inv(a: ArrayLike) -> Array:
    """The inverse of square matrices; singular ones give infinities and NaN.

    >>> import jitml.numpy as jnp
    >>> print(inv(jnp.array([[2.0, 0.0], [0.0, 4.0]])))
    [[0.5  0.  ]
     [0.   0.25]]
    """
    x = square_matrices("inv", a)
    return settle(solve_op(x, settle(broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape))))


def det(a: ArrayLike) -> Array:
    """The determinant of square matrices.

    >>> import jitml.numpy as jnp
    >>> print(det(jnp.array([[2.0, 0.0], [0.0, 4.0]])))
    8.0
    """
    return settle(determinant.det(square_matrices("det", a)))


def slogdet(a: ArrayLike, *, method: str | None = None) -> SlogdetResult:
    """The sign of the determinant, and the logarithm of its size.

    `method` "lu" (by default) or "qr" says by which factors; both are computed by "lu".

    >>> import jitml.numpy as jnp
    >>> sign, size = slogdet(jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> print(sign, size)
    -1.0 0.0
    """
    if method not in (None, "lu", "qr"):
        fail(ArgumentError, f"slogdet: method={method!r}: it is 'lu' or 'qr'")
    x = square_matrices("slogdet", a)
    factors, pivots, _ = lu(x)
    diagonal = settle(mt.diagonal_of(factors))
    size = absolute(diagonal)
    one = ArrayType(x.dtype, x.shape[:-2])
    phases = (
        diagonal / settle(mt.as_complex(size, x.dtype))
        if is_complex(x.dtype)
        else (settle(ew.sign(diagonal)))
    )
    sign = reductions.prod(phases, -1) * settle(determinant.parity(pivots, one))
    is_zero = reductions.any(diagonal == 0, -1)
    sign = settle(ew.select(is_zero, zeros(sign.shape, sign.dtype), sign))
    return SlogdetResult(sign, reductions.sum(settle(ew.log(size)), -1))


def pinv(
    a: ArrayLike,
    rtol: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rcond: ArrayLike | None = None,
) -> Array:
    """The pseudo-inverse; singular values of at most `rtol` times the largest one count as 0 (by
    default 10 max(m, n) times the dtype's precision). `rcond` is the old name of `rtol`.

    >>> import jitml.numpy as jnp
    >>> print(pinv(jnp.array([[2.0, 0.0], [0.0, 0.0]])))
    [[0.5 0. ]
     [0.  0. ]]
    """
    if rtol is not None and rcond is not None:
        fail(ArgumentError, "pinv: rtol and rcond are the same: pass one of them")
    rtol = rcond if rtol is None else rtol
    x = matrices("pinv", a, square=hermitian)
    if rtol is None:
        rtol = 10.0 * max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    share = strong(cast(operand(rtol, "pinv"), real_dtype(x.dtype)))
    return settle(determinant.pinv(x, settle(broadcast_to(settle(share), x.shape[:-2]))))


def matrix_rank(
    M: ArrayLike,
    rtol: ArrayLike | None = None,
    *,
    hermitian: bool = False,
    tol: ArrayLike | None = None,
) -> Array:
    """The number of singular values above `rtol` times the largest one (by default max(m, n) times
    the dtype's precision), or above `tol`.

    >>> import jitml.numpy as jnp
    >>> print(matrix_rank(jnp.array([[1.0, 1.0], [1.0, 1.0]])))
    1
    """
    if rtol is not None and tol is not None:
        fail(ArgumentError, "matrix_rank: pass one of rtol and tol")
    value = floated("matrix_rank", M)
    if type_of(value).ndim < 2:
        return reductions.any(settle(value) != 0).astype(DEFAULT_DTYPES.of(int))
    x = checked("matrix_rank", value, square=hermitian)
    s = settle(svd_op.svd(x, False, False)[0])
    if tol is None:
        share = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps) if rtol is None else rtol
        if not s.shape[-1]:
            return zeros(s.shape[:-1], DEFAULT_DTYPES.of(int))
        least = extremes.max(s, -1) * settle(operand(share, "matrix_rank"))
    else:
        least = settle(operand(tol, "matrix_rank"))
    return reductions.sum(s > least[..., None], -1, dtype=DEFAULT_DTYPES.of(int))


def lstsq(
    a: ArrayLike, b: ArrayLike, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Array, Array, Array, Array]:
    """x for which |a x − b| is least, and of those the shortest; residuals, rank of `a`, singular
    values. Residuals are there in all cases, unless `numpy_resid` (then as NumPy does).

    >>> import jitml.numpy as jnp
    >>> x, *_ = lstsq(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 2.0]))
    >>> print(jnp.round(x))
    [1. 1.]
    """
    left, right = promoted("lstsq", a, b, to_inexact=True)
    left, right = checked("lstsq", left, what="a"), settle(strong(right))
    if left.ndim != 2 or right.ndim not in (1, 2):
        fail(ShapeError, f"lstsq: one matrix and a vector or matrix, not {type_of(left)}, "
             f"{type_of(right)}", "jitml.vmap runs it for batches")  # fmt: skip
    m, n = left.shape
    if right.shape[0] != m:
        fail(ShapeError, f"lstsq: b must have as many rows as a: {type_of(left)}, "
             f"{type_of(right)}  ({m} != {right.shape[0]})")  # fmt: skip
    columns = right if right.ndim == 2 else right[:, None]
    share = float(np.finfo(left.dtype).eps) * max(m, n) if rcond is None or rcond < 0 else rcond
    s = settle(svd_op.svd(left, False, False)[0])
    rank = zeros((), DEFAULT_DTYPES.of(int))
    if 0 not in left.shape:
        rank = matrix_rank(left, rtol=share)
    x = pinv(left, rtol=share) @ columns
    gap = columns - left @ x
    residuals = reductions.sum(absolute(gap) ** 2, 0)
    if numpy_resid and (0 in left.shape or m <= n or int(rank) < n):
        residuals = zeros((0,), residuals.dtype)
    return (x if right.ndim == 2 else x[:, 0]), residuals, rank, s


def tensorinv(a: ArrayLike, ind: int = 2) -> Array:
    """The inverse with respect to a tensordot over `ind` axes.

    >>> import jitml.numpy as jnp
    >>> print(tensorinv(jnp.eye(4).reshape(4, 2, 2), 1).shape)
    (2, 2, 4)
    """
    x = settle(floated("tensorinv", a))
    if ind <= 0:
        fail(ArgumentError, f"tensorinv: ind={ind} must be positive")
    first, rest = x.shape[:ind], x.shape[ind:]
    if math.prod(first) != math.prod(rest):
        fail(
            ShapeError,
            f"tensorinv: the first {ind} axes of {type_of(x)} must have as many elements as the "
            f"others  ({math.prod(first)} != {math.prod(rest)})",
        )
    return inv(x.reshape(math.prod(first), -1)).reshape(*rest, *first)


def tensorsolve(a: ArrayLike, b: ArrayLike, axes: tuple[int, ...] | None = None) -> Array:
    """x of tensordot(a, x, x.ndim) = b; `axes` of `a` are moved behind the others first.

    >>> import jitml.numpy as jnp
    >>> print(tensorsolve(jnp.eye(4).reshape(2, 2, 4), jnp.ones((2, 2))))
    [1. 1. 1. 1.]
    """
    left, right = (settle(x) for x in promoted("tensorsolve", a, b, to_inexact=True))
    if axes is not None:
        left = moveaxis(left, axes, tuple(range(left.ndim - len(axes), left.ndim)))
    shape = left.shape[right.ndim :]
    if left.shape[: right.ndim] != right.shape or math.prod(shape) != right.size:
        fail(ShapeError, f"tensorsolve: {type_of(left)} and {type_of(right)} do not fit")
    flat = left.reshape(-1, math.prod(shape))
    return solve(flat, right.reshape(-1)).reshape(shape)
