"""`jax.experimental.pjit`: on one device it is `jit`."""

from __future__ import annotations

from jitml.compilation import jit as pjit

__all__ = ["pjit"]
