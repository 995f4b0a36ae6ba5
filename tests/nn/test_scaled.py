"""Products in narrow formats: against the formats of ml_dtypes, which round as these must."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import jitml
from jitml import nn
from jitml.errors import ArgumentError, ShapeError
from jitml.nn import scaled

RNG = np.random.default_rng(0)
ROWS = (((1,), (1,)), ((), ()))


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", scaled._FORMATS)
def test_formats_round_as_ml_dtypes(name):
    target = scaled._FORMATS[name]
    x = numbers(500) * np.exp2(RNG.integers(-12, 8, 500)).astype(np.float32)
    x = np.concatenate([x, np.arange(-30, 31, dtype=np.float32) / 4, [1e30, -1e30]])
    clipped = np.clip(x, -target.greatest, target.greatest).astype(np.float32)
    expected = clipped.astype(getattr(ml_dtypes, name)).astype(np.float32)
    np.testing.assert_array_equal(target.nearest(x.astype(np.float32)), expected)


def test_scaled_matmul():
    x, y = numbers(2, 3, 8), numbers(2, 4, 8)
    scales = numbers(2, 3, 2), numbers(2, 4, 2)
    found = nn.scaled_matmul(x, y, *scales)
    wide = (v * np.repeat(s, 4, 2) for v, s in zip((x, y), scales, strict=True))
    np.testing.assert_allclose(found, np.einsum("bmk,bnk->bmn", *wide), rtol=1e-4, atol=1e-5)
    assert nn.scaled_matmul(x, y, *scales, "bfloat16").dtype == ml_dtypes.bfloat16
    with pytest.raises(ShapeError, match="all operands have 3 dimensions"):
        nn.scaled_matmul(x[0], y, *scales)
    with pytest.raises(ShapeError, match="shapes do not fit"):
        nn.scaled_matmul(x, y[:, :, :4], *scales)
    with pytest.raises(ShapeError, match="3 scales for 8 numbers"):
        nn.scaled_matmul(x, y, numbers(2, 3, 3), numbers(2, 4, 3))


def quantised(x):
    """Rows in blocks of 32 as mxfp8 has them."""
    blocks = x.reshape(len(x), -1, 32)
    greatest = np.abs(blocks).max(2, keepdims=True)
    scales = np.exp2(np.ceil(np.log2(greatest / 448)))
    near = (blocks / scales).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    return (near * scales).reshape(x.shape)


def test_scaled_dot_general_and_its_gradient():
    configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    x, y, weights = numbers(32, 64), numbers(96, 64), numbers(32, 96)

    def loss(x, y):
        found = nn.scaled_dot_general(x, y, ROWS, configs=configs)
        return (found * weights).sum(), found

    (_, found), slopes = jitml.value_and_grad(loss, (0, 1), has_aux=True)(x, y)
    np.testing.assert_allclose(found, quantised(x) @ quantised(y).T, rtol=1e-4, atol=1e-4)
    expected = quantised(weights) @ quantised(y.T.copy()).T
    np.testing.assert_allclose(slopes[0], expected, rtol=1e-4, atol=1e-4)
    expected = quantised(weights.T.copy()) @ quantised(x.T.copy()).T
    np.testing.assert_allclose(slopes[1], expected, rtol=1e-4, atol=1e-4)


def test_four_bits_and_batches():
    configs = [nn.get_scaled_dot_general_config("nvfp4", np.float32([0.5]))] * 3
    x, y = numbers(2, 32, 3), numbers(32, 2, 4)
    numbers_of = (((1,), (0,)), ((0,), (1,)))
    found = nn.scaled_dot_general(x, y, numbers_of, configs=configs)
    plain = np.einsum("bkm,kbn->bmn", x, y)
    assert found.shape == plain.shape
    assert np.corrcoef(np.asarray(found).ravel(), plain.ravel())[0, 1] > 0.98
    slope = jitml.grad(lambda x: nn.scaled_dot_general(x, y, numbers_of, configs=configs).sum())(x)
    np.testing.assert_allclose(
        slope, np.broadcast_to(y.sum(2).T[..., None], x.shape), rtol=1e-4, atol=1e-5
    )
    exact = nn.scaled_dot_general(x, y, numbers_of)
    np.testing.assert_allclose(exact, plain, rtol=1e-4, atol=1e-5)


def test_errors():
    with pytest.raises(ArgumentError, match="no mode 'int8'"):
        nn.get_scaled_dot_general_config("int8")
    configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    with pytest.raises(ShapeError, match="33 contracted numbers in blocks of 32"):
        nn.scaled_dot_general(numbers(2, 33), numbers(2, 33), ROWS, configs=configs)
