"""Choosing between arrays, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError
from jitml.numpy.creation import asarray, zeros
from jitml.numpy.logic import truth
from jitml.numpy.operands import common_shape, expand_to, fail, operand, promoted, settle
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["piecewise", "select"]


def choose(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array:
    """`x` where `condition` is true, else `y`; all three broadcast."""
    test = truth(operand(condition, "where"))
    yes, no = promoted("where", x, y)
    shape = common_shape("where", [test, yes, no])
    test, yes, no = (a if not type_of(a).shape else expand_to(a, shape) for a in (test, yes, no))
    if shape and not any(type_of(a).shape for a in (test, yes, no)):
        yes = expand_to(yes, shape)
    return settle(ew.select(test, yes, no))


def select(
    condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0
) -> Array:
    """The first choice whose condition holds, else `default`.

    >>> print(select([False, True], [1, 2], 0))
    2
    """
    check_sequence("select", condlist, "conditions")
    check_sequence("select", choicelist, "arrays")
    if len(condlist) != len(choicelist) or not condlist:
        fail(
            ArgumentError,
            f"select: {len(condlist)} conditions for {len(choicelist)} choices",
            "give one choice for each condition, and at least one",
        )
    *choices, result = promoted("select", *choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = choose(condition, choice, result)
    return settle(result)


def piecewise(
    x: ArrayLike,
    condlist: Any,
    funclist: Sequence[ArrayLike | Callable[..., Any]],
    *args: Any,
    **kw: Any,
) -> Array:
    """For each element of `x` the result of the function whose condition holds there (the last of
    several); with one function more than conditions, that of the last function elsewhere, or 0.

    Functions take numbers of `x`, then `args` and `kw`; what is no function is a constant.

    >>> import jitml.numpy as jnp
    >>> x = jnp.array([-2.0, 0.0, 3.0])
    >>> print(piecewise(x, [x < 0, x > 0], [lambda x: -x, lambda x: 10 * x, 1]))
    [ 2.  1. 30.]
    """
    from jitml.lax import switch  # what only this function of jitml.numpy needs
    from jitml.vectorization import vmap

    conditions = condlist if isinstance(condlist, (list, tuple)) else list(condlist)
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        fail(
            ArgumentError,
            f"piecewise: {len(functions)} functions for {len(conditions)} conditions",
            "give one function for each condition, and at most one more for all else",
        )
    rest = functions.pop() if len(functions) > len(conditions) else 0
    array = settle(operand(x, "piecewise"))
    dtype, shape = array.dtype, array.shape

    def branch(function: Any) -> Callable[[Any], Any]:
        if callable(function):
            return lambda v: asarray(function(v, *args, **kw)).astype(dtype)
        return lambda v: asarray(function).astype(dtype)

    number: Any = zeros((), "int32")
    for position, condition in enumerate(conditions, start=1):
        number = choose(condition, position, number)
    index = expand_to(operand(number, "piecewise"), shape) if number.ndim else number
    each = vmap(
        lambda i, v: switch(i, [branch(f) for f in (rest, *functions)], v),
        (0 if number.ndim else None, 0),
    )
    flat = index.reshape(-1) if number.ndim else index
    return settle(each(flat, array.reshape(-1)).reshape(shape))
