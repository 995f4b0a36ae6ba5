"""Functions come back from bytes: they compute, differentiate and map as before."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import (
    ArgumentError,
    CheckpointError,
    DifferentiationError,
    TransformError,
    TreeError,
)
from jitml.export import default_export_platform, deserialize, export

WEIGHTS = jnp.arange(6.0).reshape(2, 3)
PARAMETERS = {"b": jnp.ones(3)}
X = jnp.array([[1.0, -2.0], [0.5, 3.0]])


def model(parameters: Any, x: Any, *, n: Any) -> Any:
    y = lax.fori_loop(0, 3, lambda i, a: jnp.tanh(a) + parameters["b"], x @ WEIGHTS)
    y = lax.cond(n > 0, lambda y: y * 2, lambda y: y, y)
    return {"y": y, "rest": (jitml.checkpoint(jnp.sin)(x[jnp.array([1, 0])]), None)}


@pytest.fixture(scope="module")
def back() -> Any:
    exported = export(jitml.jit(model))(
        {"b": jitml.ShapeDtypeStruct((3,), "float32")}, X, n=jitml.ShapeDtypeStruct((), "int32")
    )
    return deserialize(exported.serialize())


def test_results_are_the_same(back: Any) -> None:
    found, expected = back.call(PARAMETERS, X, n=jnp.int32(1)), model(PARAMETERS, X, n=1)
    assert jitml.tree.structure(found) == jitml.tree.structure(expected)
    for got, want in zip(jitml.tree.leaves(found), jitml.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_it_tells(back: Any) -> None:
    assert (back.fun_name, back.platforms, back.nr_devices) == ("model", ("cpu",), 1)
    assert [str(a.shape) for a in back.in_avals] == ["(3,)", "(2, 2)", "()"]
    assert back.out_avals[1] == jitml.ShapeDtypeStruct((2, 3), "float32")
    assert "while" in back.mlir_module() or "scan" in back.mlir_module()
    assert default_export_platform() == "cpu"
    again = deserialize(bytes(back.serialize()))
    assert again.graph == back.graph and again.serialize() == back.serialize()


def test_transforms_go_through(back: Any) -> None:
    n = jnp.int32(1)

    def total(function: Any, parameters: Any) -> Any:
        return function(parameters, X, n=n)["y"].sum()

    def gradient(function: Any) -> Any:
        return jitml.grad(lambda p: total(function, p))(PARAMETERS)["b"]

    np.testing.assert_allclose(gradient(back.call), gradient(model), 1e-6)
    many = {"b": jnp.stack([PARAMETERS["b"], 2 * PARAMETERS["b"]])}
    mapped = jitml.jit(jitml.vmap(lambda p: total(back.call, p)))(many)
    np.testing.assert_allclose(mapped, [total(model, {"b": b}) for b in many["b"]], 1e-6)


def test_rules_of_the_user_are_not_lost_in_silence() -> None:
    @jitml.custom_jvp
    def f(x: Any) -> Any:
        return jnp.sin(x)

    f.defjvp(lambda primals, tangents: (f(primals[0]), 5 * tangents[0]))
    found = deserialize(export(jitml.jit(lambda x: f(x) + 1))(1.0).serialize())
    assert found.call(jnp.float32(1.0)) == f(1.0) + 1
    with pytest.raises(DifferentiationError, match="which were not exported"):
        jitml.grad(found.call)(1.0)
    gradient = deserialize(export(jitml.jit(jitml.grad(f)))(1.0).serialize())
    assert gradient.call(1.0) == 5


def test_mistakes(back: Any) -> None:
    with pytest.raises(TreeError, match="model was exported for arguments of structure"):
        back.call(PARAMETERS, X)
    with pytest.raises(ArgumentError, match=r"exported for f32\[2,2\] as argument leaf 1, called"):
        back.call(PARAMETERS, X[:1], n=jnp.int32(1))
    with pytest.raises(ArgumentError, match="a function is not a jitted function"):
        export(model)
    with pytest.raises(ArgumentError, match="there is no platform"):
        export(jitml.jit(model), platforms=["cuda"])
    with pytest.raises(TransformError, match="calls functions of this process while it runs"):
        export(jitml.jit(lambda x: jitml.pure_callback(np.sin, x, x)))(1.0)


def test_bytes_that_cannot_be(back: Any) -> None:
    whole = bytes(back.serialize())
    for position in range(0, len(whole), 41):
        changed = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        with pytest.raises(CheckpointError, match=r"no exported function|are damaged"):
            deserialize(changed)
    with pytest.raises(CheckpointError, match="are damaged"):
        deserialize(whole[:-1])
    text = json.dumps({"version": "0.0.0"}).encode()
    data = len(text).to_bytes(8, "little") + text
    digest = hashlib.blake2b(data, digest_size=16).digest()
    with pytest.raises(CheckpointError, match=r"exported by jitml 0\.0\.0, this is"):
        deserialize(b"jitml graph\n" + digest + data)
