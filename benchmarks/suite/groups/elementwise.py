"""One value for each element: memory traffic, and mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.workload import workload

LARGE, MIDDLE = (10_000_000,), (1_000_000,)


@workload(
    "elementwise",
    "x*y + 2z, 1e7",
    LARGE,
    LARGE,
    LARGE,
    torch=lambda x, y, z: x * y + 2 * z,
    numpy=lambda x, y, z: x * y + 2 * z,
)
def multiply_add(lib: Any, x: Any, y: Any, z: Any) -> Any:
    return x * y + 2 * z


def _chain(x: Any, y: Any) -> Any:
    z = x * y + 1
    z = z * z - x
    z = abs(z) + y
    return z * 0.5 + x * 2


@workload("elementwise", "chain of 8, 1e7", LARGE, LARGE, torch=_chain, numpy=_chain)
def chain(lib: Any, x: Any, y: Any) -> Any:
    return _chain(x, y)


@workload("elementwise", "chain of 8, 1e5", (100_000,), (100_000,), torch=_chain, numpy=_chain)
def short_chain(lib: Any, x: Any, y: Any) -> Any:
    return _chain(x, y)


def _unary(name: str, size: Any = MIDDLE, positive: bool = False) -> None:
    def arrays(random: np.random.Generator) -> tuple[Any, ...]:
        x = random.standard_normal(size, np.float32)
        return (np.abs(x) + 0.1 if positive else x,)

    @workload(
        "elementwise",
        f"{name}, 1e6",
        arrays=arrays,
        torch=lambda x: _in_torch(name, x),
        numpy=getattr(np, name),
    )
    def function(lib: Any, x: Any) -> Any:
        return getattr(lib.np, name)(x)


def _in_torch(name: str, x: Any) -> Any:
    import torch

    return getattr(torch, {"arctan": "atan", "arcsinh": "asinh"}.get(name, name))(x)


for _name in ("exp", "sin", "tanh", "arctan", "expm1", "sqrt", "arcsinh"):
    _unary(_name)
for _name in ("log", "log1p"):
    _unary(_name, positive=True)


@workload(
    "elementwise",
    "x ** y, 1e6",
    arrays=lambda r: (r.random(1_000_000, np.float32) + 0.5, r.random(1_000_000, np.float32)),
    torch=lambda x, y: x**y,
    numpy=np.power,
)
def power(lib: Any, x: Any, y: Any) -> Any:
    return x**y


def _gelu_torch(x: Any) -> Any:
    import torch

    return torch.nn.functional.gelu(x, approximate="tanh")


@workload("elementwise", "gelu, 1e6", MIDDLE, torch=_gelu_torch)
def gelu(lib: Any, x: Any) -> Any:
    return lib.nn.gelu(x)


def _silu_torch(x: Any) -> Any:
    import torch

    return torch.nn.functional.silu(x)


@workload("elementwise", "silu, 1e6", MIDDLE, torch=_silu_torch)
def silu(lib: Any, x: Any) -> Any:
    return lib.nn.silu(x)


@workload(
    "elementwise",
    "black-scholes, 1e6",
    arrays=lambda r: tuple(r.random(1_000_000, np.float32) + 0.5 for _ in range(3)),
)
def black_scholes(lib: Any, price: Any, strike: Any, time: Any) -> Any:
    jnp = lib.np
    spread = 0.3 * jnp.sqrt(time)
    d1 = (jnp.log(price / strike) + 0.06 * time) / spread

    def cumulative(d: Any) -> Any:
        return 0.5 * (1 + lib.lax.erf(d * 0.70710677))

    return price * cumulative(d1) - strike * jnp.exp(-0.02 * time) * cumulative(d1 - spread)


@workload(
    "elementwise",
    "row + column, 4096x2048",
    (4096, 1),
    (1, 2048),
    torch=lambda a, b: a + b,
    numpy=np.add,
)
def outer_sum(lib: Any, a: Any, b: Any) -> Any:
    return a + b


@workload(
    "elementwise", "where(x>0, x, 0.1x), 1e7", LARGE, numpy=lambda x: np.where(x > 0, x, 0.1 * x)
)
def leaky(lib: Any, x: Any) -> Any:
    return lib.np.where(x > 0, x, 0.1 * x)


@workload(
    "elementwise",
    "i32 arithmetic, 1e7",
    arrays=lambda r: tuple(r.integers(0, 1000, 10_000_000, np.int32) for _ in range(2)),
    torch=lambda x, y: (x * 3 + y) ^ (x >> 2),
    numpy=lambda x, y: (x * 3 + y) ^ (x >> 2),
)
def integers(lib: Any, x: Any, y: Any) -> Any:
    return (x * 3 + y) ^ (x >> 2)


@workload("elementwise", "bf16 x*y+z, 1e7", LARGE, LARGE, LARGE)
def narrow(lib: Any, x: Any, y: Any, z: Any) -> Any:
    x, y, z = (v.astype("bfloat16") for v in (x, y, z))
    return (x * y + z).astype("float32")


@workload(
    "elementwise",
    "complex product, 1e6",
    arrays=lambda r: tuple(
        (r.standard_normal(1_000_000) + 1j * r.standard_normal(1_000_000)).astype(np.complex64)
        for _ in range(2)
    ),
    torch=lambda x, y: x * y,
    numpy=np.multiply,
)
def complex_product(lib: Any, x: Any, y: Any) -> Any:
    return x * y
