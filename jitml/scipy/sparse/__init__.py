"""Linear equations whose matrix is a function: the names of `jax.scipy.sparse`."""

from __future__ import annotations

from jitml.scipy.sparse import linalg

__all__ = ["linalg"]
