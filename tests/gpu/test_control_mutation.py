"""Mistakes in the kernels by which graphs decide, count and copy are seen by comparing bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml.numpy as jnp
from jitml import lax
from jitml.device import control_kernels, recording
from tests.gpu import test_conditionals as programs
from tests.gpu.test_conditionals import loops  # noqa: F401
from tests.gpu.test_mutation import (
    check_score,
    chosen_mutants,
    is_seen,
    run_of,
    take_few_threads,
)

X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
ROWS = np.arange(80, dtype=np.float32).reshape(5, 4, 4) / 40
WIDE = np.arange(3 * 1200, dtype=np.float32).reshape(3, 1200)
WELL = np.array([0, 2, 3, 1, 1], np.int32)
FAILING = np.array([0, 4, 1, -4, 2], np.int32)  # the later check, then the one before it


def nested(x: Any, rows: Any, places: Any) -> Any:
    """Slices of slices, and two checks in a step, of which the later one may fail earlier."""

    def inner(carry: Any, row: Any) -> Any:
        return jnp.sort(carry + row), carry * 2

    def outer(carry: Any, given: Any) -> Any:
        row, k = given
        carry, found = lax.scan(inner, carry + x[k], row)
        last, more = lax.scan(inner, carry, row[1:], reverse=True)
        return last, (found, more, jnp.sort(x[k - 1]))

    return lax.scan(outer, x[0], (rows, places))


def checked_while(x: Any, n: Any) -> Any:
    def body(state: Any) -> Any:
        carry, k = state
        return jnp.sort(carry + x[k]), k + 1

    return lax.while_loop(lambda s: s[1] < n, body, (x[0], 0))


def copies(x: Any, rows: Any) -> Any:
    """Slices that are passed on as they are, by 16, 4 and 1 bytes, in several turns."""
    steps = (rows, rows[:, :301].astype(jnp.int8), rows[:, :203], rows[:, :8])
    return lax.scan(lambda c, row: (jnp.sort(c), (row, x, jnp.sort(c))), x, steps)


class Program(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


PROGRAMS = [
    *(Program(nested, (X, ROWS, k)) for k in (WELL, FAILING, FAILING[::-1].copy())),
    Program(copies, (X, WIDE)),
    *(Program(programs.branches, (X, np.int32(k))) for k in (-1, 0, 1, 2, 3, 9)),
    *(Program(programs.matrix_power, (X, np.int32(n))) for n in (0, 3)),
    Program(programs.branch_in_loop, (X, np.int32(4))),
    Program(programs.loop_in_scan, (X, ROWS[:, 0])),
    *(Program(checked_while, (X, np.int32(n))) for n in (3, 7)),
]


PARTS = ("_COUNT", "_MOVE", "_GO_ON")  # of kernels that count


def plant(patch: pytest.MonkeyPatch, place: str, text: str) -> None:
    """Change a part of the kernels that count, or a kernel."""
    if place in PARTS:
        patch.setattr(control_kernels, place, text)
        control_kernels.count_kernel.cache_clear()
    else:
        patch.setattr(recording, place, lambda *_: text)


@pytest.mark.sampled
@pytest.mark.usefixtures("loops")
def test_mistakes_of_control_kernels_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    take_few_threads(monkeypatch)
    runs = [run_of(p.function, p.arguments) for p in PROGRAMS]
    cases = [(run, run.ptx, run.outputs(run.ptx)) for run in runs]
    places = {name: getattr(control_kernels, name) for name in PARTS}
    places["copy_kernel"] = control_kernels.copy_kernel()
    places["settle_kernel"] = control_kernels.settle_kernel()
    tried, left = 0, []
    for place, text in places.items():
        for mutant in chosen_mutants(text):
            tried += 1
            with monkeypatch.context() as patch:
                plant(patch, place, mutant.text)
                if not any(is_seen(*case) for case in cases):
                    left.append(mutant)
            control_kernels.count_kernel.cache_clear()
    check_score("control", tried, left)
