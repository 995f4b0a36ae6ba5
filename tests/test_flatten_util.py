"""`ravel_pytree`: trees as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import DTypeError, ShapeError
from jitml.flatten_util import ravel_pytree

TREE: dict[str, Any] = {
    "n": jnp.arange(3),
    "w": [2.5, jnp.ones((2, 2))],
    "flag": True,
    "none": None,
}


def test_there_and_back() -> None:
    vector, unravel = ravel_pytree(TREE)
    np.testing.assert_array_equal(vector, np.array([1, 0, 1, 2, 2.5, 1, 1, 1, 1], "f"))
    assert vector.dtype == "float32"
    back = unravel(vector)
    assert jitml.tree.structure(back) == jitml.tree.structure(TREE)
    for x, y in zip(jitml.tree.leaves(back), jitml.tree.leaves(TREE), strict=True):
        assert x.dtype == jnp.asarray(y).dtype
        np.testing.assert_array_equal(x, y)


def test_as_in_jax() -> None:
    jax = pytest.importorskip("jax")
    from jax.flatten_util import ravel_pytree as ravel_in_jax

    tree = jitml.tree.map(lambda x: np.asarray(jnp.asarray(x)), TREE)
    expected, _ = ravel_in_jax(tree)
    found, unravel = ravel_pytree(tree)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert hash(unravel) == hash(ravel_pytree(tree)[1])
    assert jax.tree.leaves(ravel_in_jax([])[0])[0].shape == ravel_pytree([])[0].shape == (0,)


def test_under_transforms() -> None:
    vector, unravel = ravel_pytree(TREE)

    def f(v: Any) -> Any:
        return jnp.sum(unravel(v)["w"][1] ** 2) + unravel(v)["w"][0]

    for g in (jitml.grad(f), jitml.jit(jitml.grad(f))):
        np.testing.assert_array_equal(g(vector), [0, 0, 0, 0, 1, 2, 2, 2, 2])
    stacked = jitml.vmap(lambda t: ravel_pytree(t)[0])({"a": jnp.ones((3, 2)), "b": jnp.zeros(3)})
    assert stacked.shape == (3, 3)


def test_vectors_are_checked() -> None:
    _, unravel = ravel_pytree(TREE)
    with pytest.raises(ShapeError, match=r"takes an array of shape \(9,\), not f32\[3\]"):
        unravel(jnp.ones(3))
    with pytest.raises(DTypeError, match="takes an array of dtype float32, not i32"):
        unravel(jnp.zeros(9, "int32"))
