"""What every public function asks of arguments that are no arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.ir.source import user_source


def check_callable(name: str, function: Any) -> None:
    """Raise ArgumentError unless `function`, an argument of `name`, can be called."""
    if not callable(function):
        raise ArgumentError(
            f"{name} takes a Python function, not a {type(function).__name__}",
            source=user_source(),
        )


def check_sequence(name: str, x: Any, of: str) -> None:
    """Raise ArgumentError unless `x`, an argument of `name`, has a length and items, as lists,
    tuples and arrays have."""
    if not hasattr(x, "__len__") or not hasattr(x, "__getitem__"):
        raise ArgumentError(
            f"{name} takes a sequence of {of}, not a {type(x).__name__}",
            hint=f"give a list or tuple of {of}",
            source=user_source(),
        )


def as_integer(name: str, number: Any) -> int:
    """`number`, an argument of `name`, as an int; ArgumentError if it is none."""
    try:
        return operator.index(number)
    except TypeError:
        raise ArgumentError(
            f"{name} takes an integer, not {number!r}", source=user_source()
        ) from None


def as_numpy_dtype(name: str, dtype: Any) -> DType:
    """What `dtype`, an argument of `name`, is for NumPy; DTypeError if it is none."""
    held = getattr(dtype, "dtype", dtype)  # of NumPy's scalar types that is a descriptor
    try:
        known: DType = np.dtype(held if isinstance(held, np.dtype) else dtype)
    except TypeError:
        raise DTypeError(
            f"{name}: {dtype!r} is no dtype",
            hint="give a name such as 'float32', or jitml.numpy.float32",
            source=user_source(),
        ) from None
    return known
