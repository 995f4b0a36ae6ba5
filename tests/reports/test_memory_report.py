"""`f.memory(x)`: the prediction beside what the allocator counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.nn as nn
import jitml.numpy as jnp
from jitml import lax
from jitml_runtime import EXECUTOR

counted = pytest.mark.skipif(
    EXECUTOR != "native", reason="the reference executor takes its memory in other blocks"
)
X = np.random.default_rng(0).random((200, 200), np.float32)
V = np.ones(50_000, np.float32)


def scanned(x: Any, w: Any) -> Any:
    def body(carry: Any, _: Any) -> Any:
        hidden = jnp.tanh(carry @ w)
        return hidden, hidden

    return lax.scan(body, x, None, length=5)


def network(x: Any, w: Any) -> Any:
    hidden = nn.relu(x @ w)
    return (nn.softmax(hidden @ w) * hidden).sum()


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "sum": (lambda x: x.sum(), (X,)),
    "map": (lambda x: x + 1, (X,)),
    "product": (lambda x: x @ x, (X,)),
    "scan": (scanned, (X, X)),
    "gradient of scan": (jitml.grad(lambda x, w: scanned(x, w)[0].sum(), (0, 1)), (X, X)),
    "gradient of network": (jitml.value_and_grad(network, 1), (X, X)),
    "sort": (jnp.sort, (V,)),
    "inverse": (lambda x: jnp.linalg.inv(x + 200 * jnp.eye(200)), (X,)),
    "fft": (jnp.fft.fft, (V,)),
    "while": (
        lambda x, w: lax.while_loop(lambda c: c.sum() < 1e9, lambda c: c + c @ w, x),
        (X, X),
    ),
    "cond": (lambda x: lax.cond(x[0, 0] > 2, lambda x: x @ x, lambda x: x.T, x), (X,)),
    "passed through": (lambda x: (x, x * 2), (X,)),
    "small": (lambda x: x * 2, (X[0, :3],)),
}


@counted
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_peak_is_what_the_allocator_counts(name: str) -> None:
    function, args = PROGRAMS[name]
    jitted = jitml.jit(function)
    arrays = [jnp.array(x) for x in args]
    predicted = jitted.memory(*arrays)
    jitted(*arrays)
    before = jitml.memory_stats(reset_peak=True)["bytes_in_use"]
    result = jitted(*arrays)
    added = jitml.memory_stats()["peak_bytes"] - before
    del result
    whole = added + predicted.arguments + predicted.constants
    assert predicted.peak == pytest.approx(whole, rel=0.05)
    assert predicted.added == pytest.approx(added, rel=0.05)


@counted
def test_donated_memory_is_taken() -> None:
    jitted = jitml.jit(lambda x: x + 1, donate_argnums=0)
    predicted = jitted.memory(X)
    assert predicted.reused == X.nbytes and predicted.added == 0
    jitted(jnp.array(X + 1))
    given = jnp.array(X + 2)
    before = jitml.memory_stats(reset_peak=True)["bytes_in_use"]
    jitted(given)
    assert jitml.memory_stats()["peak_bytes"] == before


def test_it_runs_nothing_and_takes_types() -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        jitml.debug.callback(lambda x: calls.append(1), x)
        return x @ x

    large = jitml.ShapeDtypeStruct((100_000, 100_000), "float32")
    predicted = jitml.jit(f).memory(large)
    assert predicted.results == 4 * 10**10 and not calls


def test_the_largest_arrays_have_names_and_lines() -> None:
    predicted = jitml.jit(scanned).memory(X, X)
    line = scanned.__code__.co_firstlineno
    names = {array.name: array.line for array in predicted.arrays}
    assert len(predicted.largest) == 5
    assert predicted.largest[0].size_bytes == 5 * X.nbytes
    assert names["hidden"] == f"test_memory_report.py:{line + 2}"
    assert {"x", "w"} <= {array.name for array in predicted.largest}


def test_parts_of_a_tuple_have_their_own_names() -> None:
    def f(x: Any) -> Any:
        last, every = lax.scan(lambda c, _: (c @ c, c.sum(0)), x, None, length=3)
        return jnp.sort(last), jnp.sort(every)

    found = {array.name: array.type for array in jitml.jit(f).memory(X).arrays}
    assert found["every"] == "f32[3,200]"


def test_the_timeline_has_what_is_alive() -> None:
    def f(x: Any) -> Any:
        a = jnp.sort(x)
        b = jnp.sort(jnp.concatenate([a, a]))
        return b.sum()

    predicted = jitml.jit(f).memory(V)
    alive = [step.bytes for step in predicted.timeline]
    assert max(alive) <= predicted.peak
    assert max(alive) == 5 * V.nbytes + 4  # the argument, two of twice its size, the result
    assert min(alive) < max(alive)


def test_all_of_it_is_data_text_and_html() -> None:
    predicted = jitml.jit(scanned).memory(X, X)
    data = json.loads(json.dumps(predicted.as_dict()))
    assert data["peak"] == predicted.peak and len(data["largest"]) == 5
    text, page = str(predicted), predicted._repr_html_()
    for wanted in ("carry", "f32[5,200,200]", "test_memory_report.py", "MB at most"):
        assert wanted in text and wanted in page
    assert "<svg" in page and len(page) < 200_000 and "<script" not in page
