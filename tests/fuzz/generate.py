"""Random well-typed programs, and arrays to run them on.

In: a source of random numbers. Out: a function over tracers, written down as a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import DType, kind
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.trace.core import trace_graph
from tests.fuzz.control import CONTROL
from tests.fuzz.steps import DTYPES, SHAPES, STEPS, Draw, Program

LARGE_SHAPES: tuple[tuple[int, ...], ...] = ((4100,), (2, 4097), (70, 66), (4097, 2))
ALL_STEPS = {**STEPS, **CONTROL}
NAMES = tuple(sorted(ALL_STEPS))


def random_types(draw: Draw) -> list[ArrayType]:
    """Types of two to four inputs; one in some is large."""
    types = []
    for _ in range(2 + draw(3)):
        shapes = LARGE_SHAPES if draw(16) == 1 else SHAPES
        types.append(ArrayType(DTYPES[draw(len(DTYPES))], shapes[draw(len(shapes))]))
    return types


def random_graph(draw: Draw, types: Sequence[ArrayType], count: int) -> Graph:
    """A program of at least `count` equations; it returns every value that it does not use."""

    def run(*inputs: Any) -> list[Any]:
        program = Program(draw, inputs)
        for _ in range(count):
            ALL_STEPS[NAMES[draw(len(NAMES))]](program)
        return program.pool[len(inputs) :] or list(inputs)

    traced = trace_graph(run, types)
    assert not traced.captures
    graph = traced.graph
    used = {a for eqn in graph.eqns for a in eqn.inputs}
    outputs = tuple(a for a in graph.outputs if a not in used)
    return Graph("random", graph.inputs, graph.eqns, outputs or graph.outputs)


def random_arrays(types: Sequence[ArrayType], seed: int) -> list[Any]:
    """NumPy arrays of these types: small numbers, some of them special."""
    random = np.random.default_rng(seed)
    return [_random_array(t.dtype, t.shape, random) for t in types]


def _random_array(dtype: DType, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    own = kind(dtype)
    if own == "b":
        return random.integers(0, 2, shape).astype(bool)
    if own in "iu":
        return random.integers(0 if own == "u" else -9, 10, shape).astype(dtype)
    numbers = random.uniform(-2, 2, shape)
    if own == "c":
        return (numbers + 1j * random.uniform(-2, 2, shape)).astype(dtype)
    special = random.choice([0.0, -0.0, 1.0, -1.0, 0.5], shape)
    return np.where(random.uniform(size=shape) < 0.1, special, numbers).astype(dtype)
