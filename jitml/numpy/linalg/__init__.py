"""Linear algebra: the names, signatures and results of `jax.numpy.linalg`.

Factorisations are done by LAPACK, but for `qr` of real matrices and those of small ones, which
jitml has kernels for; all of them take batches of matrices, as the last two axes.
Matrices are float32, float64 or complex; integers are converted.
"""

from __future__ import annotations

from jitml.numpy.linalg.decompositions import (
    EighResult,
    EigResult,
    QRResult,
    SVDResult,
    cholesky,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from jitml.numpy.linalg.norms import cond, matrix_norm, norm, vector_norm
from jitml.numpy.linalg.products import (
    cross,
    diagonal,
    matmul,
    matrix_power,
    multi_dot,
    outer,
    tensordot,
    trace,
    vecdot,
)
from jitml.numpy.linalg.solving import (
    SlogdetResult,
    det,
    inv,
    lstsq,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    tensorinv,
    tensorsolve,
)
from jitml.numpy.manipulation import matrix_transpose

__all__ = [
    "EigResult", "EighResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cond",
    "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer",
    "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve",
    "trace", "vecdot", "vector_norm",
]  # fmt: skip
