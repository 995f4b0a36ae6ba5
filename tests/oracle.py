"""The meaning of graphs by the ops' NumPy `value`, and transforms that apply one rule after the
other.

The drivers here are as plain as can be, so that a test which fails points at an op's rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitml.ir.graph import Atom, Graph, Literal, Var
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add
from jitml.ops.kinds import zeros_like
from jitml.trace import core
from jitml.trace.core import bind, trace_graph, type_of
from jitml_runtime import Array, from_numpy


def to_numpy(x: Any) -> Any:
    """The NumPy array of an array or literal."""
    if isinstance(x, Literal):
        return np.asarray(x.value).astype(x.type.dtype)
    return np.asarray(x)


def to_array(x: Any) -> Array:
    """A runtime array with the contents of a NumPy array."""
    return from_numpy(np.array(x, order="C"))


def evaluate_op(op: Op, inputs: Sequence[Any]) -> list[Array]:
    """An op on arrays and literals by its `value`, with the types that `infer` says."""
    types = op.infer(*map(type_of, inputs))
    outputs = op.value(*map(to_numpy, inputs))
    assert len(types) == len(outputs)
    for type_, output in zip(types, outputs, strict=True):
        found = (np.asarray(output).dtype, np.shape(output))
        assert found == (type_.dtype, type_.shape), f"{op}: infer says {type_}, value gives {found}"
    return [to_array(output) for output in outputs]


@contextmanager
def evaluating_by_value() -> Iterator[None]:
    """Ops that run outside of traces run by their NumPy `value`."""
    before = list(core._EVALUATE)
    core.set_evaluator(evaluate_op)
    try:
        yield
    finally:
        core._EVALUATE[:] = before


def record(function: Callable[..., Any], types: Sequence[ArrayType]) -> Graph:
    """The graph of `function`, which must not capture arrays."""
    traced = trace_graph(lambda *xs: as_tuple(function(*xs)), types)
    assert not traced.captures
    return traced.graph


def as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def run(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """The graph's outputs, equation by equation."""
    values: dict[Var, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for eqn in graph.eqns:
        outputs = bind(eqn.op, *(_read(values, a) for a in eqn.inputs))
        values.update(zip(eqn.outputs, outputs, strict=True))
    return [_read(values, a) for a in graph.outputs]


def _read(values: dict[Var, Any], atom: Atom) -> Any:
    return values[atom] if isinstance(atom, Var) else atom


def run_jvp(
    graph: Graph, inputs: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Outputs and their tangents (None: zero), equation by equation."""
    values: dict[Var, Any] = dict(zip(graph.inputs, inputs, strict=True))
    slopes: dict[Var, Any] = dict(zip(graph.inputs, tangents, strict=True))

    def slope(atom: Atom) -> Any:
        return slopes.get(atom) if isinstance(atom, Var) else None

    for eqn in graph.eqns:
        primals, ts = [_read(values, a) for a in eqn.inputs], [slope(a) for a in eqn.inputs]
        if all(t is None for t in ts):
            outputs, out_slopes = bind(eqn.op, *primals), [None] * len(eqn.outputs)
        else:
            outputs, out_slopes = eqn.op.jvp(primals, ts)
        for var, output, t in zip(eqn.outputs, outputs, out_slopes, strict=True):
            assert t is None or _shape_and_dtype(t) == _shape_and_dtype(output), eqn.op
            values[var], slopes[var] = output, t
    return [_read(values, a) for a in graph.outputs], [slope(a) for a in graph.outputs]


def _shape_and_dtype(x: Any) -> tuple[Any, Any]:
    return type_of(x).shape, type_of(x).dtype


def linear_graph(graph: Graph, inputs: Sequence[Any], active: Sequence[bool]) -> core.Traced:
    """The graph from tangents of the active inputs to tangents of the outputs, at `inputs`."""
    types = [type_of(x) for x, on in zip(inputs, active, strict=True) if on]

    def tangents(*given: Any) -> list[Any]:
        rest = iter(given)
        ts = [next(rest) if on else None for on in active]
        outputs, slopes = run_jvp(graph, inputs, ts)
        pairs = zip(outputs, slopes, strict=True)
        return [zeros_like(y) if t is None else t for y, t in pairs if is_inexact(y)]

    return trace_graph(tangents, types)


def is_inexact(x: Any) -> bool:
    return type_of(x).dtype.kind in "fcV"


def run_transpose(traced: core.Traced, linear: int, cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of the first `linear` inputs of a graph that is linear in them (None: zero)."""
    graph = traced.graph
    values: dict[Var, Any] = dict(zip(graph.inputs[linear:], traced.captures, strict=True))
    moving = set(graph.inputs[:linear])
    for eqn in graph.eqns:
        if moving.isdisjoint(eqn.inputs):
            outputs = bind(eqn.op, *(_read(values, a) for a in eqn.inputs))
            values.update(zip(eqn.outputs, outputs, strict=True))
        else:
            moving.update(eqn.outputs)
    sums: dict[Var, Any] = {}

    def send(atom: Atom, ct: Any) -> None:
        if ct is not None and atom in moving:
            assert isinstance(atom, Var)
            assert _shape_and_dtype(ct) == (atom.type.shape, atom.type.dtype)
            sums[atom] = add(sums[atom], ct) if atom in sums else ct

    for atom, ct in zip(graph.outputs, cotangents, strict=True):
        send(atom, ct)
    for eqn in reversed(graph.eqns):
        cts = [sums.pop(var, None) for var in eqn.outputs]
        if moving.isdisjoint(eqn.outputs) or all(ct is None for ct in cts):
            continue
        inputs = [Undefined(a.type) if a in moving else _read(values, a) for a in eqn.inputs]
        for atom, ct in zip(eqn.inputs, eqn.op.transpose(cts, inputs), strict=True):
            send(atom, ct)
    return [sums.get(var) for var in graph.inputs[:linear]]


def run_batch(
    graph: Graph, size: int, inputs: Sequence[Any], axes: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Outputs and their batch axes, equation by equation."""
    values: dict[Var, Any] = dict(zip(graph.inputs, inputs, strict=True))
    where: dict[Var, int | None] = dict(zip(graph.inputs, axes, strict=True))

    def axis(atom: Atom) -> int | None:
        return where.get(atom) if isinstance(atom, Var) else None

    for eqn in graph.eqns:
        given, given_axes = [_read(values, a) for a in eqn.inputs], [axis(a) for a in eqn.inputs]
        if all(a is None for a in given_axes):
            outputs, out_axes = bind(eqn.op, *given), [None] * len(eqn.outputs)
        else:
            outputs, out_axes = eqn.op.batch(size, given, given_axes)
        values.update(zip(eqn.outputs, outputs, strict=True))
        where.update(zip(eqn.outputs, out_axes, strict=True))
    return [_read(values, a) for a in graph.outputs], [axis(a) for a in graph.outputs]
