"""`jax.experimental.shard_map`, whose arguments are given by position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml import shard_mapping

__all__ = ["shard_map"]


def shard_map(
    f: Callable[..., Any],
    mesh: Any,
    in_specs: Any,
    out_specs: Any,
    check_rep: bool = True,
    auto: frozenset[Any] = frozenset(),
) -> Any:
    """As `jitml.shard_map`.

    >>> import jitml
    >>> mesh, spec = jitml.make_mesh((1,), ("x",)), jitml.P()
    >>> print(shard_map(lambda x: x + 1, mesh, in_specs=spec, out_specs=spec)(1.0))
    2.0
    """
    return shard_mapping.shard_map(f, mesh=mesh, in_specs=in_specs, out_specs=out_specs)
