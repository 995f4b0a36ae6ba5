"""The ops: each in one place, with all its rules.

Files by kind. A kind (elementwise, reduction, movement, contraction, control) supplies what its ops
have in common. Ops bind through `trace` and lower through `scalar`; they know no transform and no
backend.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The folds of segments, which users know as `jitml.ops`, as JAX has them: part of the API,
    which ops do not know.
    """
    if name not in ("segment_max", "segment_min", "segment_prod", "segment_sum"):
        raise AttributeError(f"module 'jitml.ops' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("jitml.segments"), name)
