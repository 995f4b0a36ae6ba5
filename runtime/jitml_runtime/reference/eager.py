"""Short cuts of operations at hand, in Python: NumPy indexes; programs are not looked up here.

In: Arrays, and indices as users write them. Out: new Arrays. Must not know what an operator means.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeGuard, TypeVar

import numpy as np

from .array import Array, from_numpy, remote_of, share, to_numpy
from .calling import calling
from .execute import Executable

_MOST_OPERANDS = 3
_SMALL_COPY_BYTES = 1024
_Kind = TypeVar("_Kind", bound="Operation")


class Operation:
    """A function of arrays: `unknown` is called with it and its operands, if these are Arrays
    and nothing records; the function itself for any others.
    """

    __wrapped__: Callable[..., Any]
    _name: str
    _unknown: Callable[..., Any]

    def __new__(
        cls: type[_Kind],
        function: Callable[..., Any],
        unknown: Callable[..., Any],
        takes_numbers: bool = True,
        keeps_integer: bool = False,
    ) -> _Kind:
        self = object.__new__(cls)
        functools.update_wrapper(self, function)
        self.__wrapped__ = function
        self._name = function.__qualname__
        self._unknown = unknown
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_known = not kwargs and 0 < len(args) <= _MOST_OPERANDS
        operands = _as_arrays(args) if calling.recorder is None and is_known else None
        if operands is not None:
            result = self._unknown(self, *operands)
            if result is not NotImplemented:
                return result
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<operation {self.__module__}.{self._name}>"

    def __reduce__(self) -> str:
        return self._name

    def install(self, operands: tuple[Any, ...], executable: Executable) -> None:
        """Run this program for operands of these types: nobody asks here."""


class Shortcut:
    """A function of an array: `quick` is asked first, unless a trace records; it gives None for
    what it leaves to the function.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, quick: Callable[..., Any], function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._quick = quick

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = self._quick(*args) if calling.recorder is None and not kwargs else None
        return self.__wrapped__(*args, **kwargs) if found is None else found

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)


def _as_arrays(operands: tuple[Any, ...]) -> list[Array] | None:
    """The operands as Arrays; None if one is neither an Array nor one of NumPy."""
    arrays = []
    for x in operands:
        if type(x) is np.ndarray or isinstance(x, np.generic):
            try:
                x = from_numpy(x)
            except TypeError:  # of a dtype that Arrays cannot have
                return None
        if not isinstance(x, Array):
            return None
        arrays.append(x)
    return arrays


def forget_operations() -> None:
    """Forget the programs of Operations."""


def basic_index(array: Any, index: Any) -> Array | None:
    """array[index] where the index is made of numbers and slices; None for any other, and where it
    is out of bounds.
    """
    if not isinstance(array, Array) or remote_of(array) is not None or not _is_basic(index):
        return None
    source = to_numpy(array)
    try:
        return from_numpy(np.asarray(source[index]), weak=array.weak_type)
    except (IndexError, ValueError):
        return None


def basic_reshape(array: Any, *sizes: Any) -> Array | None:
    """The elements in another shape, given as one tuple or one by one; None where that is not
    plain.
    """
    if not _is_usable(array):
        return None
    shape = sizes[0] if len(sizes) == 1 and type(sizes[0]) is tuple else sizes
    if not sizes or any(type(n) is not int or n < -1 for n in shape):
        return None
    try:
        full = to_numpy(array).reshape(shape).shape
    except (ValueError, OverflowError):
        return None
    return array if full == array.shape else share(array, full, array.weak_type)


def basic_transpose(array: Any, *axes: Any) -> Array | None:
    """A small array with its axes in reverse order; None for any other."""
    if axes or not _is_usable(array):
        return None
    if array.ndim < 2:
        return array
    if array.nbytes > _SMALL_COPY_BYTES:
        return None
    return from_numpy(to_numpy(array).T, weak=array.weak_type)


def _is_usable(array: Any) -> TypeGuard[Array]:
    is_alive = isinstance(array, Array) and not array.is_deleted()
    return is_alive and remote_of(array) is None


def basic_update(array: Any, index: Any, value: Any) -> Array | None:
    """A copy with array[index] = value; None where `basic_index` gives None, or the value must be
    converted.
    """
    if not isinstance(array, Array) or not _is_basic(index) or not _fits(value, array.dtype):
        return None
    if any(isinstance(x, Array) and remote_of(x) is not None for x in (array, value)):
        return None
    result = np.array(to_numpy(array), copy=True)
    try:
        target = result[index]
        new = np.asarray(to_numpy(value) if isinstance(value, Array) else value, result.dtype)
        if new.ndim > np.ndim(target):
            return None
        result[index] = new
    except (IndexError, ValueError, OverflowError):
        return None
    return from_numpy(result, weak=array.weak_type)


def _is_basic(index: Any) -> bool:
    items = index if type(index) is tuple else (index,)
    return all(
        type(item) is int
        or item is None
        or item is Ellipsis
        or (isinstance(item, slice) and all(map(_is_bound, (item.start, item.stop, item.step))))
        for item in items
    )


def _is_bound(bound: Any) -> bool:
    return bound is None or type(bound) is int


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a value needs no change of kind."""
    if isinstance(value, Array):
        return value.dtype == dtype
    if type(value) is float:
        return dtype.kind in "fc" and dtype.itemsize > 2
    return (
        type(value) is int and dtype.kind in "iufc" and (dtype.kind in "iu" or dtype.itemsize > 2)
    )
