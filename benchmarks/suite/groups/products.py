"""Products of matrices, and convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.workload import workload


def _product(m: int, k: int, n: int) -> None:
    name = f"{m}²" if m == k == n else f"{m}x{k}x{n}"

    @workload(
        "matmul", f"product {name}", (m, k), (k, n), torch=lambda a, b: a @ b, numpy=np.matmul
    )
    def function(lib: Any, a: Any, b: Any) -> Any:
        return a @ b


for _n in (16, 64, 128, 256, 512, 1024, 2048):
    _product(_n, _n, _n)
for _shape in ((128, 784, 512), (1, 1024, 1024), (4096, 64, 64), (64, 4096, 64), (1000, 333, 77)):
    _product(*_shape)


@workload(
    "matmul",
    "matrix times vector, 4096²",
    (4096, 4096),
    (4096,),
    torch=lambda a, b: a @ b,
    numpy=np.matmul,
)
def matvec(lib: Any, a: Any, b: Any) -> Any:
    return a @ b


@workload(
    "matmul",
    "aᵀ b, 512²",
    (512, 512),
    (512, 512),
    torch=lambda a, b: a.T @ b,
    numpy=lambda a, b: a.T @ b,
)
def transposed(lib: Any, a: Any, b: Any) -> Any:
    return a.T @ b


@workload(
    "matmul",
    "batched, 64 x 128²",
    (64, 128, 128),
    (64, 128, 128),
    torch=lambda a, b: a @ b,
    numpy=np.matmul,
)
def batched(lib: Any, a: Any, b: Any) -> Any:
    return a @ b


@workload(
    "matmul",
    "batched small, 10000 x 4²",
    (10_000, 4, 4),
    (10_000, 4, 4),
    torch=lambda a, b: a @ b,
    numpy=np.matmul,
)
def small(lib: Any, a: Any, b: Any) -> Any:
    return a @ b


@workload(
    "matmul",
    "attention scores, 8x8x256x64",
    (8, 8, 256, 64),
    (8, 8, 256, 64),
    torch=lambda q, k: q @ k.transpose(-1, -2),
)
def scores(lib: Any, q: Any, k: Any) -> Any:
    return lib.np.einsum("bhqd,bhkd->bhqk", q, k)


@workload(
    "matmul",
    "dense layer with tanh, 256x512x512",
    (256, 512),
    (512, 512),
    (512,),
    torch=lambda x, w, b: (x @ w + b).tanh(),
)
def dense(lib: Any, x: Any, w: Any, b: Any) -> Any:
    return lib.np.tanh(x @ w + b)


@workload(
    "matmul",
    "dense layer with relu, 1024²",
    (1024, 1024),
    (1024, 1024),
    (1024,),
    torch=lambda x, w, b: (x @ w + b).relu(),
)
def wide_dense(lib: Any, x: Any, w: Any, b: Any) -> Any:
    return lib.nn.relu(x @ w + b)


@workload(
    "matmul",
    "f64 product 512²",
    arrays=lambda r: tuple(r.standard_normal((512, 512)) for _ in range(2)),
    torch=lambda a, b: a @ b,
    numpy=np.matmul,
)
def wide_numbers(lib: Any, a: Any, b: Any) -> Any:
    return a @ b


@workload(
    "matmul", "outer product, 2048", (2048,), (2048,), torch=lambda a, b: a.outer(b), numpy=np.outer
)
def outer(lib: Any, a: Any, b: Any) -> Any:
    return lib.np.outer(a, b)


def _conv_torch(x: Any, w: Any, **options: Any) -> Any:
    import torch

    return torch.nn.functional.conv2d(x, w, **options)


def _conv(
    lib: Any, x: Any, w: Any, layout: str, stride: int = 1, groups: int = 1, padding: str = "SAME"
) -> Any:
    dims = (layout, "OIHW" if layout == "NCHW" else "HWIO", layout)
    return lib.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=dims, feature_group_count=groups
    )


@workload(
    "conv",
    "3x3, NCHW 16x64x32x32",
    (16, 64, 32, 32),
    (64, 64, 3, 3),
    torch=lambda x, w: _conv_torch(x, w, padding=1),
)
def conv3(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NCHW")


@workload("conv", "3x3, NHWC 16x32x32x64", (16, 32, 32, 64), (3, 3, 64, 64))
def conv3_last(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NHWC")


@workload("conv", "1x1, NHWC 16x32x32x128", (16, 32, 32, 128), (1, 1, 128, 128))
def conv1(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NHWC")


@workload(
    "conv",
    "3x3 stride 2, NCHW 16x64x32x32",
    (16, 64, 32, 32),
    (128, 64, 3, 3),
    torch=lambda x, w: _conv_torch(x, w, stride=2, padding=1),
)
def conv_strided(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NCHW", 2)


@workload("conv", "5x5 of digits, NHWC 64x28x28x1", (64, 28, 28, 1), (5, 5, 1, 32))
def conv_digits(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NHWC")


@workload("conv", "depthwise 3x3, NHWC 16x32x32x64", (16, 32, 32, 64), (3, 3, 1, 64))
def depthwise(lib: Any, x: Any, w: Any) -> Any:
    return _conv(lib, x, w, "NHWC", groups=64)


@workload("conv", "gradients of 3x3, NHWC 8x32x32x32", (8, 32, 32, 32), (3, 3, 32, 32))
def conv_gradients(lib: Any, x: Any, w: Any) -> Any:
    return lib.root.grad(lambda x, w: (_conv(lib, x, w, "NHWC") ** 2).sum(), (0, 1))(x, w)


@workload("conv", "1-d, 64x64x1024, 9 wide", (64, 64, 1024), (64, 64, 9))
def conv_1d(lib: Any, x: Any, w: Any) -> Any:
    return lib.lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NCH", "OIH", "NCH"))


@workload("conv", "max pool 2x2, NHWC 32x64x64x32", (32, 64, 64, 32))
def max_pool(lib: Any, x: Any) -> Any:
    low = np.float32(-np.inf)
    return lib.lax.reduce_window(x, low, lib.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@workload("conv", "average pool 3x3, NHWC 32x64x64x32", (32, 64, 64, 32))
def average_pool(lib: Any, x: Any) -> Any:
    sums = lib.lax.reduce_window(x, np.float32(0), lib.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    return sums / 9
