"""DLPack in Python: the structures of versions 0 and 1 through ctypes.

In and out: capsules. NumPy exports what it can; it knows no bfloat16, for which the structures are
built here, and it imports no bfloat16, so they are read here.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any

import numpy as np

from ..dtypes import ROWS, Row, find_row
from ..plan import ArraySpec
from .array import MAX_DIMENSIONS, Array, from_numpy, to_numpy, wrap, writable_data

_CPU, _CUDA_HOST = 1, 3
_BFLOAT = 4
_READ_ONLY, _COPIED = 1, 2
_PLAIN, _VERSIONED = b"dltensor", b"dltensor_versioned"
_USED = {_PLAIN: b"used_dltensor", _VERSIONED: b"used_dltensor_versioned"}


class _Tensor(Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", c_int32),
        ("device_number", c_int32),
        ("dimensions", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Plain(Structure):
    _fields_ = (
        ("tensor", _Tensor),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


class _Versioned(Structure):
    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", c_uint64),
        ("tensor", _Tensor),
    )


_KINDS: dict[bytes, type[_Plain] | type[_Versioned]] = {_PLAIN: _Plain, _VERSIONED: _Versioned}
_python = ctypes.pythonapi
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", _python)
)
# These take the capsule as an address: one that is being destroyed must not be referenced.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _python)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _python)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_SetName", _python)
)
_exports: dict[int, tuple[Any, ...]] = {}  # by the structure's address: what it points to


def _forget_export(address: int) -> None:
    _exports.pop(address, None)


def _forget_capsule(capsule: int) -> None:
    for name in _KINDS:
        if _is_valid(capsule, name):  # nobody has consumed it
            _exports.pop(_pointer(capsule, name), None)


_end_export = _Deleter(_forget_export)
_end_capsule = _Destructor(_forget_capsule)


def export_array(
    array: Array,
    stream: Any,
    max_version: tuple[int, int] | None,
    device: tuple[int, int] | None,
    copy: bool | None,
) -> Any:
    """Return a capsule over the array's memory, read-only unless it is a copy."""
    if stream is not None:
        raise BufferError("arrays on the CPU have no stream: pass stream=None")
    if device is not None and device[0] != _CPU:
        raise BufferError("this array can only be exported to the CPU")
    source = array.__copy__() if copy else array
    versioned = max_version is not None and max_version[0] >= 1
    code = find_row(array.dtype).dlpack_code
    if code != _BFLOAT:
        # NumPy refuses to export read-only memory to consumers that cannot be told so.
        data = to_numpy(source) if versioned and not copy else writable_data(source)
        return data.__dlpack__(max_version=(1, 0) if versioned else None)
    return _export_bfloat16(source, versioned, _COPIED if copy else _READ_ONLY)


def _export_bfloat16(source: Array, versioned: bool, flags: int) -> Any:
    view = to_numpy(source)
    shape = (c_int64 * max(1, view.ndim))(*view.shape)
    extents = [max(1, extent) for extent in view.shape]
    steps = [int(np.prod(extents[axis + 1 :], dtype=np.int64)) for axis in range(view.ndim)]
    strides = (c_int64 * max(1, view.ndim))(*steps)
    tensor = _Tensor(view.ctypes.data, _CPU, 0, view.ndim, _BFLOAT, 16, 1, shape, strides, 0)
    managed: _Plain | _Versioned
    if versioned:
        managed = _Versioned(1, 0, None, _end_export, flags, tensor)
    else:
        managed = _Plain(tensor, None, _end_export)
    address = ctypes.addressof(managed)
    _exports[address] = (managed, source, view, shape, strides)
    return _new_capsule(address, _VERSIONED if versioned else _PLAIN, _end_capsule)


class _Owner:
    """Holds a producer's structure until the last view of its memory is gone."""

    def __init__(self, managed: _Plain | _Versioned) -> None:
        self.managed = managed

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(ctypes.addressof(self.managed))


def from_dlpack(source: Any) -> Array:
    """Return an Array over what another library exports, or a copy if it is not row by row."""
    capsule = source
    if type(source).__name__ != "PyCapsule":
        try:
            capsule = source.__dlpack__(max_version=(1, 0))
        except TypeError:  # a producer from before version 1
            capsule = source.__dlpack__()
    name = next((name for name in _KINDS if _is_valid(id(capsule), name)), None)
    if name is None:
        raise BufferError("not a DLPack capsule, or consumed before")
    managed = _KINDS[name].from_address(_pointer(id(capsule), name))
    if isinstance(managed, _Versioned) and managed.major > 1:
        raise BufferError(f"DLPack version {managed.major} is not supported")
    row = _check_tensor(managed.tensor)
    view = _view_of(managed.tensor, row)
    regular = view.flags.c_contiguous and view.flags.aligned
    if not regular or view.size == 0:
        return from_numpy(view)
    _set_name(id(capsule), _USED[name])
    owned = np.frombuffer(_memory_with(view, _Owner(managed)), np.uint8)
    spec = ArraySpec(row.dtype, view.shape)
    return wrap(owned.view(row.dtype).reshape(view.shape), spec, owned=False)


def _memory_with(view: np.ndarray[Any, Any], owner: _Owner) -> Any:
    """Return the view's memory as an object that keeps the owner alive."""
    memory: Any = (c_uint8 * view.nbytes).from_address(view.ctypes.data)
    memory.owner = owner
    return memory


def _check_tensor(tensor: _Tensor) -> Row:
    if tensor.device_type not in (_CPU, _CUDA_HOST):
        raise BufferError(
            f"DLPack device {tensor.device_type} is not supported: copy to the CPU first"
        )
    if not 0 <= tensor.dimensions <= MAX_DIMENSIONS:
        raise BufferError(f"{tensor.dimensions} dimensions are not supported")
    for row in ROWS:
        same = row.dlpack_code == tensor.code and row.dtype.itemsize * 8 == tensor.bits
        if same and tensor.lanes == 1:
            return row
    raise BufferError(
        f"DLPack type (code {tensor.code}, {tensor.bits} bits, {tensor.lanes} lanes) "
        "is not supported"
    )


def _view_of(tensor: _Tensor, row: Row) -> np.ndarray[Any, Any]:
    """Return a view that does not keep the memory alive."""
    shape = tuple(tensor.shape[axis] for axis in range(tensor.dimensions))
    size = int(np.prod(shape, dtype=np.int64))
    if size == 0:
        return np.empty(shape, row.dtype)
    item = row.dtype.itemsize
    if tensor.strides:
        strides = tuple(tensor.strides[axis] * item for axis in range(tensor.dimensions))
    else:
        strides = tuple(
            item * int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))
        )
    lowest = sum(min(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
    highest = sum(max(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True)) + item
    start = (tensor.data or 0) + tensor.byte_offset + lowest
    memory = (c_uint8 * (highest - lowest)).from_address(start)
    raw = np.frombuffer(memory, np.uint8)
    return np.ndarray(shape, row.dtype, raw, -lowest, strides)
