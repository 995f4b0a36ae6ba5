"""Arrays that stay on the device: what is copied, when errors are told, whose memory it is."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.device import errors
from jitml.device.device import Counts, Device
from jitml.emulation.libcuda import EmulatedCuda
from jitml.ir.errors import OutOfBoundsError
from jitml.pipeline import devices

X = np.arange(12, dtype=np.float32).reshape(3, 4)
BIG = np.ones((40, 40), np.float32)


@pytest.fixture
def device(emulated: EmulatedCuda) -> Device:
    return devices.default_device()


@pytest.fixture
def two(emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedCuda]:
    cuda = EmulatedCuda(device_count=2)
    devices.device.cache_clear()
    monkeypatch.setattr(devices, "device_library", lambda: cuda)
    yield cuda


def since(device: Device, before: Counts) -> tuple[int, int]:
    """Copies to the device and to the host."""
    now = device.counts
    return now.to_device - before.to_device, now.to_host - before.to_host


def counted(device: Device) -> Counts:
    return Counts(**vars(device.counts))


# ---- copies --------------------------------------------------------------------------------------


def test_elements_are_copied_once_each_way(device: Device) -> None:
    double = jitml.jit(lambda x: x * 2)
    x, before = jnp.asarray(X), counted(device)
    y = double(double(double(x)))
    double(x)
    assert since(device, before) == (1, 0)
    np.testing.assert_array_equal(y, X * 8)
    assert float(y.sum()) == X.sum() * 8 and str(y)
    assert since(device, before) == (1, 2)  # y and the sum
    stats = jitml.devices()[0].memory_stats()
    assert stats["to_device_bytes"] == X.nbytes and stats["bytes_in_use"] > 0


def test_calls_return_before_the_device_is_done(device: Device) -> None:
    y = jitml.jit(jnp.cos)(X)
    assert not y.is_ready() and device.driver.is_idle() is False
    assert y.block_until_ready() is y and y.is_ready()
    z = jitml.jit(jnp.sin)(y)
    z.copy_to_host_async()
    assert jitml.block_until_ready({"z": z})["z"].is_ready()
    np.testing.assert_allclose(z, np.sin(np.cos(X)), rtol=1e-6)


def test_host_memory_may_change_as_soon_as_a_call_returns(device: Device) -> None:
    source = X.copy()
    shared = jnp.from_dlpack(source)
    y = jitml.jit(lambda x: x + 1)(shared)
    source[:] = 7
    np.testing.assert_array_equal(y, X + 1)


def test_the_host_is_not_ahead_without_end(emulated: EmulatedCuda, device: Device) -> None:
    step, x = jitml.jit(lambda x: x + 1), jnp.zeros(3)
    for _ in range(200):
        x = step(x)
    assert device.bytes_in_use < 4096 and emulated.calls["cuStreamSynchronize"] == 3
    assert x.tolist() == [200, 200, 200]


# ---- memory --------------------------------------------------------------------------------------


def test_memory_that_is_given_away_is_used_for_the_result(device: Device) -> None:
    step = jitml.jit(lambda x: x * 0.5 + 1, donate_argnums=0)
    x = jitml.jit(lambda x: x + 1)(BIG)
    place = x.__cuda_array_interface__["data"][0]
    first, kept = x, jnp.asarray(BIG)
    for _ in range(3):
        x = step(x)
    assert first.is_deleted() and x.__cuda_array_interface__["data"][0] == place
    step(kept)
    assert kept.is_deleted()
    twin = copy.copy(x)
    y = step(x)
    assert x.is_deleted() and y.__cuda_array_interface__["data"][0] != place
    np.testing.assert_array_equal(twin, BIG * 2)


@pytest.mark.skipif(os.environ.get("JITML_GPU") != "all", reason="takes some seconds")
def test_the_peak_is_that_of_what_is_alive(emulated: EmulatedCuda, device: Device) -> None:
    def step_of(x: Any) -> Any:
        return (x - x.sum(0)) / (x * x).sum(1)[:, None]

    step, x = jitml.jit(step_of), jnp.asarray(BIG)
    x = step(x).block_until_ready()
    device.collect()
    lasting, device.peak_bytes = device.bytes_in_use, device.bytes_in_use
    for _ in range(5):
        x = step(x)
    x.block_until_ready()
    arena = jitml.aot(step_of, BIG).report().arena_bytes
    assert device.peak_bytes - lasting <= 2 * BIG.nbytes + arena + 512
    del x
    jitml.clear_caches()
    gc.collect()
    device.collect()
    assert device.bytes_in_use == 0


def test_memory_that_is_short_for_once_is_had_after_a_wait(
    emulated: EmulatedCuda, device: Device
) -> None:
    emulated.planted["cuMemAllocAsync"] = 2
    np.testing.assert_array_equal(jitml.jit(lambda x: x - 1)(X), X - 1)


def test_what_there_is_no_memory_for_is_an_error_with_sizes(device: Device) -> None:
    kept = jitml.jit(lambda x: x + 1)(X)
    large = jitml.jit(lambda: jnp.zeros((1 << 27,), jnp.float32))
    with pytest.raises(errors.DeviceMemoryError, match="536,870,912 bytes were wanted") as raised:
        large()
    assert "large = jitml.jit(" in str(raised.value) and isinstance(raised.value, MemoryError)
    np.testing.assert_array_equal(kept, X + 1)


# ---- errors --------------------------------------------------------------------------------------


def test_a_failed_check_is_told_to_whoever_reads_what_came_of_it(device: Device) -> None:
    pick = jitml.jit(lambda x, i: x[i])
    good, bad, later = (pick(X, np.array([k])) for k in (1, 9, 0))
    after = jitml.jit(lambda x: x * 2)(bad)
    for array in (bad, after, bad):
        with pytest.raises(OutOfBoundsError, match="index 9 is out of bounds for axis 0") as raised:
            np.asarray(array)
        assert "pick = jitml.jit(lambda x, i: x[i])" in str(raised.value)
    np.testing.assert_array_equal(good, X[[1]])
    np.testing.assert_array_equal(later, X[[0]])
    np.testing.assert_array_equal(pick(X, np.array([2])), X[[2]])


def test_an_operation_run_at_once_tells_its_own_line(device: Device) -> None:
    x = jnp.asarray(X)
    with pytest.raises(OutOfBoundsError, match="index 5") as raised:
        x[jnp.array([5])]
    assert "x[jnp.array([5])]" in str(raised.value)


def test_the_line_is_of_the_function_that_was_called(device: Device) -> None:
    one = jitml.jit(lambda x, i: x[i])
    two = jitml.jit(lambda x, i: x[i])
    for function, name in ((one, "one"), (two, "two"), (one, "one"), (two, "two")):
        with pytest.raises(OutOfBoundsError) as raised:
            np.asarray(function(X, np.array([7])))
        assert f"{name} = jitml.jit" in str(raised.value)


def test_decisions_take_one_read_back_each_and_meet_errors_of_before(
    emulated: EmulatedCuda,
) -> None:
    emulated.version = 12030  # one that decides by itself comes later
    device = devices.default_device()

    @jitml.jit
    def loop(x: Any, n: Any) -> Any:
        return jitml.lax.while_loop(lambda s: s[1] < n, lambda s: (s[0] @ x, s[1] + 1), (x, 0))

    before = counted(device)
    assert int(loop(np.eye(16, dtype=np.float32), 3)[1]) == 3
    assert device.counts.read_backs - before.read_backs == 4  # and the last, which says no
    bad = jitml.jit(lambda x, i: x[i])(np.arange(3), np.array(8))
    with pytest.raises(OutOfBoundsError, match="index 8"):
        loop(np.eye(16, dtype=np.float32), bad)


def test_of_several_programs_the_one_that_failed_is_named(
    emulated: EmulatedCuda, device: Device
) -> None:
    kept, before = jnp.asarray(X), jitml.jit(lambda x: x - 1)
    done = before(kept)
    read = np.asarray(before(kept))
    emulated.always["cuStreamSynchronize"] = 719
    guilty = jitml.jit(lambda x: jnp.cos(x) + 3)(done)
    with pytest.raises(errors.DeviceLostError):
        np.asarray(guilty)
    emulated.always.clear()
    for lost in (guilty, done):
        with pytest.raises(errors.DeviceError):
            np.asarray(lost)
    np.testing.assert_array_equal(before(kept), read)


def test_an_array_that_went_with_the_device_says_so(emulated: EmulatedCuda, device: Device) -> None:
    well = jitml.jit(lambda x: x + 1)(X).block_until_ready()
    emulated.planted["cuStreamSynchronize"] = 999
    with pytest.raises(errors.DeviceLostError, match="has been lost"):
        jitml.jit(lambda x: x + 2)(X).block_until_ready()
    with pytest.raises(errors.ArrayLostError, match="went with the device"):
        np.asarray(well)
    np.testing.assert_array_equal(jitml.jit(lambda x: x + 1)(X), X + 1)


def test_without_a_device_the_line_is_told(
    emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Any:
        raise errors.NoDeviceError("there is no NVIDIA driver")

    monkeypatch.setattr(devices, "device_library", none)
    wanted = jitml.jit(lambda x: jnp.cos(x))
    with pytest.raises(errors.NoDeviceError) as raised:
        wanted(X)
    assert "wanted = jitml.jit(" in str(raised.value)


def test_errors_at_once_for_those_who_ask(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    with pytest.raises(OutOfBoundsError):
        jitml.jit(lambda x, i: x[i])(X, np.array([9]))


def test_threads_share_a_device(device: Device) -> None:
    function, found = jitml.jit(lambda x, k: jnp.sort(x) + k), {}

    def run(k: int) -> None:
        found[k] = np.asarray(function(X, np.float32(k)))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(found[k], X + k)


def test_explain_and_reports_tell_launches_and_read_backs(device: Device) -> None:
    x = jnp.ones((16, 16))
    line = jitml.jit(lambda x: jnp.tanh(x @ x).sum(0))
    loop = jitml.jit(lambda x: jitml.lax.while_loop(lambda s: s.sum() < 1, lambda s: s @ x, x))
    whole, steps = (str(f.explain(x)).split("== on the device ==")[1] for f in (line, loop))
    assert "cuda:0, emulated GPU (sm_90)" in whole and "runs as   one graph of" in whole
    assert "copies to the device" in whole and "for decisions" in whole
    assert "one graph of" in steps and "1 copy to the host" not in steps
    report = jitml.aot(lambda x: jitml.lax.while_loop(lambda s: s.sum() < 1, lambda s: s @ x, x), x)
    assert "whether to go on" in str(report.report()) and report.report().graph_nodes > 1
    assert "CUDA 12.4 and later; older ones: launches one by one, with" in str(report.report())


def test_explain_says_that_the_driver_is_too_old_for_a_graph(emulated: EmulatedCuda) -> None:
    emulated.version = 12030
    loop = jitml.jit(lambda x: jitml.lax.while_loop(lambda s: s.sum() < 1, lambda s: s @ x, x))
    steps = str(loop.explain(jnp.ones((16, 16)))).split("== on the device ==")[1]
    assert "1 copy to the host a step: whether to go on  # test_arrays.py:" in steps
    assert "CUDA 12.4 and later; this one is for 12.3" in steps


# ---- several devices -----------------------------------------------------------------------------


def test_arrays_draw_programs_to_their_device(two: EmulatedCuda) -> None:
    first, second = jitml.devices()
    assert [str(d) for d in jitml.devices()] == ["cuda:0", "cuda:1"]
    assert jitml.default_backend() == "gpu" and jitml.device_count() == 2
    x, y = jnp.ones((3, 4)), jitml.device_put(X, second)
    z = jitml.jit(lambda a, b: a + b)(x, y)
    assert (x.device, y.device, z.devices()) == (first, second, {second})
    assert y.committed and z.committed and not x.committed
    np.testing.assert_array_equal(z, X + 1)
    back = jitml.device_put(z, first)
    assert back.device is first and pickle.loads(pickle.dumps(second)) is second
    np.testing.assert_array_equal(back * 2, 2 * X + 2)
    assert jnp.zeros(3, device=second).device is second
    assert jitml.device_put(z, "cpu").device is jitml.devices("cpu")[0]
    with jitml.default_device(second):
        assert jnp.ones(2).device is second
    assert y.sharding.device_set == {second}


def test_arrays_on_two_devices_do_not_mix(two: EmulatedCuda) -> None:
    x, y = (jitml.device_put(X, d) for d in jitml.devices())
    for function in (jitml.jit(lambda a, b: a @ b.T), lambda a, b: a + b):
        with pytest.raises(errors.PlacementError, match=r"on cuda:0, and .* on cuda:1") as raised:
            function(x, y)
        assert "test_arrays.py" in str(raised.value) and "device_put" in str(raised.value)
    np.testing.assert_array_equal(x + jitml.device_put(y, x.device), X * 2)


def test_another_device_reads_what_is_done_and_not_yet_used_again(two: EmulatedCuda) -> None:
    first, second = jitml.devices()
    step = jitml.jit(lambda x: x + 1)
    pending = step(jitml.device_put(X, second))
    copied = jitml.device_put(pending, first)
    del pending
    gc.collect()
    others = [step(jitml.device_put(X * k, second)) for k in range(4)]
    jitml.block_until_ready(others)
    np.testing.assert_array_equal(copied, X + 1)


def test_threads_may_copy_both_ways(two: EmulatedCuda) -> None:
    first, second = jitml.devices()
    sides = [jitml.device_put(X, d) for d in (first, second)]
    found: dict[int, Any] = {}

    def run(k: int) -> None:
        x = sides[k] + 0
        for _ in range(10):
            x = jitml.device_put(x, second if x.device is first else first)
        found[k] = np.asarray(x)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for k in range(2):
        np.testing.assert_array_equal(found[k], X)


def test_a_lost_device_leaves_the_other(two: EmulatedCuda) -> None:
    x, y = (jitml.device_put(X, d) for d in jitml.devices())
    two.planted["cuStreamSynchronize"] = 700
    with pytest.raises(errors.IllegalAccessError):
        (x + 1).block_until_ready()
    np.testing.assert_array_equal(y + 1, X + 1)


# ---- other libraries -----------------------------------------------------------------------------


class Foreign:
    """An array of another library, over memory of the device."""

    def __init__(self, array: Any, **changes: Any) -> None:
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changes}
        self.array = array


def test_memory_is_shared_by_the_cuda_array_interface(two: EmulatedCuda) -> None:
    x = jitml.device_put(X, jitml.devices()[1])
    face = x.__cuda_array_interface__
    assert face["shape"] == (3, 4) and face["typestr"] == "<f4" and face["version"] == 3
    y = jnp.asarray(Foreign(x))
    assert y.__cuda_array_interface__["data"] == face["data"] and y.device is x.device
    np.testing.assert_array_equal(y + 1, X + 1)
    with pytest.raises(ValueError, match="do not lie row by row"):
        jnp.asarray(Foreign(x, strides=(4, 12)))
    del x
    gc.collect()
    np.testing.assert_array_equal(y * 2, X * 2)
    assert jnp.asarray(X).__cuda_array_interface__["shape"] == (3, 4)  # goes there for it


def test_memory_is_shared_by_dlpack(two: EmulatedCuda) -> None:
    x = jitml.device_put(X, jitml.devices()[1])
    assert x.__dlpack_device__() == (2, 1)
    for version in ({}, {"max_version": (1, 0)}):
        capsule = x.__dlpack__(**version)
        assert "dltensor" in repr(capsule)
        del capsule
    y = jnp.from_dlpack(x)
    assert y.__cuda_array_interface__["data"] == x.__cuda_array_interface__["data"]
    np.testing.assert_array_equal(jnp.sort(y), X)
    np.testing.assert_array_equal(np.from_dlpack(x, device="cpu"), X)
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))
    del x, y
    gc.collect()
    from jitml.device.interchange import _EXPORTS

    assert not _EXPORTS


def test_on_the_cpu_there_is_no_cuda_array_interface() -> None:
    assert not hasattr(jnp.ones(3), "__cuda_array_interface__")
    assert jnp.ones(3).__dlpack_device__() == (1, 0)
