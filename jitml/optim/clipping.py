"""Gradients that are kept small: before they are given to an optimiser.

In: trees of arrays. Out: such trees.
"""

from __future__ import annotations

from typing import Any

import jitml.numpy as jnp
from jitml import tree

__all__ = ["clip", "clip_by_global_norm", "global_norm"]


def global_norm(gradients: Any) -> Any:
    """The length of all arrays of a tree as one vector.

    >>> print(global_norm({"a": 3.0, "b": jnp.array([4.0])}))
    5.0
    """
    squares = [jnp.sum(jnp.abs(jnp.asarray(x)) ** 2) for x in tree.leaves(gradients)]
    return jnp.sqrt(sum(squares, start=jnp.zeros(())))


def clip(gradients: Any, limit: float) -> Any:
    """Each element kept between -limit and limit.

    >>> clip({"a": jnp.array([0.5, -3.0])}, 1.0)
    {'a': Array([ 0.5, -1. ], dtype=float32)}
    """
    return tree.map(lambda g: jnp.clip(g, -limit, limit), gradients)


def clip_by_global_norm(gradients: Any, limit: float) -> Any:
    """All shortened by the same factor, where their length is more than `limit`.

    >>> clip_by_global_norm([jnp.array([3.0, 4.0])], 1.0)
    [Array([0.6, 0.8], dtype=float32)]
    """
    norm = global_norm(gradients)

    def shortened(g: Any) -> Any:
        return jnp.where(norm < limit, g, (g / norm.astype(g.dtype)) * limit)

    return tree.map(shortened, gradients)
