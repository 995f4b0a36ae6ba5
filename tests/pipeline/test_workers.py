"""Worker processes: they compile what this process would, and are never missed."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.codegen.target import compile_object, host
from jitml.pipeline import compiling, workers
from jitml.pipeline.compile import clear_compiled
from jitml.pipeline.statistics import STATISTICS
from jitml.pipeline.workers import Worker, WorkerLost, worker
from jitml.worker import GREETING, REPLY

TEXT = "define i32 @kernel(ptr %a) {\n  ret i32 7\n}\n"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Workers of the test's own."""
    monkeypatch.setenv("JITML_WORKERS", "1")
    own = workers._Pool()
    monkeypatch.setattr(workers, "_POOL", own)
    yield own
    own.close()


def started() -> Worker:
    found = worker()
    assert found is not None
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline, "the worker outlives its owner"
        time.sleep(0.05)


def test_a_worker_compiles_to_the_same_bytes(pool: Any) -> None:
    for level in (0, 2):
        assert started().compile(TEXT, host(), level) == compile_object(TEXT, host(), level)
    assert started() is started() and workers.has_worker()


def test_a_text_that_llvm_refuses_does_not_end_the_worker(pool: Any) -> None:
    assert started().compile("nonsense", host(), 0) is None
    assert started().compile(TEXT, host(), 0)


def test_large_texts_and_objects(pool: Any) -> None:
    """More than a pipe holds, both ways."""
    numbers = ", ".join(f"i32 {k}" for k in range(200_000))
    text = f"@table = constant [200000 x i32] [{numbers}]\n{TEXT}"
    found = started().compile(text, host(), 0)
    assert found is not None and len(found) > 800_000


def test_a_worker_that_is_killed_is_lost_and_another_starts(pool: Any) -> None:
    first = started()
    first.wait()
    os.kill(first._pid, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        first.compile(TEXT, host(), 0)
    workers.drop_worker(first)
    second = started()
    assert second is not first and second.compile(TEXT, host(), 0)


def test_after_some_losses_no_more_are_started(pool: Any) -> None:
    for _ in range(workers._MOST_FAILURES):
        workers.drop_worker(started())
    assert worker() is None


@pytest.mark.parametrize("executable", ["", "/opt/some/application", "/no/such/python3"])
def test_no_worker_without_a_python_to_run(
    pool: Any, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert worker() is None


def test_workers_of_the_environment(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITML_WORKERS", "0")
    assert workers.worker_count() == 0 and worker() is None
    monkeypatch.setenv("JITML_WORKERS", "1000")
    assert workers.worker_count() == workers._MOST_WORKERS
    monkeypatch.setenv("JITML_WORKERS", "")
    monkeypatch.setenv("JITML_NUM_THREADS", "3")
    assert workers.worker_count() == 2


# ---- programs ------------------------------------------------------------------------------------


def many(x: Any) -> Any:
    """Several kernels, none of which is like another."""
    return [jnp.cumsum(jnp.sin(x) * k, axis=k % 2) + jnp.sort(x, axis=k % 2) for k in range(4)]


@pytest.fixture
def eager_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are asked however little they save."""
    monkeypatch.setattr(compiling, "_WORTH_ASKING", 0)
    monkeypatch.setattr(compiling, "_WORTH_STARTING", 0)


X = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)


def test_kernels_of_one_program_are_compiled_side_by_side(pool: Any, eager_to_share: None) -> None:
    clear_compiled()
    alone = [np.asarray(y).tobytes() for y in jitml.jit(many)(X)]
    asked: list[int] = []
    helper = started()
    helper.wait()
    compile_there = helper.compile

    def counted(*args: Any) -> Any:
        asked.append(1)
        return compile_there(*args)

    helper.compile = counted  # type: ignore[method-assign]
    clear_compiled()
    before = STATISTICS.kernels
    again = [np.asarray(y).tobytes() for y in jitml.jit(lambda x: many(x))(X)]
    assert again == alone
    assert 0 < len(asked) < STATISTICS.kernels - before


def test_a_worker_lost_in_the_middle_is_not_missed(pool: Any, eager_to_share: None) -> None:
    helper = started()
    helper.wait()
    os.kill(helper._pid, signal.SIGKILL)
    clear_compiled()
    found = jitml.jit(many)(X)
    assert all(np.isfinite(y).all() for y in map(np.asarray, found))


# ---- processes -----------------------------------------------------------------------------------

OWNER = """
import os, sys, time
from jitml.pipeline.workers import worker
found = worker()
found.wait()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(15)
    os._exit(0)
print(found._pid, flush=True)
if "end" not in sys.argv:
    time.sleep(60)
"""


def owner(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "JITML_WORKERS": "1"}
    command = [sys.executable, "-W", "error", "-c", OWNER, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("arguments", [("end",), (), ("fork",)])
def test_a_worker_ends_with_its_owner(arguments: tuple[str, ...]) -> None:
    """Also where the owner is killed, and a fork of it lives on with copies of its pipes."""
    with owner(*arguments) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        if "end" not in arguments:
            assert is_alive(pid)
            process.kill()
        process.wait()
        wait_until_gone(pid)
        process.stdout.close()


# The test process may hold threads of JAX, which warns of forks; the child runs none of its code.
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_a_fork_leaves_the_worker_to_its_parent(pool: Any) -> None:
    helper = started()
    helper.wait()
    child = os.fork()
    if child == 0:
        own = workers.worker()
        is_new = own is not None and own is not helper and own.compile(TEXT, host(), 0) is not None
        workers._POOL.close()
        os._exit(0 if is_new else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert helper.compile(TEXT, host(), 0)


def test_the_module_runs_as_a_program() -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    command = [sys.executable, "-m", "jitml.worker"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0]
        assert REPLY.unpack(process.stdout.read(REPLY.size)) == (GREETING, 0)
        process.stdin.write(struct.pack("<I", 1))  # cut off
        process.stdin.close()
        assert process.wait() == 0
