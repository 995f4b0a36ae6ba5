"""Memory of a device that other libraries and this one share, without a copy.

In: capsules of DLPack and `__cuda_array_interface__`s of torch, CuPy, numba. Out: arrays over their
memory, which lasts as long as an array; and capsules and interfaces over ours. Work of ours is
waited for before others see it.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char_p,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from math import prod
from typing import Any

import numpy as np

from jitml.device.device import Device
from jitml.device.memory import Block, Resident
from jitml.device.placement import resident_on
from jitml.ir.errors import ArgumentError
from jitml_runtime import Array, find_row, from_numpy, remote_array, remote_of
from jitml_runtime.dtypes import ROWS

CUDA = 2  # of DLPack's kinds of devices
_PLAIN, _VERSIONED = b"dltensor", b"dltensor_versioned"
_READ_ONLY = 1


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("dimensions", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


_Deleter = CFUNCTYPE(None, c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", c_void_p), ("deleter", _Deleter))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("context", c_void_p),
        ("deleter", _Deleter),
        ("flags", c_uint64),
        ("tensor", _Tensor),
    )


_api = ctypes.pythonapi
_new = _api.PyCapsule_New
_new.restype, _new.argtypes = py_object, (c_void_p, c_char_p, c_void_p)
_pointer = _api.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, (py_object, c_char_p)
_is_valid = _api.PyCapsule_IsValid
_is_valid.argtypes = (py_object, c_char_p)
_rename = _api.PyCapsule_SetName
_rename.argtypes = (py_object, c_char_p)

# By the address of the managed tensor: what must last until the consumer is done.
_EXPORTS: dict[int, tuple[Any, ...]] = {}
_USED = (b"used_dltensor", b"used_dltensor_versioned")


def _forget(address: int) -> None:
    _EXPORTS.pop(address, None)


def _forget_capsule(capsule: int) -> None:
    """A capsule goes; if nobody has consumed it, so does what it holds."""
    held = ctypes.cast(capsule, py_object)
    for name in (_PLAIN, _VERSIONED):
        if _is_valid(held, name):
            _EXPORTS.pop(_pointer(held, name), None)


_end_export = _Deleter(_forget)
_end_capsule = CFUNCTYPE(None, c_void_p)(_forget_capsule)


# ---- out -----------------------------------------------------------------------------------------


def export_capsule(
    resident: Resident, array: Array, stream: Any, version: Any, device: Any, copy: Any
) -> Any:
    """A capsule over the elements on the device; over a copy on the host if `device` asks so."""
    if device is not None and tuple(device) != resident.dlpack_device():
        if device[0] != 1:
            raise BufferError(f"this array is on {resident.device}, not on DLPack's {device}")
        return from_numpy(np.asarray(array)).__dlpack__(max_version=version)
    if copy:
        raise BufferError("copy the array first: x.copy().__dlpack__()")
    if stream != -1:
        resident.wait()
    row, shape = find_row(array.dtype), array.shape
    extents = (c_int64 * max(1, len(shape)))(*shape)
    steps = [prod(max(1, n) for n in shape[axis + 1 :]) for axis in range(len(shape))]
    strides = (c_int64 * max(1, len(shape)))(*steps)
    bits = array.dtype.itemsize * 8
    number = resident.device.driver.ordinal
    tensor = _Tensor(
        resident.block.address, CUDA, number, len(shape), row.dlpack_code, bits, 1,
        extents, strides, 0,
    )  # fmt: skip
    is_versioned = version is not None and version[0] >= 1
    managed = (
        _ManagedVersioned(1, 0, None, _end_export, _READ_ONLY, tensor)
        if is_versioned
        else _Managed(tensor, None, _end_export)
    )
    address = ctypes.addressof(managed)
    _EXPORTS[address] = (managed, extents, strides, resident)
    name = _VERSIONED if is_versioned else _PLAIN
    return _new(address, name, ctypes.cast(_end_capsule, c_void_p))


def cuda_array_interface(array: Array, default: Device) -> dict[str, Any]:
    """The elements on the device as CuPy, numba and torch take them; those that are on no device go
    to the default one.
    """
    if remote_of(array) is None:
        with default.entered():
            resident_on(array, default)
    resident: Resident | None = remote_of(array)
    if resident is None:
        raise AttributeError("the array lies in memory of another library: copy it first")
    resident.wait()
    return {
        "shape": array.shape,
        "typestr": array.dtype.str,
        "data": (resident.block.address if array.size else 0, True),
        "strides": None,
        "version": 3,
        "stream": None,  # nothing is on its way
    }


# ---- in ------------------------------------------------------------------------------------------


class _Borrowed(Block):
    """Memory of another library; `owner` keeps it, or `end` gives it back."""

    __slots__ = ("_end", "_owner")

    def __init__(self, device: Device, address: int, size: int, owner: Any, end: Any) -> None:
        self.device = device
        self.size_bytes = size
        self.generation = device.generation
        self.address = address
        self._owner = owner
        self._end = end

    def __del__(self) -> None:
        with self.device.entered() as device:
            device.wait()  # nobody else knows what of ours still reads it
        if self._end is not None:
            self._end()


def import_dlpack(x: Any, device: Device) -> Array:
    """An array over what another library exports by DLPack from this device."""
    stream = device.driver.stream.value
    try:
        capsule = x.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:  # a producer from before version 1
        capsule = x.__dlpack__(stream=stream)
    kind: Any = _ManagedVersioned if _is_valid(capsule, _VERSIONED) else _Managed
    name = _VERSIONED if kind is _ManagedVersioned else _PLAIN
    address = _pointer(capsule, name)
    managed = kind.from_address(address)
    tensor = managed.tensor
    shape = tuple(tensor.shape[: tensor.dimensions])
    strides = tuple(tensor.strides[: tensor.dimensions]) if tensor.strides else None
    dtype = _dtype_of(tensor)
    _check_rows("from_dlpack", shape, strides)
    _rename(capsule, _USED[name == _VERSIONED])

    def end() -> None:
        if managed.deleter:
            managed.deleter(address)

    size = prod(shape) * dtype.itemsize
    place = (tensor.data or 0) + tensor.byte_offset
    block = _Borrowed(device, place, size, capsule, end)
    return remote_array(dtype, shape, False, Resident(block, dtype, None, True, capsule))


def _dtype_of(tensor: _Tensor) -> np.dtype[Any]:
    for row in ROWS:
        is_it = row.dlpack_code == tensor.code and row.dtype.itemsize * 8 == tensor.bits
        if is_it and tensor.lanes == 1:
            return row.dtype
    raise ArgumentError(f"from_dlpack: arrays cannot have type {tensor.code}, {tensor.bits} bits")


def _check_rows(name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> None:
    """Raise unless elements lie row by row; strides are in elements."""
    expected = 1
    for size, stride in zip(shape[::-1], (strides or ())[::-1], strict=False):
        if size > 1 and stride != expected:
            raise ArgumentError(
                f"{name}: the elements do not lie row by row",
                hint="make them so first, with .contiguous() (torch) or ascontiguousarray (CuPy)",
            )
        expected *= size


def import_cuda_array(x: Any, device: Device) -> Array:
    """An array over the memory of an object with `__cuda_array_interface__`."""
    face = x.__cuda_array_interface__
    dtype, shape = find_row(np.dtype(face["typestr"])).dtype, tuple(face["shape"])
    strides = face.get("strides")
    if strides is not None:
        strides = tuple([n // dtype.itemsize for n in strides])
    _check_rows("array", shape, strides)
    if face.get("stream"):
        device.driver.synchronize_other(face["stream"])
    size = prod(shape) * dtype.itemsize
    block = _Borrowed(device, face["data"][0], size, x, None)
    return remote_array(dtype, shape, False, Resident(block, dtype, None, True, x))
