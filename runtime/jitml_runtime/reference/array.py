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

    __slots__ = ("__weakref__", "_data", "_owned", "_spec")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __module__ = _PUBLIC_MODULE

    _data: np.ndarray[Any, Any] | None  # None once deleted
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
        return self._data is None

    def delete(self) -> None:
        """Give the memory back; reading the array afterwards raises RuntimeError."""
        self._data = None

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
        from .dlpack import export_array

        return export_array(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __copy__(self) -> Array:
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
        return "<deleted Array>" if self._data is None else "A" + repr(to_numpy(self))[1:]

    def __str__(self) -> str:
        installed = _operators.get("str")
        if installed is not None:
            return str(installed(self))
        return "<deleted Array>" if self._data is None else str(to_numpy(self))

    def __format__(self, format_spec: str) -> str:
        return format(to_numpy(self), format_spec) if format_spec else str(self)


# ---- making arrays ----


def wrap(data: np.ndarray[Any, Any], spec: ArraySpec, owned: bool) -> Array:
    """Return an Array over ``data``, which must have the spec's type, contiguous and aligned."""
    if len(spec.shape) > MAX_DIMENSIONS:
        raise ValueError(f"arrays have at most {MAX_DIMENSIONS} dimensions")
    array: Array = object.__new__(Array)
    memory.live_arrays["count"] += 1
    array._data = data
    array._owned = owned
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
    data = _checked(array)
    if not isinstance(shape, tuple):
        raise TypeError(f"a shape must be a tuple, not {type(shape).__name__}")
    if min(shape, default=0) < 0 or prod(shape) != array.size:
        raise ValueError(f"an array of {array.size} elements cannot have shape {shape}")
    spec = ArraySpec(array.dtype, shape, bool(weak))
    return wrap(data.reshape(shape), spec, owned=array._owned)


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
    return [array for array in alive if array.nbytes > MAX_INLINE_BYTES and not array.is_deleted()]


def writable_data(array: Array) -> np.ndarray[Any, Any]:
    """Return the memory of an Array that nobody has seen yet."""
    return _checked(array)


def take_data(array: Array) -> np.ndarray[Any, Any] | None:
    """Take a donated array's memory, if nobody else can see it, and delete the array."""
    data = array._data
    if data is None or not array._owned or not memory.is_sole_view(data):
        return None
    array._data = None
    return data


def _checked(array: Array) -> np.ndarray[Any, Any]:
    if not isinstance(array, Array):
        raise TypeError(f"expected an Array, not {type(array).__name__}")
    if array._data is None:
        raise RuntimeError(DELETED)
    return array._data


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
