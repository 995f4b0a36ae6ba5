"""Devices, shardings and `shard_map` say and do on the one device what they do in JAX."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import ArgumentError, ShapeError, TreeError
from jitml.sharding import (
    AbstractDevice,
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    SingleDeviceSharding,
)
from jitml.sharding import PartitionSpec as P

CPU = jitml.devices()[0]
MESH = jitml.make_mesh((1, 1), ("x", "y"))


def test_there_is_one_device() -> None:
    assert jitml.devices() == jitml.devices("cpu") == jitml.local_devices() == [CPU]
    counts = (jitml.device_count(), jitml.local_device_count(), jitml.process_count())
    assert counts == (1, 1, 1) and jitml.host_count() == 1
    assert (jitml.process_index(), jitml.process_indices(), jitml.host_ids()) == (0, [0], [0])
    assert (CPU.platform, CPU.id, str(CPU), jitml.default_backend()) == ("cpu", 0, "cpu:0", "cpu")
    assert pickle.loads(pickle.dumps(CPU)) is copy.deepcopy(CPU) is CPU
    assert isinstance(CPU, jitml.Device) and CPU.memory_stats() is None
    assert "numpy:" in jitml.print_environment_info(return_string=True)
    with pytest.raises(RuntimeError, match="there is no backend 'gpu'"):
        jitml.devices("gpu")
    with pytest.raises(ArgumentError, match="there is no process 3"):
        jitml.local_devices(process_index=3)


def test_environment_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    jitml.print_environment_info()
    assert "CpuDevice(id=0)" in capsys.readouterr().out


def test_arrays_to_and_from_the_device() -> None:
    tree = {"a": np.arange(3), "b": [1.5, None]}
    found = jitml.device_put(tree, {"a": CPU, "b": NamedSharding(MESH, P())})
    assert type(found["a"]) is type(jnp.ones(1)) and found["b"][1] is None
    assert jitml.device_put(found["a"]) is found["a"]
    back = jitml.device_get({"a": found["a"], "s": "text"})
    assert type(back["a"]) is np.ndarray and back["s"] == "text"
    assert jitml.copy_to_host_async(found) is found and found["a"].copy_to_host_async() is None
    assert jitml.jit(jitml.device_put)(2.0) == 2
    for place in ("gpu", object()):
        with pytest.raises(ArgumentError, match="device_put: there is no device"):
            jitml.device_put(1.0, place)
    with pytest.raises(ArgumentError, match="is a str, not an array"):
        jitml.device_put("text")


def test_arrays_made_of_parts() -> None:
    sharding, x = NamedSharding(MESH, P("x")), np.arange(6.0).reshape(2, 3)
    called = jitml.make_array_from_callback((2, 3), sharding, lambda index: x[index], "float32")
    assert called.dtype == jnp.float32 and called.tolist() == x.tolist()
    assert jitml.make_array_from_process_local_data(sharding, x, (2, 3)).tolist() == x.tolist()
    parts = [jnp.asarray(x)]
    assert jitml.make_array_from_single_device_arrays((2, 3), sharding, parts).shape == (2, 3)
    with pytest.raises(ArgumentError, match=r"the data have shape \(2, 3\), the array \(4, 3\)"):
        jitml.make_array_from_process_local_data(sharding, x, (4, 3))
    with pytest.raises(ArgumentError, match="2 arrays for one device"):
        jitml.make_array_from_single_device_arrays((2, 3), sharding, parts * 2)


def test_arrays_tell_where_they_are() -> None:
    x = jnp.ones((2, 3))
    assert x.device is CPU and x.devices() == {CPU} and x.sharding == SingleDeviceSharding(CPU)
    assert x.is_fully_addressable and x.is_fully_replicated and x.committed
    (shard,) = x.addressable_shards
    assert (shard.device, shard.index) == (CPU, (slice(None), slice(None)))
    assert shard.data is x.addressable_data(0) is x and x.on_device_size_in_bytes() == 24
    assert isinstance(shard, jitml.Shard) and "replica_id=0" in repr(x.global_shards[0])


def test_types_of_values() -> None:
    assert str(jitml.typeof(jnp.ones((2, 3)))) == "float32[2,3]"
    assert repr(jitml.typeof(1.0)) == "ShapedArray(float32[], weak_type=True)"
    assert jitml.typeof(jnp.ones(2)) == jnp.ones(2).aval == jitml.core.ShapedArray((2,), "float32")
    assert jitml.typeof(jnp.ones(2)).sharding.spec == P(None)
    assert jitml.ShapeDtypeStruct((2,), "int8", sharding=NamedSharding(MESH, P("x"))).size == 2
    seen = []
    jitml.jit(lambda x: seen.append(jitml.typeof(x)) or x)(jnp.ones(2))
    assert seen[0].update(dtype="int8") == jitml.core.ShapedArray((2,), "int8")
    with pytest.raises(ArgumentError, match="typeof: a str is not an array"):
        jitml.typeof("text")


def test_meshes() -> None:
    assert (MESH.axis_names, MESH.size, MESH.empty, dict(MESH.shape)) == (
        ("x", "y"), 1, False, {"x": 1, "y": 1},
    )  # fmt: skip
    assert MESH.axis_types == (AxisType.Explicit,) * 2
    assert Mesh(np.array(jitml.devices()), "x") == Mesh([CPU], ("x",))
    assert len({Mesh([CPU], "x"), Mesh([CPU], "x"), Mesh([CPU], "z")}) == 2
    assert MESH.devices.tolist() == [[CPU]] and MESH.local_devices == [CPU]
    assert MESH.abstract_mesh == AbstractMesh((1, 1), ("x", "y"), AxisType.Explicit)
    assert AbstractDevice("cpu", 4, "cpu").num_cores == 4
    for make, message in (
        (lambda: jitml.make_mesh((2,), ("x",)), "needs 2 devices, there is 1"),
        (lambda: jitml.make_mesh((1,), ("x", "y")), "a mesh of 1 axes has 2 names"),
        (lambda: AbstractMesh((1, 1), ("x", "x")), "two axes of a mesh have the same name"),
        (lambda: Mesh(["gpu"], ("x",)), "Mesh: there is no device 'gpu'"),
        (lambda: Mesh([CPU, CPU], ("x",)), "holds the one device more than once"),
    ):
        with pytest.raises(ArgumentError, match=message):
            make()


def test_the_mesh_around() -> None:
    assert jitml.sharding.get_mesh().empty
    with jitml.set_mesh(MESH) as mesh:
        assert jitml.sharding.get_mesh() is mesh is MESH
        with jitml.sharding.use_abstract_mesh(AbstractMesh((1,), ("z",))):
            assert jitml.sharding.get_abstract_mesh().axis_names == ("z",)
    assert jitml.sharding.get_abstract_mesh().empty
    jitml.set_mesh(MESH)
    assert jitml.sharding.get_mesh() is MESH
    jitml.set_mesh(None)
    with MESH:
        assert jitml.sharding.get_mesh() is MESH


def test_specs_and_shardings() -> None:
    spec = P("x", None, ("y",))
    assert (len(spec), spec[2], list(spec), repr(spec)) == (
        3, ("y",), ["x", None, ("y",)], "P('x', None, ('y',))",
    )  # fmt: skip
    assert spec == copy.copy(spec) and spec != ("x", None, ("y",)) and jitml.P is P
    assert jitml.tree.leaves({"w": spec}) == [spec]
    sharding = NamedSharding(MESH, spec)
    assert sharding.device_set == {CPU} and sharding.shard_shape((4, 2, 3)) == (4, 2, 3)
    assert sharding == NamedSharding(MESH, spec) != NamedSharding(MESH, P())
    assert sharding.devices_indices_map((4,)) == {CPU: (slice(None),)}
    assert sharding.is_equivalent_to(jnp.ones(1).sharding, 1)
    assert sharding.with_memory_kind("device") is sharding
    assert jitml.sharding.make_single_device_sharding() == SingleDeviceSharding(CPU)
    assert jitml.sharding.reshard(jnp.ones(2), spec).tolist() == [1, 1]
    assert jitml.sharding.auto_axes(axes="x")(abs) is jitml.sharding.explicit_axes(abs) is abs
    for make, message in (
        (lambda: NamedSharding(MESH, P("z")), "the axis 'z', which is not in the mesh"),
        (lambda: NamedSharding(MESH, P("x", "x")), "names an axis of the mesh twice"),
        (lambda: NamedSharding(MESH, ("x",)), "a spec is a PartitionSpec"),
        (lambda: SingleDeviceSharding("gpu"), "there is no device 'gpu'"),
        (lambda: sharding.with_memory_kind("tape"), "there is no memory of kind 'tape'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            make()
    with pytest.raises(ShapeError, match="has 3 entries for an array of 1 dimensions"):
        sharding.shard_shape((4,))


def both(x: Any, y: Any) -> Any:
    total = lax.psum(x.sum(), ("x", "y")) + lax.axis_size("x")
    return total + lax.axis_index("y"), lax.all_gather(y, "x", tiled=True)


def test_shard_map_runs_with_the_names_of_the_mesh() -> None:
    mapped = jitml.shard_map(both, mesh=MESH, in_specs=(P("x"), P()), out_specs=(P(), P("x")))
    x, y = jnp.arange(4.0), jnp.ones((2, 2))
    for function in (mapped, jitml.jit(mapped, in_shardings=None, out_shardings=None)):
        total, gathered = function(x, y)
        assert (float(total), gathered.tolist()) == (7, y.tolist())
    assert jitml.grad(lambda x: mapped(x, y)[0])(x).tolist() == [1] * 4
    assert jitml.vmap(lambda x: mapped(x, y)[0])(x[:, None]).tolist() == [1, 2, 3, 4]
    with jitml.set_mesh(MESH):
        assert jitml.shard_map(out_specs=P())(lambda x: lax.pmax(x, "x"))(3.0) == 3
    one = jitml.shard_map(lambda x: lax.psum(x, "x"), mesh=MESH, out_specs=P(), axis_names={"x"})
    assert one(2.0) == 2


def test_mistakes_in_shard_map() -> None:
    x = jnp.ones(2)
    for options, kind, message in (
        ({"in_specs": P("z")}, ArgumentError, "in_specs of <lambda>: P.'z'. names the axis 'z'"),
        ({"in_specs": P("x", "y")}, ShapeError, "has 2 entries for an array of 1 dimensions"),
        ({"in_specs": (P(), P())}, TreeError, "where 2 are expected"),
        ({"in_specs": "x"}, ArgumentError, "'x' is not a PartitionSpec"),
        ({"out_specs": P(None, "x")}, ShapeError, "out_specs of <lambda>"),
        ({"mesh": AbstractMesh((2,), ("x",))}, ArgumentError, "needs 2 devices, there is 1"),
        ({"mesh": None}, ArgumentError, "shard_map: there is no mesh"),
    ):
        given: dict[str, Any] = {"mesh": MESH, "out_specs": P(), **options}
        with pytest.raises(kind, match=message):
            jitml.shard_map(lambda x: x, **given)(x)


def test_smap_maps_over_one_axis_of_the_mesh_around() -> None:
    mapped = jitml.smap(lambda x: lax.psum(x, "x"), in_axes=0, out_axes=0, axis_name="x")
    with jitml.set_mesh(MESH):
        assert mapped(jnp.ones(2)).tolist() == [1, 1]
        with pytest.raises(ArgumentError, match="the axis 'z', which is not in the mesh"):
            jitml.smap(abs, out_axes=0, axis_name="z")(jnp.ones(2))
    with pytest.raises(ArgumentError, match="smap: there is no mesh"):
        mapped(jnp.ones(2))


def test_drawings(capsys: pytest.CaptureFixture[str]) -> None:
    jitml.debug.visualize_array_sharding(jnp.ones((2, 2)))
    assert capsys.readouterr().out == "┌─────────┐\n│  CPU 0  │\n└─────────┘\n"
    found: list[Any] = []
    jitml.debug.inspect_array_sharding(jnp.ones(2), callback=found.append)
    assert found == [SingleDeviceSharding(CPU)]
    with pytest.raises(ShapeError, match="an array of 3 dimensions cannot be drawn"):
        jitml.debug.visualize_array_sharding(jnp.ones((1, 1, 1)))


def test_the_two_passes_of_reverse_mode() -> None:
    def f(x: Any, n: int, y: Any) -> Any:
        return x * y, n

    fwd, bwd = jitml.fwd_and_bwd(f, (0, 2), has_aux=True)
    value, residuals, aux = fwd(3.0, 7, jnp.float32(4.0))
    assert (float(value), int(aux)) == (12, 7)
    assert [float(x) for x in bwd(residuals, 1.0)] == [4, 3]
    fwd, bwd = jitml.fwd_and_bwd(lambda x: x * x, 0, jitted=False)
    assert bwd(fwd(3.0)[1], 2.0) == 12
    with pytest.raises(TypeError):
        jitml.fwd_and_bwd(f, "x")


def test_arrays_say_how_they_were_placed() -> None:
    by_rows = NamedSharding(jitml.make_mesh((1,), ("x",)), P("x"))
    x = jnp.ones((2, 3))
    tree = jitml.device_put({"a": x, "b": 1.0}, {"a": by_rows, "b": jitml.devices()[0]})
    assert tree["a"].sharding == jitml.device_put(x, by_rows).sharding == by_rows
    assert not isinstance(x.sharding, NamedSharding)
    assert not isinstance(tree["b"].sharding, NamedSharding)
    with pytest.raises(ShapeError, match="1 entries for an array of 0 dimensions"):
        jitml.device_put(1.0, by_rows)
