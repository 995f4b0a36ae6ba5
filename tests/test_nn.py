"""jitml.nn against jax.nn: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import nn

jax = pytest.importorskip("jax")
X = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0, 8.0], np.float32)
NAMES = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "tanh",
]


@pytest.mark.sampled
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name):
    ours, theirs = getattr(nn, name), getattr(jax.nn, name)
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-5, atol=1e-6)
    slope = jitml.grad(lambda x: ((ours(x) + 1) ** 2).sum())(X)
    expected = jax.grad(lambda x: ((theirs(x) + 1) ** 2).sum())(X)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


def test_exact_gelu_and_log1mexp():
    np.testing.assert_allclose(nn.gelu(X, False), jax.nn.gelu(X, False), rtol=1e-5, atol=1e-6)
    positive = np.array([1e-6, 0.1, 0.7, 5.0, 50.0], np.float32)
    np.testing.assert_allclose(nn.log1mexp(positive), jax.nn.log1mexp(positive), rtol=1e-5)


def test_masked_softmax():
    mask = X > -1
    np.testing.assert_allclose(nn.softmax(X, where=mask), jax.nn.softmax(X, where=mask), rtol=1e-5)
    assert float(nn.softmax(X, where=mask)[0]) == 0
    slope = jitml.grad(lambda x: nn.log_softmax(x, where=mask)[-1])(X)
    assert np.isfinite(slope).all()


def test_extreme_inputs():
    huge = jnp.array([1e4, -1e4, jnp.inf])
    assert nn.softmax(huge[:2]).tolist() == [1, 0]
    assert float(nn.logsumexp(huge[:2])) == 1e4
    assert float(nn.logsumexp(jnp.array([-jnp.inf, -jnp.inf]))) == -np.inf
    assert nn.softplus(huge).tolist() == [1e4, 0, np.inf]
    assert np.isnan(float(nn.relu(jnp.nan)))
    assert float(jitml.grad(nn.relu)(0.0)) == 0
    assert nn.hard_tanh(jnp.array([-3, 0, 2])).dtype == np.int32


def test_softplus_has_right_second_derivative_at_ties():
    second = jitml.grad(jitml.grad(nn.softplus))(0.0)
    assert float(second) == pytest.approx(0.25)


def test_logsumexp_with_weights_and_signs():
    b = np.array([1.0, -1.0, 2.0, 0.5, 1.0, 1.0, 1.0, -1.0, 0.5, -2.0], np.float32)
    ours, sign = nn.logsumexp(X, b=b, return_sign=True)
    theirs, their_sign = jax.nn.logsumexp(X, b=b, return_sign=True)
    assert float(sign) == float(their_sign)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_one_hot():
    found = nn.one_hot(jnp.array([0, 2, 5]), 3)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert nn.one_hot(jnp.array([1]), 3, axis=0, dtype=bool).shape == (3, 1)


@pytest.mark.parametrize(
    "name",
    ["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform"],
)
def test_initializers(name):
    key = np.array([0, 5], np.uint32)
    ours = getattr(nn.initializers, name)()(key, (3, 3, 4, 8))
    theirs = getattr(jax.nn.initializers, name)()(key, (3, 3, 4, 8))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    with pytest.raises(jitml.errors.ArgumentError, match="2 or more dimensions"):
        getattr(nn.initializers, name)()(key, (3,))


def test_orthogonal_initializers():
    key = np.array([0, 5], np.uint32)
    for shape in ((3, 5), (2, 3, 4)):
        ours = nn.initializers.orthogonal(2.0, -2)(key, shape)
        theirs = jax.nn.initializers.orthogonal(2.0, -2)(key, shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    ours = np.asarray(nn.initializers.delta_orthogonal()(key, (3, 2, 4, 6)))
    np.testing.assert_allclose(ours[1, 0] @ ours[1, 0].T, np.eye(4), atol=1e-6)
    assert np.abs(ours).sum() == pytest.approx(np.abs(ours[1, 0]).sum())
    for name, shape, message in [
        ("orthogonal", (3,), "orthogonal needs 2 or more dimensions"),
        ("delta_orthogonal", (3, 3), "delta_orthogonal needs 3 to 5 dimensions"),
        ("delta_orthogonal", (3, 6, 4), "of 6 inputs needs as many outputs or more, not 4"),
    ]:
        with pytest.raises(jitml.errors.ArgumentError, match=message):
            getattr(nn.initializers, name)()(key, shape)


@pytest.mark.parametrize("name", ["relu6", "hard_sigmoid", "hard_silu"])
def test_derivatives_where_pieces_meet_are_jaxs(name):
    corners = np.array([-3.0, -0.0, 0.0, 3.0, 6.0], np.float32)
    ours, theirs = (m.grad(lambda x, m=m: getattr(m.nn, name)(x).sum()) for m in (jitml, jax))
    np.testing.assert_array_equal(ours(corners), theirs(corners))
