"""A program written for JAX, in which nothing knows of jitml: `jitml.as_jax` runs it."""

from __future__ import annotations

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax import config, grad, jit, lax, random, vmap
from jax.experimental import checkify
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import tree_map


def raised(kind, function):
    """The message of the error of this kind that a function raises."""
    try:
        function()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def check_names():
    assert jax.__version__ == "0.10.2"
    assert jax.numpy is jnp
    assert isinstance(jnp.ones(2), jax.Array)
    assert jax.random.key(0).shape == ()
    assert jnp.issubdtype(random.key(0).dtype, jax.dtypes.prng_key)
    assert not jnp.issubdtype(jnp.float32, jax.dtypes.prng_key)
    assert config.jax_enable_x64 is False
    assert tree_map(jnp.shape, {"a": jnp.ones(3)}) == {"a": (3,)}
    assert issubclass(jax.errors.TracerBoolConversionError, TypeError)
    assert callable(checkify.checkify)
    jax.tree_util.Partial(lambda x: x)
    for name in ("jax.experimental.pallas", "jax.experimental.jax2tf"):
        assert f"has no {name}" in raised(ImportError, lambda name=name: __import__(name))
    assert "has no jax.numpy.nothing" in raised(AttributeError, lambda: jnp.nothing)
    assert not hasattr(jax.lax, "nothing")
    try:
        from jax import nothing  # noqa: F401
    except ImportError as error:
        assert "jitml, which stands in for JAX here, has no jax.nothing" in str(error)


def check_widths():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert jnp.zeros(2, jnp.float64).dtype == jnp.float32
        assert jnp.arange(3, dtype="int64").dtype == jnp.int32
    assert {w.filename for w in caught} == {__file__}
    assert "float64 is not available" in str(caught[0].message)
    wide = np.arange(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jnp.asarray(wide).dtype == jnp.array([np.int64(2)], float).dtype == jnp.float32
        assert (jnp.ones(3, jnp.float32) * wide).dtype == (np.float64(2) * jnp.ones(2)).dtype
        assert (wide + jnp.ones(3)).dtype == jnp.sum(wide).dtype == jnp.float32
        double = jit(lambda x: x["a"] * 2)
        for _ in range(3):  # what the runtime knows at a later call must be the same
            assert double({"a": wide}).dtype == double({"a": np.float64(3)}).dtype == jnp.float32
            assert double({"a": wide}).tolist() == [0, 2, 4]
            assert jnp.sin(wide).dtype == jnp.add(wide, wide).dtype == jnp.float32
        assert grad(lambda x: x * 2.0)(np.float64(3)).dtype == jnp.float32
        assert vmap(lambda x: x)(np.arange(2)).dtype == jnp.int32
        assert int(jnp.array(np.array([2**40 + 1]))[0]) == 1
        assert jnp.result_type("uint32", "int32") == jnp.promote_types("uint32", "int32") == "int32"
        assert (jnp.uint32(1) + jnp.int32(-2)).tolist() == -1
        assert jax.dtypes.canonicalize_dtype("complex128") == "complex64"
        assert jnp.finfo("float64").bits == 64
        assert jax.eval_shape(lambda x: x, jax.ShapeDtypeStruct((2,), "float64")).dtype == "float32"
        assert jnp.frombuffer(wide.tobytes(), "float64").tolist() == [0, 1, 2]
    with jax.enable_x64(True):
        assert jnp.asarray(wide).dtype == jnp.zeros(2, jnp.float64).dtype == "float64"
        assert (jnp.uint32(1) + jnp.int32(-2)).dtype == "int64"


def check_indices():
    x = jnp.arange(5.0)
    far = jnp.array([0, 7, -9])
    assert (x[10], x[-10], x[np.array([7])][0]) == (4, 0, 4)
    assert x[far].tolist() == x.at[far].get().tolist() == [0, 4, 0]
    assert jit(lambda x, i: x[i])(x, 10) == jit(lambda x: x[10])(x) == 4
    assert grad(lambda x: x[far].sum())(x).tolist() == [2, 0, 0, 0, 1]
    assert x.at[10].set(9.0).tolist() == x.at[-10].add(9.0).tolist() == x.tolist()
    assert x.at[far].add(1.0).tolist() == [1, 1, 2, 3, 4]
    assert x.at[1].set(9.0).tolist() == [0, 9, 2, 3, 4]
    assert np.isnan(jnp.take(x, far)[1:]).all()
    assert np.isnan(jnp.take_along_axis(x, far, 0)[1:]).all()
    assert x.at[10].get(mode="fill", fill_value=-1.0) == -1
    table = jnp.arange(6).reshape(2, 3)
    assert (table[:, 5].tolist(), table[5].tolist()) == ([2, 5], [3, 4, 5])
    assert "too many indices" in raised(IndexError, lambda: x[1, 2])


def check_control_flow():
    def absolute(x):
        return x if x > 0 else -x

    message = raised(jax.errors.TracerBoolConversionError, lambda: jit(absolute)(1.0))
    assert "jax_program.py" in message
    assert grad(absolute)(-2.0) == -1
    assert jit(lambda x: lax.cond(x > 0, lambda x: x, lambda x: -x, x))(-3.0) == 3


def check_devices():
    device = jax.devices()[0]
    assert (device.platform, jax.device_count(), jax.default_backend()) == ("cpu", 1, "cpu")
    mesh = jax.make_mesh((1, 1), ("data", "model"))
    sharding = NamedSharding(mesh, P("data", None))
    x = jax.device_put(np.ones((4, 2)), sharding)
    assert x.sharding.device_set == x.devices() == {device}
    assert x.sharding.is_equivalent_to(sharding, 2)
    total = jax.shard_map(
        lambda x: lax.psum(x.sum(), "data"), mesh=mesh, in_specs=P("data"), out_specs=P()
    )
    assert total(x) == jit(total, in_shardings=sharding)(x) == 8
    assert type(jax.device_get(x)) is np.ndarray


if __name__ == "__main__":
    assert sys.argv[1:] == ["an argument"]
    check_names()
    check_widths()
    check_indices()
    check_control_flow()
    check_devices()
    print("jaxlib" in sys.modules, "jax._src" in sys.modules, type(jax).__name__)
