"""dtypes: promotion and canonical forms, under JAX's names."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from jitml.ir.arguments import as_numpy_dtype
from jitml.ir.dtypes import DType, bfloat16, extended, prng_key
from jitml.ir.dtypes import kind as kind_letter
from jitml.ir.errors import TypePromotionError
from jitml.numpy.operands import named_dtype
from jitml.numpy.types import finfo, iinfo, issubdtype, result_type
from jitml.trace.conventions import canonical

#: The dtype of cotangents of integers, which have none.
float0: DType = np.dtype([("float0", np.void, 0)])


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> DType:
    """The dtype that arrays made with `dtype` have.

    >>> print(canonicalize_dtype(float))
    float32
    """
    return canonical(named_dtype(dtype))


def itemsize_bits(dtype: Any) -> int:
    """How many bits an element has.

    >>> itemsize_bits("int4"), itemsize_bits("float32")
    (4, 32)
    """
    known = as_numpy_dtype("itemsize_bits", dtype)
    of_dtype: Any = ml_dtypes.iinfo
    return int(of_dtype(known).bits) if "int" in known.name else known.itemsize * 8


_PYTHON_TYPES = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


def scalar_type_of(x: Any) -> type:
    """The type of Python's numbers that the elements of `x` are like.

    >>> import jitml.numpy as jnp
    >>> scalar_type_of(jnp.arange(3))
    <class 'int'>
    """
    return _PYTHON_TYPES[kind_letter(result_type(x))]


__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]
