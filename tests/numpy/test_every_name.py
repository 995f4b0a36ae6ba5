"""Functions of `jitml.numpy` by the calls of calls.py, against JAX: values, shapes and dtypes of
results, eager and jitted, by 32 and 64 bits; gradients by 64 bits.

All calls run with JITML_GRID=full; without it one for each name, and few gradients.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from calls import CALLS, Call

import jitml
import jitml.numpy as jnp

jax = pytest.importorskip("jax")

IS_FULL = os.environ.get("JITML_GRID") == "full"
NARROW = {"float64": "float32", "int64": "int32", "complex128": "complex64"}
NAMES = sorted({call.name for call in CALLS})


def given(module: Any, x: Any, is_wide: bool) -> Any:
    """An argument as a library's own array."""
    if isinstance(x, np.ndarray):
        dtype = x.dtype if is_wide else np.dtype(NARROW.get(x.dtype.name, x.dtype))
        return module.asarray(x.astype(dtype))
    if isinstance(x, list) and any(isinstance(item, np.ndarray) for item in x):
        return [given(module, item, is_wide) for item in x]
    return x


def outcome(module: Any, call: Call, is_wide: bool) -> list[Any]:
    """The arrays that a call gives."""
    arguments = [given(module, a, is_wide) for a in call.arguments]
    options = {name: given(module, a, is_wide) for name, a in call.options.items()}
    return arrays(getattr(module, call.name)(*arguments, **options))


def arrays(tree: Any) -> list[Any]:
    found: list[Any] = []
    for x in tree if isinstance(tree, (tuple, list)) else [tree]:
        found += arrays(x) if isinstance(x, (tuple, list)) else [x]
    return found


def jitted(call: Call, is_wide: bool) -> list[Any]:
    """The arrays that a call gives when its array arguments are traced."""
    places = [k for k, a in enumerate(call.arguments) if isinstance(a, np.ndarray)]

    def function(*traced: Any) -> Any:
        arguments = list(call.arguments)
        for k, x in zip(places, traced, strict=True):
            arguments[k] = x
        return outcome(jnp, call._replace(arguments=tuple(arguments)), is_wide)

    return jitml.jit(function)(*(given(jnp, call.arguments[k], is_wide) for k in places))  # type: ignore[no-any-return]


def sampled(name: str) -> list[Call]:
    own = [call for call in CALLS if call.name == name]
    return own if IS_FULL else own[len(name) % len(own) :][:1]


@pytest.mark.sampled
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_values_are_jaxs(name: str) -> None:
    for number, call in enumerate(sampled(name)):
        for is_wide in (False, True) if IS_FULL else ((number + len(name)) % 2 == 0,):
            check_values(call, is_wide)


def check_values(call: Call, is_wide: bool) -> None:
    with jax.enable_x64(is_wide), jitml.enable_x64(is_wide):
        theirs = outcome(jax.numpy, call, is_wide)
        ours = outcome(jnp, call, is_wide)
        assert [(x.dtype, x.shape) for x in ours] == [(x.dtype, x.shape) for x in theirs], call
        tolerance = 1e-9 if is_wide else 3e-5
        for one, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, their, tolerance, tolerance, err_msg=str(call))
        try:
            again = jitted(call, is_wide)
        except jitml.errors.ConcretizationTypeError:
            return  # the size of the result depends on the values
        assert [np.asarray(x).tobytes() for x in again] == [np.asarray(x).tobytes() for x in ours]


# What JAX gives no gradients of, or only zeros, or NaN (polyfit at 0).
STEPS = {"corrcoef", "histogram2d", "histogramdd", "isin", "packbits", "unpackbits", "choose"}
STEPS |= {"unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"}
STEPS |= {"intersect1d", "setdiff1d", "setxor1d", "union1d", "polyfit", "roots"}


def slopes(module: Any, api: Any, call: Call) -> Any:
    """The gradient of the sum of the sines of a call's first result, by its float arrays."""
    places = [k for k, a in enumerate(call.arguments) if is_float(a)]

    def total(*xs: Any) -> Any:
        arguments = list(call.arguments)
        for k, x in zip(places, xs, strict=True):
            arguments[k] = x
        first = outcome(module, call._replace(arguments=tuple(arguments)), True)[0]
        return module.sum(module.sin(first))

    return api.grad(total, tuple(range(len(places))))(
        *(module.asarray(call.arguments[k]) for k in places)
    )


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def differentiable(name: str) -> list[Call]:
    own = [call for call in CALLS if call.name == name]
    return [c for c in own if is_float(c.arguments[0]) and all(map(np.isfinite, map(np.sum, [
        a for a in c.arguments if is_float(a)
    ])))]  # fmt: skip


SMOOTH = [n for n in NAMES if n not in STEPS and differentiable(n)]


@pytest.mark.parametrize("name", SMOOTH if IS_FULL else SMOOTH[::5])
@pytest.mark.filterwarnings("ignore")
def test_gradients_are_jaxs(name: str) -> None:
    own = differentiable(name)
    with jax.enable_x64(True), jitml.enable_x64(True):
        for call in own if IS_FULL else own[len(name) % len(own) :][:1]:
            try:
                theirs = slopes(jax.numpy, jax, call)
            except Exception:
                continue  # JAX wants `size=`
            for one, their in zip(slopes(jnp, jitml, call), theirs, strict=True):
                np.testing.assert_allclose(one, their, 1e-7, 1e-7, err_msg=str(call))
