"""Long functions that a large kernel needs more than once are compiled once, and no bit changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import record, to_array

from jitml.codegen import sharing
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.ops import elementwise as e
from jitml.pipeline.compile import compile_graph, lower_graph
from tests.fuzz.check import same_bits, small_chunks

ROUTINES = [
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sinh", "cosh", "asinh", "acosh",
    "atanh", "cbrt", "erf", "erfc", "erf_inv", "lgamma", "digamma", "sin", "cos", "tan", "asin",
    "acos", "atan",
]  # fmt: skip
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.3, 2.7, 9.5, -40.0, 1e5, -3e9, 1e30, 1e-40, 0.75, 5e-324,
    2.0**-126, np.inf, -np.inf, np.nan,
]  # fmt: skip


def graph_of(function: Callable[..., Any], size: int, dtype: Any = np.float32) -> Graph:
    return record(function, [ArrayType(np.dtype(dtype), (size,))])


def functions(graph: Graph) -> list[str]:
    """The names of the functions that the kernels of `graph` call, without lanes."""
    texts = [kernel.text for kernel in lower_graph(graph).kernels]
    found = {
        name for text in texts for name in re.findall(r"define internal .*@([\w.]+?)\.v?\d*f", text)
    }
    return sorted(found)


def sines(x: Any) -> Any:
    for number in range(25):
        x = e.mul(e.sin(x), 0.5 + number)
    return x


def swings(x: Any) -> Any:
    for number in range(12):
        x = e.add(e.sin(x), e.mul(e.cos(x), 0.5 + number))
    return x


def test_a_large_kernel_has_each_function_once() -> None:
    graph = graph_of(sines, 4096)
    (kernel,) = lower_graph(graph).kernels
    assert functions(graph) == ["trigonometric.sin"]
    assert len(kernel.text.splitlines()) < 300


def test_functions_of_one_operand_are_computed_together() -> None:
    assert functions(graph_of(swings, 4096)) == ["trigonometric.cos.trigonometric.sin"]


def test_a_small_kernel_has_everything_in_place() -> None:
    assert functions(graph_of(lambda x: e.mul(e.sin(x), e.sin(e.mul(x, 2))), 4096)) == []


def results(graph: Graph, x: Any, least: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sharing, "LARGE_BODY", least)
    with small_chunks():
        (found,) = compile_graph(graph).run([to_array(x)])
    return np.asarray(found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ROUTINES)
def test_sharing_changes_no_bit(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(e, name)
    x = np.concatenate([NUMBERS, np.random.default_rng(0).normal(size=118) * 3]).astype(dtype)
    graph = graph_of(
        lambda x: e.add(function(x), e.mul(function(e.mul(x, 0.7)), 3.0)), x.size, dtype
    )
    in_place = results(graph, x, 1 << 30, monkeypatch)
    assert functions(graph) == []
    shared = results(graph, x, 0, monkeypatch)
    assert len(functions(graph)) == 1
    assert same_bits(in_place, shared)


@pytest.mark.parametrize("function", [sines, swings])
@pytest.mark.parametrize("size", [1, 37, 4096])
def test_chains_keep_their_bits(
    function: Callable[..., Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(function, size)
    x = (np.random.default_rng(1).normal(size=size) * 1e4).astype(np.float32)
    shared = results(graph, x, sharing.LARGE_BODY, monkeypatch)
    assert same_bits(shared, results(graph, x, 1 << 30, monkeypatch))
