"""Signals without their trend."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import as_axis, fail, floated, settle
from jitml.typing import Array, ArrayLike

__all__ = ["detrend"]


def detrend(
    data: ArrayLike,
    axis: int = -1,
    type: str = "linear",
    bp: int | Sequence[int] | np.ndarray[Any, Any] = 0,
    overwrite_data: None = None,
) -> Array:
    """A signal less its mean ("constant") or the straight line that is nearest ("linear").

    Lines end at the places `bp`, and begin anew.

    >>> import jitml.numpy as jnp
    >>> print(detrend(jnp.array([1.0, 2.0, 4.0]), type="constant").sum().round(5))
    0.0
    """
    x = settle(floated("detrend", data))
    where = as_axis(axis, x.ndim, "detrend")
    if overwrite_data is not None:
        fail(ArgumentError, "detrend: overwrite_data has no meaning", "arrays never change")
    if type not in ("linear", "constant"):
        fail(ArgumentError, f"detrend: type is {type!r}", "it is 'linear' or 'constant'")
    if type == "constant":
        return x - x.mean(where, keepdims=True)
    size = x.shape[where]
    ends = np.unique(np.append(np.ravel(bp), [0, size])).astype(int)
    if ends[0] < 0 or ends[-1] > size:
        fail(ArgumentError, f"detrend: bp is {bp}", f"places lie between 0 and {size}")
    rows = jnp.moveaxis(x, where, -1)
    pieces = [_less_line(rows[..., a:b]) for a, b in itertools.pairwise(ends)]
    return jnp.moveaxis(jnp.concatenate(pieces, -1) if pieces else rows, -1, where)


def _less_line(x: Any) -> Any:
    """Rows less the line through their centre with the least sum of squared distances."""
    size = x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    if size == 1:
        return centred
    place = jnp.arange(size, dtype=x.real.dtype) - (size - 1) / 2
    squares = size * (size * size - 1) / 12
    return centred - (centred * place).sum(-1, keepdims=True) / squares * place
