"""`not`, `and`, `or`, `in` and comparisons in a row, as rewritten code calls them.

In: the first operand, and the others as functions, which are called where Python would evaluate
them; where that is not known, they become a side of a conditional.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from jitml.rewriting.conditions import Block, choose, truth
from jitml.rewriting.iteration import is_unknown


def not_(x: Any) -> Any:
    """`not x`."""
    holds = truth(x)
    return not holds if isinstance(holds, bool) else ~holds


def and_value(first: Any, *others: Block) -> Any:
    """`first and others[0]() and …`."""
    for position, other in enumerate(others):
        if is_unknown(first):
            rest = others[position:]
            return choose(first, lambda: and_value(rest[0](), *rest[1:]), lambda: first)  # noqa: B023
        if not first:
            return first
        first = other()
    return first


def or_value(first: Any, *others: Block) -> Any:
    """`first or others[0]() or …`."""
    for position, other in enumerate(others):
        if is_unknown(first):
            rest = others[position:]
            return choose(first, lambda: first, lambda: or_value(rest[0](), *rest[1:]))  # noqa: B023
        if first:
            return first
        first = other()
    return first


def and_truth(first: Any, *others: Block) -> Any:
    """The truth of `first and others[0]() and …`."""
    return and_value(truth(first), *[lambda f=f: truth(f()) for f in others])


def or_truth(first: Any, *others: Block) -> Any:
    """The truth of `first or others[0]() or …`."""
    return or_value(truth(first), *[lambda f=f: truth(f()) for f in others])


_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda a, b: contains(b, a),
    "NotIn": lambda a, b: not_(contains(b, a)),
}


def compare(left: Any, signs: Sequence[str], *others: Block) -> Any:
    """A chain of comparisons: `left signs[0] others[0]() signs[1] …`."""
    right = others[0]()
    result = _SIGNS[signs[0]](left, right)
    if len(others) == 1:
        return result
    return and_value(result, lambda: compare(right, signs[1:], *others[1:]))


def contains(container: Any, x: Any) -> Any:
    """`x in container`."""
    if is_unknown(container) or (is_unknown(x) and hasattr(container, "shape")):
        return (container == x).any()
    if isinstance(container, (list, tuple)) and any(map(is_unknown, (x, *container))):
        return or_truth(False, *[lambda y=y: y is x or y == x for y in container])
    return x in container
