"""The public names of JAX are there, or it is said why not; `jitml.numpy` says what it has."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import names
import numpy as np
import pytest

import jitml.numpy as jnp
from jitml.errors import ArgumentError, JitmlError
from jitml.numpy.types import ScalarType


@pytest.mark.parametrize("module", names.COMPLETE)
def test_no_name_is_missing_without_a_reason(module: str) -> None:
    lacking = names.missing(module, names.wanted()[module])
    assert [name for name in lacking if not names.reason(module, name)] == []


def test_reasons_are_of_names_that_are_missing() -> None:
    listed = [f"{module}.{name}" for module, own in names.wanted().items() for name in own]
    assert set(names.LEFT_OUT) <= set(listed)
    for full in names.LEFT_OUT:
        module, _, name = full.rpartition(".")
        assert names.missing(module, [name]) == [name]


def test_functions_are_functions_not_modules() -> None:
    submodules = {m.name for m in pkgutil.iter_modules(jnp.__path__)} - {"linalg", "fft"}
    assert submodules & set(names.wanted()["jax.numpy"]) == set()


def test_what_is_imported_later_is_what_its_modules_add() -> None:
    for name, added in jnp._LATER.items():
        if name != "small_types":
            module = importlib.import_module(f"jitml.numpy.{name}")
            assert sorted(module.__all__) == sorted(added.split())
    assert set(jnp.__all__) <= set(dir(jnp))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jnp.nothing


def test_small_dtypes_are_names_alone() -> None:
    assert jnp.finfo(jnp.float8_e5m2).bits == 8
    assert jnp.iinfo(jnp.int4).max == 7
    assert np.dtype(jnp.float8_e4m3fn).itemsize == 1
    with pytest.raises(ArgumentError, match="arrays of dtype float8_e4m3fn are not supported"):
        jnp.zeros(3, jnp.float8_e4m3fn)
    with pytest.raises(ArgumentError, match="int4"):
        jnp.int4(3)


class Thing:
    """What is no array."""


# Functions that take anything, or nothing.
TAKES_ANYTHING = {
    "fromstring", "get_printoptions", "isscalar", "iterable", "printoptions", "vectorize",
}  # fmt: skip
# What Python itself says of what is not iterable or no file.
TOLD_BY_PYTHON = {
    "frombuffer", "fromfile", "fromiter", "frompyfunc", "lexsort", "load", "piecewise",
    "ravel_multi_index", "savez", "select", "set_printoptions",
}  # fmt: skip


def functions() -> list[str]:
    found = [name for name in names.wanted()["jax.numpy"] if name not in TAKES_ANYTHING]
    values = {name: getattr(jnp, name, None) for name in found}
    return [
        n for n in found if callable(values[n]) and not isinstance(values[n], (type, ScalarType))
    ]


def test_each_function_refuses_what_is_no_array() -> None:
    for name in functions():
        function = getattr(jnp, name)
        parameters = inspect.signature(function).parameters.values()
        needed = [p for p in parameters if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
        with pytest.raises((JitmlError, TypeError, AttributeError)) as caught:
            function(*(Thing() for _ in needed or [0]))
        told = isinstance(caught.value, JitmlError)
        assert told != (name in TOLD_BY_PYTHON), name
        if told:
            assert "test_public_names.py" in str(caught.value), name


def test_errors_name_the_function_that_was_called() -> None:
    for call, expected in [
        (lambda: jnp.hstack([Thing()]), "hstack: Thing is not an array"),
        (lambda: jnp.nanmax(Thing()), "nanmax: Thing is not an array"),
        (lambda: jnp.std(Thing()), "std: Thing is not an array"),
        (lambda: jnp.zeros_like(Thing()), "zeros_like: Thing is not an array"),
    ]:
        with pytest.raises(ArgumentError, match=f"^{expected}"):
            call()


# Of other modules: what takes anything, and what Python itself says of what is not iterable.
ANYTHING_ELSEWHERE = {"create_token", "stop_gradient"}
PYTHON_ELSEWHERE = {
    "cho_solve", "composite", "concatenate", "conv_dimension_numbers", "conv_general_permutations",
    "conv_general_shape_tuple", "conv_shape_tuple", "conv_transpose_shape_tuple", "expand_dims",
    "lax.fft", "lu_solve", "multi_dot", "padtype_to_pads", "reduce_window_shape_tuple",
    "scipy.special.bernoulli", "scipy.special.bessel_jn", "scipy.special.multigammaln", "squeeze",
    "stack", "tile",
}  # fmt: skip
ELSEWHERE = [
    "jax.image", "jax.lax", "jax.lax.linalg", "jax.nn", "jax.numpy.fft", "jax.numpy.linalg",
    "jax.ops", "jax.scipy.fft", "jax.scipy.integrate", "jax.scipy.interpolate", "jax.scipy.linalg",
    "jax.scipy.ndimage", "jax.scipy.optimize", "jax.scipy.signal", "jax.scipy.special",
    "jax.scipy.stats", *(f"jax.scipy.stats.{name}" for name in names.DISTRIBUTIONS),
]  # fmt: skip


@pytest.mark.parametrize("module", ELSEWHERE)
def test_functions_of_other_modules_refuse_what_is_no_array(module: str) -> None:
    ours = importlib.import_module(module.replace("jax", "jitml", 1))
    for name in names.wanted()[module]:
        function = getattr(ours, name, None)
        if not callable(function) or isinstance(function, type) or name in ANYTHING_ELSEWHERE:
            continue
        parameters = inspect.signature(function).parameters.values()
        wanted = [p for p in parameters if p.default is p.empty]
        given = [Thing() for p in wanted if p.kind < p.VAR_POSITIONAL] or [Thing()]
        keywords = {p.name: Thing() for p in wanted if p.kind == p.KEYWORD_ONLY}
        with pytest.raises((JitmlError, TypeError)) as caught:
            function(*given, **keywords)
        told = isinstance(caught.value, JitmlError)
        by_python = PYTHON_ELSEWHERE & {name, f"{module.removeprefix('jax.')}.{name}"}
        assert told != bool(by_python), name
        if told:
            assert "test_public_names.py" in str(caught.value), name
