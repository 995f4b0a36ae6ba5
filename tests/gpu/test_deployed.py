"""Files that hold a program for the CPU and for GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml.device import launches
from jitml.emulation.libcuda import EmulatedCuda
from jitml.ir.errors import ArgumentError, TransformError

X = np.arange(12, dtype=np.float32).reshape(3, 4)
WEIGHTS = jnp.asarray(X.T / 10)


def test_one_file_serves_cpu_and_gpus(tmp_path: Path, emulated: EmulatedCuda) -> None:
    path = tmp_path / "predict.jitml"

    def predict(x: object) -> object:
        return {"y": jnp.tanh(x @ WEIGHTS), "x": x}

    jitml.export.save(predict, path, X, gpus=["sm_80", "sm_90", "sm_120"])
    here = jitml_runtime.load(path)(X)
    assert "cuGraphLaunch" not in emulated.calls
    there = jitml.export.load(path, device="cuda:0")
    for _ in range(2):
        found = there(X)
        np.testing.assert_array_equal(found["y"], here["y"])
        np.testing.assert_array_equal(found["x"], X)
    assert emulated.calls["cuLaunchKernel"] >= 1
    assert "predict(x: float32[3,4])" in repr(there)
    np.testing.assert_array_equal(jitml.export.load(path)(X)["y"], here["y"])


@pytest.mark.parametrize("version", [12030, 12040])
def test_loops_of_files_run_on_the_device(
    version: int, tmp_path: Path, emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated.version = version
    monkeypatch.setattr(launches, "MOST_NODES", 40)
    path = tmp_path / "loop.jitml"

    def loop(x: Any, n: Any, rows: Any) -> Any:
        x = jitml.lax.fori_loop(0, n, lambda _, x: jnp.sort(x @ WEIGHTS @ x), x)
        return jitml.lax.scan(lambda c, row: (jnp.sort(c + row), c[0]), x, rows)

    rows = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    jitml.export.save(loop, path, X, np.int32(3), rows, gpus=["sm_90"])
    here, there = (
        program(X, np.int32(3), rows)
        for program in (jitml_runtime.load(path), jitml.export.load(path, device="cuda:0"))
    )
    for x, y in zip(here, there, strict=True):
        np.testing.assert_array_equal(x, y)
    assert ("cuGraphLaunch" in emulated.calls) == (version == 12040)


def test_failed_checks_name_the_line_of_the_program(tmp_path: Path, emulated: EmulatedCuda) -> None:
    path = tmp_path / "pick.jitml"
    pick = lambda x, i: x[i]  # noqa: E731
    jitml.export.save(pick, path, X, np.array([1]), gpus=["sm_90"])
    program = jitml.export.load(path, device=jitml.devices()[0])
    np.testing.assert_array_equal(program(X, np.array([2])), X[[2]])
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0") as raised:
        program(X, np.array([7]))
    assert "pick = lambda x, i: x[i]" in str(raised.value)


def test_a_file_for_later_gpus_says_so(tmp_path: Path, emulated: EmulatedCuda) -> None:
    for gpus, held in ((["sm_100"], "sm_100"), ([], "no GPU")):
        jitml.export.save(lambda x: x + 1, tmp_path / "f", X, gpus=gpus)
        with pytest.raises(jitml_runtime.LoadError, match=f"saved for {held}, this is sm_90"):
            jitml.export.load(tmp_path / "f", device="cuda")


def test_what_a_file_for_gpus_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TransformError, match="parts that only the host computes"):
        jitml.export.save(jnp.linalg.eigvals, tmp_path / "f", np.eye(3), gpus=["sm_90"])
    jitml.export.save(lambda x: x + 1, tmp_path / "f", X, gpus=["sm_90"])
    with pytest.raises(ArgumentError, match="there is no device 'cuda'"):
        jitml.export.load(tmp_path / "f", device="cuda")
