"""Make an Array of the plain data that a pickle holds. Nothing else is done or executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dtypes import ROWS

if TYPE_CHECKING:
    from ._core import Array


def rebuild_array(dtype: str, shape: tuple[int, ...], data: bytes, weak: bool) -> Array:
    """Return an Array of the given type, shape and bytes, made by the active executor."""
    import jitml_runtime

    known = {str(row.dtype): row.dtype for row in ROWS}
    if dtype not in known:
        raise TypeError(f"the pickled array has dtype {dtype}, which is not supported here")
    source = np.frombuffer(data, known[dtype]).reshape(shape)
    return jitml_runtime.from_numpy(source, weak=weak)
