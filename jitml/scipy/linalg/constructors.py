"""Matrices of a pattern, made of a few numbers."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.creation import asarray, zeros
from jitml.numpy.elementwise import absolute, conj
from jitml.numpy.indexing import take
from jitml.numpy.joining import concatenate
from jitml.numpy.manipulation import broadcast_to
from jitml.numpy.matrices import diag
from jitml.numpy.operands import as_dtype_or, fail, floated, operand, promoted, settle
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike


def _size(name: str, n: Any) -> int:
    """A number of rows that is known."""
    try:
        size = operator.index(n)
    except TypeError:
        fail(ArgumentError, f"{name}: n must be an integer, not {n!r}")
    if size < 0:
        fail(ArgumentError, f"{name}: n={size} is negative")
    return size


def _constant(numbers: Any, dtype: Any = None) -> Array:
    """A matrix of numbers that are known, in the default dtype for floats."""
    return asarray(np.asarray(numbers).astype(dtype or DEFAULT_DTYPES.of(float)))


def _vector(name: str, x: ArrayLike, least: int = 1) -> Any:
    value = settle(operand(x, name))
    if value.ndim != 1 or value.shape[0] < least:
        fail(ShapeError, f"{name}: {type_of(value)} is no vector of at least {least} elements")
    return value


def block_diag(*arrs: ArrayLike) -> Array:
    """Matrices along the diagonal of one, zeros beside them; vectors count as rows.

    >>> print(block_diag(1.0, 2.0))
    [[1. 0.]
     [0. 2.]]
    """
    xs = [settle(x) for x in promoted("block_diag", *(arrs or (zeros((1, 0)),)))]
    for x in xs:
        if x.ndim > 2:
            fail(ShapeError, f"block_diag: {type_of(x)} has more than 2 axes")
    blocks = [x.reshape((1, -1)) if x.ndim < 2 else x for x in xs]
    width = sum(block.shape[1] for block in blocks)
    rows, before = [], 0
    for block in blocks:
        height, own = block.shape
        left = zeros((height, before), block.dtype)
        right = zeros((height, width - before - own), block.dtype)
        rows.append(concatenate([left, block, right], 1))
        before += own
    return concatenate(rows, 0)


def circulant(c: ArrayLike) -> Array:
    """The matrix of the columns that `c` gives when it is rolled.

    >>> import jitml.numpy as jnp
    >>> print(circulant(jnp.array([1, 2, 3])))
    [[1 3 2]
     [2 1 3]
     [3 2 1]]
    """
    x = settle(operand(c, "circulant"))
    if not x.ndim:
        fail(ShapeError, "circulant: a vector is needed")
    places = np.arange(x.shape[-1])
    return take(x, (places[:, None] - places[None, :]) % max(1, x.shape[-1]), -1)


def toeplitz(c: ArrayLike, r: ArrayLike | None = None) -> Array:
    """The matrix whose diagonals are constant, with first column `c` and first row `r` (by default
    the conjugate of `c`; its first element is not used).

    >>> import jitml.numpy as jnp
    >>> print(toeplitz(jnp.array([1, 2]), jnp.array([1, 5, 6])))
    [[1 5 6]
     [2 1 5]]
    """
    column = settle(operand(c, "toeplitz"))
    row = conj(column) if r is None else settle(operand(r, "toeplitz"))
    column, row = (settle(x) for x in promoted("toeplitz", column, row))
    column, row = (x.reshape((-1,)) if not x.ndim else x for x in (column, row))
    m, n = column.shape[-1], row.shape[-1]
    batch = np.broadcast_shapes(column.shape[:-1], row.shape[:-1])
    column, row = (broadcast_to(x, (*batch, x.shape[-1])) for x in (column, row))
    line = concatenate([column[..., ::-1], row[..., 1:]], -1)
    places = np.arange(m)[::-1][:, None] + np.arange(n)[None, :]
    return take(line, places, -1)


def hankel(c: ArrayLike, r: ArrayLike | None = None) -> Array:
    """The matrix whose antidiagonals are constant, with first column `c` and last row `r` (by
    default zeros; its first element is not used).

    >>> import jitml.numpy as jnp
    >>> print(hankel(jnp.array([1, 2]), jnp.array([0, 5, 6])))
    [[1 2 5]
     [2 5 6]]
    """
    column = settle(operand(c, "hankel"))
    row = zeros(column.shape, column.dtype) if r is None else settle(operand(r, "hankel"))
    column, row = (settle(x).reshape((-1,)) for x in promoted("hankel", column, row))
    line = concatenate([column, row[1:]])
    places = np.arange(column.shape[0])[:, None] + np.arange(row.shape[0])[None, :]
    return take(line, places, 0)


def convolution_matrix(a: ArrayLike, n: int, mode: str = "full") -> Array:
    """The matrix whose product with a vector of length `n` is the convolution with `a`.

    >>> import jitml.numpy as jnp
    >>> print(convolution_matrix(jnp.array([1, 2]), 2))
    [[1 0]
     [2 1]
     [0 2]]
    """
    if mode not in ("full", "same", "valid"):
        fail(ArgumentError, f"convolution_matrix: mode={mode!r}: it is 'full', 'same' or 'valid'")
    x, size = _vector("convolution_matrix", a), _size("convolution_matrix", n)
    if size < 1:
        fail(ArgumentError, "convolution_matrix: n must be positive")
    own = x.shape[0]
    padding = zeros((size - 1,), x.dtype)
    row = concatenate([x[:1], padding])
    full = toeplitz(concatenate([x, padding]), row)
    if mode == "full":
        return full
    count = max(own, size) if mode == "same" else max(own, size) - min(own, size) + 1
    first = (full.shape[0] - count) // 2
    return full[first : first + count]


def companion(a: ArrayLike) -> Array:
    """The matrix whose eigenvalues are the roots of the polynomial with coefficients `a`.

    >>> import jitml.numpy as jnp
    >>> print(companion(jnp.array([1.0, -3.0, 2.0])))
    [[ 3. -2.]
     [ 1.  0.]]
    """
    x = _vector("companion", a, 2)
    x = settle(floated("companion", x))
    n = x.shape[0] - 1
    return concatenate([(-x[1:] / x[0])[None, :], np.eye(n - 1, n, dtype=x.dtype)])


def fiedler(a: ArrayLike) -> Array:
    """The distances of all numbers from each other.

    >>> import jitml.numpy as jnp
    >>> print(fiedler(jnp.array([1, 4])))
    [[0 3]
     [3 0]]
    """
    x = settle(operand(a, "fiedler"))
    if x.ndim != 1:
        fail(ShapeError, f"fiedler: {type_of(x)} is no vector")
    return absolute(x[:, None] - x[None, :])


def fiedler_companion(a: ArrayLike) -> Array:
    """A matrix of five diagonals whose eigenvalues are the roots of the polynomial with
    coefficients `a`.

    >>> import jitml.numpy as jnp
    >>> print(fiedler_companion(jnp.array([1.0, -3.0, 2.0])))
    [[ 3. -2.]
     [ 1.  0.]]
    """
    x = settle(floated("fiedler_companion", _vector("fiedler_companion", a)))
    x = x / x[0]
    n = x.shape[0] - 1
    if n < 1:
        return zeros((0,), x.dtype)
    if n == 1:
        return -x[1:, None]
    c = np.zeros((n, n), bool)
    places = np.zeros((n, n), np.int32)  # which coefficient stands where (0: none)
    c[1, 0] = True
    for k in range(0, n - 2, 2):
        c[k, k + 2] = True
    for k in range(1, n - 2, 2):
        c[k + 2, k] = True
    places[0, 0] = 1
    for k in range(0, n - 1, 2):
        places[k, k + 1] = k + 2
    for k in range(2, n, 2):
        places[k, k - 1] = k + 1
    picked = settle(
        ew.select(operand(places > 0), operand(-x[places]), operand(zeros((n, n), x.dtype)))
    )
    return picked + c.astype(x.dtype)


def leslie(f: ArrayLike, s: ArrayLike) -> Array:
    """The matrix of fecundities (its first row) and of the rates of survival (below its diagonal).

    >>> import jitml.numpy as jnp
    >>> print(leslie(jnp.array([1.0, 2.0]), jnp.array([0.5])))
    [[1.  2. ]
     [0.5 0. ]]
    """
    first, below = (settle(x) for x in promoted("leslie", f, s))
    if first.ndim != 1 or below.shape != (first.shape[0] - 1,) or not below.size:
        fail(ShapeError, f"leslie: {type_of(first)} and {type_of(below)} do not fit")
    beside = concatenate([diag(below), zeros((below.shape[0], 1), below.dtype)], 1)
    return concatenate([first[None, :], beside])


def dft(n: int, scale: str | None = None, *, dtype: DTypeLike | None = None) -> Array:
    """The matrix of the discrete Fourier transform; `scale` "n" or "sqrtn" divides it by that.

    >>> print(dft(2).real)
    [[ 1.  1.]
     [ 1. -1.]]
    """
    if scale not in (None, "n", "sqrtn"):
        fail(ArgumentError, f"dft: scale={scale!r}: it is None, 'sqrtn' or 'n'")
    size = _size("dft", n)
    places = np.arange(size)
    matrix = np.exp(-2j * np.pi / max(1, size) * (np.outer(places, places) % max(1, size)))
    divisor = {"n": size, "sqrtn": math.sqrt(size)}.get(scale or "", 1)
    return _constant(matrix / divisor, as_dtype_or(dtype, DEFAULT_DTYPES.of(complex)))


def hadamard(n: int, dtype: DTypeLike = int) -> Array:
    """The matrix of ±1 whose rows are orthogonal; `n` is a power of two.

    >>> print(hadamard(2))
    [[ 1  1]
     [ 1 -1]]
    """
    size = _size("hadamard", n)
    if size < 1 or size & (size - 1):
        fail(ArgumentError, f"hadamard: n={size} is no power of two")
    places = np.arange(size)
    signs = np.bitwise_count(places[:, None] & places[None, :]) % 2
    return _constant(1 - 2 * signs.astype(np.int64), as_dtype_or(dtype, np.dtype(int)))


def helmert(n: int, full: bool = False) -> Array:
    """The Helmert matrix, with its first row of equal numbers if `full`.

    >>> import jitml.numpy as jnp
    >>> print(jnp.round(helmert(2), 3))
    [[ 0.707 -0.707]]
    """
    size = _size("helmert", n)
    if size < 1:
        fail(ArgumentError, "helmert: n must be positive")
    rows = np.arange(size)[:, None]
    columns = np.arange(size)[None, :]
    matrix = np.where(columns < rows, 1.0, np.where(columns == rows, -rows, 0.0))
    matrix[0] = 1.0
    lengths = np.sqrt(np.where(rows == 0, size, rows * (rows + 1.0)))
    return _constant((matrix / lengths)[0 if full else 1 :])


def hilbert(n: int) -> Array:
    """The matrix of 1 / (i + j + 1).

    >>> print(hilbert(2))
    [[1.         0.5       ]
     [0.5        0.33333334]]
    """
    places = np.arange(_size("hilbert", n))
    return _constant(1.0 / (1.0 + places[:, None] + places[None, :]))


def invhilbert(n: int) -> Array:
    """The inverse of `hilbert`.

    >>> print(invhilbert(2))
    [[ 4. -6.]
     [-6. 12.]]
    """
    size = _size("invhilbert", n)

    def entry(i: int, j: int) -> int:
        product = math.comb(size + i, size - j - 1) * math.comb(size + j, size - i - 1)
        return (1 - 2 * ((i + j) % 2)) * (i + j + 1) * product * math.comb(i + j, i) ** 2

    return _constant([[float(entry(i, j)) for j in range(size)] for i in range(size)])


def _check_kind(name: str, kind: str | None) -> str:
    if kind not in (None, "symmetric", "upper", "lower"):
        fail(ArgumentError, f"{name}: kind={kind!r}: it is 'symmetric', 'upper' or 'lower'")
    return kind or "symmetric"


def _binomials(size: int) -> Any:
    """The lower triangle of binomial coefficients."""
    return np.array([[float(math.comb(i, j)) for j in range(size)] for i in range(size)])


def pascal(n: int, kind: str | None = None) -> Array:
    """The matrix of binomial coefficients, or its triangular factors.

    >>> print(pascal(3))
    [[1. 1. 1.]
     [1. 2. 3.]
     [1. 3. 6.]]
    """
    chosen, size = _check_kind("pascal", kind), _size("pascal", n)
    lower = _binomials(size).reshape(size, size)
    return _constant({"lower": lower, "upper": lower.T, "symmetric": lower @ lower.T}[chosen])


def invpascal(n: int, kind: str | None = None) -> Array:
    """The inverse of `pascal`.

    >>> print(invpascal(2))
    [[ 2. -1.]
     [-1.  1.]]
    """
    chosen, size = _check_kind("invpascal", kind), _size("invpascal", n)
    places = np.arange(size)
    signs = (-1.0) ** (places[:, None] + places[None, :])
    lower = _binomials(size).reshape(size, size) * signs
    return _constant({"lower": lower, "upper": lower.T, "symmetric": lower.T @ lower}[chosen])
