"""Linear algebra, Fourier transforms, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.workload import workload


def _positive(n: int, *batch: int) -> Any:
    def arrays(random: np.random.Generator) -> tuple[Any, ...]:
        a = random.standard_normal((*batch, n, n), np.float32)
        return (a @ np.swapaxes(a, -1, -2) + n * np.eye(n, dtype=np.float32),)

    return arrays


def _linalg(name: str, n: int, *batch: int) -> None:
    label = f"{name}, {' x '.join(map(str, batch))} x {n}²" if batch else f"{name}, {n}²"

    @workload(
        "linalg",
        label,
        arrays=_positive(n, *batch),
        numpy=getattr(np.linalg, name),
        torch=lambda a: _in_torch(name, a),
    )
    def function(lib: Any, a: Any) -> Any:
        return getattr(lib.np.linalg, name)(a)


def _in_torch(name: str, a: Any) -> Any:
    import torch

    return getattr(torch.linalg, name)(a)


for _name in ("cholesky", "inv", "qr", "eigh", "svd", "det"):
    _linalg(_name, 256)
for _name in ("cholesky", "inv", "det", "eigh"):
    _linalg(_name, 8, 1000)


@workload(
    "linalg",
    "solve, 512² and 16 columns",
    arrays=lambda r: (*_positive(512)(r), r.standard_normal((512, 16), np.float32)),
    numpy=np.linalg.solve,
)
def solve(lib: Any, a: Any, b: Any) -> Any:
    return lib.np.linalg.solve(a, b)


@workload(
    "linalg",
    "solve, 1000 x 4²",
    arrays=lambda r: (*_positive(4, 1000)(r), r.standard_normal((1000, 4, 1), np.float32)),
    numpy=np.linalg.solve,
)
def small_solve(lib: Any, a: Any, b: Any) -> Any:
    return lib.np.linalg.solve(a, b)


def _fft(name: str, shape: Any, label: str) -> None:
    @workload("fft", f"{name}, {label}", shape, numpy=getattr(np.fft, name))
    def function(lib: Any, x: Any) -> Any:
        return getattr(lib.np.fft, name)(x)


_fft("fft", (1 << 20,), "2^20")
_fft("rfft", (256, 4096), "256x4096")
_fft("fft2", (1024, 1024), "1024²")
_fft("rfftn", (64, 64, 64), "64³")
_fft("fft", (1000, 1000), "1000x1000")


def _key() -> Any:
    return np.array([0, 42], np.uint32)


@workload(
    "random",
    "uniform, 1e7",
    arrays=lambda r: (_key(),),
    numpy=lambda key: np.random.default_rng(0).random(10_000_000, np.float32),
)
def uniform(lib: Any, key: Any) -> Any:
    return lib.random.uniform(key, (10_000_000,))


@workload(
    "random",
    "normal, 1e7",
    arrays=lambda r: (_key(),),
    numpy=lambda key: np.random.default_rng(0).standard_normal(10_000_000, np.float32),
)
def normal(lib: Any, key: Any) -> Any:
    return lib.random.normal(key, (10_000_000,))


@workload("random", "bits, 1e7", arrays=lambda r: (_key(),))
def bits(lib: Any, key: Any) -> Any:
    return lib.random.bits(key, (10_000_000,))


@workload(
    "random",
    "dropout, 4096x1024",
    arrays=lambda r: (_key(), r.standard_normal((4096, 1024), np.float32)),
)
def dropout(lib: Any, key: Any, x: Any) -> Any:
    return lib.np.where(lib.random.bernoulli(key, 0.9, x.shape), x / 0.9, 0)


@workload("random", "permutation, 1e5", arrays=lambda r: (_key(),))
def permutation(lib: Any, key: Any) -> Any:
    return lib.random.permutation(key, 100_000)


@workload("random", "Monte Carlo of π, 1e7", arrays=lambda r: (_key(),))
def monte_carlo(lib: Any, key: Any) -> Any:
    points = lib.random.uniform(key, (2, 10_000_000))
    return 4 * ((points**2).sum(0) < 1).mean()
