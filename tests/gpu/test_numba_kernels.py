"""Kernels and device functions of `numba.cuda` as ops."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import jit, lax, vmap
from jitml.codegen.nvptx.assembler import find_assembler
from jitml.device.errors import IllegalAccessError
from jitml.emulation.libcuda import EmulatedCuda
from jitml.errors import ArgumentError, DifferentiationError, DTypeError
from jitml.ffi import numba_call

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
import numba
from numba import cuda

X = np.arange(12, dtype=np.float32).reshape(3, 4)
SCALAR = jitml.ShapeDtypeStruct((), "float32")


@cuda.jit(device=True)
def twice(v: Any) -> Any:
    return v * np.float32(2)


@cuda.jit
def scale_kernel(out: Any, x: Any, s: Any) -> None:
    i, j = cuda.grid(2)
    if i < x.shape[0] and j < x.shape[1]:
        out[i, j] = x[i, j] * s + twice(x[i, j])


@cuda.jit
def scale_many_kernel(out: Any, x: Any, s: Any) -> None:
    i, j, k = cuda.grid(3)
    if i < x.shape[1] and j < x.shape[2]:
        out[k, i, j] = x[k, i, j] * s[k] + twice(x[k, i, j])


@numba.njit
def scale_on_cpu(out: Any, x: Any, s: Any) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] * s + 2 * x[i, j]


@cuda.jit
def sums_of_rows(out: Any, x: Any) -> None:
    part = cuda.shared.array(64, numba.float32)
    thread, row = cuda.threadIdx.x, cuda.blockIdx.x
    total = np.float32(0)
    for j in range(thread, x.shape[1], 64):
        total += x[row, j]
    part[thread] = total
    cuda.syncthreads()
    half = 32
    while half > 0:
        if thread < half:
            part[thread] += part[thread + half]
        cuda.syncthreads()
        half //= 2
    if thread == 0:
        out[row] = part[0]


@cuda.jit
def columns_and_strides(out: Any, x: Any) -> None:
    i = cuda.grid(1)
    if i < x.shape[0]:
        out[i, 0] = x[:, 1][i]
        out[i, 1] = x.T[1, i]
        out[i, 2] = x.strides[0]


@cuda.jit
def histogram(out: Any, x: Any) -> None:
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.add(out, x[i], 1)


@cuda.jit
def reversed_in_block(out: Any, x: Any) -> None:
    shared = cuda.shared.array(0, numba.float32)
    i = cuda.threadIdx.x
    shared[i] = x[i]
    cuda.syncthreads()
    out[i] = shared[x.size - 1 - i]


@cuda.jit
def without_a_bound(out: Any, x: Any) -> None:
    i = cuda.grid(1)
    out[i] = x[i]


@cuda.jit
def even_ones(out: Any, total: Any, x: Any) -> None:
    i = cuda.grid(1)
    if i < x.size and i % 2 == 0:
        out[i] = x[i] * x[i]
    if i == 0:
        total[()] = x.size


@cuda.jit
def writes_its_argument(out: Any, x: Any) -> None:
    x[0] = out[0]


@cuda.jit
def warp_sum(out: Any, x: Any) -> None:
    i = cuda.grid(1)
    value = x[i]
    for by in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, by)
    if cuda.any_sync(0xFFFFFFFF, value > 0) and i % 32 == 0:
        out[i // 32] = value


@cuda.jit(device=True)
def product_and_difference(x: Any, y: Any) -> Any:
    return x * y, x - y


def scaled(x: Any, s: Any = 3.0, **options: Any) -> Any:
    return numba_call(
        scale_kernel, x, s, result_shape_dtypes=x, grid=(1, 2), block=(4, 3), **options
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jit, lambda f: jit(jit(f))])
def test_values(emulated: EmulatedCuda, wrap: Any) -> None:
    np.testing.assert_array_equal(wrap(lambda x: 1 + scaled(x + 1))(X), (X + 1) * 5 + 1)


def test_shared_memory_atomics_and_warps(emulated: EmulatedCuda) -> None:
    rows = np.random.default_rng(0).integers(-9, 9, (3, 300)).astype(np.float32)
    found = numba_call(sums_of_rows, rows, result_shape_dtypes=rows[:, 0], grid=3, block=64)
    np.testing.assert_array_equal(found, rows.sum(axis=1))
    x = np.random.default_rng(0).integers(0, 5, 100)
    counts = jitml.ShapeDtypeStruct((5,), "int32")
    found = numba_call(histogram, x, result_shape_dtypes=counts, grid=2, block=64)
    np.testing.assert_array_equal(found, np.bincount(x))
    x = np.arange(10, dtype=np.float32)
    found = numba_call(
        reversed_in_block, x, result_shape_dtypes=x, grid=1, block=10, shared_bytes=40
    )
    np.testing.assert_array_equal(found, x[::-1])
    x = np.arange(64, dtype=np.float32)
    found = numba_call(warp_sum, x, result_shape_dtypes=x[:2], grid=1, block=64)
    np.testing.assert_array_equal(found, x.reshape(2, 32).sum(axis=1))


def test_arrays_have_strides(emulated: EmulatedCuda) -> None:
    found = numba_call(columns_and_strides, X, result_shape_dtypes=X[:, :3], grid=1, block=3)
    np.testing.assert_array_equal(found, np.stack([X[:, 1], X[:, 1], X[:, 0] * 0 + 16], axis=1))


def test_what_is_not_written_is_zero(emulated: EmulatedCuda) -> None:
    for dtype in ("float32", "int8", "uint16", "bool", "complex64"):
        x = np.array([1, 1, 1, 0, 1, 0, 1]).astype(dtype)

        def f(x: Any) -> Any:
            return numba_call(
                even_ones, x, result_shape_dtypes=(x, jitml.ShapeDtypeStruct((), "int32")),
                grid=1, block=8,
            )  # fmt: skip

        out, total = jit(f)(x)
        np.testing.assert_array_equal(out, np.where(np.arange(7) % 2 == 0, x * x, x * 0))
        assert out.dtype == dtype and int(total) == 7
        jit(f, donate_argnums=0)(jnp.array(x))  # it is still read when its memory is free
        np.testing.assert_array_equal(jit(f)(x)[0], out)


def test_in_loops_and_branches(emulated: EmulatedCuda) -> None:
    f = jit(lambda x: lax.fori_loop(0, 3, lambda i, c: scaled(c, -1.0 + i), x))
    np.testing.assert_array_equal(f(X), X * 1 * 2 * 3)
    g = jit(lambda x: lax.while_loop(lambda c: c.sum() < 1e4, scaled, x))
    np.testing.assert_array_equal(g(X), X * 5**4)
    h = jit(lambda x: lax.cond(x[0, 0] > 0, scaled, lambda x: x, x))
    np.testing.assert_array_equal(h(X), X)


def test_a_program_with_it_is_one_graph(emulated: EmulatedCuda) -> None:
    f = jit(lambda x: (scaled(jnp.sin(x)) @ x.T).sum())
    for _ in range(3):
        f(X).block_until_ready()
    assert emulated.calls["cuGraphLaunch"] == 3
    program = jitml.aot(lambda x: scaled(jnp.sin(x)) + 1, X)
    assert program.report().graph_nodes == program.report().launches == 4


def test_vmap(emulated: EmulatedCuda) -> None:
    stacked = np.stack([X, X + 1, X + 2])
    np.testing.assert_array_equal(jit(vmap(scaled))(stacked), stacked * 5)
    one = jit(vmap(lambda x, s: scaled(x, s, batch=scale_many_kernel)))
    launches = emulated.calls["cuLaunchKernel"]
    s = np.array([3.0, 4.0, 5.0], np.float32)
    np.testing.assert_array_equal(one(stacked, s), stacked * (s[:, None, None] + 2))
    assert emulated.calls["cuLaunchKernel"] == launches + 2  # zeros, and all three at once


def test_device_functions_are_called_for_each_element(emulated: EmulatedCuda) -> None:
    def f(x: Any, y: Any) -> Any:
        return numba_call(product_and_difference, x, y, result_shape_dtypes=(x, x))

    launches = emulated.calls.get("cuLaunchKernel", 0)
    product, difference = f(X, 2.0)
    assert emulated.calls["cuLaunchKernel"] <= launches + 2  # one broadcasts
    np.testing.assert_array_equal(product, X * 2)
    np.testing.assert_array_equal(difference, X - 2)
    rows = jit(vmap(f))(X, np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(rows[1], X - np.arange(3)[:, None])
    large = np.arange(70000, dtype=np.float32)  # more than the threads of a grid
    np.testing.assert_array_equal(f(large, large)[0], large * large)


def many(x: Any) -> Any:
    return (
        math.exp(x), math.log(x), math.sin(x), math.tanh(x), math.sqrt(x), x**0.3,
        math.atan2(x, x + 1), math.erf(x), x % 3, x // 3, 1 / x, math.expm1(x), math.lgamma(x),
    )  # fmt: skip


@pytest.mark.parametrize("fastmath", [False, True])
def test_mathematical_functions(emulated: EmulatedCuda, fastmath: bool) -> None:
    x = np.array([0.3, 1.7, 2.5, 9.1, 40.3, 1e5, 1e-3], np.float32)
    function = cuda.jit(device=True, fastmath=fastmath)(many)
    found = numba_call(function, x, result_shape_dtypes=(x,) * 13)
    for place, value in enumerate(x[:5]):
        expected = many(float(value))
        np.testing.assert_allclose([float(y[place]) for y in found], expected, rtol=5e-6)
    sines = found[2]
    np.testing.assert_allclose(sines, np.sin(x.astype(np.float64)), rtol=1e-5)


def test_derivatives_are_the_users(emulated: EmulatedCuda) -> None:
    with pytest.raises(DifferentiationError, match="nothing is known of the function scale_kernel"):
        jitml.grad(lambda x: scaled(x).sum())(X)
    g = jit(jitml.grad(lambda x: numba_call(
        scale_kernel, x, 3.0, result_shape_dtypes=x, grid=(1, 2), block=(4, 3),
        vjp=(lambda x, s: (scaled(x, s), s), lambda s, ct: ((s + 2) * ct, jnp.zeros_like(s))),
    ).sum()))  # fmt: skip
    np.testing.assert_array_equal(g(X), np.full_like(X, 5))


def test_the_cpu_takes_what_it_is_given() -> None:
    with pytest.raises(ArgumentError, match="scale_kernel is a kernel for GPUs, and runs on the C"):
        jit(scaled)(X)
    f = jit(lambda x: scaled(x, cpu=scale_on_cpu))
    np.testing.assert_array_equal(f(X), X * 5)
    g = jit(vmap(lambda x: scaled(x, cpu=scale_on_cpu, batch=scale_many_kernel)))
    np.testing.assert_array_equal(g(np.stack([X, X + 1])), np.stack([X, X + 1]) * 5)


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_it_is_compiled_for_gpus_that_are_not_here(target: str) -> None:
    program = jitml.aot(lambda x: scaled(x) + 1, X, target=target)
    kernel = next(k for k in program.kernels if "scale_kernel" in k.label)
    assert f".target {target}" in kernel.ptx and ".entry kernel(" in kernel.ptx
    assert kernel.threads == 12
    assert not re.search(r"\b(add|sub|mul)\.f(32|64)\b", kernel.ptx)  # none that may be fused
    oldest = {"sm_80": "8.0", "sm_90": "8.0", "sm_100": "8.6", "sm_120": "8.7"}[target]
    assert f".version {oldest}\n" in kernel.ptx
    if find_assembler():
        assert kernel.resources and kernel.resources.spilled_bytes == 0


def test_illegal_accesses_name_the_line(emulated: EmulatedCuda) -> None:
    x = np.zeros(100, np.float32)
    f = jit(lambda x: numba_call(without_a_bound, x, result_shape_dtypes=x, grid=2, block=64))
    with pytest.raises(IllegalAccessError, match="out-of-bounds") as raised:
        np.asarray(f(x))
    assert "numba_call(without_a_bound, x" in str(raised.value)
    np.testing.assert_array_equal(scaled(X), X * 5)  # the device begins anew


def test_the_users_object_stays_as_it_was(emulated: EmulatedCuda) -> None:
    scaled(X)
    assert not scale_kernel.overloads and "numba.cuda" in type(scale_kernel).__module__


def test_a_missing_compiler_is_named(
    emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.cuda.cudadrv.error import NvvmSupportError

    def compile_nothing(*args: Any, **options: Any) -> Any:
        raise NvvmSupportError("\nlibNVVM cannot be found.")

    kernel = cuda.jit(without_a_bound.py_func)  # another, that is not compiled yet
    monkeypatch.setattr(cuda, "compile", compile_nothing)
    with pytest.raises(ArgumentError, match=r"cannot compile here: libNVVM cannot") as raised:
        numba_call(kernel, X[1], result_shape_dtypes=X[1], grid=1, block=5)
    assert "brings the compiler, libnvvm" in raised.value.hint


def refused(**options: Any) -> Any:
    arguments = {"result_shape_dtypes": X, "grid": 1, "block": 32, **options}
    return numba_call(options.pop("kernel", scale_kernel), X, 3.0, **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": None}, "scale_kernel is a kernel of numba.cuda, and is given no grid or no bl"),
        ({"block": 0}, "block=0 must be one to three positive integers"),
        ({"grid": (1, 1, 1, 1)}, r"grid=\(1, 1, 1, 1\) must be one to three positive integers"),
        ({"grid": 1.5}, "grid=1.5 must be"),
        ({"block": (64, 64)}, r"block=\(64, 64\) has 4096 threads; 1024 are the most"),
        ({"shared_bytes": 1 << 20}, "asks for 1048576 bytes of shared memory; 49152 are the most"),
        ({"batch": scale_on_cpu}, "batch must be a kernel of numba.cuda, not a CPUDispatcher"),
        ({"cpu": scale_kernel}, r"takes a function compiled by numba\.njit, not a CUDADispatcher"),
        ({"result_shape_dtypes": (X, X)}, "takes 3 arguments, but is called with 2, for 2 results"),
    ],
)
def test_refusals(emulated: EmulatedCuda, options: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as raised:
        refused(**options)
    assert "test_numba_kernels.py" in str(raised.value)


def test_refusals_of_other_functions(emulated: EmulatedCuda) -> None:
    with pytest.raises(ArgumentError, match="twice is a device function: it has no grid"):
        numba_call(twice, X, result_shape_dtypes=X, grid=1, block=1)
    with pytest.raises(ArgumentError, match="the results of the device function product_and"):
        numba_call(product_and_difference, X, 1.0, result_shape_dtypes=(X, SCALAR))
    with pytest.raises(ArgumentError, match="and cpu are for kernels of numba"):
        numba_call(scale_on_cpu, X, 1.0, result_shape_dtypes=X, grid=1)
    with pytest.raises(DTypeError, match="Cannot modify readonly array") as raised:
        numba_call(writes_its_argument, X[0], result_shape_dtypes=X[0], grid=1, block=1)
    assert "numba_call(writes_its_argument, X[0]" in str(raised.value)
    for dtype in ("bfloat16", "float16"):
        with pytest.raises(DTypeError, match=f"numba has no arrays of dtype {dtype} on GPUs"):
            scaled(jnp.asarray(X).astype(dtype))
