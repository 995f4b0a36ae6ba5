"""jitml.random against jax.random: the same keys give the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, random

jax = pytest.importorskip("jax")
KEY = np.array([0, 7], np.uint32)
FLOATS = ["float16", "bfloat16", "float32"]
X = np.arange(24, dtype=np.float32).reshape(4, 6)
P = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def both(name, *arguments, **options):
    ours = getattr(random, name)(KEY, *arguments, **options)
    theirs = getattr(jax.random, name)(KEY, *arguments, **options)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    return ours, theirs


EXACT = [
    ("split", (), {}),
    ("split", ((3, 2),), {}),
    ("fold_in", (123,), {}),
    *(("bits", ((5, 3), f"uint{n}"), {}) for n in (8, 16, 32)),
    *(("uniform", ((1000,), d), {}) for d in FLOATS),
    *(("uniform", ((1000,), d, -3, 5.5), {}) for d in FLOATS),
    *(("randint", ((200,), 3, 100, d), {}) for d in ("int8", "uint8", "int16", "int32", "uint32")),
    ("randint", ((200,), 0, 256, "uint8"), {}),
    ("randint", ((9,), 5, 2, "int32"), {}),
    ("randint", ((3, 4), np.array([0, -5, 3, 9]), np.array([1, 5, 3, 2**31 - 1])), {}),
    ("bernoulli", (0.3, (100,)), {}),
    ("bernoulli", (0.3, (100,), "high"), {}),
    ("rademacher", ((99,),), {}),
    ("permutation", (1000,), {}),
    ("permutation", (X,), {}),
    ("permutation", (X, 1), {}),
    ("permutation", (X, 1, True), {}),
    *(("choice", (a, (3,), r, p), {}) for a in (4, X) for r in (True, False) for p in (None, P)),
    ("categorical", (X,), {}),
    ("categorical", (X, 0, (5, 6)), {}),
    ("categorical", (X, 1, (3, 4)), {"replace": False}),
]
NEAR = [
    *(("normal", ((1000,), d), {}) for d in (*FLOATS, "complex64")),
    *(
        (n, ((1000,),), {})
        for n in ("exponential", "gumbel", "laplace", "logistic", "cauchy", "maxwell")
    ),
    ("gumbel", ((1000,),), {"mode": "high"}),
    ("truncated_normal", (-1, 2.0, (1000,)), {}),
    ("pareto", (2.0,), {"shape": (50,)}),
    ("rayleigh", (1.5,), {"shape": (50,)}),
    ("lognormal", (0.5,), {"shape": (50,)}),
    ("weibull_min", (2.0, 3.0, (50,)), {}),
    ("triangular", (0.0, 0.3, 1.0), {"shape": (50,)}),
    ("geometric", (0.2,), {"shape": (50,)}),
]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "arguments", "options"), EXACT)
def test_same_bits(name, arguments, options):
    ours, theirs = both(name, *arguments, **options)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "arguments", "options"), NEAR)
def test_same_samples(name, arguments, options):
    ours, theirs = both(name, *arguments, **options)
    tolerance = {2: 1e-2, 4: 2e-6, 8: 2e-6}[ours.dtype.itemsize]
    kind = np.complex128 if ours.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        ours.astype(kind), theirs.astype(kind), rtol=tolerance, atol=tolerance
    )


def test_sixty_four_bits():
    with jax.enable_x64(True), jitml.enable_x64():
        for seed in (-1, 2**40, 5):
            np.testing.assert_array_equal(random.PRNGKey(seed), jax.random.PRNGKey(seed))
        for name, arguments in (
            ("bits", ((9,), "uint64")),
            ("uniform", ((99,),)),
            ("randint", ((9,), 0, 2**60)),
        ):
            np.testing.assert_array_equal(*both(name, *arguments))


def test_keys_are_pytrees_and_batch():
    keys = random.split(random.key(3), 5)
    assert (keys.shape, keys[1:].shape, len(keys), len(list(keys))) == ((5,), (4,), 5, 5)
    assert [type(leaf).__name__ for leaf in jitml.tree.leaves({"k": keys})] == ["Array"]
    samples = jitml.vmap(lambda k: random.normal(k, (2,)))(keys)
    expected = [np.asarray(random.normal(k, (2,))) for k in keys]
    np.testing.assert_array_equal(np.asarray(samples), expected)
    inside = jitml.jit(lambda k: random.uniform(random.fold_in(k, 1), (3,)))(random.key(3))
    np.testing.assert_array_equal(inside, random.uniform(random.fold_in(random.key(3), 1), (3,)))


def test_gradients_go_through_parameters():
    slope = jitml.grad(lambda high: random.uniform(KEY, (), maxval=high))(2.0)
    assert float(slope) == pytest.approx(float(random.uniform(KEY)), rel=1e-6)


def test_errors():
    with pytest.raises(errors.ArgumentError, match="vmap runs it for each key"):
        random.uniform(random.split(random.key(0), 3))
    with pytest.raises(errors.DTypeError, match="samples are floats"):
        random.uniform(KEY, (), "int32")
    with pytest.raises(errors.ArgumentError, match="without replacement"):
        random.choice(KEY, 3, (4,), replace=False)
    with pytest.raises(errors.ShapeError, match="do not broadcast"):
        random.bernoulli(KEY, jnp.ones(3), (2,))
