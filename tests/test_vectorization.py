"""vmap: axes, trees, sizes, closures, nesting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitml.differentiation import grad, jvp, vjp
from jitml.ops.contraction import dot_general
from jitml.ops.elementwise import add, exp, mul, sin, sub
from jitml.ops.movement import broadcast_in_dim, transpose
from jitml.ops.reduction import reduce_sum
from jitml.trace.core import Tracer, type_of
from jitml.transforms.values import as_value
from jitml.tree_util import Partial
from jitml.vectorization import vmap

pytestmark = pytest.mark.usefixtures("by_value")
M = np.arange(12.0).reshape(3, 4)


def total(x: Any) -> Any:
    return reduce_sum(x, tuple(range(type_of(x).ndim)))


def test_axes_in_and_out() -> None:
    np.testing.assert_array_equal(vmap(total)(M), M.sum(1))
    np.testing.assert_array_equal(vmap(total, in_axes=1)(M), M.sum(0))
    np.testing.assert_array_equal(vmap(total, in_axes=-1)(M), M.sum(0))
    np.testing.assert_array_equal(vmap(exp, in_axes=1, out_axes=1)(M), np.exp(M))
    np.testing.assert_array_equal(vmap(exp, out_axes=-1)(M), np.exp(M).T)
    cube = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        vmap(lambda x: transpose(x, (1, 0)), in_axes=1, out_axes=2)(cube),
        np.stack([cube[:, i].T for i in range(3)], axis=2),
    )


def test_shared_arguments_pass_as_they_are() -> None:
    def f(x: Any, n: Any, mode: Any) -> Any:
        assert isinstance(x, Tracer)
        assert (n, mode) == (3, "sum")
        return mul(x, float(n))

    found = vmap(f, in_axes=(0, None, None))(M, 3, "sum")
    np.testing.assert_array_equal(found, M * 3)


def test_trees_of_axes() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"y": add(mul(p["w"], x), p["b"]), "w": p["w"]}

    p = {"w": M[0], "b": as_value(M[:, 0])}
    found = vmap(f, in_axes=({"w": None, "b": 0}, None), out_axes={"y": -1, "w": None})(
        {"w": as_value(np.float64(2.0)), "b": M[:, 0]}, as_value(np.float64(5.0))
    )
    np.testing.assert_array_equal(found["y"], 10 + M[:, 0])
    assert float(found["w"]) == 2.0
    assert vmap(lambda p: p, in_axes=({"w": 0, "b": None},), out_axes=0)(p)["b"].shape == (4, 3)


def test_keyword_arguments_are_mapped_along_the_first_axis() -> None:
    found = vmap(lambda x, *, y: mul(x, y), in_axes=1)(M, y=np.arange(4.0)[:, None] + M.T)
    np.testing.assert_array_equal(found, M.T * (np.arange(4.0)[:, None] + M.T))


def test_results_that_do_not_depend_on_the_element() -> None:
    constant = vmap(lambda x: 7.0)(M)
    np.testing.assert_array_equal(constant, np.full(3, 7.0))
    shared = as_value(np.arange(2.0))
    np.testing.assert_array_equal(vmap(lambda x: shared, out_axes=1)(M), np.stack([[0, 1]] * 3, 1))
    np.testing.assert_array_equal(vmap(lambda x: shared, out_axes=None)(M), [0, 1])
    np.testing.assert_array_equal(vmap(lambda: shared, axis_size=2)(), [[0, 1], [0, 1]])


def test_nested_maps_make_an_outer_product() -> None:
    x, y = np.arange(3.0), np.arange(4.0)
    table = vmap(vmap(mul, in_axes=(None, 0)), in_axes=(0, None))(x, y)
    np.testing.assert_array_equal(table, np.outer(x, y))
    closed = vmap(lambda a: vmap(lambda b: sub(a, b))(y))(x)
    np.testing.assert_array_equal(closed, x[:, None] - y)


def test_batched_contractions() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    dot = (((1,), (0,)), ((), ()))
    found = vmap(lambda x, y: dot_general(x, y, dot), in_axes=(0, 2))(a, b.transpose(2, 1, 0))
    np.testing.assert_allclose(found, a @ b.transpose(0, 2, 1), rtol=1e-12)


def test_per_example_gradients() -> None:
    w = as_value(np.array([1.0, -2.0, 0.5, 3.0]))

    def loss(w: Any, x: Any) -> Any:
        return total(sin(mul(w, x)))

    found = vmap(grad(loss), in_axes=(None, 0))(w, M)
    np.testing.assert_allclose(found, M * np.cos(np.asarray(w) * M))
    summed = grad(lambda w: total(vmap(loss, in_axes=(None, 0))(w, M)))(w)
    np.testing.assert_allclose(summed, np.asarray(found).sum(0))


def test_derivatives_of_maps_and_maps_of_derivatives() -> None:
    out, tangent = jvp(vmap(sin), (M,), (np.ones((3, 4)),))
    np.testing.assert_allclose(tangent, np.cos(M))
    (ct,) = vjp(vmap(sin), M)[1](np.ones((3, 4)))
    np.testing.assert_allclose(ct, np.cos(M))
    per_row = vmap(lambda x: vjp(sin, x)[1](x)[0])(M)
    np.testing.assert_allclose(per_row, M * np.cos(M))
    np.testing.assert_allclose(out, np.sin(M))


def test_a_pullback_can_leave_a_map() -> None:
    pulls = vmap(lambda x: vjp(sin, x)[1])(M)
    assert isinstance(pulls, Partial)
    found = vmap(lambda pull, ct: pull(ct)[0])(pulls, np.ones((3, 4)))
    np.testing.assert_allclose(found, np.cos(M))


def test_integers_bools_and_empty_stacks() -> None:
    assert vmap(lambda x: add(x, x))(np.arange(3)).dtype == np.int64
    assert vmap(exp)(np.zeros((0, 4))).shape == (0, 4)
    assert vmap(total)(np.zeros((3, 0))).shape == (3,)
    spread = vmap(lambda x: broadcast_in_dim(x, (2, 4), (1,)), out_axes=2)(M)
    np.testing.assert_array_equal(spread, np.broadcast_to(M.T, (2, 4, 3)))


def test_the_function_keeps_its_name() -> None:
    def named(x: Any) -> Any:
        """Says so."""
        return x

    assert vmap(named).__name__ == "named"
    assert vmap(named).__doc__ == "Says so."
