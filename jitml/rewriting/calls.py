"""What rewritten code calls in place of what the user wrote: rewritten functions, and builtins that
take values which are not known.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jitml.rewriting.conditions import Block, choose, truth
from jitml.rewriting.functions import rewritten
from jitml.rewriting.iteration import enumerate_, is_unknown, range_, zip_
from jitml.rewriting.operators import and_truth, or_truth


def callee(function: Any) -> Any:
    """What is called for `function`: its rewritten form where it has one."""
    try:
        found = _BUILTINS.get(function)
    except TypeError:  # not hashable
        found = None
    return rewritten(function) if found is None else found


def _extreme(better: Callable[[Any, Any], Any], function: Callable[..., Any]) -> Block:
    """`min` or `max`, also of scalars that are not known."""

    def extreme(*arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and not is_unknown(arguments[0]):
            values = list(arguments[0])
        else:
            values = list(arguments[0] if len(arguments) == 1 else arguments)
        if options or not any(map(is_unknown, values)):
            return function(*([values] if len(arguments) == 1 else arguments), **options)
        best = values[0]
        for value in values[1:]:
            best = choose(better(value, best), lambda v=value: v, lambda b=best: b)
        return best

    return extreme


def _all(values: Any) -> Any:
    """`all`, also of values that are not known."""
    return and_truth(True, *[lambda x=x: x for x in values])


def _any(values: Any) -> Any:
    """`any`, also of values that are not known."""
    return or_truth(False, *[lambda x=x: x for x in values])


def _map(function: Any, *iterables: Any) -> Any:
    return map(callee(function), *iterables)


_BUILTINS: dict[Any, Block] = {
    range: range_,
    zip: zip_,
    enumerate: enumerate_,
    bool: truth,
    min: _extreme(operator.lt, min),
    max: _extreme(operator.gt, max),
    all: _all,
    any: _any,
    map: _map,
}
