"""Loops: a long scan over scalars, a stencil, bodies that attract each other, updates in place;
jitml, JAX and Numba side by side in the same run.

    python benchmarks/loops.py [--rounds 5]

The rounds of all are interleaved, so that a busy machine slows them alike; the best round counts,
in milliseconds. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

Call = Callable[[], Any]
STEPS, SIDE, SWEEPS, BODIES, MOVES, CELLS = 100_000, 512, 100, 1024, 10, 10_000
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.random(STEPS, np.float32)
GRID = RANDOM.random((SIDE, SIDE), np.float32)
PLACES = RANDOM.random((3, BODIES), np.float32)
TABLE = RANDOM.random(CELLS, np.float32)


def programs(framework: Any) -> dict[str, tuple[Callable[[Any], Any], Any]]:
    """The loops, for jitml or JAX, and what they start from."""
    jnp = importlib.import_module(f"{framework.__name__}.numpy")
    lax = importlib.import_module(f"{framework.__name__}.lax")

    def smoothed(x: Any) -> Any:
        return lax.scan(lambda c, y: (c * 0.9 + y, c), jnp.float32(0), x)[1]

    def relaxed(grid: Any) -> Any:
        def sweep(_: Any, u: Any) -> Any:
            around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            return u.at[1:-1, 1:-1].set(0.25 * around)

        return lax.fori_loop(0, SWEEPS, sweep, grid)

    def moved(places: Any) -> Any:
        def move(_: Any, state: Any) -> Any:
            p, v = state
            apart = p[:, None, :] - p[:, :, None]
            squared = (apart * apart).sum(0) + 1e-3
            v = v + 0.01 * (apart / (squared * jnp.sqrt(squared))).sum(2)
            return p + 0.01 * v, v

        return lax.fori_loop(0, MOVES, move, (places, places * 0))[0]

    def updated(table: Any) -> Any:
        def update(i: Any, c: Any) -> Any:
            return c.at[i].set(c[i - 1] * 0.5 + table[i])

        return lax.fori_loop(1, CELLS, update, table)

    return {
        f"scan, {STEPS:,} steps over a scalar": (smoothed, SIGNAL),
        f"Jacobi, {SIDE}² x {SWEEPS}": (relaxed, GRID),
        f"n-body, {BODIES:,} bodies x {MOVES}": (moved, PLACES),
        f"x.at[i].set, {CELLS:,} steps": (updated, TABLE),
    }


def compiled(framework: Any, finish: Callable[[Any], Any]) -> dict[str, Call]:
    """Calls of the compiled loops; `finish` waits for a result."""

    def call(function: Callable[[Any], Any], start: Any) -> Call:
        jitted = framework.jit(function)
        x = importlib.import_module(f"{framework.__name__}.numpy").asarray(start)
        return lambda: finish(jitted(x))

    return {name: call(*program) for name, program in programs(framework).items()}


def numba_calls() -> dict[str, Call]:
    """The same loops, written out for Numba."""
    import numba

    @numba.njit
    def smoothed(x: Any) -> Any:
        c, ys = np.float32(0), np.empty_like(x)
        for i in range(len(x)):
            ys[i] = c
            c = c * np.float32(0.9) + x[i]
        return ys

    @numba.njit
    def relaxed(grid: Any) -> Any:
        u, other = grid.copy(), grid.copy()
        for _ in range(SWEEPS):
            for i in range(1, SIDE - 1):
                for j in range(1, SIDE - 1):
                    around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
                    other[i, j] = np.float32(0.25) * around
            u, other = other, u
        return u

    @numba.njit(fastmath=True)
    def moved(places: Any) -> Any:
        p, v = places.copy(), np.zeros_like(places)
        for _ in range(MOVES):
            for i in range(BODIES):
                a = b = c = np.float32(0)
                for j in range(BODIES):
                    x, y, z = p[0, j] - p[0, i], p[1, j] - p[1, i], p[2, j] - p[2, i]
                    squared = x * x + y * y + z * z + np.float32(1e-3)
                    weight = np.float32(1) / (squared * np.sqrt(squared))
                    a, b, c = a + x * weight, b + y * weight, c + z * weight
                v[0, i] += np.float32(0.01) * a
                v[1, i] += np.float32(0.01) * b
                v[2, i] += np.float32(0.01) * c
            p += np.float32(0.01) * v
        return p

    @numba.njit
    def updated(table: Any) -> Any:
        c = table.copy()
        for i in range(1, CELLS):
            c[i] = c[i - 1] * np.float32(0.5) + table[i]
        return c

    functions = (smoothed, relaxed, moved, updated)
    starts = (SIGNAL, GRID, PLACES, TABLE)

    def call(function: Any, start: Any) -> Call:
        return lambda: function(start)

    names = programs(importlib.import_module("jitml"))
    return {n: call(f, x) for n, f, x in zip(names, functions, starts, strict=True)}


def best_ms(calls: dict[str, dict[str, Call]], rounds: int) -> dict[str, dict[str, float]]:
    """The best round of every call, by framework and loop."""
    found: dict[str, dict[str, float]] = {name: {} for name in calls}
    for row in calls["jitml"]:
        for framework in calls:
            calls[framework][row]()
        for _ in range(rounds):
            for framework, rows in calls.items():
                start = time.perf_counter()
                rows[row]()
                taken = 1e3 * (time.perf_counter() - start)
                found[framework][row] = min(found[framework].get(row, taken), taken)
    return found


def main() -> None:
    """Print a table: a row for each loop, a column for each framework."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    calls = {"jitml": compiled(importlib.import_module("jitml"), np.asarray)}
    with suppress(ImportError):
        calls["jax"] = compiled(importlib.import_module("jax"), lambda x: x.block_until_ready())
    with suppress(ImportError):
        calls["numba"] = numba_calls()
    found = best_ms(calls, given.rounds)
    print(f"{'ms':<34}" + "".join(f"{name:>10}" for name in found))
    for row in calls["jitml"]:
        print(f"{row:<34}" + "".join(f"{found[name][row]:>10.2f}" for name in found))
    for row in calls["jitml"]:
        outcome = [np.asarray(rows[row]()) for rows in calls.values()]
        for other in outcome[1:]:
            np.testing.assert_allclose(outcome[0], other, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    main()
