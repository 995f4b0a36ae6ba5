"""Products by cuBLASLt where JITML_GPU_PRODUCTS asks for it: here by its double."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.nvptx.library import Operand, library_product
from jitml.device import errors
from jitml.device.device import Device
from jitml.emulation.libcuda import EmulatedCuda
from jitml.ir.errors import ArgumentError
from jitml.pipeline import devices
from tests.gpu.libraries.blas_lt import BlasLt
from tests.gpu.libraries.double import Status

rng = np.random.default_rng(11)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = ("float32", "float64", "float16", BFLOAT16, "complex64", "complex128")


@pytest.fixture
def library(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlasLt]:
    if not isinstance(emulated, EmulatedCuda):
        pytest.skip("this is NVIDIA's library")
    monkeypatch.setenv("JITML_GPU_PRODUCTS", "cublaslt")
    double = BlasLt(emulated)
    emulated.bindings = {"cublasLt": double}
    yield double
    jitml.clear_caches()
    gc.collect()
    for device in [*devices._OPENED]:
        device.libraries.close()
    assert not double.live, "handles are left"


@pytest.fixture
def device(library: BlasLt) -> Device:
    return devices.default_device()


def random(shape: tuple[int, ...], dtype: Any) -> Any:
    """Numbers whose sums do not cancel."""
    x = rng.uniform(0.5, 1.5, shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(0.5, 1.5, shape)
    return x.astype(dtype)


def is_close(found: Any, expected: Any, tolerance: float) -> None:
    wide = np.result_type(expected, np.float32)
    scale = float(np.abs(expected.astype(wide)).max())
    found = np.asarray(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found.astype(wide), expected.astype(wide), rtol=0, atol=tolerance * scale
    )


def tolerance(dtype: Any) -> float:
    return 4 * float(ml_dtypes.finfo(np.dtype(dtype)).eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", [(5, 7, 6), (1, 7, 6), (5, 1, 6), (5, 7, 1), (1, 1, 3)])
@pytest.mark.parametrize("turned", range(4))
def test_products_of_any_layout(
    turned: int, sizes: tuple[int, int, int], dtype: Any, library: BlasLt
) -> None:
    m, n, k = sizes
    x = random((k, m) if turned & 1 else (m, k), dtype)
    y = random((n, k) if turned & 2 else (k, n), dtype)

    def product(x: Any, y: Any) -> Any:
        return (x.T if turned & 1 else x) @ (y.T if turned & 2 else y)

    found = jitml.jit(product)(x, y)
    # With vectors they are sums, which are fused with what is around them.
    assert found.dtype == dtype and library.calls["matmul"] == (min(m, n) > 1)
    wide = np.result_type(dtype, np.float32)
    is_close(found, product(x.astype(wide), y.astype(wide)), tolerance(dtype))


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_batches_of_products(dtype: str, library: BlasLt) -> None:
    x, y = random((3, 4, 5), dtype), random((3, 5, 6), dtype)
    for equation, operands in {
        "bij,bjk->bik": (x, y),
        "bij,bkj->bik": (x, y.swapaxes(1, 2).copy()),
        "bij,jk->bik": (x, y[0]),
        "ibj,bjk->bik": (x.swapaxes(0, 1).copy(), y),
    }.items():
        before = library.calls["matmul"]
        found = jitml.jit(lambda x, y, e=equation: jnp.einsum(e, x, y))(*operands)
        assert library.calls["matmul"] == before + 1
        is_close(found, np.einsum(equation, *operands), tolerance(dtype))


def test_sums_may_be_wider_than_what_is_multiplied(library: BlasLt) -> None:
    x, y = random((4, 8), "float16"), random((8, 3), "float16")
    found = jitml.jit(lambda x, y: jnp.dot(x, y, preferred_element_type="float32"))(x, y)
    assert found.dtype == np.float32 and library.calls["matmul"] == 1
    is_close(found, x.astype(np.float32) @ y.astype(np.float32), 1e-6)


def test_precision_says_what_is_rounded_and_whose_the_bits_are(library: BlasLt) -> None:
    x, y = random((9, 40), "float32"), random((40, 8), "float32")
    found = {
        p: np.asarray(jitml.jit(lambda x, y, p=p: jitml.lax.dot(x, y, precision=p))(x, y))
        for p in (None, "high", "highest")
    }
    assert library.calls["matmul"] == 2  # the highest keeps the CPU's bits
    exact = x.astype(np.float64) @ y
    off = {p: np.abs(z / exact - 1).max() for p, z in found.items()}
    assert off[None] < 1e-6 and off["highest"] < 1e-6 < off["high"] < 1e-3


def test_products_are_part_of_a_graph_and_may_begin_anywhere(device: Device) -> None:
    x, y = random((3, 5, 7), "float32"), random((7, 3), "float32")

    def function(x: Any, y: Any) -> Any:
        return jitml.lax.scan(lambda c, s: (c + s @ y, None), jnp.zeros((5, 3)), x)[0]

    step = jitml.jit(function)
    before = device.counts.graph_launches
    for k in range(2):
        is_close(step(x * k + 1, y), (x * k + 1).sum(0) @ y, 1e-5)
    assert device.counts.graph_launches == before + 2
    told = str(step.explain(x, y)).split("== on the device ==")[1]
    assert "cuBLASLt computes dot_general  # test_library_products.py:" in told


def test_what_follows_a_product_is_a_kernel_of_its_own(library: BlasLt) -> None:
    x, y, bias = (random(shape, "float32") for shape in ((40, 50), (50, 36), (36,)))
    found = jitml.jit(lambda x, y, b: jnp.tanh((x @ y) / 40 - b))(x, y, bias)
    assert library.calls["matmul"] == 1
    is_close(found, np.tanh((x @ y) / 40 - bias), 1e-5)


def test_gradients_of_products(library: BlasLt) -> None:
    x, y = random((5, 7), "float64"), random((7, 3), "float64")
    for number, expected in enumerate((2 * x @ y @ y.T, 2 * x.T @ x @ y)):
        gradient = jitml.jit(jitml.grad(lambda x, y: ((x @ y) ** 2).sum(), argnums=number))
        is_close(gradient(x, y), expected, 1e-13)
    assert library.calls["matmul"] == 4


def test_other_products_are_kernels(library: BlasLt) -> None:
    x = rng.integers(-9, 9, (4, 5))
    np.testing.assert_array_equal(jitml.jit(lambda x: x @ x.T)(x), x @ x.T)
    image, weights = random((1, 2, 6, 6), "float32"), random((3, 2, 3, 3), "float32")
    jitml.jit(lambda x, w: jitml.lax.conv(x, w, (1, 1), "SAME"))(image, weights)
    y = random((2, 7), "float32")
    spread = jitml.jit(lambda y: jnp.einsum("ij,kj->ik", y[:, ::2], y[:, ::2]))(y)
    is_close(spread, y[:, ::2] @ y[:, ::2].T, 1e-6)
    assert library.calls["matmul"] == 0  # every second number of a row is no matrix of BLAS's


@pytest.mark.parametrize("way", ["refuses", "state", "create", "not asked"])
def test_where_it_is_not_there_kernels_multiply(
    way: str, library: BlasLt, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = random((5, 7), "float32")
    function = jitml.jit(lambda x: x @ x.T)
    if way == "refuses":
        monkeypatch.setattr(library, "refuses", True)
    elif way == "state":
        monkeypatch.setattr(library, "state", 15)
    elif way == "create":
        library.planted = {"create": Status(1, "NOT_INITIALIZED")}
    else:
        monkeypatch.delenv("JITML_GPU_PRODUCTS")
    is_close(function(x), x @ x.T, 1e-6)
    assert library.calls["matmul"] == 0
    reasons = {
        "refuses": "a kernel computes dot_general (cuBLASLt has no algorithm for",
        "state": "a kernel computes dot_general (cuBLASLt has no algorithm for",
        "create": "a kernel computes dot_general (cuBLASLt reports NOT_INITIALIZED (1) (create))",
        "not asked": "one by one",
    }
    told = str(function.explain(x)).split("== on the device ==")[1]
    assert reasons[way] in told and ("a kernel computes" in told) == (way != "not asked")


def test_what_it_refuses_is_told_with_the_line(library: BlasLt) -> None:
    x = random((5, 7), "float32")
    function = jitml.jit(lambda x: x @ x.T)
    for name in ("matmul", "matrix_layout_create", "matmul_algo_get_heuristic"):
        jitml.clear_caches()
        gc.collect()
        devices.default_device().libraries._routines.clear()
        library.planted = {name: Status(13, "EXECUTION_FAILED")}
        with pytest.raises(errors.LibraryError, match=name) as raised:
            function(x)
        assert "function = jitml.jit(lambda x: x @ x.T)" in str(raised.value)
        is_close(function(x), x @ x.T, 1e-6)


def test_the_switch_has_two_positions(library: BlasLt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITML_GPU_PRODUCTS", "mkl")
    with pytest.raises(ArgumentError, match="JITML_GPU_PRODUCTS='mkl'"):
        jitml.jit(lambda x: x @ x)(np.eye(3, dtype=np.float32))


def test_layouts_of_operands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITML_GPU_PRODUCTS", "cublaslt")

    def operands(a: tuple[int, int], b: tuple[int, int]) -> Any:
        shape = GemmShape(2, 3, 4, 5, 15, *a, 20, *b, 12, 4)
        found = library_product(shape, ("f32", "f32"), None, 16)
        return found and found.operands

    by_rows, turned = Operand(False, 5, 15), Operand(True, 3, 15)
    assert operands((5, 1), (4, 1)) == (by_rows, Operand(False, 4, 20))
    assert operands((1, 3), (1, 5)) == (turned, Operand(True, 5, 20))
    column = library_product(GemmShape(1, 3, 4, 1, 0, 2, 7, 0, 0, 1, 12, 4), ("f64",) * 2, None, 8)
    assert column and column.operands == (Operand(False, 2, 0), Operand(False, 4, 0))
    row = library_product(GemmShape(1, 1, 4, 3, 0, 0, 5, 0, 4, 1, 4, 4), ("f64",) * 2, None, 8)
    assert row and row.operands == (Operand(True, 5, 0), Operand(False, 4, 0))
    for bad in ((5, 2), (4, 1), (-5, 1), (0, 1), (1, 2)):
        assert operands(bad, (4, 1)) is None
