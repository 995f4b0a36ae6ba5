"""Functions of every module by the calls in `every`, against JAX: values, shapes and dtypes of
results, eager and jitted, by 32 and 64 bits; gradients by 64 bits.

All calls run with JITML_GRID=full; without it a few functions.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import names
import numpy as np
import pytest
from every import lax, linalg, nn, numpy, random, scipy
from every.pools import Call

import jitml

jax = pytest.importorskip("jax")

IS_FULL = os.environ.get("JITML_GRID") == "full"
TABLES = (lax, linalg, nn, numpy, random, scipy)
PUBLIC = {f"{m.partition('.')[2]}.{n}" for m, own in names.wanted().items() for n in own}
CALLS = [call for table in TABLES for call in table.CALLS if call.name in PUBLIC]
NAMES = sorted({call.name for call in CALLS})
NARROW = {"float64": "float32", "int64": "int32", "complex128": "complex64"}
TOLERANCES = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-5, "complex64": 1e-4}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """What the programs of a thousand functions leave behind would not fit."""
    yield
    if IS_FULL:
        jax.clear_caches()
        jitml.clear_caches()


def function(root: str, name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"{root}.{module}"), last)


def given(root: str, x: Any, is_wide: bool) -> Any:
    """An argument as a library's own array."""
    if isinstance(x, (np.ndarray, np.generic)):
        dtype = x.dtype if is_wide else np.dtype(NARROW.get(x.dtype.name, x.dtype))
        return importlib.import_module(f"{root}.numpy").asarray(x.astype(dtype))
    if isinstance(x, (list, tuple)) and any(isinstance(item, np.ndarray) for item in x):
        return type(x)(given(root, item, is_wide) for item in x)
    return x


def outcome(root: str, call: Call, is_wide: bool) -> list[Any]:
    """The arrays that a call gives."""
    arguments = [given(root, a, is_wide) for a in call.arguments]
    options = {name: given(root, a, is_wide) for name, a in call.options.items()}
    return arrays(function(root, call.name)(*arguments, **options))


def arrays(tree: Any) -> list[Any]:
    found: list[Any] = []
    for x in tree if isinstance(tree, (tuple, list)) else [tree]:
        found += arrays(x) if isinstance(x, (tuple, list)) else [x]
    return found


def with_arrays(call: Call, places: list[int], xs: Any) -> Call:
    arguments = list(call.arguments)
    for k, x in zip(places, xs, strict=True):
        arguments[k] = x
    return call._replace(arguments=tuple(arguments))


def jitted(call: Call, is_wide: bool) -> list[Any]:
    """The arrays that a call gives when its array arguments are traced."""
    places = [k for k, a in enumerate(call.arguments) if isinstance(a, np.ndarray)]
    traced = jitml.jit(lambda *xs: outcome("jitml", with_arrays(call, places, xs), is_wide))
    return traced(*(given("jitml", call.arguments[k], is_wide) for k in places))  # type: ignore[no-any-return]


def chosen(name: str) -> list[Call]:
    own = [call for call in CALLS if call.name == name]
    return own if IS_FULL else own[len(name) % len(own) :][:1]


def expected_of(call: Call, is_wide: bool) -> list[Any] | None:
    try:
        return outcome("jax", call, is_wide)
    except (TypeError, ValueError, NotImplementedError):
        return None  # such calls are not counted


def check_values(call: Call, is_wide: bool) -> bool:
    """Compare a call; whether JAX takes it."""
    with jax.enable_x64(is_wide), jitml.enable_x64(is_wide):
        theirs = expected_of(call, is_wide)
        if theirs is None:
            return False
        try:
            ours = outcome("jitml", call, is_wide)
        except jitml.errors.DivisionByZeroError:
            return False
        except jitml.errors.DTypeError:
            if call.name in REFUSED:
                return False
            raise
        about = f"{call} {'by 64' if is_wide else 'by 32'} bits"
        kinds = [[described(x) for x in xs] for xs in (ours, theirs)]
        if call.name in OTHER_DTYPES and kinds[0] != kinds[1]:
            return False
        assert kinds[0] == kinds[1], about
        is_other = call.name in NAN_IS_KEPT and any(map(has_nan, call.arguments))
        if call.name not in OTHER_NUMBERS and not is_other:
            for one, their in zip(ours, theirs, strict=True):
                compare(np.asarray(one), np.asarray(their), about)
        if all(hasattr(x, "dtype") for x in ours):
            check_jitted(call, is_wide, list(map(bits, ours)), about)
        return True


def check_jitted(call: Call, is_wide: bool, expected: list[bytes], about: str) -> None:
    if not any(isinstance(a, np.ndarray) for a in call.arguments):
        return
    try:
        again = jitted(call, is_wide)
    except jitml.errors.TracerError:
        return  # the size of the result depends on the values
    assert list(map(bits, again)) == expected, about


def has_nan(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f" and bool(np.isnan(x).any())


def bits(x: Any) -> bytes:
    """The bytes of an array, in which one NaN is like another."""
    array = np.asarray(x)
    return (array if array.dtype.kind in "biuOUS" else np.where(array != array, 0, array)).tobytes()


def described(x: Any) -> Any:
    return (str(x.dtype), x.shape) if hasattr(x, "dtype") else type(x)


# What JAX has other numbers of.
OTHER_NUMBERS = {
    "nn.dot_product_attention": "JAX sums the weights by 32 bits",
    "scipy.linalg.expm": "JAX's is wrong in the second digit where it squares by 32 bits",
    "scipy.linalg.expm_frechet": "as expm",
    "scipy.special.bernoulli": "JAX sums few terms",
    "scipy.special.bessel_jn": "JAX has NaN",
    "scipy.special.exp1": "JAX has NaN at infinity",
    "scipy.special.expi": "JAX has NaN at infinity",
    "scipy.special.hyp2f1": "JAX has infinity below -1",
    "scipy.stats.betabinom.logpmf": "JAX's logarithm of the beta function",
    "scipy.stats.betabinom.pmf": "JAX's logarithm of the beta function",
    "scipy.special.wofz": "JAX has NaN where by 32 bits it is infinite",
}
# What is NaN of NaN, as in SciPy; JAX has a number.
NAN_IS_KEPT = {
    "scipy.stats.gamma.logpdf", "scipy.stats.gamma.pdf", "scipy.stats.poisson.logpmf",
    "scipy.stats.poisson.pmf", "scipy.stats.truncnorm.cdf", "scipy.stats.truncnorm.logcdf",
    "scipy.stats.truncnorm.logsf", "scipy.stats.truncnorm.sf", "scipy.stats.uniform.cdf",
    "scipy.stats.uniform.logpdf", "scipy.stats.uniform.pdf", "scipy.stats.wrapcauchy.logpdf",
    "scipy.stats.wrapcauchy.pdf",
}  # fmt: skip
# What JAX has other derivatives of.
OTHER_SLOPES = {
    "nn.dot_product_attention": "JAX sums the weights by 32 bits",
    "numpy.fft.ifftn": "the direction of numbers that are rounding errors",
    "scipy.linalg.expm": OTHER_NUMBERS["scipy.linalg.expm"],
    "scipy.linalg.expm_frechet": OTHER_NUMBERS["scipy.linalg.expm_frechet"],
    "scipy.special.hyp2f1": "JAX's has up to 171 digits below -1",
    "scipy.special.i0": "the sine of 4e10",
    "scipy.special.spence": "JAX's is 0 at 1, where it is -1",
    "scipy.stats.betabinom.logpmf": "JAX's is 0",
    "scipy.stats.betabinom.pmf": "JAX's is 0",
}


# Complex numbers have no order.
REFUSED = {"ops.segment_max", "ops.segment_min"}
# Small unsigned integers are added and multiplied by 32 bits, as the array API standard asks; JAX's
# smallest Pascal matrix has 32 bits always.
OTHER_DTYPES = {"numpy.cumulative_prod", "scipy.linalg.pascal"}


def compare(one: Any, their: Any, about: str) -> None:
    if one.dtype.kind in "biuOUS":
        np.testing.assert_array_equal(one, their, about)
        return
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    tolerance = TOLERANCES.get(one.dtype.name, 1e-9)
    largest = np.max(np.abs(their[np.isfinite(their)].astype(wide)), initial=1.0)
    np.testing.assert_allclose(
        one.astype(wide), their.astype(wide), tolerance, tolerance * largest, err_msg=about
    )


@pytest.mark.parametrize("name", NAMES if IS_FULL else NAMES[5::120])
@pytest.mark.filterwarnings("ignore")
def test_values_are_jaxs(name: str) -> None:
    taken = [
        check_values(call, is_wide)
        for number, call in enumerate(chosen(name))
        for is_wide in ((False, True) if IS_FULL else ((number + len(name)) % 2 == 0,))
    ]
    assert sum(taken) >= (min(10, len(taken) // 2) if IS_FULL else 0), f"{sum(taken)} {len(taken)}"


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def slopes(root: str, api: Any, call: Call) -> Any:
    """The gradient of the sum of the sines of a call's float results, by its float arrays."""
    module = importlib.import_module(f"{root}.numpy")
    places = [k for k, a in enumerate(call.arguments) if is_float(a)]

    def total(*xs: Any) -> Any:
        found = outcome(root, with_arrays(call, places, xs), True)
        real = [module.abs(x) if x.dtype.kind == "c" else x for x in found if x.dtype.kind in "fc"]
        return sum(module.sum(module.sin(x)) for x in real)

    return api.grad(total, tuple(range(len(places))))(
        *(module.asarray(call.arguments[k]) for k in places)
    )


def differentiable(name: str) -> list[Call]:
    own = [call for call in CALLS if call.name == name]
    return [
        c
        for c in own
        if any(map(is_float, c.arguments))
        and all(np.isfinite(a).all() for a in c.arguments if is_float(a))
    ]


SMOOTH = [name for name in NAMES if name not in OTHER_SLOPES and differentiable(name)]


@pytest.mark.parametrize("name", SMOOTH if IS_FULL else SMOOTH[11::150])
@pytest.mark.filterwarnings("ignore")
def test_gradients_are_jaxs(name: str) -> None:
    own = differentiable(name)
    with jax.enable_x64(True), jitml.enable_x64(True):
        for call in own if IS_FULL else own[len(name) % len(own) :][:1]:
            try:
                theirs = slopes("jax", jax, call)
            except Exception:
                continue  # JAX has no derivative of it, or wants `size=`
            for one, their in zip(slopes("jitml", jitml, call), theirs, strict=True):
                known = ~np.isnan(their)
                largest = np.max(np.abs(their), initial=1.0, where=known)
                np.testing.assert_allclose(
                    np.asarray(one)[known], np.asarray(their)[known], 1e-7, 1e-7 * largest,
                    err_msg=str(call),
                )  # fmt: skip


# Functions of which there is less to ask: of a small number alone, or of few kinds of matrices.
FEW = {
    "numpy.empty", "numpy.empty_like", "numpy.linalg.tensorinv", "numpy.linalg.tensorsolve",
    "scipy.linalg.eigh_tridiagonal", "scipy.linalg.hadamard", "scipy.linalg.hilbert",
    "scipy.linalg.invhilbert", "scipy.linalg.solve_sylvester", "scipy.linalg.sqrtm",
    "scipy.signal.istft",
}  # fmt: skip


def test_each_function_has_ten_calls() -> None:
    counts = Counter(call.name for call in CALLS)
    assert {name for name, count in counts.items() if count < 9} == FEW
