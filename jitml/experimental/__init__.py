"""Names that JAX has under `jax.experimental`."""

from __future__ import annotations

from jitml import checkify
from jitml.callbacks import io_callback

__all__ = ["checkify", "io_callback"]
