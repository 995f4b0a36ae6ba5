"""Values as transforms handle them: arrays and tracers, made from what users pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Literal
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert
from jitml.ops.kinds import full_of
from jitml.trace.conventions import canonical
from jitml.trace.core import Tracer, array_type, current_trace, note_origin
from jitml.trace.numbers import check_supported, literal
from jitml_runtime import Array, from_numpy, share

# The dtype of tangents of integers and booleans: no information at all.
float0 = np.dtype([("float0", np.void, 0)])
_NUMBERS = (bool, int, float, complex)


def is_array_like(x: Any) -> bool:
    """Whether `x` can be an array: an array, tracer, NumPy array or number."""
    numbers = (Array, Tracer, np.ndarray, np.generic, *_NUMBERS)
    return isinstance(x, numbers) or hasattr(x, "__jax_array__")


def as_value(x: Any, what: str = "argument") -> Any:
    """`x` as an array or tracer; `what` is how the error calls it. Python numbers become weakly
    typed.
    """
    if isinstance(x, (Array, Tracer)):
        return x
    if isinstance(x, Literal):
        return literal_value(x)
    if isinstance(x, (np.ndarray, np.generic)):
        dtype = canonical(check_supported(x.dtype.newbyteorder("=")))
        array = from_numpy(np.asarray(x).astype(dtype, copy=False))
        note_origin(array, x)
        return array
    if isinstance(x, _NUMBERS):
        return literal_value(literal(x))
    if hasattr(x, "__jax_array__"):
        return as_value(x.__jax_array__(), what)
    raise ArgumentError(
        f"{what} is a {type(x).__name__}, not an array or a number",
        hint="pass it by closure or functools.partial, or convert it with jitml.numpy.asarray",
        source=user_source(),
    )


def literal_value(x: Literal) -> Any:
    """A literal as an array at hand, or as a tracer where the current trace is abstract."""
    trace = current_trace()
    array = None
    if trace is None or trace.with_values:
        array = from_numpy(np.asarray(x.value).astype(x.type.dtype), weak=x.type.weak)
    return array if trace is None else Tracer(trace, x, array)


def zeros(type_: ArrayType) -> Any:
    """Zeros of `type_`, as a value."""
    if current_trace() is None:
        array = np.zeros(type_.shape, type_.dtype)
        return from_numpy(array, weak=type_.weak, copy=False)
    return as_value(full_of(type_, 0))


def float0_zeros(shape: Sequence[int]) -> Any:
    """The tangent or gradient of an integer of this shape: a NumPy array of dtype float0, as in
    JAX.
    """
    return np.zeros(tuple(shape), float0)


def is_float0(x: Any) -> bool:
    return getattr(x, "dtype", None) == float0


def retyped(x: Any, type_: ArrayType) -> Any:
    """`x` with the dtype and weak flag of `type_`, whose shape it has."""
    own = array_type(x) if isinstance(x, Array) else x.type
    if own.dtype == type_.dtype and own.weak == type_.weak:
        return x
    if own.dtype == type_.dtype and isinstance(x, Array):
        return share(x, type_.shape, type_.weak)
    return convert(x, type_.dtype, type_.weak)
