"""Programs on a device: control flow, checks, host functions; and what a driver may refuse."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.device import errors
from jitml.device.device import Device
from jitml.device.driver import Driver
from jitml.emulation.libcuda import EmulatedCuda
from jitml.ir.errors import OutOfBoundsError
from jitml.pipeline import devices

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_control_flow_runs_as_on_the_cpu(emulated: EmulatedCuda) -> None:
    def collatz(n: Any) -> Any:
        return jitml.lax.while_loop(
            lambda s: s[0] != 1,
            lambda s: (jnp.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1),
            (n, 0),
        )[1]

    assert int(jitml.jit(collatz)(27)) == 111

    def step(carry: Any, row: Any) -> Any:
        carry = jitml.lax.cond(row.sum() > 20, lambda c: c @ c, lambda c: c + row[:3], carry)
        return carry, carry.sum()

    start = np.eye(3, dtype=np.float32)
    last, sums = jitml.jit(lambda c: jitml.lax.scan(step, c, X))(start)
    c = start
    for row, total in zip(X, np.asarray(sums), strict=True):
        c = c @ c if row.sum() > 20 else c + row[:3]
        assert c.sum() == total
    np.testing.assert_array_equal(last, c)
    assert emulated.calls["cuLaunchKernel"] > 3


def test_an_index_out_of_bounds_names_index_and_line(emulated: EmulatedCuda) -> None:
    pick = jitml.jit(lambda x, i: x[i])
    found = pick(X, np.array([0, 5, 9]))
    with pytest.raises(OutOfBoundsError, match="index 5 is out of bounds for axis 0") as raised:
        found.block_until_ready()
    assert "pick = jitml.jit(lambda x, i: x[i])" in str(raised.value)
    assert "at element [1, 0] of" in str(raised.value)
    np.testing.assert_array_equal(pick(X, np.array([2, 0, 1])), X[[2, 0, 1]])


def test_the_first_check_wins_whatever_the_threads(emulated: EmulatedCuda) -> None:
    indices = np.zeros(5000, np.int32)
    indices[[4000, 1234, 4999]] = 7, 8, 9
    with pytest.raises(OutOfBoundsError, match=r"index 8 .* element 1234 "):
        np.asarray(jitml.jit(lambda x, i: x[i])(np.arange(3.0), indices))


def test_a_program_without_decisions_is_one_launch(emulated: EmulatedCuda) -> None:
    weights = {"w": np.full((4, 3), 0.3, np.float32), "b": np.zeros(3, np.float32)}

    def loss(p: Any, x: Any) -> Any:
        def step(h: Any, _: Any) -> Any:
            return jnp.tanh(h @ (p["w"].T @ p["w"])), None

        h, _ = jitml.lax.scan(step, x @ p["w"] + p["b"], None, length=3)
        return (h * h).sum()

    @jitml.jit
    def train(p: Any, x: Any) -> Any:
        return jitml.tree.map(lambda v, g: v - 0.1 * g, p, jitml.grad(loss)(p, x))

    once = train(weights, X / 10)
    again = train(once, X / 10)
    assert emulated.calls["cuGraphLaunch"] == 2
    state = again
    for _ in range(3):
        state = train(state, X / 10)
    recorded = emulated.calls["cuLaunchKernel"]
    for _ in range(5):
        state = train(state, X / 10)
    assert emulated.calls["cuGraphLaunch"] == 10
    assert emulated.calls["cuLaunchKernel"] == recorded  # addresses come back
    assert not np.array_equal(again["w"], once["w"])
    jitml.clear_caches()
    np.testing.assert_array_equal(train(once, X / 10)["w"], again["w"])


def test_checks_within_a_graph_tell_the_step(emulated: EmulatedCuda) -> None:
    def walk(x: Any, i: Any) -> Any:
        return jitml.lax.scan(lambda c, k: (jnp.sort(c + x[k]), None), x, i)[0]

    walk = jitml.jit(walk)
    walk(X[0], np.array([0, 1, 2]))
    for _ in range(2):
        with pytest.raises(OutOfBoundsError, match=r"index 9 .*step 1"):
            walk(X[0], np.array([0, 9, 8])).block_until_ready()
    assert emulated.calls["cuGraphLaunch"] == 3


def test_python_is_called_between_launches(emulated: EmulatedCuda) -> None:
    seen = []

    def program(x: Any) -> Any:
        y = jnp.exp(x)
        jitml.debug.callback(lambda v: seen.append(np.asarray(v)), y)
        return y + 1

    found = jitml.jit(program)(X)
    np.testing.assert_array_equal(seen[0] + 1, found)
    inverse = jitml.jit(jnp.linalg.inv)(np.eye(3, dtype=np.float32) * 4)
    np.testing.assert_array_equal(inverse, np.eye(3) / 4)


def test_no_memory_is_left_behind(emulated: EmulatedCuda) -> None:
    function = jitml.jit(lambda x: jnp.sort(x @ x.T, axis=0).sum())
    (device,) = jitml.devices()
    jitml.block_until_ready([function(X), jitml.jit(lambda x: x + 1)(X)])
    before = device.memory_stats()["bytes_in_use"]
    for _ in range(3):
        function(X)
    with suppress(OutOfBoundsError):
        jitml.jit(lambda x, i: x[i])(X, np.array([9])).block_until_ready()
    assert device.memory_stats()["bytes_in_use"] == before
    del function
    jitml.clear_caches()
    gc.collect()
    assert device.memory_stats()["bytes_in_use"] == 0
    constants = sum(len(k.constants) for k in emulated.units[0].kernels.values())
    assert len(emulated.memory.sizes) == 1 + constants  # and the error slot


FAILURES = {
    ("cuMemAllocAsync", 2): (errors.DeviceMemoryError, "its memory is used up"),
    ("cuLaunchKernel", 701): (errors.LaunchError, "more registers or shared memory"),
    ("cuLaunchKernel", 1): (errors.LaunchError, "does not take these arguments"),
    ("cuStreamSynchronize", 700): (errors.IllegalAccessError, "not its own"),
    ("cuStreamSynchronize", 999): (errors.DeviceLostError, "has been lost"),
    ("cuModuleLoadData", 222): (errors.DriverVersionError, "too old for this PTX"),
}


@pytest.mark.parametrize("planted", FAILURES)
def test_failures_have_a_name_and_the_users_line(
    planted: tuple[str, int], emulated: EmulatedCuda
) -> None:
    function, status = planted
    kind, message = FAILURES[planted]
    kept = jnp.asarray(X)
    emulated.always[function] = status
    failing = jitml.jit(lambda x: jnp.tanh(x) * 3)
    with pytest.raises(kind, match=message) as raised:
        failing(kept).block_until_ready()
    text = str(raised.value)
    assert f"{function} gives CUDA error {status}" in text
    assert "failing = jitml.jit(lambda x: jnp.tanh(x) * 3)" in text
    emulated.always.clear()
    # The process, the function and other arrays stay usable.
    np.testing.assert_allclose(failing(kept), np.tanh(X) * 3, rtol=1e-6)


def test_a_kernel_that_goes_astray_is_an_error_and_the_device_begins_anew(
    emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = jnp.asarray(X)
    before = jitml.jit(lambda x: x - 1)
    before(kept)
    ptx = devices._ptx
    monkeypatch.setattr(
        devices, "_ptx", lambda *a: re.sub(r"(st\.global\S+ \t\[%rd\d+)", r"\1+4096", ptx(*a))
    )
    stray = jitml.jit(lambda x: jnp.cos(x) + 1)
    with pytest.raises(errors.IllegalAccessError, match="out-of-bounds: 4 bytes at") as raised:
        stray(kept).block_until_ready()
    assert "stray = jitml.jit(lambda x: jnp.cos(x) + 1)" in str(raised.value)
    np.testing.assert_array_equal(before(kept), X - 1)


def test_drivers_that_are_missing_or_too_old_say_so() -> None:
    with pytest.raises(errors.DriverVersionError, match=r"supports CUDA 11.4, but 12.0 is needed"):
        Driver(EmulatedCuda(version=11040))
    with pytest.raises(errors.NoDeviceError, match="there is no device 0: the driver knows 0"):
        Driver(EmulatedCuda(device_count=0))


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver")
def test_who_asks_for_gpus_hears_at_once_why_there_are_none() -> None:
    with pytest.raises(RuntimeError, match="there is no backend 'cuda'") as raised:
        jitml.devices("cuda")
    assert "there is no NVIDIA driver: libcuda.so.1 cannot be loaded" in str(raised.value)


def test_blocks_too_large_are_refused() -> None:
    cuda = EmulatedCuda()
    driver = Driver(cuda)
    function = Device(driver).function(jitml.aot(lambda x: x + 1, X).kernels[0].ptx)
    with pytest.raises(errors.LaunchError):
        driver.launch(function, ((1, 1, 1), (2048, 1, 1), 0), [0] * 8)


def run(program: str, device: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "JITML_DEVICE": device}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def test_a_users_program_runs_on_the_device_that_the_environment_names() -> None:
    program = (
        "import sys, jitml, jitml.numpy as jnp\n"
        "print(jitml.jit(jnp.sum)(jnp.arange(5)), 'jitml.emulation' in sys.modules)\n"
    )
    assert run(program, "cuda-emulated") == "10 True\n"
    assert run(program, "cpu") == "10 False\n"
    assert "there is no such device" in run(program, "tpu")
    if not os.path.exists("/dev/nvidiactl"):
        assert "NoDeviceError: there is no NVIDIA driver" in run(program, "cuda")


def test_grids_fill_the_device_and_results_do_not_depend_on_it(
    measured: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = jnp.arange(300_000, dtype="int32") % 1000
    whole = np.asarray(jitml.jit(lambda x: (x * 3)[::-1].astype("int8"))(x))
    assert max(launch.blocks for launch in measured.launches) * 128 > 132 * 2048 // 2
    monkeypatch.setattr(Driver, "most_threads", 4096)
    jitml.clear_caches()
    measured.launches.clear()
    few = np.asarray(jitml.jit(lambda x: (x * 3)[::-1].astype("int8"))(x))
    assert max(launch.blocks for launch in measured.launches) == 4096 // 128
    np.testing.assert_array_equal(whole, few)
