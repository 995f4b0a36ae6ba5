"""Sums, products and truths along axes, and what all folds share.

Sums and products of booleans and small integers have the default integer dtype; 16-bit floats
are summed in float32 and rounded once. `where` leaves elements out; what is left out counts as
the fold's identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.eager import compiled_at_once
from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.numpy.choice import choose
from jitml.numpy.logic import truth
from jitml.numpy.operands import (
    as_axes,
    as_dtype,
    cast,
    kind,
    no_out,
    operand,
    settle,
    strong,
)
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops import reduction as rd
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

__all__ = ["all", "any", "count_nonzero", "prod", "sum"]

Fold = Callable[[Any, Any], Any]


def summed_dtype(dtype: DType) -> DType:
    """The dtype of a sum: the default integer at least, for booleans and integers."""
    if dtypes.is_inexact(dtype):
        return dtype
    default = DEFAULT_DTYPES.of(int)
    if dtypes.kind(dtype) == "u":
        default = np.dtype(f"u{default.name}")
    return default if dtypes.is_bool(dtype) or dtype.itemsize < default.itemsize else dtype


def masked(x: Any, mask: ArrayLike | None, identity: Any) -> Any:
    """`x` with `identity` where the mask is false."""
    if mask is None:
        return x
    type_ = type_of(x)
    return operand(choose(mask, x, settle(cast(identity, type_.dtype, type_.weak))))


def folded_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """What folding over axes leaves of a shape."""
    if keepdims:
        return tuple(1 if k in axes else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def restored(x: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """The folded array, with axes of size 1 in the place of the folded ones if asked."""
    if not keepdims:
        return x
    return mv.reshape(x, folded_shape(shape, axes, keepdims))


def fold(
    name: str,
    op: Fold,
    x: Any,
    axis: Axis,
    keepdims: bool,
    mask: ArrayLike | None,
    identity: Any,
) -> Any:
    """An operand folded over axes."""
    x = masked(x, mask, identity)
    shape = type_of(x).shape
    axes = as_axes(axis, len(shape), name)
    return strong(restored(op(x, tuple(sorted(axes))), shape, axes, keepdims))


def with_initial(result: Any, initial: ArrayLike | None, op: Callable[[Any, Any], Any]) -> Any:
    """A folded array, folded with a start value too if there is one."""
    return result if initial is None else op(result, start_value(initial, type_of(result).dtype))


def start_value(initial: ArrayLike, dtype: DType) -> Any:
    """Where a fold begins, as an operand of its dtype."""
    return cast(operand(initial) if hasattr(initial, "dtype") else initial, dtype)


# ---- sums and products ----------------------------------------------------------------------


@compiled_at_once
def sum(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Array:
    """The sum of elements along axes, of all without axes.

    >>> import jitml.numpy as jnp
    >>> print(sum(jnp.arange(4)))
    6
    """
    no_out("sum", out)
    x = _accumulated("sum", a, dtype, promote_integers)
    if kind(x) == "b":
        return any(settle(x), axis, keepdims=keepdims, where=where)
    result = fold("sum", rd.reduce_sum, x, axis, keepdims, where, 0)
    return settle(with_initial(result, initial, ew.add))


def _accumulated(
    name: str, a: ArrayLike, dtype: DTypeLike | None, promote_integers: bool = True
) -> Any:
    """The operand in the dtype of its sum."""
    x = operand(a, name)
    if dtype is not None:
        return cast(x, as_dtype(dtype))
    own = type_of(x).dtype
    return cast(x, summed_dtype(own) if promote_integers else own, type_of(x).weak)


@compiled_at_once
def prod(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Array:
    """The product of elements along axes.

    >>> import jitml.numpy as jnp
    >>> print(prod(jnp.array([2, 3])))
    6
    """
    no_out("prod", out)
    x = _accumulated("prod", a, dtype, promote_integers)
    if kind(x) == "b" and dtype is None:
        x = cast(x, dtypes.INT32)
    if kind(x) == "b":
        return all(settle(x), axis, keepdims=keepdims, where=where)
    result = fold("prod", rd.reduce_prod, x, axis, keepdims, where, 1)
    return settle(with_initial(result, initial, ew.mul))


# ---- truths ---------------------------------------------------------------------------------


@compiled_at_once
def all(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Array:
    """Whether all elements along axes are true.

    >>> import jitml.numpy as jnp
    >>> print(all(jnp.array([1, 0])))
    False
    """
    no_out("all", out)
    x = truth(operand(a, "all"))
    return settle(fold("all", rd.reduce_and, x, axis, keepdims, where, True))


@compiled_at_once
def any(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Array:
    """Whether some element along axes is true.

    >>> import jitml.numpy as jnp
    >>> print(any(jnp.array([1, 0])))
    True
    """
    no_out("any", out)
    x = truth(operand(a, "any"))
    return settle(fold("any", rd.reduce_or, x, axis, keepdims, where, False))


def count_nonzero(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many elements along axes are not 0.

    >>> import jitml.numpy as jnp
    >>> print(count_nonzero(jnp.array([3, 0, 5])))
    2
    """
    return sum(settle(truth(operand(a, "count_nonzero"))), axis, keepdims=keepdims)
