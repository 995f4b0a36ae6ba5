"""Public names that no other table has, called alike through jitml and through JAX."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.debug
import jitml.numpy

jax = pytest.importorskip("jax")

X = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.0]], np.float32)
KEY = np.array([1, 2], np.uint32)
FORMATS = [
    "float4_e2m1fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "int2", "uint2", "uint4", "cdouble",
    "float6_e2m3fn", "float6_e3m2fn", "int1", "uint1",
]  # fmt: skip
NUMBERS = ["csingle", "float_"]
KINDS = [
    "character", "complexfloating", "flexible", "floating", "object_", "signedinteger",
    "unsignedinteger",
]  # fmt: skip
# What changes nothing in the numbers: `with jax.name(…):` is taken.
SWITCHES = {
    "allow_f16_reductions": "all", "array_garbage_collection_guard": "log", "auto_pcast": True,
    "default_prng_impl": "threefry2x32", "enable_checks": False, "enable_custom_prng": False,
    "explain_cache_misses": False, "jax2tf_associative_scan_reductions": True,
    "legacy_prng_key": "allow", "no_execution": False,
    "remove_size_one_mesh_axis_from_type": False, "softmax_custom_jvp": True, "thread_guard": False,
    "threefry_partitionable": True, "transfer_guard": "allow",
    "transfer_guard_device_to_device": "allow", "transfer_guard_device_to_host": "allow",
    "transfer_guard_host_to_device": "allow",
}  # fmt: skip


def _file(write: Callable[[Any], Any]) -> Any:
    file = io.BytesIO()
    write(file)
    file.seek(0)
    return np.load(file)


def _printed(np_like: Any) -> str:
    with np_like.printoptions(precision=2):
        return str(np.asarray(np_like.asarray(X) / 3))


def _tree_class(m: Any) -> list[Any]:
    @m.tree_util.register_pytree_with_keys_class
    class Pair:
        def __init__(self, a: Any, b: Any) -> None:
            self.a, self.b = a, b

        def tree_flatten_with_keys(self) -> Any:
            keys = m.tree_util.GetAttrKey("a"), m.tree_util.GetAttrKey("b")
            return list(zip(keys, (self.a, self.b), strict=True)), None

        @classmethod
        def tree_unflatten(cls, _: Any, children: Any) -> Any:
            return cls(*children)

    found, _ = m.tree_util.tree_flatten_with_path(Pair(1, (2, 3)))
    return [(m.tree_util.keystr(path), leaf) for path, leaf in found]


def _initialized(name: str) -> Callable[[Any], Any]:
    def draw(m: Any) -> Any:
        return getattr(m.nn.initializers, name)()(m.random.key(0), (3, 4), np.float32)

    return draw


TREE = {"a": (1, 2), "b": [3]}
# Names with a call of them, given jitml or JAX.
VALUES: dict[str, Callable[[Any], Any]] = {
    "numpy.apply_along_axis": lambda m: m.numpy.apply_along_axis(lambda v: v * v.sum(), 0, X),
    "numpy.apply_over_axes": lambda m: m.numpy.apply_over_axes(m.numpy.sum, X, [0, 1]),
    "numpy.array_repr": lambda m: m.numpy.array_repr(m.numpy.asarray(X)).split("[", 1)[1].split(),
    "numpy.array_str": lambda m: m.numpy.array_str(m.numpy.asarray(X)),
    "numpy.c_": lambda m: m.numpy.c_[X[0], X[1]],
    "numpy.s_": lambda m: m.numpy.s_[1:2, ...],
    "numpy.index_exp": lambda m: m.numpy.index_exp[::2],
    "numpy.mgrid": lambda m: m.numpy.mgrid[0:2, 0:3],
    "numpy.ogrid": lambda m: m.numpy.ogrid[0:2, 0:3],
    "numpy.can_cast": lambda m: [m.numpy.can_cast(a, b) for a in "if" for b in "if"],
    "numpy.isdtype": lambda m: [m.numpy.isdtype(X.dtype, k) for k in ("real floating", "bool")],
    "numpy.iterable": lambda m: [m.numpy.iterable(m.numpy.asarray(X)), m.numpy.iterable(1)],
    "numpy.euler_gamma": lambda m: m.numpy.euler_gamma,
    "numpy.newaxis": lambda m: m.numpy.newaxis,
    "numpy.fromstring": lambda m: m.numpy.fromstring("1 2 3", np.float32, sep=" "),
    "numpy.savez": lambda m: _file(lambda f: m.numpy.savez(f, x=m.numpy.asarray(X)))["x"],
    "numpy.printoptions": lambda m: _printed(m.numpy),
    "numpy.get_printoptions": lambda m: m.numpy.get_printoptions()["precision"],
    "numpy.set_printoptions": lambda m: m.numpy.set_printoptions(precision=8),
    "numpy.ComplexWarning": lambda m: m.numpy.ComplexWarning,
    **{f"numpy.{name}": lambda m, name=name: np.dtype(getattr(m.numpy, name)) for name in FORMATS},
    **{f"numpy.{name}": lambda m, name=name: getattr(m.numpy, name)(1) for name in NUMBERS},
    **{
        f"numpy.{name}": lambda m, name=name: m.numpy.issubdtype(X.dtype, getattr(m.numpy, name))
        for name in KINDS
    },
    "lax.ConvGeneralDilatedDimensionNumbers": lambda m: tuple(
        m.lax.conv_dimension_numbers((1, 2, 3, 4), (5, 6, 7, 8), ("NHWC", "HWIO", "NHWC")).lhs_spec
    ),
    "lax.FftType": lambda m: m.lax.fft(X.astype(np.complex64), m.lax.FftType.FFT, (3,)),
    "lax.GatherScatterMode": lambda m: str(m.lax.GatherScatterMode.from_any("clip")),
    "lax.Precision": lambda m: m.lax.dot(X, X.T, precision=m.lax.Precision.HIGHEST),
    "lax.RoundingMethod": lambda m: m.lax.round(X / 2, m.lax.RoundingMethod.TO_NEAREST_EVEN),
    "lax.linalg.ormqr": lambda m: m.lax.linalg.ormqr(X[:, :2], np.float32([1.2, 0.7]), X),
    "lax.linalg.SvdAlgorithm": lambda m: m.lax.linalg.svd(
        X, compute_uv=False, algorithm=m.lax.linalg.SvdAlgorithm.QR
    ),
    "lax.linalg.EighImplementation": lambda m: m.lax.linalg.EighImplementation.QR.name,
    "lax.linalg.EigImplementation": lambda m: m.lax.linalg.EigImplementation.LAPACK.name,
    **{
        f"nn.initializers.{name}": _initialized(name)
        for name in ("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform")
    },
    "nn.initializers.variance_scaling": lambda m: m.nn.initializers.variance_scaling(
        2.0, "fan_avg", "uniform"
    )(m.random.key(1), (3, 4)),
    "tree_util.register_pytree_with_keys_class": _tree_class,
    "tree_util.tree_all": lambda m: m.tree_util.tree_all({"a": True, "b": [0]}),
    "tree_util.tree_broadcast": lambda m: m.tree_util.tree_broadcast({"a": 1, "b": 2}, TREE),
    "tree_util.tree_leaves_with_path": lambda m: [
        (m.tree_util.keystr(path), leaf) for path, leaf in m.tree_util.tree_leaves_with_path(TREE)
    ],
    "tree_util.tree_map_with_path": lambda m: m.tree_util.tree_map_with_path(
        lambda path, x: m.tree_util.keystr(path) + str(x), TREE
    ),
    "tree_util.tree_reduce_associative": lambda m: m.tree_util.tree_reduce_associative(
        lambda a, b: a + b, TREE
    ),
    "tree_util.tree_structure": lambda m: m.tree_util.tree_structure(TREE).num_leaves,
    "tree_util.tree_transpose": lambda m: m.tree_util.tree_transpose(
        m.tree_util.tree_structure({"a": 0}), m.tree_util.tree_structure((0, 0)), {"a": (1, 2)}
    ),
    "scipy.optimize.OptimizeResults": lambda m: m.scipy.optimize.OptimizeResults._fields[:3],
    **{
        name: lambda m, name=name, value=value: _switched(m, name, value)
        for name, value in SWITCHES.items()
    },
    "sharding.Sharding": lambda m: isinstance(m.numpy.ones(1).sharding, m.sharding.Sharding),
    "host_id": lambda m: m.process_index(),
}  # fmt: skip


def _switched(m: Any, name: str, value: Any) -> Any:
    with getattr(m, name)(value):
        return m.numpy.sum(X)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VALUES)
def test_values_are_jaxs(name: str) -> None:
    for part in (
        "numpy",
        "lax.linalg",
        "nn.initializers",
        "scipy.optimize",
        "tree_util",
        "sharding",
    ):
        importlib.import_module(f"jitml.{part}"), importlib.import_module(f"jax.{part}")
    ours, theirs = VALUES[name](jitml), VALUES[name](jax)
    if hasattr(theirs, "dtype") and hasattr(theirs, "shape"):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), 1e-5, 1e-6)
    elif isinstance(theirs, (list, tuple)) and any(hasattr(x, "dtype") for x in theirs):
        for one, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(their), 1e-5, 1e-6)
    else:
        assert ours == theirs


def test_a_sharding_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    jitml.debug.visualize_sharding((4, 4), jitml.numpy.ones(1).sharding)
    assert "CPU 0" in capsys.readouterr().out
    with pytest.raises(jitml.errors.ArgumentError, match="a NoneType is no sharding"):
        jitml.debug.visualize_sharding((4, 4), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fromfile", "fromiter"])
def test_what_jax_refuses_is_numpys(name: str, tmp_path: Path) -> None:
    X.tofile(tmp_path / "x")
    source: Any = tmp_path / "x" if name == "fromfile" else X.ravel().tolist()
    ours, theirs = (getattr(m, name)(source, np.float32) for m in (jitml.numpy, np))
    assert isinstance(ours, jitml.Array)
    np.testing.assert_array_equal(np.asarray(ours), theirs)
