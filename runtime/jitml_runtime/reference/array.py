"""Array in Python: an immutable array over a NumPy array.

In: NumPy arrays. Out: Arrays; their operators come from above through `set_operators`.
Must not know what an operator means.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, SupportsIndex

import numpy as np

from ..dtypes import find_row
from ..errors import DELETED, IMMUTABLE
from ..plan import ArraySpec
from ..rebuild import rebuild_array
from . import memory, spans

MAX_DIMENSIONS = 64
MAX_INLINE_BYTES = 256
_PUBLIC_MODULE = "jitml_runtime"


class Array:
    """An immutable array. Made by from_numpy, from_dlpack or a compiled function."""

    __slots__ = ("__weakref__", "_data", "_is_deleted", "_owned", "_remote", "_spec")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __module__ = _PUBLIC_MODULE

    _data: np.ndarray[Any, Any] | None  # None once deleted, and while only the remote has it
    _is_deleted: bool
    _remote: Any  # what has the elements as well, or alone; or None
    _owned: bool  # the memory is ours to write
    _spec: ArraySpec

    def __new__(cls) -> Array:
        """Refuse: arrays are made by functions."""
        raise TypeError("cannot create 'jitml_runtime.Array' instances")

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'jitml_runtime.Array' is not an acceptable base type")

    def __del__(self) -> None:
        memory.live_arrays["count"] -= 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return self._spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._spec.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self._spec.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._spec.size_bytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._spec.dtype.itemsize

    @property
    def weak_type(self) -> bool:
        """Whether the element type gives way to others, as a Python scalar's does."""
        return self._spec.weak

    def is_deleted(self) -> bool:
        """Return whether the array was donated or deleted."""
        return self._is_deleted

    def delete(self) -> None:
        """Give the memory back; reading the array afterwards raises RuntimeError."""
        self._data = self._remote = None
        self._is_deleted = True

    def __len__(self) -> int:
        if not self._spec.shape:
            raise TypeError("len() of unsized object")
        return self._spec.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        view = to_numpy(self)
        if dtype is not None and np.dtype(dtype) != view.dtype:
            if copy is not None and not copy:
                raise ValueError("Unable to avoid copy while creating an array as requested.")
            return view.astype(dtype)
        return view.copy() if copy else view

    def __buffer__(self, flags: int) -> memoryview:
        view: Any = to_numpy(self)
        try:
            return memoryview(view)
        except ValueError as error:  # NumPy's word for an element type without a format
            raise BufferError(
                f"the buffer protocol cannot express this {self.dtype} array; use numpy.asarray(x)"
            ) from error

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self._remote is not None:
            return self._remote.dlpack(self, stream, max_version, dl_device, copy)
        from .dlpack import export_array

        return export_array(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0) if self._remote is None else self._remote.dlpack_device()

    def __copy__(self) -> Array:
        if self._remote is not None:  # it never changes
            return share(self, self.shape, self.weak_type)
        return from_numpy(to_numpy(self), weak=self.weak_type)

    def __deepcopy__(self, memo: object) -> Array:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        data = to_numpy(self).tobytes()
        return rebuild_array, (str(self.dtype), self.shape, data, self.weak_type)

    def __setitem__(self, index: object, value: object) -> None:
        raise TypeError(IMMUTABLE)

    def __delitem__(self, index: object) -> None:
        raise TypeError(IMMUTABLE)

    def __bool__(self) -> bool:
        return bool(to_numpy(self))

    def __int__(self) -> int:
        return int(to_numpy(self))

    def __float__(self) -> float:
        return float(to_numpy(self))

    def __complex__(self) -> complex:
        return complex(to_numpy(self))

    def __index__(self) -> int:
        view: SupportsIndex = to_numpy(self)
        return view.__index__()

    def __repr__(self) -> str:
        installed = _operators.get("repr")
        if installed is not None:
            return str(installed(self))
        return "<deleted Array>" if self._is_deleted else "A" + repr(to_numpy(self))[1:]

    def __str__(self) -> str:
        installed = _operators.get("str")
        if installed is not None:
            return str(installed(self))
        return "<deleted Array>" if self._is_deleted else str(to_numpy(self))

    def __format__(self, format_spec: str) -> str:
        return format(to_numpy(self), format_spec) if format_spec else str(self)


# ---- making arrays ----


def wrap(
    data: np.ndarray[Any, Any] | None, spec: ArraySpec, owned: bool, remote: Any = None
) -> Array:
    """Return an Array over ``data``, which must have the spec's type, contiguous and aligned."""
    if len(spec.shape) > MAX_DIMENSIONS:
        raise ValueError(f"arrays have at most {MAX_DIMENSIONS} dimensions")
    array: Array = object.__new__(Array)
    memory.live_arrays["count"] += 1
    array._data = data
    array._is_deleted = False
    array._owned = owned
    array._remote = remote
    array._spec = spec
    return array


def empty(spec: ArraySpec) -> Array:
    """Return an Array of the given type with undefined contents."""
    spec = ArraySpec(find_row(spec.dtype).dtype, spec.shape, spec.weak)
    if min(spec.shape, default=0) < 0:
        raise ValueError(f"shape {spec.shape} has a negative size")
    if prod(max(1, extent) for extent in spec.shape) * spec.dtype.itemsize > sys.maxsize:
        raise MemoryError("the array is larger than the address space")
    if len(spec.shape) > MAX_DIMENSIONS:
        raise ValueError(f"arrays have at most {MAX_DIMENSIONS} dimensions")
    data = memory.allocate(spec.size_bytes).view(spec.dtype).reshape(spec.shape)
    return wrap(data, spec, owned=True)


def from_numpy(source: Any, weak: bool = False, copy: bool = True) -> Array:
    """Return an Array of a NumPy array or scalar; without copy over its memory if possible."""
    if not isinstance(source, (np.ndarray, np.generic)):
        raise TypeError(f"from_numpy needs a NumPy array, not {type(source).__name__}")
    spec = ArraySpec(find_row(source.dtype).dtype, source.shape, bool(weak))
    flags = source.flags
    regular = flags.c_contiguous and flags.aligned and source.dtype.isnative
    if not copy and regular and isinstance(source, np.ndarray):
        return wrap(source.view(np.ndarray).view(spec.dtype), spec, owned=False)
    begin = time.perf_counter_ns()
    array = empty(spec)
    writable_data(array)[...] = source
    if spans.is_recording:
        spans.record(None, begin, time.perf_counter_ns(), array.nbytes)
    return array


def share(array: Array, shape: tuple[int, ...], weak: bool) -> Array:
    """Return an Array over the same memory with another shape."""
    check_alive(array)
    if not isinstance(shape, tuple):
        raise TypeError(f"a shape must be a tuple, not {type(shape).__name__}")
    if min(shape, default=0) < 0 or prod(shape) != array.size:
        raise ValueError(f"an array of {array.size} elements cannot have shape {shape}")
    spec = ArraySpec(array.dtype, shape, bool(weak))
    data = None if array._data is None else array._data.reshape(shape)
    return wrap(data, spec, array._owned, array._remote)


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """Return a read-only ndarray over an Array's memory."""
    view = _checked(array).view()
    view.flags.writeable = False
    return view


def data_pointer(array: Array) -> int:
    """Return the address of an Array's first element."""
    return _checked(array).ctypes.data


def list_stored_arrays() -> list[Array]:
    """Return the live Arrays whose data would not fit into the C core's object."""
    alive = [found for found in gc.get_objects() if type(found) is Array]
    return [x for x in alive if x.nbytes > MAX_INLINE_BYTES and x._data is not None]


def writable_data(array: Array) -> np.ndarray[Any, Any]:
    """Return the memory of an Array that nobody has seen yet."""
    return _checked(array)


def take_data(array: Array) -> np.ndarray[Any, Any] | None:
    """Take a donated array's memory, if nobody else can see it, and delete the array."""
    data = array._data
    if data is None or not array._owned or not memory.is_sole_view(data):
        return None
    array.delete()
    return data


def check_alive(array: Array) -> None:
    """Raise unless it is an Array that has not been deleted."""
    if not isinstance(array, Array):
        raise TypeError(f"expected an Array, not {type(array).__name__}")
    if array._is_deleted:
        raise RuntimeError(DELETED)


def _checked(array: Array) -> np.ndarray[Any, Any]:
    check_alive(array)
    if array._data is None:
        data = np.ascontiguousarray(array._remote.read()).reshape(array.shape)
        if data.dtype != array.dtype:
            raise SystemError("a remote has given elements of another type")
        check_alive(array)
        array._data, array._owned = data, False
    return array._data


# ---- elements elsewhere ----


def remote_array(dtype: Any, shape: tuple[int, ...], weak: bool, remote: Any) -> Array:
    """Return an Array whose elements ``remote.read()`` gives, an ndarray that nobody changes."""
    spec = ArraySpec(find_row(dtype).dtype, shape, bool(weak))
    return wrap(None, spec, owned=False, remote=remote)


def remote_of(array: Array) -> Any:
    """Return what has an Array's elements elsewhere, or None."""
    check_alive(array)
    return array._remote


def attach_remote(array: Array, remote: Any) -> bool:
    """Note that ``remote`` has the same elements; not where others may write to the memory."""
    check_alive(array)
    if array._remote is not None or not array._owned:
        return False
    array._remote = remote
    return True


def take_remote(array: Array) -> Any:
    """Return the remote of an Array, which is deleted, if nobody else has it; else None."""
    remote = remote_of(array)
    # References: the array's slot, this frame's variable, getrefcount's argument.
    if remote is None or sys.getrefcount(remote) > 3:
        return None
    array.delete()
    return remote


def is_at_hand(array: Array) -> bool:
    """Return whether an Array's elements are in this process's memory."""
    check_alive(array)
    return array._data is not None


# ---- operators ----

_BINARY = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "divmod": "divmod",
    "power": "pow",
    "matmul": "matmul",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "left_shift": "lshift",
    "right_shift": "rshift",
}
_COMPARISONS = {
    "less": "lt",
    "less_equal": "le",
    "equal": "eq",
    "not_equal": "ne",
    "greater": "gt",
    "greater_equal": "ge",
}
_UNARY = {
    "negative": "neg",
    "positive": "pos",
    "absolute": "abs",
    "invert": "invert",
    "iter": "iter",
    "getitem": "getitem",
    "contains": "contains",
}
_NAMES = {*_BINARY, *_COMPARISONS, *_UNARY, "repr", "str"}
_operators: dict[str, Callable[..., Any]] = {}


def set_operators(
    table: Mapping[str, Callable[..., Any] | None],
) -> dict[str, Callable[..., Any] | None]:
    """Install functions for Array's operators by name; the result is those they replace.

    None takes an operator away.
    """
    before: dict[str, Callable[..., Any] | None] = {}
    if not isinstance(table, dict):
        raise TypeError("set_operators needs a dict of functions by name")
    for name, function in table.items():
        if name not in _NAMES or not (function is None or callable(function)):
            raise ValueError(f"{name!r}: {function!r} is no operator and function")
        before[name] = _operators.get(name)
        if function is None:
            _operators.pop(name, None)
        else:
            _operators[name] = function
    return before


def _forward(name: str) -> Callable[[Any, Any], Any]:
    def method(left: Any, right: Any) -> Any:
        function = _operators.get(name)
        return NotImplemented if function is None else function(left, right)

    return method


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    def method(right: Any, left: Any) -> Any:
        function = _operators.get(name)
        return NotImplemented if function is None else function(left, right)

    return method


def _required(name: str) -> Callable[..., Any]:
    def method(*operands: Any) -> Any:
        function = _operators.get(name)
        if function is None:
            raise TypeError(f"operator {name} is not installed for Array")
        return function(*operands)

    return method


for _name, _dunder in _BINARY.items():
    setattr(Array, f"__{_dunder}__", _forward(_name))
    setattr(Array, f"__r{_dunder}__", _reflected(_name))
for _name, _dunder in _COMPARISONS.items():
    setattr(Array, f"__{_dunder}__", _forward(_name))
for _name, _dunder in _UNARY.items():
    setattr(Array, f"__{_dunder}__", _required(_name))
