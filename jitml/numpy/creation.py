"""Arrays made from nothing or from Python and NumPy objects.

Python numbers and lists get the default dtypes (32 bits, or 64 under the switch); NumPy arrays
keep theirs. An integer that its dtype cannot hold raises, it is never truncated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jitml.abstract import abstract_type, is_abstract
from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError, IntegerOverflowError
from jitml.ir.graph import Literal
from jitml.ir.types import ArrayType
from jitml.numpy.exchange import adopted, adopted_from_gpu, is_on_gpu, on_device
from jitml.numpy.operands import (
    as_dtype,
    as_shape,
    broadcast_together,
    cast,
    expand_to,
    fail,
    fitting,
    is_number,
    joined_shape,
    kind_of,
    named_dtype,
    operand,
    promoted_kind,
    settle,
    strong,
)
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.movement import concatenate, iota, reshape
from jitml.trace.conventions import canonical
from jitml.trace.core import Tracer, type_of
from jitml.trace.numbers import DEFAULT_DTYPES, literal
from jitml.typing import Array, ArrayLike, ConcreteArray, DTypeLike, Shape
from jitml_runtime import from_numpy, share, to_numpy

__all__ = [
    "array", "asarray", "copy", "empty", "empty_like", "from_dlpack", "frombuffer", "fromfunction",
    "full", "full_like", "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip

# ---- from objects ---------------------------------------------------------------------------


def array(
    object: Any,
    dtype: DTypeLike | None = None,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array of an array, number, nested list of numbers, or of anything that exports its memory.

    >>> array([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    if order not in ("K", "C", "A", None):
        fail(
            ArgumentError,
            f"array: order {order!r} is not supported",
            "arrays are always in C order",
        )
    result = _from_object(object, None if dtype is None else as_dtype(dtype))
    missing = ndmin - type_of(result).ndim
    if missing > 0:
        result = reshape(result, (1,) * missing + type_of(result).shape)
    if copy and result is object and isinstance(result, ConcreteArray):
        return on_device(share(result, result.shape, result.weak_type), device)
    return on_device(settle(result), device)


def asarray(
    a: Any,
    dtype: DTypeLike | None = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """`a` as an array; an array of the wanted dtype is returned as it is.

    >>> asarray(1.5)
    Array(1.5, dtype=float32, weak_type=True)
    """
    return on_device(array(a, dtype, bool(copy), order), device)


def copy(a: ArrayLike, order: str | None = None) -> Array:
    """An array with the elements of `a`, which stays when `a` is deleted or donated.

    As arrays never change, both may lie in the same memory.

    >>> print(copy(1))
    1
    """
    return array(a, order=order)


def _from_object(x: Any, dtype: DType | None) -> Any:
    """The operand that an object becomes; without a `dtype`, of its own or the default dtype."""
    if is_number(x):
        if dtype is None:
            return operand(x)
        return _number(x, dtype)
    if isinstance(x, (list, tuple)):
        return _from_sequence(x, dtype)
    if not isinstance(x, (ConcreteArray, Tracer, Literal, np.ndarray, np.generic)):
        x = _imported(x)
    x = operand(x, "array")
    if dtype is None:
        return x
    if type_of(x).dtype == dtype:
        return strong(x)
    if not isinstance(x, Tracer):
        x = fitting(x, dtype)
    return strong(ew.convert(x, dtype))


def _number(x: Any, dtype: DType) -> Any:
    if isinstance(x, complex) and not dtypes.is_complex(dtype):
        fail(
            ArgumentError,
            f"array: the complex number {x} is no {dtype.name}",
            "take its .real, or give a complex dtype",
        )
    if isinstance(x, float) and not math.isfinite(x):
        x = fitting(settle(literal(x)), dtype)
    return strong(cast(x, dtype))


def _imported(x: Any) -> Any:
    """What other libraries' arrays and array-like objects export, as an operand."""
    if hasattr(x, "__jax_array__"):
        return x.__jax_array__()
    if is_on_gpu(x):
        return adopted_from_gpu(x)
    if hasattr(x, "__array__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return adopted(x)
    if isinstance(x, (range, memoryview, bytearray)) or hasattr(x, "__array_interface__"):
        found = np.asarray(x)
        if isinstance(x, range):
            return _from_sequence(list(x), None)
        return found
    fail(
        ArgumentError,
        f"array: {type(x).__name__} cannot be made an array",
        "give numbers, (nested) lists of numbers, or an array of any library",
    )


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, (list, tuple)):
        for item in x:
            yield from _leaves(item)
    else:
        yield x


def _from_sequence(x: Sequence[Any], dtype: DType | None) -> Any:
    """An array of a nested list: of numbers at once, of arrays by stacking them."""
    leaves = list(_leaves(x))
    if all(is_number(leaf) or isinstance(leaf, np.generic) for leaf in leaves):
        return from_numpy(_numbers(x, leaves, dtype))
    items = [_from_object(item, dtype) for item in x]
    shapes = {type_of(item).shape for item in items}
    if len(shapes) > 1:
        fail(ArgumentError, f"array: the list's items have different shapes: {sorted(shapes)}")
    joined, weak = promoted_kind([kind_of(item) for item in items])
    shape = shapes.pop()
    rows = [reshape(cast(settle(item), joined, weak), (1, *shape)) for item in items]
    return strong(concatenate(rows, 0))


def _numbers(x: Sequence[Any], leaves: list[Any], dtype: DType | None) -> Any:
    """A nested list of numbers as a NumPy array of `dtype`, or of their common dtype."""
    if dtype is None:
        kinds = {(type(v), v.dtype if isinstance(v, np.generic) else None): v for v in leaves}
        pairs = [
            (canonical(v.dtype), False) if isinstance(v, np.generic) else kind_of(v)
            for v in kinds.values()
            for v in kinds.values()
        ]
        dtype = promoted_kind(pairs)[0] if pairs else DEFAULT_DTYPES.of(float)
    if dtypes.is_integer(dtype):
        check_integers(leaves, dtype)
    try:
        with np.errstate(all="ignore"):
            if dtypes.is_integer(dtype) and any(isinstance(v, (float, complex)) for v in leaves):
                return to_numpy(_from_object(np.asarray(x, np.float64), dtype))
            return np.asarray(x, dtype)
    except (ValueError, TypeError) as error:
        fail(ArgumentError, f"array: {error}".split(". ")[0], "all rows must have the same length")


def check_integers(leaves: list[Any], dtype: DType) -> None:
    whole = [v for v in leaves if isinstance(v, int)]
    limits = np.iinfo(dtype)
    if whole and not (limits.min <= min(whole) and max(whole) <= limits.max):
        worst = max(whole, key=abs)
        fail(
            IntegerOverflowError,
            f"array: {worst} does not fit {dtype.name}",
            "give a wider dtype, or enable 64-bit defaults",
        )


def from_dlpack(x: Any, /, *, device: object = None, copy: bool | None = None) -> Array:
    """An array over the memory of another library's array, without a copy where its layout allows.

    >>> import numpy
    >>> print(from_dlpack(numpy.arange(3.0)))
    [0. 1. 2.]
    """
    if not hasattr(x, "__dlpack__"):
        fail(ArgumentError, f"from_dlpack: {type(x).__name__} has no __dlpack__")
    return on_device(adopted(x), device)


def frombuffer(buffer: Any, dtype: DTypeLike = float, count: int = -1, offset: int = 0) -> Array:
    """An array of the bytes of an object.

    >>> print(frombuffer(bytes([1, 2]), "uint8"))
    [1 2]
    """
    return settle(operand(np.frombuffer(buffer, named_dtype(dtype), count, offset)))


def fromfunction(
    function: Any, shape: Sequence[int], *, dtype: DTypeLike = float, **kwargs: Any
) -> Any:
    """`function` of the index arrays of an array of `shape`.

    >>> print(fromfunction(lambda i, j: i + j, (2, 2), dtype=int))
    [[0 1]
     [1 2]]
    """
    sizes = as_shape(shape, "fromfunction")
    return function(*(settle(iota(as_dtype(dtype), sizes, k)) for k in range(len(sizes))), **kwargs)


# ---- constant arrays ------------------------------------------------------------------------


def full(
    shape: Shape,
    fill_value: ArrayLike,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array full of `fill_value`.

    >>> print(full((2,), 7))
    [7 7]
    """
    sizes = as_shape(shape, "full")
    value = _from_object(fill_value, None if dtype is None else as_dtype(dtype))
    (value,) = broadcast_together("full", [value])
    return on_device(settle(expand_to(value, _fits(value, sizes))), device)


def _fits(value: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    own = type_of(value).shape
    try:
        fits = joined_shape([own, sizes]) == sizes
    except ValueError:
        fits = False
    if not fits:
        fail(ArgumentError, f"full: a fill value of shape {own} does not broadcast to {sizes}")
    return sizes


def _constant(name: str, shape: Shape, number: int, dtype: DTypeLike | None) -> Array:
    wanted = DEFAULT_DTYPES.of(float) if dtype is None else as_dtype(dtype)
    return settle(full_of(ArrayType(wanted, as_shape(shape, name)), number))


def zeros(
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array of zeros.

    >>> print(zeros((2,)))
    [0. 0.]
    """
    return on_device(_constant("zeros", shape, 0, dtype), device)


def ones(
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array of ones.

    >>> print(ones((2,), int))
    [1 1]
    """
    return on_device(_constant("ones", shape, 1, dtype), device)


def empty(
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array of zeros: no array shows what its memory held before.

    >>> print(empty((2,)))
    [0. 0.]
    """
    return on_device(_constant("empty", shape, 0, dtype), device)


def full_like(
    a: ArrayLike,
    fill_value: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """An array full of `fill_value`, of the shape and dtype of `a` (an array or a ShapeDtypeStruct)
    unless others are given.

    >>> print(full_like(zeros((2,)), 7))
    [7. 7.]
    """
    type_ = abstract_type(a) if is_abstract(a) else type_of(operand(a, "full_like"))
    sizes = type_.shape if shape is None else as_shape(shape, "full_like")
    wanted = type_.dtype if dtype is None else as_dtype(dtype)
    weak = type_.weak and dtype is None
    if is_number(fill_value):
        return on_device(settle(expand_to(cast(fill_value, wanted, weak), sizes)), device)
    value = _from_object(fill_value, wanted)
    return on_device(settle(expand_to(value, _fits(value, sizes))), device)


def zeros_like(
    a: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """Zeros of the shape and dtype of `a` unless others are given.

    >>> print(zeros_like(ones((2,))))
    [0. 0.]
    """
    return on_device(full_like(a, 0, dtype, shape), device)


def ones_like(
    a: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """Ones of the shape and dtype of `a` unless others are given.

    >>> print(ones_like(zeros((2,))))
    [1. 1.]
    """
    return on_device(full_like(a, 1, dtype, shape), device)


def empty_like(
    prototype: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
) -> Array:
    """Zeros of the shape and dtype of `prototype` unless others are given.

    >>> print(empty_like(ones((2,))))
    [0. 0.]
    """
    return on_device(full_like(prototype, 0, dtype, shape), device)
