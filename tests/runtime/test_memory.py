"""Memory: recycling, its bounds, what is given back, and what a MemoryError says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml_runtime import ArraySpec, shortage

Script = Callable[[str], "subprocess.CompletedProcess[str]"]
MEBIBYTE = 1 << 20


def passed(result: subprocess.CompletedProcess[str]) -> None:
    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def spec(size_bytes: int) -> ArraySpec:
    return ArraySpec(np.dtype(np.uint8), (size_bytes,))


@pytest.fixture
def core() -> Any:
    """The C core with empty lists of blocks; it is told afterwards that all memory is its own."""
    core: Any = pytest.importorskip("jitml_runtime._core")
    core.release_cache()
    yield core
    core.set_memory_limit(0)
    core.release_cache()


def test_counts_follow_arrays(runtime: Any) -> None:
    before = runtime.memory_stats(reset_peak=True)
    array = runtime.empty(spec(MEBIBYTE))
    during = runtime.memory_stats()
    assert during["bytes_in_use"] - before["bytes_in_use"] >= MEBIBYTE
    assert during["live_arrays"] - before["live_arrays"] == 1
    assert during["allocations"] - before["allocations"] == 1
    assert array in [*map(_Same, runtime.list_stored_arrays())]
    del array
    after = runtime.memory_stats()
    assert (after["bytes_in_use"], after["live_arrays"]) == (
        before["bytes_in_use"],
        before["live_arrays"],
    )
    assert after["peak_bytes"] == during["bytes_in_use"]
    assert runtime.memory_stats(reset_peak=True)["peak_bytes"] == before["bytes_in_use"]


class _Same:
    """Equal to one object alone: arrays compare element by element."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return self.value is other

    __hash__ = None  # type: ignore[assignment]


def test_stored_arrays_are_those_alive_with_memory_outside(runtime: Any) -> None:
    before = len(runtime.list_stored_arrays())
    arrays = [runtime.empty(spec(size)) for size in (16, 1000, 2000, 3000)]
    shared = runtime.share(arrays[1], (10, 100), False)
    assert len(runtime.list_stored_arrays()) == before + 4
    arrays[2].delete()
    assert len(runtime.list_stored_arrays()) == before + 3
    del arrays[1]
    assert len(runtime.list_stored_arrays()) == before + 2
    del arrays, shared
    assert len(runtime.list_stored_arrays()) == before


def test_released_blocks_are_used_again(core: Any) -> None:
    for size in (1000, MEBIBYTE, 5 * MEBIBYTE + 1):
        first = core.empty(spec(size))
        place = core.data_pointer(first)
        del first
        kept = core.memory_stats()["cached_bytes"]
        assert kept >= size
        second = core.empty(spec(size))
        assert core.data_pointer(second) == place
        assert core.memory_stats()["cached_bytes"] < kept


def test_what_is_kept_is_bounded(core: Any) -> None:
    used = core.memory_stats()["bytes_in_use"]
    core.set_memory_limit(used + 64 * MEBIBYTE)
    for size in range(1, 14):  # blocks of many sizes, of which none suits the next request
        core.empty(spec(size * MEBIBYTE))
        assert core.memory_stats()["cached_bytes"] <= (used + 64 * MEBIBYTE) // 4
    assert core.memory_stats()["cached_bytes"] > 0
    core.set_memory_limit(used + 16 * MEBIBYTE)
    core.empty(spec(5 * MEBIBYTE))  # more than may be kept
    assert core.memory_stats()["cached_bytes"] == 0


def test_when_the_process_runs_short_nothing_is_kept(core: Any) -> None:
    used = core.memory_stats()["bytes_in_use"]
    core.set_memory_limit(used + 64 * MEBIBYTE)
    core.empty(spec(12 * MEBIBYTE))
    assert core.memory_stats()["cached_bytes"] == 12 * MEBIBYTE
    large = core.empty(spec(52 * MEBIBYTE))  # both together would be too much
    assert core.memory_stats()["cached_bytes"] == 0
    core.empty(spec(10 * MEBIBYTE))
    assert core.memory_stats()["cached_bytes"] == 0
    del large
    core.empty(spec(10 * MEBIBYTE))
    assert core.memory_stats()["cached_bytes"] == 10 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere refusals are the system's")
def test_more_than_the_machine_has_is_refused(runtime: Any) -> None:
    before = runtime.memory_stats()
    for size in (1 << 46, 1 << 62):
        with pytest.raises(MemoryError, match=r"cannot allocate \d+\.0 TiB; .* are in use"):
            runtime.empty(spec(size))
    after = runtime.memory_stats()
    assert (after["bytes_in_use"], after["live_arrays"]) == (
        before["bytes_in_use"],
        before["live_arrays"],
    )


def test_a_refusal_by_the_system_empties_the_lists_first(run_script: Script) -> None:
    passed(
        run_script(
            "import resource\n"
            "from jitml_runtime import ArraySpec\n"
            "def empty(size): return runtime.empty(ArraySpec(np.dtype('u1'), (size,)))\n"
            "empty(100 << 20)\n"
            "used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20),) * 2)\n"
            "array = empty(120 << 20) if runtime.EXECUTOR == 'native' else empty(50 << 20)\n"
            "assert runtime.memory_stats()['cached_bytes'] == 0\n"
            "try: empty(100 << 20)\n"
            "except MemoryError as error: assert 'MiB  uint8[' in str(error), error\n"
            "else: raise AssertionError('not refused')\n"
            "assert len(np.asarray(array)) == array.size\n"
        )
    )


class _Model:
    def __init__(self, weights: Any) -> None:
        self.layers = [{"weights": weights}]


def test_a_memory_error_names_the_largest_arrays(runtime: Any) -> None:
    def train() -> None:
        model = _Model(runtime.empty(ArraySpec(np.dtype(np.float32), (3000, 1000))))
        runtime.empty(spec(1 << 60))
        del model

    batch = runtime.empty(spec(20 * MEBIBYTE))
    with pytest.raises(MemoryError) as caught:
        train()
    lines = str(caught.value).splitlines()
    line = train.__code__.co_firstlineno + 1
    assert lines[0].startswith("cannot allocate 1048576.0 TiB; ")
    assert (
        f"  20.0 MiB  uint8[{batch.size}]  batch  ({__file__}:{line + 4} in test_a_memory"
        in (lines[1])
    )
    named = "model.layers[0]['weights']"
    assert f"  11.4 MiB  float32[3000,1000]  {named}  ({__file__}:{line} in train)" in lines
    assert lines[-1].startswith("hint: `del` what is no longer needed")
    assert len(lines) <= 6


def test_arrays_out_of_reach_are_told_without_a_name(runtime: Any) -> None:
    holder = {frozenset([1]): runtime.empty(spec(30 * MEBIBYTE))}
    hidden = iter([runtime.empty(spec(40 * MEBIBYTE))])
    with pytest.raises(MemoryError) as caught:
        runtime.empty(spec(1 << 60))
    lines = str(caught.value).splitlines()
    assert "in no variable of the callers" in lines[1]
    assert "holder[Ellipsis]  (" in lines[2]
    assert next(hidden).size + holder.popitem()[1].size == 70 * MEBIBYTE


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB")],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert shortage.size_text(size) == text
