"""`jitml.scipy.stats` against SciPy: each function of each distribution; summaries; estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from names import DISTRIBUTIONS

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError, DTypeError, ShapeError
from jitml.scipy import stats

sp = pytest.importorskip("scipy.stats")
X = np.array([-np.inf, -3.2, -0.7, 0.0, 0.3, 1.0, 1.7, 4.0, 60.0, np.inf, np.nan])
Q = np.array([-0.1, 0.0, 0.01, 0.5, 0.975, 1.0, 1.1, np.nan])
K = np.array([-1, 0, 1, 2, 3, 7, 20, 1.5])

# Their parameters; three that are invalid come at the end of each.
SHAPES: dict[str, tuple[float, ...]] = {
    "beta": (2.3, 0.8), "chi2": (3.0,), "gamma": (1.7,), "pareto": (2.5,), "t": (4.0,),
    "truncnorm": (-0.5, 2.0), "cauchy": (), "expon": (), "gumbel_l": (), "gumbel_r": (),
    "laplace": (), "logistic": (), "norm": (), "uniform": (),
    "bernoulli": (0.3,), "betabinom": (7.0, 1.5, 2.0), "binom": (7.0, 0.3), "geom": (0.3,),
    "nbinom": (4.0, 0.3), "poisson": (2.5,), "gennorm": (1.3,), "vonmises": (2.0,),
    "wrapcauchy": (0.4,),
}  # fmt: skip
NO_PLACE = ("gennorm", "vonmises", "wrapcauchy")
FUNCTIONS = [
    "logpdf", "pdf", "logpmf", "pmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf", "entropy",
]  # fmt: skip
CALLS = [(d, f) for d in SHAPES for f in FUNCTIONS if hasattr(getattr(stats, d), f)]


def points(name: str, function: str) -> Any:
    if function in ("ppf", "isf"):
        return Q
    is_count = hasattr(getattr(stats, name), "pmf")
    return K if is_count else X if name != "vonmises" else X[1:-2]


def test_every_distribution_is_looked_at() -> None:
    others = {"dirichlet", "multinomial", "multivariate_normal"}
    assert set(SHAPES) | others == set(DISTRIBUTIONS)


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "function"), CALLS)
def test_values(name: str, function: str) -> None:
    ours, theirs = getattr(getattr(stats, name), function), getattr(getattr(sp, name), function)
    shapes, at = SHAPES[name], points(name, function)
    is_count = hasattr(getattr(stats, name), "pmf")
    places: dict[str, float] = {} if name in NO_PLACE else {"loc": 1.0 if is_count else 0.3}
    if not is_count and places:
        places["scale"] = 1.4
    if name == "bernoulli" and function in ("cdf", "ppf"):
        places = {}
    with np.errstate(all="ignore"):
        if function == "entropy":
            at, expected = shapes, theirs(*shapes)
            shapes = ()
            found = ours(*at)
        else:
            expected = theirs(at, *shapes, **places)
            found = ours(at, *shapes, **places)
    keep = np.ones(np.shape(expected), bool)
    if function == "cdf" and name == "poisson":
        keep = np.asarray(at) == np.floor(at)
    if name == "bernoulli" and function == "ppf":  # SciPy has loc − 1 at 0
        keep = Q != 0
    np.testing.assert_allclose(
        np.asarray(found)[keep], np.asarray(expected)[keep], rtol=2e-6, atol=1e-12
    )
    single = ours(*(np.float32(v) for v in (at if function == "entropy" else (at[3], *shapes))))
    assert single.dtype == jnp.float32


def test_parameters_that_are_no_distribution_s() -> None:
    for name, shapes in {
        "beta": (-1.0, 1.0), "chi2": (0.0,), "gamma": (-1.0,), "pareto": (-1.0,), "t": (-1.0,),
        "truncnorm": (2.0, 1.0), "bernoulli": (1.5,), "betabinom": (2.0, -1.0, 1.0),
        "binom": (2.0, 1.5), "geom": (0.0,), "nbinom": (-1.0, 0.5), "poisson": (-1.0,),
        "gennorm": (-1.0,), "vonmises": (-1.0,), "wrapcauchy": (1.5,),
    }.items():  # fmt: skip
        module = getattr(stats, name)
        density = module.logpmf if hasattr(module, "pmf") else module.logpdf
        assert np.isnan(density(1.0, *shapes)), name
    assert np.isnan(stats.norm.logpdf(1.0, 0.0, 0.0))
    for name in ("norm", "cauchy", "expon", "laplace", "logistic", "gumbel_l", "uniform"):
        assert np.isnan(getattr(stats, name).cdf(0.0, 0.0, -1.0)) or name == "laplace"


FUNCTIONS = [
    "logpmf", "pmf", "logpdf", "pdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf",
]  # fmt: skip


def test_what_is_of_nan_is_nan() -> None:
    for name, shapes in {
        "geom": (0.5,), "poisson": (2.5,), "uniform": (), "gamma": (2.0,), "wrapcauchy": (0.4,),
        "binom": (3.0, 0.5), "nbinom": (3.0, 0.5), "bernoulli": (0.5,),
        "betabinom": (3.0, 1.0, 2.0),
        "norm": (), "expon": (), "laplace": (), "logistic": (), "beta": (1.5, 2.0), "chi2": (2.0,),
        "cauchy": (), "gumbel_l": (), "gumbel_r": (), "pareto": (2.0,), "t": (3.0,),
        "truncnorm": (-1.0, 1.0), "gennorm": (1.5,), "vonmises": (1.5,),
    }.items():  # fmt: skip
        module = getattr(stats, name)
        for function in FUNCTIONS:
            if hasattr(module, function):
                assert np.isnan(getattr(module, function)(np.nan, *shapes)), (name, function)


def test_distributions_of_vectors() -> None:
    alpha, x = np.array([0.5, 1.5, 3.0]), np.array([[0.2, 0.1], [0.3, 0.4], [0.5, 0.5]])
    np.testing.assert_allclose(
        stats.dirichlet.pdf(x, alpha), [sp.dirichlet.pdf(v, alpha) for v in x.T], rtol=1e-9
    )
    np.testing.assert_allclose(
        stats.dirichlet.logpdf(x[:2], alpha), stats.dirichlet.logpdf(x, alpha)
    )
    assert stats.dirichlet.pdf(np.array([0.5, 0.6]), np.ones(2)) == 0
    counts, p = np.array([[1, 2, 1], [0, 4, 0], [1, 1, 1]]), np.array([0.2, 0.5, 0.3])
    np.testing.assert_allclose(
        stats.multinomial.pmf(counts, 4, p), sp.multinomial.pmf(counts, 4, p), rtol=1e-9
    )
    mean, cov = np.array([1.0, -0.5]), np.array([[2.0, 0.3], [0.3, 0.5]])
    at = np.array([[0.3, 0.4], [1.0, 2.0], [-3.0, 0.1]])
    law = sp.multivariate_normal
    for spread in (cov, 0.7):
        np.testing.assert_allclose(
            stats.multivariate_normal.pdf(at, mean, spread), law.pdf(at, mean, spread), rtol=1e-6
        )
    both = stats.multivariate_normal.logpdf(at[0], mean, np.stack([cov, 2 * cov]))
    np.testing.assert_allclose(
        both, [law.logpdf(at[0], mean, c) for c in (cov, 2 * cov)], rtol=1e-9
    )
    assert stats.multivariate_normal.pdf(0.3, 0.1, 2.0) == pytest.approx(
        law.pdf(0.3, 0.1, 2.0), 1e-6
    )


def test_derivatives() -> None:
    with jitml.enable_x64():
        for function, point in [
            (stats.gamma.logpdf, (1.3, 2.1, 0.2, 1.5)),
            (stats.beta.cdf, (0.4, 2.1, 1.2)),
            (stats.truncnorm.logpdf, (0.4, -0.5, 1.2, 0.1, 1.5)),
            (stats.norm.logcdf, (-8.0, 0.1, 1.4)),
            (stats.t.logpdf, (1.3, 3.3)),
        ]:
            slopes = jitml.grad(function, tuple(range(len(point))))(*point)
            for k, slope in enumerate(slopes):
                low, high = (list(point) for _ in range(2))
                low[k], high[k] = point[k] - 1e-5, point[k] + 1e-5
                step = (function(*high) - function(*low)) / 2e-5
                assert slope == pytest.approx(float(step), rel=1e-6), (function, k)
        # Outside of the support the untaken side leaves no NaN.
        assert jitml.grad(stats.gamma.pdf)(-1.0, 2.0) == 0


def test_poisson_s_entropy() -> None:
    rates = np.array([0.0, 0.3, 9.0, 99.0, 150.0])
    np.testing.assert_allclose(stats.poisson.entropy(rates), sp.poisson.entropy(rates), rtol=1e-6)


def test_summaries() -> None:
    a = np.array([[3, 1, 3, 2], [0, 1, 1, 2], [0, 5, 1, 2]])
    for axis in (0, 1, None, -1):
        for keep in (False, True):
            ours, theirs = stats.mode(a, axis, keepdims=keep), sp.mode(a, axis=axis, keepdims=keep)
            np.testing.assert_array_equal(ours.mode, theirs.mode)
            np.testing.assert_array_equal(ours.count, theirs.count)
        for method in ("average", "min", "max", "dense", "ordinal"):
            expected = sp.rankdata(a, method, axis=axis)
            np.testing.assert_array_equal(stats.rankdata(a, method, axis=axis), expected)
        np.testing.assert_allclose(stats.sem(a, axis), sp.sem(a, axis), rtol=1e-6)
    b = np.where(a == 5, np.nan, a)
    omitted = sp.sem(b, nan_policy="omit")
    np.testing.assert_allclose(stats.sem(b, nan_policy="omit"), omitted, rtol=1e-6)
    assert np.isnan(stats.rankdata(b)).all()
    assert jitml.jit(stats.rankdata)(jnp.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1.0, 2.5]


def test_density_estimates() -> None:
    random = np.random.default_rng(4)
    data, weights = random.normal(size=(2, 30)), random.uniform(0.5, 1, 30)
    at = random.normal(size=(2, 5))
    for method in (None, "silverman", 0.4):
        ours, theirs = (f(data, method, weights) for f in (stats.gaussian_kde, sp.gaussian_kde))
        np.testing.assert_allclose(ours(at), theirs(at), rtol=1e-9)
        np.testing.assert_allclose(ours.logpdf(at), theirs.logpdf(at), rtol=1e-9)
    mean, cov = np.array([0.1, 0.2]), np.eye(2) * 0.5
    expected = theirs.integrate_gaussian(mean, cov)
    assert ours.integrate_gaussian(mean, cov) == pytest.approx(expected, rel=1e-9)
    other = [f(data[:, :9]) for f in (stats.gaussian_kde, sp.gaussian_kde)]
    assert ours.integrate_kde(other[0]) == pytest.approx(theirs.integrate_kde(other[1]), rel=1e-9)
    line = [f(data[0]) for f in (stats.gaussian_kde, sp.gaussian_kde)]
    assert line[0].integrate_box_1d(-1, 0.5) == pytest.approx(line[1].integrate_box_1d(-1, 0.5))
    samples = np.asarray(ours.resample(jitml.random.key(0), (500,)))
    assert samples.shape == (2, 500)
    assert np.abs(samples.mean(1) - np.average(data, axis=1, weights=weights)).max() < 0.2
    inside = jitml.jit(lambda estimate, x: estimate.pdf(x))(ours, at)
    np.testing.assert_allclose(inside, ours(at), rtol=1e-12)


def test_errors() -> None:
    with pytest.raises(DTypeError, match=r"norm\.logpdf: takes real numbers") as caught:
        stats.norm.logpdf(1j)
    assert "test_stats.py" in str(caught.value)
    with pytest.raises(ShapeError, match=r"gamma\.cdf: shapes do not broadcast"):
        stats.gamma.cdf(jnp.ones(2), jnp.ones(3))
    with pytest.raises(ShapeError, match=r"alpha of shape \(3,\) for x of shape \(5,\)"):
        stats.dirichlet.pdf(np.ones(5), np.ones(3))
    with pytest.raises(DTypeError, match="counts are integers, not float64 and int"):
        stats.multinomial.pmf(np.ones(2), 2, np.ones(2) / 2)
    with pytest.raises(ShapeError, match="needs a covariance of 2 × 2"):
        stats.multivariate_normal.pdf(np.ones(2), np.ones(2), np.eye(3))
    with pytest.raises(ArgumentError, match="allow_singular is not supported"):
        stats.multivariate_normal.logpdf(0.0, 0.0, 1.0, allow_singular=True)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="rankdata: method 'best' is not known"):
        stats.rankdata(np.ones(3), "best")
    for function in (stats.mode, stats.rankdata, stats.sem):
        with pytest.raises(ArgumentError, match="nan_policy 'raise' is not supported"):
            function(np.ones(3), nan_policy="raise")
    with pytest.raises(ArgumentError, match="two real numbers or more"):
        stats.gaussian_kde(np.ones(1))
    estimate = stats.gaussian_kde(np.arange(3.0))
    for call, message in [
        (lambda: stats.gaussian_kde(np.arange(3.0), "best"), "bw_method 'best' is not known"),
        (lambda: stats.gaussian_kde(np.arange(3.0), weights=np.ones(2)), "for 3 samples"),
        (lambda: estimate(np.ones((2, 2))), "points of 2 dimensions, the dataset has 1"),
        (lambda: estimate.integrate_box(0, 1), "integrate_box is not supported"),
        (lambda: estimate.set_bandwidth(1), "set_bandwidth is not supported"),
        (lambda: estimate.integrate_gaussian(np.ones(2), np.eye(2)), "in 1 dimensions"),
        (lambda: estimate.integrate_box_1d(np.ones(2), 1), "takes two numbers"),
    ]:
        with pytest.raises((ArgumentError, ShapeError), match=message):
            call()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stats.nothing


def test_the_least_count_of_geom_has_the_slope_of_others() -> None:
    slope = jitml.grad(lambda k: stats.geom.pmf(k, 0.3))(1.0)
    np.testing.assert_allclose(slope, 0.3 * np.log(0.7), 1e-5)
