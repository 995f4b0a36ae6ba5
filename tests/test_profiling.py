"""`jitml.profile()`: what a training loop spends where."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError
from jitml_runtime import recorded_runs

X = np.random.default_rng(0).random((64, 32), np.float32)


def loss(w: Any, x: Any) -> Any:
    return jnp.mean((jnp.tanh(x @ w) - 1) ** 2)


RATES = itertools.count(1)


def new_step() -> Any:
    """A step that no other one shares its program with."""
    rate = 0.01 * next(RATES)

    @jitml.jit
    def step(w: Any, x: Any) -> Any:
        return w - rate * jitml.grad(loss)(w, x)

    return step


def test_a_training_loop_is_told_by_function() -> None:
    step, w = new_step(), jnp.ones((32, 32))
    with jitml.profile() as p:
        for _ in range(20):
            w = step(w, X)
            _ = w + 1
        jitml.block_until_ready(w)
    rows = {row.name: row for row in p.rows}
    assert rows["step"].calls == 20 and rows["add (eager)"].calls == 20
    assert rows["step"].compile_ms > 0 and rows["step"].trace_ms > 0 and rows["step"].run_ms > 0
    assert rows["(arrays from NumPy)"].calls >= 20
    copied = [span.size_bytes for span in p.spans if span.kind == "transfer"]
    assert copied.count(X.nbytes) in (20, 21)  # what installs the first call copies once more
    assert {"wait"} <= {span.kind for span in p.spans}
    assert sum(row.total_ms for row in p.rows) <= p.wall_ms
    assert p.sums["run"] == pytest.approx(sum(row.run_ms for row in p.rows))
    assert not p.kernels and p.lost == 0


def test_nothing_is_recorded_outside() -> None:
    step, w = new_step(), jnp.ones((32, 32))
    with jitml.profile() as p:
        w = step(w, X)
    count = len(p.spans)
    step(w, X)
    assert recorded_runs() == ([], 0) and len(p.spans) == count
    assert [row.calls for row in p.rows if row.name == "step"] == [1]


def test_kernels_are_told_if_asked_for() -> None:
    known, new, w = new_step(), new_step(), jnp.ones((32, 32))
    known(w, X)
    with jitml.profile(detail="kernels") as p:
        for _ in range(3):
            w = known(w, X)
            w = jitml.jit(lambda w: jnp.sin(w) @ w)(w)
    assert {row.function for row in p.kernels} >= {"step", "<lambda>"}
    products = [row for row in p.kernels if row.kernel == "dot_general"]
    line = loss.__code__.co_firstlineno + 1
    assert any(row.lines == (f"test_profiling.py:{line}",) for row in products)
    assert all(row.calls == 3 for row in p.kernels if row.function == "step")
    # Nothing is measured any more.
    (program,) = known.programs()
    before = program.executable.step_times
    known(w, X)
    assert program.executable.step_times == before
    del new


def test_what_lies_inside_of_other_spans_counts_once() -> None:
    inner = jitml.jit(lambda x: jnp.sin(x) * 3)

    @jitml.jit
    def outer(x: Any) -> Any:
        time.sleep(0.01)
        return inner(x) + 1

    with jitml.profile() as p:
        outer(jnp.ones(3))
    rows = {row.name: row for row in p.rows}
    assert rows["outer"].trace_ms >= 10
    assert sum(row.total_ms for row in p.rows) <= p.wall_ms


def test_threads_have_names() -> None:
    step, w = new_step(), jnp.ones((32, 32))
    with jitml.profile() as p:
        worker = threading.Thread(target=lambda: step(w, X), name="loader")
        worker.start()
        worker.join()
        step(w, X)
    threads = {p.threads[span.thread] for span in p.spans if span.name == "step"}
    assert threads == {"loader", "MainThread"}
    assert "loader" in p._repr_html_()


def test_the_file_for_chrome(tmp_path: Path) -> None:
    step, w = new_step(), jnp.ones((32, 32))
    with jitml.profile() as p:
        step(w, X)
    p.save(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert len(spans) == len(p.spans) and "MainThread" in names
    assert {event["cat"] for event in spans} >= {"trace", "compile", "run", "transfer"}
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in spans)
    assert max(event["ts"] + event["dur"] for event in spans) <= p.wall_ms * 1e3


def test_text_html_and_data() -> None:
    step, w = new_step(), jnp.ones((32, 32))
    with jitml.profile(detail="kernels") as p:
        for _ in range(500):
            w = step(w, X)
    text, page = str(p), p._repr_html_()
    for wanted in ("step", "dot_general", "compile", "test_profiling.py"):
        assert wanted in text and wanted in page
    assert "<svg" in page and len(page) < 200_000 and "<script" not in page
    data = json.loads(json.dumps(p.as_dict()))
    assert data["rows"][0]["name"] == p.rows[0].name and len(data["kernels"]) == len(p.kernels)


def test_one_at_a_time_and_known_details() -> None:
    with jitml.profile(), pytest.raises(ArgumentError, match="one is running already"):
        jitml.profile().__enter__()
    with pytest.raises(ArgumentError, match="there is no detail 'lines'"):
        jitml.profile(detail="lines")
    with jitml.profile() as p:
        pass
    assert "nothing of jitml" in str(p)
