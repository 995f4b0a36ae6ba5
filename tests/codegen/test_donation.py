"""Donated inputs: which results take their memory, and that nothing is read after it was
overwritten.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml import jit, lax
from jitml.codegen import donation
from jitml.ir.dtypes import BOOL, COMPLEX64, FLOAT32, INT32
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.pipeline.compile import Compiled
from tests.fuzz.check import same_bits, small_chunks
from tests.fuzz.generate import random_arrays, random_graph

SIZE, SEEDS = 2048, range(12, 24)


def aliases(function: Callable[..., Any], *args: Any) -> tuple[tuple[int, int], ...]:
    donating = jit(function, donate_argnums=range(len(args)))
    return donating.lower(*args).compile()._program.plan.aliases


def momentum(p: Any, m: Any) -> Any:
    m = 0.9 * m + jnp.sin(p)
    return p - 0.1 * m, m


def loop(x: Any) -> Any:
    return lax.fori_loop(0, 99, lambda i, x: x.at[i].add(i), x)


def reverse(x: Any) -> Any:
    """Reads one element of `x` at each step of a loop that writes another one of its result."""
    return lax.fori_loop(0, SIZE, lambda i, y: y.at[i].set(x[-1 - i]), jnp.zeros_like(x))


X = jnp.arange(SIZE, dtype=jnp.float32)
LONG = jnp.arange(4 * SIZE, dtype=jnp.float32)
SQUARE = jnp.ones((64, 64))

TAKEN = {
    "elementwise": (lambda x: x * 2 + 1, (X,), ((0, 0),)),
    "two results": (momentum, (X, X), ((0, 0), (1, 1))),
    "update": (lambda x: x.at[3].set(5), (X,), ((0, 0),)),
    "update in a loop": (loop, (X,), ((0, 0),)),
    "an earlier read": (lambda x: jnp.sort(x[::-1]) + 1, (X,), ((0, 0),)),
    "not used": (lambda x, y: y[::-1] * 2, (X, X), ((0, 0),)),
    "swapped": (lambda x, y: (y + 1, x * 2), (LONG, LONG), ((0, 1), (1, 0))),
    "one kernel": (lambda x, y: (y + 1, x * 2), (X, X), ((0, 0), (1, 1))),
}

REFUSED = {
    "read elsewhere": (lambda x: x + x[::-1], (X,)),
    "read in a row": (lambda x: x - x.mean(), (X,)),
    "returned": (lambda x: (x, x + 1), (X,)),
    "other type": (lambda x: (x > 1, x.reshape(2, -1)[0]), (X,)),
    "a broadcast": (lambda x: x + x[0, :], (SQUARE,)),
    "small": (lambda x: x + 1, (X[:8],)),
    "read in all steps of a loop": (reverse, (X,)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_results_take_the_memory_of_donated_inputs(case: str) -> None:
    function, args, expected = TAKEN[case]
    assert aliases(function, *args) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_read_later_is_not_overwritten(case: str) -> None:
    function, args = REFUSED[case]
    found = aliases(function, *args)
    given = [a + 0 for a in args]
    result = jit(function, donate_argnums=range(len(args)))(*given)
    for x, y in zip(
        jitml.tree.leaves(result), jitml.tree.leaves(jit(function)(*args)), strict=True
    ):
        assert np.array_equal(x, y)
    if case != "read in a row":  # the mean may be a step of its own
        assert not found


def address(x: Any) -> int:
    return int(np.asarray(x).__array_interface__["data"][0])


def test_an_update_of_a_donated_array_is_in_place() -> None:
    f = jit(lambda x, i: x.at[i].set(7), donate_argnums=0)
    x = X + 0
    place = address(x)
    for i in range(3):
        x = f(x, i)
    assert address(x) == place
    assert list(x[:4]) == [7, 7, 7, 3]


def test_what_others_hold_is_not_overwritten() -> None:
    f = jit(lambda x: x * 2, donate_argnums=0)
    x = X + 0
    view = np.asarray(x)
    assert np.array_equal(f(x), X * 2)
    assert np.array_equal(view, X), "NumPy still holds the memory"
    y = X + 0
    assert np.array_equal(jit(lambda a, b: a * 2 + b[0], donate_argnums=0)(y, y), X * 2)


def test_a_function_with_donation_found_on_disk_takes_memory_too(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITML_CACHE_DIR", str(tmp_path))
    for donated in ((), (0,)):
        for _ in range(2):
            jitml.clear_caches()
            f = jit(lambda x: jnp.cos(x) + 3, donate_argnums=donated)
            plan = f.lower(X).compile()._program.plan
            assert plan.aliases == tuple((0, n) for n in donated)


def random_program(seed: int) -> tuple[Graph, list[Any]]:
    draw = random.Random(seed).randrange
    dtypes, shapes = (FLOAT32, INT32, COMPLEX64, BOOL), ((300,), (16, 20), (3, 8, 16))
    common = ArrayType(dtypes[draw(4)], shapes[draw(3)])
    types = [common] * (1 + draw(3)) + [ArrayType(dtypes[draw(4)], shapes[draw(3)])]
    graph = random_graph(draw, types, 8)
    return graph, random_arrays(types, seed)


def outcome(compiled: Compiled, arrays: list[Any]) -> list[Any]:
    inputs = [copy.copy(jitml_runtime.from_numpy(np.array(x, order="C"))) for x in arrays]
    return [np.asarray(x) for x in compiled.run(inputs)]


def differing(seeds: range, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many results take memory, and how many programs are wrong then."""
    monkeypatch.setattr(donation, "LEAST_BYTES", 1)
    taken = wrong = 0
    with small_chunks():
        for seed in seeds:
            graph, arrays = random_program(seed)
            compiled = Compiled(graph, donated=tuple(range(len(graph.inputs))))
            taken += len(compiled.plan.aliases)
            if compiled.plan.aliases:
                both = outcome(Compiled(graph), arrays), outcome(compiled, arrays)
                wrong += not all(map(same_bits, *both))
    return taken, wrong


def test_random_programs_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, wrong = differing(SEEDS, monkeypatch)
    assert taken >= 6
    assert not wrong


def test_an_alias_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would find nothing whatever was chosen."""
    monkeypatch.setattr(donation, "_lives", lambda *_: Anywhere())
    assert differing(SEEDS, monkeypatch)[1]


class Anywhere(dict[Any, Any]):
    """Lives in which everything is read before anything is written."""

    def get(self, key: Any, default: Any = None) -> Any:
        return (0, 0) if key[0] == "input" else (1, 1)
