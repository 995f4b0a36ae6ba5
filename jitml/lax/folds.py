"""Folds with computations of the user's own, over axes and over windows.

In: arrays, values to start from, and an associative function of two of them. Out: the folded
arrays. Neighbours are combined pair by pair, so that n elements take log₂ n steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jitml.numpy as jnp
from jitml.ir.errors import TreeError
from jitml.lax import movement
from jitml.lax.operands import strict
from jitml.numpy.operands import as_axes, fail, settle
from jitml.ops.reduce_window import padding_pairs
from jitml.trace.core import type_of
from jitml.trace.forms import traced_form
from jitml.tree_structure import Structure, flatten
from jitml.vectorization import vmap

Pairs = Sequence[tuple[int, int]]


class Fold:
    """A computation over trees of scalars, applied to flat lists of arrays element by element."""

    def __init__(self, name: str, computation: Callable[[Any, Any], Any], structure: Structure):
        self.name = name
        self.computation = computation
        self.structure = structure

    def combined(self, xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
        """What the computation gives for arrays of one shape."""
        shape = xs[0].shape
        flat = vmap(self._on_scalars)([x.ravel() for x in xs], [y.ravel() for y in ys])
        return [x.reshape(shape).astype(old.dtype) for x, old in zip(flat, xs, strict=True)]

    def _on_scalars(self, xs: list[Any], ys: list[Any]) -> list[Any]:
        given = (self.structure.unflatten(xs), self.structure.unflatten(ys))
        leaves, structure = flatten(traced_form(self.computation)(*given))
        if structure != self.structure:
            fail(
                TreeError,
                f"{self.name}: the computation returns {structure} for operands {self.structure}",
            )
        return [jnp.asarray(x) for x in leaves]

    def over_first_axis(self, xs: Sequence[Any], starts: Sequence[Any]) -> list[Any]:
        """The fold along the first axis, after the values to start from."""
        rows = [*xs]
        while (count := rows[0].shape[0]) > 1:
            even, odd = ([x[k : count - count % 2 : 2] for x in rows] for k in (0, 1))
            rest = [x[count - count % 2 :] for x in rows]
            paired = self.combined(even, odd)
            rows = [jnp.concatenate(both) for both in zip(paired, rest, strict=True)]
        before = [jnp.broadcast_to(s, x.shape[1:]) for s, x in zip(starts, rows, strict=True)]
        return self.combined(before, [x[0] for x in rows]) if rows[0].shape[0] else before


def _opened(
    name: str, operands: Any, starts: Any, computation: Callable[[Any, Any], Any]
) -> tuple[Fold, list[Any], list[Any]]:
    xs, structure = flatten(operands)
    values, other = flatten(starts)
    if structure != other:
        fail(TreeError, f"{name}: operands are {structure}, the values to start from {other}")
    rows = [[settle(v) for v in strict(name, *row)] for row in zip(xs, values, strict=True)]
    return Fold(name, computation, structure), [x for x, _ in rows], [v for _, v in rows]


def fold_axes(
    operands: Any, starts: Any, computation: Callable[[Any, Any], Any], dimensions: Sequence[int]
) -> Any:
    """`lax.reduce` for any computation, of one array or a tree of arrays of one shape."""
    fold, xs, values = _opened("reduce", operands, starts, computation)
    axes = as_axes(tuple(dimensions), xs[0].ndim, "reduce")
    kept = [n for k, n in enumerate(xs[0].shape) if k not in axes]
    count = math.prod(xs[0].shape[a] for a in axes)
    front = [jnp.moveaxis(x, axes, range(len(axes))).reshape(count, *kept) for x in xs]
    return fold.structure.unflatten(fold.over_first_axis(front, values))


def fold_windows(
    operands: Any,
    starts: Any,
    computation: Callable[[Any, Any], Any],
    sizes: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Pairs,
    base_dilation: Sequence[int] | None,
    window_dilation: Sequence[int] | None,
) -> Any:
    """`lax.reduce_window` for any computation, of one array or a tree of arrays of one shape."""
    fold, xs, values = _opened("reduce_window", operands, starts, computation)
    ones = (1,) * len(sizes)
    steps, base, spread = strides or ones, base_dilation or ones, window_dilation or ones
    wide = [(n - 1) * d + 1 if n else 0 for n, d in zip(xs[0].shape, base, strict=True)]
    spans = [(n - 1) * d + 1 for n, d in zip(sizes, spread, strict=True)]
    pairs = padding_pairs(padding, wide, spans, steps)
    config = [(low, high, d - 1) for (low, high), d in zip(pairs, base, strict=True)]
    padded = [movement.pad(x, v, config) for x, v in zip(xs, values, strict=True)]
    limits = [n - span + 1 for n, span in zip(type_of(padded[0]).shape, spans, strict=True)]
    places = list(itertools.product(*map(range, sizes)))

    def piece(x: Any, place: Sequence[int]) -> Any:
        first = [k * d for k, d in zip(place, spread, strict=True)]
        last = [k + max(n, 0) for k, n in zip(first, limits, strict=True)]
        return movement.slice(x, first, last, steps)

    stacked = [jnp.stack([piece(x, place) for place in places]) for x in padded]
    return fold.structure.unflatten(fold.over_first_axis(stacked, values))
