"""dtypes: promotion and canonical forms, under JAX's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir.dtypes import DType, bfloat16
from jitml.numpy.operands import as_dtype
from jitml.numpy.types import finfo, iinfo, issubdtype, result_type

#: The dtype of cotangents of integers, which have none.
float0: DType = np.dtype([("float0", np.void, 0)])


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> DType:
    """The dtype that arrays made with `dtype` have.

    >>> print(canonicalize_dtype(float))
    float32
    """
    return as_dtype(dtype)


__all__ = [
    "bfloat16",
    "canonicalize_dtype",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "result_type",
]
