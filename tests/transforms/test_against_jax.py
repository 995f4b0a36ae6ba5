"""Composed derivatives and vmaps of small programs, against JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .programs import Jax, Of, Ops, Ours, pairs

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.usefixtures("by_value")


QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("program", "transform", "x"), [pytest.param(*pair, id=name) for name, *pair in pairs(2)]
)
def test_derivatives_equal_those_of_jax(
    program: Callable[[Any, Any], Any], transform: Of, x: Any
) -> None:
    found = transform(Ours, lambda v: program(Ops(), v))(x)
    with jax.enable_x64(True):
        compiled = jax.jit(transform(jax, lambda v: program(Jax(), v)), compiler_options=QUICK)
        wanted = compiled(x)
        leaves = [np.asarray(w) for w in jax.tree.leaves(wanted)]
    got = [np.asarray(g) for g in jax.tree.leaves(found, is_leaf=lambda v: hasattr(v, "dtype"))]
    assert len(got) == len(leaves)
    for g, w in zip(got, leaves, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-12)


def test_programs_are_enough() -> None:
    assert len(list(pairs(2))) >= 30
