"""Loops written out as one writes them for Numba: the peer of programs that are loops.

In: NumPy arrays. Out: what the workloads of the same names give. Numba is imported, and compiles,
at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[..., Any]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorator: the function as `numba.njit` compiles it with these options."""

    def wrap(function: Function) -> Function:
        made: list[Function] = []

        def called(*arrays: Any) -> Any:
            if not made:
                import numba

                made.append(numba.njit(**options)(function))
            return made[0](*arrays)

        return called

    return wrap


@compiled()
def smoothing(x: Any) -> Any:
    state, ys = np.float32(0), np.empty_like(x)
    for i in range(len(x)):
        ys[i] = state
        state = state * np.float32(0.9) + x[i]
    return ys


@compiled()
def jacobi(grid: Any) -> Any:
    u, other = grid.copy(), grid.copy()
    for _ in range(100):
        for i in range(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
                other[i, j] = np.float32(0.25) * around
        u, other = other, u
    return u


@compiled()
def mandelbrot(x: Any, y: Any) -> Any:
    counts = np.zeros(x.shape, np.int32)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a = b = np.float32(0)
            for step in range(50):
                if a * a + b * b >= np.float32(4):
                    break
                a, b = a * a - b * b + x[i, j], np.float32(2) * a * b + y[i, j]
                counts[i, j] = step + 1
    return counts


@compiled(fastmath=True)
def bodies(places: Any) -> Any:
    p, v = places.copy(), np.zeros_like(places)
    for _ in range(10):
        for i in range(p.shape[1]):
            a = b = c = np.float32(0)
            for j in range(p.shape[1]):
                x, y, z = p[0, j] - p[0, i], p[1, j] - p[1, i], p[2, j] - p[2, i]
                squared = x * x + y * y + z * z + np.float32(1e-3)
                weight = np.float32(1) / (squared * np.sqrt(squared))
                a, b, c = a + x * weight, b + y * weight, c + z * weight
            v[0, i] += np.float32(0.01) * a
            v[1, i] += np.float32(0.01) * b
            v[2, i] += np.float32(0.01) * c
        p += np.float32(0.01) * v
    return p


@compiled()
def edit_distance(a: Any, b: Any) -> Any:
    row = np.arange(len(b) + 1).astype(np.int32)
    for i in range(len(a)):
        diagonal, left = row[0], row[0] + 1
        row[0] = left
        for j in range(len(b)):
            up = row[j + 1]
            left = min(min(left, up) + 1, diagonal + (a[i] != b[j]))
            diagonal, row[j + 1] = up, left
    return row[-1]


@compiled()
def updates(table: Any) -> Any:
    c = table.copy()
    for i in range(1, len(c)):
        c[i] = c[i - 1] * np.float32(0.5) + table[i]
    return c


@compiled()
def newton(x: Any) -> Any:
    roots = np.empty_like(x)
    for i in range(len(x)):
        a = s = x[i]
        while abs(s * s - a) > np.float32(1e-3) * a:
            s = np.float32(0.5) * (s + a / s)
        roots[i] = s
    return roots


@compiled()
def scatter_add(x: Any, places: Any) -> Any:
    sums = np.zeros(10_000, np.float32)
    for n in range(len(x)):
        sums[places[n]] += x[n]
    return sums


@compiled()
def scatter_rows(x: Any, rows: Any, places: Any) -> Any:
    x = x.copy()
    for n in range(len(rows)):
        for j in range(x.shape[1]):
            x[places[n], j] += rows[n, j]
    return x


@compiled()
def sparse_product(rows: Any, columns: Any, values: Any, x: Any) -> Any:
    sums = np.zeros(10_000, np.float32)
    for n in range(len(rows)):
        sums[rows[n]] += values[n] * x[columns[n]]
    return sums


@compiled()
def knapsack(weights: Any, values: Any) -> Any:
    best = np.zeros(10_000, np.float32)
    for n in range(len(weights)):
        for place in range(len(best) - 1, weights[n] - 1, -1):
            best[place] = max(best[place], best[place - weights[n]] + values[n])
    return best
