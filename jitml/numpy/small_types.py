"""The names of dtypes of less than 8 bits, and of floats of 8: for what others say of them.

Arrays do not have these dtypes; `dtype`, `finfo` and `iinfo` know them.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from jitml.numpy.types import ScalarType


def __getattr__(name: str) -> ScalarType:
    return ScalarType(np.dtype(getattr(ml_dtypes, name)))
