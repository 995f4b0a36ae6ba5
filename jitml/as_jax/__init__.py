"""JAX programs on jitml: `python -m jitml.as_jax program.py …`, or `install()` before `import jax`.

In: nothing. Out: `import jax` and its kin give modules that hand on what jitml has under JAX's
names. JAX's conventions hold from then on in this process (see `jitml.trace.conventions`). A JAX
that is installed is neither imported nor touched.
"""

from __future__ import annotations

import os
import sys

from jitml.as_jax.modules import JAX_VERSION, Finder
from jitml.config import update_from_environment
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.trace.conventions import CONVENTIONS

__all__ = ["JAX_VERSION", "install", "is_installed"]


def install() -> None:
    """Let `import jax`, `import jax.numpy as jnp`, `from jax import lax` and their kin give jitml.

    Names are those of JAX 0.10.2; one that jitml lacks raises an error that says so. JAX's own
    conventions hold from now on, in the whole process: 64-bit numbers become 32 bits wide unless
    `jax_enable_x64` is set (also by the environment variable `JAX_ENABLE_X64`), indices out of
    bounds are clamped or dropped, and Python's `if` on a traced value is an error. Call it before
    anything else; once is enough.

    >>> from jitml import as_jax
    >>> as_jax.is_installed()
    False
    """
    if is_installed():
        return
    if "jax" in sys.modules:
        raise ArgumentError(
            "as_jax: JAX itself has been imported already",
            hint="call jitml.as_jax.install() before the first `import jax`",
            source=user_source(),
        )
    sys.meta_path.insert(0, Finder())
    CONVENTIONS.are_of_jax = True
    update_from_environment(os.environ)
    if "jitml.compilation" in sys.modules:
        from jitml.compilation import clear_caches

        clear_caches()


def is_installed() -> bool:
    """Whether `import jax` gives jitml.

    >>> is_installed()
    False
    """
    return any(isinstance(finder, Finder) for finder in sys.meta_path)
