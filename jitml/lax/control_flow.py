"""Control flow on values that are not known while tracing: conditionals and loops."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jitml.evaluation  # noqa: F401  (ops can run outside of traces)
from jitml.ir.dtypes import INT32, is_bool, is_integer, promote
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError, TreeError
from jitml.ir.graph import Literal
from jitml.ir.types import ArrayType
from jitml.lax.bodies import (
    Body,
    Tree,
    check_carry,
    check_pair,
    check_structure,
    leading_size,
    refuse,
    sharing_captures,
    trace_body,
    traced_until_stable,
    tree_of,
)
from jitml.numpy.operands import settle
from jitml.ops.cond import Cond
from jitml.ops.elementwise import add, convert, lt, ne
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml.trace.core import Tracer, bind, type_of
from jitml.trace.forms import traced_form
from jitml.trace.numbers import literal
from jitml.transforms.values import as_value, literal_value, retyped
from jitml.tree_structure import flatten
from jitml_runtime import calling

__all__ = [
    "cond", "fori_loop", "scan", "switch", "while_loop",
]  # fmt: skip

_MISSING = object()


# ---- conditionals --------------------------------------------------------------------------------


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _MISSING,
) -> Any:
    """`true_fun(*operands)` if `pred` holds, else `false_fun(*operands)`; only one of them runs.

    >>> import jitml.numpy as jnp
    >>> print(cond(jnp.float32(3) > 2, lambda x: x + 1, lambda x: x * 2, jnp.float32(5)))
    6.0
    """
    operands = _operands("cond", operands, operand)
    holds = as_value(pred, "the predicate of cond")
    type_ = type_of(holds)
    if type_.shape:
        refuse(
            ShapeError,
            f"cond: the predicate is {type_}, where one truth value is needed",
            "reduce it with jitml.numpy.all or any, or choose elements with jitml.numpy.where",
        )
    if is_disabled():
        return (true_fun if bool(holds) else false_fun)(*operands)
    truth = holds if is_bool(type_.dtype) else ne(holds, 0)
    names = ("true_fun", "false_fun")
    return _branch("cond", convert(truth, INT32), (false_fun, true_fun), names[::-1], operands)


def switch(
    index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _MISSING
) -> Any:
    """`branches[index](*operands)`, with `index` clamped to those that there are; only one runs.

    >>> import jitml.numpy as jnp
    >>> print(switch(1, [lambda x: x, lambda x: -x, lambda x: x * x], jnp.float32(5)))
    -5.0
    """
    operands = _operands("switch", operands, operand)
    number = as_value(index, "the index of switch")
    type_ = type_of(number)
    if type_.shape or not is_integer(type_.dtype):
        refuse(DTypeError, f"switch: the index is {type_}, where one integer is needed")
    if not branches:
        refuse(ArgumentError, "switch: there are no branches", "give at least one")
    if is_disabled():
        return branches[min(max(int(number), 0), len(branches) - 1)](*operands)
    names = [f"branch {k}" for k in range(len(branches))]
    return _branch("switch", _narrow_index(number), tuple(branches), names, operands)


def _narrow_index(number: Any) -> Any:
    """An integer as i32, clamped where that cannot hold it."""
    from jitml.ops.dynamic import bounded_start

    return bounded_start(number, np.iinfo(np.int32).max)


def _operands(name: str, operands: tuple[Any, ...], operand: Any) -> tuple[Any, ...]:
    if operand is _MISSING:
        return operands
    if operands:
        refuse(ArgumentError, f"{name}: operands are given by position and as operand=")
    return (operand,)


def _branch(
    name: str,
    index: Any,
    functions: tuple[Callable[..., Any], ...],
    names: Sequence[str],
    operands: tuple[Any, ...],
) -> Any:
    for function, called in zip(functions, names, strict=True):
        if not callable(function):
            refuse(
                ArgumentError,
                f"{name}: {called} is a {type(function).__name__}, not a function",
                "the operands come after the functions",
            )
    trees = [tree_of(x, f"{name}: operand {k}") for k, x in enumerate(operands)]
    structures = [tree.structure for tree in trees]
    types = [t for tree in trees for t in tree.types]
    bodies = [trace_body(function, structures, types) for function in functions]
    _check_branches(name, bodies, names)
    graphs, captures = sharing_captures(bodies)
    values = [x for tree in trees for x in tree.leaves]
    outputs = bind(Cond(tuple(graphs)), index, *captures, *values)
    return bodies[0].structure.unflatten([settle(x) for x in outputs])


def _check_branches(name: str, bodies: Sequence[Body], names: Sequence[str]) -> None:
    """Raise unless all branches return the same structure and types."""
    first = bodies[0]
    for body, called in zip(bodies, names, strict=True):
        if body.structure != first.structure:
            refuse(
                TreeError,
                f"{name}: {names[0]} returns {first.structure}, {called} {body.structure}",
                "all branches must return one structure",
            )
        paths = tree_of(first.structure.unflatten([0] * len(first.types)), "").paths
        for path, a, b in zip(paths, first.types, body.types, strict=True):
            if (a.dtype, a.shape) != (b.dtype, b.shape):
                refuse(
                    ShapeError if a.shape != b.shape else DTypeError,
                    f"{name}: result{path} is {a} from {names[0]} and {b} from {called}",
                    "convert one of them with .astype" if a.shape == b.shape
                    else "all branches must return the same shapes",
                )  # fmt: skip


# ---- loops ---------------------------------------------------------------------------------------


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Run `carry, y = f(carry, x)` over slices of `xs` along the first axis, or `length` times.

    Returns the last carry, and the outputs `y` stacked. With `reverse` it goes from the last slice
    to the first. `unroll` is accepted, and changes nothing.

    >>> import jitml.numpy as jnp
    >>> total, sums = scan(lambda c, x: (c + x, c + x), 0, jnp.arange(4))
    >>> print(total, sums)
    6 [0 1 3 6]
    """
    _check_function("scan", f)
    arrays = tree_of(xs, "scan: xs")
    count = leading_size("scan", arrays, None if length is None else operator.index(length))
    return _scan("scan", f, tree_of(init, "scan: init"), arrays, count, reverse)


def _scan(
    name: str,
    f: Callable[[Any, Any], tuple[Any, Any]],
    carry: Tree,
    arrays: Tree,
    count: int,
    reverse: bool,
) -> tuple[Any, Any]:
    if is_disabled():
        return _scan_in_python(f, carry, arrays, count, reverse)
    slices = [t.with_shape(t.shape[1:]) for t in arrays.types]

    def trace(given: Tree) -> Body:
        structures = [given.structure, arrays.structure]
        return trace_body(f, structures, [*given.types, *slices], check_pair)

    body, carry = traced_until_stable(trace, carry)
    carry_structure, y_structure = _halves(body)
    kept = carry_structure.num_leaves
    check_carry(name, carry, carry_structure, body.types[:kept])
    op = Scan(body.graph, count, len(body.captures), kept, bool(reverse))
    outputs = [settle(x) for x in bind(op, *body.captures, *carry.leaves, *arrays.leaves)]
    return carry_structure.unflatten(outputs[:kept]), y_structure.unflatten(outputs[kept:])


def _halves(body: Body) -> list[Any]:
    """The structures of the two parts of a pair."""
    leaves = list(range(body.structure.num_leaves))
    return [flatten(part)[1] for part in body.structure.unflatten(leaves)]


def _scan_in_python(
    f: Callable[..., Any], carry: Tree, arrays: Tree, count: int, reverse: bool
) -> tuple[Any, Any]:
    from jitml.numpy import stack

    value, rows, structure = carry.structure.unflatten(carry.leaves), [], None
    steps = range(count)
    for step in reversed(steps) if reverse else steps:
        value, y = f(value, arrays.structure.unflatten([x[step] for x in arrays.leaves]))
        leaves, structure = flatten(y)
        rows.append(leaves)
    if structure is None:
        refuse(ArgumentError, "scan: with jit disabled a loop needs at least one step")
    columns = zip(*(rows[::-1] if reverse else rows), strict=True)
    return value, structure.unflatten([stack(column) for column in columns])


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Run `val = body_fun(val)` from `init_val` on, as long as `cond_fun(val)` holds.

    >>> print(while_loop(lambda x: x < 100, lambda x: x * 2, 3))
    192
    """
    _check_function("while_loop", cond_fun)
    _check_function("while_loop", body_fun)
    if is_disabled():
        value = init_val
        while bool(cond_fun(value)):
            value = body_fun(value)
        return value
    return _while("while_loop", cond_fun, body_fun, tree_of(init_val, "while_loop: init_val"))


def _while(
    name: str, cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], carry: Tree
) -> Any:
    body, carry = traced_until_stable(
        lambda given: trace_body(body_fun, [given.structure], given.types), carry
    )
    check_carry(name, carry, body.structure, body.types)
    asks = trace_body(cond_fun, [carry.structure], carry.types)
    if [(t.shape, is_bool(t.dtype)) for t in asks.types] != [((), True)]:
        found = ", ".join(map(str, asks.types))
        refuse(
            DTypeError,
            f"while_loop: cond_fun returns {found}, where one truth value (bool[]) is needed",
            "compare, or reduce with jitml.numpy.all or any",
        )
    op = While(asks.graph, body.graph, len(asks.captures), len(body.captures))
    outputs = bind(op, *asks.captures, *body.captures, *carry.leaves)
    return carry.structure.unflatten([settle(x) for x in outputs])


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """Run `val = body_fun(i, val)` for `i` from `lower` to `upper - 1`.

    Where both bounds are known while tracing it is a `scan`; `unroll` is accepted, and changes
    nothing.

    >>> print(fori_loop(1, 6, lambda i, product: product * i, 1))
    120
    """
    _check_function("fori_loop", body_fun)
    first, last, type_ = _bounds(lower, upper)
    if is_disabled():
        value = init_val
        for i in range(int(first), int(last)):
            value = body_fun(retyped(as_value(i), type_), value)
        return value
    value = tree_of(init_val, "fori_loop: init_val")

    def body(i: Any, carried: Any) -> Any:
        result = traced_form(body_fun)(i, carried)
        check_structure("fori_loop", value, flatten(result)[1])
        return result

    if isinstance(first, int) and isinstance(last, int):
        start = literal_value(literal(first, type_))
        count = max(last - first, 0)
        step = _counting(body)
        return _scan("fori_loop", step, _beside([start], value), _NOTHING, count, False)[0][1]
    bounds = [retyped(as_value(x), type_) for x in (first, last)]
    return _while(
        "fori_loop",
        lambda state: lt(*state[0]),
        lambda state: ([add(state[0][0], 1), state[0][1]], body(state[0][0], state[1])),
        _beside(bounds, value),
    )[1]


def _counting(body: Callable[[Any, Any], Any]) -> Callable[[Any, None], tuple[Any, None]]:
    """The body of a scan that counts its steps beside a value."""

    def step(state: Any, _: None) -> tuple[Any, None]:
        (i,), value = state
        return ([add(i, 1)], body(i, value)), None

    return step


_NOTHING = Tree([], [], flatten(None)[1])


def _beside(numbers: list[Any], value: Tree) -> Tree:
    """The carry of a loop that counts: numbers and the value, whose paths are as the user has
    them.
    """
    paths = [*[""] * len(numbers), *value.paths]
    tree = numbers, value.structure.unflatten(value.leaves)
    return Tree([*numbers, *value.leaves], paths, flatten(tree)[1])


def _bounds(lower: Any, upper: Any) -> tuple[Any, Any, ArrayType]:
    """The bounds of a fori_loop, as Python integers where they are known, and their one type."""
    bounds = [as_value(x, "a bound of fori_loop") for x in (lower, upper)]
    types = [type_of(x) for x in bounds]
    for type_ in types:
        if type_.shape or not is_integer(type_.dtype):
            refuse(DTypeError, f"fori_loop: a bound is {type_}, where an integer is needed")
    dtype, weak = promote(*[(t.dtype, t.weak) for t in types])
    first, last = map(_known_integer, bounds)
    return first, last, ArrayType(dtype, (), weak)


def _known_integer(x: Any) -> Any:
    """A 0-d integer whose value is at hand as a Python integer; another one as it is."""
    value = x
    while isinstance(value, Tracer):
        known = isinstance(value.atom, Literal)
        value = value.atom if known and value.value is None else value.value
    if isinstance(value, Literal):
        return value.value
    return x if value is None else int(value)


def _check_function(name: str, function: Any) -> None:
    if not callable(function):
        refuse(ArgumentError, f"{name}: a {type(function).__name__} is given, not a function")


def is_disabled() -> bool:
    """Whether `disable_jit` is on: then loops and conditionals run as Python."""
    return bool(calling.is_off)
