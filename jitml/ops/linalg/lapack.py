"""Routines of LAPACK as `library_call`s: what is passed to each, and how long it takes about.

In: arrays whose last two axes are matrices *as the routine sees them*: stored column by column, so
the shape is (columns, rows). Out: the same, and `info`. Each function has the name of its routine
without the letter of the type.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.ir.dtypes import INT32, DType, is_complex, real_dtype
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced
from jitml.ops.library import Argument, call_library
from jitml.trace.core import type_of

_LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
_INFO = ArrayType(INT32, ())
_BLOCK = 64  # rows or columns that blocked routines work on at once, at most
_FLOPS_PER_NS = 8.0


def call(
    name: str,
    inputs: Sequence[Traced],
    rank: int,
    arguments: Sequence[Argument],
    results: Sequence[ArrayType],
    updates: int,
    flops: float,
) -> list[Traced]:
    """The outputs of a routine; `name` without the letter of the type."""
    dtype = type_of(inputs[0]).dtype
    factor = (4 if is_complex(dtype) else 1) / (2 if real_dtype(dtype).itemsize == 4 else 1)
    return call_library(
        f"lapack {_LETTERS[dtype.name]}{name}",
        arguments,
        inputs,
        rank,
        results,
        updates,
        500 + flops * factor / _FLOPS_PER_NS,
    )


def _matrix(dtype: DType, columns: int, rows: int) -> ArrayType:
    return ArrayType(dtype, (columns, rows))


def _vector(dtype: DType, size: int) -> ArrayType:
    return ArrayType(dtype, (size,))


def _size(x: Traced) -> tuple[DType, int, int]:
    """dtype, rows and columns of a matrix."""
    type_ = type_of(x)
    return type_.dtype, type_.shape[-1], type_.shape[-2]


def _work(dtype: DType, count: int) -> list[Argument]:
    """Memory for `count` numbers, and their count."""
    return [("work", count * dtype.itemsize), ("int", count)]


def potrf(uplo: str, a: Traced) -> list[Traced]:
    """Cholesky: the factor in one triangle of `a`; info."""
    dtype, n, _ = _size(a)
    arguments: list[Argument] = [
        ("char", uplo), ("int", n), ("out", 0), ("int", max(1, n)), ("ints", 1),
    ]  # fmt: skip
    return call("potrf", [a], 2, arguments, [_matrix(dtype, n, n), _INFO], 1, n**3 / 3)


def trsm(side: str, uplo: str, trans: str, diag: str, a: Traced, b: Traced) -> Traced:
    """op(a)⁻¹ b or b op(a)⁻¹ for a triangular `a`."""
    dtype, m, n = _size(b)
    _, size, _ = _size(a)
    arguments: list[Argument] = [
        ("char", side), ("char", uplo), ("char", trans), ("char", diag), ("int", m), ("int", n),
        ("number", 1.0), ("in", 1), ("int", max(1, size)), ("out", 0), ("int", max(1, m)),
    ]  # fmt: skip
    (x,) = call("trsm", [b, a], 2, arguments, [_matrix(dtype, n, m)], 1, float(size) * m * n)
    return x


def getrf(a: Traced) -> list[Traced]:
    """LU: both factors in one matrix; the rows that were exchanged, counted from 1; info."""
    dtype, m, n = _size(a)
    k = min(m, n)
    arguments: list[Argument] = [
        ("int", m), ("int", n), ("out", 0), ("int", max(1, m)), ("ints", 1), ("ints", 2),
    ]  # fmt: skip
    results = [_matrix(dtype, n, m), _vector(INT32, k), _INFO]
    return call("getrf", [a], 2, arguments, results, 1, 2.0 * m * n * k)


def geqrf(a: Traced) -> list[Traced]:
    """QR: R above, reflectors below the diagonal; their factors; info."""
    dtype, m, n = _size(a)
    arguments: list[Argument] = [
        ("int", m), ("int", n), ("out", 0), ("int", max(1, m)), ("out", 1),
        *_work(dtype, max(1, n) * _BLOCK), ("ints", 2),
    ]  # fmt: skip
    results = [_matrix(dtype, n, m), _vector(dtype, min(m, n)), _INFO]
    return call("geqrf", [a], 2, arguments, results, 1, 2.0 * m * n * min(m, n))


def geqp3(a: Traced) -> list[Traced]:
    """QR with exchanged columns, as `geqrf`; the columns' old places, counted from 1; info."""
    dtype, m, n = _size(a)
    real: list[Argument] = (
        [("work", 2 * n * real_dtype(dtype).itemsize)] if is_complex(dtype) else []
    )
    arguments: list[Argument] = [
        ("int", m), ("int", n), ("out", 0), ("int", max(1, m)), ("ints", 2), ("out", 1),
        *_work(dtype, 2 * n + (n + 1) * _BLOCK), *real, ("ints", 3),
    ]  # fmt: skip
    results = [_matrix(dtype, n, m), _vector(dtype, min(m, n)), _vector(INT32, n), _INFO]
    return call("geqp3", [a], 2, arguments, results, 1, 4.0 * m * n * min(m, n))


def orgqr(a: Traced, taus: Traced) -> list[Traced]:
    """The orthonormal columns that the reflectors in `a` stand for; info."""
    dtype, m, n = _size(a)
    k = type_of(taus).shape[-1]
    arguments: list[Argument] = [
        ("int", m), ("int", n), ("int", k), ("out", 0), ("int", max(1, m)), ("in", 1),
        *_work(dtype, max(1, n) * _BLOCK), ("ints", 1),
    ]  # fmt: skip
    name = "ungqr" if is_complex(dtype) else "orgqr"
    results = [_matrix(dtype, n, m), _INFO]
    return call(name, [a, taus], 2, arguments, results, 1, 4.0 * m * n * k)


def ormqr(side: str, trans: str, a: Traced, taus: Traced, c: Traced) -> list[Traced]:
    """`c` multiplied by the orthogonal matrix that the reflectors in `a` stand for; info."""
    dtype, m, n = _size(c)
    _, rows, _ = _size(a)
    k = type_of(taus).shape[-1]
    arguments: list[Argument] = [
        ("char", side), ("char", trans), ("int", m), ("int", n), ("int", k), ("in", 1),
        ("int", max(1, rows)), ("in", 2), ("out", 0), ("int", max(1, m)),
        *_work(dtype, max(1, m, n) * _BLOCK + 65 * _BLOCK), ("ints", 1),
    ]  # fmt: skip
    name = "unmqr" if is_complex(dtype) else "ormqr"
    results = [_matrix(dtype, n, m), _INFO]
    return call(name, [c, a, taus], 2, arguments, results, 1, 4.0 * m * n * k)


def syevd(uplo: str, vectors: bool, a: Traced) -> list[Traced]:
    """Of Hermitian matrices: eigenvectors, eigenvalues in ascending order, info."""
    dtype, n, _ = _size(a)
    real = real_dtype(dtype)
    large = 1 + 6 * n + 2 * n * n
    numbers = _work(dtype, large if not is_complex(dtype) else 2 * n + n * n + n * _BLOCK)
    reals = _work(real, large) if is_complex(dtype) else []
    arguments: list[Argument] = [
        ("char", "V" if vectors else "N"), ("char", uplo), ("int", n), ("out", 0),
        ("int", max(1, n)), ("out", 1), *numbers, *reals,
        ("work", 8 * (3 + 5 * n)), ("int", 3 + 5 * n), ("ints", 2),
    ]  # fmt: skip
    name = "heevd" if is_complex(dtype) else "syevd"
    results = [_matrix(dtype, n, n), _vector(real, n), _INFO]
    return call(name, [a], 2, arguments, results, 1, (9.0 if vectors else 2.0) * n**3)


def geev(left: bool, right: bool, a: Traced) -> list[Traced]:
    """Eigenvalues (of real matrices as two arrays: real and imaginary parts), left and right
    eigenvectors in LAPACK's packing, info. Vectors that are not asked for are not there.
    """
    dtype, n, _ = _size(a)
    values = 1 if is_complex(dtype) else 2
    results = [_matrix(dtype, n, n), *[_vector(dtype, n)] * values]
    vectors: list[Argument] = []
    for wanted in (left, right):
        vectors += [("out", len(results)) if wanted else ("null", 0), ("int", max(1, n))]
        results += [_matrix(dtype, n, n)] * wanted
    real: list[Argument] = (
        [("work", 2 * n * real_dtype(dtype).itemsize)] if is_complex(dtype) else []
    )
    arguments: list[Argument] = [
        ("char", "V" if left else "N"), ("char", "V" if right else "N"), ("int", n), ("out", 0),
        ("int", max(1, n)), *[("out", 1 + k) for k in range(values)], *vectors,
        *_work(dtype, max(1, n) * (4 + _BLOCK)), *real, ("ints", len(results)),
    ]  # fmt: skip
    flops = (25.0 if left or right else 10.0) * n**3
    return call("geev", [a], 2, arguments, [*results, _INFO], 1, flops)[1:]


def gesdd(job: str, a: Traced) -> list[Traced]:
    """Singular values; left vectors and conjugated right ones, unless `job` is "N"; info."""
    dtype, m, n = _size(a)
    real, least, most = real_dtype(dtype), min(m, n), max(m, n)
    results = [_matrix(dtype, n, m), _vector(real, least)]
    vectors: list[Argument] = [("null", 0), ("int", max(1, m)), ("null", 0), ("int", max(1, n))]
    if job != "N":
        left, right = (m, n) if job == "A" else (least, least)
        results += [_matrix(dtype, left, m), _matrix(dtype, n, right)]
        vectors = [("out", 2), ("int", max(1, m)), ("out", 3), ("int", max(1, right))]
    count = 4 * least * least + 8 * least + most + (most + least) * _BLOCK
    reals: list[Argument] = []
    if is_complex(dtype):
        most_reals = 2 * most * least + 7 * least * least + 7 * least
        reals = [("work", most_reals * real.itemsize)]
    arguments: list[Argument] = [
        ("char", job), ("int", m), ("int", n), ("out", 0), ("int", max(1, m)), ("out", 1),
        *vectors, *_work(dtype, count), *reals, ("work", 64 * least), ("ints", len(results)),
    ]  # fmt: skip
    flops = (20.0 if job != "N" else 4.0) * most * least * least
    return call("gesdd", [a], 2, arguments, [*results, _INFO], 1, flops)[1:]


def gees(vectors: bool, a: Traced) -> list[Traced]:
    """Schur: the triangular factor; if asked for the unitary one; info."""
    dtype, n, _ = _size(a)
    values = 1 if is_complex(dtype) else 2
    results = [_matrix(dtype, n, n), *[_vector(dtype, n)] * values, ArrayType(INT32, ())]
    place: Argument = ("out", len(results)) if vectors else ("null", 0)
    ints = len(results) - 1
    results += [_matrix(dtype, n, n)] * vectors
    real: list[Argument] = [("work", n * real_dtype(dtype).itemsize)] if is_complex(dtype) else []
    arguments: list[Argument] = [
        ("char", "V" if vectors else "N"), ("char", "N"), ("null", 0), ("int", n), ("out", 0),
        ("int", max(1, n)), ("ints", ints), *[("out", 1 + k) for k in range(values)], place,
        ("int", max(1, n)), *_work(dtype, max(1, n) * (3 + _BLOCK)), *real, ("work", 8 * n),
        ("ints", len(results)),
    ]  # fmt: skip
    found = call("gees", [a], 2, arguments, [*results, _INFO], 1, 25.0 * n**3)
    return [found[0], *found[ints + 1 :]]


def gehrd(a: Traced) -> list[Traced]:
    """Hessenberg: the factor, with reflectors below its first subdiagonal; their factors; info."""
    dtype, n, _ = _size(a)
    arguments: list[Argument] = [
        ("int", n), ("int", 1), ("int", n), ("out", 0), ("int", max(1, n)), ("out", 1),
        *_work(dtype, max(1, n) * _BLOCK), ("ints", 2),
    ]  # fmt: skip
    results = [_matrix(dtype, n, n), _vector(dtype, max(0, n - 1)), _INFO]
    return call("gehrd", [a], 2, arguments, results, 1, 10 / 3 * n**3)


def sytrd(uplo: str, a: Traced) -> list[Traced]:
    """Of Hermitian matrices a tridiagonal form: reflectors; diagonal; the one beside it; factors
    of the reflectors; info.
    """
    dtype, n, _ = _size(a)
    real = real_dtype(dtype)
    arguments: list[Argument] = [
        ("char", uplo), ("int", n), ("out", 0), ("int", max(1, n)), ("out", 1), ("out", 2),
        ("out", 3), *_work(dtype, max(1, n) * _BLOCK), ("ints", 4),
    ]  # fmt: skip
    beside = max(0, n - 1)
    results = [
        _matrix(dtype, n, n), _vector(real, n), _vector(real, beside), _vector(dtype, beside), _INFO
    ]  # fmt: skip
    name = "hetrd" if is_complex(dtype) else "sytrd"
    return call(name, [a], 2, arguments, results, 1, 4 / 3 * n**3)


def stedc(diagonal: Traced, beside: Traced) -> list[Traced]:
    """Eigenvalues and eigenvectors of symmetric tridiagonal matrices, by dividing them; info."""
    real = type_of(diagonal).dtype
    n = type_of(diagonal).shape[-1]
    arguments: list[Argument] = [
        ("char", "I"), ("int", n), ("out", 0), ("out", 1), ("out", 2), ("int", n),
        *_work(real, 1 + 4 * n + n * n), ("work", 8 * (3 + 5 * n)), ("int", 3 + 5 * n), ("ints", 3),
    ]  # fmt: skip
    results = [_vector(real, n), _vector(real, n - 1), _matrix(real, n, n), _INFO]
    found = call("stedc", [diagonal, beside], 1, arguments, results, 2, 4 / 3 * n**3)
    return [found[0], *found[2:]]


def gtsv(lower: Traced, diagonal: Traced, upper: Traced, b: Traced) -> list[Traced]:
    """The solution of tridiagonal systems; info. `lower` and `upper` have n − 1 elements."""
    dtype, n, count = _size(b)
    beside = _vector(dtype, max(0, n - 1))
    arguments: list[Argument] = [
        ("int", n), ("int", count), ("out", 0), ("out", 1), ("out", 2), ("out", 3),
        ("int", max(1, n)), ("ints", 4),
    ]  # fmt: skip
    results = [beside, _vector(dtype, n), beside, _matrix(dtype, count, n), _INFO]
    inputs = [lower, diagonal, upper, b]
    return call("gtsv", inputs, 1, arguments, results, 4, 10.0 * n * count)[3:]
