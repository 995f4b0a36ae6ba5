"""Trace and compile times of first calls, in a warm process with nothing cached, JAX beside jitml
in the same run.

    python benchmarks/compile.py [--rounds 5]

Each round builds new functions, so both trace and compile anew; jitml's cache of kernels is emptied
before each, and the one on disk is off. Times are of this process' CPU (all threads) and of the
wall clock, best and median of the rounds; the ratio is JAX / jitml. JAX is left out where it is not
installed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ["JITML_CACHE"] = "0"

Case = Callable[[Any], tuple[Callable[..., Any], tuple[Any, ...]]]


def layers(sizes: list[int]) -> list[tuple[Any, Any]]:
    """Weights f32[a, b] and biases f32[b] for consecutive sizes."""
    rng = np.random.default_rng(0)
    return [
        ((rng.standard_normal((a, b)) / a**0.5).astype(np.float32), np.zeros(b, np.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def mlp_gradient(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`value_and_grad` of a three-layer perceptron: 64 → 128 → 128 → 10, batch 32."""
    jnp = importlib.import_module(f"{framework.__name__}.numpy")

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        for weight, bias in parameters[:-1]:
            x = jnp.tanh(x @ weight + bias)
        weight, bias = parameters[-1]
        return jnp.mean((x @ weight + bias - y) ** 2)

    arguments = (
        layers([64, 128, 128, 10]),
        np.ones((32, 64), np.float32),
        np.ones((32, 10), np.float32),
    )
    return framework.jit(framework.value_and_grad(loss)), arguments


def softmax(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Softmax of f32[256, 1024]."""
    jnp = importlib.import_module(f"{framework.__name__}.numpy")

    def f(x: Any) -> Any:
        e = jnp.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return framework.jit(f), (np.ones((256, 1024), np.float32),)


def chain(count: int) -> Case:
    """Elementwise operations on f32[4096], one after the other."""

    def case(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        jnp = importlib.import_module(f"{framework.__name__}.numpy")

        def f(x: Any) -> Any:
            for k in range(count // 2):
                x = jnp.sin(x) * (0.5 + k)
            return x

        return framework.jit(f), (np.ones(4096, np.float32),)

    return case


def adam(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A training step of that perceptron with Adam."""
    jnp, tree = (importlib.import_module(f"{framework.__name__}.{n}") for n in ("numpy", "tree"))
    gradient, (parameters, x, y) = mlp_gradient(framework)

    def step(parameters: Any, means: Any, squares: Any, x: Any, y: Any) -> Any:
        _, slopes = gradient(parameters, x, y)
        means = tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, slopes)
        squares = tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, slopes)
        moved = tree.map(
            lambda p, m, v: p - 1e-3 * m / (jnp.sqrt(v) + 1e-8), parameters, means, squares
        )
        return moved, means, squares

    zeros = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in parameters]
    return framework.jit(step), (parameters, zeros, zeros, x, y)


def lstm(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A scan of 50 steps of an LSTM: batch 16, 32 → 64."""
    jnp, lax, nn = (
        importlib.import_module(f"{framework.__name__}.{n}") for n in ("numpy", "lax", "nn")
    )

    def f(weights: Any, bias: Any, xs: Any) -> Any:
        def cell(carry: Any, x: Any) -> Any:
            h, state = carry
            gates = jnp.concatenate([x, h], 1) @ weights + bias
            take, keep, new, give = jnp.split(gates, 4, axis=1)
            state = nn.sigmoid(keep) * state + nn.sigmoid(take) * jnp.tanh(new)
            h = nn.sigmoid(give) * jnp.tanh(state)
            return (h, state), h

        zeros = jnp.zeros((16, 64))
        return lax.scan(cell, (zeros, zeros), xs)[1]

    ((weights, bias),) = layers([96, 256])
    return framework.jit(f), (weights, bias, np.ones((50, 16, 32), np.float32))


def transformer(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A training step of two layers with attention: 4 sequences of 32, 64 wide, 4 heads."""
    nn, tree = (importlib.import_module(f"{framework.__name__}.{n}") for n in ("nn", "tree"))
    jnp = importlib.import_module(f"{framework.__name__}.numpy")
    mask = np.tril(np.ones((32, 32), bool))

    def normalized(x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        first, blocks, (last, _) = parameters
        h = first[x]
        for (qkv, _), (out, _), (up, up_bias), (down, down_bias) in blocks:
            parts = (normalized(h) @ qkv).reshape(4, 32, 3, 4, 16).transpose(2, 0, 3, 1, 4)
            scores = parts[0] @ parts[1].transpose(0, 1, 3, 2) / 4.0
            shares = nn.softmax(jnp.where(mask, scores, -1e9), axis=-1)
            h = h + (shares @ parts[2]).transpose(0, 2, 1, 3).reshape(4, 32, 64) @ out
            h = h + nn.gelu(normalized(h) @ up + up_bias) @ down + down_bias
        chances = nn.log_softmax(h @ last, axis=-1)
        return -jnp.take_along_axis(chances, y[..., None], axis=-1).mean()

    def step(parameters: Any, x: Any, y: Any) -> Any:
        slopes = framework.grad(loss)(parameters, x, y)
        return tree.map(lambda p, g: p - 0.1 * g, parameters, slopes)

    blocks = [
        [layer for sizes in ([64, 192], [64, 64], [64, 256], [256, 64]) for layer in layers(sizes)]
        for _ in range(2)
    ]
    ((embedding, _),), ((last, last_bias),) = layers([128, 64]), layers([64, 128])
    words = np.arange(128, dtype=np.int32).reshape(4, 32)
    return framework.jit(step), ((embedding, blocks, (last, last_bias)), words, words[::-1].copy())


CASES: dict[str, Case] = {
    "value_and_grad of a 3-layer MLP": mlp_gradient,
    "softmax": softmax,
    "chain of 50 operations": chain(50),
    "chain of 200 operations": chain(200),
    "training step of that MLP, Adam": adam,
    "LSTM scan": lstm,
    "training step of a transformer": transformer,
}


def frameworks() -> list[Any]:
    """jitml, and jax where it is installed."""
    found = [importlib.import_module("jitml")]
    try:
        found.append(importlib.import_module("jax"))
    except ImportError:
        print("jax is not installed: jitml alone")
    return found


def first_call(framework: Any, case: Case) -> tuple[float, float]:
    """CPU and wall milliseconds of one first call."""
    function, arguments = case(framework)
    if framework.__name__ == "jitml":
        framework.clear_caches()
    cpu, wall = time.process_time(), time.perf_counter()
    result = function(*arguments)
    framework.block_until_ready(result)
    return 1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    measured = frameworks()
    for framework in measured:  # warm: everything that only the first use of a framework costs
        jnp = importlib.import_module(f"{framework.__name__}.numpy")
        framework.block_until_ready(framework.jit(lambda x, jnp=jnp: jnp.cos(x) @ x)(np.eye(5)))
    columns = f"{'CPU ms best':>12}{'median':>9}{'wall ms best':>14}{'median':>9}"
    print(f"{'first call':<34}{'':>8}{columns}")
    for name, case in CASES.items():
        times: dict[str, list[tuple[float, float]]] = {f.__name__: [] for f in measured}
        for _ in range(rounds):
            for framework in measured:
                times[framework.__name__].append(first_call(framework, case))
        for who, samples in times.items():
            cpu, wall = ([s[k] for s in samples] for k in (0, 1))
            print(
                f"{name:<34}{who:>8}{min(cpu):>12.1f}{statistics.median(cpu):>9.1f}"
                f"{min(wall):>14.1f}{statistics.median(wall):>9.1f}"
            )
        if len(times) > 1:
            ratio = min(s[1] for s in times["jax"]) / min(s[1] for s in times["jitml"])
            print(f"{'':<34}{'ratio':>8}{'':>21}{ratio:>14.2f}")


if __name__ == "__main__":
    main()
