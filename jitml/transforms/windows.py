"""Windows: maps of loops of unknown length, some elements at a time, each for its own number of
steps.

`vmap` of a `while_loop` whose condition differs from element to element makes a loop that goes
through the elements one by one. Where a step multiplies by matrices, it is dear to make it for one
element alone. Here a window of elements makes steps together, in vector
instructions, as long as the loop of none of them has ended; then those that have ended make place
for others. No step is made, and nothing checked, for an element whose loop has ended. When there
are no others, an element that goes on takes the free places too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jitml.ir.dtypes import INT32
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ir.types import ArrayType
from jitml.ops.cond import work_per_element
from jitml.ops.contraction import DotGeneral
from jitml.ops.control import along_rows, at_front, build, split, stacked_type
from jitml.ops.cost import operation_count
from jitml.ops.cumulative import cumsum
from jitml.ops.elementwise import add, and_, convert, lt, minimum, not_, select, sub
from jitml.ops.kinds import full_of
from jitml.ops.layout import batch_to_front
from jitml.ops.movement import iota, reshape, slice_
from jitml.ops.reduction import argmax, reduce_and, reduce_or
from jitml.ops.rows import put_rows, take_rows
from jitml.ops.scan import Scan
from jitml.ops.while_loop import Lanes, While, loop_of_map, while_values
from jitml.trace.core import type_of
from jitml.trace.numbers import literal
from jitml.transforms.batch import Batched, batch
from jitml.transforms.compact import has_batch
from jitml.transforms.inline import inline, rewritten
from jitml.transforms.inline_calls import inline_calls

_SHARE = 16  # a window holds at most one of so many elements: the last ones may leave it half empty
_WINDOW_WORK = 1 << 17  # operations of a step of a window: enough to make its own cost small
_LEAST_WORK = 1 << 10  # operations of a step of one element: fewer are as well made alone
_LARGEST, _SMALLEST = 64, 4  # elements of a window


def windows(graph: Graph) -> Graph:
    """Make the steps of maps of loops for a window of elements at a time, where that pays.

    Before: `%y = scan %x … { %r = while %e … { … dot_general … } }`
    After:  `%y = lanes … { while all of the window go on: their steps; replace those that do not }`
    """

    def rule(eqn: Eqn) -> Any:
        size = _window_size(eqn)
        return functools.partial(_in_windows, eqn, size) if size >= _SMALLEST else None

    if all(rule(eqn) is None for eqn in graph.eqns):
        return graph
    return rewritten(graph, rule)


# ---- which loops ---------------------------------------------------------------------------------


def _window_size(eqn: Eqn) -> int:
    """How many elements make steps together; 0 where they are better off alone."""
    inner = loop_of_map(eqn.op) if isinstance(eqn.op, Scan) else None
    if inner is None or not all(map(_is_batched, _graphs(inner))) or not _pays(inner):
        return 0
    assert isinstance(eqn.op, Scan)
    work = sum(operation_count(graph, work_per_element) for graph in _graphs(inner))
    size = _LARGEST if work >= _LEAST_WORK else 0
    while size * _SHARE > eqn.op.length or (size > 1 and size * work > _WINDOW_WORK):
        size //= 2
    return size


def _graphs(inner: Eqn) -> tuple[Graph, Graph]:
    assert isinstance(inner.op, While)
    return inner.op.condition, inner.op.body


def _is_batched(graph: Graph) -> bool:
    return has_batch(graph) and not graph.has_effect


def _pays(inner: Eqn) -> bool:
    """Whether a step of one element leaves vector instructions idle: products with vectors become
    products of matrices. (Loops over scalars are kernels of their own.)
    """
    return any(isinstance(eqn.op, DotGeneral) for graph in _graphs(inner) for eqn in graph.eqns)


# ---- the window ----------------------------------------------------------------------------------


class _Window(NamedTuple):
    """What a window of `size` elements does. Its state is a list of arrays with a row for each
    element: the first `constants` stay, the others are the loop's carries, of `types`.
    """

    size: int
    condition: Batched
    body: Batched
    constants: int
    types: Sequence[ArrayType]

    def goes_on(self, shared: Sequence[Any], state: Sequence[Any]) -> Any:
        """Which elements make another step."""
        (holds,) = inline(self.condition.graph, [*shared, *state])
        return batch_to_front(self.size, holds, self.condition.axes[0])

    def step(self, shared: Sequence[Any], state: Sequence[Any]) -> list[Any]:
        """The state after a step of all elements."""
        found = inline(self.body.graph, [*shared, *state])
        rows = zip(found, self.body.axes, self.types, strict=True)
        return [*state[: self.constants], *(at_front(self.size, x, a, t) for x, a, t in rows)]

    def steps(self, shared: Sequence[Any], state: Sequence[Any]) -> list[Any]:
        """The state after as many steps as all elements make."""
        return while_values(
            lambda cs, ks: [reduce_and(self.goes_on(cs, ks), (0,))],
            self.step,
            shared,
            shared,
            state,
            self.body.graph.name,
        )


def _in_windows(eqn: Eqn, size: int, *inputs: Any) -> list[Any]:
    """The outputs of a map of loops."""
    op = eqn.op
    assert isinstance(op, Scan)
    inner = loop_of_map(op)
    assert inner is not None and isinstance(inner.op, While)
    asked, fixed, first = inner.op.groups(inner.inputs)
    shared, slices = split(op.body.inputs, op.constants)
    own = [v for v in slices if v in asked or v in fixed]
    types = [v.type for v in inner.outputs]
    elements = [*shared, *own]

    def batched(graph: Graph, constants: Sequence[Atom]) -> Batched:
        def on_elements(*values: Any) -> list[Any]:
            known: dict[Any, Any] = dict(zip(elements, values, strict=False))
            given = [known.get(a, a) for a in constants]
            return inline(inline_calls(graph), [*given, *values[len(elements) :]])

        element = build(on_elements, [*(v.type for v in elements), *types], graph.name)
        return batch(element, size, [None] * len(shared) + [0] * (len(own) + len(types)))

    window = _Window(
        size, batched(inner.op.condition, asked), batched(inner.op.body, fixed), len(own), types
    )
    outside: dict[Any, Any] = dict(zip(op.body.inputs, inputs, strict=True))
    initial = [
        at_front(op.length, outside.get(a, a), 0 if a in slices else None, t)
        for a, t in zip(first, types, strict=True)
    ]
    stock = [*(outside[v] for v in own), *initial]
    found = dict(
        zip(inner.outputs, _moved_along(window, inputs[: len(shared)], stock), strict=True)
    )
    return [found[a] for a in op.body.outputs if isinstance(a, Var)]


def _moved_along(window: _Window, shared: Sequence[Any], stock: Sequence[Any]) -> list[Any]:
    """The last carries of all elements, whose first states are the rows of `stock`."""
    size, (count, *_) = window.size, type_of(stock[-1]).shape

    def step(cs: list[Any], ks: list[Any]) -> list[Any]:
        shared, stock = split(cs, len(cs) - len(window.types) - window.constants)
        (taken, elements), state, results = split(ks, 2, len(stock))
        state = window.steps(shared, state)
        ended = not_(window.goes_on(shared, state))
        nowhere = full_of(type_of(elements), count)
        places = select(ended, elements, nowhere)
        carries = state[window.constants :]
        results = [put_rows(x, places, y) for x, y in zip(results, carries, strict=True)]
        ranks = cumsum(convert(ended, INT32), 0)
        following = add(sub(ranks, 1), taken)
        has_next = and_(ended, lt(following, count))
        # A free place for which there is no element takes a copy of one that goes on.
        copied = select(ended, _first(not_(ended)), iota(INT32, (size,), 0))
        state = [
            select(along_rows(has_next, x), take_rows(rows, minimum(following, count - 1)), x)
            for x, rows in zip([take_rows(x, copied) for x in state], stock, strict=True)
        ]
        elements = select(has_next, following, select(ended, nowhere, elements))
        last = reshape(slice_(ranks, [size - 1], [size]), ())
        return [add(taken, last), elements, *state, *results]

    start = [slice_(x, [0] * type_of(x).ndim, [size, *type_of(x).shape[1:]]) for x in stock]
    results = [full_of(stacked_type(t, count), 0) for t in window.types]
    found = while_values(
        lambda cs, ks: [reduce_or(lt(ks[1], count), (0,))],
        step,
        [],
        [*shared, *stock],
        [literal(size, ArrayType(INT32, ())), iota(INT32, (size,), 0), *start, *results],
        f"{window.body.graph.name}.window",
        Lanes,
    )
    return found[2 + len(stock) :]


def _first(flags: Any) -> Any:
    """The number of the first flag that is set."""
    return argmax(convert(flags, INT32), 0)
