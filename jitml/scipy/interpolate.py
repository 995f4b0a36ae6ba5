"""Interpolation on grids: the names and signatures of `jax.scipy.interpolate`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.numpy.operands import fail, floated, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["RegularGridInterpolator"]


class RegularGridInterpolator:
    """A function of points that is known on a grid: `values[i, j, …]` at (points[0][i], …).

    Each axis of the grid rises. `method` is "linear" or "nearest"; outside of the grid lies
    `fill_value`, or what the outermost cells give, with None.

    >>> import jitml.numpy as jnp
    >>> grid = jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 5.0])
    >>> f = RegularGridInterpolator(grid, jnp.arange(6.0).reshape(3, 2))
    >>> print(f(jnp.array([[1.5, 4.5], [3.0, 4.0]])))
    [1.5 4. ]
    """

    def __init__(
        self,
        points: Sequence[ArrayLike],
        values: ArrayLike,
        method: str = "linear",
        bounds_error: bool = False,
        fill_value: ArrayLike | None = math.nan,
    ) -> None:
        self.method = _checked(method)
        if bounds_error:
            fail(
                ArgumentError,
                "RegularGridInterpolator: bounds_error=True is not supported",
                "compare the points with the grid",
            )
        self.bounds_error = bounds_error
        self.values = settle(floated("RegularGridInterpolator", values))
        self.grid = tuple(jnp.asarray(p) for p in points)
        sizes = self.values.shape[: len(self.grid)]
        if tuple(g.size for g in self.grid) != sizes or any(g.ndim != 1 for g in self.grid):
            listed = ", ".join(str(type_of(g)) for g in self.grid)
            fail(
                ShapeError,
                f"RegularGridInterpolator: points {listed} for values {type_of(self.values)}",
                "each is a vector with a number for each index of its axis",
            )
        self.fill_value = None if fill_value is None else jnp.asarray(fill_value)
        is_complex = self.fill_value is not None and jnp.iscomplexobj(self.fill_value)
        if is_complex and not jnp.iscomplexobj(self.values):
            fail(DTypeError, "RegularGridInterpolator: fill_value is complex, the values are not")

    def __call__(self, xi: Any, method: str | None = None) -> Array:
        """The function at points, whose coordinates are the last axis (or a tuple of arrays)."""
        kind = self.method if method is None else _checked(method)
        points = (
            jnp.stack(jnp.broadcast_arrays(*xi), -1) if isinstance(xi, tuple) else jnp.asarray(xi)
        )
        rank = len(self.grid)
        if points.ndim == 1:
            points = points[:, None] if rank == 1 else points[None]
        if points.shape[-1] != rank:
            fail(
                ShapeError,
                f"RegularGridInterpolator: points with {points.shape[-1]} coordinates in a grid of "
                f"{rank} dimensions",
            )
        flat = points.reshape(-1, rank)
        cells = [_cell(g, flat[:, k]) for k, g in enumerate(self.grid)]
        found = self._nearest(cells) if kind == "nearest" else self._linear(cells)
        if self.fill_value is not None:
            outside = [(flat[:, k] < g[0]) | (flat[:, k] > g[-1]) for k, g in enumerate(self.grid)]
            mask = jnp.stack(outside).any(0)
            found = jnp.where(self._column(mask), self.fill_value.astype(found.dtype), found)
        return found.reshape(*points.shape[:-1], *self.values.shape[rank:])

    def _column(self, x: Any) -> Any:
        """A number for each point, beside the axes of a value."""
        return x.reshape(-1, *(1,) * (self.values.ndim - len(self.grid)))

    def _linear(self, cells: Sequence[tuple[Any, Any]]) -> Any:
        total: Any = 0
        for corner in itertools.product((0, 1), repeat=len(cells)):
            shares = [y if up else 1 - y for (_, y), up in zip(cells, corner, strict=True)]
            found = self.values[tuple(k + up for (k, _), up in zip(cells, corner, strict=True))]
            total = total + self._column(math.prod(shares, start=1.0)) * found
        return total

    def _nearest(self, cells: Sequence[tuple[Any, Any]]) -> Any:
        return self.values[tuple(jnp.where(y <= 0.5, k, k + 1) for k, y in cells)]


def _checked(method: str) -> str:
    if method not in ("linear", "nearest"):
        fail(ArgumentError, f"RegularGridInterpolator: method is {method!r}",
             "it is 'linear' or 'nearest'")  # fmt: skip
    return method


def _cell(grid: Any, x: Any) -> tuple[Any, Any]:
    """The number of the interval that each x lies in, and how far between its ends."""
    place = jnp.clip(jnp.searchsorted(grid, x) - 1, 0, max(grid.size - 2, 0))
    low, high = grid[place], grid[place + 1]
    return place, (x - low) / (high - low)
