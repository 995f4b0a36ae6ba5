"""Tokens, barriers, composites, platforms; bits from a state; scatters of functions."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import ArgumentError, DTypeError, ShapeError, UnexpectedTracerError

X = np.array([1.0, 2.0, 3.0], np.float32)


def test_tokens_go_through_programs():
    def f(x, token):
        x, token = lax.optimization_barrier((x * 2, token))
        lax.dce_sink(x)
        return x, lax.after_all(token, lax.create_token())

    found, token = jitml.jit(f)(X, lax.create_token())
    assert found.tolist() == [2, 4, 6]
    assert repr(token) == "Token()"
    with pytest.raises(ArgumentError, match="takes tokens, not a int"):
        lax.after_all(3)
    with pytest.raises(ArgumentError, match="str is not an array"):
        lax.optimization_barrier("x")


def test_stages_and_constraints_are_the_identity():
    graph = jitml.make_graph(lambda: lax.stage(2.0) * 3)()
    assert graph.output_types[0].weak
    assert float(lax.stage(2.0)) == 2
    slope = jitml.grad(lambda x: lax.with_sharding_constraint(x, "data").sum())(X)
    assert slope.tolist() == [1, 1, 1]
    with pytest.raises(ArgumentError, match="a sharding is None"):
        lax.with_sharding_constraint(X, None)


def test_composites_name_their_equations():
    tangent = lax.composite(lambda x, *, factor: factor * jnp.sin(x) / jnp.cos(x), "my.tangent")
    assert "[my.tangent]" in str(jitml.make_graph(lambda x: tangent(x, factor=2.0))(1.0))
    np.testing.assert_allclose(jitml.grad(lambda x: tangent(x, factor=2.0))(0.0), 2)
    with pytest.raises(UnexpectedTracerError, match=r"the argument factor of 'my\.tangent'"):
        jitml.jit(lambda x: tangent(1.0, factor=x))(1.0)


def test_platforms():
    double, negative = (lambda x: 2 * x), (lambda x: -x)
    f = jitml.jit(lambda x: lax.platform_dependent(x, cuda=double, default=negative))
    assert f(X).tolist() == [-1, -2, -3]
    with pytest.raises(ArgumentError, match="there are functions for tpu, none for 'cpu'"):
        lax.platform_dependent(X, tpu=double)
    with pytest.raises(ArgumentError, match="'gpu' is not a platform"):
        lax.platform_dependent(X, gpu=double, cpu=double)
    with pytest.raises(ArgumentError, match="cpu is no function: 3"):
        lax.platform_dependent(X, cpu=3)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64"])
def test_bits_of_a_state(dtype):
    jax = pytest.importorskip("jax")
    state = np.array([7, 2**32 - 1], np.uint64)
    with jax.enable_x64(True):
        algorithm = jax.lax.RandomAlgorithm.RNG_THREE_FRY
        theirs = jax.lax.rng_bit_generator(state, (5,), dtype, algorithm)
        found = lax.rng_bit_generator(state, (5,), dtype, lax.RandomAlgorithm.RNG_THREE_FRY)
        for one, their in zip(found, theirs, strict=True):
            np.testing.assert_array_equal(one, np.asarray(their))


def test_bits_are_of_a_state_and_numbers_of_a_hidden_one():
    with pytest.raises(ShapeError, match=r"the key is u32\[2\]"):
        lax.rng_bit_generator(np.zeros(2, np.uint32), ())
    with pytest.raises(DTypeError, match="bits are unsigned integers, not int32"):
        lax.rng_bit_generator(np.zeros(4, np.uint32), (), "int32")
    with pytest.raises(ArgumentError, match="there is no RNG_PHILOX"):
        lax.rng_bit_generator(np.zeros(4, np.uint32), (), algorithm=lax.RandomAlgorithm.RNG_PHILOX)
    draw = jitml.jit(lambda a: lax.rng_uniform(a, np.float32(3), (50,)))
    first, second = draw(np.float32(2)), draw(np.float32(2))
    assert first.min() >= 2 and first.max() <= 3
    assert first.tolist() != second.tolist()
    with pytest.raises(DTypeError, match=r"bounds i32\[\] and i32\[\]"):
        lax.rng_uniform(np.int32(1), np.int32(2), ())


def test_functions_are_applied_once_for_each_index():
    numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    places = np.array([[2], [0], [2]])
    found = jitml.jit(
        lambda x: lax.scatter_apply(x, places, lambda v: v * 10, numbers, update_shape=(3,))
    )(X)
    assert found.tolist() == [10, 2, 300]
    with pytest.raises(ShapeError):
        lax.scatter_apply(X, places, jnp.negative, numbers, update_shape=(2,))


def test_approximate_selections_refuse():
    with pytest.raises(DTypeError, match="takes floats, not i32"):
        lax.approx_max_k(np.arange(3, dtype=np.int32), 2)
    with pytest.raises(ArgumentError, match="recall_target is 0"):
        lax.approx_min_k(X, 2, recall_target=0)
    with pytest.raises(ArgumentError, match="aggregate_to_topk"):
        lax.approx_min_k(X, 2, aggregate_to_topk=False)


def test_shapes_refuse():
    with pytest.raises(ShapeError, match=r"f32\[3\] does not broadcast to shape \(2, 2\)"):
        lax.broadcast_like(X, np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"f32\[3\] has more than 0 dimensions"):
        lax.broadcast_to_rank(X, 0)
    with pytest.raises(ShapeError, match="1 axes of space, 1 of windows, 2 strides"):
        lax.conv_shape_tuple((1, 1, 4), (1, 1, 2), (1, 1), [(0, 0)])
    with pytest.raises(ShapeError, match="windows"):
        lax.reduce_window_shape_tuple((4,), (2, 2), (1,), [(0, 0)])
    with pytest.raises(DTypeError, match=r"takes integers, not f32\[3\]"):
        lax.mulhi(X, X)
    wide = np.array([2**62 + 5, -(2**61) - 3, -1], np.int64)
    product = [a * b >> 64 for a, b in zip(wide.tolist(), wide[::-1].tolist(), strict=True)]
    assert lax.mulhi(wide, wide[::-1].copy()).tolist() == product
    assert lax.empty((2, 1), "int8").dtype == np.int8
