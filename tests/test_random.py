"""jitml.random against jax.random: the same keys give the same bits."""

from __future__ import annotations

import os

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
    ("multivariate_normal", (P, np.diag(P) + np.float32(0.1), (9,)), {}),
    ("orthogonal", (2, (3,)), {"m": 4}),
    ("double_sided_maxwell", (0.5, P, (9,)), {}),
    ("wald", (2.0, (99,)), {}),
]


# Loops, which JAX takes long to compile: compared with what it gave, and with itself on demand.
LOOPS_EXACT = [
    ("poisson", (np.array([0, 0.5, 3, 11, 200, 1e4, np.nan, -1], np.float32),), {}),
    ("poisson", (3.0, (300,), "uint8"), {}),
    ("binomial", (20, 0.3, (300,)), {}),
    ("binomial", (np.float32([5, 1e4, 100, 3, -1]), np.float32([0.2, 0.9, 0.5, np.nan, 0.3])), {}),
    ("multinomial", (20, P), {"shape": (5, 4)}),
]
LOOPS_NEAR = [
    ("gamma", (np.array([0.1, 0.5, 1, 3, 100, np.nan, np.inf], np.float32),), {}),
    ("gamma", (2.5, (300,)), {}),
    ("loggamma", (0.01, (300,)), {}),
    ("beta", (0.5, 2.0, (99,)), {}),
    ("chisquare", (3.0, (99,)), {}),
    ("f", (3.0, 5.0, (99, 2)), {}),
    ("t", (3.0, (99,)), {}),
    ("dirichlet", (P, (9,)), {}),
    ("generalized_normal", (1.5, (99,)), {}),
    ("ball", (3,), {"shape": (9,)}),
]
on_demand = pytest.mark.skipif("JITML_GRID" not in os.environ, reason="JITML_GRID is not set")
RECORDED = [
    ("gamma", (2.5, (3,)), [2.6251302, 1.227299, 1.3155578]),
    ("gamma", (0.2, (3,)), [3.472793e-10, 0.084940255, 7.57988e-07]),
    ("loggamma", (0.01, (3,)), [-438.77298, -28.831963, -263.69727]),
    ("beta", (0.5, 2.0, (3,)), [0.019392488, 0.21211317, 0.0013491535]),
    ("chisquare", (3.0, (3,)), [3.0220666, 1.0437909, 1.1556823]),
    ("f", (3.0, 5.0, (3,)), [0.4838432, 1.1076066, 1.647701]),
    ("t", (3.0, (3,)), [2.315182, 0.14994875, -0.5002365]),
    ("dirichlet", (P,), [4.252356e-20, 0.038830735, 3.2211807e-05, 0.96113706]),
    ("poisson", (3.0, (4,)), [4, 1, 1, 3]),
    ("poisson", (300.0, (4,)), [309, 318, 295, 296]),
    ("binomial", (20, 0.3, (4,)), [8, 10, 6, 7]),
    ("binomial", (1000, 0.7, (4,)), [692, 684, 734, 672]),
    ("multinomial", (20, P), [2, 5, 5, 8]),
    ("generalized_normal", (1.5, (3,)), [-0.11314882, -0.78606486, 0.058673814]),
    ("ball", (3,), [-0.36388415, 0.3945854, 0.1197582]),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), RECORDED)
def test_samples_of_loops_are_those_recorded(name, arguments, expected):
    found = np.asarray(getattr(random, name)(KEY, *arguments))
    np.testing.assert_allclose(found, expected, rtol=3e-6)


@on_demand
@pytest.mark.parametrize(("name", "arguments", "options"), LOOPS_EXACT)
def test_same_counts(name, arguments, options):
    np.testing.assert_array_equal(*both(name, *arguments, **options))


@on_demand
@pytest.mark.parametrize(("name", "arguments", "options"), LOOPS_NEAR)
def test_same_samples_of_loops(name, arguments, options):
    np.testing.assert_allclose(*both(name, *arguments, **options), rtol=4e-6)


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


def test_distributions():
    """Of means, deviations and the greatest distance of distribution functions, with 64 bits."""
    stats = pytest.importorskip("scipy.stats")
    with jitml.enable_x64():
        for name, parameters, law in [
            ("gamma", (0.4,), stats.gamma(0.4)),
            ("beta", (2.0, 0.7), stats.beta(2.0, 0.7)),
            ("t", (4.0,), stats.t(4.0)),
            ("wald", (1.5,), stats.invgauss(1.5)),
            ("poisson", (25.0,), stats.poisson(25.0)),
            ("binomial", (60, 0.4), stats.binom(60, 0.4)),
        ]:
            samples = np.asarray(getattr(random, name)(KEY, *parameters, shape=(4000,)))
            assert samples.dtype.itemsize == 8
            points = np.unique(samples)
            share = np.searchsorted(np.sort(samples), points, side="right") / samples.size
            assert np.abs(share - law.cdf(points)).max() < 1.63 / np.sqrt(samples.size), name


def test_samples_have_derivatives_by_parameters():
    """Against what JAX gave."""
    for sample, first, expected in [
        (lambda a: random.gamma(KEY, a), 2.5, 1.0950514),
        (lambda a: random.loggamma(KEY, a), 0.3, 47.35221),
        (lambda a: random.beta(KEY, a, 2.0), 1.3, 0.3521367),
    ]:
        assert float(jitml.grad(sample)(first)) == pytest.approx(expected, rel=1e-5)
    slopes = jitml.jacrev(lambda a: random.dirichlet(KEY, a))(P)[3]
    total = jitml.jacfwd(lambda a: random.dirichlet(KEY, a))(P)
    np.testing.assert_allclose(slopes, total[3], rtol=1e-4)
    np.testing.assert_allclose(np.asarray(total).sum(0), 0, atol=1e-6)


def test_loops_of_samples_batch_and_end():
    keys = random.split(random.PRNGKey(5), 3)
    together = jitml.vmap(lambda k: random.gamma(k, 1.5, (4,)))(keys)
    alone = [np.asarray(random.gamma(k, 1.5, (4,))) for k in keys]
    np.testing.assert_array_equal(together, alone)
    counts = jitml.vmap(lambda k: random.poisson(k, 30.0, (4,)))(keys)
    np.testing.assert_array_equal(counts, [np.asarray(random.poisson(k, 30.0, (4,))) for k in keys])
    assert np.isnan(random.gamma(KEY, jnp.array([-1.0, jnp.nan]))).all()
    assert int(random.poisson(KEY, jnp.inf)) == -1
    assert float(random.binomial(KEY, jnp.inf, 0.0)) == np.inf


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
    for name, parameters in [
        ("gamma", (1.0,)), ("loggamma", (1.0,)), ("beta", (1.0, 1.0)), ("chisquare", (1.0,)),
        ("f", (1.0, 1.0)), ("t", (1.0,)), ("dirichlet", (P,)), ("binomial", (3, 0.5)),
        ("multinomial", (3, P)), ("multivariate_normal", (P, np.eye(4, dtype=np.float32))),
        ("generalized_normal", (2.0,)), ("ball", (2,)), ("double_sided_maxwell", (0.0, 1.0)),
        ("wald", (1.0,)),
    ]:  # fmt: skip
        with pytest.raises(errors.DTypeError, match=f"{name}: samples are floats, not int32"):
            getattr(random, name)(KEY, *parameters, dtype="int32")
    with pytest.raises(errors.DTypeError, match="samples are integers"):
        random.poisson(KEY, 1.0, dtype="float32")
    with pytest.raises(errors.ShapeError, match="alpha has at least one dimension"):
        random.dirichlet(KEY, 1.0)
    with pytest.raises(errors.ShapeError, match="p has at least one dimension"):
        random.multinomial(KEY, 3, 0.5)
    with pytest.raises(errors.ShapeError, match="a mean of n elements needs a covariance of n × n"):
        random.multivariate_normal(KEY, P, np.eye(3))
    with pytest.raises(errors.ArgumentError, match="method 'lu' is not known"):
        random.multivariate_normal(KEY, P, np.eye(4), method="lu")
    with pytest.raises(TypeError):
        random.orthogonal(KEY, 2.5)
    with pytest.raises(errors.ArgumentError, match="there is no key type 'other'"):
        random.key_dtype("other")
    with pytest.raises(errors.ArgumentError, match="there is no key dtype 'other'"):
        random.key(0, dtype="other")
    assert random.key(0, dtype=random.key_dtype()).dtype == random.key_dtype()


@pytest.mark.parametrize("method", ["cholesky", "svd", "eigh"])
def test_covariances_of_normals(method):
    """Which root of the covariance is taken depends on the library's signs."""
    covariance = np.diag(P) + np.float32(0.1)
    samples = random.multivariate_normal(KEY, P, covariance, (20_000,), method=method)
    np.testing.assert_allclose(np.mean(samples, 0), P, atol=0.03)
    np.testing.assert_allclose(np.cov(np.asarray(samples).T), covariance, atol=0.03)
