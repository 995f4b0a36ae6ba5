"""Numbers at equal distances or ratios."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError
from jitml.numpy.arithmetic import divide, multiply, power
from jitml.numpy.creation import check_integers
from jitml.numpy.elementwise import exp, log
from jitml.numpy.exchange import on_device
from jitml.numpy.manipulation import expand_dims, moveaxis
from jitml.numpy.operands import (
    as_dtype,
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
from jitml.ops.movement import iota, reshape
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["arange", "geomspace", "linspace", "logspace"]

# ---- ranges ---------------------------------------------------------------------------------


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
    out_sharding: object = None,
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
            check_integers([numbers[0], numbers[0] + (count - 1) * unit], wanted)
    return on_device(settle(_ramp(numbers[0], unit, count, wanted)), device)


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
    start, stop = _exact(start, dtype), _exact(stop, dtype)
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
        return on_device(result, device)
    step = ew.div(ew.sub(high, low), gaps) if gaps > 0 else ew.mul(low, math.nan)
    return on_device(result, device), settle(cast(step, wanted))


def _exact(x: Any, dtype: DTypeLike | None) -> Any:
    """A Python number in the dtype that is asked for, if that is one of floats (in float64 for
    integers), so that it loses no digits on the way.
    """
    if dtype is None or not is_number(x) or isinstance(x, complex):
        return x
    wanted = as_dtype(dtype)
    return settle(cast(x, wanted if dtypes.is_inexact(wanted) else dtypes.FLOAT64))


def _scalar_or(x: Any) -> Any:
    return x if is_number(x) else operand(x, "linspace")


def _interpolated(low: Any, high: Any, count: int, gaps: int, endpoint: bool, axis: int) -> Any:
    """low·(1 − t) + high·t for count values of t, which meets both ends exactly."""
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
    start, stop = _exact(start, dtype), _exact(stop, dtype)
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
    start, stop = _exact(start, dtype), _exact(stop, dtype)
    growth = log(divide(stop, start))
    result = multiply(start, exp(linspace(multiply(growth, 0), growth, num, endpoint, axis=axis)))
    return result if dtype is None else settle(cast(result, as_dtype(dtype)))
