"""`jitml.scipy.special` against SciPy, its derivatives against JAX, its errors."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import ArgumentError, DifferentiationError, DTypeError, JitmlError, ShapeError
from jitml.scipy import special

sp = pytest.importorskip("scipy.special")
INF, NAN = math.inf, math.nan
X = np.array([-3.7, -2.0, -0.4, -0.0, 0.0, 0.3, 1.0, 2.6, 7.5, 40.0, INF, -INF, NAN])
P = np.array([0.2, 0.0, 1.0, 0.5, 0.999, 1e-9, 1.5, -0.1, NAN])
A = np.array([0.4, 2.0, 11.0, 300.0, 0.0, 1.0, 1.0, 0.7, INF, -1.0, NAN])
B = np.array([1.3, 0.5, 9.0, 290.0, 1.0, 0.0, INF, 1e-3, 2.0, 1.0, 1.0])
F = np.array([0.3, 0.9, 0.5, 0.5, 0.2, 0.4, 0.3, 0.0, 0.3, 0.5, 0.5])
N = np.array([0, 1, 2, 5, 3, 1, 2, 0, 4])
Y = np.array([0.5, 2.0, 0.1, 9.0, 1.0, 0.0, INF, 3.0, NAN])
C = np.array([1.3, 0.5, 2.0, 4.0, 3.5, 2.0])
Z = np.array([0.4 + 1j, -2.3 + 0.1j, 5.0 - 3j, 0.01j, 12.0 + 7j, -3.5 - 2j])

UNARY = (
    "gammaln digamma erf erfc erfcx dawsn ndtr log_ndtr expit i0 i0e i1 i1e exp1 expi spence gamma "
    "gammasgn loggamma entr factorial"
)
VALUES: list[tuple[str, tuple[Any, ...]]] = [
    *((name, (X,)) for name in UNARY.split()),
    *((name, (P,)) for name in ("erfinv", "ndtri", "logit")),
    *((name, (A, B)) for name in ("gammainc", "gammaincc", "beta", "betaln", "xlogy", "xlog1py")),
    *((name, (A, B)) for name in ("kl_div", "rel_entr", "zeta", "owens_t")),
    ("betainc", (A, B, F)),
    ("expn", (N, Y)),
    ("polygamma", (N, np.abs(Y) + 0.1)),
    ("poch", (X[:9], np.array([2.0, -1.0, 0.5, 1.0, 2.0, 0.0, 3.0, -4.0, 2.5]))),
    ("boxcox", (np.abs(X), X[::-1].copy())),
    ("boxcox1p", (np.abs(X[:9]), X[:9][::-1].copy())),
    ("hyp1f1", (C, C[::-1].copy(), np.array([0.3, -9.0, 20.0, 0.0, -2.0, 1.0]))),
    ("hyp2f1", (C, C[::-1].copy(), C + 0.7, np.array([0.3, -9.0, 0.95, 0.0, -2.0, 0.5]))),
    ("sici", (X[:10],)),
    ("fresnel", (X,)),
    ("comb", (np.array([5.0, 10.0, 3.0, 0.0, 40.0, 4.5]), np.array([2, 3, 5, 0, 20, 2]))),
    ("multigammaln", (np.array([3.5, 9.0]), 4)),
    ("logsumexp", (np.array([[0.5, 800.0], [-INF, 801.0]]),)),
    ("softmax", (np.array([[0.5, 1.0], [-2.0, 8.0]]),)),
    ("log_softmax", (np.array([[0.5, 1.0], [-2.0, -1.0]]),)),
    *((name, (Z,)) for name in ("wofz", "gamma", "loggamma", "erfcx")),
]
# Where SciPy gives something else on purpose: at an infinite argument.
SKIPPED = {("spence", INF), ("gammaln", -INF)}


def cast(x: Any, width: int) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype.kind == "i":
        return x
    return x.astype(f"complex{2 * width}" if x.dtype.kind == "c" else f"float{width}")


@pytest.mark.sampled
@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(("name", "arguments"), VALUES)
def test_values(name: str, arguments: tuple[Any, ...], width: int) -> None:
    given = [cast(x, width) for x in arguments]
    wide = [cast(x, 64) if isinstance(x, np.ndarray) else x for x in given]
    with np.errstate(all="ignore"):
        expected = getattr(sp, name)(*wide)
    found = getattr(special, name)(*given)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    # Four units in the last place of float32, of complex numbers by their size.
    tolerance = 4 * 2.0**-23 if width == 32 else 2e-11
    for ours, theirs in pairs:
        assert np.asarray(ours).dtype.itemsize * 8 == width * (2 if ours.dtype.kind == "c" else 1)
        keep = np.ones(np.shape(theirs), bool)
        if np.ndim(theirs) == 1:
            keep &= [(name, x) not in SKIPPED for x in arguments[0]]
        with np.errstate(over="ignore"):
            theirs = cast(np.asarray(theirs, complex if ours.dtype.kind == "c" else float), width)
        np.testing.assert_allclose(
            np.asarray(ours)[keep], theirs[keep], rtol=tolerance, atol=tolerance * 2.0**-100
        )


def test_harmonics_bessel_and_bernoulli() -> None:
    z = np.array([0.0, 0.4, 3.0, 17.0])
    expected = np.stack([sp.jv(k, z) for k in range(4)])
    np.testing.assert_allclose(special.bessel_jn(z, v=3), expected, rtol=1e-9, atol=1e-12)
    n, m = np.array([0, 1, 2, 5, 5]), np.array([0, -1, 1, 5, -3])
    expected = sp.sph_harm_y(n, m, 0.7, 1.9)
    np.testing.assert_allclose(special.sph_harm_y(n, m, 0.7, 1.9), expected, rtol=2e-6)
    inside = jitml.jit(lambda n: special.sph_harm_y(n, m, 0.7, 1.9, n_max=5))(n)
    np.testing.assert_allclose(inside, expected, rtol=2e-6)
    np.testing.assert_allclose(special.bernoulli(30), sp.bernoulli(30), rtol=1e-6)
    assert np.all(np.isinf(np.asarray(special.bernoulli(600))[[598, 600]]))


def test_sums_keep_away_from_their_poles() -> None:
    step = math.sqrt(math.pi / 12)
    x = step * np.array([3.0, 3.5, 4.0, 4.5, 11.0, 11.5]) * (1 + 1e-9)
    np.testing.assert_allclose(special.dawsn(x), sp.dawsn(x), rtol=1e-13)
    np.testing.assert_allclose(special.wofz(x + 1e-9j), sp.wofz(x + 1e-9j), rtol=1e-13)
    endless = special.wofz(np.array([INF, complex(1, INF), complex(-INF, -1)]))
    np.testing.assert_array_equal(endless, [0, 0, 0])


def test_small_floats_integers_and_broadcasting() -> None:
    assert special.gamma(jnp.arange(5, dtype="int32")).dtype == jnp.float32
    for dtype in ("float16", "bfloat16"):
        x = jnp.linspace(0.5, 3, 6).astype(dtype)
        found = special.gammainc(x[:, None], x)
        wide = np.asarray(x).astype(np.float64)
        assert (found.dtype, found.shape) == (x.dtype, (6, 6))
        expected = sp.gammainc(wide[:, None], wide)
        np.testing.assert_allclose(np.asarray(found).astype(np.float64), expected, rtol=2**-8)


FOUR = {"hyp2f1": 4, "betainc": 3, "hyp1f1": 3}
TWO = (
    "gammainc gammaincc beta betaln poch zeta owens_t xlogy xlog1py boxcox boxcox1p rel_entr "
    "kl_div expn"
)


def test_every_function_ends_on_special_numbers() -> None:
    numbers = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, 1e30, -1e30, 1e-40]
    arity = {**dict.fromkeys(TWO.split(), 2), **FOUR, **dict.fromkeys(UNARY.split(), 1)}
    for name, count in arity.items():
        points = np.array(list(itertools.product(numbers[: 11 if count < 4 else 6], repeat=count)))
        found = getattr(special, name)(*points.T)
        assert found.shape == points.shape[:1]
        lost = np.isnan(points).any(axis=1)
        if name not in (
            "zeta",
            "boxcox",
            "boxcox1p",
            "xlogy",
            "xlog1py",
            "poch",
            "hyp2f1",
            "hyp1f1",
        ):
            assert np.isnan(np.asarray(found)[lost]).all(), name


SLOPES: list[tuple[str, tuple[float, ...], tuple[int, ...]]] = [
    ("gamma", (2.3,), (0,)),
    ("gammainc", (1.7, 2.4), (0, 1)),
    ("gammaincc", (30.0, 21.0), (0, 1)),
    ("logit", (0.3,), (0,)),
    ("betainc", (1.7, 2.4, 0.3), (2,)),
    ("zeta", (2.5, 1.2), (0, 1)),
    ("xlogy", (0.0, 2.0), (0, 1)),
    ("betaln", (1.7, 2.4), (0, 1)),
    ("spence", (0.8,), (0,)),
    ("kl_div", (0.4, 0.7), (0, 1)),
    ("beta", (1.7, 2.4), (0, 1)),
    ("poch", (1.7, 2.4), (0, 1)),
    ("erfcx", (0.8,), (0,)),
    ("hyp1f1", (1.7, 2.4, 0.6), (0, 1, 2)),
    ("hyp2f1", (1.7, 2.4, 3.1, 0.6), (0, 1, 2, 3)),
    ("i0", (1.2,), (0,)),
    ("log_ndtr", (-12.0,), (0,)),
    ("digamma", (1.7,), (0,)),
    ("boxcox", (1.7, 0.4), (0, 1)),
    ("ndtri", (0.2,), (0,)),
    ("exp1", (0.8,), (0,)),
    ("dawsn", (0.8,), (0,)),
    ("expi", (0.8,), (0,)),
    ("owens_t", (0.8, 1.7), (0, 1)),
    ("entr", (0.3,), (0,)),
    ("multigammaln", (4.5, 3), (0,)),
]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "point", "places"), SLOPES)
def test_derivatives(name: str, point: tuple[float, ...], places: tuple[int, ...]) -> None:
    jax = pytest.importorskip("jax")
    theirs = getattr(pytest.importorskip("jax.scipy.special"), name)
    with jax.enable_x64(True), jitml.enable_x64():
        found = jitml.grad(getattr(special, name), places)(*point)
        expected = jax.grad(theirs, places)(*point)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_derivatives_that_jax_lacks() -> None:
    with jitml.enable_x64():
        for k in (0, 1):
            slope = jitml.grad(special.betainc, k)(2.0, 3.0, 0.7)
            low, high = ([2.0, 3.0, 0.7] for _ in range(2))
            low[k], high[k] = low[k] - 1e-6, high[k] + 1e-6
            assert slope == pytest.approx((sp.betainc(*high) - sp.betainc(*low)) / 2e-6, rel=1e-7)
        assert jitml.grad(lambda x: special.fresnel(x)[0])(0.7) == pytest.approx(
            math.sin(math.pi / 2 * 0.49)
        )
        turned = jitml.jacfwd(special.wofz, holomorphic=True)(0.3 + 0.2j)
        expected = 2j / math.sqrt(math.pi) - 2 * (0.3 + 0.2j) * sp.wofz(0.3 + 0.2j)
        np.testing.assert_allclose(turned, expected, rtol=1e-12)
        assert jitml.grad(jitml.grad(special.gammaln))(2.5) == pytest.approx(sp.polygamma(1, 2.5))


def test_loops_do_not_depend_on_neighbours() -> None:
    a = np.geomspace(0.01, 500, 37).astype(np.float32)
    x = a * np.linspace(0.5, 2, 37).astype(np.float32)
    together = np.asarray(special.gammainc(a, x))
    alone = np.array([np.asarray(special.gammainc(*pair)) for pair in zip(a, x, strict=True)])
    np.testing.assert_array_equal(together, alone)
    fused = jitml.jit(lambda a, x: jnp.sum(special.gammainc(a, x) * 2))(a, x)
    assert fused == pytest.approx(2 * together.sum(dtype=np.float64), rel=1e-6)


def test_functions_of_lax() -> None:
    a, x = jnp.array([0.5, 3.0]), jnp.array([0.2, 0.9])
    np.testing.assert_allclose(lax.igamma(a, x) + lax.igammac(a, x), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(
        lax.betainc(a, a, x), sp.betainc([0.5, 3], [0.5, 3], [0.2, 0.9]), 1e-6
    )
    np.testing.assert_allclose(lax.zeta(a + 1, x), sp.zeta([1.5, 4.0], [0.2, 0.9]), 1e-6)
    np.testing.assert_allclose(lax.polygamma(1.0, x), sp.polygamma(1, [0.2, 0.9]), 1e-6)
    slope = lax.igamma_grad_a(a, x)
    density = np.exp(-np.asarray(x)) * np.asarray(x) ** (a - 1) / sp.gamma([0.5, 3.0])
    np.testing.assert_allclose(lax.random_gamma_grad(a, x), -slope / density, rtol=1e-5)
    with pytest.raises(ShapeError, match="igamma: shapes differ"):
        lax.igamma(a, jnp.ones(3))


def test_every_function_refuses_what_is_no_array() -> None:
    options = {"bessel_jn": {"v": 1}}
    numbers = {"sph_harm_y": 4, "expn": 2, "polygamma": 2, "multigammaln": 2, "comb": 2, **FOUR}
    for name in special.__all__:
        count = numbers.get(name, 2 if name in TWO.split() else 1)
        with pytest.raises((JitmlError, TypeError)) as caught:
            getattr(special, name)(*["text"] * count, **options.get(name, {}))
        if isinstance(caught.value, JitmlError):
            assert "test_special.py" in str(caught.value), name


def test_errors() -> None:
    with pytest.raises(DTypeError, match="gammaln: takes real numbers"):
        special.gammaln(1j)
    with pytest.raises(DTypeError, match="the order has dtype float32, which is no integer"):
        special.polygamma(1.5, 2.0)
    with pytest.raises(ArgumentError, match="multigammaln: 0 dimensions"):
        special.multigammaln(2.0, 0)
    with pytest.raises(
        ArgumentError, match=r"factorial: exact=True is not supported(.|\n)*math.factorial"
    ):
        special.factorial(3, exact=True)
    with pytest.raises(ArgumentError, match="bernoulli: n is -1"):
        special.bernoulli(-1)
    with pytest.raises(ArgumentError, match="bessel_jn: the order v is -1"):
        special.bessel_jn(1.0, v=-1)
    with pytest.raises(ArgumentError, match="give the greatest of them as n_max"):
        jitml.jit(lambda n: special.sph_harm_y(n, 0, 0.5, 0.1))(2)
    with pytest.raises(ArgumentError, match="diff_n is not supported"):
        special.sph_harm_y(0, 0, 0.5, 0.1, diff_n=1)
    with pytest.raises(DifferentiationError, match="expn has no derivative by its order"):
        jitml.grad(special.expn)(2.0, 1.0)
    with pytest.raises(ShapeError, match="gammainc: shapes do not broadcast"):
        special.gammainc(jnp.ones(2), jnp.ones(3))


def test_whole_binomial_coefficients_have_slopes() -> None:
    slope = jitml.grad(lambda n: special.comb(n, 2))
    np.testing.assert_allclose(slope(6.0), 5.5, 1e-5)
    assert special.comb(6.0, 2) == 15
