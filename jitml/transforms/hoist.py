"""Computations that are the same at every step of a loop, made once before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jitml.ir.dependencies import live_eqns, split_eqns
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ops.cond import is_total, work_per_element
from jitml.ops.contraction import DotGeneral
from jitml.ops.convolution import ConvGeneralDilated
from jitml.ops.cost import operation_count
from jitml.ops.kinds import Movement, Reduction
from jitml.ops.layout import Transpose
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml.transforms.dce import dce
from jitml_runtime.record import replace

_LEAST_WORK = 1 << 12  # operations that a loop is spared: fewer do not pay for a kernel more
_LEAST_TURNED = 1 << 12  # elements of a constant that is transposed before a loop
_STEPS = 64  # what a loop of unknown length is taken to make


def hoist(graph: Graph) -> Graph:
    """Compute before a loop what its body computes of constants alone.

    What only moves elements stays: it costs nothing where it is read, but for what products read
    against its rows. So does what could fail, and what is larger than what it is computed from.

    Before: `scan %w, %c … { %e = exp %w; %d = dot_general %e, %c … }`
    After:  `%e = exp %w; scan %e, %c … { %d = dot_general %e, %c … }`
    """
    if not any(
        isinstance(eqn.op, (Scan, While)) or any(nested_graphs(eqn.op)) for eqn in graph.eqns
    ):
        return graph
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        inner = replace(eqn, op=map_nested(eqn.op, hoist)) if any(nested_graphs(eqn.op)) else eqn
        if isinstance(inner.op, Scan):
            eqns += _out_of_scan(inner, inner.op)
        elif isinstance(inner.op, While):
            eqns += _out_of_while(inner, inner.op)
        else:
            eqns.append(inner)
    return graph.with_eqns(eqns)


def _out_of_scan(eqn: Eqn, op: Scan) -> list[Eqn]:
    constants, carries, arrays = op.groups(eqn.inputs)
    found = _out_of_step(op.body, constants, op.length)
    kind = replace(op, body=found.graph, constants=op.constants + len(found.values))
    inputs = (*constants, *found.values, *carries, *arrays)
    return [*found.eqns, replace(eqn, op=kind, inputs=inputs)]


def _out_of_while(eqn: Eqn, op: While) -> list[Eqn]:
    for_condition, for_body, carries = op.groups(eqn.inputs)
    asked = _hoisted(op.condition, for_condition, _STEPS)
    body = _out_of_step(op.body, for_body, _STEPS)
    kind = replace(
        op,
        condition=asked.graph,
        body=body.graph,
        condition_constants=op.condition_constants + len(asked.values),
        body_constants=op.body_constants + len(body.values),
    )
    inputs = (*for_condition, *asked.values, *for_body, *body.values, *carries)
    return [*asked.eqns, *body.eqns, replace(eqn, op=kind, inputs=inputs)]


class _Hoisted(NamedTuple):
    """`eqns` compute `values`, which `graph` takes after its constants."""

    eqns: list[Eqn]
    values: list[Var]
    graph: Graph


def _out_of_step(graph: Graph, constants: Sequence[Atom], steps: int) -> _Hoisted:
    """What comes out of the body of a loop that makes so many `steps`."""
    found = _hoisted(graph, constants, steps)
    more = _turned(found.graph, [*constants, *found.values])
    return _Hoisted([*found.eqns, *more.eqns], [*found.values, *more.values], more.graph)


def _turned(graph: Graph, constants: Sequence[Atom]) -> _Hoisted:
    """Constants that products read against their rows are transposed once, not in each step."""
    outside: dict[Atom, Atom] = dict(zip(graph.inputs, constants, strict=False))
    turned: dict[tuple[Atom, int], Eqn] = {}
    inside: list[Var] = []
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        if type(eqn.op) is not DotGeneral or not _reads_against_rows(eqn.op, eqn, outside):
            eqns.append(eqn)
            continue
        x, y = eqn.inputs
        (_, _, x_axes), (_, y_axes, y_free) = eqn.op.canonical(x.type, y.type)
        summed = len(y_axes)
        if (y, summed) not in turned:
            moved = Transpose((*y_axes, *y_free))
            (type_,) = moved.infer(y.type)
            turned[y, summed] = Eqn(moved, (outside[y],), (Var(type_),), eqn.source)
            inside.append(Var(type_))
        straight = inside[[*turned].index((y, summed))]
        kind = replace(eqn.op, dimension_numbers=((x_axes, tuple(range(summed))), ((), ())))
        eqns.append(replace(eqn, op=kind, inputs=(x, straight)))
    count, before = len(constants), [*turned.values()]
    inputs = (*graph.inputs[:count], *inside, *graph.inputs[count:])
    inner = Graph(graph.name, inputs, tuple(eqns), graph.outputs)
    return _Hoisted(before, [v for eqn in before for v in eqn.outputs], inner)


def _reads_against_rows(op: DotGeneral, eqn: Eqn, constants: Mapping[Atom, Atom]) -> bool:
    """Whether a product of some size sums over the last axes of a constant, its second operand."""
    x, y = (atom.type for atom in eqn.inputs)
    (_, x_free, _), (y_batch, y_axes, _) = op.canonical(x, y)
    is_last = y_axes == tuple(range(y.ndim - len(y_axes), y.ndim))
    rows = math.prod(x.shape[axis] for axis in x_free)
    is_large = rows > 1 and y.size >= _LEAST_TURNED
    return eqn.inputs[1] in constants and is_last and not y_batch and is_large


def _hoisted(graph: Graph, constants: Sequence[Atom], steps: int) -> _Hoisted:
    """What comes out of a nested graph that runs for so many `steps`."""
    count = len(constants)
    early, _ = split_eqns(_safe(graph.eqns), graph.inputs[:count])
    worth = _worth(early)
    results = [v for eqn in worth for v in eqn.outputs]
    moved = live_eqns(early, results)
    if operation_count(Graph("", (), tuple(moved), ()), work_per_element) * steps < _LEAST_WORK:
        return _Hoisted([], [], graph)
    rest = [eqn for eqn in graph.eqns if eqn not in worth]
    rest = live_eqns(rest, graph.outputs)
    read = {a for eqn in rest for a in eqn.inputs} | {*graph.outputs}
    exported = [v for eqn in early if eqn in worth for v in eqn.outputs if v in read]
    names: dict[Atom, Atom] = dict(zip(graph.inputs, constants, strict=False))
    outside: dict[Atom, Var] = {}
    eqns = [_renamed(eqn, names, outside) for eqn in moved]
    inputs = (*graph.inputs[:count], *exported, *graph.inputs[count:])
    inner = dce(Graph(graph.name, inputs, tuple(rest), graph.outputs))
    return _Hoisted(eqns, [outside[v] for v in exported], inner)


def _safe(eqns: Sequence[Eqn]) -> list[Eqn]:
    """The equations that may be computed though no step would: they cannot fail, and do end."""
    return [eqn for eqn in eqns if is_total(eqn.op) or isinstance(eqn.op, _FOLDS)]


_FOLDS = (Reduction, DotGeneral, ConvGeneralDilated)


def _worth(eqns: Sequence[Eqn]) -> set[Eqn]:
    """The equations that do work, and whose results are no larger than what they are made of."""
    sizes: dict[Atom, int] = {}  # of what variables are made of, by way of movements
    worth: set[Eqn] = set()
    for eqn in eqns:
        given = sum(sizes.get(a, a.type.size_bytes) for a in eqn.inputs if isinstance(a, Var))
        own = sum(v.type.size_bytes for v in eqn.outputs)
        if isinstance(eqn.op, Movement):
            sizes.update(dict.fromkeys(eqn.outputs, min(own, given)))
        elif own <= given:
            worth.add(eqn)
    return worth


def _renamed(eqn: Eqn, names: Mapping[Atom, Atom], outside: dict[Atom, Var]) -> Eqn:
    """The equation before the loop, where constants have `names` and results are in `outside`."""
    inputs = [outside.get(a, names.get(a, a)) for a in eqn.inputs]
    outputs = tuple([Var(v.type, v.name) for v in eqn.outputs])
    outside.update(zip(eqn.outputs, outputs, strict=True))
    return Eqn(eqn.op, tuple(inputs), outputs, eqn.source)
