"""Plain Python under `jit`, unchanged: equal to Python, also under `grad` and `vmap`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from tests.rewriting.programs import PROGRAMS, Program

_NAMES = [p.function.__name__ for p in PROGRAMS]
_SMOOTH = [p for p in PROGRAMS if p.smooth]


def _arrays(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments)


def _check(found: Any, wanted: Any, tolerance: float = 2e-5) -> None:
    found_leaves, structure = jitml.tree_util.tree_flatten(found)
    wanted_leaves, wanted_structure = jitml.tree_util.tree_flatten(wanted)
    assert structure == wanted_structure
    for x, y in zip(found_leaves, wanted_leaves, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("program", PROGRAMS, ids=_NAMES)
def test_jit_equals_python(program: Program) -> None:
    jitted = jitml.jit(program.function)
    for arguments in program.arguments:
        _check(jitted(*arguments), program.function(*_arrays(arguments)))


@pytest.mark.parametrize("program", PROGRAMS, ids=_NAMES)
def test_vmap_equals_python(program: Program) -> None:
    first = [np.shape(x) for x in _leaves(program.arguments[0])]
    rows = [a for a in program.arguments if [np.shape(x) for x in _leaves(a)] == first]
    stacked = jitml.tree_util.tree_map(lambda *xs: np.stack(xs), *rows)
    for order in (
        jitml.jit(jitml.vmap(program.function)),
        jitml.vmap(jitml.jit(program.function)),
    ):
        found = order(*stacked)
        for k, row in enumerate(rows):
            wanted = program.function(*_arrays(row))
            _check(jitml.tree_util.tree_map(lambda x, k=k: x[k], found), wanted)


_leaves = jitml.tree_util.tree_leaves


@pytest.mark.parametrize("program", _SMOOTH, ids=[p.function.__name__ for p in _SMOOTH])
@pytest.mark.parametrize("order", ["grad(jit)", "jit(grad)"])
def test_gradients_equal_those_of_python(program: Program, order: str) -> None:
    """Outside of jit the values are known, so that Python itself takes the branches."""
    numbers = tuple(range(program.smooth))
    plain = jitml.grad(program.function, numbers)
    if order == "grad(jit)":
        found = jitml.grad(jitml.jit(program.function), numbers)
    else:
        found = jitml.jit(plain)
    for arguments in program.arguments:
        _check(found(*_arrays(arguments)), plain(*_arrays(arguments)), 1e-4)
