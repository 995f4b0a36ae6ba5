"""The element types that an Array may have: one row each, shared by both executors.

In: NumPy and ml_dtypes. Out: ``ROWS``; a row's position is the type's code inside the C core.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One element type: NumPy's dtype, DLPack's type code, the buffer protocol's format."""

    dtype: np.dtype[Any]
    dlpack_code: int
    format: str  # empty where the buffer protocol has none


_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6


def _rows() -> tuple[Row, ...]:
    rows = [
        Row(np.dtype(np.bool_), _BOOL, "?"),
        *(Row(np.dtype(t), _INT, np.dtype(t).char) for t in (np.int8, np.int16, np.int32)),
        Row(np.dtype(np.int64), _INT, np.dtype(np.int64).char),
        *(Row(np.dtype(t), _UINT, np.dtype(t).char) for t in (np.uint8, np.uint16, np.uint32)),
        Row(np.dtype(np.uint64), _UINT, np.dtype(np.uint64).char),
        Row(np.dtype(np.float16), _FLOAT, "e"),
        Row(np.dtype(np.float32), _FLOAT, "f"),
        Row(np.dtype(np.float64), _FLOAT, "d"),
        Row(np.dtype(np.complex64), _COMPLEX, "Zf"),
        Row(np.dtype(np.complex128), _COMPLEX, "Zd"),
    ]
    try:
        from ml_dtypes import bfloat16
    except ImportError:  # a deployed program without bfloat16 needs NumPy alone
        return tuple(rows)
    return (*rows, Row(np.dtype(bfloat16), _BFLOAT, ""))


ROWS: tuple[Row, ...] = _rows()
_BY_DTYPE: dict[Any, Row] = {row.dtype: row for row in ROWS}


def find_row(dtype: Any) -> Row:
    """Return the row of ``dtype``, or raise TypeError if arrays cannot have it."""
    wanted = np.dtype(dtype).newbyteorder("=")
    row = _BY_DTYPE.get(wanted)
    if row is None:
        names = ", ".join(str(row.dtype) for row in ROWS)
        raise TypeError(f"arrays of dtype {wanted} are not supported; the dtypes are {names}")
    return row
