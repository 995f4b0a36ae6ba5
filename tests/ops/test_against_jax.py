"""Dimension numbers, windows, orders and random bits compared with JAX, on samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from oracle import (
    evaluating_by_value,
    linear_graph,
    record,
    run,
    run_batch,
    run_transpose,
    to_array,
    to_numpy,
)

from jitml.ops.contraction import dot_general
from jitml.ops.convolution import conv_general_dilated
from jitml.ops.random_bits import threefry2x32
from jitml.ops.reduce_window import reduce_window
from jitml.ops.sort import sort
from jitml.ops.top_k import top_k
from jitml.trace.core import type_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    jax = pytest.importorskip("jax")
    jax_random = pytest.importorskip("jax.extend.random")


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    with evaluating_by_value():
        yield


def agree(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for a, b in zip(map(to_numpy, found), map(np.asarray, expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def evaluate(function: Callable[..., Any], *inputs: Any) -> list[Any]:
    arrays = list(map(to_array, inputs))
    return run(record(function, list(map(type_of, arrays))), arrays)


def gradients(function: Callable[..., Any], cotangent: Any, *inputs: Any) -> list[Any]:
    arrays = list(map(to_array, inputs))
    found = []
    for k in range(len(arrays)):
        graph = record(function, list(map(type_of, arrays)))
        active = [i == k for i in range(len(arrays))]
        traced = linear_graph(graph, arrays, active)
        found += run_transpose(traced, 1, [to_array(cotangent)])
    return found


def over_batch(function: Callable[..., Any], axes: Sequence[int | None], *inputs: Any) -> Any:
    """The function over a batch of 2, the batch axis of the result first."""
    arrays = list(map(to_array, inputs))
    one = [x if a is None else np.take(x, 0, a) for x, a in zip(inputs, axes, strict=True)]
    graph = record(function, [type_of(to_array(x)) for x in one])
    (out,), (axis,) = run_batch(graph, 2, arrays, axes)
    assert axis is not None
    return np.moveaxis(to_numpy(out), axis, 0)


def sampled_convolution(
    random: np.random.Generator,
) -> tuple[list[int], list[int], dict[str, Any]]:
    """Shapes of array and kernel, and parameters: any rank, stride, dilation, padding, grouping."""
    rank = int(random.integers(1, 4))
    groups = int(random.choice([1, 2, 3]))
    batch_groups = int(random.choice([1, 2])) if groups == 1 else 1

    def numbers(low: int, high: int, count: int = rank) -> list[int]:
        return [int(n) for n in random.integers(low, high, count)]

    batch, inputs, outputs = numbers(1, 3, 3)
    specs = [tuple(map(int, random.permutation(rank + 2))) for _ in range(3)]
    x, w = [0] * (rank + 2), [0] * (rank + 2)
    for spec, shape, sizes in (
        (specs[0], x, [batch * batch_groups, inputs * groups, *numbers(2, 6)]),
        (specs[1], w, [outputs * groups * batch_groups, inputs, *numbers(1, 4)]),
    ):
        for axis, size in zip(spec, sizes, strict=True):
            shape[axis] = size
    parameters = {
        "window_strides": numbers(1, 4),
        "padding": list(zip(numbers(-1, 4), numbers(0, 4), strict=True)),
        "lhs_dilation": numbers(1, 3),
        "rhs_dilation": numbers(1, 3),
        "dimension_numbers": specs,
        "feature_group_count": groups,
        "batch_group_count": batch_groups,
    }
    return x, w, parameters


@pytest.mark.parametrize("seed", range(4))
def test_convolutions(seed: int) -> None:
    random = np.random.default_rng(seed)
    x_shape, w_shape, given = sampled_convolution(random)
    numbers = jax.lax.ConvDimensionNumbers(*given["dimension_numbers"])

    def ours(x: Any, w: Any) -> Any:
        return conv_general_dilated(x, w, **given)

    def theirs(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(x, w, **{**given, "dimension_numbers": numbers})

    xs, ws = (random.normal(size=(2, *s)).astype(np.float32) for s in (x_shape, w_shape))
    expected, pullback = jax.vjp(theirs, xs[0], ws[0])
    agree(evaluate(ours, xs[0], ws[0]), [expected])
    ct = random.normal(size=expected.shape).astype(np.float32)
    agree(gradients(ours, ct, xs[0], ws[0]), pullback(ct))
    if 0 in expected.shape:
        return
    axes = ((0, 0), (0, None), (None, 0))[seed % 3]
    inputs = [v if a == 0 else v[0] for v, a in zip((xs, ws), axes, strict=True)]
    agree([over_batch(ours, axes, *inputs)], [jax.vmap(theirs, axes)(*inputs)])


@pytest.mark.parametrize("dtype", ["int8", "float16", "bfloat16", "complex64"])
def test_convolutions_of_other_dtypes(dtype: str) -> None:
    random = np.random.default_rng(1)
    x = random.integers(-3, 4, (2, 3, 6)).astype(jax.numpy.dtype(dtype))
    w = random.integers(-3, 4, (4, 3, 2)).astype(jax.numpy.dtype(dtype))
    expected = jax.lax.conv_general_dilated(x, w, (1,), "SAME")
    (found,) = evaluate(lambda x, w: conv_general_dilated(x, w, (1,), "SAME"), x, w)
    np.testing.assert_array_equal(to_numpy(found), np.asarray(expected))


@pytest.mark.parametrize(
    "words", [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NHWC"), ("CNHW", "IWOH", "NCWH")]
)
def test_dimension_numbers_in_letters(words: tuple[str, str, str]) -> None:
    random = np.random.default_rng(2)
    sizes = {"N": 2, "C": 3, "H": 4, "W": 5}
    kernel = {"O": 2, "I": 3, "H": 2, "W": 3}
    x = random.normal(size=[sizes[c] for c in words[0]]).astype(np.float32)
    w = random.normal(size=[kernel[c] for c in words[1]]).astype(np.float32)
    given: dict[str, Any] = {"window_strides": (1, 2), "padding": "SAME"}
    given["dimension_numbers"] = words
    expected = jax.lax.conv_general_dilated(x, w, **given)
    agree(evaluate(lambda x, w: conv_general_dilated(x, w, **given), x, w), [expected])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64"])
def test_dot_general_of_other_dtypes(dtype: str) -> None:
    random = np.random.default_rng(3)
    x, y = (random.integers(0, 4, (2, 3, 5)).astype(jax.numpy.dtype(dtype)) for _ in range(2))
    numbers = (((2,), (2,)), ((0,), (0,)))
    (found,) = evaluate(lambda x, y: dot_general(x, y, numbers), x, y)
    np.testing.assert_array_equal(to_numpy(found), np.asarray(jax.lax.dot_general(x, y, numbers)))


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [("int8", "int32"), ("bfloat16", "float32"), ("float16", "float32"), ("int8", "float32")],
)
def test_preferred_element_types(dtype: str, preferred: str) -> None:
    random = np.random.default_rng(4)
    x, y = (random.integers(-99, 99, (3, 64)).astype(jax.numpy.dtype(dtype)) for _ in range(2))
    numbers = (((1,), (1,)), ((), ()))
    wanted = jax.lax.dot_general(x, y, numbers, preferred_element_type=preferred)
    (found,) = evaluate(
        lambda x, y: dot_general(x, y, numbers, preferred_element_type=np.dtype(preferred)), x, y
    )
    assert to_numpy(found).dtype == preferred
    np.testing.assert_array_equal(to_numpy(found), np.asarray(wanted))


@pytest.mark.parametrize("seed", range(3))
def test_windows(seed: int) -> None:
    random = np.random.default_rng(seed)
    rank = 2

    def numbers(low: int, high: int) -> list[int]:
        return [int(n) for n in random.integers(low, high, rank)]

    x = random.normal(size=numbers(3, 7)).astype(np.float32)
    sizes, strides, base, dilation = (numbers(1, high) for high in (4, 4, 3, 3))
    padding = list(zip(numbers(0, 3), numbers(0, 3), strict=True))
    kinds = {
        "sum": (0.0, jax.lax.add), "max": (-np.inf, jax.lax.max), "min": (np.inf, jax.lax.min),
        "prod": (1.0, jax.lax.mul),
    }  # fmt: skip
    for kind, (initial, fold) in kinds.items():
        given = (sizes, strides, padding, base, dilation)
        expected = jax.lax.reduce_window(x, np.float32(initial), fold, *given)
        found = evaluate(lambda x, k=kind, given=given: reduce_window(x, k, *given), x)
        agree(found, [expected])


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID"])
def test_words_for_padding(padding: str) -> None:
    x = np.random.default_rng(5).normal(size=(5, 6)).astype(np.float32)
    given = ((2, 3), (2, 2), padding)
    expected = jax.lax.reduce_window(x, np.float32(0), jax.lax.add, *given)
    agree(evaluate(lambda x: reduce_window(x, "sum", *given), x), [expected])


def test_max_pool_gives_its_gradient_to_the_first() -> None:
    x = np.array([[1, 1, 0, 2], [1, 0, 2, 2]], np.float32)

    def theirs(x: Any) -> Any:
        window = ((2, 2), (1, 2), "VALID")
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, *window).sum()

    (found,) = gradients(
        lambda x: reduce_window(x, "max", (2, 2), (1, 2)), np.ones((1, 2), np.float32), x
    )
    agree([found], [jax.grad(theirs)(x)])


def test_order_of_floats() -> None:
    numbers = np.array([np.nan, -0.0, 0.0, 1, -np.inf, -np.nan, np.inf, -0.0, -1], np.float32)
    place = np.arange(9, dtype=np.int32)
    wanted = jax.lax.sort([numbers, place], dimension=0, num_keys=1)
    for a, b in zip(evaluate(lambda x, i: sort([x, i], 0), numbers, place), wanted, strict=True):
        np.testing.assert_array_equal(to_numpy(a), np.asarray(b))


def test_order_of_complex_numbers_and_two_keys() -> None:
    random = np.random.default_rng(6)
    z = random.choice([0, 1, np.nan], 40) + 0j
    z.imag = random.choice([0, 1, np.nan], 40)
    keys = random.integers(0, 3, 40).astype(np.int32)
    given = [keys, z.astype(np.complex64), np.arange(40, dtype=np.int32)]
    wanted = jax.lax.sort(given, dimension=0, num_keys=2)
    found = evaluate(lambda *xs: sort(xs, 0, True, 2), *given)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(to_numpy(a), np.asarray(b))


def test_top_k_takes_the_earlier_of_equals_and_nan_first() -> None:
    x = np.array([[1, 3, 3, 2], [np.nan, 5, np.inf, np.nan]], np.float32)
    for k in (0, 2, 4):
        wanted = jax.lax.top_k(x, k)
        found = evaluate(lambda x, k=k: top_k(x, k, 1), x)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(to_numpy(a), np.asarray(b))


def test_random_bits() -> None:
    words = np.random.default_rng(7).integers(0, 2**32, 22, dtype=np.uint32)
    key, counts = words[:2], words[2:]
    wanted = np.asarray(jax_random.threefry_2x32(key, counts))
    found = evaluate(threefry2x32, key[0], key[1], counts[:10], counts[10:])
    np.testing.assert_array_equal(np.concatenate([to_numpy(x) for x in found]), wanted)
