"""Threads, signals, forks: each script in a process of its own, so that nothing can hang us."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jitml_runtime import limits, threads

Script = Callable[[str], "subprocess.CompletedProcess[str]"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork")


def passed(result: subprocess.CompletedProcess[str]) -> None:
    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def test_no_thread_starts_before_the_first_parallel_kernel(run_script: Script) -> None:
    passed(
        run_script(
            "def tasks():\n"
            "    folder = pathlib.Path('/proc/self/task')\n"
            "    return [(task / 'comm').read_text().strip() for task in folder.iterdir()]\n"
            "runtime.set_num_threads(3)\n"
            "programs.bind(runtime, code, programs.add_one_plan(8)).run(\n"
            "    [runtime.from_numpy(np.zeros(8, 'f4'))])\n"
            "assert 'jitml-worker' not in tasks()\n"
            "programs.bind(runtime, code, programs.work_plan(100, 1, 10)).run([])\n"
            "time.sleep(0.1)\n"
            "assert tasks().count('jitml-worker') == (2 if runtime.EXECUTOR == 'native' else 0)\n"
        )
    )


@posix
def test_forked_children_and_their_parents_go_on(run_script: Script) -> None:
    passed(
        run_script(
            "runtime.set_num_threads(3)\n"
            "program = programs.bind(runtime, code, programs.work_plan(3000, 10, 50))\n"
            "expected = np.arange(3000) // 10 * 10\n"
            "def use():\n"
            "    for _ in range(5):\n"
            "        assert np.array_equal(np.asarray(program.run([])[0]), expected)\n"
            "use()\n"
            "for _ in range(15):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        use()\n"
            "        os._exit(0)\n"
            "    use()\n"
            "    assert os.waitpid(child, 0)[1] == 0\n"
        )
    )


@posix
def test_forks_while_other_threads_compute(run_script: Script) -> None:
    passed(
        run_script(
            "import warnings\n"
            "warnings.simplefilter('ignore', DeprecationWarning)  # fork with threads, 3.12\n"
            "runtime.set_num_threads(2)\n"
            "program = programs.bind(runtime, code, programs.work_plan(3000, 10, 50))\n"
            "ending = False\n"
            "def use(): assert np.asarray(program.run([])[0])[2999] == 2990\n"
            "def loop():\n"
            "    while not ending: use()\n"
            "workers = [threading.Thread(target=loop) for _ in range(2)]\n"
            "for worker in workers: worker.start()\n"
            "for _ in range(10):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        use()\n"
            "        os._exit(0)\n"
            "    assert os.waitpid(child, 0)[1] == 0\n"
            "ending = True\n"
            "for worker in workers: worker.join()\n"
        )
    )


def test_concurrent_callers_get_right_bits(run_script: Script) -> None:
    passed(
        run_script(
            "runtime.set_num_threads(2)\n"
            "size = 40_000\n"
            "plans = [programs.add_three_plan(size, 1000), programs.add_three_plan(size)]\n"
            "made = [programs.bind(runtime, code, plan) for plan in plans]\n"
            "bad = []\n"
            "def use(seed):\n"
            "    source = np.arange(seed, seed + size, dtype=np.float32)\n"
            "    array = runtime.from_numpy(source)\n"
            "    for turn in range(60 if runtime.EXECUTOR == 'native' else 15):\n"
            "        (result,) = made[(seed + turn) % 2].run([array])\n"
            "        if not np.array_equal(np.asarray(result), source + 3): bad.append(seed)\n"
            "workers = [threading.Thread(target=use, args=(i,)) for i in range(8)]\n"
            "for worker in workers: worker.start()\n"
            "for worker in workers: worker.join()\n"
            "assert not bad\n"
        )
    )


INTERRUPTS = """
# A parent that ignores the signal (a shell that runs this in the background) hands that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(plan):
    program = programs.bind(runtime, code, plan)
    threading.Timer(0.15, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    try:
        program.run([])
    except KeyboardInterrupt:
        return time.monotonic() - begin - 0.15
    raise AssertionError('not interrupted')

late = []
for count, chunks in ((1, 1), (2, 1), (3, 40)):
    runtime.set_num_threads(count)
    late.append(interrupt(programs.endless_plan(chunks)))
late.append(interrupt(programs.work_plan(10**6, 10, 10**6)))
assert sorted(late)[1] < 0.2, late  # the others may have met a busy machine
ready = programs.bind(runtime, code, programs.work_plan(300, 10, 5))
assert np.asarray(ready.run([])[0])[299] == 290
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@posix
def test_interrupts_end_endless_kernels_and_long_sequences(run_script: Script) -> None:
    passed(run_script(INTERRUPTS))


@posix
def test_other_signals_are_handled_meanwhile(run_script: Script) -> None:
    passed(
        run_script(
            "class Late(Exception): pass\n"
            "def handler(*_): raise Late\n"
            "signal.signal(signal.SIGALRM, handler)\n"
            "program = programs.bind(runtime, code, programs.work_plan(10**6, 10, 10**5))\n"
            "for threads_used in (1, 2):\n"
            "    runtime.set_num_threads(threads_used)\n"
            "    signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
            "    begin = time.monotonic()\n"
            "    try: program.run([])\n"
            "    except Late: assert time.monotonic() - begin < 2\n"
            "    else: raise AssertionError('not handled')\n"
        )
    )


@posix
def test_handlers_that_do_not_raise_let_the_work_go_on(run_script: Script) -> None:
    passed(
        run_script(
            "seen = []\n"
            "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
            "runtime.set_num_threads(2)\n"
            "program = programs.bind(runtime, code, programs.work_plan(4000, 10, 10**5))\n"
            "threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
            "(result,) = program.run([])\n"
            "time.sleep(0.2)\n"
            "assert np.asarray(result)[3999] == 3990 and seen == [1]\n"
        )
    )


@posix
def test_an_interrupted_run_waits_for_its_kernel(run_script: Script) -> None:
    """The Python executor's thread for it has ended when the exception arrives."""
    passed(
        run_script(
            "from jitml_runtime.reference import execute\n"
            "class Late(Exception): pass\n"
            "def handler(*_): raise Late\n"
            "signal.signal(signal.SIGALRM, handler)\n"
            "ended = []\n"
            "def slow(self):\n"
            "    time.sleep(0.4)\n"
            "    ended.append(True)\n"
            "execute._KernelRun.run = slow\n"
            "chunks = execute._KernelRun.__new__(execute._KernelRun)\n"
            "chunks.stop = execute.ctypes.c_int32(0)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
            "try: chunks.run_beside()\n"
            "except Late: assert ended and chunks.stop.value == 1\n"
            "else: raise AssertionError('not handled')\n"
        )
    )


def test_other_threads_run_meanwhile(run_script: Script) -> None:
    passed(
        run_script(
            "program = programs.bind(runtime, code, programs.work_plan(12000, 10, 10**5))\n"
            "worker = threading.Thread(target=program.run, args=([],))\n"
            "worker.start()\n"
            "count = 0\n"
            "while worker.is_alive():\n"
            "    time.sleep(0.005)\n"
            "    count += 1\n"
            "assert count > 10, count\n"
        )
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("3", 3), ("", None), ("0", None), ("many", None), ("9999", None), ("1" * 5000, None)],
)
def test_default_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int | None
) -> None:
    monkeypatch.delenv("JITML_NUM_THREADS", raising=False)
    default = threads.default_thread_count()
    assert 1 <= default <= (os.cpu_count() or 1)
    monkeypatch.setenv("JITML_NUM_THREADS", asked)
    if asked and expected is None:
        with pytest.warns(RuntimeWarning, match="JITML_NUM_THREADS=.* is ignored"):
            assert threads.default_thread_count() == default
    else:
        assert threads.default_thread_count() == (expected or default)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity masks")
def test_the_default_follows_the_affinity_mask(run_script: Script) -> None:
    passed(
        run_script(
            "from jitml_runtime.threads import default_thread_count\n"
            "os.environ.pop('JITML_NUM_THREADS', None)\n"
            "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "assert default_thread_count() == 1\n"
        )
    )


def test_a_scope_holds_for_its_thread_alone(runtime: Any) -> None:
    runtime.set_num_threads(3)
    assert runtime.scope_num_threads(2) is None and runtime.get_num_threads() == 2
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(runtime.get_num_threads()))
    other.start()
    other.join()
    runtime.set_num_threads(4)
    assert seen == [3] and runtime.get_num_threads() == 2
    assert runtime.scope_num_threads(5) == 2 and runtime.scope_num_threads(None) == 5
    assert runtime.get_num_threads() == 4
    for wrong in (0, -1, 5000):
        with pytest.raises(ValueError, match="number of threads must be from 1 to 1024"):
            runtime.scope_num_threads(wrong)
    with pytest.raises(TypeError):
        runtime.scope_num_threads(1.5)
    assert runtime.get_num_threads() == 4


def test_a_scope_decides_how_many_threads_run(run_script: Script) -> None:
    passed(
        run_script(
            "def workers():\n"
            "    folder = pathlib.Path('/proc/self/task')\n"
            "    names = [(task / 'comm').read_text().strip() for task in folder.iterdir()]\n"
            "    return names.count('jitml-worker')\n"
            "native = runtime.EXECUTOR == 'native' and sys.platform == 'linux'\n"
            "runtime.set_num_threads(4)\n"
            "program = programs.bind(runtime, code, programs.work_plan(100, 1, 10))\n"
            "for count, expected in ((1, 0), (2, 1), (None, 3)):\n"
            "    runtime.scope_num_threads(count)\n"
            "    program.run([])\n"
            "    time.sleep(0.05)\n"
            "    assert workers() == (expected if native else 0), count\n"
        )
    )


@pytest.mark.skipif(os.environ.get("JITML_STRESS") != "1", reason="takes a minute: JITML_STRESS=1")
@pytest.mark.parametrize("kind", ["callers", "forks"])
def test_stress(run_script: Script, kind: str) -> None:
    """Eight callers for a minute, with changing numbers of threads; a hundred forks in a row."""
    passed(run_script({"callers": CALLERS, "forks": FORKS}[kind]))


CALLERS = """
size, turns, bad = 40_000, [0] * 8, []
plans = [programs.add_three_plan(size, 1000), programs.add_three_plan(size)]
made = [programs.bind(runtime, code, plan) for plan in plans]
end = time.monotonic() + 55
def use(seed):
    source = np.arange(seed, seed + size, dtype=np.float32)
    array = runtime.from_numpy(source)
    while time.monotonic() < end:
        turns[seed] += 1
        runtime.scope_num_threads(1 + (seed + turns[seed]) % 5)
        (result,) = made[(seed + turns[seed]) % 2].run([array])
        if not np.array_equal(np.asarray(result), source + 3): bad.append(seed)
workers = [threading.Thread(target=use, args=(i,)) for i in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
assert not bad and min(turns) > 10, turns
"""
FORKS = """
runtime.set_num_threads(3)
program = programs.bind(runtime, code, programs.work_plan(3000, 10, 50))
expected = np.arange(3000) // 10 * 10
def use(): assert np.array_equal(np.asarray(program.run([])[0]), expected)
for _ in range(100):
    use()
    child = os.fork()
    if child == 0:
        use()
        os._exit(0)
    use()
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    ("files", "cpus", "size_bytes"),
    [
        ({"cpu.max": "150000 100000\n", "memory.max": "1000\n"}, 2, 1000),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None),
        (
            {
                "/proc/self/cgroup": "0::/users/one\n",
                "users/one/cpu.max": "max 100000\n",
                "users/cpu.max": "250000 100000\n",
                "users/one/memory.max": "3000\n",
                "users/memory.max": "4000\n",
            },
            3,
            3000,
        ),
        (
            {
                "/proc/self/cgroup": "2:cpu,cpuacct:/job/1\n1:name=systemd:/\n3:memory:/job\n",
                "cpu,cpuacct/job/1/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/job/1/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                "memory/job/memory.limit_in_bytes": "5000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            4,
            5000,
        ),
        (
            {
                "/proc/self/cgroup": "1:cpu:/docker/unseen\n2:memory:/docker/unseen\n",
                "cpu/cpu.cfs_quota_us": "50000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "7000\n",
            },
            1,
            7000,
        ),
        ({"/proc/self/cgroup": "nonsense\n0::/../..\n", "cpu.max": "1 0\n"}, None, None),
        ({}, None, None),
    ],
)
def test_grants_of_control_groups(
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    cpus: int | None,
    size_bytes: int | None,
) -> None:
    monkeypatch.setattr(
        limits, "_read", lambda path: files.get(path.removeprefix("/sys/fs/cgroup/"), "")
    )
    assert (limits.granted_cpus(), limits.granted_bytes()) == (cpus, size_bytes)


@pytest.mark.parametrize("asked", ["python", "native", "neither"])
def test_the_executor_can_be_chosen(asked: str) -> None:
    script = "import jitml_runtime as r; print(r.EXECUTOR, r.Array.__module__)"
    environment: dict[str, Any] = {
        **os.environ,
        "JITML_RUNTIME": asked,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    if asked == "neither":
        assert "expected 'native' or 'python'" in result.stderr
    else:
        assert result.stdout.split() == [asked, "jitml_runtime"]


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("sys.modules['jitml_runtime._core'] = None", "import of jitml_runtime._core halted"),
        ("sys._is_gil_enabled = lambda: False", "it needs Python's global lock"),
    ],
    ids=["missing", "free-threaded"],
)
def test_without_the_core_one_line_warns_and_python_serves(before: str, reason: str) -> None:
    script = (
        f"import sys\n{before}\n"
        "import jitml_runtime as r, jitml_runtime\n"
        "print(r.EXECUTOR, r.Array.__module__, r.memory_stats()['live_arrays'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("JITML_RUNTIME", None)
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (line,) = result.stderr.splitlines()
    assert f"RuntimeWarning: jitml's C core cannot be used ({reason}" in line
    assert line.endswith("the slower pure-Python executor serves instead")
    assert result.stdout == "python jitml_runtime 0\n"
