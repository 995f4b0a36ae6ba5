"""Functions of matrices: exponential, square root, any function of the eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.differentiation import jvp
from jitml.ir.dtypes import is_complex, real_dtype
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.lax.control_flow import fori_loop
from jitml.lax.linalg import triangular_solve
from jitml.numpy import linalg as nl
from jitml.numpy.creation import full_like, zeros_like
from jitml.numpy.elementwise import absolute, conj, log2
from jitml.numpy.extremes import max as largest
from jitml.numpy.extremes import min as smallest
from jitml.numpy.linalg.operands import square_matrices
from jitml.numpy.linalg.solving import solved
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.matrices import diag, eye
from jitml.numpy.operands import fail, promoted, settle
from jitml.ops import elementwise as ew
from jitml.scipy.linalg.decompositions import schur
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike
from jitml.vectorization import vmap

# Numerators of the Padé approximants of exp (Higham, 2005, table 2.3), and the largest 1-norm for
# which each is exact to the dtype.
_PADE = {
    4: (3.925724783138660, (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)),
    8: (
        5.371920351148152,
        (
            64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800,
            129060195264000, 10559470521600, 670442572800, 33522128640, 1323241920, 40840800,
            960960, 16380, 182, 1,
        ),
    ),
}  # fmt: skip


def expm(A: ArrayLike, *, upper_triangular: bool = False, max_squarings: int = 16) -> Array:
    """The exponential of square matrices, by scaling, a Padé approximant and squaring; NaN for
    matrices that need more than `max_squarings`.

    >>> import jitml.numpy as jnp
    >>> print(expm(jnp.zeros((2, 2))))
    [[1. 0.]
     [0. 1.]]
    """
    x = square_matrices("expm", A)
    if 0 in x.shape:
        return x
    function = _exponential(max_squarings)
    for _ in range(x.ndim - 2):
        function = vmap(function)
    return function(x)


def _exponential(most: int) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        real = real_dtype(x.dtype)
        limit, coefficients = _PADE[real.itemsize]
        size = settle(ew.stop_gradient(nl.norm(x, 1)))
        needed = settle(ew.ceil(log2(size / limit)))
        count = settle(ew.maximum(needed, 0.0)).astype(np.int32)
        few = settle(ew.minimum(count, most))
        scaled = x / (2.0 ** few.astype(real)).astype(x.dtype)
        result = fori_loop(0, few, lambda _, r: r @ r, _approximant(scaled, coefficients))
        is_good = (count <= most) & settle(ew.is_finite(size))
        return settle(ew.select(is_good, result, full_like(result, np.nan)))

    return function


def _approximant(x: Any, coefficients: tuple[int, ...]) -> Any:
    """(V + U) / (V − U), U the odd and V the even terms of a polynomial."""
    identity = eye(x.shape[-1], dtype=x.dtype)
    square = x @ x
    odd, even = zeros_like(x), zeros_like(x)
    for k in reversed(range(0, len(coefficients), 2)):
        odd = odd @ square + coefficients[k + 1] * identity
        even = even @ square + coefficients[k] * identity
    odd = x @ odd
    return settle(solved(even - odd, even + odd))


def expm_frechet(
    A: ArrayLike, E: ArrayLike, *, method: str | None = None, compute_expm: bool = True
) -> Array | tuple[Array, Array]:
    """The exponential of A and its derivative in direction E; without `compute_expm` the latter.

    >>> import jitml.numpy as jnp
    >>> print(expm_frechet(jnp.zeros((2, 2)), jnp.eye(2), compute_expm=False))
    [[1. 0.]
     [0. 1.]]
    """
    x, direction = (settle(v) for v in promoted("expm_frechet", A, E, to_inexact=True))
    if x.shape != direction.shape:
        fail(ShapeError, f"expm_frechet: {type_of(x)} and {type_of(direction)} differ in shape")
    value, slope = jvp(expm, (x,), (direction,))
    return (value, slope) if compute_expm else slope


def sqrtm(A: ArrayLike, blocksize: int = 1) -> Array:
    """The principal square root of a square matrix, complex.

    >>> import jitml.numpy as jnp
    >>> print(sqrtm(jnp.array([[4.0, 0.0], [0.0, 9.0]])).real)
    [[2. 0.]
     [0. 3.]]
    """
    if blocksize > 1:
        fail(ArgumentError, f"sqrtm: blocksize={blocksize} is not available", "it is 1")
    x = square_matrices("sqrtm", A)
    if x.ndim != 2:
        fail(ShapeError, f"sqrtm: {type_of(x)} is no single matrix", "vmap it over a batch")
    t, z = schur(x, "complex")
    root = _triangular_root(t)
    return z @ root @ matrix_transpose(conj(z))


def _triangular_root(t: Any) -> Any:
    """U of U U = T column by column: (U + u_jj) u_j = t_j above the diagonal."""
    n = t.shape[0]
    rows = np.arange(n)
    roots = settle(ew.sqrt(nl.diagonal(t)))

    def column(j: Any, u: Any) -> Any:
        is_known = (rows < j)[:, None] & (rows < j)[None, :]
        identity = eye(n, dtype=t.dtype)
        block = settle(ew.select(is_known, u + roots[j] * identity, identity))
        above = settle(ew.select(rows < j, t[:, j], zeros_like(t[:, j])))
        x = triangular_solve(block, above[:, None], left_side=True)[:, 0]
        return u.at[:, j].add(x)

    return fori_loop(0, n, column, diag(roots))


def funm(
    A: ArrayLike, func: Callable[[Array], Array], disp: bool = True
) -> Array | tuple[Array, Array]:
    """The function `func` of a square matrix, by its Schur form (Parlett); without `disp` also an
    estimate of the error. Eigenvalues must differ.

    >>> import jitml.numpy as jnp
    >>> print(funm(jnp.array([[1.0, 0.0], [0.0, 2.0]]), lambda x: x * x).real)
    [[1. 0.]
     [0. 4.]]
    """
    x = square_matrices("funm", A)
    if x.ndim != 2:
        fail(ShapeError, f"funm: {type_of(x)} is no single matrix", "vmap it over a batch")
    t, z = schur(x, "complex")
    values = nl.diagonal(t)
    f, gap = _parlett(t, diag(func(values)), values)
    result = z @ f @ matrix_transpose(conj(z))
    if not is_complex(x.dtype):
        part = settle(ew.real(result)).astype(x.dtype)
        is_real = largest(absolute(settle(ew.imag(result)))) <= 1e3 * _precision(x)
        result = settle(ew.select(is_real, part.astype(result.dtype), result))
    if disp:
        return result
    norm = nl.norm(t, 1)
    error = settle(ew.minimum(1.0, settle(ew.maximum(_precision(x), _precision(x) / gap * norm))))
    return result, error


def _precision(x: Any) -> float:
    return float(np.finfo(x.dtype).eps)


def _parlett(t: Any, f: Any, values: Any) -> tuple[Any, Any]:
    """f(T) one diagonal after the other: F T = T F tells each from those below."""
    n = t.shape[0]
    distance = np.arange(n)[None, :] - np.arange(n)[:, None]
    gaps = values[:, None] - values[None, :]
    safe = settle(ew.select(gaps == 0, full_like(gaps, _precision(t)), gaps))

    def fill(step: Any, f: Any) -> Any:
        found = (f @ t - t @ f) / safe
        return settle(ew.select(distance == step, found, f))

    apart = settle(ew.select(distance > 0, absolute(gaps), full_like(absolute(gaps), 1.0)))
    return fori_loop(1, n, fill, f), smallest(apart)
