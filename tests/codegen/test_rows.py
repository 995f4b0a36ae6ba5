"""Rows that are reduced side by side have the bits of rows one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import emit, rows
from jitml.pipeline.compile import Compiled, lower_graph

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(-1),
    "sum of all": lambda x: x.sum(),
    "maximum": lambda x: x.max(-1),
    "mean and variance": lambda x: (x.mean(-1), x.var(-1)),
    "softmax": jitml.nn.softmax,
    "logsumexp": lambda x: jitml.nn.logsumexp(x, axis=-1),
    "centred": lambda x: x - x.mean(-1, keepdims=True),
    "with a row's own number": lambda x: (x * x[:, :1]).sum(-1),
    "with what rows share": lambda x: (x * x[0] + 1).sum(-1),
    "product with a vector": lambda x: x @ x.reshape(-1, x.shape[-1])[1],
    "of columns": lambda x: (x + x.sum(0)).max(-1),
    "compared": lambda x: (x > 0.5).sum(-1),
    "of every third row": lambda x: x[::3].sum(-1),
    "backwards": lambda x: x[:, ::-1].sum(-1),
}
# Rows: as many as are taken together, one more, and far more; lengths with and without a rest.
SHAPES = [(300, 1024), (257, 1100), (86, 4099), (3, 131072), (33, 2, 16384)]


def both(function: Any, x: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[Any]]:
    """The kernels' texts and the results, with rows side by side and one by one."""
    graph = jitml.make_graph(function)(x)
    texts, results = [], []
    for chosen in (rows.choose_rows, lambda *_: None):
        monkeypatch.setattr(emit, "choose_rows", chosen)
        program = lower_graph(graph)
        texts.append("".join(code.text for code in program.kernels))
        for threads in (1, 3):
            with jitml.num_threads(threads):
                results.append(Compiled(graph, program).run([jnp.asarray(x)]))
    return texts, results


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_side_by_side_have_the_same_bits(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x[1, ..., 3] = np.nan if name == "maximum" else -0.0
    texts, results = both(FUNCTIONS[name], x, monkeypatch)
    if shape[-1] in (1024, 1100) and name in ("sum", "softmax", "product with a vector"):
        assert texts[0] != texts[1]
    for found in results[1:]:
        for a, b in zip(results[0], found, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8", "int64", "complex64"])
def test_rows_of_every_width(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = jnp.asarray(np.random.default_rng(1).normal(size=(131, 9000)) * 9).astype(dtype)
    for function in (FUNCTIONS["sum"], lambda x: abs(x).max(-1), lambda x: jnp.argmax(x.real, -1)):
        if dtype == "bfloat16" and function is not FUNCTIONS["sum"]:
            continue
        _, results = both(function, x, monkeypatch)
        for found in results[1:]:
            for a, b in zip(results[0], found, strict=True):
                assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_short_rows_and_little_memory_are_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((100_000, 128), (64, 1024), (1, 4_000_000)):
        texts, _ = both(lambda x: x.sum(-1), np.ones(shape, np.float32), monkeypatch)
        assert texts[0] == texts[1]


def fetches(function: Any, shape: tuple[int, ...]) -> int:
    """How many lines the loops of the kernels ask for ahead, in all."""
    kernels = lower_graph(jitml.make_graph(function)(np.ones(shape, np.float32))).kernels
    return sum(kernel.text.count("call void @llvm.prefetch") for kernel in kernels)


def test_the_next_rows_are_fetched_once_while_these_are_computed() -> None:
    lines = 64 * 4 // 64  # of what one step of a reduction reads
    assert fetches(lambda x: jnp.exp(x - x.max(-1, keepdims=True)).sum(-1), (512, 1024)) == lines
    assert fetches(jitml.nn.softmax, (512, 1024)) == lines
    both = lambda x: (lambda s: s.var(-1))(x[::2] + x[1::2])  # noqa: E731
    assert fetches(both, (1024, 1024)) == 2 * lines
    beside = lambda x: (lambda s: s.var(-1))(x[:, 1:] + x[:, :-1])  # noqa: E731
    assert fetches(beside, (1024, 1100)) == lines


def test_rows_are_not_fetched_where_they_would_be_in_the_way() -> None:
    """Nothing but the one reduction is done with them, or a few fill a cache."""
    assert fetches(lambda x: x.sum(-1), (512, 1024)) == 0
    four = lambda x: (lambda s: s.var(-1))(x[::4] + x[1::4] + x[2::4] + x[3::4])  # noqa: E731
    assert fetches(four, (1024, 1024)) > 0 == fetches(four, (1024, 4096))
