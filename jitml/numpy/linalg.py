"""Linear algebra that is stated in products and sums; factorisations are not part of it."""

from __future__ import annotations

from jitml.numpy.linear_algebra import cross, matmul, outer, tensordot, vecdot
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.matrices import diagonal, trace
from jitml.numpy.norms import norm

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_transpose",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
]
