"""Functions made of loops: a function over rows one after the other, prefixes in a tree."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.errors import ArgumentError, ShapeError, TreeError
from jitml.lax.bodies import leading_size, refuse, tree_of
from jitml.lax.control_flow import scan
from jitml.lax.movement import concatenate, expand_dims, reshape, rev, slice_in_dim
from jitml.trace.core import type_of
from jitml.trace.forms import traced_form
from jitml.tree_structure import flatten

__all__ = [
    "associative_scan", "map",
]  # fmt: skip

Values = Sequence[Any]


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """`f` of each slice of `xs` along the first axis, one after the other; the results stacked.

    With `batch_size` so many at a time, by `vmap`.

    >>> import jitml.numpy as jnp
    >>> print(map(lambda x: x * x, jnp.arange(4)))
    [0 1 4 9]
    """
    if batch_size is None:
        return scan(lambda _, x: ((), traced_form(f)(x)), (), xs)[1]
    from jitml.vectorization import vmap

    rows, size = tree_of(xs, "map: xs"), operator.index(batch_size)
    if size < 1:
        refuse(ArgumentError, f"map: batch_size is {size}", "it must be at least 1")
    count = leading_size("map", rows, None)
    whole = count // size * size
    blocks = [_blocked(x, 0, whole, size) for x in rows.leaves]
    _, stacked = scan(lambda _, x: ((), vmap(f)(x)), (), rows.structure.unflatten(blocks))
    leaves, structure = flatten(stacked)
    found = [reshape(y, (whole, *y.shape[2:])) for y in leaves]
    if whole < count:
        rest = rows.structure.unflatten([slice_in_dim(x, whole, count) for x in rows.leaves])
        tails = flatten(vmap(f)(rest))[0]
        found = [concatenate([a, b], 0) for a, b in zip(found, tails, strict=True)]
    return structure.unflatten(found)


def _blocked(x: Any, start: int, stop: int, size: int) -> Any:
    shape = type_of(x).shape[1:]
    return reshape(slice_in_dim(x, start, stop), ((stop - start) // size, size, *shape))


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """All prefixes of `elems` along an axis, combined by the associative `fn` (of whole slices).

    >>> import jitml.numpy as jnp
    >>> print(associative_scan(lambda a, b: a * b, jnp.arange(1, 6)))
    [  1   2   6  24 120]
    """
    if not callable(fn):
        refuse(ArgumentError, f"associative_scan: a {type(fn).__name__} is given, not a function")
    tree = tree_of(elems, "associative_scan: elems")
    sizes = {}
    for x, path in zip(tree.leaves, tree.paths, strict=True):
        type_ = type_of(x)
        if not -type_.ndim <= axis < type_.ndim:
            refuse(ArgumentError, f"associative_scan: elems{path} is {type_}: no axis {axis}")
        sizes[type_.shape[axis]] = f"elems{path}: {type_}"
    if len(sizes) > 1:
        listed = "; ".join(sizes.values())
        refuse(ShapeError, f"associative_scan: sizes along axis {axis} differ: {listed}")

    def combine(a: Values, b: Values) -> list[Any]:
        result = traced_form(fn)(tree.structure.unflatten(a), tree.structure.unflatten(b))
        leaves, structure = flatten(result)
        if structure != tree.structure:
            refuse(
                TreeError,
                f"associative_scan: the function returns {structure} for {tree.structure}",
                "it must return what it takes",
            )
        return leaves

    axes = [axis % type_of(x).ndim for x in tree.leaves]
    given = _turned(tree.leaves, axes) if reverse else tree.leaves
    found = _prefixes(combine, given, axes) if tree.leaves else []
    return tree.structure.unflatten(_turned(found, axes) if reverse else found)


def _turned(leaves: Values, axes: Sequence[int]) -> list[Any]:
    return [rev(x, (axis,)) for x, axis in zip(leaves, axes, strict=True)]


def _part(leaves: Values, axes: Sequence[int], start: int, stop: int, step: int = 1) -> list[Any]:
    return [slice_in_dim(x, start, stop, step, a) for x, a in zip(leaves, axes, strict=True)]


def _prefixes(
    combine: Callable[[Values, Values], list[Any]], leaves: Values, axes: Sequence[int]
) -> list[Any]:
    """Pairs first, prefixes of these, then the places between: 2·n combinations, log n deep."""
    count = type_of(leaves[0]).shape[axes[0]]
    if count < 2:
        return list(leaves)
    pairs = combine(_part(leaves, axes, 0, count - 1, 2), _part(leaves, axes, 1, count, 2))
    odd = _prefixes(combine, pairs, axes)
    even = _part(leaves, axes, 0, 1)
    if count > 2:
        before = odd if count % 2 else _part(odd, axes, 0, count // 2 - 1)
        rest = combine(before, _part(leaves, axes, 2, count, 2))
        even = [concatenate([a, b], k) for a, b, k in zip(even, rest, axes, strict=True)]
    return [_interleaved(a, b, axis) for a, b, axis in zip(even, odd, axes, strict=True)]


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """Slices of both in turns, `even` first; it may have one more."""
    count = type_of(odd).shape[axis]
    first = slice_in_dim(even, 0, count, 1, axis)
    pairs = concatenate([expand_dims(first, (axis + 1,)), expand_dims(odd, (axis + 1,))], axis + 1)
    shape = type_of(odd).shape
    joined = reshape(pairs, (*shape[:axis], 2 * count, *shape[axis + 1 :]))
    if type_of(even).shape[axis] == count:
        return joined
    return concatenate([joined, slice_in_dim(even, count, count + 1, 1, axis)], axis)
