"""Programs that run long get better kernels; nobody sees it but by the clock."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.pipeline import disk as disk_module
from jitml.pipeline import kernels, tiers, workers
from jitml.pipeline.compile import clear_compiled
from jitml.pipeline.disk import KERNEL, disk
from jitml.pipeline.statistics import STATISTICS

X = np.random.default_rng(0).standard_normal((256, 300)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Workers, watch and cache of the test's own; whatever runs at all is busy."""
    earlier, aside = tiers._WATCH, set_aside(tiers._WATCH)
    monkeypatch.setenv("JITML_WORKERS", "1")
    monkeypatch.setenv("JITML_CACHE", "1")
    monkeypatch.setenv("JITML_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(workers, "_POOL", workers._Pool())
    monkeypatch.setattr(tiers, "_WATCH", tiers._Watch())
    monkeypatch.setattr(tiers, "BUSY_NS", 1)
    disk_module.reopen()
    clear_compiled()
    yield
    tiers._WATCH.ended.set()
    workers._POOL.close()
    monkeypatch.undo()
    disk_module.reopen()
    clear_compiled()
    for watched in aside:
        earlier.add(watched)


def set_aside(watch: tiers._Watch) -> list[tiers._Watched]:
    """What earlier tests have left to watch: all being busy, it would be compiled again amid a
    test.
    """
    aside: list[tiers._Watched] = []
    while True:
        with watch.lock:
            aside += watch.watched
            watch.watched = []
        threads = [t for t in threading.enumerate() if t.name == "jitml-tiers"]
        if not threads:
            return aside
        threads[0].join(0.1)


def softmax(x: Any) -> Any:
    e = jnp.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def run_until(function: Any, is_done: Callable[[], bool]) -> set[bytes]:
    """Call a function until something has happened; all results that it gave."""
    found = set()
    deadline = time.monotonic() + 60
    while not is_done():
        found.add(np.asarray(function(X)).tobytes())
        assert time.monotonic() < deadline
    found.add(np.asarray(function(X)).tobytes())
    return found


def levels_on_disk() -> set[int]:
    """The levels at which the kernel of `softmax` is on disk."""
    kept = disk()
    assert kept is not None
    (code,) = jitml.jit(softmax).lower(X).compile()._program.program.kernels
    key = kernels.kernel_key(code.text)
    found = [kernels.Job(key, level, None) for level in range(3)]
    return {job.level for job in found if kept.has(KERNEL, job.stored_key)}


def test_a_busy_program_gets_better_kernels_of_the_same_bits() -> None:
    before = STATISTICS.graphs_upgraded

    def is_better() -> bool:  # another program of this process may have been upgraded
        return STATISTICS.graphs_upgraded > before and kernels.FULL in levels_on_disk()

    assert len(results := run_until(jitml.jit(softmax), is_better)) == 1
    assert levels_on_disk() == {kernels.FAST, kernels.FULL}
    clear_compiled()
    compiled, found = STATISTICS.kernels, STATISTICS.graphs_found
    again = jitml.jit(lambda x: softmax(x))
    assert {np.asarray(again(X)).tobytes()} == results
    assert (STATISTICS.kernels, STATISTICS.graphs_found) == (compiled, found + 1)
    assert tiers._WATCH.watched == [], "the better kernel was taken at once"


def test_a_program_found_on_disk_is_watched_too() -> None:
    first = np.asarray(jitml.jit(softmax)(X)).tobytes()
    tiers._WATCH.watched.clear()
    clear_compiled()
    before, found = STATISTICS.graphs_upgraded, STATISTICS.graphs_found
    again = jitml.jit(lambda x: softmax(x))
    assert run_until(again, lambda: STATISTICS.graphs_upgraded > before) == {first}
    assert STATISTICS.graphs_found == found + 1


def test_a_program_that_is_not_busy_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "BUSY_NS", 10**15)
    function = jitml.jit(softmax)
    function(X)
    (watched,) = tiers._WATCH.watched
    executable = watched.executable()
    assert executable is not None
    function(X)
    assert executable.busy_ns > 0
    assert tiers._WATCH.look() and not workers.has_worker()
    assert levels_on_disk() == {kernels.FAST}


def short(x: Any) -> Any:
    return jnp.tanh(jnp.tanh(jnp.tanh(jnp.tanh(x[:16]))))


def test_short_programs_are_busy_too() -> None:
    """They are timed now and then."""
    before = STATISTICS.graphs_upgraded
    function = jitml.jit(short)
    results = run_until(function, lambda: STATISTICS.graphs_upgraded > before)
    assert len(results) == 1


def test_of_a_short_program_all_runs_count() -> None:
    watched = jitml.jit(short).lower(X).compile()._program.executable
    watched.watch(True)
    watched.run([jnp.asarray(X)])
    once, busy = watched.busy_ns, []
    assert once > 0
    for _ in range(16):
        watched.run([jnp.asarray(X)])
        busy.append(watched.busy_ns)
    assert len({once, *busy}) in (2, 17)  # one of sixteen is timed, or (in Python) each
    watched.watch(False)
    for _ in range(40):
        watched.run([jnp.asarray(X)])
    assert watched.busy_ns == busy[-1]


def product_levels(function: Callable[..., Any], *arguments: Any) -> set[int]:
    """The levels of the kernels of products."""
    program = jitml.jit(function).lower(*arguments).compile()._program.program
    return {code.level for code in program.kernels if code.function == "gemm"}


SMALL, LARGE = (jitml.ShapeDtypeStruct((n, n), "float32") for n in (64, 512))


def repeated(x: Any, w: Any, length: int) -> Any:
    return jitml.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, length=length)[0]


def nested(x: Any, w: Any, length: int) -> Any:
    return jitml.lax.scan(lambda c, _: (repeated(c, w, length), None), x, length=length)[0]


def until(x: Any, w: Any) -> Any:
    return jitml.lax.while_loop(lambda c: c.sum() < 9, lambda c: c @ w, x)


def test_products_are_compiled_well_at_once_if_they_have_much_to_do() -> None:
    assert product_levels(jnp.matmul, SMALL, SMALL) == {kernels.TIERED}
    assert product_levels(jnp.matmul, LARGE, LARGE) == {kernels.FULL}
    for one, other in ((SMALL, LARGE), (LARGE, SMALL)):
        assert product_levels(lambda x, y: (x @ x, y @ y), one, other) == {kernels.FULL}
    assert product_levels(lambda x, w: repeated(x, w, 10), SMALL, SMALL) == {kernels.TIERED}
    assert product_levels(lambda x, w: repeated(x, w, 1000), SMALL, SMALL) == {kernels.FULL}
    assert product_levels(until, SMALL, SMALL) == {kernels.FULL}
    again = product_levels(lambda x, w: repeated(repeated(x, w, 40), w, 40), SMALL, SMALL)
    assert again == {kernels.TIERED}
    inside = product_levels(lambda x, w: nested(x, w, 40), SMALL, SMALL)
    assert inside == {kernels.FULL}
    after_a_loop = product_levels(lambda x, w: repeated(x, w, 200) @ w @ w, SMALL, SMALL)
    assert after_a_loop == {kernels.TIERED}


def test_busy_products_get_better_kernels_of_the_same_bits() -> None:
    before = STATISTICS.graphs_upgraded
    function = jitml.jit(lambda x: jnp.tanh(x @ x.T) @ x)
    assert len(run_until(function, lambda: STATISTICS.graphs_upgraded > before)) == 1


def test_the_thread_ends_with_what_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "BUSY_NS", 10**15)
    function = jitml.jit(softmax)
    function(X)
    assert tiers._WATCH.is_running
    threads = [t for t in threading.enumerate() if t.name == "jitml-tiers"]
    del function
    jitml.clear_caches()
    gc.collect()
    for thread in threads:
        thread.join(20)
    assert not tiers._WATCH.is_running and tiers._WATCH.watched == []


def test_without_workers_kernels_are_compiled_well_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITML_WORKERS", "0")
    jitml.jit(softmax)(X)
    assert levels_on_disk() == {kernels.TIERED}
    assert tiers._WATCH.watched == [] and not tiers._WATCH.is_running


def test_a_worker_that_dies_is_not_missed() -> None:
    helper = workers.worker()
    assert helper is not None
    helper.wait()
    os.kill(helper._pid, signal.SIGKILL)
    function = jitml.jit(softmax)
    first = np.asarray(function(X)).tobytes()
    results = run_until(function, lambda: not tiers._WATCH.watched)
    assert results == {first}
    assert tiers._WATCH.look() is False


# The test process may hold threads of JAX, which warns of forks; the child runs none of its code.
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_forks_while_better_kernels_are_made() -> None:
    function = jitml.jit(softmax)
    first = np.asarray(function(X)).tobytes()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            clear_compiled()
            same = np.asarray(jitml.jit(lambda x: softmax(x))(X)).tobytes() == first
            os._exit(0 if same and np.asarray(function(X)).tobytes() == first else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert np.asarray(function(X)).tobytes() == first


def test_calls_from_other_threads_meanwhile() -> None:
    function = jitml.jit(softmax)
    first = np.asarray(function(X)).tobytes()
    before, wrong, stopped = STATISTICS.graphs_upgraded, [], threading.Event()

    def call() -> None:
        while not stopped.is_set():
            if np.asarray(function(X)).tobytes() != first:
                wrong.append(1)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    run_until(function, lambda: STATISTICS.graphs_upgraded > before)
    stopped.set()
    for thread in threads:
        thread.join()
    assert not wrong
