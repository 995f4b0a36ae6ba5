"""Elements that go elsewhere: layout, indices, sorting, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite import numba_programs
from benchmarks.suite.workload import workload

SQUARE = (2048, 2048)


def _indices(count: int, size: int, *shapes: Any) -> Any:
    def arrays(random: np.random.Generator) -> tuple[Any, ...]:
        data = [random.standard_normal(shape, np.float32) for shape in shapes]
        return (*data, random.integers(0, size, count, np.int32))

    return arrays


@workload(
    "movement",
    "transpose, 2048²",
    SQUARE,
    torch=lambda x: x.T.contiguous(),
    numpy=lambda x: x.T.copy(),
)
def transpose(lib: Any, x: Any) -> Any:
    return x.T


@workload(
    "movement",
    "transpose (0, 2, 1), 64x256x256",
    (64, 256, 256),
    torch=lambda x: x.transpose(1, 2).contiguous(),
)
def batched_transpose(lib: Any, x: Any) -> Any:
    return x.transpose(0, 2, 1)


@workload(
    "movement",
    "NCHW to NHWC, 32x64x56x56",
    (32, 64, 56, 56),
    torch=lambda x: x.permute(0, 2, 3, 1).contiguous(),
)
def channels_last(lib: Any, x: Any) -> Any:
    return x.transpose(0, 2, 3, 1)


@workload("movement", "x + x.T, 2048²", SQUARE, torch=lambda x: x + x.T, numpy=lambda x: x + x.T)
def symmetric(lib: Any, x: Any) -> Any:
    return x + x.T


@workload(
    "movement",
    "concatenate, 3 x 2048²",
    SQUARE,
    SQUARE,
    SQUARE,
    numpy=lambda *xs: np.concatenate(xs, 1),
)
def concatenate(lib: Any, *xs: Any) -> Any:
    return lib.np.concatenate(xs, 1)


@workload(
    "movement",
    "roll and add, 2048²",
    SQUARE,
    torch=lambda x: x + x.roll(1, 0) + x.roll(-1, 1),
    numpy=lambda x: x + np.roll(x, 1, 0) + np.roll(x, -1, 1),
)
def roll(lib: Any, x: Any) -> Any:
    return x + lib.np.roll(x, 1, 0) + lib.np.roll(x, -1, 1)


@workload(
    "movement",
    "five-point stencil, 2048²",
    SQUARE,
    torch=lambda u: 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]),
)
def stencil(lib: Any, u: Any) -> Any:
    return 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:])


@workload("movement", "pad, 2048²", SQUARE, numpy=lambda x: np.pad(x, 3))
def pad(lib: Any, x: Any) -> Any:
    return lib.np.pad(x, 3)


@workload(
    "movement",
    "every other row and column, 2048²",
    SQUARE,
    torch=lambda x: x[::2, ::2].contiguous(),
)
def strided(lib: Any, x: Any) -> Any:
    return x[::2, ::2] + 0


@workload(
    "movement",
    "gather 1e6 of 1e6",
    arrays=_indices(1_000_000, 1_000_000, (1_000_000,)),
    numpy=lambda x, i: x[i],
)
def gather(lib: Any, x: Any, i: Any) -> Any:
    return x[i]


@workload(
    "movement",
    "rows of an embedding, 8192 of 50000x256",
    arrays=_indices(8192, 50_000, (50_000, 256)),
    numpy=lambda x, i: x[i],
)
def embedding(lib: Any, x: Any, i: Any) -> Any:
    return x[i]


@workload(
    "movement",
    "scatter-add 1e6 into 1e4",
    arrays=_indices(1_000_000, 10_000, (1_000_000,)),
    numba=numba_programs.scatter_add,
)
def scatter_add(lib: Any, x: Any, i: Any) -> Any:
    return lib.np.zeros(10_000, "float32").at[i].add(x)


@workload(
    "movement",
    "scatter rows, 8192 into 50000x64",
    arrays=_indices(8192, 50_000, (50_000, 64), (8192, 64)),
    numba=numba_programs.scatter_rows,
)
def scatter_rows(lib: Any, x: Any, rows: Any, i: Any) -> Any:
    return x.at[i].add(rows)


@workload("movement", "cumsum, 1e7", (10_000_000,), torch=lambda x: x.cumsum(0), numpy=np.cumsum)
def cumsum(lib: Any, x: Any) -> Any:
    return lib.np.cumsum(x)


@workload(
    "movement",
    "cumsum over 1, 4096x1024",
    (4096, 1024),
    torch=lambda x: x.cumsum(1),
    numpy=lambda x: x.cumsum(1),
)
def cumsum_rows(lib: Any, x: Any) -> Any:
    return lib.np.cumsum(x, 1)


@workload("movement", "sort, 1e6", (1_000_000,), torch=lambda x: x.sort()[0], numpy=np.sort)
def sort(lib: Any, x: Any) -> Any:
    return lib.np.sort(x)


@workload("movement", "argsort, 1e5", (100_000,), torch=lambda x: x.argsort(), numpy=np.argsort)
def argsort(lib: Any, x: Any) -> Any:
    return lib.np.argsort(x)


@workload(
    "movement",
    "sort rows, 4096x256",
    (4096, 256),
    torch=lambda x: x.sort(1)[0],
    numpy=lambda x: np.sort(x, 1),
)
def sort_rows(lib: Any, x: Any) -> Any:
    return lib.np.sort(x, 1)


@workload("movement", "top 10 of 4096x1024", (4096, 1024), torch=lambda x: x.topk(10))
def top_k(lib: Any, x: Any) -> Any:
    return lib.lax.top_k(x, 10)


@workload(
    "movement",
    "searchsorted 1e5 in 1e5",
    arrays=lambda r: (
        np.sort(r.standard_normal(100_000, np.float32)),
        r.standard_normal(100_000, np.float32),
    ),
    numpy=np.searchsorted,
)
def searchsorted(lib: Any, x: Any, y: Any) -> Any:
    return lib.np.searchsorted(x, y)


@workload(
    "movement",
    "bincount, 1e6",
    arrays=lambda r: (r.integers(0, 1000, 1_000_000, np.int32),),
    numpy=lambda x: np.bincount(x, minlength=1000),
)
def bincount(lib: Any, x: Any) -> Any:
    return lib.np.bincount(x, length=1000)


@workload("movement", "one-hot, 8192x1000", arrays=lambda r: (r.integers(0, 1000, 8192, np.int32),))
def one_hot(lib: Any, x: Any) -> Any:
    return lib.nn.one_hot(x, 1000)
