"""Choosing among arrays and functions, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.numpy.arithmetic import clip, remainder
from jitml.numpy.choice import choose as _where
from jitml.numpy.creation import asarray
from jitml.numpy.indexing import take_along_axis
from jitml.numpy.joining import stack
from jitml.numpy.manipulation import broadcast_arrays, broadcast_to, expand_dims, reshape
from jitml.numpy.operands import cast, fail, operand, promoted, settle
from jitml.numpy.reductions import no_out
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["choose", "piecewise"]


def choose(a: ArrayLike, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """For each element of `a` that element of the array of `choices` whose number it is.

    A number out of bounds raises; with `mode` "wrap" or "clip" it does not.

    >>> import jitml.numpy as jnp
    >>> print(choose(jnp.array([0, 1]), [jnp.array([1, 2]), jnp.array([3, 4])]))
    [1 4]
    """
    no_out("choose", out)
    number = asarray(a)
    if not dtypes.is_integer(number.dtype):
        fail(DTypeError, f"choose: numbers of choices are integers, not {number.dtype.name}")
    if mode not in ("raise", "wrap", "clip"):
        fail(ArgumentError, f"choose: mode {mode!r} is not known", "'raise', 'wrap' or 'clip'")
    if not len(choices):
        fail(ArgumentError, "choose: there are no choices")
    if mode == "wrap":
        number = remainder(number, len(choices))
    elif mode == "clip":
        number = clip(number, 0, len(choices) - 1)
    number, *arrays = broadcast_arrays(number, *promoted("choose", *choices))
    found = take_along_axis(stack(arrays), expand_dims(number, 0), 0)
    return reshape(found, found.shape[1:])


def piecewise(
    x: ArrayLike,
    condlist: Any,
    funclist: Sequence[Any],
    *args: Any,
    **kw: Any,
) -> Array:
    """For each element the value of the function whose condition holds, the last one if several do.

    One more function than conditions serves where none holds, else 0. Functions are called with
    one element, and with `args` and `kw`; numbers stand for constant ones.

    >>> import jitml.numpy as jnp
    >>> x = jnp.array([-2, 2])
    >>> print(piecewise(x, [x < 0], [lambda v: -v, 7]))
    [2 7]
    """
    from jitml.numpy.functional import vectorize

    values = asarray(x)
    conditions = _conditions(condlist, values)
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        fail(
            ArgumentError,
            f"piecewise: {len(functions)} functions for {len(conditions)} conditions",
            "give one for each, and one more for where none holds if you like",
        )
    default = functions.pop() if len(functions) > len(conditions) else 0

    def applied(function: Any) -> Any:
        if not callable(function):
            return settle(cast(operand(function, "piecewise"), values.dtype))
        result = vectorize(lambda v: function(v, *args, **kw))(values)
        return settle(cast(operand(result), values.dtype))

    result = broadcast_to(applied(default), values.shape)
    for condition, function in zip(conditions, functions, strict=True):
        result = _where(condition, applied(function), result)
    return result


def _conditions(condlist: Any, x: Any) -> list[Any]:
    """A condition for each function, of the shape of `x`; a single one need not be in a list."""
    is_many = isinstance(condlist, (list, tuple)) and (not condlist or np.ndim(condlist[0]) > 0)
    given = list(condlist) if is_many else [condlist]
    if not is_many and type_of(operand(asarray(condlist))).ndim > x.ndim:
        given = list(asarray(condlist))
    if not given:
        fail(ArgumentError, "piecewise: there are no conditions")
    return [broadcast_to(asarray(c).astype(bool), x.shape) for c in given]
