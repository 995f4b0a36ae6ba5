"""jitml.lax against jax.lax."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, lax

jax = pytest.importorskip("jax")
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
V = np.array([3.0, -1.0, 2.0, 0.5], np.float32)
K = np.array([5, -2, 7, 0], np.int32)
IMAGE = np.random.default_rng(1).normal(size=(2, 6, 7, 3)).astype(np.float32)
KERNEL = np.random.default_rng(2).normal(size=(3, 3, 3, 4)).astype(np.float32)
NHWC = ("NHWC", "HWIO", "NHWC")

ROWS = [
    ("add", (X, X)),
    ("sub", (X, 1.0)),
    ("mul", (2, K)),
    ("div", (K, 2)),
    ("rem", (K, 3)),
    ("max", (X, 0.0)),
    ("pow", (np.abs(X), 2.5)),
    ("pow", (X, 3)),
    ("integer_pow", (X, -2)),
    ("rsqrt", (np.abs(X),)),
    ("logistic", (X,)),
    ("erf", (X,)),
    ("erf_inv", (np.tanh(X),)),
    ("lgamma", (np.abs(X),)),
    ("digamma", (np.abs(X),)),
    ("cbrt", (X,)),
    ("round", (V,)),
    ("sign", (X,)),
    ("clz", (K,)),
    ("population_count", (K,)),
    ("shift_right_logical", (K, 1)),
    ("bitwise_xor", (K, 3)),
    ("atan2", (X, X[::-1].copy())),
    ("complex", (X, X)),
    ("conj", (X,)),
    ("is_finite", (X,)),
    ("select", (X > 0, X, -X)),
    ("clamp", (-0.5, X, 0.5)),
    ("select_n", (K > 0, K, -K)),
    ("reduce_precision", (X, 8, 7)),
    ("convert_element_type", (X, "int32")),
    ("bitcast_convert_type", (X, "int32")),
    ("bitcast_convert_type", (X, "uint8")),
    ("bitcast_convert_type", (np.arange(8, dtype=np.uint8).reshape(2, 4), "float32")),
    ("iota", ("float32", 5)),
    ("broadcasted_iota", ("int32", (2, 3), 1)),
    ("broadcast", (V, (2, 3))),
    ("broadcast_in_dim", (V, (2, 4, 3), (1,))),
    ("reshape", (X, (2, 6))),
    ("reshape", (X, (12,), (1, 0))),
    ("collapse", (IMAGE, 1, 3)),
    ("transpose", (X, (1, 0))),
    ("rev", (X, (0, 1))),
    ("expand_dims", (X, (0, 2))),
    ("concatenate", ([X, X], 1)),
    ("pad", (X, 0.5, [(1, -1, 0), (0, 2, 1)])),
    ("slice", (X, (0, 1), (3, 4), (2, 1))),
    ("slice_in_dim", (X, 1, -1, 1, 1)),
    ("index_in_dim", (X, -1, 1)),
    ("dynamic_slice", (X, (1, 7), (2, 2))),
    ("dynamic_slice", (X, (-2, 0), (1, 4))),
    ("dynamic_slice_in_dim", (X, 2, 2, 1)),
    ("dynamic_index_in_dim", (X, -1, 0, False)),
    ("dynamic_update_slice", (X, X[:2, :2], (2, 1))),
    ("dynamic_update_index_in_dim", (X, V, 1, 0)),
    ("dynamic_update_slice_in_dim", (X, X[:, :1], 3, 1)),
    ("split", (V, (1, 3))),
    ("tile", (X, (2, 1))),
    ("reduce_sum", (X, (1,))),
    ("reduce_xor", (K, (0,))),
    ("reduce_max", ((X + 1j * K).astype(np.complex64), (1,))),
    ("reduce_min", (X.astype(np.complex64), (0, 1))),
    ("argmax", (X, 1, "int32")),
    ("cumsum", (X, 1, True)),
    ("cummax", (X,)),
    ("cumlogsumexp", (X, 1)),
    ("sort", (X, 0)),
    ("top_k", (X, 2)),
    ("sort_key_val", (V, K)),
    ("sort", ((K, V),)),
    ("dot", (X, V)),
    ("batch_matmul", (IMAGE, IMAGE.swapaxes(2, 3).copy())),
    ("dot_general", (IMAGE, IMAGE, (((2, 3), (2, 3)), ((0,), (0,))))),
    ("conv_general_dilated", (IMAGE, KERNEL, (2, 1), "SAME", None, (1, 2), NHWC)),
    ("conv_general_dilated", (IMAGE, KERNEL, (1, 1), [(1, 2), (0, 1)], (2, 1), None, NHWC)),
    (
        "conv",
        (IMAGE.transpose(0, 3, 1, 2).copy(), KERNEL.transpose(3, 2, 0, 1).copy(), (1, 1), "VALID"),
    ),
    ("conv_transpose", (IMAGE, KERNEL, (2, 2), "SAME", None, NHWC)),
    ("conv_transpose", (IMAGE, KERNEL, (2, 3), "VALID")),
    ("conv_transpose", (IMAGE, KERNEL.swapaxes(2, 3).copy(), (2, 1), "SAME", None, NHWC, True)),
    ("padtype_to_pads", ((5, 6), (3, 2), (2, 1), "SAME")),
    ("add", (X[:, :1], X)),
    ("mulhi", (K, np.array([2**30, 2**31 - 1, -(2**31), 3], np.int32))),
    ("mulhi", (np.array([200, 255], np.uint8), np.array([201, 255], np.uint8))),
    ("approx_max_k", (X, 2)),
    ("approx_min_k", (X, 2, 0)),
    ("broadcast_like", (V, X)),
    ("broadcast_to_rank", (V, 3)),
    ("conv_general_permutations", (NHWC,)),
    ("conv_shape_tuple", ((4, 3, 9), (8, 3, 3), (2,), [(1, 2)], 2)),
    ("conv_general_shape_tuple", (IMAGE.shape, KERNEL.shape, (2, 1), "SAME", NHWC)),
    ("conv_transpose_shape_tuple", (IMAGE.shape, KERNEL.shape, (2, 3), "VALID", NHWC)),
    ("reduce_window_shape_tuple", ((9, 5), (3, 2), (2, 1), [(1, 0), (0, 0)], (1, 2), (2, 1))),
    ("shape_as_value", ((2, 3),)),
    ("dtype", (np.int8(3),)),
    ("rng_bit_generator", (np.arange(1, 5, dtype=np.uint32), (7,))),
]


def _list(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize(
    ("name", "arguments"), ROWS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ROWS)]
)
def test_function(name, arguments):
    if name == "rng_bit_generator":  # JAX's default is another algorithm
        arguments = (*arguments, np.uint32, jax.lax.RandomAlgorithm.RNG_THREE_FRY)
    expected = _list(getattr(jax.lax, name)(*arguments))
    found = _list(getattr(lax, name)(*arguments))
    assert len(found) == len(expected)
    if name == "dtype" or name.endswith(("_tuple", "_permutations")):
        assert found == expected
        return
    for ours, theirs in zip(found, expected, strict=True):
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["add", "mul", "max", "min"])
def test_general_folds(name):
    init = {"add": 0.0, "mul": 1.0, "max": -np.inf, "min": 0.25}[name]
    ours, theirs = getattr(lax, name), getattr(jax.lax, name)
    found = lax.reduce(X, np.float32(init), ours, (1,))
    np.testing.assert_allclose(found, jax.lax.reduce(X, np.float32(init), theirs, (1,)), rtol=1e-5)
    options = ((2, 2), (1, 2), "SAME")
    windows = lax.reduce_window(X, np.float32(init), ours, *options)
    expected = jax.lax.reduce_window(X, np.float32(init), theirs, *options)
    np.testing.assert_allclose(windows, expected, rtol=1e-5)


def test_folds_of_any_computation():
    def larger(a, b):
        xp = jax.numpy if isinstance(a[0], jax.core.Tracer) else jnp
        first = a[0] >= b[0]
        return xp.where(first, a[0], b[0]), xp.where(first, a[1], b[1])

    places = np.broadcast_to(np.arange(4, dtype=np.int32), X.shape).copy()
    starts = np.float32(-np.inf), np.int32(-1)
    found = lax.reduce((X, places), starts, larger, (1,))
    np.testing.assert_array_equal(found[1], X.argmax(1))
    windows = (2, 3), (1, 2), "SAME", None, (1, 1)
    ours = lax.reduce_window((X, places), starts, larger, *windows)
    theirs = jax.lax.reduce_window((X, places), starts, larger, *windows)
    for one, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, their)
    composed = lax.reduce(X, np.float32(1), lambda a, b: a + b + a * b, (0, 1))
    np.testing.assert_allclose(composed, 2 * np.prod(1 + X.astype(np.float64)) - 1, rtol=1e-5)
    assert lax.reduce(X[:0], np.float32(3), lambda a, b: a + b * 1.0, (0,)).tolist() == [3] * 4
    with pytest.raises(errors.TreeError, match="the values to start from"):
        lax.reduce((X, X), np.float32(0), larger, (0,))


def test_gather_and_scatter():
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    theirs = jax.lax.GatherDimensionNumbers((1,), (0,), (0,))
    at = np.array([[2], [0]])
    found = lax.gather(X, at, numbers, (1, 4))
    np.testing.assert_array_equal(found, jax.lax.gather(X, at, theirs, (1, 4)))
    puts = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    their_puts = jax.lax.ScatterDimensionNumbers((1,), (0,), (0,))
    for name in (
        "scatter",
        "scatter_add",
        "scatter_mul",
        "scatter_min",
        "scatter_max",
        "scatter_sub",
    ):
        ours = getattr(lax, name)(X, at, X[:2], puts)
        np.testing.assert_allclose(
            ours, getattr(jax.lax, name)(X, at, X[:2], their_puts), rtol=1e-6
        )
    with pytest.raises(errors.OutOfBoundsError, match="index 9"):
        lax.gather(X, np.array([[9]]), numbers, (1, 4))
    assert np.isnan(lax.gather(X, np.array([[9]]), numbers, (1, 4), mode="fill")).all()


def test_dtypes_and_shapes_are_strict():
    with pytest.raises(errors.DTypeError, match="dtypes differ"):
        lax.add(X, X.astype(np.float64))
    with pytest.raises(errors.DTypeError, match="dtypes differ"):
        lax.add(K, 1.5)
    with pytest.raises(errors.ShapeError, match="shapes differ"):
        lax.add(X, V)
    with pytest.raises(errors.ShapeError, match="from 0 to 5 along an axis of size 4"):
        lax.slice_in_dim(X, 0, 5, axis=1)


def test_positions_are_data_under_jit():
    f = jitml.jit(lambda x, i: lax.dynamic_slice_in_dim(x, i, 2, 1))
    np.testing.assert_array_equal(f(X, jnp.asarray(9)), X[:, 2:])
    np.testing.assert_array_equal(f(X, jnp.asarray(-4)), X[:, :2])


def test_derivatives_of_clamp_at_its_bounds_are_zero_as_in_jax() -> None:
    numbers = [-math.inf, -1.0, -0.0, 0.0, 1.0, 3.0, math.nan]
    for arguments in itertools.product(map(np.float32, numbers), repeat=3):
        ours = jitml.grad(lax.clamp, (0, 1, 2))(*arguments)
        theirs = jax.grad(jax.lax.clamp, (0, 1, 2))(*arguments)
        assert [float(x) for x in ours] == [float(x) for x in theirs], arguments


def test_a_cube_root_rises_steeply_at_zero() -> None:
    assert [float(jitml.grad(lax.cbrt)(x)) for x in (0.0, -0.0)] == [math.inf, math.inf]
