"""Integers that must not be 0 or negative, and numbers at hand that must fit: what raises, what
does not, and what JAX's conventions and files make of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml import lax
from jitml.errors import ArgumentError, DivisionByZeroError, IntegerOverflowError
from jitml.ops.require import Require, require

WIDTHS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("function", [jnp.floor_divide, jnp.remainder, jnp.fmod, lax.div, lax.rem])
def test_integers_are_not_divided_by_zero(function: Any, dtype: str) -> None:
    x, y = jnp.array([7, 5, 3], dtype), jnp.array([2, 3, 1], dtype)
    bad = y.at[1].set(0)
    for call in (function, jitml.jit(function), jitml.vmap(function)):
        assert call(x, y).dtype == x.dtype
        with pytest.raises(DivisionByZeroError, match="element 1 of the divisor"):
            call(x, bad)


def test_zeros_that_divide_nothing_or_floats_are_fine() -> None:
    assert (jnp.zeros((0,), int) // jnp.int32(0)).shape == (0,)
    assert np.isinf(float(jnp.float32(1) // 0))
    assert np.isnan(float(jnp.int32(1) % jnp.float32(0)))
    assert [int(x) for x in (jnp.gcd(0, 0), jnp.lcm(0, 0), jnp.lcm(0, 5))] == [0, 0, 0]
    with pytest.raises(DivisionByZeroError):
        jnp.array([True]) // jnp.array([False])
    with pytest.raises(ZeroDivisionError):
        jnp.arange(3) // 0
    with pytest.raises(DivisionByZeroError):
        jitml.jit(lambda x: x % 0)(jnp.arange(3))


def test_what_a_condition_keeps_away_does_not_fail() -> None:
    def ratio(x: Any, y: Any) -> Any:
        return lax.cond(y != 0, lambda: x // y, lambda: -1)

    ys = jnp.array([2, 0, 3])
    assert jitml.vmap(ratio)(jnp.array([8, 8, 9]), ys).tolist() == [4, -1, 3]

    @jitml.jit
    def divisor(a: Any, b: Any) -> Any:
        while b != 0:
            a, b = b, a % b
        return a

    assert jitml.vmap(divisor)(jnp.array([12, 7, 0]), jnp.array([18, 0, 4])).tolist() == [6, 7, 4]


def test_loops_of_no_steps_do_not_fail() -> None:
    def total(x: Any, y: Any, count: Any) -> Any:
        return lax.fori_loop(0, count, lambda k, s: s + x // y, x)

    assert int(jitml.jit(total)(3, 0, 0)) == 3
    with pytest.raises(DivisionByZeroError):
        jitml.jit(total)(3, 0, 1)


def test_negative_powers_of_integers() -> None:
    assert (jnp.array([2, 3]) ** jnp.array([0, 2])).tolist() == [1, 9]
    for call in (jnp.power, jitml.jit(jnp.power)):
        with pytest.raises(ArgumentError, match=r"power -1 .*element 1 of the exponent"):
            call(jnp.array([2, 3]), jnp.array([1, -1]))
    assert float(jnp.float32(2) ** jnp.int32(-1)) == 0.5


@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("source", WIDTHS + FLOATS)
def test_numbers_that_just_fit(source: str, target: str) -> None:
    """All limits of a dtype and their neighbours, by Python's integers."""
    low, high = int(np.iinfo(target).min), int(np.iinfo(target).max)
    with jitml.enable_x64(True):
        for number in (low - 1, low, -1, 0, high, high + 1):
            try:
                x = jnp.asarray(float(number) if source in FLOATS else number, source)
            except IntegerOverflowError:
                continue
            held = np.asarray(x).astype(object if source in WIDTHS else np.float64).item()
            if np.isfinite(held) and low <= int(held) <= high:
                assert int(x.astype(target)) == int(held)
                assert int(jnp.asarray(np.asarray(x), target)) == int(held)
                continue
            for convert in (lambda x: x.astype(target), lambda x: jnp.array(np.asarray(x), target)):
                with pytest.raises(IntegerOverflowError, match=f"does not fit {target}"):
                    convert(x)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e9])
def test_numbers_that_are_no_integers(number: float) -> None:
    for make in (
        lambda: jnp.int32(number),
        lambda: jnp.array([1.0, number], jnp.int32),
        lambda: jnp.asarray(np.array([number]), jnp.int32),
        lambda: jnp.array([number]).astype(int),
        lambda: jnp.full((2,), jnp.float32(number), jnp.int32),
    ):
        with pytest.raises(IntegerOverflowError, match="does not fit int32"):
            make()
    assert int(jnp.float32(-0.9).astype(jnp.uint8)) == 0


def test_what_jitml_converts_itself_does_not_fail() -> None:
    nothing = jnp.full((2, 2), jnp.nan)
    assert np.isnan(np.asarray(jitml.scipy.linalg.expm(nothing))).all()


def test_what_is_traced_converts_as_the_processor_does() -> None:
    found = jitml.jit(lambda x: x.astype(jnp.uint8))(jnp.array([300, -1]))
    assert found.tolist() == [44, 255]
    assert lax.convert_element_type(jnp.array([300, -1]), jnp.uint8).tolist() == [44, 255]


def test_reference() -> None:
    """The meaning in NumPy, of which compiled programs are a copy."""
    good, bad = np.array([1, 2], np.int8), np.array([[1, 0]], np.int8)
    np.testing.assert_array_equal(Require("nonzero").value(good)[0], good)
    with pytest.raises(DivisionByZeroError):
        Require("nonzero").value(bad)
    with pytest.raises(IntegerOverflowError, match=r"-129\.0 does not fit int8"):
        Require("int8").value(np.array([-128.9, -129.0]))
    with pytest.raises(IntegerOverflowError, match=r"-129\.0 does not fit int8"):
        require(jnp.array([-128.9, -129.0]), "int8")


def test_files_raise_pythons_own_error(tmp_path: Path) -> None:
    path = tmp_path / "ratio.jitml"
    jitml.export.save(lambda x, y: x // y, path, np.arange(3), np.arange(3))
    ratio: Any = jitml_runtime.load(path)
    with pytest.raises(ZeroDivisionError, match=r"divided by 0 .*element 0 of the divisor") as info:
        ratio(np.arange(3), np.arange(3))
    assert "test_require.py" in str(info.value)


PROGRAM = """
import jax.numpy as jnp
from jax import lax
x, y = jnp.array([7, -7, 0, 5]), jnp.array([0, 0, 0, 2])
for f in (jnp.floor_divide, jnp.remainder, jnp.fmod, lax.div, lax.rem):
    print(f(x, y).tolist(), f(x.astype("uint8"), y.astype("uint8")).tolist())
print(jnp.array([300, -1]).astype("uint8").tolist(), jnp.power(2, jnp.array([-1])).tolist())
"""


def test_jaxs_conventions(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    ours = [sys.executable, "-m", "jitml.as_jax", str(path)]
    found, expected = (
        subprocess.run(c, capture_output=True, text=True, check=True).stdout
        for c in (ours, [sys.executable, str(path)])
    )
    assert found == expected
