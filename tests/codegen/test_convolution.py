"""Convolutions as products that gather their windows: against the op's meaning, and no windows in
memory."""

from __future__ import annotations

import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
from jitml.ir.op import Op
from jitml.ops.contraction import DotGeneral
from jitml.ops.convolution import ConvGeneralDilated, conv_dimension_numbers
from jitml.trace.core import bind1

LAYOUTS = {
    1: [("NHC", "HIO", "NHC"), ("NCH", "OIH", "NCH"), ("HCN", "IHO", "CNH")],
    2: [
        ("NHWC", "HWIO", "NHWC"),
        ("NCHW", "OIHW", "NCHW"),
        ("NCHW", "HWIO", "NHWC"),
        ("CHWN", "IHWO", "CHWN"),
        ("NHWC", "OHWI", "HWCN"),
    ],
    3: [("NDHWC", "DHWIO", "NDHWC"), ("NCDHW", "OIDHW", "NCDHW")],
}
DTYPES = ("float32", "float32", "float64", "int32", "int8", "float16", "bfloat16", "complex64")


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Small integers, so that sums are exact in every dtype."""
    values = rng.integers(-2, 3, shape)
    if dtype == "complex64":
        values = values + 1j * rng.integers(-2, 3, shape)
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def arranged(spec: str, extents: dict[str, int]) -> tuple[int, ...]:
    return tuple(extents[letter] for letter in spec)


def random_case(seed: int, is_apart: bool = False) -> tuple[Op, np.ndarray, np.ndarray]:
    """A convolution of random layout, extents, strides, padding, dilations and groups; one in which
    each feature is apart.
    """
    choose, rng = random.Random(seed), np.random.default_rng(seed)
    rank = choose.choice([1, 2, 2, 2, 3])
    lhs, rhs, out = choose.choice(LAYOUTS[rank])
    groups, most = choose.choice([1, 1, 1, 2, 3]), {1: 70, 2: 24, 3: 9}[rank]
    inputs, outputs = choose.randint(1, 9) * groups, choose.randint(1, 40) * groups
    if is_apart:
        groups = inputs = outputs = choose.randint(2, 40)
    space = [letter for letter in lhs if letter not in "NC"]
    lengths = {letter: choose.randint(5, most) for letter in space}
    x_shape = arranged(lhs, {"N": choose.randint(1, 3), "C": inputs, **lengths})
    sizes = {letter: choose.randint(1, 3 if rank > 1 else 9) for letter in space}
    w_shape = arranged(rhs, {"O": outputs, "I": inputs // groups, **sizes})
    op = ConvGeneralDilated(
        tuple(choose.randint(1, 2) for _ in space),
        tuple((choose.randint(-1, 2), choose.randint(0, 2)) for _ in space),
        tuple(choose.choice([1, 1, 2]) for _ in space),
        tuple(choose.choice([1, 1, 2]) if sizes[letter] < 3 else 1 for letter in space),
        conv_dimension_numbers(rank + 2, (lhs, rhs, out)),
        groups,
    )
    dtype = choose.choice(DTYPES)
    return op, numbers(rng, x_shape, dtype), numbers(rng, w_shape, dtype)


@pytest.mark.parametrize("seed", range(24))
def test_random_convolutions_have_the_values_of_the_op(seed: int) -> None:
    op, x, w = random_case(seed)
    (wanted,) = op.value(x, w)
    result = np.asarray(jitml.jit(lambda x, w: bind1(op, x, w))(x, w))
    np.testing.assert_array_equal(result.astype(wanted.dtype), wanted)


@pytest.mark.parametrize("seed", range(100, 112))
def test_gradients_are_adjoint(seed: int) -> None:
    """⟨ct, f(x, w)⟩ = ⟨x, fₓᵀ ct⟩ = ⟨w, f_wᵀ ct⟩, exactly: all numbers are small integers."""
    op, x, w = random_case(seed, is_apart=seed % 3 == 0)
    x, w = x.real.astype("float64"), w.real.astype("float64")
    rng = np.random.default_rng(seed)
    ct = rng.integers(-2, 3, op.value(x, w)[0].shape).astype("float64")

    def both(x: Any, w: Any, ct: Any) -> Any:
        out, pull = jitml.vjp(lambda x, w: bind1(op, x, w), x, w)
        return out, *pull(ct)

    out, dx, dw = map(np.asarray, jitml.jit(both)(x, w, ct))
    assert np.vdot(ct, out) == np.vdot(x, dx) == np.vdot(w, dw)
    if dx.size and w.any():
        assert ct.any() and (dx.any() or dw.any())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_k_in_several_blocks(layout: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    extents = {"N": 2, "C": 85, "H": 12, "W": 11, "O": 70, "I": 85}
    spec = "OIHW" if layout == "NCHW" else "HWIO"
    x = numbers(rng, arranged(layout, extents), dtype)
    w = numbers(rng, arranged(spec, {**extents, "H": 3, "W": 3}), dtype)
    dims = conv_dimension_numbers(4, (layout, spec, layout))
    op = ConvGeneralDilated((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), dims)
    result = np.asarray(jitml.jit(lambda x, w: bind1(op, x, w))(x, w))
    np.testing.assert_array_equal(result, op.value(x, w)[0])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def convolution(layout: str, stride: int = 1) -> Any:
    dims = (layout, "OIHW" if layout == "NCHW" else "HWIO", layout)

    def function(x: Any, w: Any) -> Any:
        return jitml.lax.conv_general_dilated(
            x, w, (stride, stride), "SAME", dimension_numbers=dims
        )

    return function


def operands(layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Windows of which take nine times the memory of the array."""
    if layout == "NCHW":
        return normal(4, 24, 20, 20), normal(40, 24, 3, 3)
    return normal(4, 20, 20, 24), normal(3, 3, 24, 40)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("stride", [1, 2])
def test_bits_do_not_depend_on_threads(layout: str, stride: int) -> None:
    f = convolution(layout, stride)
    gradients = jitml.jit(jitml.grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1)))
    results = []
    for count in (1, 2, 4):
        with jitml.num_threads(count):
            results.append([np.asarray(y).tobytes() for y in gradients(*operands(layout))])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_windows_are_not_stored(layout: str) -> None:
    x, w = operands(layout)
    for f in (
        convolution(layout),
        jitml.grad(lambda x, w: convolution(layout)(x, w).sum(), 0),
        jitml.grad(lambda x, w: convolution(layout)(x, w).sum(), 1),
    ):
        temporary = jitml.jit(f).lower(x, w).compile().memory_analysis().temp_size_in_bytes
        assert temporary < 8 * x.nbytes


def test_a_product_reads_axes_that_do_not_lie_together() -> None:
    """`x` is [k₁, m₁, k₀, m₀], `y` [n₁, k₀, k₁, n₀]: nothing is moved in memory before."""
    x, y = normal(5, 20, 7, 9), normal(6, 7, 5, 11)
    op = DotGeneral((((2, 0), (1, 2)), ((), ())))
    f = jitml.jit(lambda x, y: bind1(op, x, y))
    np.testing.assert_allclose(np.asarray(f(x, y)), op.value(x, y)[0], rtol=1e-4, atol=1e-5)
    assert f.lower(x, y).compile().memory_analysis().temp_size_in_bytes < y.nbytes * 2


@pytest.mark.parametrize("channels, features, stride", [(16, 5, 1), (200, 40, 2), (201, 9, 1)])
def test_windows_read_in_place_give_the_bits_of_packed_ones(
    channels: int, features: int, stride: int
) -> None:
    x, w = normal(2, 7, 9, channels), normal(3, 3, channels, features)
    many = np.concatenate([w] * 16, axis=3)  # so many that windows are packed
    f = jitml.jit(convolution("NHWC", stride))
    few, wide = np.asarray(f(x, w)), np.asarray(f(x, many))
    assert few.tobytes() == np.ascontiguousarray(wide[..., :features]).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("channels, features, width", [(3, 16, 40), (70, 24, 36), (9, 200, 65)])
def test_panels_read_where_they_lie(channels: int, features: int, width: int, dtype: str) -> None:
    """Of each row of an image, some lie side by side: others are gathered. All whole tiles."""
    rng = np.random.default_rng(0)
    x = numbers(rng, (2, channels, 6, width + 2), dtype)
    w = numbers(rng, (features, channels, 3, 3), dtype)
    dims = conv_dimension_numbers(4, ("NCHW", "OIHW", "NCHW"))
    op = ConvGeneralDilated((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), dims)
    result = np.asarray(jitml.jit(lambda x, w: bind1(op, x, w))(x, w))
    np.testing.assert_array_equal(result, op.value(x, w)[0])


def test_panels_read_where_they_lie_give_the_bits_of_gathered_ones() -> None:
    """Of a number of features that fills no tile, panels are gathered."""
    x, w = normal(2, 40, 6, 66), normal(24, 40, 3, 3)
    f = jitml.jit(convolution("NCHW"))
    whole, part = np.asarray(f(x, w)), np.asarray(f(x, w[:21]))
    assert np.ascontiguousarray(whole[:, :21]).tobytes() == part.tobytes()


@pytest.mark.parametrize("features", [12, 100])
def test_bits_of_weight_gradients_do_not_depend_on_other_features(features: int) -> None:
    x, w = normal(2, 9, 10, 24), normal(3, 3, 24, features)
    ct = normal(2, 9, 10, features)

    @jitml.jit
    def gradient(x: Any, w: Any, ct: Any) -> Any:
        return jitml.vjp(lambda w: convolution("NHWC")(x, w), w)[1](ct)[0]

    alone = np.asarray(gradient(x, w[..., :7], ct[..., :7]))
    assert (
        np.ascontiguousarray(np.asarray(gradient(x, w, ct))[..., :7]).tobytes() == alone.tobytes()
    )
