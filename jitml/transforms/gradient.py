"""The gradient of a scalar function as one graph, and Jacobians: linearization, transposition
and batching together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, convert, eq
from jitml.ops.movement import iota, reshape, slice_
from jitml.trace.core import trace_graph, type_of
from jitml.trace.numbers import literal
from jitml.transforms.batch import batch_values, stack_at
from jitml.transforms.linearize import LinearMap, linear_map, linearize
from jitml.transforms.transpose import Transposed, pull_back, transpose

__all__ = [
    "LinearMap",
    "forward_jacobian",
    "gradient",
    "linear_map",
    "pullback",
    "reverse_jacobian",
    "standard_basis",
]


class Gradient(NamedTuple):
    """`graph` takes the values of the variables numbered `residuals`, and returns cotangents of
    inputs.
    """

    graph: Graph
    residuals: tuple[int, ...]
    has_cotangent: tuple[bool, ...]


@functools.lru_cache(maxsize=1024)
def gradient(graph: Graph, differentiated: tuple[bool, ...]) -> Gradient:
    """The gradient of the 0-d first output of `graph` in the `differentiated` inputs."""
    linear = linearize(graph, differentiated)
    types = [v.type for v in linear.graph.inputs[: len(linear.residuals)]]
    moving = [False] * len(types) + [True] * sum(differentiated)
    nonzero: list[bool] = []

    def pulled(*residuals: Any) -> list[Any]:
        seeds = [literal(1, a.type) for a in linear.graph.outputs]
        results = pull_back(linear.graph, moving, residuals, seeds)
        nonzero.extend(ct is not None for ct in results)
        return [ct for ct in results if ct is not None]

    traced = trace_graph(pulled, types, f"{graph.name}.grad")
    return Gradient(traced.graph, linear.residuals, tuple(nonzero))


@functools.lru_cache(maxsize=1024)
def pullback(graph: Graph, num_residuals: int) -> Transposed:
    """The transpose of a linear map in all inputs after the residuals."""
    moving = [n >= num_residuals for n in range(len(graph.inputs))]
    return transpose(graph, moving)


@functools.lru_cache(maxsize=256)
def forward_jacobian(graph: Graph, num_residuals: int) -> Graph:
    """From residuals to one Jacobian block per output and tangent, output by output: `out.shape
    + in.shape`.
    """
    tangents = [v.type for v in graph.inputs[num_residuals:]]
    size = sum(t.size for t in tangents)

    def blocks(*residuals: Any) -> list[Any]:
        values = [*residuals, *standard_basis(tangents)]
        axes = [None] * num_residuals + [0] * len(tangents)
        outputs, output_axes = batch_values(graph, size, values, axes)
        found: list[Any] = []
        for out, axis in zip(outputs, output_axes, strict=True):
            last = stack_at(out, size, axis, type_of(out).ndim - (axis is not None))
            shape = type_of(last).shape[:-1]
            pieces = _split(last, [t.size for t in tangents], len(shape))
            found += [reshape(p, (*shape, *t.shape)) for p, t in zip(pieces, tangents, strict=True)]
        return found

    return _trace_blocks(blocks, graph, num_residuals, "jacobian")


@functools.lru_cache(maxsize=256)
def reverse_jacobian(graph: Graph, num_residuals: int) -> tuple[Graph, tuple[bool, ...]]:
    """From residuals to one Jacobian block per tangent and output: `out.shape + in.shape`.

    The flags tell for which tangents there are blocks; those of the others are zero.
    """
    back = pullback(graph, num_residuals)
    cotangents = [a.type for a in graph.outputs]
    size = sum(t.size for t in cotangents)

    def blocks(*residuals: Any) -> list[Any]:
        values = [*residuals, *standard_basis(cotangents)]
        axes = [None] * num_residuals + [0] * len(cotangents)
        outputs, output_axes = batch_values(back.graph, size, values, axes)
        found: list[Any] = []
        for out, axis in zip(outputs, output_axes, strict=True):
            first = stack_at(out, size, axis, 0)
            shape = type_of(first).shape[1:]
            pieces = _split(first, [t.size for t in cotangents], 0)
            found += [
                reshape(p, (*t.shape, *shape)) for p, t in zip(pieces, cotangents, strict=True)
            ]
        return found

    return _trace_blocks(blocks, graph, num_residuals, "jacobian"), back.has_cotangent


def _trace_blocks(
    blocks: Callable[..., list[Any]], graph: Graph, num_residuals: int, name: str
) -> Graph:
    types = [v.type for v in graph.inputs[:num_residuals]]
    return trace_graph(blocks, types, f"{graph.name}.{name}").graph


def standard_basis(types: Sequence[ArrayType]) -> list[Any]:
    """The unit vectors of the space of all `types` together, stacked: one array per type, the
    stack first.
    """
    size, offset = sum(t.size for t in types), 0
    parts = []
    index = np.dtype(np.int64)
    for type_ in types:
        rows, columns = (iota(index, (size, type_.size), axis) for axis in (0, 1))
        hit = eq(rows, add(columns, literal(offset, ArrayType(index, ()))))
        unit = convert(hit, type_.dtype, type_.weak)
        parts.append(reshape(unit, (size, *type_.shape)))
        offset += type_.size
    return parts


def _split(x: Any, sizes: Sequence[int], axis: int) -> list[Any]:
    """Pieces of `x` of the given sizes along `axis`."""
    shape, start, pieces = type_of(x).shape, 0, []
    for size in sizes:
        low = [0] * len(shape)
        high = list(shape)
        low[axis], high[axis] = start, start + size
        pieces.append(slice_(x, low, high))
        start += size
    return pieces
