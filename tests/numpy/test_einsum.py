"""`einsum` in every order of contraction gives what NumPy gives."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import jitml.numpy as jnp
from jitml.errors import ArgumentError

R = np.random.default_rng(0)
A, B, C, D = (R.normal(size=s) for s in ((3, 4), (4, 5), (5, 6), (6, 3)))
T = R.normal(size=(3, 3, 4))
FORMULAS: list[tuple[str, tuple[Any, ...]]] = [
    ("ij,jk,kl->il", (A, B, C)),
    ("ij,jk,kl,li->", (A, B, C, D)),
    ("iij,jk,kl,lm->im", (T, B, C, D)),
    ("i,j,k,l->ijkl", (A[0], B[0], C[0], D[0])),
]


@pytest.mark.parametrize(("formula", "arrays"), FORMULAS)
@pytest.mark.parametrize("is_installed", [True, False])
def test_orders(formula: str, arrays: Any, is_installed: bool, monkeypatch: Any) -> None:
    if not is_installed:
        monkeypatch.setitem(sys.modules, "opt_einsum", None)
    expected = np.einsum(formula, *arrays)
    path, text = jnp.einsum_path(formula, *arrays)
    assert path[0] == "einsum_path" and text.startswith(formula)
    for order in ("auto", False, path):
        found = jnp.einsum(formula, *arrays, optimize=order)
        np.testing.assert_allclose(found, expected, 1e-10)


def test_a_path_of_pairs_is_short() -> None:
    path, _ = jnp.einsum_path(A, [0, 1], B, [1, 2], C, [2, 3], [0, 3])
    assert path == ["einsum_path", (1, 2), (0, 1)]


def test_mistakes_are_told() -> None:
    with pytest.raises(ArgumentError, match="einsum: float is not a formula"):
        jnp.einsum(3.0)
    with pytest.raises(ArgumentError, match=r"\(0, 5\) of the path does not fit 2 operands"):
        jnp.einsum("ij,jk", A, B, optimize=[(0, 5)])
