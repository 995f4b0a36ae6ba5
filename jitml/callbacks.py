"""Python functions called from inside of compiled ones: `pure_callback` and `io_callback`.

In: a Python function and its arguments. Out: the arrays that it returns, wherever the call is
recorded: it runs when the program runs, on the thread that called the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import numpy as np

from jitml.abstract import abstract_type
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError, TreeError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.callback import Callback, HostFunction, IoCallback, PureCallback
from jitml.trace.core import bind
from jitml.transforms.values import as_value, is_array_like
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all",
                "legacy_vectorized")  # fmt: skip


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function without side effects, also inside of compiled programs.

    It gets Arrays and returns arrays as `result_shape_dtypes` (a tree of ShapeDtypeStructs) tells.
    It may be called more or less often than written: not at all if nobody needs its results.
    `vmap_method` says how vmap calls it: "sequential" (once for each element), "expand_dims" or
    "broadcast_all" (once for all, with an axis in front of all arguments; that of arguments which
    all elements share has size 1 or is repeated).

    >>> import jitml, jitml.numpy as jnp, numpy as np
    >>> shape = jitml.ShapeDtypeStruct((3,), "float32")
    >>> sort = jitml.jit(lambda x: pure_callback(lambda x: np.sort(x), shape, x))
    >>> sort(jnp.array([3.0, 1.0, 2.0]))
    Array([1., 2., 3.], dtype=float32)
    """
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ArgumentError(
            f"pure_callback: there is no vmap_method {vmap_method!r}",
            hint=f"vmap_method is one of {', '.join(VMAP_METHODS)}",
            source=user_source(),
        )

    def op(function: HostFunction, types: Sequence[ArrayType]) -> Callback:
        return PureCallback(function, *_columns(types), vmap_method)

    return _call("pure_callback", op, callback, result_shape_dtypes, args, kwargs)


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function with side effects, also inside of compiled programs: as often as
    written, in order.

    It gets Arrays and returns arrays as `result_shape_dtypes` (a tree of ShapeDtypeStructs, or
    None) tells. One call comes after the other in any case; with `ordered`, vmap refuses it.

    >>> import jitml, jitml.numpy as jnp, numpy as np
    >>> found = []
    >>> @jitml.jit
    ... def f(x):
    ...     io_callback(lambda x: found.append(float(x)), None, x)
    ...     return x + 1
    >>> print(f(1.0), found)
    2.0 [1.0]
    """

    def op(function: HostFunction, types: Sequence[ArrayType]) -> Callback:
        return IoCallback(function, *_columns(types), ordered)

    return _call("io_callback", op, callback, result_shape_dtypes, args, kwargs)


def _call(
    name: str,
    op: Callable[[HostFunction, Sequence[ArrayType]], Callback],
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    source = user_source()
    check_callable(name, callback)
    leaves, structure = flatten((args, kwargs))
    values = [as_value(x, f"{name}: an argument") for x in leaves]
    described, result = flatten(result_shape_dtypes)
    types = [abstract_type(as_value(x) if is_array_like(x) else x) for x in described]
    results = _Results(f"{name}: {name_of(callback)}", result)

    def flat(arrays: Sequence[Any], types: Sequence[ArrayType]) -> list[np.ndarray[Any, Any]]:
        given, named = structure.unflatten(arrays)
        return results.checked(callback(*given, **named), types)

    key = (name, identity(callback), structure, result, source.place)
    function = HostFunction.of(key, name_of(callback), callback, flat, source)
    return result.unflatten(bind(op(function, types), *values))


def _columns(types: Sequence[ArrayType]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return tuple([t.dtype for t in types]), tuple([t.shape for t in types])


def name_of(callback: Any) -> str:
    """What messages and graphs call a function."""
    return str(getattr(callback, "__name__", type(callback).__name__))


def identity(callback: Any) -> tuple[int, ...]:
    """What tells a function from all others that exist at the same time."""
    if isinstance(callback, MethodType):  # made anew at each access
        return (id(callback.__self__), id(callback.__func__))
    return (id(callback),)


class _Results:
    """What a callback is to return."""

    def __init__(self, name: str, structure: Structure) -> None:
        self.name = name
        self.structure = structure

    def checked(self, result: Any, types: Sequence[ArrayType]) -> list[np.ndarray[Any, Any]]:
        """The leaves of what it returned."""
        pairs, structure = flatten_with_path(result)
        if structure != self.structure:
            raise TreeError(
                f"{self.name} returned {structure}, but result_shape_dtypes has {self.structure}",
                hint="return arrays in the containers that result_shape_dtypes has",
            )
        rows = zip(pairs, types, strict=True)
        return [self._checked(keystr(path), x, type_) for (path, x), type_ in rows]

    def _checked(self, path: str, x: Any, type_: ArrayType) -> np.ndarray[Any, Any]:
        found = np.asarray(x)
        if found.shape != type_.shape:
            raise ShapeError(
                f"{self.name} returned an array of shape {found.shape} at result{path}, but "
                f"{type_} was expected",
                hint="result_shape_dtypes tells what it returns; under vmap an axis comes in front",
            )
        is_number = isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic)
        if found.dtype != type_.dtype and not (
            is_number and np.can_cast(found.dtype, type_.dtype, "same_kind")
        ):
            raise DTypeError(
                f"{self.name} returned dtype {found.dtype} at result{path}, but "
                f"result_shape_dtypes has {type_}",
                hint=f"return x.astype({type_.dtype.name!r}), or tell the dtype that it has",
            )
        return np.asarray(x if is_number else found, dtype=type_.dtype)


def effects_barrier() -> None:
    """Wait for the callbacks of all calls made so far: they have run when a call returns.

    >>> effects_barrier()
    """
