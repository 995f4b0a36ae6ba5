"""What programs ask of `jax.version`: the release whose names jitml has."""

from __future__ import annotations

from jitml.as_jax.modules import JAX_VERSION

__version__ = JAX_VERSION
__version_info__ = tuple(int(part) for part in JAX_VERSION.split("."))
