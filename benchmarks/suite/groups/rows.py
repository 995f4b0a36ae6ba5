"""Rows that are reduced and used again."""

from __future__ import annotations

from typing import Any

from benchmarks.suite.workload import workload

ROWS, WIDE = (4096, 1024), (64, 32_000)


def _torch() -> Any:
    import torch

    return torch


@workload("rows", "softmax, 4096x1024", ROWS, torch=lambda x: x.softmax(1))
def softmax(lib: Any, x: Any) -> Any:
    return lib.nn.softmax(x, axis=1)


@workload("rows", "softmax, 64x32000", WIDE, torch=lambda x: x.softmax(1))
def wide_softmax(lib: Any, x: Any) -> Any:
    return lib.nn.softmax(x, axis=1)


@workload("rows", "softmax of 32, 65536x32", (65_536, 32), torch=lambda x: x.softmax(1))
def short_softmax(lib: Any, x: Any) -> Any:
    return lib.nn.softmax(x, axis=1)


@workload("rows", "log_softmax, 4096x1024", ROWS, torch=lambda x: x.log_softmax(1))
def log_softmax(lib: Any, x: Any) -> Any:
    return lib.nn.log_softmax(x, axis=1)


@workload("rows", "logsumexp, 4096x1024", ROWS, torch=lambda x: x.logsumexp(1))
def logsumexp(lib: Any, x: Any) -> Any:
    return lib.nn.logsumexp(x, axis=1)


def _layernorm(jnp: Any, x: Any) -> Any:
    mean = x.mean(1, keepdims=True)
    variance = ((x - mean) ** 2).mean(1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5)


@workload(
    "rows",
    "layernorm, 4096x1024",
    ROWS,
    torch=lambda x: _torch().nn.functional.layer_norm(x, (1024,)),
)
def layernorm(lib: Any, x: Any) -> Any:
    return _layernorm(lib.np, x)


@workload(
    "rows",
    "layernorm with residual, 4096x1024",
    ROWS,
    ROWS,
    (1024,),
    (1024,),
    torch=lambda x, r, g, b: _torch().nn.functional.layer_norm(x + r, (1024,), g, b),
)
def residual_norm(lib: Any, x: Any, r: Any, g: Any, b: Any) -> Any:
    return _layernorm(lib.np, x + r) * g + b


@workload(
    "rows",
    "RMS norm, 4096x1024",
    ROWS,
    (1024,),
    torch=lambda x, g: x * (x.pow(2).mean(1, keepdim=True) + 1e-6).rsqrt() * g,
)
def rms_norm(lib: Any, x: Any, g: Any) -> Any:
    return x * lib.lax.rsqrt((x * x).mean(1, keepdims=True) + 1e-6) * g


@workload("rows", "grad of layernorm, 4096x1024", ROWS, ROWS)
def layernorm_gradient(lib: Any, x: Any, ct: Any) -> Any:
    return lib.root.vjp(lambda x: _layernorm(lib.np, x), x)[1](ct)


@workload("rows", "grad of softmax, 4096x1024", ROWS, ROWS)
def softmax_gradient(lib: Any, x: Any, ct: Any) -> Any:
    return lib.root.vjp(lambda x: lib.nn.softmax(x, axis=1), x)[1](ct)


@workload(
    "rows",
    "cross-entropy, 4096x1024",
    arrays=lambda r: (r.standard_normal(ROWS, "float32"), r.integers(0, 1024, 4096, "int32")),
)
def cross_entropy(lib: Any, x: Any, labels: Any) -> Any:
    chosen = lib.np.take_along_axis(x, labels[:, None], axis=1)[:, 0]
    return (lib.nn.logsumexp(x, axis=1) - chosen).mean()


@workload(
    "rows",
    "batch norm, 4096x256",
    (4096, 256),
    torch=lambda x: (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt(),
)
def batch_norm(lib: Any, x: Any) -> Any:
    return (x - x.mean(0)) / lib.np.sqrt(x.var(0) + 1e-5)


@workload("rows", "group norm, 32x64x32x32", (32, 64, 32, 32))
def group_norm(lib: Any, x: Any) -> Any:
    g = x.reshape(32, 8, 8, 32, 32)
    mean = g.mean((2, 3, 4), keepdims=True)
    return ((g - mean) / lib.np.sqrt(g.var((2, 3, 4), keepdims=True) + 1e-5)).reshape(x.shape)
