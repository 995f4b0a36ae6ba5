"""Graphs of the double of libcuda: what real ones refuse is refused, and what they leave open is
taken as ill as they may.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml.device.control_kernels import copy_kernel, count_kernel, decide_kernel
from jitml.device.driver import IF, WHILE, Driver
from jitml.device.errors import DeviceError, DeviceLostError, LaunchError
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.whole_libcuda import WholeCuda

ONE = ((1, 1, 1), (1, 1, 1), 0)


class Setting:
    """A device with some numbers of 64 bits, and kernels."""

    def __init__(self, cuda: EmulatedCuda) -> None:
        self.cuda = cuda
        self.driver = Driver(cuda)
        self.numbers = self.driver.allocate(64)
        self.driver.fill(self.numbers, 0, 64)
        self.decide, self.count = (
            self.driver.load(text.encode()) for text in (decide_kernel("u8"), count_kernel(0))
        )

    def add(self, at: int, amount: int) -> None:
        """Count one of the numbers up (and the one behind it)."""
        place = self.numbers + 8 * at
        self.driver.launch(self.count, ONE, [place, place + 8, 0, 0, 1, amount, 0, 0])

    def set(self, handle: int, at: int, least: int = 1) -> None:
        """Let a handle say whether one of the numbers is as great as that."""
        place = self.numbers + 8 * at
        self.driver.launch(self.decide, ONE, [handle, place, 0, least, 255, 0])

    def run(self, record: Callable[[], Any]) -> list[int]:
        """The numbers after a graph has run."""
        self.driver.begin_capture()
        try:
            record()
            graph = self.driver.end_capture()
        except BaseException:
            self.driver.abandon_capture()
            raise
        self.driver.launch_graph(graph)
        found = np.empty(8, np.int64)
        self.driver.copy_out(found.ctypes.data, self.numbers, 64)
        self.driver.synchronize()
        self.driver.release_graph(graph)
        return found.tolist()


@pytest.fixture(params=[EmulatedCuda, WholeCuda])
def setting(request: pytest.FixtureRequest) -> Setting:
    return Setting(request.param())


def test_bodies_run_if_and_while_their_numbers_say_so(setting: Setting) -> None:
    def record() -> None:
        driver = setting.driver
        setting.add(0, 5)
        for least in (5, 6):  # the number is 5
            handle = driver.new_handle()
            setting.set(handle, 0, least)
            with driver.body(handle, IF):
                setting.add(2, 1)
        handle = driver.new_handle()
        setting.set(handle, 0)
        with driver.body(handle, WHILE):
            setting.add(0, -1)
            setting.add(4, 10)
            inner = driver.new_handle()
            setting.set(inner, 0, 3)
            with driver.body(inner, IF):
                setting.add(6, 1)
            setting.set(handle, 0)

    assert setting.run(record) == [0, 0, 1, 1, 50, 50, 2, 2]


def test_a_handle_is_of_one_graph_and_one_node(setting: Setting) -> None:
    driver = setting.driver
    kept: list[int] = []

    def twice() -> None:
        handle = driver.new_handle()
        kept.append(handle)
        setting.set(handle, 0)
        for _ in range(2):
            with driver.body(handle, IF):
                setting.add(0, 1)

    with pytest.raises(LaunchError, match="cuGraphAddNode gives CUDA error 1"):
        setting.run(twice)

    def anothers() -> None:
        with driver.body(kept[0], IF):
            setting.add(0, 1)

    with pytest.raises(LaunchError, match="cuGraphAddNode gives CUDA error 1"):
        setting.run(anothers)
    with pytest.raises(LaunchError, match="cuGraphInstantiateWithFlags gives CUDA error 1"):
        setting.run(driver.new_handle)  # which nobody asks


def test_a_handle_that_nobody_has_set_is_a_fault(setting: Setting) -> None:
    def record() -> None:
        with setting.driver.body(setting.driver.new_handle(), IF):
            setting.add(0, 1)

    with pytest.raises(DeviceLostError, match="nobody has set what a conditional node asks"):
        setting.run(record)


def test_defaults_are_assigned_at_each_launch(setting: Setting) -> None:
    driver, handle = setting.driver, ctypes.c_uint64()
    driver.begin_capture()
    graph, _, _ = driver._recorded()
    driver._call(
        "cuGraphConditionalHandleCreate",
        ctypes.byref(handle), graph, driver._context, ctypes.c_uint(1), ctypes.c_uint(1),
    )  # fmt: skip
    with driver.body(handle.value, WHILE):
        setting.add(0, 1)
        setting.set(handle.value, 2)
    found = driver.end_capture()
    driver.launch_graph(found)
    driver.launch_graph(found)
    numbers = np.empty(8, np.int64)
    driver.copy_out(numbers.ctypes.data, setting.numbers, 64)
    driver.synchronize()
    assert numbers[0] == 2


def test_kernels_set_handles_of_the_graph_that_runs_one_at_a_time(setting: Setting) -> None:
    kept: list[int] = []

    def record() -> None:
        kept.append(setting.driver.new_handle())
        setting.set(kept[0], 0)
        with setting.driver.body(kept[0], IF):
            setting.add(0, 1)

    setting.run(record)
    setting.set(kept[0], 0)
    with pytest.raises(DeviceError, match="the graph that runs has no such conditional handle"):
        setting.driver.synchronize()
    driver = setting.driver
    driver.reset()
    setting = Setting(EmulatedCuda())

    def together() -> None:
        handle = setting.driver.new_handle()
        two = ((1, 1, 1), (2, 1, 1), 0)
        setting.driver.launch(setting.decide, two, [handle, setting.numbers, 0, 1, 9, 0])
        with setting.driver.body(handle, IF):
            setting.add(0, 1)

    with pytest.raises(DeviceLostError, match="several threads set"):
        setting.run(together)


def test_copies_with_the_host_cannot_be_in_a_body(setting: Setting) -> None:
    data = np.zeros(8, np.int64)

    def record() -> None:
        handle = setting.driver.new_handle()
        setting.set(handle, 0)
        with setting.driver.body(handle, IF):
            setting.driver.copy_out(data.ctypes.data, setting.numbers, 64)

    with pytest.raises(LaunchError, match="cuGraphInstantiateWithFlags gives CUDA error 1"):
        setting.run(record)


def test_nodes_that_do_not_wait_for_each_other_run_in_another_order(setting: Setting) -> None:
    """What comes behind a conditional node must be told to wait for it."""
    update = "cuStreamUpdateCaptureDependencies"

    def record() -> None:
        handle = setting.driver.new_handle()
        setting.add(0, 1)
        setting.set(handle, 0)
        with setting.driver.body(handle, IF):
            setting.add(0, 1)
        decided = setting.driver.new_handle()
        setting.set(decided, 0, 2)
        with setting.driver.body(decided, IF):
            setting.add(2, 1)

    assert setting.run(record)[:4] == [2, 2, 1, 1]
    setting.driver.fill(setting.numbers, 0, 64)
    setting.cuda.always[update] = 0  # it does nothing
    assert setting.run(record)[2] == 0


def test_drivers_that_are_too_old_have_no_conditionals() -> None:
    setting = Setting(EmulatedCuda(version=12030))
    assert not setting.driver.has_conditionals
    assert Driver(EmulatedCuda(version=12040)).has_conditionals
    with pytest.raises(LaunchError, match=r"does not support this .*CUDA error 801"):
        setting.run(setting.driver.new_handle)


@pytest.mark.parametrize("size", [1, 5, 12, 16, 4096, 70_000])
@pytest.mark.parametrize("shift", [0, 4, 1])
def test_copies_of_any_size_and_alignment(size: int, shift: int, setting: Setting) -> None:
    driver = setting.driver
    data = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    source, target = driver.allocate(size + 256), driver.allocate(size + 256)
    driver.fill(target, 7, size + 256)
    driver.copy_in(source + 128 + shift, data.ctypes.data, size)
    driver.fill(setting.numbers, 0, 64)
    setting.add(0, 128 + shift)
    kernel = driver.load(copy_kernel().encode())
    arguments = [source, setting.numbers, target + shift, 0, size]
    driver.launch(kernel, ((3, 1, 1), (128, 1, 1), 0), arguments)
    found = np.empty(size + 256, np.uint8)
    driver.copy_out(found.ctypes.data, target, size + 256)
    driver.synchronize()
    np.testing.assert_array_equal(found[shift : shift + size], data)
    assert (found[:shift] == 7).all() and (found[shift + size :] == 7).all()
