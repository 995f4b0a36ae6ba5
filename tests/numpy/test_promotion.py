"""dtypes of results against JAX: every pair of dtypes, and Python numbers on either side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors
from jitml.ir.dtypes import SHORT_NAMES
from jitml.ir.types import ArrayType
from jitml.trace.core import trace_graph

jax = pytest.importorskip("jax")
NARROW = [d for d in SHORT_NAMES if d.itemsize < 8 or d == np.dtype(np.complex64)]


def test_result_type_of_every_pair():
    with jax.enable_x64(True), jitml.enable_x64(True):
        for first, second in itertools.product(SHORT_NAMES, repeat=2):
            expected = jax.numpy.promote_types(first, second)
            assert jnp.promote_types(first, second) == expected, (first, second)


@pytest.mark.parametrize("number", [True, 2, 1.5, 1j])
def test_python_numbers_are_weak(number):
    for dtype in NARROW:
        ours = jnp.add(jnp.ones((), dtype), number)
        theirs = jax.numpy.add(jax.numpy.ones((), dtype), number)
        assert (ours.dtype, ours.weak_type) == (theirs.dtype, theirs.weak_type), dtype


def test_numpy_scalars_are_strong():
    assert (jnp.ones(2) * np.float64(2)).dtype == np.float64
    assert (jnp.ones(2) * 2.0).dtype == np.float32
    assert (jnp.ones(2, jnp.bfloat16) * np.float32(2)).dtype == np.float32


def test_wide_input_stays_wide():
    assert jnp.asarray(np.arange(3)).dtype == np.int64
    assert (jnp.asarray(np.arange(3)) / 2).dtype == np.float64
    assert jnp.sin(np.arange(3)).dtype == np.float64
    assert (jnp.asarray(np.arange(3)) * 0.5).dtype == np.float64


@pytest.mark.parametrize("signed", ["int8", "int16", "int32"])
def test_uint32_with_signed_integers_holds_both(signed):
    big, negative = np.array(2**32 - 1, np.uint32), np.array(-1, signed)
    result = jnp.add(big, negative)
    assert result.dtype == np.int64
    assert int(result) == 2**32 - 2


def test_numbers_that_do_not_fit_raise():
    with pytest.raises(errors.IntegerOverflowError, match="2147483648 does not fit int32"):
        jnp.asarray(2**31)
    with pytest.raises(errors.IntegerOverflowError, match="300 does not fit uint8"):
        jnp.ones(2, jnp.uint8) + 300
    with pytest.raises(errors.IntegerOverflowError):
        jnp.array([1, 2**40])
    with jitml.enable_x64():
        assert jnp.asarray(2**31).dtype == np.int64


@pytest.mark.parametrize(
    "name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
)
def test_comparison_is_exact_whatever_the_signs(name):
    compare = getattr(np, name)
    signed = np.array([-1, 0, 2**62, -(2**63)], np.int64)
    unsigned = np.array([2**64 - 1, 0, 2**62, 2**63], np.uint64)
    np.testing.assert_array_equal(
        np.asarray(getattr(jnp, name)(signed, unsigned)), compare(signed, unsigned)
    )
    np.testing.assert_array_equal(
        np.asarray(getattr(jnp, name)(unsigned, signed)), compare(unsigned, signed)
    )
    bytes_ = np.array([0, 255], np.uint8)
    for number in (-1, 300):
        np.testing.assert_array_equal(
            np.asarray(getattr(jnp, name)(bytes_, number)), compare(bytes_, number)
        )


def test_unsupported_dtypes_raise():
    for bad in (np.array(["a"]), np.array([None]), np.array(["2020"], "datetime64[Y]")):
        with pytest.raises(errors.ArgumentError, match="not supported"):
            jnp.asarray(bad)
    with pytest.raises(errors.ArgumentError, match="is not a dtype"):
        jnp.zeros(2, "float31")


def test_numbers_cost_no_equations():
    kind = ArrayType(np.dtype(np.float32), (3,))
    graph = trace_graph(lambda x: [x * 2 + 1], [kind]).graph
    assert [eqn.op.name for eqn in graph.eqns] == ["mul", "add"]
