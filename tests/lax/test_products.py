"""Products of groups, of scaled blocks and of patches, against JAX; exchanges of ragged rows."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ragged(library, contracted, batched, cut, groups):
    return library.lax.RaggedDotDimensionNumbers((contracted, batched), cut, groups)


# Shapes of both operands, sizes of groups, dimension numbers.
RAGGED = {
    "rows": ((7, 3), (2, 3, 4), [3, 2], (((1,), (1,)), ((), ()), (0,), (0,))),
    "batched rows": (
        (2, 7, 3), (4, 2, 3, 5), [[1, 2, 0, 4], [3, 0, 1, 1]],
        (((2,), (2,)), ((0,), (1,)), (1,), (0,)),
    ),
    "contracted": ((7, 3), (7, 4), [3, 2], (((0,), (0,)), ((), ()), (0,), ())),
    "batched contracted": (
        (3, 7, 2), (2, 7, 4), [[3, 2], [7, 0]], (((1,), (1,)), ((2,), (0,)), (1,), ()),
    ),
    "batch": ((7, 3), (7, 3), [3, 2], (((1,), (1,)), ((0,), (0,)), (0,), ())),
}  # fmt: skip


@pytest.mark.parametrize("name", RAGGED)
def test_ragged_products(name):
    jax = pytest.importorskip("jax")
    left, right, sizes, (contracted, batched, cut, groups) = RAGGED[name]
    x, y, sizes = numbers(*left), numbers(*right), np.array(sizes, np.int32)
    ours, theirs = (ragged(m, contracted, batched, cut, groups) for m in (jitml, jax))
    found = lax.ragged_dot_general(x, y, sizes, ours)
    expected = jax.lax.ragged_dot_general(x, y, sizes, theirs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_ragged_dot_has_derivatives_and_batches():
    x, y, sizes = numbers(5, 3), numbers(2, 3, 4), np.array([1, 3], np.int32)

    def loss(x, y):
        return (lax.ragged_dot(x, y, sizes) ** 2).sum()

    def plain(x, y):
        return ((x[:1] @ y[0]) ** 2).sum() + ((x[1:4] @ y[1]) ** 2).sum()

    found, expected = jitml.grad(loss, (0, 1))(x, y), jitml.grad(plain, (0, 1))(x, y)
    for one, their in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, their, rtol=1e-5, atol=1e-6)
    each = jitml.vmap(lambda n: lax.ragged_dot(x, y, n))(np.array([[1, 3], [5, 0]], np.int32))
    np.testing.assert_allclose(each[1], x @ y[0], rtol=1e-5)


def test_ragged_errors():
    x, y, sizes = numbers(5, 3), numbers(2, 3, 4), np.array([1, 3], np.int32)
    with pytest.raises(DTypeError, match=r"group_sizes are f32\[2\], not integers"):
        lax.ragged_dot(x, y, sizes.astype(np.float32))
    with pytest.raises(ShapeError, match=r"the axes of groups of rhs have sizes \[2\]"):
        lax.ragged_dot(x, y, np.array([1, 2, 2]))
    with pytest.raises(ArgumentError, match="group_offset is not supported"):
        lax.ragged_dot(x, y, sizes, group_offset=np.array([1]))
    with pytest.raises(ArgumentError, match=r"lhs_ragged_dimensions \[\] of f32"):
        lax.ragged_dot_general(x, y, sizes, ragged(jitml, ((1,), (1,)), ((), ()), (), (0,)))
    with pytest.raises(ShapeError, match=r"group_sizes of shape \(2, 2\), not \(2,\)"):
        lax.ragged_dot(x, y, np.ones((2, 2), np.int32))


def test_ragged_exchange():
    rows = numbers(2, 4, 3)
    begins, sizes = np.array([[0, 1], [2, 0]]), np.array([[1, 2], [2, 1]])
    places, target = np.array([[0, 0], [1, 2]]), np.zeros((2, 5, 3), np.float32)

    def exchange(x, out, begin, size, place, received):
        return lax.ragged_all_to_all(x, out, begin, size, place, received, axis_name="i")

    found = jitml.vmap(exchange, axis_name="i")(rows, target, begins, sizes, places, sizes.T)
    expected = target.copy()
    for i in range(2):
        for j in range(2):
            piece = rows[i, begins[i, j] : begins[i, j] + sizes[i, j]]
            expected[j, places[i, j] : places[i, j] + sizes[i, j]] = piece
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ShapeError, match="does not go into"):
        jitml.vmap(exchange, axis_name="i")(rows, target[..., 0], begins, sizes, places, sizes.T)


def test_scaled_products():
    jax = pytest.importorskip("jax")
    x, y = numbers(2, 3, 8), numbers(2, 8, 4)
    scales = np.abs(numbers(2, 3, 2)), np.abs(numbers(2, 4, 4))
    found = lax.scaled_dot(x, y, lhs_scale=scales[0], rhs_scale=scales[1])
    assert found.dtype == jnp.bfloat16
    wide = np.einsum("bmk,bkn->bmn", x * np.repeat(scales[0], 4, 2), y * np.repeat(scales[1], 2, 1))
    np.testing.assert_allclose(np.asarray(found, np.float32), wide, rtol=0.05, atol=0.2)
    theirs = jax.lax.scaled_dot(x, y, lhs_scale=scales[0], rhs_scale=scales[1])
    np.testing.assert_allclose(*(np.asarray(v, np.float32) for v in (found, theirs)), rtol=0.02)
    with pytest.raises(ShapeError, match="axis 2 of lhs has size 8, that of its scale 3"):
        lax.scaled_dot(x, y, lhs_scale=np.ones((2, 3, 3)))
    with pytest.raises(ShapeError, match="axis 1 of lhs has size 3, that of its scale 1"):
        lax.scaled_dot(x, y, lhs_scale=np.ones((2, 1, 2)))


LAYOUTS = [None, ("NCHW", "OIHW", "NCHW"), ("NHWC", "WHIO", "CWNH")]


@pytest.mark.sampled
@pytest.mark.parametrize("layout", LAYOUTS)
def test_patches_and_local_convolutions(layout):
    jax = pytest.importorskip("jax")
    x = numbers(2, 5, 6, 3)
    given = ((2, 3), (1, 2), [(1, 0), (0, 2)], (1, 2), (2, 1), layout)
    found = lax.conv_general_dilated_patches(x, *given)
    np.testing.assert_allclose(found, jax.lax.conv_general_dilated_patches(x, *given), rtol=1e-6)
    numbers_of = lax.conv_dimension_numbers(x.shape, x.shape, layout)
    sizes = [2, found.shape[numbers_of.out_spec[1]]]
    sizes += [found.shape[k] for k in numbers_of.out_spec[2:]]
    kernel = numbers(*(sizes[numbers_of.rhs_spec.index(k)] for k in range(4)))
    options = ((1, 2), [(1, 0), (0, 2)], (2, 3), (1, 2), (2, 1), layout)
    local = lax.conv_general_dilated_local(x, kernel, *options)
    theirs = jax.lax.conv_general_dilated_local(x, kernel, *options)
    np.testing.assert_allclose(local, theirs, rtol=1e-4, atol=1e-5)


def test_algorithms_and_accuracies_are_taken():
    x = numbers(3, 3)
    preset = lax.DotAlgorithmPreset.BF16_BF16_F32
    np.testing.assert_array_equal(lax.dot(x, x, precision=preset), lax.dot(x, x))
    stated = lax.DotAlgorithm("float32", "float32", "float32")
    np.testing.assert_array_equal(jnp.dot(x, x, precision=stated), lax.dot(x, x))
    np.testing.assert_array_equal(lax.exp(x, accuracy=lax.AccuracyMode.HIGHEST), lax.exp(x))
    assert preset.accumulation_type == "float32"
    assert lax.Tolerance(rtol=1e-3).atol == 0
    with pytest.raises(ArgumentError, match="one must be greater than 0"):
        lax.Tolerance()
