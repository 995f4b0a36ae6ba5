"""Arrays read between their elements: the names and signatures of `jax.scipy.ndimage`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jitml.numpy as jnp
from jitml import lax
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail
from jitml.typing import Array, ArrayLike

__all__ = ["map_coordinates"]


def _mirrored(place: Any, size: int) -> Any:
    """Places that go back and forth between 0 and size − 1."""
    last = max(size - 1, 1)
    return jnp.abs((place + last) % (2 * last) - last) if size > 1 else place * 0


# Where a place outside lies inside.
_MODES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda place, size: jnp.clip(place, 0, size - 1),
    "nearest": lambda place, size: jnp.clip(place, 0, size - 1),
    "wrap": lambda place, size: place % size,
    "mirror": _mirrored,
    "reflect": lambda place, size: _mirrored(2 * place + 1, 2 * size + 1) // 2,
}


def map_coordinates(
    input: ArrayLike,
    coordinates: Sequence[ArrayLike],
    order: int,
    mode: str = "constant",
    cval: ArrayLike = 0.0,
) -> Array:
    """The array at places given by one array of coordinates for each axis.

    `order` is 0 for the nearest element, 1 for straight lines between neighbours. Outside, `mode`
    says what counts: "constant" (`cval`), "nearest", "wrap", "mirror" or "reflect".

    >>> import jitml.numpy as jnp
    >>> x = jnp.arange(12.0).reshape(3, 4)
    >>> print(map_coordinates(x, [jnp.array([0.5, 2.0]), jnp.array([1.5, 2.5])], order=1))
    [ 3.5 10.5]
    """
    x, places = jnp.asarray(input), [jnp.asarray(c) for c in coordinates]
    if len(places) != x.ndim:
        fail(ShapeError, f"map_coordinates: {len(places)} coordinates for {x.ndim} dimensions")
    if mode not in _MODES:
        fail(
            ArgumentError, f"map_coordinates: mode is {mode!r}", f"it is one of {', '.join(_MODES)}"
        )
    if order not in (0, 1):
        fail(ArgumentError, f"map_coordinates: order is {order!r}", "it is 0 or 1")
    corners = [_neighbours(place, order) for place in places]
    total: Any = 0
    for corner in itertools.product(*corners):
        inside = [_MODES[mode](k, n) for (k, _), n in zip(corner, x.shape, strict=True)]
        found = x[tuple(inside)]
        if mode == "constant":
            for (k, _), n in zip(corner, x.shape, strict=True):
                found = jnp.where((k >= 0) & (k < n), found, jnp.asarray(cval, x.dtype))
        total = total + math.prod((w for _, w in corner), start=1.0) * found
    if dtypes.is_integer(x.dtype):
        total = lax.round(total)
    return total.astype(x.dtype)


def _neighbours(place: Any, order: int) -> list[tuple[Any, Any]]:
    """The elements that count at a place along one axis, and how much."""
    if dtypes.is_integer(place.dtype):
        return [(place, 1.0)]
    if order == 0:
        return [(lax.round(place).astype("int32"), 1.0)]
    below = jnp.floor(place)
    first, share = below.astype("int32"), place - below
    return [(first, 1 - share), (first + 1, share)]
