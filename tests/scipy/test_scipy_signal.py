"""Signals against SciPy and, where these differ, against JAX."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError, ShapeError
from jitml.scipy import signal

reference = pytest.importorskip("scipy.signal")
RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def near(found, expected):
    for one, their in zip(found, expected, strict=True):
        assert one.shape == np.shape(their)
        np.testing.assert_allclose(one, their, rtol=2e-4, atol=2e-5)


SHAPES = [((7,), (3,)), ((3,), (8,)), ((4,), (4,)), ((4, 6), (3, 2)), ((2, 3), (5, 7))]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_convolutions_and_correlations(left, right):
    x, y = numbers(*left) + 1j * numbers(*left), numbers(*right)
    for mode, method in itertools.product(("full", "same", "valid"), ("direct", "fft")):
        near(
            [signal.convolve(x, y, mode, method), signal.correlate(x, y, mode, method)],
            [reference.convolve(x, y, mode, method), reference.correlate(x, y, mode, method)],
        )


@pytest.mark.parametrize(("left", "right"), [s for s in SHAPES if len(s[0]) == 2])
def test_matrices(left, right):
    x, y = numbers(*left), numbers(*right) - 1j * numbers(*right)
    for mode, name in itertools.product(("full", "same", "valid"), ("convolve2d", "correlate2d")):
        for pair in ((x, y), (y, x)):
            near([getattr(signal, name)(*pair, mode)], [getattr(reference, name)(*pair, mode)])


def test_axes_of_transforms_and_derivatives():
    x, y = numbers(3, 6), numbers(3, 4)
    for mode in ("full", "same", "valid"):
        expected = reference.fftconvolve(x, y, mode, axes=[1])
        near([signal.fftconvolve(x, y, mode, axes=[1])], [expected])
    slope = jitml.grad(lambda y: (signal.convolve(x[0], y, "valid") * jnp.arange(3.0)).sum())(y[0])
    near([slope], [[sum(k * x[0, k + 3 - n] for k in range(3)) for n in range(4)]])


def test_trends():
    x = numbers(3, 20)
    near(
        [signal.detrend(x), signal.detrend(x, 0, "constant"), signal.detrend(x, bp=[5, 12])],
        [
            reference.detrend(x),
            reference.detrend(x, 0, "constant"),
            reference.detrend(x, bp=[5, 12]),
        ],
    )
    near([signal.detrend(x[:1], 0)], [np.zeros((1, 20))])


OPTIONS = [
    {},
    {"noverlap": 5, "boundary": None, "padded": False},
    {"nperseg": 15, "nfft": 20, "boundary": "odd"},
    {"boundary": "even", "return_onesided": False, "fs": 10.0},
    {"boundary": "constant", "window": ("kaiser", 3.0), "detrend": "linear"},
    {"window": "cosine", "axis": 0},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_short_time_transforms(options):
    x = numbers(50, 50)[:, :3] if options.get("axis") == 0 else numbers(3, 50)
    given = {"nperseg": 16, **options}
    near(signal.stft(x, **given), reference.stft(x, **given))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"average": "median", "scaling": "spectrum"},
        {"nperseg": 15, "detrend": False, "fs": 3.0},
    ],
)
def test_powers(options):
    x, y, given = numbers(3, 60), numbers(3, 60), {"nperseg": 16, **options}
    near(signal.welch(x, **given), reference.welch(x, **given))
    near(signal.csd(x, y, **given), reference.csd(x, y, **given))
    assert signal.welch(x)[1].shape == (3, 31)  # JAX's default: one piece


def test_inverses():
    x = numbers(50)
    for given in ({"nperseg": 16}, {"nperseg": 15}, {"nperseg": 16, "noverlap": 12}):
        z = reference.stft(x, **given)[2]
        near(signal.istft(z, **given), reference.istft(z, **given))
    both = signal.stft(numbers(2, 50), nperseg=8, return_onesided=False)[2]
    times, back = signal.istft(both, input_onesided=False)
    assert times.shape == (52,) and back.shape == (2, 52)
    turned = np.moveaxis(np.asarray(both), 1, 2)
    near([signal.istft(turned, input_onesided=False, time_axis=1, freq_axis=2)[1]], [back])


def test_a_spectrum_has_derivatives():
    x = numbers(40)
    power = lambda x: signal.welch(x, nperseg=8, detrend=False, scaling="spectrum")[1].sum()  # noqa: E731
    slope, moved = jitml.grad(power)(x), numbers(40)
    with jitml.enable_x64():
        wide = [power(x.astype(np.float64) + t * moved) for t in (1e-5, -1e-5)]
    np.testing.assert_allclose(slope @ moved, (wide[0] - wide[1]) / 2e-5, rtol=1e-3)


def test_errors():
    x = numbers(20)
    cases = [
        (ArgumentError, "convolve: mode is 'all'", lambda: signal.convolve(x, x, "all")),
        (ArgumentError, "method is 'slow'", lambda: signal.convolve(x, x, method="slow")),
        (ShapeError, "differ in rank", lambda: signal.correlate(x, x[None])),
        (ShapeError, "one of them is empty", lambda: signal.convolve(x, x[:0])),
        (ShapeError, "neither of", lambda: signal.convolve2d(x[None], x[:, None])),
        (ShapeError, "wants matrices", lambda: signal.correlate2d(x, x)),
        (ArgumentError, "boundary is 'wrap'",
         lambda: signal.convolve2d(x[None], x[None], boundary="wrap")),
        (ShapeError, "differ beside axes", lambda: signal.fftconvolve(
            x[:, None], np.ones((3, 1), np.float32), axes=[1])),
        (ArgumentError, "detrend: type is 'cubic'", lambda: signal.detrend(x, type="cubic")),
        (ArgumentError, "detrend: bp is 30", lambda: signal.detrend(x, bp=30)),
        (ArgumentError, "overwrite_data", lambda: signal.detrend(x, overwrite_data=True)),
        (ArgumentError, "noverlap is 9, nfft 8", lambda: signal.stft(x, nperseg=8, noverlap=9)),
        (ArgumentError, "boundary is 'edge'", lambda: signal.stft(x, nperseg=8, boundary="edge")),
        (ArgumentError, "scaling is 'loud'", lambda: signal.welch(x, scaling="loud")),
        (ArgumentError, "average is 'mode'", lambda: signal.csd(x, x, average="mode")),
        (ShapeError, r"a window of type f32\[1,20\]", lambda: signal.welch(x, window=x[None])),
        (ArgumentError, "welch|csd", lambda: signal.welch(x, window="no such window")),
        (ShapeError, "two axes or more", lambda: signal.istft(x)),
        (ArgumentError, "time_axis and freq_axis are one", lambda: signal.istft(
            np.ones((3, 3)), time_axis=-2)),
        (ArgumentError, "nperseg is 9", lambda: signal.istft(np.ones((3, 3)), nperseg=9)),
    ]  # fmt: skip
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    with pytest.warns(UserWarning, match="nperseg is 256, the signal is 20 long"):
        signal.stft(x)
    with pytest.warns(UserWarning, match="two sides"):
        signal.welch(x + 1j)
