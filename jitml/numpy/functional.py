"""Functions of scalars or vectors applied all over arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.creation import asarray
from jitml.numpy.manipulation import expand_dims, moveaxis, reshape
from jitml.numpy.operands import as_axis, broadcast_hint, fail, joined_shape, operand, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike
from jitml.vectorization import vmap

__all__ = ["apply_along_axis", "apply_over_axes", "vectorize"]


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any
) -> Array:
    """`func1d` applied to each vector along an axis.

    >>> import jitml.numpy as jnp
    >>> print(apply_along_axis(jnp.sum, 1, jnp.ones((2, 3))))
    [3. 3.]
    """
    x = operand(arr, "apply_along_axis")
    rank = type_of(x).ndim
    where_ = as_axis(axis, rank, "apply_along_axis")
    lines = moveaxis(settle(x), where_, -1)

    def function(line: Any) -> Any:
        return asarray(func1d(line, *args, **kwargs))

    for _ in range(rank - 1):
        function = vmap(function)
    result = function(lines)
    extra = result.ndim - (rank - 1)
    return moveaxis(
        result, list(range(rank - 1, rank - 1 + extra)), list(range(where_, where_ + extra))
    )


def apply_over_axes(func: Callable[..., Any], a: ArrayLike, axes: Any) -> Array:
    """`func(x, axis)` over one axis after the other; axes that it takes away stay with size 1.

    >>> import jitml.numpy as jnp
    >>> print(apply_over_axes(jnp.sum, jnp.ones((2, 3)), [0, 1]))
    [[6.]]
    """
    x = asarray(a)
    for axis in axes if isinstance(axes, (list, tuple)) else (axes,):
        where = as_axis(axis, x.ndim, "apply_over_axes")
        result = asarray(func(x, where))
        if result.ndim == x.ndim - 1:
            result = expand_dims(result, where)
        if result.ndim != x.ndim:
            fail(
                ShapeError,
                f"apply_over_axes: the function made shape {result.shape} of {x.shape}",
                "it must keep the number of axes, or take away the one that it is given",
            )
        x = result
    return x


# ---- vectorize ------------------------------------------------------------------------------

_Dims = tuple[tuple[str, ...], ...]


def _parsed(signature: str) -> tuple[_Dims, _Dims]:
    """The names of the axes of inputs and outputs: "(m,n),(n)->(m)"."""

    def terms(text: str) -> _Dims:
        text = text.replace(" ", "")
        if not (text.startswith("(") and text.endswith(")")):
            raise ValueError(text)
        found = []
        for term in text[1:-1].split("),("):
            names = tuple(term.split(",")) if term else ()
            if not all(name.isidentifier() or name.isdigit() for name in names):
                raise ValueError(term)
            found.append(names)
        return tuple(found)

    try:
        inputs, outputs = signature.split("->")
        return terms(inputs), terms(outputs)
    except ValueError:
        fail(
            ArgumentError,
            f"vectorize: {signature!r} is not a signature",
            'it names the axes of arguments and results, as in "(m,n),(n)->(m)"',
        )


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] = frozenset(),
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function of scalars, or of arrays with the axes that the signature names, for arrays with
    more axes in front, which broadcast.

    Arguments that are `excluded`, by position or name, are passed on as they are.

    >>> import jitml.numpy as jnp
    >>> product = vectorize(jnp.dot, signature="(n),(n)->()")
    >>> print(product(jnp.ones((2, 3)), jnp.ones(3)))
    [3. 3.]
    """
    if any(not isinstance(e, (int, str)) for e in excluded):
        fail(ArgumentError, f"vectorize: excluded are positions and names, not {excluded!r}")
    dims = None if signature is None else _parsed(signature)

    @functools.wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        kept = {k: a for k, a in enumerate(args) if k in excluded or a is None}
        named = {k: a for k, a in kwargs.items() if k in excluded or a is None}
        names = [k for k in kwargs if k not in named]
        places = [k for k in range(len(args)) if k not in kept]
        arrays = [asarray(args[k]) for k in places] + [asarray(kwargs[k]) for k in names]

        def function(*given: Any) -> Any:
            found = dict(zip(places, given, strict=False))
            mine = [kept[k] if k in kept else found[k] for k in range(len(args))]
            others = dict(zip(names, given[len(places) :], strict=True))
            return pyfunc(*mine, **named, **others)

        if dims is None:
            return _mapped(function, arrays, [()] * len(arrays), None)
        inputs = [dims[0][k] for k in range(len(dims[0])) if k not in kept or k in places]
        if len(inputs) != len(arrays):
            inputs = list(dims[0])
        if len(inputs) != len(arrays):
            fail(
                ArgumentError,
                f"vectorize: {len(arrays)} arrays for the {len(inputs)} of {signature!r}",
            )
        return _mapped(function, arrays, inputs, dims[1])

    return wrapped


def _mapped(
    function: Callable[..., Any],
    arrays: list[Any],
    inputs: Sequence[tuple[str, ...]],
    outputs: _Dims | None,
) -> Any:
    """`function` mapped over the axes in front of those that it takes."""
    sizes: dict[str, int] = {}
    outer = []
    for x, names in zip(arrays, inputs, strict=True):
        rank = x.ndim - len(names)
        if rank < 0:
            fail(ShapeError, f"vectorize: {type_of(x)} lacks axes for ({','.join(names)})")
        _note_sizes(sizes, names, x.shape[rank:])
        outer.append(x.shape[:rank])
    try:
        shape = joined_shape(outer)
    except ValueError:
        fail(ShapeError, f"vectorize: shapes do not broadcast: {outer}", broadcast_hint(outer))
    checked = function if outputs is None else _checked(function, outputs, sizes)
    for axis in reversed(range(len(shape))):
        mapped = tuple(
            0
            if (axis >= len(shape) - len(own) and own[axis - len(shape)] != 1)
            or (shape[axis] == 1 and axis >= len(shape) - len(own))
            else None
            for own in outer
        )
        checked = vmap(checked, in_axes=mapped, axis_size=shape[axis])
    squeezed = [_without_ones(x, own, shape) for x, own in zip(arrays, outer, strict=True)]
    return checked(*squeezed)


def _without_ones(x: Any, own: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """`x` without outer axes of size 1 where others are longer: nothing is mapped over them."""
    wide = shape[len(shape) - len(own) :]
    kept = [n for n, m in zip(own, wide, strict=True) if n == m]
    return reshape(x, (*kept, *x.shape[len(own) :]))


def _note_sizes(sizes: dict[str, int], names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    for name, n in zip(names, shape, strict=True):
        expected = int(name) if name.isdigit() else sizes.setdefault(name, n)
        if expected != n:
            fail(ShapeError, f"vectorize: axis {name} has the sizes {expected} and {n}")


def _checked(
    function: Callable[..., Any], outputs: _Dims, sizes: dict[str, int]
) -> Callable[..., Any]:
    """`function`, whose results must have the axes that the signature names."""

    def check(*args: Any) -> Any:
        results = function(*args)
        found = results if isinstance(results, (tuple, list)) else (results,)
        if len(found) != len(outputs):
            fail(
                ArgumentError, f"vectorize: {len(found)} results, the signature has {len(outputs)}"
            )
        known = dict(sizes)
        for result, names in zip(found, outputs, strict=True):
            shape = type_of(operand(result, "vectorize")).shape
            if len(shape) != len(names):
                fail(ShapeError, f"vectorize: a result of shape {shape} for ({','.join(names)})")
            _note_sizes(known, names, shape)
        return results

    return check
