"""Transforms and factorisations by libraries of the device: here by their doubles, with
JITML_DEVICE=cuda by NVIDIA's own.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.device import errors
from jitml.device.device import Device
from jitml.emulation.libcuda import EmulatedCuda
from jitml.pipeline import devices
from tests.gpu.libraries.blas import Blas
from tests.gpu.libraries.double import Double, Status
from tests.gpu.libraries.fft import Fft
from tests.gpu.libraries.solver import Solver

REALS, COMPLEXES = ("float32", "float64"), ("complex64", "complex128")
DTYPES = (*REALS, *COMPLEXES)
BATCHES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 2))
rng = np.random.default_rng(7)


@pytest.fixture
def doubles(emulated: Any) -> Iterator[dict[str, Any]]:
    """The device's libraries. Afterwards nothing of them is left."""
    if not isinstance(emulated, EmulatedCuda):
        yield {}
        return
    found = {"cufft": Fft(emulated), "cusolverDn": Solver(emulated), "cublas": Blas(emulated)}
    emulated.bindings = dict(found)
    yield found
    jitml.clear_caches()
    gc.collect()
    for device in [*devices._OPENED]:
        device.libraries.close()
    assert not any(double.live for double in found.values()), "handles are left"


@pytest.fixture
def fakes(doubles: dict[str, Any]) -> dict[str, Any]:
    """The doubles; no test where there are none."""
    if not doubles:
        pytest.skip("these are NVIDIA's libraries")
    return doubles


@pytest.fixture
def device(doubles: dict[str, Any]) -> Device:
    return devices.default_device()


def random(shape: tuple[int, ...], dtype: str) -> Any:
    x = rng.standard_normal(shape)
    if dtype in COMPLEXES:
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def tolerance(dtype: str) -> float:
    return 3e-4 if np.finfo(dtype).bits == 32 else 1e-11


def is_close(found: Any, expected: Any, dtype: str) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance(dtype) * scale)


def run_there(device: Device, function: Callable[..., Any], *arrays: Any) -> Any:
    """The results of a compiled function, for which no value has left the device."""
    before = device.counts.library_calls, device.counts.read_backs
    results = jitml.jit(function)(*arrays)
    assert device.counts.read_backs == before[1]
    assert device.counts.library_calls + device.counts.graph_launches > before[0]
    return results


# ---- transforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", COMPLEXES)
@pytest.mark.parametrize("shape", [(1,), (2,), (8,), (3, 15), (2, 3, 7), (2, 1, 6)])
@pytest.mark.parametrize("name", ["fft", "ifft"])
def test_complex_transforms(name: str, shape: tuple[int, ...], dtype: str, device: Device) -> None:
    x = random(shape, dtype)
    found = run_there(device, getattr(jnp.fft, name), x)
    assert found.dtype == dtype
    is_close(found, getattr(np.fft, name)(x), dtype)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (8,), (3, 15), (2, 3, 7), (2, 2, 6)])
def test_real_transforms_there_and_back(shape: tuple[int, ...], dtype: str, device: Device) -> None:
    x = random(shape, dtype)
    spectrum = run_there(device, jnp.fft.rfft, x)
    is_close(spectrum, np.fft.rfft(x), dtype)
    back = run_there(device, lambda y: jnp.fft.irfft(y, shape[-1]), spectrum)
    assert back.dtype == dtype
    is_close(back, x, dtype)
    is_close(spectrum, np.fft.rfft(x), dtype)  # it was not worked in


@pytest.mark.parametrize("length", [1, 6, 7])
def test_what_stands_for_itself_in_a_spectrum_counts_as_real(length: int, device: Device) -> None:
    spectrum = random((3, length // 2 + 1), "complex64")
    assert spectrum[:, 0].imag.all()
    found = run_there(device, lambda y: jnp.fft.irfft(y, length), spectrum)
    is_close(found, np.fft.irfft(spectrum, length), "float32")


@pytest.mark.parametrize("shape", [(6,), (2, 6), (4, 2, 6), (2, 3, 6, 5), (5, 3, 6, 2), (1, 4, 6)])
def test_transforms_along_any_axis(shape: tuple[int, ...], device: Device) -> None:
    x = random(shape, "complex64")
    for axis in range(len(shape)):
        found = run_there(device, lambda x, axis=axis: jnp.fft.fft(x, axis=axis), x)
        is_close(found, np.fft.fft(x, axis=axis), "complex64")
        real = run_there(device, lambda x, axis=axis: jnp.fft.rfft(x.real, axis=axis), x)
        is_close(real, np.fft.rfft(x.real, axis=axis), "complex64")


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_transforms_of_several_axes_and_norms(norm: str, device: Device) -> None:
    x, real = random((3, 4, 5), "complex128"), random((4, 6, 5), "float64")
    for name in ("fftn", "ifftn", "fft2", "ifft2"):
        found = run_there(device, lambda x, name=name: getattr(jnp.fft, name)(x, norm=norm), x)
        is_close(found, getattr(np.fft, name)(x, norm=norm), "float64")
    for name in ("rfftn", "irfftn", "hfft", "ihfft"):
        given = real if name in ("rfftn", "ihfft") else x
        found = run_there(device, lambda x, name=name: getattr(jnp.fft, name)(x, norm=norm), given)
        is_close(found, getattr(np.fft, name)(given, norm=norm), "float64")


def test_lines_that_begin_anywhere(device: Device) -> None:
    """Steps of a scan read and write slices, which begin at odd numbers of real ones."""
    x = random((4, 3), "float32")

    def step(carry: Any, line: Any) -> Any:
        spectrum = jnp.fft.rfft(line)
        return carry, (spectrum, jnp.fft.irfft(spectrum * 2, 3))

    spectra, back = run_there(device, lambda x: jitml.lax.scan(step, 0.0, x)[1], x)
    is_close(spectra, np.fft.rfft(x), "float32")
    is_close(back, 2 * x, "float32")


def test_transforms_are_part_of_a_graph(device: Device) -> None:
    x = random((4, 8), "complex64")
    smooth = jitml.jit(lambda x: jnp.fft.ifft(jnp.fft.fft(x + 1) * 0.5))
    before = device.counts.graph_launches
    for k in range(3):
        is_close(smooth(x * k), (x * k + 1) / 2, "complex64")
    assert device.counts.graph_launches == before + 3
    told = str(smooth.explain(x)).split("== on the device ==")[1]
    assert "runs as   one graph of" in told
    assert "cuFFT computes fft c2c forward c64 short  # test_libraries.py:" in told


def test_transforms_in_branches_and_loops(device: Device) -> None:
    x = random((4, 8), "complex64")
    lax = jitml.lax

    def branch(x: Any, k: Any) -> Any:
        return lax.cond(k > 0, lambda x: jnp.fft.fft(x) + 1, lambda x: x * 2, x)

    def scan(x: Any, k: Any) -> Any:  # by slices, which move
        return lax.scan(lambda c, y: (c + 1, jnp.fft.fft(y) + c), k, jnp.tile(x, (80, 1)))[1][:4]

    def again(x: Any, k: Any) -> Any:  # what is transformed changes places with what comes of it
        step = lambda s: (jnp.fft.fft(s[0]) / 2, s[1] + k)  # noqa: E731
        return lax.while_loop(lambda s: s[1] < 3, step, (x, 0))[0]

    def beside(x: Any, k: Any) -> Any:
        y = jnp.cos(x)
        step = lambda s: (s[0] + jnp.fft.irfft(y, 8), s[1] + k)  # noqa: E731
        return lax.while_loop(lambda s: s[1] < 3, step, (x, 0))[0]

    transformed = np.fft.fft(x)
    expected = {
        branch: transformed + 1,
        scan: transformed + np.arange(1, 5)[:, None],
        again: np.fft.fft(np.fft.fft(transformed / 2) / 2) / 2,
        beside: x + 3 * np.fft.irfft(np.cos(x), 8),
    }
    for function, result in expected.items():
        is_close(jitml.jit(function)(x, 1), result, "complex64")
    is_close(jitml.jit(branch)(x, -1), x * 2, "complex64")
    for function in (branch, beside):
        assert "runs as   one graph of" in str(jitml.jit(function).explain(x, 1))
    assert device.counts.library_calls > 0


def test_gradients_and_batches_of_transforms(device: Device) -> None:
    x = random((3, 6), "float32")
    energy = jitml.grad(lambda x: (jnp.abs(jnp.fft.rfft(x)) ** 2)[..., 1:3].sum())
    expected = np.fft.irfft(np.where(np.isin(np.arange(4), [1, 2]), np.fft.rfft(x), 0), 6) * 6
    is_close(run_there(device, energy, x), expected, "float32")
    is_close(run_there(device, jitml.vmap(energy), x), expected, "float32")


# ---- factorisations ------------------------------------------------------------------------------


def positive(shape: tuple[int, ...], dtype: str) -> Any:
    x = random(shape, dtype)
    return x @ adjoint(x) + shape[-1] * np.eye(shape[-1], dtype=dtype)


def adjoint(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cholesky(dtype: str, batch: tuple[int, ...], device: Device) -> None:
    a = positive((*batch, 34, 34), dtype)
    found = run_there(device, jnp.linalg.cholesky, a)
    is_close(found, np.linalg.cholesky(a), dtype)
    assert not np.triu(found, 1).any()


def test_what_has_no_factor_is_nan(device: Device) -> None:
    a = positive((3, 34, 34), "float32")
    a[1, 5, 5] = -1
    found = np.asarray(run_there(device, jnp.linalg.cholesky, a))
    is_close(found[[0, 2]], np.linalg.cholesky(a[[0, 2]]), "float32")
    assert np.isnan(found[1][np.tril_indices(34)]).all() and not np.triu(found[1], 1).any()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", [(34, 34), (35, 20), (20, 35)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lu(dtype: str, shape: tuple[int, int], batch: tuple[int, ...], device: Device) -> None:
    a = random((*batch, *shape), dtype)
    factors, pivots, order = map(np.asarray, run_there(device, jitml.lax.linalg.lu, a))
    least = min(shape)
    lower = np.tril(factors, -1)[..., :least] + np.eye(shape[0], least)
    rows = np.take_along_axis(a, order[..., None].astype(np.int64), -2)
    is_close(lower @ np.triu(factors)[..., :least, :], rows, dtype)
    assert pivots.shape == (*batch, least) and (pivots >= np.arange(least)).all()


def test_singular_matrices_have_factors(device: Device) -> None:
    a = random((34, 34), "float64")
    a[:, 3] = 0
    factors = np.asarray(run_there(device, jitml.lax.linalg.lu, a)[0])
    assert np.isfinite(factors).all() and factors[3, 3] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_solve_inverse_and_determinant(dtype: str, device: Device) -> None:
    a, b = positive((2, 34, 34), dtype), random((2, 34, 3), dtype)
    is_close(run_there(device, jnp.linalg.solve, a, b), np.linalg.solve(a, b), dtype)
    is_close(run_there(device, jnp.linalg.inv, a), np.linalg.inv(a), dtype)
    found = run_there(device, jnp.linalg.slogdet, a)
    for x, y in zip(found, np.linalg.slogdet(a), strict=True):
        is_close(x, y, dtype)


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (7, 3), (3, 7), (40, 33)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_qr(dtype: str, shape: tuple[int, int], mode: str, device: Device) -> None:
    a = random((2, *shape), dtype)
    q, r = map(np.asarray, run_there(device, lambda a: jnp.linalg.qr(a, mode=mode), a))
    is_close(q @ r, a, dtype)
    is_close(adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1]), (2, *q.shape[-1:] * 2)), dtype)
    assert not np.tril(r, -1).any() and q.shape[-1] == (
        min(shape) if mode == "reduced" else shape[0]
    )


@pytest.mark.parametrize("adjoint_too", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_with_reflectors(
    dtype: str, left: bool, adjoint_too: bool, device: Device
) -> None:
    a, c = random((2, 6, 4), dtype), random((2, 6, 5) if left else (2, 5, 6), dtype)

    def both(a: Any, c: Any) -> Any:
        packed, taus = jnp.linalg.qr(a, mode="raw")
        packed = jnp.matrix_transpose(packed)
        product = jitml.lax.linalg.ormqr(packed, taus, c, left=left, transpose=adjoint_too)
        return product, jnp.linalg.qr(a, mode="complete")[0]

    product, q = map(np.asarray, run_there(device, both, a, c))
    q = adjoint(q) if adjoint_too else q
    is_close(product, q @ c if left else c @ q, dtype)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("shape", [(9, 9), (3, 9, 9), (2, 2, 4, 4), (2, 33, 33)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_eigh(dtype: str, shape: tuple[int, ...], lower: bool, device: Device) -> None:
    a = random(shape, dtype)
    whole = (a + adjoint(a)) / 2
    keep = np.tril(whole) if lower else np.triu(whole)  # the other triangle is not read
    uplo = "L" if lower else "U"
    run = lambda a: jnp.linalg.eigh(a, uplo, symmetrize_input=False)  # noqa: E731
    values, vectors = map(np.asarray, run_there(device, run, keep))
    is_close(values, np.linalg.eigvalsh(whole), dtype)
    is_close(vectors * values[..., None, :] @ adjoint(vectors), whole, dtype)
    is_close(run_there(device, jnp.linalg.eigvalsh, whole), values, dtype)


def test_small_matrices_are_diagonalised_at_once(device: Device, fakes: dict[str, Any]) -> None:
    a = positive((5, 4, 4), "float32")
    a[2, 1, 1] = np.nan  # the method does not come to an end
    values = np.asarray(run_there(device, jnp.linalg.eigvalsh, a))
    assert fakes["cusolverDn"].calls["ssyevj_batched"] == 1
    good = [0, 1, 3, 4]
    is_close(values[good], np.linalg.eigvalsh(a[good]), "float32")
    assert np.isnan(values[2]).all()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (7, 3), (3, 7), (1, 6)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_svd(dtype: str, shape: tuple[int, int], full: bool, device: Device) -> None:
    a, least = random((2, *shape), dtype), min(shape)
    u, s, vh = map(np.asarray, run_there(device, lambda a: jnp.linalg.svd(a, full), a))
    is_close(s, np.linalg.svd(a, compute_uv=False), dtype)
    is_close(u[..., :least] * s[..., None, :] @ vh[..., :least, :], a, dtype)
    assert u.shape[-1] == (shape[0] if full else least)
    assert vh.shape[-2] == (shape[1] if full else least)
    for x in (adjoint(u) @ u, vh @ adjoint(vh)):
        is_close(x, np.broadcast_to(np.eye(x.shape[-1]), x.shape), dtype)
    alone = run_there(device, lambda a: jnp.linalg.svd(a, compute_uv=False), a)
    is_close(alone, s, dtype)


@pytest.mark.parametrize("trans", [0, 1, 2])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_triangular_systems(dtype: str, lower: bool, trans: int, device: Device) -> None:
    a, b = positive((2, 34, 34), dtype), random((2, 34, 3), dtype)
    part = np.tril(a) if lower else np.triu(a)
    turned = (part, np.swapaxes(part, -1, -2), adjoint(part))[trans]
    for left in (True, False):
        given = b if left else np.swapaxes(b, -1, -2)
        for unit in (False, True):

            def solve(a: Any, b: Any, left: bool = left, unit: bool = unit) -> Any:
                return jitml.lax.linalg.triangular_solve(
                    a, b, left_side=left, lower=lower, transpose_a=trans > 0,
                    conjugate_a=trans == 2, unit_diagonal=unit,
                )  # fmt: skip

            scale = a / 34 if unit else a
            x = np.asarray(run_there(device, solve, scale, given))
            matrix = turned / 34 if unit else turned
            if unit:
                matrix = matrix - matrix * np.eye(34) + np.eye(34)
            is_close(matrix @ x if left else x @ matrix, given, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tridiagonal_form(dtype: str, device: Device) -> None:
    a = positive((2, 6, 6), dtype)
    _, diagonal, beside, _ = run_there(device, jitml.lax.linalg.tridiagonal, a)
    for k in range(2):
        d, e = np.asarray(diagonal)[k], np.asarray(beside)[k]
        form = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
        is_close(np.linalg.eigvalsh(form), np.linalg.eigvalsh(a[k]), dtype)


def test_gradients_of_factorisations(device: Device) -> None:
    a = positive((34, 34), "float64")
    found = run_there(device, jitml.grad(lambda a: jnp.linalg.slogdet(a)[1]), a)
    is_close(found, np.linalg.inv(a).T, "float64")
    found = run_there(device, jitml.grad(lambda a: jnp.log(jnp.linalg.svd(a)[1]).sum()), a)
    is_close(found, np.linalg.inv(a).T, "float64")


def test_solvers_are_asked_one_by_one(device: Device) -> None:
    a = positive((34, 34), "float32")
    function = jitml.jit(lambda a: jnp.linalg.cholesky(a + 1).sum())
    before = device.counts.graph_launches
    function(a).block_until_ready()
    assert device.counts.graph_launches == before
    told = str(function.explain(a)).split("== on the device ==")[1]
    assert "launches one by one" in told and "copies to the host:" not in told
    assert "cuSOLVER computes lapack spotrf  # test_libraries.py:" in told


# ---- what goes wrong -----------------------------------------------------------------------------


def test_what_no_library_has_is_computed_on_the_host(device: Device) -> None:
    a = random((5, 5), "float32")
    function = jitml.jit(jnp.linalg.eigvals)
    is_close(np.sort_complex(function(a)), np.sort_complex(np.linalg.eigvals(a)), "float32")
    told = str(function.explain(a)).split("== on the device ==")[1]
    assert "lapack sgeev on the host (cuSOLVER has no sgeev)" in told


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [
        ("create", RuntimeError("CUDA driver is not found"), "CUDA driver is not found"),
        ("create", Status(1, "NOT_INITIALIZED"), "cuSOLVER reports NOT_INITIALIZED (1) (create)"),
        ("spotrf_buffer_size", Status(9, "NOT_SUPPORTED"), "cuSOLVER reports NOT_SUPPORTED"),
    ],
)
def test_without_a_library_the_host_computes_and_says_why(
    function: str, error: Exception, reason: str, fakes: dict[str, Double]
) -> None:
    a = positive((34, 34), "float32")
    fakes["cusolverDn"].planted = {function: error}
    factor = jitml.jit(jnp.linalg.cholesky)
    is_close(factor(a), np.linalg.cholesky(a), "float32")
    if function == "create":  # which is asked for once
        told = str(factor.explain(a)).split("== on the device ==")[1]
        assert "1 copies to the host: lapack spotrf on the host (" in told and reason in told
    assert devices.default_device().counts.read_backs == 1


def test_without_bindings_the_host_computes(emulated: Any, fakes: dict[str, Any]) -> None:
    emulated.bindings = {}
    x = random((3, 4), "complex64")
    function = jitml.jit(jnp.fft.fft)
    is_close(function(x), np.fft.fft(x), "complex64")
    assert "(an emulated device has no cuFFT)" in str(function.explain(x))


def test_without_nvmath_the_reason_says_what_to_install(
    device: Device, fakes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nvmath", None)
    monkeypatch.setattr(type(device.driver), "bindings", None)  # as of a real driver
    function, x = jitml.jit(jnp.fft.fft), random((3, 4), "complex64")
    is_close(function(x), np.fft.fft(x), "complex64")
    told = str(function.explain(x)).split("== on the device ==")[1]
    assert "cuFFT is reached through nvmath-python, which cannot be imported" in told
    assert '; pip install "jitml[cuda]")  # test_libraries.py:' in told


@pytest.mark.parametrize(
    ("library", "function", "status", "kind"),
    [
        ("cufft", "create", 5, errors.LibraryError),
        ("cufft", "make_plan_many64", 2, errors.DeviceMemoryError),
        ("cufft", "make_plan_many64", 5, errors.LibraryError),
        ("cufft", "exec_c2c", 6, errors.LibraryError),
        ("cufft", "set_work_area", 1, errors.LibraryError),
        ("cublas", "sscal_64", 13, errors.LibraryError),
        ("cublas", "sscal_64", 3, errors.DeviceMemoryError),
    ],
)
def test_what_a_library_refuses_is_told_with_the_line(
    library: str, function: str, status: int, kind: type[Exception], fakes: dict[str, Double]
) -> None:
    x = random((3, 4), "complex64")
    inverse = jitml.jit(lambda x: jnp.fft.ifft(x * 2))
    fakes[library].planted = {function: Status(status, "FAILED")}
    with pytest.raises(kind, match=rf"cu\w+ reports FAILED \({status}\) \({function}\)") as raised:
        inverse(x)
    assert "inverse = jitml.jit(lambda x: jnp.fft.ifft(x * 2))" in str(raised.value)
    is_close(inverse(x), np.fft.ifft(x * 2), "complex64")  # everything goes on


@pytest.mark.parametrize("function", ["make_plan_many64", "exec_c2c"])
def test_the_line_is_that_of_the_step(function: str, fakes: dict[str, Double]) -> None:
    def both(x: Any) -> Any:
        y = jnp.sort(x.real, axis=0)
        return jnp.fft.fft(x + y)

    fakes["cufft"].planted = {function: Status(5, "FAILED")}
    with pytest.raises(errors.LibraryError, match=r"return jnp\.fft\.fft\(x \+ y\)"):
        jitml.jit(both)(random((3, 4), "complex64"))


def test_a_lost_device_has_its_libraries_anew(
    emulated: Any, device: Device, fakes: dict[str, Double]
) -> None:
    x, before = random((3, 4), "complex64"), device.libraries
    inverse = jitml.jit(jnp.fft.ifft)
    emulated.planted["cuStreamSynchronize"] = 700
    with pytest.raises(errors.IllegalAccessError):
        inverse(x).block_until_ready()
    for double in fakes.values():
        double.live.clear()  # they went with the device
    is_close(inverse(x), np.fft.ifft(x), "complex64")
    assert fakes["cublas"].calls["create"] == 2
    gc.collect()
    before.close()  # gives nothing back
    assert not any(double.calls["destroy"] for double in fakes.values())


def test_plans_are_kept_and_given_back(
    device: Device, fakes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitml.device.libraries.MOST_ROUTINES", 2)
    x = {n: random((n,), "complex64") for n in range(3, 9)}
    first = jitml.jit(lambda x: jnp.fft.fft(x + 1))
    is_close(first(x[3]), np.fft.fft(x[3] + 1), "complex64")
    again = jitml.jit(lambda x: jnp.fft.fft(x) + 1)
    is_close(again(x[3]), np.fft.fft(x[3]) + 1, "complex64")
    assert fakes["cufft"].calls["create"] == 1
    for n in range(4, 9):
        is_close(jitml.jit(lambda x: jnp.fft.fft(x) * 2)(x[n]), 2 * np.fft.fft(x[n]), "complex64")
    assert len(fakes["cufft"].live) == 6  # programs have them
    jitml.clear_caches()
    gc.collect()
    with device.entered():
        device.wait()
    assert len(fakes["cufft"].live) == 2
    is_close(first(x[3]), np.fft.fft(x[3] + 1), "complex64")


def test_devices_have_libraries_of_their_own(
    monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Any]
) -> None:

    cuda = EmulatedCuda(device_count=2)
    cuda.bindings = {"cufft": Fft(cuda), "cusolverDn": Solver(cuda), "cublas": Blas(cuda)}
    devices.device.cache_clear()
    monkeypatch.setattr(devices, "device_library", lambda: cuda)
    a = positive((34, 34), "float32")
    factor = jitml.jit(lambda a: jnp.linalg.cholesky(a))
    for device in jitml.devices():
        found = factor(jitml.device_put(a, device))
        assert found.device is device
        is_close(found, np.linalg.cholesky(a), "float32")
    assert len(cuda.bindings["cusolverDn"].live) == 2
