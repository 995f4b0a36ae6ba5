"""Linear algebra that is stated in products and sums; factorisations are not part of it."""

from __future__ import annotations

from jitml.numpy.linear_algebra import cross, matmul, norm, outer, tensordot, vecdot
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.repeating import diagonal, trace

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
