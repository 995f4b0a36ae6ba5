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


def chain(framework: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Fifty elementwise operations on f32[4096]."""
    jnp = importlib.import_module(f"{framework.__name__}.numpy")

    def f(x: Any) -> Any:
        for k in range(25):
            x = jnp.sin(x) * (0.5 + k)
        return x

    return framework.jit(f), (np.ones(4096, np.float32),)


CASES: dict[str, Case] = {
    "value_and_grad of a 3-layer MLP": mlp_gradient,
    "softmax": softmax,
    "chain of 50 operations": chain,
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
