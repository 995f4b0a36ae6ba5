"""`jitml.dtypes`, `jitml.dlpack` and `jitml.errors` under JAX's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import dlpack, dtypes, errors
from jitml.trace.numbers import convert_number


def test_bits_and_kinds_of_elements() -> None:
    names = ("bool", "int4", "uint8", "float32", "bfloat16", "complex64")
    assert [dtypes.itemsize_bits(jnp.dtype(n)) for n in names] == [8, 4, 8, 32, 16, 64]
    numbers = (1, 1.0, True, 1j, jnp.ones(2, "int8"), "bfloat16", np.uint8)
    kinds = [int, float, bool, complex, int, float, int]
    assert [dtypes.scalar_type_of(x) for x in numbers] == kinds
    assert jnp.iscomplexobj(jnp.complex64) and not jnp.iscomplexobj(jnp.int_)
    assert not dlpack.is_supported_dtype("int4") and dlpack.is_supported_dtype(jnp.bfloat16)
    with pytest.raises(TypeError):
        dtypes.itemsize_bits("nothing")
    with pytest.raises(errors.ArgumentError, match="'nothing' is not a dtype"):
        dtypes.scalar_type_of("nothing")
    with pytest.raises(TypeError):
        dlpack.is_supported_dtype("nothing")


def test_keys_are_of_a_kind_of_their_own() -> None:
    dtype = jitml.random.key(0).dtype
    assert jnp.issubdtype(dtype, dtypes.prng_key) and jnp.issubdtype(dtype, dtypes.extended)
    assert not jnp.issubdtype("uint32", dtypes.extended)
    assert not jnp.issubdtype(dtype, jnp.integer)
    assert jitml.float0 == dtypes.float0


def test_errors_have_jaxs_names() -> None:
    assert issubclass(errors.TracerBoolConversionError, errors.JAXTypeError)
    with pytest.raises(errors.JAXIndexError):
        _ = jnp.arange(3)[5]
    with pytest.raises(errors.JAXTypeError):
        jitml.jit(lambda x: np.asarray(x))(1.0)
    assert dtypes.TypePromotionError is errors.TypePromotionError
    assert issubclass(errors.JaxRuntimeError, RuntimeError)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), jnp.float32, "f4"])
def test_dtypes_in_every_form(dtype: Any) -> None:
    assert jitml.ShapeDtypeStruct((2, 3), dtype).dtype == np.float32
    assert dtypes.itemsize_bits(dtype) == 32
    assert dlpack.is_supported_dtype(dtype)


@pytest.mark.parametrize(
    "number", [0.1, -0.0, 1e-46, -1.4e-45, 16777217.0, 9.9e37, 3.4e38, 3.41e38, -1e300, math.inf]
)
def test_numbers_are_rounded_as_arrays_are(number: float) -> None:
    with np.errstate(all="ignore"):
        wanted = float(np.asarray(number).astype(np.float32))
    found = convert_number(number, np.dtype(np.float32))
    assert (found, math.copysign(1, found)) == (wanted, math.copysign(1, wanted))
    assert type(found) is float
