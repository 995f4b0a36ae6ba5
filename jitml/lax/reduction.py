"""Folds in `jitml.lax`: reductions, windows, running folds, sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.ir.types import ArrayType
from jitml.lax.operands import strict
from jitml.numpy.operands import as_axes, as_axis, as_dtype, fail, settle
from jitml.numpy.operands import operand as as_operand
from jitml.numpy.operands import operands as as_operands
from jitml.ops import cumulative as cu
from jitml.ops import elementwise as ew
from jitml.ops import reduce_window as rw
from jitml.ops import reduction as rd
from jitml.ops import sort as so
from jitml.ops import top_k as tk
from jitml.trace.core import trace_graph, type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "approx_max_k", "approx_min_k", "argmax", "argmin", "cumlogsumexp", "cummax", "cummin",
    "cumprod", "cumsum", "reduce", "reduce_and", "reduce_max", "reduce_min", "reduce_or",
    "reduce_prod", "reduce_sum", "reduce_window", "reduce_xor", "sort", "sort_key_val", "top_k",
]  # fmt: skip

Computation = Callable[[Any, Any], Any]
_FOLDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (rd.reduce_sum, ew.add),
    "mul": (rd.reduce_prod, ew.mul),
    "max": (rd.reduce_max, ew.maximum),
    "min": (rd.reduce_min, ew.minimum),
    "and": (rd.reduce_and, ew.and_),
    "or": (rd.reduce_or, ew.or_),
    "xor": (rd.reduce_xor, ew.xor),
}
_WINDOWS = {"add": "sum", "mul": "prod", "max": "max", "min": "min", "and": "and", "or": "or"}


def _fold(name: str, op: Callable[..., Any], summary: str, example: str) -> Callable[..., Any]:
    def function(operand: ArrayLike, axes: Sequence[int]) -> Array:
        x = as_operand(operand, name)
        return settle(op(x, as_axes(tuple(axes), type_of(x).ndim, name)))

    function.__name__ = function.__qualname__ = name
    call, result = example.split(" -> ")
    function.__doc__ = (
        f"{summary}\n\n    >>> import jitml.numpy as jnp\n    >>> print({call})\n    {result}\n    "
    )
    return function


_EXAMPLE = "(jnp.array([1, 2, 4]), (0,))"
reduce_prod = _fold(
    "reduce_prod", rd.reduce_prod, "The product along axes.", f"reduce_prod{_EXAMPLE} -> 8"
)


def _extreme(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
    """A fold of real numbers, or of complex ones as `jitml.numpy` orders them."""

    def fold(x: Any, axes: Sequence[int]) -> Any:
        if not dtypes.is_complex(type_of(x).dtype):
            return op(x, axes)
        from jitml.numpy import extremes

        return getattr(extremes, name)(x, tuple(axes))

    return fold


reduce_max = _fold(
    "reduce_max", _extreme("max", rd.reduce_max),
    "The greatest along axes.", f"reduce_max{_EXAMPLE} -> 4",
)  # fmt: skip
reduce_min = _fold(
    "reduce_min", _extreme("min", rd.reduce_min),
    "The smallest along axes.", f"reduce_min{_EXAMPLE} -> 1",
)  # fmt: skip
reduce_and = _fold(
    "reduce_and", rd.reduce_and, "The bits of all along axes.", f"reduce_and{_EXAMPLE} -> 0"
)
reduce_or = _fold(
    "reduce_or", rd.reduce_or, "The bits of any along axes.", f"reduce_or{_EXAMPLE} -> 7"
)
reduce_xor = _fold(
    "reduce_xor",
    rd.reduce_xor,
    "The bits of an odd number along axes.",
    f"reduce_xor{_EXAMPLE} -> 7",
)


def reduce_sum(operand: ArrayLike, axes: Sequence[int], *, out_sharding: object = None) -> Array:
    """The sum along axes.

    >>> import jitml.numpy as jnp
    >>> print(reduce_sum(jnp.array([1, 2, 4]), (0,)))
    7
    """
    x = as_operand(operand, "reduce_sum")
    return settle(rd.reduce_sum(x, as_axes(tuple(axes), type_of(x).ndim, "reduce_sum")))


def argmax(operand: ArrayLike, axis: int, index_dtype: DTypeLike) -> Array:
    """Where the greatest element along an axis is.

    >>> import jitml.numpy as jnp
    >>> print(argmax(jnp.array([1, 3, 2]), 0, "int32"))
    1
    """
    x = as_operand(operand, "argmax")
    return settle(rd.argmax(x, as_axis(axis, type_of(x).ndim, "argmax"), as_dtype(index_dtype)))


def argmin(operand: ArrayLike, axis: int, index_dtype: DTypeLike) -> Array:
    """Where the smallest element along an axis is.

    >>> import jitml.numpy as jnp
    >>> print(argmin(jnp.array([3, 1, 2]), 0, "int32"))
    1
    """
    x = as_operand(operand, "argmin")
    return settle(rd.argmin(x, as_axis(axis, type_of(x).ndim, "argmin"), as_dtype(index_dtype)))


# ---- general folds, of which some are recognised by what their computation does -------------


def _recognised(operands: Any, computation: Computation) -> str | None:
    """The name of the one op that a computation of two scalars is, if there is one."""
    if not hasattr(operands, "dtype"):
        return None
    scalar = ArrayType(type_of(as_operand(operands)).dtype, ())
    graph = trace_graph(lambda a, b: [as_operand(computation(a, b))], [scalar, scalar]).graph
    eqns, (output,) = graph.eqns, graph.outputs
    if len(eqns) == 1 and eqns[0].outputs[0] is output and {*eqns[0].inputs} == {*graph.inputs}:
        found = eqns[0].op.name
        return found if found in _FOLDS else None
    return None


def reduce(
    operands: Any,
    init_values: Any,
    computation: Computation,
    dimensions: Sequence[int],
    out_sharding: object = None,
) -> Any:
    """A fold along axes with an associative computation; of a tree of arrays, with one of trees.

    `lax.add`, `mul`, `max`, `min`, `bitwise_and`, `bitwise_or` and `bitwise_xor` are recognised.

    >>> import jitml.numpy as jnp
    >>> import jitml.lax as lax
    >>> print(reduce(jnp.array([1, 2, 3]), 0, lax.add, (0,)))
    6
    """
    name = _recognised(operands, computation)
    if name is None:
        from jitml.lax.folds import fold_axes

        return fold_axes(operands, init_values, computation, dimensions)
    x, init = strict("reduce", operands, init_values)
    fold, pair = _FOLDS[name]
    axes = as_axes(tuple(dimensions), type_of(x).ndim, "reduce")
    return settle(pair(fold(x, axes), init))


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Computation,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """A fold over each window with an associative computation, as `reduce` takes them.

    >>> import jitml.numpy as jnp
    >>> import jitml.lax as lax
    >>> print(reduce_window(jnp.arange(4), 0, lax.add, (2,)))
    [1 3 5]
    """
    options = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    name = _recognised(operand, computation)
    if name not in _WINDOWS:
        from jitml.lax.folds import fold_windows

        return fold_windows(operand, init_value, computation, *options)
    x, init = strict("reduce_window", operand, init_value)
    kind = _WINDOWS[name]
    if dtypes.is_bool(type_of(x).dtype) and kind in ("max", "min"):
        kind, name = {"max": ("or", "or"), "min": ("and", "and")}[kind]
    found = rw.reduce_window(x, kind, *options)
    return settle(found if _is_identity(name, init) else _FOLDS[name][1](found, init))


def _is_identity(name: str, init: Any) -> bool:
    """Whether a known start value changes nothing."""
    value = getattr(init, "value", None)
    if value is None and hasattr(init, "__array__"):
        value = np.asarray(init).item()
    type_ = type_of(init)
    if value is None or isinstance(value, complex):
        return False
    identities: dict[str, Any] = {"add": 0, "mul": 1, "or": 0, "and": -1}
    if dtypes.is_bool(type_.dtype):
        identities["and"] = True
    if name in ("max", "min"):
        return bool(value == (rd.lowest if name == "max" else rd.highest)(type_.dtype))
    return bool(value == identities[name])


# ---- running folds --------------------------------------------------------------------------


def _running(name: str, op: Callable[..., Any], summary: str, result: str) -> Callable[..., Any]:
    def function(operand: ArrayLike, axis: int = 0, reverse: bool = False) -> Array:
        x = as_operand(operand, name)
        return settle(op(x, as_axis(axis, type_of(x).ndim, name), bool(reverse)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{summary}\n\n    >>> import jitml.numpy as jnp\n"
        f"    >>> print({name}(jnp.array([1.0, 3.0, 2.0])))\n    {result}\n    "
    )
    return function


cumsum = _running("cumsum", cu.cumsum, "The running sum.", "[1. 4. 6.]")
cumprod = _running("cumprod", cu.cumprod, "The running product.", "[1. 3. 6.]")
cummax = _running("cummax", cu.cummax, "The greatest so far.", "[1. 3. 3.]")
cummin = _running("cummin", cu.cummin, "The smallest so far.", "[1. 1. 1.]")


def cumlogsumexp(operand: ArrayLike, axis: int = 0, reverse: bool = False) -> Array:
    """The logarithm of the running sum of exponentials.

    >>> import jitml.numpy as jnp
    >>> print(cumlogsumexp(jnp.zeros(1)))
    [0.]
    """
    x = as_operand(operand, "cumlogsumexp")
    where = as_axis(axis, type_of(x).ndim, "cumlogsumexp")
    return settle(cu.cumlogsumexp(x, where, bool(reverse)))


# ---- sorting --------------------------------------------------------------------------------


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """One array in order, or several in the order of the first `num_keys`.

    >>> import jitml.numpy as jnp
    >>> print(sort(jnp.array([3, 1, 2])))
    [1 2 3]
    """
    several = isinstance(operand, (tuple, list))
    xs = as_operands("sort", *operand) if several else [as_operand(operand, "sort")]
    axis = as_axis(dimension, type_of(xs[0]).ndim, "sort")
    found = [settle(x) for x in so.sort(xs, axis, bool(is_stable), num_keys)]
    return tuple(found) if several else found[0]


def sort_key_val(
    keys: ArrayLike, values: ArrayLike, dimension: int = -1, is_stable: bool = True
) -> tuple[Array, Array]:
    """Keys in order, and values in the order of their keys.

    >>> import jitml.numpy as jnp
    >>> print(sort_key_val(jnp.array([2, 1]), jnp.array([10, 20]))[1])
    [20 10]
    """
    first, second = sort((keys, values), dimension, is_stable)
    return first, second


def top_k(operand: ArrayLike, k: int, *, axis: int = -1) -> tuple[Array, Array]:
    """The k greatest elements along an axis in descending order, and where they are.

    >>> import jitml.numpy as jnp
    >>> print(top_k(jnp.array([1, 3, 2]), 2)[0])
    [3 2]
    """
    x = as_operand(operand, "top_k")
    values, places = tk.top_k(x, int(k), as_axis(axis, type_of(x).ndim, "top_k"))
    return settle(values), settle(places)


def approx_max_k(
    operand: ArrayLike,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """The k greatest along an axis, and where they are: all of them, whatever recall is enough.

    >>> import jitml.numpy as jnp
    >>> print(approx_max_k(jnp.array([1.0, 3.0, 2.0]), 2)[0])
    [3. 2.]
    """
    x = _approximated("approx_max_k", operand, recall_target, aggregate_to_topk)
    return top_k(x, k, axis=reduction_dimension)


def approx_min_k(
    operand: ArrayLike,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """The k smallest along an axis, and where they are: all of them, whatever recall is enough.

    >>> import jitml.numpy as jnp
    >>> print(approx_min_k(jnp.array([1.0, 3.0, 2.0]), 2)[1])
    [0 2]
    """
    x = _approximated("approx_min_k", operand, recall_target, aggregate_to_topk)
    values, places = top_k(-x, k, axis=reduction_dimension)
    return -values, places


def _approximated(name: str, operand: ArrayLike, recall: float, aggregates: bool) -> Any:
    x = settle(as_operand(operand, name))
    if not dtypes.is_float(x.dtype):
        fail(DTypeError, f"{name}: takes floats, not {type_of(x)}", "use top_k")
    if not 0 < recall <= 1:
        fail(ArgumentError, f"{name}: recall_target is {recall}", "it lies in (0, 1]")
    if not aggregates:
        fail(ArgumentError, f"{name}: aggregate_to_topk=False has no meaning on a CPU", "leave it")
    return x
