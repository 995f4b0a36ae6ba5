"""`f.report(x)`: what programs whose costs are known cost, and how it is told."""

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
from jitml.errors import ArgumentError
from jitml.reports.anatomy import Anatomy, take_apart
from jitml.reports.peak import Peak, machine_peak

N = 256
X = jnp.asarray(np.random.default_rng(0).random((N, N), np.float32))
V = jnp.ones(4 * N)
ROWS = jnp.arange(10)
IMAGES = ("NHWC", "HWIO", "NHWC")
F = 4  # bytes of a float


def anatomy(function: Callable[..., Any], *args: Any) -> Anatomy:
    return take_apart(jitml.jit(function).trace(*args).graph)


def softmax(x: Any) -> Any:
    return nn.softmax(x, axis=1)


def norm(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / jnp.sqrt((centred * centred).mean(axis=1, keepdims=True))


# Bytes with each element counted once, operations, functions that take many instructions.
KNOWN: dict[str, tuple[Callable[..., Any], tuple[Any, ...], float, float, float]] = {
    "axpy": (lambda x, y: 2 * x + y, (V, V + 1), 3 * F * 1024, 2 * 1024, 0),
    "product": (lambda x, y: x @ y, (X, X + 1), 3 * F * N * N, 2 * N**3, 0),
    "product and what follows": (
        lambda x, y, b: jnp.tanh(x @ y + b),
        (X, X + 1, X[0]),
        F * (3 * N * N + N),
        2 * N**3 + 2 * N * N,
        N * N,
    ),
    "convolution and what follows": (
        lambda x, k, b: nn.relu(
            lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=IMAGES) + b
        ),
        (jnp.ones((4, 34, 34, 8)), jnp.ones((3, 3, 8, 16)), jnp.ones(16)),
        F * (4 * 8 * 34 * 34 + 16 * 8 * 9 + 16 + 4 * 32 * 32 * 16),
        2 * 4 * 32 * 32 * 16 * 8 * 9 + 2 * 4 * 32 * 32 * 16,
        0,
    ),
    "stencil": (
        lambda u: u[1:-1, :-2] + u[1:-1, 2:] + u[:-2, 1:-1] + u[2:, 1:-1] - 4 * u[1:-1, 1:-1],
        (X,),
        F * (N**2 + (N - 2) ** 2),
        5 * (N - 2) ** 2,
        0,
    ),
    "product of vectors": (lambda x, y: x @ y, (X, X[0]), F * (N * N + 2 * N), 2 * N * N, 0),
    "products": (
        lambda x: jnp.einsum("bij,bkj->bik", x, x + 1),
        (X.reshape(4, N // 2, N // 2),),
        F * N * N * 2 + F * N * N * 3,  # x + 1 is stored first
        N * N + 2 * 4 * (N // 2) ** 3,
        0,
    ),
    "sum": (lambda x: x.sum(), (X,), F * N * N, N * N, 0),
    "exp": (jnp.exp, (X,), 2 * F * N * N, N * N, N * N),
    "transposed": (lambda x: x.T, (X,), 2 * F * N * N, 0, 0),
    "differences": (lambda x: x[1:] - x[:-1], (V,), 2 * F * 1024, 1023, 0),
    "rows": (lambda x, i: x[i], (X, ROWS), 2 * F * 10 * N + 8 * 10, 5 * 10, 0),
    "softmax": (softmax, (X,), 2 * F * N * N, 5 * N * N, N * N),
    "norm": (norm, (X,), 2 * F * N * N, 5 * N * N, N),
    "part of a table": (lambda x: jnp.exp(x)[:8] * 2, (X,), 2 * F * 8 * N, 2 * 8 * N, 8 * N),
    "outer": (lambda x, y: x[:, None] * y, (V, V[:N]), F * 1024 * N, 1024 * N, 0),
    "convolution": (
        lambda x, k: lax.conv(x, k, (1, 1), "VALID"),
        (jnp.ones((2, 8, 18, 18)), jnp.ones((16, 8, 3, 3))),
        F * (2 * 8 * 18 * 18 + 16 * 8 * 9 + 2 * 16 * 16 * 16),
        2 * 2 * 16 * 16 * 16 * 8 * 9,
        0,
    ),
    "cumulative": (jnp.cumsum, (V,), 2 * F * 1024, 1024, 0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_bytes_and_operations_of_known_kernels(name: str) -> None:
    function, args, size_bytes, flops, functions = KNOWN[name]
    costs = [part.cost for part in anatomy(function, *args).steps]
    assert sum(c.least_bytes for c in costs) == pytest.approx(size_bytes, rel=0.02)
    assert sum(c.flops or 0.0 for c in costs) == pytest.approx(flops, rel=0.02)
    assert sum(c.transcendentals or 0.0 for c in costs) == pytest.approx(functions, rel=0.02)
    assert all(c.bytes >= c.least_bytes for c in costs)


@pytest.mark.parametrize("name", ["axpy", "exp", "transposed", "cumulative"])
def test_what_is_read_once_is_moved_once(name: str) -> None:
    function, args, size_bytes, _, _ = KNOWN[name]
    assert sum(part.cost.bytes for part in anatomy(function, *args).steps) == size_bytes


def test_what_is_read_in_two_passes_is_moved_twice() -> None:
    (part,) = anatomy(lambda x: x[1:] - x[:-1], V).steps
    assert part.cost.bytes == 3 * F * 1023


def test_updates_and_copies() -> None:
    parts = anatomy(lambda x, i: x.at[i].add(1.0), X, ROWS).steps
    by_kind = {part.kind: part.cost for part in parts}
    assert by_kind["copy"].bytes == 2 * F * N * N
    read_and_written = 2 * F * 10 * N
    assert parts[-1].cost.bytes == pytest.approx(read_and_written, rel=0.02)
    assert parts[-1].cost.flops == 10 * N + 10 * 5  # an index from the end takes five


def test_packing_is_moved_but_not_least() -> None:
    x, y = jnp.ones((512, 1024)), jnp.ones((1024, 1024))
    *packs, product = anatomy(lambda x, y: x @ y, x, y).steps
    assert packs and all(p.cost.least_bytes == 0 and p.cost.flops == 0 for p in packs)
    assert sum(p.cost.bytes for p in packs) >= 2 * F * y.size
    assert product.cost.flops == 2 * x.size * 1024


def test_a_loop_of_unknown_length_in_a_kernel_is_not_counted() -> None:
    def halvings(x: Any) -> Any:
        return lax.while_loop(lambda x: x > 1, lambda x: x / 2, x)

    (part,) = [p for p in anatomy(halvings, 8.0).steps if p.kind == "kernel"]
    assert part.cost.flops is None
    report = jitml.jit(halvings).report(8.0)
    assert report.flops is None and "?" in str(report)


def layers(x: Any, w: Any) -> Any:
    def body(carry: Any, _: Any) -> Any:
        hidden = jnp.tanh(carry @ w)
        return hidden, hidden.sum()

    last, sums = lax.scan(body, x, None, length=5)
    return last.sum() + sums


def test_rows_of_a_loop() -> None:
    report = jitml.jit(layers).report(X, X)
    inside = [row for row in report.rows if row.kernel in ("dot_general", "dot_general tanh")]
    assert [row.calls for row in inside] == [5] * len(inside)
    (product,) = [row for row in inside if row.flops]
    assert product.flops is not None and product.flops >= 5 * 2 * N**3
    assert product.variables == ("hidden",)
    first = layers.__code__.co_firstlineno
    assert product.lines == (f"test_report.py:{first + 2}",)
    assert report.flops is not None and report.flops > product.flops
    assert next(iter(report.by_line())) == product.lines[0]
    assert sum(report.by_line().values()) == pytest.approx(report.sum_ms)


def test_the_sum_is_the_wall_time() -> None:
    report = jitml.jit(layers).report(X, X)
    assert 0.9 * report.wall_ms <= report.sum_ms <= report.wall_ms
    assert report.least_bytes == 2 * F * N * N + F * 5


def test_all_of_it_is_data_text_and_html() -> None:
    report = jitml.jit(layers).report(X, X)
    data = json.loads(json.dumps(report.as_dict()))
    assert len(data["rows"]) == len(report.rows) and data["name"] == "layers"
    text, page = str(report), report._repr_html_()
    for wanted in ("hidden", "dot_general", "test_report.py", "GFLOP/s"):
        assert wanted in text and wanted in page
    assert len(page) < 200_000 and "http" not in page and "<script" not in page


def test_programs_with_many_steps_are_shown_in_part() -> None:
    def many(x: Any) -> Any:
        for _ in range(45):
            x = jnp.sort(x) + 1
        return x

    report = jitml.jit(many).report(V)
    assert "more steps" in str(report)
    assert len(report._repr_html_()) < 200_000


def test_donated_arguments_stay() -> None:
    x = jnp.ones(1000)
    report = jitml.jit(lambda x: x + 1, donate_argnums=0).report(x)
    assert report.runs > 1 and float(x.sum()) == 1000


def test_effects_happen_once(capfd: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        jitml.debug.print("here {x}", x=x)
        return x + 1

    report = jitml.jit(f).report(1.0)
    assert capfd.readouterr().out == "here 1.0\n"
    assert [row.calls for row in report.rows if row.kind == "call"] == [1]


def test_report_needs_arrays() -> None:
    with pytest.raises(ArgumentError, match="report runs the function"):
        jitml.jit(jnp.sin).report(jitml.ShapeDtypeStruct((3,), "float32"))


def test_the_machine_has_a_peak() -> None:
    peak = machine_peak()
    assert machine_peak() is peak
    assert peak.flops_f32 > peak.flops_f64 > 1e8 and peak.bytes > 1e8
    assert "GB/s" in str(peak)


def test_the_peak_is_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from jitml.pipeline import disk
    from jitml.reports import peak

    monkeypatch.setattr(disk, "_DISK", [disk.Disk(str(tmp_path))])
    measured = Peak(3, 4.0, 3.0, 2.0, 1.0, (9.0, 8.0, 7.0, 6.0))
    monkeypatch.setattr(peak, "_measure", lambda threads: measured)
    assert peak._find(3) == peak._find(3) == measured
    monkeypatch.setattr(peak, "_measure", lambda threads: pytest.fail("it is kept"))
    assert peak._find(3).bytes == 2.0


def test_small_arrays_are_compared_with_caches() -> None:
    found = Peak(2, 1e9, 1e9, 1e9, 2e9, (40e9, 20e9, 10e9, 5e9))
    assert found.bytes_within(100) == pytest.approx(40e9)
    assert found.bytes_within(2 * (128 << 10)) == pytest.approx(20e9)
    assert 10e9 < found.bytes_within(1 << 20) < 20e9
    assert found.bytes_within(1 << 30) == pytest.approx(2e9)
    assert found.best_of(Peak(2, 2e9, 0.0, 3e9, 0.0)).bytes_within(1 << 30) == pytest.approx(3e9)


def test_what_beats_the_peak_has_it_measured_again(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jitml.pipeline import disk
    from jitml.reports import peak

    monkeypatch.setattr(disk, "_DISK", [disk.Disk(str(tmp_path))])
    monkeypatch.setattr(peak, "_LOOKED_AGAIN", set())
    peak._PEAKS.clear()
    counted = []

    def measure(threads: int) -> Peak:
        counted.append(threads)
        rate = 1.0 if len(counted) == 1 else 1e15
        return Peak(threads, rate, rate, rate, rate, (rate,) * 4)

    monkeypatch.setattr(peak, "_measure", measure)
    jitted = jitml.jit(lambda x: x * 2 + 1)
    assert jitted.report(V).peak.bytes == 1e15 and len(counted) == 2
    peak._PEAKS.clear()
    share = jitted.report(V).rows[0].peak_share
    assert share is not None and share < 1 and len(counted) == 2
    peak._PEAKS.clear()
