"""Programs of the real numba-cuda and cuda.core on the double of libcuda; `test_real_numba` runs
them in a process of their own, where that is the libcuda that there is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from numba_on_double import LINK_MACHINE_CODE, check, double, driver, link_ptx, release_all  # isort: skip

import numpy as np
from cuda.bindings import driver as bindings
from cuda.core import Device, LaunchConfig, ObjectCode, launch
from numba import cuda, float32

import jitml
import jitml.numpy as jnp
from jitml.device.launches import grid_of
from jitml.ffi import numba_call

X = np.arange(1000, dtype=np.float32)


@cuda.jit
def axpy(out: Any, a: Any, x: Any, y: Any) -> None:
    i = cuda.grid(1)
    if i < x.size:
        out[i] = a * x[i] + y[i]


def numba_allocates_copies_and_launches_and_leaks_nothing() -> None:
    before = double.memory.live_bytes
    x = cuda.to_device(X)
    out = cuda.device_array_like(x)
    assert double.memory.live_bytes == before + 2 * X.nbytes
    axpy[8, 128](out, np.float32(2), x, x)
    np.testing.assert_array_equal(out.copy_to_host(), 3 * X)
    del x, out
    release_all()
    assert double.memory.live_bytes == before
    assert double.calls["cuMemFree"] == double.calls["cuMemAlloc"]


def arrays_are_shared_without_a_copy() -> None:
    x = jitml.jit(lambda x: x + 1)(X)
    copies = double.calls["cuMemcpyHtoDAsync_v2"]
    borrowed = cuda.as_cuda_array(x)
    out = cuda.device_array_like(borrowed)
    axpy[8, 128](out, np.float32(2), borrowed, borrowed)
    cuda.synchronize()
    y = jnp.asarray(out)
    address = y.__cuda_array_interface__["data"][0]
    assert address == out.__cuda_array_interface__["data"][0]
    z = jitml.jit(lambda y: y * 2)(y)
    assert double.calls["cuMemcpyHtoDAsync_v2"] == copies
    np.testing.assert_array_equal(z, 6 * (X + 1))


def a_kernel_is_an_op_and_launched_by_numba() -> None:
    out = cuda.device_array_like(X)
    axpy[8, 128](out, np.float32(5), cuda.to_device(X), cuda.to_device(X))

    @jitml.jit
    def ours(x: Any) -> Any:
        return numba_call(axpy, 5.0, x, x, result_shape_dtypes=x, grid=8, block=128) / 2

    np.testing.assert_array_equal(ours(X), out.copy_to_host() / 2)
    axpy[8, 128](out, np.float32(7), cuda.to_device(X), cuda.to_device(X))
    np.testing.assert_array_equal(out.copy_to_host(), 8 * X)


def streams_and_events_keep_their_order() -> None:
    first, second = cuda.stream(), cuda.stream()
    event = cuda.event()
    x = cuda.to_device(X, stream=first)
    out = cuda.device_array_like(X)
    axpy[8, 128, first](out, np.float32(2), x, x)
    event.record(first)
    assert not event.query()  # nobody has waited yet
    event.wait(second)
    again = cuda.device_array_like(X)
    axpy[8, 128, second](again, np.float32(1), out, out)
    found = np.zeros_like(X)
    again.copy_to_host(found, stream=second)
    second.synchronize()
    assert event.query()
    np.testing.assert_array_equal(found, 6 * X)


def cuda_core_launches_our_kernels() -> None:
    x = X / 1000
    program = jitml.aot(lambda x: jnp.exp(x) * 2, x)
    step = program.program.plan.instructions[0]
    grid = grid_of(step)
    device = Device(0)
    device.set_current()
    stream = device.create_stream()
    kernel = ObjectCode.from_ptx(program.kernels[0].ptx.encode()).get_kernel("kernel")
    source, target, slot = (device.allocate(n, stream=stream) for n in (4000, 4000, 4096))
    handle = int(stream.handle)
    out = np.empty_like(x)
    bindings.cuMemcpyAsync(int(source.handle), x.ctypes.data, 4000, handle)
    numbers = [*step.sizes, step.extent]
    tail = (slot, *[np.int64(0)] * 3)
    config = LaunchConfig(grid=grid.blocks, block=grid.threads)
    launch(stream, config, kernel, source, target, *map(np.int64, numbers), *tail)
    bindings.cuMemcpyAsync(out.ctypes.data, int(target.handle), 4000, handle)
    stream.sync()
    np.testing.assert_array_equal(out, jitml.jit(lambda x: jnp.exp(x) * 2)(x))
    assert_raises("CUDA_ERROR_INVALID_VALUE", lambda: launch(
        stream, LaunchConfig(grid=1, block=2048), kernel, source, target,
        *map(np.int64, numbers), *tail))  # fmt: skip
    held = double.memory.live_bytes
    for buffer in (source, target, slot):
        buffer.close(stream)
    stream.sync()
    assert double.memory.live_bytes == held - (4000 + 4000 + 4096)


def assert_raises(text: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except Exception as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"nothing was raised: {text}")


# ---- twins ---------------------------------------------------------------------------------------


@cuda.jit
def elementwise_twin(out: Any, x: Any, y: Any) -> None:
    i = cuda.grid(1)
    if i < x.size:
        gate = 1 / (1 + math.exp(-x[i]))
        out[i] = x[i] * gate + math.log1p(abs(y[i])) * math.sin(y[i])


def elementwise_kernels_agree_with_their_twins() -> None:
    random = np.random.default_rng(0)
    x, y = (random.standard_normal(1000).astype(np.float32) * 3 for _ in range(2))
    out = cuda.device_array_like(x)
    elementwise_twin[8, 128](out, cuda.to_device(x), cuda.to_device(y))

    def ours(x: Any, y: Any) -> Any:
        return x * jitml.nn.sigmoid(x) + jnp.log1p(jnp.abs(y)) * jnp.sin(y)

    found = jitml.jit(ours)(x, y)
    np.testing.assert_allclose(found, out.copy_to_host(), rtol=2e-6, atol=2e-6)


@cuda.jit
def softmax_twin(out: Any, x: Any) -> None:
    part = cuda.shared.array(128, float32)
    thread, row = cuda.threadIdx.x, cuda.blockIdx.x
    best = x[row, 0]
    for j in range(x.shape[1]):
        best = max(best, x[row, j])
    total = np.float32(0)
    for j in range(thread, x.shape[1], 128):
        total += math.exp(x[row, j] - best)
    part[thread] = total
    cuda.syncthreads()
    half = 64
    while half > 0:
        if thread < half:
            part[thread] += part[thread + half]
        cuda.syncthreads()
        half //= 2
    for j in range(thread, x.shape[1], 128):
        out[row, j] = math.exp(x[row, j] - best) / part[0]


def row_kernels_agree_with_their_twins() -> None:
    x = np.random.default_rng(1).standard_normal((5, 300)).astype(np.float32)
    out = cuda.device_array_like(x)
    softmax_twin[5, 128](out, cuda.to_device(x))
    np.testing.assert_allclose(jitml.jit(jitml.nn.softmax)(x), out.copy_to_host(), rtol=2e-6)


# ---- what goes wrong -----------------------------------------------------------------------------


def used_up_memory_is_told_and_gone_through() -> None:
    cuda.to_device(X)
    double.always["cuMemAlloc"] = 2
    assert_raises("CUDA_ERROR_OUT_OF_MEMORY", lambda: cuda.to_device(X))
    del double.always["cuMemAlloc"]
    np.testing.assert_array_equal(cuda.to_device(X).copy_to_host(), X)


def machine_code_is_refused() -> None:
    @cuda.jit
    def kernel(out: Any) -> None:
        out[cuda.grid(1)] = 1

    out = cuda.device_array_like(X)
    driver._Linker.complete = LINK_MACHINE_CODE
    assert_raises("CUDA_ERROR_INVALID_IMAGE", lambda: kernel[1, 128](out))
    driver._Linker.complete = link_ptx
    assert "an emulated device runs PTX" in str(double.fault)


def an_illegal_access_is_told_when_it_is_waited_for() -> None:
    """The last one: the device does not get over it."""

    @cuda.jit
    def beside(out: Any) -> None:
        out[cuda.grid(1) + out.size] = 1

    out = cuda.device_array_like(X)
    beside[1, 32](out)
    assert_raises("CUDA_ERROR_ILLEGAL_ADDRESS", cuda.synchronize)
    assert "out-of-bounds: 4 bytes" in str(double.fault)


PROGRAMS = (
    numba_allocates_copies_and_launches_and_leaks_nothing,
    arrays_are_shared_without_a_copy,
    a_kernel_is_an_op_and_launched_by_numba,
    streams_and_events_keep_their_order,
    cuda_core_launches_our_kernels,
    elementwise_kernels_agree_with_their_twins,
    row_kernels_agree_with_their_twins,
    used_up_memory_is_told_and_gone_through,
    machine_code_is_refused,
    an_illegal_access_is_told_when_it_is_waited_for,
)

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for program in PROGRAMS:
        program()
        check()
        print(f"{program.__name__}: done", flush=True)
