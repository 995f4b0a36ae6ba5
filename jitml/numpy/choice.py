"""Choosing between arrays, element by element."""

from __future__ import annotations

from collections.abc import Sequence

from jitml.ir.errors import ArgumentError
from jitml.numpy.logic import truth
from jitml.numpy.operands import common_shape, expand_to, fail, operand, promoted, settle
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["select"]


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
