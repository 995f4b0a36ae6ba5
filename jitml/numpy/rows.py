"""Functions that are stated as rows: `exp`, `nansum` and their kin.

In: an op or a function like the one wanted, a name, a summary and an example. Out: a function that
takes what users pass, and documents itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.errors import DTypeError
from jitml.numpy.operands import cast, fail, floated, inexact, kind, operand, settle
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike

Unary: TypeAlias = Callable[[Any], Any]
Binary: TypeAlias = Callable[[Any, Any], Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def named(function: Function, name: str, summary: str, call: str, result: str) -> Function:
    """The function under its public name, by which it is pickled too, with an example."""
    function.__name__ = function.__qualname__ = name
    code: Any = function
    code.__code__ = code.__code__.replace(co_name=name)  # errors tell who is called
    function.__module__ = "jitml.numpy"
    function.__doc__ = f"{summary}\n\n    >>> print({call})\n    {result}\n    "
    return function


def alike(
    template: Function, function: Any, name: str, summary: str, call: str, result: str
) -> Function:
    """A function that is called as `template` is."""
    function.__wrapped__ = template
    twin: Function = named(function, name, summary, call, result)
    return twin


def floating(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function whose result is a float or complex."""

    def function(x: ArrayLike, /) -> Array:
        return settle(op(floated(name, x)))

    return operation(named(function, name, summary, call, result))


def numeric(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function whose result has the dtype of its argument."""

    def function(x: ArrayLike, /) -> Array:
        return settle(op(operand(x, name)))

    return operation(named(function, name, summary, call, result))


def of_floats(op: Unary, of_complex: Unary) -> Unary:
    """An op that takes floats alone, with what it means for complex numbers."""
    return lambda x: of_complex(x) if kind(x) == "c" else op(x)


def parts(op: Unary) -> Unary:
    """An op applied to both parts of complex numbers."""
    return of_floats(op, lambda x: ew.complex_(op(ew.real(x)), op(ew.imag(x))))


def of_reals(name: str, op: Unary) -> Unary:
    """An op that has no meaning for complex numbers."""

    def checked(x: Any) -> Any:
        if kind(x) == "c":
            fail(
                DTypeError,
                f"{name}: complex numbers have no {name}",
                "take the real part with .real",
            )
        return op(x)

    return checked


def default_floated(x: Any) -> Any:
    """Integers as the default float, 64-bit ones as float64; floats and complex as they are."""
    dtype = type_of(x).dtype
    if dtypes.is_inexact(dtype):
        return x
    return cast(x, inexact(dtype) if dtype.itemsize == 8 else DEFAULT_DTYPES.of(float))
