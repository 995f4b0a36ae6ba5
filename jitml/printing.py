"""How arrays print: NumPy's numbers, then dtype, and weak_type where the dtype is weak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def array_repr(array: Any) -> str:
    """`Array([1., 2.], dtype=float32)`."""
    if array.is_deleted():
        return f"<deleted Array of dtype {array.dtype.name} and shape {array.shape}>"
    ending = f"dtype={array.dtype.name}" + (", weak_type=True)" if array.weak_type else ")")
    if not math.prod(array.shape):
        return f"Array([], shape={array.shape}, {ending}"
    prefix, width = "Array(", np.get_printoptions()["linewidth"]
    text = np.array2string(
        _printable(array), separator=", ", prefix=prefix, suffix=",", max_line_width=width
    )
    last_line = len(prefix) + len(text) if "\n" not in text else len(text) - text.rfind("\n") - 1
    gap = " " if last_line + len(ending) + 2 <= width else "\n" + " " * len(prefix)
    return f"{prefix}{text},{gap}{ending}"


def array_str(array: Any) -> str:
    """The numbers alone."""
    if array.is_deleted():
        return array_repr(array)
    return str(_printable(array)[()] if not array.shape else _printable(array))


def array_format(array: Any, spec: str) -> str:
    """`format(array, spec)`: of a 0-d array that of its number."""
    if not array.shape:
        return format(_printable(array)[()], spec)
    return format(_printable(array), spec)


def _printable(array: Any) -> Any:
    return np.asarray(array)
