"""Elementwise functions of jitml.lax and of jax.lax: the same dtypes are taken, with one result.

With JITML_GRID=full for all dtypes, else for floats, integers and bools of one kind.
"""

from __future__ import annotations

import os
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
from jitml import lax

jax = pytest.importorskip("jax")

UNARY = [
    "neg", "abs", "sign", "floor", "ceil", "exp", "exp2", "expm1", "log", "log1p", "sqrt",
    "rsqrt", "cbrt", "logistic", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erf_inv", "bessel_i0e", "bessel_i1e",
    "lgamma", "digamma", "real", "imag", "is_finite", "bitwise_not", "population_count", "clz",
    "square", "reciprocal", "conj", "round",
]  # fmt: skip
BINARY = [
    "add", "sub", "mul", "div", "rem", "max", "min", "atan2", "nextafter", "complex", "eq",
    "ne", "lt", "le", "gt", "ge", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left",
    "shift_right_logical", "shift_right_arithmetic", "pow", "mulhi",
]  # fmt: skip
DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
IS_FULL = os.environ.get("JITML_GRID") == "full"
# What jitml takes and JAX does not.
TAKES_MORE = {
    "abs": "bu", "reciprocal": "biu", "conj": "f", "complex": "f", "pow": "iu",
}  # fmt: skip
TOLERANCES = {"float16": 2e-3, "float32": 5e-6, "complex64": 1e-3}


def values(name: str, of: int) -> np.ndarray[Any, Any]:
    """Numbers of a dtype, its limits and special ones among them, in an order for each operand."""
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    random = np.random.default_rng(of)
    if name == "bool":
        return np.array([True, False, True, bool(of)])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return random.permutation(np.array([1, 2, 3, 7, limits.max, limits.min or 4, 5], dtype))
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf])
    usual = np.array([1.5, -1.0, 0.5, -2.25, 3.7, 1e-3, -30.0, 20.0])
    if dtype.kind == "c":
        return (random.permutation(usual) + 1j * random.permutation(usual)).astype(dtype)
    return random.permutation(np.concatenate([special, usual])).astype(dtype)


def outcome(function: Any, operands: Any) -> Any:
    try:
        return function(*operands)
    except (TypeError, ValueError) as error:
        return error


def kind(name: str) -> str:
    return "f" if name == "bfloat16" else np.dtype(name).kind


def check(name: str, dtype: str) -> None:
    operands = [values(dtype, k) for k in range(1 if name in UNARY else 2)]
    if name == "pow" and kind(dtype) in "iu":
        operands[1] &= 7  # the powers of integers that there are
    expected = outcome(getattr(jax.lax, name), operands)
    found = outcome(getattr(lax, name), operands)
    if isinstance(expected, Exception):
        takes_more = kind(dtype) in TAKES_MORE.get(name, "")
        assert isinstance(found, jitml.errors.JitmlError) != takes_more, f"{name} of {dtype}"
        return
    assert not isinstance(found, Exception), f"{name} of {dtype}: {found}"
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if name == "digamma":  # at 0 JAX has NaN, SciPy and jitml have infinity
        found, expected = (np.where(operands[0] == 0, 0, v) for v in (found, expected))
    wide = [
        np.asarray(v).astype(complex if kind(dtype) == "c" else float) for v in (found, expected)
    ]
    tolerance = TOLERANCES.get(dtype, 6e-2 if dtype == "bfloat16" else 1e-11)
    np.testing.assert_allclose(*wide, tolerance, tolerance, err_msg=f"{name} of {dtype}")


@pytest.mark.sampled
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
@pytest.mark.filterwarnings("ignore")
def test_every_dtype(name: str) -> None:
    with jax.enable_x64(True), jitml.enable_x64(True):
        for dtype in DTYPES if IS_FULL else ("float64", "int32", "bool"):
            check(name, dtype)
