"""`shard_map`, `smap`, `pmap`: a function of what each device has; the one device has everything.

In: functions, and specs of their arguments and results. Out: functions that call them once, with
the mesh's axes bound to their names, so that collectives run over them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from jitml.compilation import jit
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, TransformError, TreeError
from jitml.ir.source import user_source
from jitml.lax.collectives import axis_size as size_of_axis
from jitml.sharding import AbstractMesh, PartitionSpec, check_rank, check_spec, get_mesh
from jitml.signature import name_of
from jitml.tree import broadcast_leaves, leaves
from jitml.tree import map as tree_map
from jitml.vectorization import vmap

__all__ = ["pmap", "shard_map", "smap"]

_PREFIX = "specs are a tree like that of the values, or a prefix of it"
_ANY: Any = object()  # specs that are not given


def shard_map(
    f: Callable[..., Any] | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = _ANY,
    mesh: AbstractMesh | None = None,
    axis_names: Iterable[Hashable] = frozenset(),
    check_vma: bool = True,
) -> Any:
    """The function that applies `f` to what each device has of its arguments.

    There is one device, so `f` gets them whole; the axes of the mesh have names in it and size 1,
    so that `lax.psum` and its kin work. Specs must fit the mesh and the arrays.

    >>> import jitml, jitml.numpy as jnp
    >>> from jitml.sharding import PartitionSpec as P
    >>> mesh = jitml.make_mesh((1,), ("x",))
    >>> total = shard_map(lambda x: jitml.lax.psum(x.sum(), "x"), mesh=mesh,
    ...                   in_specs=P("x"), out_specs=P())
    >>> print(total(jnp.ones(4)))
    4.0
    """
    options = {"out_specs": out_specs, "in_specs": in_specs, "mesh": mesh, "axis_names": axis_names}
    if f is None:
        return functools.partial(shard_map, check_vma=check_vma, **options)
    function: Callable[..., Any] = f

    @functools.wraps(function, updated=())
    def mapped(*args: Any) -> Any:
        around = _mesh(mesh, "shard_map")
        if in_specs is not _ANY:
            _check_specs(in_specs, args, around, f"shard_map: in_specs of {name_of(function)}")
        names = [n for n in around.axis_names if not axis_names or n in set(axis_names)]
        result = _with_axes(function, names, args)
        _check_specs(out_specs, result, around, f"shard_map: out_specs of {name_of(function)}")
        return result

    return mapped


def smap(
    f: Callable[..., Any] | None = None,
    /,
    *,
    in_axes: Any = _ANY,
    out_axes: Any,
    axis_name: Hashable,
) -> Any:
    """`shard_map` over one axis of the mesh around, with axes as `vmap` has them.

    >>> import jitml, jitml.numpy as jnp
    >>> with jitml.set_mesh(jitml.make_mesh((1,), ("x",))):
    ...     print(smap(lambda x: jitml.lax.psum(x, "x"), out_axes=0, axis_name="x")(jnp.ones(2)))
    [1. 1.]
    """
    if f is None:
        return functools.partial(smap, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name)
    function: Callable[..., Any] = f

    @functools.wraps(function, updated=())
    def mapped(*args: Any) -> Any:
        around = _mesh(None, "smap")
        check_spec(PartitionSpec(axis_name), around, "smap")
        return _with_axes(function, [axis_name], args)

    return mapped


def pmap(
    fun: Callable[..., Any],
    axis_name: Hashable | None = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Sequence[int] = (),
    devices: Sequence[Any] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """The function, compiled, that applies `fun` to each element along an axis of its arguments, on
    a device each. There is one device, so the axis has size 1.

    >>> import jitml, jitml.numpy as jnp
    >>> print(pmap(lambda x: x / jitml.lax.psum(x, "i"), axis_name="i")(jnp.ones((1, 3))))
    [[1. 1. 1.]]
    """
    check_callable("pmap", fun)
    name = _Devices() if axis_name is None else axis_name
    listed = static_broadcasted_argnums
    static = (listed,) if isinstance(listed, int) else tuple(listed)
    axes = tuple(in_axes) if isinstance(in_axes, (list, tuple)) else in_axes

    @functools.wraps(fun, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        places = [k for k in range(len(args)) if k not in static]

        def element(*rest: Any, **kwargs: Any) -> Any:
            count = size_of_axis(name)
            if count != 1:
                raise TransformError(
                    f"pmap: {count} elements need {count} devices, and there is one",
                    hint="jit(vmap(f, axis_name=…)) computes the same; threads share its work",
                    source=user_source(),
                )
            filled = list(args)
            for place, x in zip(places, rest, strict=True):
                filled[place] = x
            return fun(*filled, **kwargs)

        own = axes
        if isinstance(axes, tuple) and len(axes) == len(args):
            own = tuple([axes[k] for k in places])
        mapping = vmap(element, own, out_axes, name, axis_size)
        return mapping(*[args[k] for k in places], **kwargs)

    compiled: Callable[..., Any] = jit(mapped, static_argnums=static, donate_argnums=donate_argnums)
    return compiled


class _Devices:
    """The name of an axis that nobody has named."""


def _mesh(given: AbstractMesh | None, name: str) -> AbstractMesh:
    """The mesh that is given, or around; each of its axes has size 1."""
    mesh: AbstractMesh = get_mesh() if given is None else given
    if mesh.empty:
        raise _failure(
            f"{name}: there is no mesh",
            "pass mesh=jitml.make_mesh(…), or call it inside `with jitml.set_mesh(mesh):`",
        )
    if mesh.size != 1:
        raise _failure(f"{name}: {mesh} needs {mesh.size} devices, there is 1")
    return mesh


def _with_axes(f: Callable[..., Any], names: list[Hashable], args: tuple[Any, ...]) -> Any:
    """`f(*args)`, in which each of `names` is an axis of size 1."""
    for name in names:
        f = vmap(f, in_axes=None, axis_name=name, axis_size=1)
    return tree_map(lambda x: x.reshape(x.shape[len(names) :]), f(*args))


def _check_specs(specs: Any, tree: Any, mesh: AbstractMesh, name: str) -> None:
    """Raise unless specs are a prefix of a tree of arrays, and fit them and the mesh."""
    try:
        found = broadcast_leaves(specs, tree, lambda x: x is None, name)
    except TreeError as error:
        raise TreeError(error.message, hint=_PREFIX, source=user_source()) from None
    for spec, x in zip(found, leaves(tree), strict=True):
        if spec is not None and not isinstance(spec, PartitionSpec):
            raise _failure(f"{name}: {spec!r} is not a PartitionSpec", "write P('x', None)")
        if spec is not None:
            check_spec(spec, mesh, name)
            check_rank(spec, len(getattr(x, "shape", ())), name)


def _failure(message: str, hint: str = "") -> ArgumentError:
    return ArgumentError(message, hint=hint, source=user_source())
