"""The public names of JAX are there, or it is said why not; `jitml.numpy` says what it has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import names
import numpy as np
import pytest

import jitml.numpy as jnp
from jitml.errors import ArgumentError


@pytest.mark.parametrize("module", names.COMPLETE)
def test_no_name_is_missing_without_a_reason(module: str) -> None:
    lacking = names.missing(module, names.wanted()[module])
    assert [name for name in lacking if not names.reason(module, name)] == []


# Types of arguments, which no call has.
TYPES = {
    "jax.lax.DotDimensionNumbers", "jax.lax.PrecisionLike", "jax.nn.initializers.Initializer",
    "jax.tree_util.KeyEntry", "jax.tree_util.KeyPath", "jax.export.Exported",
    "jax.typing.ArrayLike", "jax.typing.DTypeLike",
}  # fmt: skip


def test_every_name_stands_in_a_case() -> None:
    """Beside those of its errors."""
    own = {"names.py", "test_public_names.py", "test_every_error.py"}
    files = [path for path in Path(__file__).parent.rglob("*.py") if path.name not in own]
    words = {word for path in files for word in re.findall(r"\w+", path.read_text())}
    listed = {f"{m}.{name}" for m, own in names.wanted().items() for name in own}
    without = {name for name in listed if name.rpartition(".")[2] not in words}
    assert without - TYPES - set(names.LEFT_OUT) == set()


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


def test_errors_name_the_function_that_was_called() -> None:
    for call, expected in [
        (lambda: jnp.hstack([Thing()]), "hstack: Thing is not an array"),
        (lambda: jnp.nanmax(Thing()), "nanmax: Thing is not an array"),
        (lambda: jnp.std(Thing()), "std: Thing is not an array"),
        (lambda: jnp.zeros_like(Thing()), "zeros_like: Thing is not an array"),
    ]:
        with pytest.raises(ArgumentError, match=f"^{expected}"):
            call()
