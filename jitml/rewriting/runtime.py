"""What rewritten code calls: each decides, when it runs, whether its condition is known.

If so, it does what Python does. If not, it builds a conditional or a loop of what its blocks
record.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import CellType
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, is_bool
from jitml.ir.errors import (
    ConcretizationTypeError,
    ShapeError,
    TracerError,
    TracerIntegerConversionError,
)
from jitml.ir.source import user_source
from jitml.lax.bodies import Body, sharing_captures
from jitml.numpy.operands import settle
from jitml.ops.cond import Cond
from jitml.ops.elementwise import convert, ne
from jitml.rewriting.activity import inside, is_conditional
from jitml.rewriting.functions import rewritten
from jitml.rewriting.iteration import (
    Items,
    enumerate_,
    is_long,
    is_unknown,
    items_of,
    numbered,
    range_,
    zip_,
)
from jitml.rewriting.loops import Loop
from jitml.rewriting.merging import Merge, trace_side
from jitml.rewriting.state import Unassigned, Variables
from jitml.trace.core import Tracer, bind, type_of
from jitml.transforms.values import as_value
from jitml.tree_structure import flatten

Block = Callable[..., Any]
_NOTHING = flatten(None)[1]


# ---- conditions ----------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """`x` as a condition: a bool, or a tracer of one where it is not known."""
    if not is_unknown(x):
        return bool(x)
    type_ = type_of(x)
    if type_.size != 1:
        raise ShapeError(
            f"the truth value of {type_} is asked for, which has {type_.size} elements",
            hint="reduce it with jitml.numpy.all or any",
            source=user_source(),
        )
    scalar = x.reshape(()) if type_.shape else x
    return scalar if is_bool(type_.dtype) else settle(ne(scalar, 0))


def if_(
    test: Any, then: Block, orelse: Block, names: Sequence[str], doubtful: Sequence[str]
) -> None:
    """The statement `if test: then else: orelse`; `names` are the variables read afterwards."""
    holds = truth(test)
    if isinstance(holds, bool):
        (then if holds else orelse)()
    else:
        _conditional(holds, (then, orelse), Variables((then, orelse), names, doubtful))


def choose(test: Any, then: Block, orelse: Block) -> Any:
    """The expression `then() if test else orelse()`."""
    holds = truth(test)
    if isinstance(holds, bool):
        return (then if holds else orelse)()
    cell = CellType()

    def evaluated(block: Block) -> Block:
        def run() -> None:
            cell.cell_contents = block()

        return run

    variables = Variables((then, orelse), ["(value)"], cells={"(value)": cell})
    _conditional(holds, (then, orelse), variables, tuple(map(evaluated, (then, orelse))))
    return cell.cell_contents


def _conditional(
    holds: Tracer,
    blocks: tuple[Any, ...],
    variables: Variables,
    runs: tuple[Block, ...] = (),
) -> None:
    """Build a conditional of two blocks; `runs` are what is called for them."""
    sides, function = [], user_source().function
    for block, run, name in zip(blocks, runs or blocks, (".then", ".else"), strict=True):
        with inside("conditional"):
            sides.append(trace_side(run, variables, function + name, _line_of(block)))
    merge = Merge(variables, sides)
    bodies = [
        Body(graph, list(side.traced.captures), _NOTHING)
        for graph, side in zip(merge.graphs(), sides, strict=True)
    ]
    graphs, captures = sharing_captures(bodies[::-1])
    results = bind(Cond(tuple(graphs)), convert(holds, INT32), *captures)
    merge.assign([settle(x) for x in results])


def _line_of(block: Any) -> int:
    """The line on which a block of the user's begins."""
    source, code = user_source(), block.__code__
    return int(code.co_firstlineno) if code.co_filename == source.file else source.line


# ---- loops ---------------------------------------------------------------------------------------


def while_(test: Block, body: Block, names: Sequence[str], doubtful: Sequence[str]) -> None:
    """The statement `while test(): body()`. Steps whose condition is known run as Python runs
    them.
    """
    holds = truth(test())
    while isinstance(holds, bool):
        if not holds:
            return
        body()
        holds = truth(test())

    def step(_: Any) -> list[Any]:
        body()
        return [as_value(truth(test()))]

    with inside("loop"):
        Loop(Variables((test, body), names, doubtful)).run_while(step, [holds])


def for_(
    iterable: Any,
    body: Block,
    stop: Block | None,
    names: Sequence[str],
    doubtful: Sequence[str],
) -> None:
    """The statement `for item in iterable: body(item)`, which ends early where `stop()` holds."""
    items = items_of(iterable)
    if items is None:
        _for_any(iterable, body, stop, names, doubtful)
    elif is_unknown(items.count):
        _for_unknown(items, 0, body, stop, names, doubtful)
    elif stop is None and is_long(items):
        _for_rows(items, body, names, doubtful)
    else:
        _for_known(items, body, stop, names, doubtful)


def _for_known(
    items: Items, body: Block, stop: Block | None, names: Sequence[str], doubtful: Sequence[str]
) -> None:
    """Steps as Python runs them, up to where it is not known whether the loop ends."""
    for number in range(items.count):
        ends = False if stop is None else truth(stop())
        if not isinstance(ends, bool):
            rest = map(items.item, range(number, items.count))
            try:
                _for_unknown(items, number, body, stop, names, doubtful)
            except (ConcretizationTypeError, TracerIntegerConversionError):  # items must be known
                _for_any(rest, body, stop, names, doubtful)
            return
        if ends:
            return
        body(items.item(number))


def _for_rows(items: Items, body: Block, names: Sequence[str], doubtful: Sequence[str]) -> None:
    """All steps as one loop, of a number that is known."""

    def step(number: Any, *rows: Any) -> list[Any]:
        body(items.row(number, iter(rows)))
        return [number + 1]

    with inside("loop"):
        loop = Loop(Variables((body,), names, doubtful))
        loop.run_scan(step, [numbered(0)], items.arrays, items.count)


def _for_unknown(
    items: Items,
    first: int,
    body: Block,
    stop: Block | None,
    names: Sequence[str],
    doubtful: Sequence[str],
) -> None:
    """The steps from number `first` on as one loop, of a number that is not known."""

    def goes_on(number: Any) -> Any:
        more = number < items.count
        if stop is None:
            return as_value(more)
        return as_value(truth(and_truth(not_(stop()), lambda: more)))

    def step(_: Any, number: Any) -> list[Any]:
        body(items.item(number))
        return [goes_on(number + 1), number + 1]

    start = numbered(first)
    blocks = (body,) if stop is None else (body, stop)
    with inside("loop"):
        Loop(Variables(blocks, names, doubtful)).run_while(step, [goes_on(start), start])


def _for_any(
    iterable: Any, body: Block, stop: Block | None, names: Sequence[str], doubtful: Sequence[str]
) -> None:
    """A loop over Python objects: where it is not known whether it has ended, steps are
    conditional.
    """
    for item in iterable:
        ends = False if stop is None else truth(stop())
        if isinstance(ends, bool):
            if ends:
                return
            body(item)
        else:
            variables = Variables((body,), names, doubtful)
            runs = (lambda: None, lambda item=item: body(item))
            _conditional(ends, (body, body), variables, runs)


# ---- expressions ---------------------------------------------------------------------------------


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


# ---- calls ---------------------------------------------------------------------------------------


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


# ---- what conditions cannot undo -----------------------------------------------------------------


def assigned(x: Any) -> Any:
    """A variable that is read, which all ways to here must have assigned."""
    if isinstance(x, Unassigned):
        x.refuse()
    return x


def raised(exception: Any) -> Any:
    """An exception that is about to be raised."""
    if is_conditional():
        name = exception.__name__ if isinstance(exception, type) else type(exception).__name__
        _refuse(f"{name} is raised", "check before the call, or return a value that tells")
    return exception


def storing(what: str) -> None:
    """What is no variable of the function is about to be assigned."""
    if is_conditional():
        _refuse(f"{what} is assigned", "assign a variable there, and this one afterwards")


def storing_into(container: Any, is_variable: bool) -> None:
    """An element of a container, or an object in place, is about to be changed."""
    if not is_conditional():
        return
    if isinstance(container, np.ndarray):
        _refuse("a NumPy array is changed", "make it an array with jitml.numpy.asarray")
    if not is_variable and not hasattr(container, "at"):
        _refuse(
            f"a {type(container).__name__} that no variable of the function holds is changed",
            "let a variable hold it",
        )


def _refuse(what: str, hint: str) -> None:
    raise TracerError(
        f"{what} under a condition that is not known while tracing", hint=hint, source=user_source()
    )
