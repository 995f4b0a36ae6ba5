"""What a call costs beside its work: jitted functions, trees, numbers, operators, eager gradients;
jitml, JAX, PyTorch and NumPy side by side in the same run.

    python benchmarks/dispatch.py [--rounds 15]

Every row is a call with arrays of 8 float32 whose work is next to nothing. The rounds of all
frameworks are interleaved, so that a busy machine slows them alike; the best round counts, in
nanoseconds of wall clock a call. JAX calls are also timed until the result is ready. What is not
installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import timeit
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

Call = Callable[[], Any]
SIZE = 8
LAYERS = 33


def train_step(jnp: Any) -> Callable[[Any, Any], Any]:
    """A step over a list of dicts of weights with their moments: 100 leaves in, 99 out."""

    def step(state: Any, rate: Any) -> Any:
        return [
            {"w": s["w"] - rate * s["m"], "m": s["m"] * 0.9 + s["w"], "v": s["v"] * s["v"]}
            for s in state
        ]

    return step


def rows_of(framework: Any, finish: Callable[[Any], Any]) -> dict[str, Call]:
    """The calls of jitml or JAX; `finish` waits for a result."""
    jnp = importlib.import_module(f"{framework.__name__}.numpy")
    numpy_x = np.arange(SIZE, dtype=np.float32)
    x, y = jnp.asarray(numpy_x), jnp.ones(SIZE, np.float32)
    jit = framework.jit
    plus_one, add = jit(lambda x: x + 1), jit(lambda x, y: x + y)
    twenty = jit(lambda *xs: [x + 1 for x in xs])
    many = [x + k for k in range(20)]
    step = jit(train_step(jnp))
    state = [{"w": x, "m": y, "v": x} for _ in range(LAYERS)]
    scaled = jit(lambda x, times: x * times, static_argnums=1)
    below = x < y
    gradient = framework.grad(lambda x: jnp.sum(jnp.sin(x) ** 2))
    return {
        "jit x + 1": lambda: finish(plus_one(x)),
        "jit x + y": lambda: finish(add(x, y)),
        "jit, 20 arguments, 20 results": lambda: finish(twenty(*many)),
        "jit, 100 leaves in, 99 out": lambda: finish(step(state, y)),
        "jit x + 1, NumPy argument": lambda: finish(plus_one(numpy_x)),
        "jit x + y, Python number": lambda: finish(add(x, 2.0)),
        "jit x * n, n static": lambda: finish(scaled(x, 3)),
        "a + b": lambda: finish(x + y),
        "a + 1": lambda: finish(x + 1),
        "a < b": lambda: finish(x < y),
        "-a": lambda: finish(-x),
        "sin(a)": lambda: finish(jnp.sin(x)),
        "maximum(a, b)": lambda: finish(jnp.maximum(x, y)),
        "where(a < b, a, 0)": lambda: finish(jnp.where(below, x, 0.0)),
        "a[3]": lambda: finish(x[3]),
        "a[2:6]": lambda: finish(x[2:6]),
        "a.sum()": lambda: finish(x.sum()),
        "a.at[3].set(1)": lambda: finish(x.at[3].set(1.0)),
        "grad of sum(sin(x)**2)": lambda: finish(gradient(x)),
    }


def numpy_rows() -> dict[str, Call]:
    """What of it NumPy does."""
    x, y = np.arange(SIZE, dtype=np.float32), np.ones(SIZE, np.float32)
    below = x < y
    return {
        "jit x + 1": lambda: x + np.float32(1),
        "a + b": lambda: x + y,
        "a + 1": lambda: x + 1,
        "a < b": lambda: x < y,
        "-a": lambda: -x,
        "sin(a)": lambda: np.sin(x),
        "maximum(a, b)": lambda: np.maximum(x, y),
        "where(a < b, a, 0)": lambda: np.where(below, x, 0.0),
        "a[3]": lambda: x[3],
        "a[2:6]": lambda: x[2:6],
        "a.sum()": lambda: x.sum(),
    }


def torch_rows() -> dict[str, Call]:
    """What PyTorch does without compiling."""
    torch = importlib.import_module("torch")
    x, y = torch.arange(SIZE, dtype=torch.float32), torch.ones(SIZE)
    many = [x + k for k in range(20)]
    numpy_x = np.arange(SIZE, dtype=np.float32)
    step = train_step(torch)
    state = [{"w": x, "m": y, "v": x} for _ in range(LAYERS)]

    below = x < y

    def gradient() -> Any:
        z = x.clone().requires_grad_()
        (torch.sin(z) ** 2).sum().backward()
        return z.grad

    return {
        "jit x + 1": lambda: x + 1,
        "jit x + y": lambda: x + y,
        "jit, 20 arguments, 20 results": lambda: [x + 1 for x in many],
        "jit, 100 leaves in, 99 out": lambda: step(state, y),
        "jit x + 1, NumPy argument": lambda: torch.from_numpy(numpy_x) + 1,
        "jit x + y, Python number": lambda: x + 2.0,
        "a + b": lambda: x + y,
        "a + 1": lambda: x + 1,
        "a < b": lambda: x < y,
        "-a": lambda: -x,
        "sin(a)": lambda: torch.sin(x),
        "maximum(a, b)": lambda: torch.maximum(x, y),
        "where(a < b, a, 0)": lambda: torch.where(below, x, 0.0),
        "a[3]": lambda: x[3],
        "a[2:6]": lambda: x[2:6],
        "a.sum()": lambda: x.sum(),
        "grad of sum(sin(x)**2)": gradient,
    }


def columns() -> dict[str, dict[str, Call]]:
    """The rows of each framework that is here."""
    import jitml

    found = {"jitml": rows_of(jitml, lambda x: x), "numpy": numpy_rows()}
    with suppress(ImportError):
        jax = importlib.import_module("jax")
        found["jax"] = rows_of(jax, lambda x: x)
        found["jax, ready"] = rows_of(jax, jax.block_until_ready)
    with suppress(ImportError):
        found["torch"] = torch_rows()
    return found


def best_times(found: dict[str, dict[str, Call]], rounds: int) -> dict[tuple[str, str], float]:
    """Nanoseconds a call, by row and framework, the rounds interleaved."""
    timers: dict[tuple[str, str], tuple[timeit.Timer, int]] = {}
    for name, rows in found.items():
        for row, call in rows.items():
            for _ in range(3):
                call()
            timer = timeit.Timer(call)
            count = max(1, int(2e-3 / max(timer.timeit(3) / 3, 1e-8)))
            timers[row, name] = (timer, count)
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for key, (timer, count) in timers.items():
            best[key] = min(best[key], timer.timeit(count) / count * 1e9)
    empty = min(timeit.repeat(lambda: None, number=10000, repeat=5)) / 10000 * 1e9
    return {key: max(0.0, time - empty) for key, time in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    found = columns()
    best = best_times(found, parser.parse_args().rounds)
    names = list(found)
    print(f"{'ns a call':32}" + "".join(f"{name:>12}" for name in names) + "   jax / jitml")
    for row in found["jitml"]:
        times = [best.get((row, name)) for name in names]
        cells = "".join("           –" if t is None else f"{t:12,.0f}" for t in times)
        jax = best.get((row, "jax"))
        ratio = f"{jax / best[row, 'jitml']:14.0f}" if jax else ""
        print(f"{row:32}{cells}{ratio}")


if __name__ == "__main__":
    main()
