"""What calls cost beside their work: jitted functions of few elements, and operations at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.workload import workload

SMALL = (8,)


@workload("calls", "jit x+1, 8", SMALL)
def add_one(lib: Any, x: Any) -> Any:
    return x + 1


@workload("calls", "jit 20 in, 20 out", *[SMALL] * 20)
def many(lib: Any, *xs: Any) -> Any:
    return [x + 1 for x in xs]


def leaves(random: np.random.Generator) -> tuple[Any, ...]:
    layers = {
        f"l{k}": {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)} for k in range(50)
    }
    return (layers,)


@workload("calls", "jit of 100 leaves", arrays=leaves)
def tree(lib: Any, params: Any) -> Any:
    return lib.tree.map(lambda p: p * 0.9, params)


@workload("calls", "jit sum(sin²), 8", SMALL)
def reduced(lib: Any, x: Any) -> Any:
    return lib.np.sum(lib.np.sin(x) ** 2)


def eager(name: str, *shapes: Any, **others: Any) -> Any:
    return workload("eager", name, *shapes, jitted=False, **others)


@eager("a + b, 8", SMALL, SMALL, numpy=np.add, torch=lambda a, b: a + b)
def plus(lib: Any, a: Any, b: Any) -> Any:
    return a + b


@eager("sin(a), 8", SMALL, numpy=np.sin, torch=lambda a: a.sin())
def sine(lib: Any, a: Any) -> Any:
    return lib.np.sin(a)


@eager("a[3], 8", SMALL, numpy=lambda a: a[3], torch=lambda a: a[3])
def item(lib: Any, a: Any) -> Any:
    return a[3]


@eager("a[2:6], 8", SMALL, numpy=lambda a: a[2:6], torch=lambda a: a[2:6])
def part(lib: Any, a: Any) -> Any:
    return a[2:6]


@eager("a.sum(), 8", SMALL, numpy=np.sum, torch=lambda a: a.sum())
def total(lib: Any, a: Any) -> Any:
    return a.sum()


@eager("a @ b, 16²", (16, 16), (16, 16), numpy=np.matmul, torch=lambda a, b: a @ b)
def product(lib: Any, a: Any, b: Any) -> Any:
    return a @ b


@eager("a.at[2].set(1), 8", SMALL)
def update(lib: Any, a: Any) -> Any:
    return a.at[2].set(1)


@eager(
    "a.reshape(4, 2).T, 8",
    SMALL,
    numpy=lambda a: a.reshape(4, 2).T,
    torch=lambda a: a.reshape(4, 2).T,
)
def layout(lib: Any, a: Any) -> Any:
    return a.reshape(4, 2).T


@eager("where(a > 0, a, 0), 8", SMALL, numpy=lambda a: np.where(a > 0, a, 0))
def choice(lib: Any, a: Any) -> Any:
    return lib.np.where(a > 0, a, 0)


@eager("grad sum(sin²), 8", SMALL)
def gradient(lib: Any, a: Any) -> Any:
    return lib.root.grad(lambda x: lib.np.sum(lib.np.sin(x) ** 2))(a)
