"""Whose conventions hold where jitml's own and JAX's differ: for the whole process, set by
`jitml.as_jax` before a program runs.

With JAX's, what is 64 bits wide becomes 32 bits wide unless 64-bit defaults are on, an index out of
bounds reads the nearest element (or, by `take`, NaN) and writes nothing, and Python's control flow
on traced values is an error. Must not know: who asks.
"""

from __future__ import annotations

import numpy as np

from jitml.ir.dtypes import DType
from jitml_runtime import calling

_NARROW: dict[DType, DType] = {
    np.dtype(wide): np.dtype(narrow)
    for wide, narrow in [
        ("int64", "int32"), ("uint64", "uint32"), ("float64", "float32"),
        ("complex128", "complex64"),
    ]
}  # fmt: skip


class _Conventions:
    """`are_of_jax`: whether JAX's conventions hold."""

    are_of_jax = False

    @property
    def narrow(self) -> bool:
        """Whether there are no 64-bit arrays on this thread now."""
        return self.are_of_jax and not calling.is_wide


CONVENTIONS = _Conventions()


def canonical(dtype: DType) -> DType:
    """The dtype that arrays of users' `dtype` have: itself, or its half where there is no other."""
    return _NARROW.get(dtype, dtype) if CONVENTIONS.narrow else dtype


def is_narrowed(dtype: DType) -> bool:
    """Whether arrays of users' `dtype` have another one."""
    return CONVENTIONS.narrow and dtype in _NARROW
