"""Arrays made from nothing or from Python and NumPy objects.

Python numbers and lists get the default dtypes (32 bits, or 64 under the switch); NumPy arrays
keep theirs. An integer that its dtype cannot hold raises, it is never truncated.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError, IntegerOverflowError
from jitml.ir.graph import Literal
from jitml.ir.types import ArrayType
from jitml.numpy.operands import (
    as_dtype,
    as_shape,
    broadcast_together,
    cast,
    expand_to,
    fail,
    inexact,
    is_number,
    kind_of,
    operand,
    promoted,
    promoted_kind,
    settle,
    strong,
)
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.movement import concatenate, iota, reshape
from jitml.trace.core import DEFAULT_DTYPES, Tracer, type_of
from jitml.typing import Array, ArrayLike, ConcreteArray, DTypeLike, Shape
from jitml_runtime import from_dlpack as _adopt
from jitml_runtime import from_numpy

# ---- from objects ---------------------------------------------------------------------------


def array(
    object: Any,
    dtype: DTypeLike | None = None,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: object = None,
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
    return settle(result)


def asarray(
    a: Any,
    dtype: DTypeLike | None = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: object = None,
) -> Array:
    """`a` as an array; an array of the wanted dtype is returned as it is.

    >>> asarray(1.5)
    Array(1.5, dtype=float32, weak_type=True)
    """
    return array(a, dtype, bool(copy), order)


def copy(a: ArrayLike, order: str | None = None) -> Array:
    """`a` itself, for arrays never change.

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
    return strong(x if type_of(x).dtype == dtype else ew.convert(x, dtype))


def _number(x: Any, dtype: DType) -> Any:
    if isinstance(x, complex) and not dtypes.is_complex(dtype):
        fail(
            ArgumentError,
            f"array: the complex number {x} is no {dtype.name}",
            "take its .real, or give a complex dtype",
        )
    return strong(cast(x, dtype))


def _imported(x: Any) -> Any:
    """What other libraries' arrays and array-like objects export, as an operand."""
    if hasattr(x, "__jax_array__"):
        return x.__jax_array__()
    if hasattr(x, "__array__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return _adopt(x)
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
    """A nested list of numbers as a NumPy array of `dtype`, or of the dtype that they have together."""
    if dtype is None:
        kinds = {(type(v), v.dtype if isinstance(v, np.generic) else None): v for v in leaves}
        pairs = [
            (v.dtype, False) if isinstance(v, np.generic) else kind_of(v) for v in kinds.values()
        ]
        dtype = promoted_kind(pairs)[0] if pairs else DEFAULT_DTYPES.of(float)
    if dtypes.is_integer(dtype):
        _check_integers(leaves, dtype)
    try:
        with np.errstate(all="ignore"):
            if dtypes.is_integer(dtype) and any(isinstance(v, (float, complex)) for v in leaves):
                return np.asarray(x, np.float64).astype(dtype)
            return np.asarray(x, dtype)
    except (ValueError, TypeError) as error:
        fail(ArgumentError, f"array: {error}".split(". ")[0], "all rows must have the same length")


def _check_integers(leaves: list[Any], dtype: DType) -> None:
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
    return _adopt(x)


def frombuffer(buffer: Any, dtype: DTypeLike = float, count: int = -1, offset: int = 0) -> Array:
    """An array of the bytes of an object.

    >>> print(frombuffer(bytes([1, 2]), "uint8"))
    [1 2]
    """
    return from_numpy(np.frombuffer(buffer, as_dtype(dtype), count, offset))


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
    shape: Shape, fill_value: ArrayLike, dtype: DTypeLike | None = None, *, device: object = None
) -> Array:
    """An array full of `fill_value`.

    >>> print(full((2,), 7))
    [7 7]
    """
    sizes = as_shape(shape, "full")
    value = _from_object(fill_value, None if dtype is None else as_dtype(dtype))
    (value,) = broadcast_together("full", [value])
    return settle(expand_to(value, _fits(value, sizes)))


def _fits(value: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    from jitml.numpy.operands import joined_shape

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


def zeros(shape: Shape, dtype: DTypeLike | None = None, *, device: object = None) -> Array:
    """An array of zeros.

    >>> print(zeros((2,)))
    [0. 0.]
    """
    return _constant("zeros", shape, 0, dtype)


def ones(shape: Shape, dtype: DTypeLike | None = None, *, device: object = None) -> Array:
    """An array of ones.

    >>> print(ones((2,), int))
    [1 1]
    """
    return _constant("ones", shape, 1, dtype)


def empty(shape: Shape, dtype: DTypeLike | None = None, *, device: object = None) -> Array:
    """An array of zeros: no array shows what its memory held before.

    >>> print(empty((2,)))
    [0. 0.]
    """
    return _constant("empty", shape, 0, dtype)


def full_like(
    a: ArrayLike,
    fill_value: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
) -> Array:
    """An array full of `fill_value`, of the shape and dtype of `a` unless others are given.

    >>> print(full_like(zeros((2,)), 7))
    [7. 7.]
    """
    type_ = type_of(operand(a, "full_like"))
    sizes = type_.shape if shape is None else as_shape(shape, "full_like")
    wanted = type_.dtype if dtype is None else as_dtype(dtype)
    weak = type_.weak and dtype is None
    if is_number(fill_value):
        return settle(expand_to(cast(fill_value, wanted, weak), sizes))
    value = _from_object(fill_value, wanted)
    return settle(expand_to(value, _fits(value, sizes)))


def zeros_like(
    a: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
) -> Array:
    """Zeros of the shape and dtype of `a` unless others are given.

    >>> print(zeros_like(ones((2,))))
    [0. 0.]
    """
    return full_like(a, 0, dtype, shape)


def ones_like(
    a: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
) -> Array:
    """Ones of the shape and dtype of `a` unless others are given.

    >>> print(ones_like(zeros((2,))))
    [1. 1.]
    """
    return full_like(a, 1, dtype, shape)


def empty_like(
    prototype: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Shape | None = None,
    *,
    device: object = None,
) -> Array:
    """Zeros of the shape and dtype of `prototype` unless others are given.

    >>> print(empty_like(ones((2,))))
    [0. 0.]
    """
    return full_like(prototype, 0, dtype, shape)


# ---- ranges ---------------------------------------------------------------------------------


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
) -> Array:
    """Numbers from `start` (0 if only one is given) up to but without `stop`.

    >>> arange(3)
    Array([0, 1, 2], dtype=int32)
    """
    first, last = (0, start) if stop is None else (start, stop)
    given = [first, last] + ([] if step is None else [step])
    numbers = [_static(x) for x in given]
    pairs = [kind_of(x if is_number(x) else operand(x, "arange")) for x in given]
    wanted = promoted_kind(pairs)[0] if dtype is None else as_dtype(dtype)
    unit = numbers[2] if len(numbers) == 3 else 1
    if unit == 0:
        fail(ArgumentError, "arange: the step is 0")
    count = max(0, math.ceil((numbers[1] - numbers[0]) / unit)) if numbers else 0
    if all(isinstance(n, int) for n in numbers):
        count = len(range(*[int(n) for n in (numbers[0], numbers[1], unit)]))
        if count and dtypes.is_integer(wanted):
            _check_integers([numbers[0], numbers[0] + (count - 1) * unit], wanted)
    return settle(_ramp(numbers[0], unit, count, wanted))


def _static(x: Any) -> Any:
    """A number that a shape depends on, as a Python number."""
    if is_number(x):
        number = x
    elif isinstance(x, np.generic):
        number = x.item()
    else:
        type_ = type_of(operand(x, "arange"))
        number = operator.index(x) if dtypes.is_integer(type_.dtype) else float(x)
    if isinstance(number, complex) or number != number or number in (math.inf, -math.inf):
        fail(ArgumentError, f"arange: {number} is no end of a range")
    return number


def _ramp(first: Any, unit: Any, count: int, dtype: DType) -> Any:
    """first + i · unit in `dtype`."""
    narrow_float = dtypes.is_float(dtype) and dtype.itemsize < 4
    working = dtypes.FLOAT32 if narrow_float else dtype
    if dtypes.is_integer(dtype) and not (isinstance(first, int) and isinstance(unit, int)):
        working = dtypes.FLOAT64
    index = iota(dtypes.INT32 if dtypes.is_bool(working) else working, (count,), 0)
    if unit != 1:
        index = ew.mul(index, unit)
    if first != 0:
        index = ew.add(index, first)
    return cast(index, dtype)


def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
    *,
    device: object = None,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`, which is one of them if `endpoint`.

    >>> print(linspace(0, 1, 5))
    [0.   0.25 0.5  0.75 1.  ]
    """
    count = operator.index(num)
    if count < 0:
        fail(ArgumentError, f"linspace: the number of samples is negative: {count}")
    low, high = broadcast_together("linspace", promoted("linspace", start, stop, to_inexact=True))
    low, high = (strong(x) for x in (low, high))
    computed = type_of(low).dtype
    if computed.itemsize < 4 or computed == np.dtype(np.complex64):
        computed = dtypes.complex_dtype(computed) if dtypes.is_complex(computed) else dtypes.FLOAT32
    low, high = cast(low, computed), cast(high, computed)
    gaps = count - 1 if endpoint else count
    result = _interpolated(low, high, count, max(gaps, 1), endpoint, axis)
    wanted = type_of(cast(low, computed)).dtype if dtype is None else as_dtype(dtype)
    if dtype is None:
        wanted = inexact(promoted_kind([kind_of(_scalar_or(x)) for x in (start, stop)])[0])
    if dtypes.is_integer(wanted):
        result = ew.floor(result)
    result = settle(cast(result, wanted))
    if not retstep:
        return result
    step = ew.div(ew.sub(high, low), gaps) if gaps > 0 else ew.mul(low, math.nan)
    return result, settle(cast(step, wanted))


def _scalar_or(x: Any) -> Any:
    return x if is_number(x) else operand(x, "linspace")


def _interpolated(low: Any, high: Any, count: int, gaps: int, endpoint: bool, axis: int) -> Any:
    """low·(1 − t) + high·t for count values of t, which meets both ends exactly."""
    from jitml.numpy.manipulation import expand_dims, moveaxis

    dtype = type_of(low).dtype
    real = dtypes.real_dtype(dtype)
    rank = max(type_of(low).ndim, type_of(high).ndim)
    t = reshape(ew.div(iota(real, (count,), 0), gaps), (count,) + (1,) * rank)
    t = cast(t, dtype)
    low, high = (expand_dims(settle(x), 0) if rank else x for x in (low, high))
    parts = [
        ew.mul(*broadcast_together("linspace", [end, part]))
        for end, part in ((low, ew.sub(1, t)), (high, t))
    ]
    result = ew.add(*broadcast_together("linspace", parts))
    if endpoint and count > 1:
        last = ew.eq(iota(dtypes.INT32, type_of(result).shape, 0), count - 1)
        result = ew.select(last, expand_to(high, type_of(result).shape), result)
    return moveaxis(result, 0, axis) if rank and axis else result


def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Array:
    """`num` numbers from base^start to base^stop at equal ratios.

    >>> print(logspace(0, 2, 3, base=2.0))
    [1. 2. 4.]
    """
    from jitml.numpy.arithmetic import power

    result = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else settle(cast(result, as_dtype(dtype)))


def geomspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Array:
    """`num` numbers from `start` to `stop` at equal ratios.

    >>> print(geomspace(1.0, 4.0, 3).round(3))
    [1. 2. 4.]
    """
    from jitml.numpy.arithmetic import divide, multiply
    from jitml.numpy.elementwise import exp, log

    growth = log(divide(stop, start))
    result = multiply(start, exp(linspace(multiply(growth, 0), growth, num, endpoint, axis=axis)))
    return result if dtype is None else settle(cast(result, as_dtype(dtype)))


# ---- matrices -------------------------------------------------------------------------------


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
) -> Array:
    """A matrix with ones on its k-th diagonal.

    >>> print(eye(2))
    [[1. 0.]
     [0. 1.]]
    """
    return settle(_cast_truth(_compare_axes(ew.eq, N, N if M is None else M, k), dtype))


def identity(n: int, dtype: DTypeLike | None = None) -> Array:
    """The identity matrix.

    >>> print(identity(2, int))
    [[1 0]
     [0 1]]
    """
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Array:
    """A matrix with ones on and below its k-th diagonal.

    >>> print(tri(2))
    [[1. 0.]
     [1. 1.]]
    """
    return settle(_cast_truth(_compare_axes(ew.ge, N, N if M is None else M, k), dtype))


def _compare_axes(compare: Any, rows: int, columns: int, k: int) -> Any:
    """Where `row + k` compares with `column`."""
    shape = as_shape((rows, columns), "eye")
    row = iota(dtypes.INT32, shape, 0)
    row = ew.add(row, operator.index(k)) if k else row
    return compare(row, iota(dtypes.INT32, shape, 1))


def _cast_truth(truths: Any, dtype: DTypeLike | None) -> Any:
    return cast(truths, DEFAULT_DTYPES.of(float) if dtype is None else as_dtype(dtype))


def _triangle(name: str, m: ArrayLike, k: int, keep_lower: bool) -> Array:
    x = operand(m, name)
    shape = type_of(x).shape
    if len(shape) < 2:
        fail(ArgumentError, f"{name}: needs at least 2 dimensions, got {type_of(x)}")
    lower = _compare_axes(ew.ge, shape[-2], shape[-1], k if keep_lower else k - 1)
    zero = full_of(type_of(x), 0)
    lower = expand_to(lower, shape)
    return settle(ew.select(lower, x, zero) if keep_lower else ew.select(lower, zero, x))


def tril(m: ArrayLike, k: int = 0) -> Array:
    """`m` with zeros above its k-th diagonal.

    >>> print(tril(ones((2, 2))))
    [[1. 0.]
     [1. 1.]]
    """
    return _triangle("tril", m, k, True)


def triu(m: ArrayLike, k: int = 0) -> Array:
    """`m` with zeros below its k-th diagonal.

    >>> print(triu(ones((2, 2))))
    [[1. 1.]
     [0. 1.]]
    """
    return _triangle("triu", m, k, False)
