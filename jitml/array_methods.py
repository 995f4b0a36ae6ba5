"""The operators and methods of arrays: the same functions for arrays at hand and for tracers.

In: the functions of `jitml.numpy`. Out: slots of the runtime's Array and attributes of Tracer,
set when imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitml import printing
from jitml.eager import operation
from jitml.hardware import Device, device_of, typeof
from jitml.ir.dtypes import bfloat16
from jitml.ir.errors import LongIterationError
from jitml.ir.source import user_source
from jitml.ir.tracebacks import hide_frames
from jitml.numpy import (
    arithmetic,
    comparison,
    creation,
    cumulative,
    elementwise,
    extremes,
    joining,
    linear_algebra,
    logic,
    manipulation,
    matrices,
    positions,
    reductions,
    repeating,
    rounding,
    search,
    sorting,
    statistics,
)
from jitml.numpy.at import IndexUpdater
from jitml.numpy.indexing import getitem, take
from jitml.numpy.operands import as_dtype, is_number, settle
from jitml.trace.core import Tracer
from jitml.trace.forms import LONG, may_rewrite
from jitml_runtime import Array as ConcreteArray
from jitml_runtime import (
    Shortcut,
    basic_index,
    basic_reshape,
    basic_transpose,
    remote_of,
    set_operators,
)

_BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("add", arithmetic.add),
    "subtract": ("sub", arithmetic.subtract),
    "multiply": ("mul", arithmetic.multiply),
    "divide": ("truediv", arithmetic.divide),
    "floor_divide": ("floordiv", arithmetic.floor_divide),
    "remainder": ("mod", arithmetic.remainder),
    "divmod": ("divmod", arithmetic.divmod),
    "power": ("pow", arithmetic.power),
    "matmul": ("matmul", linear_algebra.matmul),
    "bitwise_and": ("and", logic.bitwise_and),
    "bitwise_or": ("or", logic.bitwise_or),
    "bitwise_xor": ("xor", logic.bitwise_xor),
    "left_shift": ("lshift", logic.left_shift),
    "right_shift": ("rshift", logic.right_shift),
}
_COMPARISON: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "less": ("lt", comparison.less),
    "less_equal": ("le", comparison.less_equal),
    "equal": ("eq", comparison.equal),
    "not_equal": ("ne", comparison.not_equal),
    "greater": ("gt", comparison.greater),
    "greater_equal": ("ge", comparison.greater_equal),
}
_UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "negative": ("neg", elementwise.negative),
    "positive": ("pos", elementwise.positive),
    "absolute": ("abs", elementwise.absolute),
    "invert": ("invert", logic.invert),
}


def _is_operand(x: Any) -> bool:
    """Whether an operator takes `x`; anything else may know what to do with an array itself."""
    if isinstance(x, (ConcreteArray, Tracer, np.ndarray, np.generic)) or is_number(x):
        return True
    return hasattr(x, "__jax_array__")


def _operator(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(x: Any, y: Any) -> Any:
        if not (_is_operand(x) and _is_operand(y)):
            return NotImplemented
        try:
            return function(x, y)
        except Exception as error:
            hide_frames(error, is_ours_alone=True)
            raise

    apply.__name__ = function.__name__
    return apply


def _at_hand(name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator of arrays at hand; which integer is the exponent of a power matters."""
    apply = _operator(function)
    return apply if name == "divmod" else operation(apply, name != "matmul", name == "power")


def _reflected(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: apply(y, x)


# ---- what has no function of its own --------------------------------------------------------


def _iterate(x: Any) -> Iterator[Any]:
    if not x.shape:
        raise TypeError("iteration over a 0-d array")
    if isinstance(x, Tracer) and x.shape[0] > LONG and may_rewrite() and x.value is None:
        raise LongIterationError(
            f"Python would go through {x.shape[0]} rows one by one", source=user_source()
        )
    return iter(joining.unstack(x))


def _contains(x: Any, value: Any) -> bool:
    return bool(reductions.any(comparison.equal(x, value)))


def _setitem(x: Any, index: Any, value: Any) -> None:
    raise TypeError(
        "arrays never change, so x[index] = value is not possible; use x = x.at[index].set(value)"
    )


def _concrete(x: Any, wanted: str) -> Any:
    return x.concrete(wanted) if isinstance(x, Tracer) else x


def _item(x: Any, *args: int) -> Any:
    """The one element, or the element at a position, as a Python number."""
    values = np.asarray(_concrete(x, "a Python number"))
    return (values.astype(np.float32) if _is_bfloat(x) else values).item(*args)


def _is_bfloat(x: Any) -> bool:
    return bool(x.dtype == bfloat16)


def _tolist(x: Any) -> Any:
    """The elements as nested lists of Python numbers."""
    values = np.asarray(_concrete(x, "a Python list"))
    return (values.astype(np.float32) if _is_bfloat(x) else values).tolist()


def _tobytes(x: Any, order: str = "C") -> bytes:
    """The bytes of the elements in row-major order."""
    return np.asarray(x).tobytes(order)  # type: ignore[arg-type]


def _reshape(x: Any, *args: Any, order: str = "C", copy: bool | None = None) -> Any:
    """`reshape(x, shape)`; sizes may also be given one by one."""
    return manipulation.reshape(x, args[0] if len(args) == 1 else args, order)


def _transpose(x: Any, *args: Any) -> Any:
    """`transpose(x, axes)`; axes may also be given one by one."""
    axes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    return manipulation.transpose(x, axes if axes else None)


def _flatten(x: Any, order: str = "C") -> Any:
    """All elements in one dimension."""
    return manipulation.ravel(x, order)


def _view(x: Any, dtype: Any = None) -> Any:
    """The bits as another dtype."""
    from jitml.lax.conversion import bitcast_last_axis

    return settle(x) if dtype is None else bitcast_last_axis(x, as_dtype(dtype))


def _astype(x: Any, dtype: Any, copy: bool = False, device: object = None) -> Any:
    """The array converted to a dtype."""
    return elementwise.converted(x, dtype, sys._getframe(1))


def _copy(x: Any, order: str = "K") -> Any:
    """An array with these elements, which stays when this one is deleted or donated."""
    return creation.copy(x)


def _block_until_ready(x: Any) -> Any:
    """The array, once it is computed."""
    remote = remote_of(x) if type(x) is ConcreteArray else None
    if remote is not None:
        remote.wait()
    return x


def _devices(x: Any) -> set[Any]:
    """The devices that hold the array."""
    return {device_of(x)}


def _device(x: Any) -> Device:
    """The device that holds the array."""
    return device_of(x)


def _cuda_array_interface(x: Any) -> dict[str, Any]:
    """The elements on a GPU as CuPy, numba and torch take them; arrays on the CPU have none."""
    if type(x) is not ConcreteArray or device_of(x).platform == "cpu":
        raise AttributeError("the array is not on a GPU: it has no __cuda_array_interface__")
    from jitml.device.interchange import cuda_array_interface
    from jitml.pipeline.devices import default_device

    return cuda_array_interface(x, default_device())


def _is_committed(x: Any) -> bool:
    """Whether the array stays on its device: programs that take it run there."""
    remote = remote_of(x) if type(x) is ConcreteArray else None
    return remote is None or bool(remote.is_committed)


def _to_device(x: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on a device."""
    from jitml.transfers import device_put

    return device_put(x, device)


def _sharding(x: Any) -> Any:
    """How the array lies on devices."""
    from jitml.hardware import placement
    from jitml.sharding import SingleDeviceSharding

    found = placement(x)
    return found if hasattr(found, "spec") else SingleDeviceSharding(device_of(x))


def _shards(x: Any) -> Any:
    """What each device has of the array."""
    from jitml.sharding import Shard

    return [Shard(x)]


def _copy_to_host_async(x: Any) -> None:
    """Let the elements come to the host meanwhile, where they are not there."""
    from jitml.transfers import copy_to_host_async

    copy_to_host_async(x)


def _is_ready(x: Any) -> bool:
    """Whether the array is computed."""
    remote = remote_of(x) if type(x) is ConcreteArray else None
    return remote is None or bool(remote.is_ready())


def _mT(x: Any) -> Any:
    """The last two axes exchanged."""
    return manipulation.matrix_transpose(x)


def _namespace(x: Any, *, api_version: str | None = None) -> Any:
    """The module of the array API standard."""
    import jitml.numpy

    return jitml.numpy


def _sort(x: Any, axis: int = -1, **options: Any) -> Any:
    """The elements in order."""
    return sorting.sort(x, axis, **options)


def _clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """The elements kept between two bounds."""
    return arithmetic.clip(x, min, max)


_PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "T": manipulation.transpose,
    "mT": _mT,
    "real": elementwise.real,
    "imag": elementwise.imag,
    "at": IndexUpdater,
    "__cuda_array_interface__": _cuda_array_interface,
    "addressable_shards": _shards,
    "aval": typeof,
    "committed": _is_committed,
    "device": _device,
    "global_shards": _shards,
    "is_fully_addressable": lambda x: True,
    "is_fully_replicated": lambda x: True,
    "sharding": _sharding,
}
_METHODS: dict[str, Callable[..., Any]] = {
    "__array_namespace__": _namespace,
    "all": reductions.all,
    "any": reductions.any,
    "argmax": extremes.argmax,
    "argmin": extremes.argmin,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "astype": _astype,
    "block_until_ready": _block_until_ready,
    "clip": _clip,
    "compress": lambda x, condition, axis=None: positions.compress(condition, x, axis),
    "conj": elementwise.conj,
    "conjugate": elementwise.conj,
    "copy": _copy,
    "addressable_data": lambda x, index: _shards(x)[index].data,
    "copy_to_host_async": _copy_to_host_async,
    "on_device_size_in_bytes": lambda x: x.size * x.dtype.itemsize,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "devices": _devices,
    "diagonal": matrices.diagonal,
    "dot": linear_algebra.dot,
    "flatten": _flatten,
    "is_ready": _is_ready,
    "item": _item,
    "max": extremes.max,
    "mean": statistics.mean,
    "min": extremes.min,
    "nonzero": positions.nonzero,
    "prod": reductions.prod,
    "ptp": extremes.ptp,
    "ravel": manipulation.ravel,
    "repeat": repeating.repeat,
    "reshape": _reshape,
    "round": rounding.round,
    "searchsorted": search.searchsorted,
    "sort": _sort,
    "squeeze": manipulation.squeeze,
    "std": statistics.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": take,
    "to_device": _to_device,
    "tobytes": _tobytes,
    "tolist": _tolist,
    "trace": matrices.trace,
    "transpose": _transpose,
    "var": statistics.var,
    "view": _view,
}


def _show(x: Any) -> str:
    """What a notebook shows of an array."""
    from jitml.display.arrays import array_html

    return array_html(x)


def _show_as_text(x: Any, printer: Any, is_cycle: bool) -> None:
    """What IPython prints of an array; within a container that is `repr` alone."""
    from jitml.display.arrays import array_text

    printer.text(array_text(x) if len(printer.stack) <= 1 else repr(x))


array_format = printing.array_format


def array_round(x: Any, ndigits: int | None = None) -> Any:
    return rounding.round(x, 0 if ndigits is None else ndigits)


def _install_shared() -> None:
    classes: tuple[Any, ...] = (ConcreteArray, Tracer)
    for class_ in classes:
        for name, getter in _PROPERTIES.items():
            setattr(class_, name, property(getter, doc=getter.__doc__))
        for name, method in _METHODS.items():
            setattr(class_, name, method)
        class_.__round__ = array_round


OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        name: _at_hand(name, function) for name, (_, function) in {**_BINARY, **_COMPARISON}.items()
    },
    **{name: function for name, (_, function) in _UNARY.items()},
    "getitem": Shortcut(basic_index, getitem),
    "contains": _contains,
    "iter": _iterate,
    "repr": printing.array_repr,
    "str": printing.array_str,
}


def _install_on_array() -> None:
    target: Any = ConcreteArray
    set_operators(OPERATORS)
    target.reshape = Shortcut(basic_reshape, _reshape)
    transpose = Shortcut(basic_transpose, manipulation.transpose)
    target.T = property(transpose, doc=transpose.__doc__)
    target.__format__ = array_format
    target._repr_html_ = _show
    target._repr_pretty_ = _show_as_text
    if "__getattr__" in vars(target):  # until now it brought this module in
        del target.__getattr__


def _install_on_tracer() -> None:
    target: Any = Tracer
    for slot, function in _BINARY.values():
        apply = _operator(function)
        setattr(target, f"__{slot}__", apply)
        setattr(target, f"__r{slot}__", _reflected(apply))
    for slot, function in _COMPARISON.values():
        setattr(target, f"__{slot}__", _operator(function))
    for slot, unary in _UNARY.values():
        setattr(target, f"__{slot}__", unary)
    target.__getitem__ = getitem
    target.__setitem__ = _setitem
    target.__iter__ = _iterate
    target.__contains__ = _contains


_install_shared()
_install_on_array()
_install_on_tracer()
