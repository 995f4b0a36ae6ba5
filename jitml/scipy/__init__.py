"""SciPy's functions on jitml's arrays, under the names of `jax.scipy`."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse",
    "special", "stats",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Its modules are imported when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module 'jitml.scipy' has no attribute {name!r}")
    return importlib.import_module(f"jitml.scipy.{name}")
