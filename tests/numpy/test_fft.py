"""`jitml.numpy.fft` against NumPy: all names, lengths, axes and norms; errors; gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import JitmlError

ft = jnp.fft
NAMES_1D = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
NAMES_ND = ("fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn", "irfft2", "irfftn")
NORMS = (None, "backward", "ortho", "forward")


def numbers(name: str, *shape: int) -> Any:
    random = np.random.default_rng(len(shape))
    x = random.normal(size=shape)
    is_real = name.startswith(("rfft", "ihfft"))
    return x if is_real else x + 1j * random.normal(size=shape)


def check(name: str, x: Any, *args: Any, **options: Any) -> None:
    expected = getattr(np.fft, name)(x, *args, **options)
    eager = getattr(ft, name)(x, *args, **options)
    jitted = jitml.jit(lambda x: getattr(ft, name)(x, *args, **options))(x)
    assert (eager.dtype, eager.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(np.asarray(eager), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(np.asarray(eager), np.asarray(jitted))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES_1D)
def test_one_axis(name: str, norm: str | None) -> None:
    for shape, n, axis in (
        ((8,), None, -1), ((7,), None, 0), ((3, 5), None, 0), ((3, 5), 8, 1), ((2, 6, 3), 4, 1),
        ((1, 2), None, -1), ((4,), 7, 0), ((4,), 1, 0), ((0, 4), None, 1),
    ):  # fmt: skip
        check(name, numbers(name, *shape), n, axis, norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES_ND)
def test_many_axes(name: str, norm: str | None) -> None:
    for shape, s, axes in (
        ((4, 6), None, (-2, -1)), ((3, 4, 5), None, (0, 2)), ((3, 5), (4, 7), (0, 1)),
        ((3, 5), (2, 3), (1, 0)), ((2, 3, 4), (5, 2), (-1, 0)),
    ):  # fmt: skip
        check(name, numbers(name, *shape), s, axes, norm)
    if name.endswith("n"):
        check(name, numbers(name, 2, 3, 4, 5), norm=norm)
        check(name, numbers(name, 2, 3, 4), None, (1,), norm)


@pytest.mark.parametrize(
    ("given", "result"),
    [("float16", "complex64"), ("bfloat16", "complex64"), ("float32", "complex64"),
     ("int32", "complex64"), ("bool", "complex64"), ("int64", "complex128"),
     ("float64", "complex128"), ("complex64", "complex64")],
)  # fmt: skip
def test_dtypes(given: str, result: str) -> None:
    x = jnp.ones(4, given)
    assert ft.fft(x).dtype == ft.ifftn(x).dtype == result
    assert ft.irfft(x).dtype == np.zeros(0, result).real.dtype


def test_frequencies_and_shifts() -> None:
    for n in (1, 4, 5):
        np.testing.assert_allclose(ft.fftfreq(n, 0.5), np.fft.fftfreq(n, 0.5), rtol=1e-6)
        np.testing.assert_allclose(ft.rfftfreq(n, 0.5), np.fft.rfftfreq(n, 0.5), rtol=1e-6)
        x = np.arange(3.0 * n).reshape(3, n)
        for axes in (None, 0, (0, 1)):
            np.testing.assert_array_equal(ft.fftshift(x, axes), np.fft.fftshift(x, axes))
            np.testing.assert_array_equal(ft.ifftshift(x, axes), np.fft.ifftshift(x, axes))
    assert ft.fftfreq(4, dtype="float64").dtype == np.float64


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "complex input": (lambda: ft.rfft(np.ones(3) * 1j), "rfft: .* is complex"),
    "norm": (lambda: ft.fft(np.ones(3), norm="both"), "norm='both'"),
    "length": (lambda: ft.fft(np.ones(3), 0), "length 0 is not positive"),
    "axis": (lambda: ft.fft(np.ones(3), axis=2), "axis 2 is out of range"),
    "twice": (lambda: ft.fftn(np.ones((2, 2)), axes=(0, 0)), "given twice"),
    "counts": (lambda: ft.fftn(np.ones((2, 2)), (2,), (0, 1)), "1 lengths for 2 axes"),
    "0-d": (lambda: ft.fft(1.0), "0-d|out of range"),
    "three axes": (lambda: ft.fft2(np.ones((2, 2, 2)), axes=(0, 1, 2)), "two axes"),
    "kind": (lambda: jitml.lax.fft(np.ones(3), "DCT", 3), "'DCT' is no kind of transform"),
    "lax dtype": (lambda: jitml.lax.fft(np.ones(3), "FFT", 3), "FFT takes complex64"),
    "lax length": (lambda: jitml.lax.fft(np.ones(3) * 1j, "FFT", 4), r"lengths \(4,\)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_users_line(name: str) -> None:
    wrong, message = ERRORS[name]
    with pytest.raises(JitmlError, match=message) as raised:
        wrong()
    assert "test_fft.py" in str(raised.value)


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["rfft", "irfft", "fft", "hfft", "ihfft", "rfftn", "irfft2"])
def test_gradients_are_jaxs(name: str) -> None:
    jax = pytest.importorskip("jax")
    x, kernel = np.random.default_rng(0).normal(size=(2, 4, 6))

    def loss(np_: Any, x: Any) -> Any:
        spectrum = getattr(np_.fft, name)(x)
        return np_.sum(np_.abs(spectrum) ** 2 * spectrum.real) + np_.sum(kernel * x**3)

    with jax.enable_x64(True):
        expected = jax.grad(lambda x: loss(jax.numpy, x))(x)
    found = jitml.jit(jitml.grad(lambda x: loss(jnp, x)))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_maps_and_loops_agree() -> None:
    x = numbers("fft", 3, 4, 5)
    found = jitml.vmap(ft.fftn, in_axes=1)(x)
    for k in range(4):
        np.testing.assert_allclose(np.asarray(found)[k], ft.fftn(x[:, k]), rtol=1e-12, atol=1e-12)
