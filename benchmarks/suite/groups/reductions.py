"""Sums and their kin, over each axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.workload import workload

SQUARE, CUBE = (4096, 4096), (128, 256, 256)


def _sums(shape: Any, axes: Any) -> None:
    label = "x".join(map(str, shape))
    torch_axes = tuple(range(len(shape))) if axes is None else axes

    @workload(
        "reductions",
        f"sum over {axes}, {label}",
        shape,
        torch=lambda x: x.sum(torch_axes),
        numpy=lambda x: x.sum(axes),
    )
    def function(lib: Any, x: Any) -> Any:
        return x.sum(axes)


for _axes in (None, 0, 1):
    _sums(SQUARE, _axes)
for _axes in (0, 1, 2, (0, 2)):
    _sums(CUBE, _axes)
_sums((1_000_000, 3), 1)
_sums((1_000_000, 3), 0)


@workload(
    "reductions",
    "max over 0, 4096x4096",
    SQUARE,
    torch=lambda x: x.amax(0),
    numpy=lambda x: x.max(0),
)
def largest(lib: Any, x: Any) -> Any:
    return x.max(0)


@workload(
    "reductions", "mean and var over 1, 4096x4096", SQUARE, torch=lambda x: (x.mean(1), x.var(1))
)
def moments(lib: Any, x: Any) -> Any:
    return x.mean(1), x.var(1)


@workload(
    "reductions",
    "argmax over 1, 4096x1024",
    (4096, 1024),
    torch=lambda x: x.argmax(1),
    numpy=lambda x: x.argmax(1),
)
def argmax(lib: Any, x: Any) -> Any:
    return x.argmax(1)


@workload(
    "reductions",
    "argmax over 0, 4096x1024",
    (4096, 1024),
    torch=lambda x: x.argmax(0),
    numpy=lambda x: x.argmax(0),
)
def argmax_down(lib: Any, x: Any) -> Any:
    return x.argmax(0)


@workload("reductions", "norm, 1e7", (10_000_000,), torch=lambda x: x.norm(), numpy=np.linalg.norm)
def norm(lib: Any, x: Any) -> Any:
    return lib.np.linalg.norm(x)


@workload(
    "reductions",
    "mse, 4096x1024",
    (4096, 1024),
    (4096, 1024),
    torch=lambda x, y: ((x - y) ** 2).mean(),
)
def mse(lib: Any, x: Any, y: Any) -> Any:
    return ((x - y) ** 2).mean()


@workload(
    "reductions",
    "all isfinite, 1e7",
    (10_000_000,),
    torch=lambda x: x.isfinite().all(),
    numpy=lambda x: np.isfinite(x).all(),
)
def finite(lib: Any, x: Any) -> Any:
    return lib.np.isfinite(x).all()
