"""How arrays lie on devices, under JAX's names: on the one device each sharding is the whole array.

In: meshes of axes of size 1, and which of them an array's axes run along. Out: objects that tell
this, and `shard_map`, in which collectives find the mesh's axes.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitml.hardware import Device, check_device, default_device, device_of, find_device
from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.source import user_source
from jitml.trace.flags import flag, scope_flag, set_everywhere
from jitml.typing import Array

__all__ = [
    "AbstractDevice", "AbstractMesh", "AxisType", "Mesh", "NamedSharding", "P", "PartitionSpec",
    "Shard", "Sharding", "SingleDeviceSharding", "auto_axes", "explicit_axes",
    "get_abstract_mesh", "get_mesh", "make_mesh", "make_single_device_sharding", "reshard",
    "set_mesh", "use_abstract_mesh",
]  # fmt: skip


class AxisType(enum.Enum):
    """Who decides how arrays lie along an axis of a mesh; on one device nobody needs to."""

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()

    def __repr__(self) -> str:
        return self.name


class AbstractDevice:
    """A kind of device.

    >>> AbstractDevice("cpu", None, "cpu").platform
    'cpu'
    """

    __slots__ = ("device_kind", "num_cores", "platform")

    def __init__(self, device_kind: str, num_cores: int | None, platform: str) -> None:
        self.device_kind, self.num_cores, self.platform = device_kind, num_cores, platform


# ---- meshes --------------------------------------------------------------------------------------


class AbstractMesh:
    """The sizes and names of a mesh's axes.

    >>> AbstractMesh((1, 1), ("x", "y")).shape["x"]
    1
    """

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: Sequence[Hashable],
        axis_types: AxisType | Sequence[AxisType] | None = None,
        *,
        abstract_device: AbstractDevice | None = None,
    ) -> None:
        check_sequence(type(self).__name__, axis_names, "names")
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        check_sequence("AbstractMesh", axis_sizes, "sizes")
        sizes = tuple(int(n) for n in axis_sizes)
        if len(sizes) != len(names):
            raise _failure(f"a mesh of {len(sizes)} axes has {len(names)} names: {names}")
        if len(set(names)) < len(names):
            raise _failure(f"two axes of a mesh have the same name: {names}")
        given = AxisType.Auto if axis_types is None else axis_types
        self.axis_sizes, self.axis_names = sizes, names
        self.axis_types = (given,) * len(names) if isinstance(given, AxisType) else tuple(given)
        self.abstract_device = abstract_device

    @property
    def shape(self) -> OrderedDict[Hashable, int]:
        return OrderedDict(zip(self.axis_names, self.axis_sizes, strict=True))

    @property
    def shape_tuple(self) -> tuple[tuple[Hashable, int], ...]:
        return tuple(self.shape.items())

    @property
    def size(self) -> int:
        return math.prod(self.axis_sizes)

    @property
    def empty(self) -> bool:
        return not self.axis_names

    @property
    def abstract_mesh(self) -> AbstractMesh:
        return AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return (self.axis_sizes, self.axis_names, self.axis_types)

    def __repr__(self) -> str:
        axes = ", ".join(f"{name!r}: {size}" for name, size in self.shape_tuple)
        return f"{type(self).__name__}({axes}, axis_types={self.axis_types})"


class Mesh(AbstractMesh):
    """Devices in a grid with named axes; there is one device, so each axis has size 1.

    >>> import jitml
    >>> Mesh(jitml.devices(), ("x",)).size
    1
    """

    def __init__(
        self,
        devices: Any,
        axis_names: str | Sequence[Hashable],
        axis_types: AxisType | Sequence[AxisType] | None = None,
    ) -> None:
        grid = np.array(devices, dtype=object)
        check_sequence(type(self).__name__, axis_names, "names")
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        if grid.ndim != len(names):
            raise _failure(f"a mesh of {grid.ndim} axes has {len(names)} names: {names}")
        for device in grid.flat:
            check_device(device, "Mesh")
        if grid.size > 1:
            raise _failure(f"a mesh of {grid.size} devices holds the one device more than once")
        super().__init__(grid.shape, names, axis_types)
        self.devices = grid

    @property
    def device_ids(self) -> Any:
        return np.zeros(self.devices.shape, int)

    @property
    def local_devices(self) -> list[Device]:
        return list(self.devices.flat)

    @property
    def local_mesh(self) -> Mesh:
        return self

    is_multi_process = False

    def __enter__(self) -> Mesh:
        self._scope = set_mesh(self)
        self._scope.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._scope.__exit__(*error)


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: Sequence[Hashable],
    axis_types: AxisType | Sequence[AxisType] | None = None,
    *,
    devices: Sequence[Device] | None = None,
) -> Mesh:
    """A mesh of all devices, which are one.

    >>> make_mesh((1, 1), ("x", "y")).axis_names
    ('x', 'y')
    """
    check_sequence("make_mesh", axis_shapes, "sizes")
    sizes = tuple(axis_shapes)
    if math.prod(sizes) != 1:
        raise _failure(
            f"make_mesh: a mesh of shape {sizes} needs {math.prod(sizes)} devices, there is 1",
            "each axis has size 1 here; threads share the work of the one device",
        )
    grid = np.array([default_device()] if devices is None else list(devices), dtype=object).reshape(
        sizes
    )
    types = AxisType.Explicit if axis_types is None else axis_types
    return Mesh(grid, axis_names, types)


_MESH = "mesh"  # the mesh around is kept like a switch
_EMPTY = AbstractMesh((), ())


class set_mesh:  # also a scope
    """Make a mesh the one that is meant where none is given; as a scope, inside it.

    >>> with set_mesh(make_mesh((1,), ("x",))):
    ...     print(get_abstract_mesh().axis_names)
    ('x',)
    """

    def __init__(self, mesh: Mesh | None) -> None:
        self._mesh = mesh
        self._before = flag(_MESH)
        set_everywhere(_MESH, mesh)

    def __enter__(self) -> Mesh | None:
        set_everywhere(_MESH, self._before)
        self._scope = scope_flag(_MESH, self._mesh)
        self._scope.__enter__()
        return self._mesh

    def __exit__(self, *error: object) -> None:
        self._scope.__exit__(*error)


@contextmanager
def use_abstract_mesh(mesh: AbstractMesh) -> Iterator[AbstractMesh]:
    """A scope in which an abstract mesh is the one that is meant where none is given.

    >>> with use_abstract_mesh(AbstractMesh((1,), ("x",))):
    ...     print(get_abstract_mesh().axis_names)
    ('x',)
    """
    with scope_flag(_MESH, mesh):
        yield mesh


def get_mesh() -> Any:
    """The mesh around.

    >>> get_mesh().empty
    True
    """
    return flag(_MESH) or _EMPTY


def get_abstract_mesh() -> AbstractMesh:
    """Sizes and names of the mesh around.

    >>> get_abstract_mesh().empty
    True
    """
    return (flag(_MESH) or _EMPTY).abstract_mesh


# ---- shardings -----------------------------------------------------------------------------------


class PartitionSpec:
    """For each axis of an array the axis or axes of a mesh that it runs along, or None.

    >>> PartitionSpec("x", None)
    P('x', None)
    """

    __slots__ = ("partitions",)
    UNCONSTRAINED: Any = type("UNCONSTRAINED", (), {"__repr__": lambda self: "UNCONSTRAINED"})()
    unreduced = reduced = frozenset[Hashable]()

    def __init__(self, *partitions: Any) -> None:
        self.partitions = partitions

    def __len__(self) -> int:
        return len(self.partitions)

    def __getitem__(self, index: Any) -> Any:
        return self.partitions[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.partitions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartitionSpec) and self.partitions == other.partitions

    def __hash__(self) -> int:
        return hash(self.partitions)

    def __reduce__(self) -> tuple[Any, ...]:
        return (PartitionSpec, self.partitions)

    def __repr__(self) -> str:
        return f"P({', '.join(map(repr, self.partitions))})"

    def axis_names(self) -> list[Hashable]:
        """The axes of the mesh, in order."""
        parts = [p if isinstance(p, tuple) else (p,) for p in self.partitions]
        nothing = (None, PartitionSpec.UNCONSTRAINED)
        return [name for part in parts for name in part if name not in nothing]


P = PartitionSpec


class Sharding:
    """How an array lies on devices: here, whole on the one device."""

    __slots__ = ()
    memory_kind = "device"
    num_devices = 1
    is_fully_addressable = is_fully_replicated = True

    @property
    def device_set(self) -> set[Device]:
        return {default_device()}

    @property
    def addressable_devices(self) -> set[Device]:
        return self.device_set

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what each device has of an array."""
        return tuple(global_shape)

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Device, Any]:
        """Which part of an array each device has."""
        whole = (slice(None),) * len(global_shape)
        return dict.fromkeys(self.device_set, whole)

    addressable_devices_indices_map = devices_indices_map

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether an array lies as it does by another sharding."""
        return isinstance(other, Sharding)

    def with_memory_kind(self, kind: str) -> Sharding:
        """The same in another kind of memory, of which there is none."""
        if kind not in ("device", "unpinned_host", "pinned_host"):
            raise _failure(f"there is no memory of kind {kind!r}", "it is 'device'")
        return self


class SingleDeviceSharding(Sharding):
    """The whole array on one device.

    >>> import jitml
    >>> SingleDeviceSharding(jitml.devices()[0])
    SingleDeviceSharding(device=CpuDevice(id=0), memory_kind=device)
    """

    __slots__ = ("_device",)

    def __init__(self, device: Device, *, memory_kind: str | None = None) -> None:
        self._device = find_device(device, "SingleDeviceSharding") or default_device()

    @property
    def device_set(self) -> set[Device]:
        """The device."""
        return {self._device}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SingleDeviceSharding) and self._device is other._device

    def __hash__(self) -> int:
        return hash((SingleDeviceSharding, self._device))

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind=device)"


class NamedSharding(Sharding):
    """An array's axes along those of a mesh.

    >>> NamedSharding(make_mesh((1,), ("x",)), PartitionSpec("x")).spec
    P('x')
    """

    __slots__ = ("mesh", "spec")

    def __init__(
        self, mesh: AbstractMesh, spec: PartitionSpec, *, memory_kind: str | None = None
    ) -> None:
        if not isinstance(spec, PartitionSpec):
            raise _failure(f"a spec is a PartitionSpec, not {spec!r}", "write P('x', None)")
        check_spec(spec, mesh, "NamedSharding")
        self.mesh, self.spec = mesh, spec

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what each device has of an array."""
        check_rank(self.spec, len(global_shape), "NamedSharding")
        return tuple(global_shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NamedSharding):
            return NotImplemented
        return self.mesh == other.mesh and self.spec == other.spec

    def __hash__(self) -> int:
        return hash((self.mesh, self.spec))

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh!r}, spec={self.spec!r}, memory_kind=device)"


def make_single_device_sharding(device: Device | None = None) -> SingleDeviceSharding:
    """The whole array on a device.

    >>> make_single_device_sharding().num_devices
    1
    """
    return SingleDeviceSharding(device or default_device())


class Shard:
    """What a device has of an array.

    >>> import jitml.numpy as jnp
    >>> jnp.ones(2).addressable_shards[0].data
    Array([1., 1.], dtype=float32)
    """

    __slots__ = ("data",)
    replica_id = 0

    def __init__(self, data: Array) -> None:
        self.data = data

    @property
    def device(self) -> Device:
        return device_of(self.data)

    @property
    def index(self) -> tuple[slice, ...]:
        return tuple([slice(None) for _ in self.data.shape])

    def __repr__(self) -> str:
        return f"Shard(device={self.device!r}, index={self.index}, replica_id=0, data={self.data})"


def reshard(xs: Any, out_shardings: Any) -> Any:
    """The tree `xs`, laid out as `out_shardings` say: as it is.

    >>> reshard(1.0, None)
    1.0
    """
    return xs


def auto_axes(f: Any = None, /, *, axes: Any = None, out_sharding: Any = None) -> Any:
    """The function `f`, in which the compiler lays arrays out along `axes`: as it is.

    >>> auto_axes(abs)(-1)
    1
    """
    return f if f is not None else lambda function: function


def explicit_axes(f: Any = None, /, *, axes: Any = None, in_sharding: Any = None) -> Any:
    """The function `f`, in which the program lays arrays out along `axes`: as it is.

    >>> explicit_axes(abs)(-1)
    1
    """
    return f if f is not None else lambda function: function


def check_spec(spec: PartitionSpec, mesh: AbstractMesh, name: str) -> None:
    """Raise if a spec names an axis that the mesh lacks, or one twice."""
    named = spec.axis_names()
    for axis in named:
        if axis not in mesh.axis_names:
            raise _failure(
                f"{name}: {spec} names the axis {axis!r}, which is not in the mesh",
                f"the mesh has the axes {', '.join(map(repr, mesh.axis_names)) or 'of none'}",
            )
    if len(set(named)) < len(named):
        raise _failure(f"{name}: {spec} names an axis of the mesh twice")


def check_rank(spec: PartitionSpec, ndim: int, name: str) -> None:
    """Raise if a spec has more entries than an array has axes."""
    if len(spec) > ndim:
        raise ShapeError(
            f"{name}: {spec} has {len(spec)} entries for an array of {ndim} dimensions",
            hint="give one entry for each axis, or fewer",
            source=user_source(),
        )


def _failure(message: str, hint: str = "") -> ArgumentError:
    return ArgumentError(message, hint=hint, source=user_source())
