"""Operations on arrays at hand: one look-up leads from the operands' types to a compiled kernel.

In: functions of arrays. Out: the same functions, which outside of any trace record themselves once
for each signature, and run the compiled graph from then on. The look-up is the runtime's, so that
what is known costs no Python code. Must not know: what a function computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from jitml.ir.dtypes import DType, is_bool, is_inexact
from jitml.ir.errors import IntegerOverflowError
from jitml.ir.types import ArrayType
from jitml.pipeline.cache import Cache
from jitml.trace.core import array_type, current_trace, trace_graph
from jitml.trace.numbers import DEFAULT_DTYPES, literal
from jitml_runtime import (
    Array,
    Callee,
    Dispatcher,
    calling,
    forget_operations,
    install_operation,
)

if TYPE_CHECKING:
    from jitml.pipeline.compile import Compiled

Function = TypeVar("Function", bound=Callable[..., Any])


class _Operation:
    """The compiled kernels of one operator; the runtime is told of each that is asked for."""

    def __init__(self, name: str, function: Callable[..., Any], takes_numbers: bool) -> None:
        self._name = name
        self._function = function
        self._takes_numbers = takes_numbers
        self._compiled: Cache[tuple[Any, ...], Compiled] = Cache(self._compile, 4096)
        _KEPT.append(self._compiled)

    def __call__(self, *operands: Array) -> Any:
        compiled = self._compiled((DEFAULT_DTYPES.is_wide, *map(array_type, operands)))
        install_operation(self._name, operands, compiled._executable, self._takes_numbers)
        return compiled.run(operands)[0]

    def _compile(self, key: tuple[Any, ...]) -> Compiled:
        from jitml.pipeline.compile import compile_graph

        name = getattr(self._function, "__name__", self._name)
        return compile_graph(trace_graph(lambda *xs: [self._function(*xs)], key[1:], name).graph)


def unary_operator(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function`, with a short cut for arrays at hand."""
    operation = _Operation(name, function, takes_numbers=False)

    def apply(x: Any) -> Any:
        return function(x) if current_trace() is not None else operation(x)

    return apply


def binary_operator(
    name: str, function: Callable[[Any, Any], Any], slow: Callable[[Any, Any], Any], numbers: bool
) -> Callable[[Any, Any], Any]:
    """`slow`, with a short cut to compiled `function` for two arrays and, if it takes `numbers`, an
    array and a number.
    """
    operation = _Operation(name, function, numbers)

    def apply(x: Any, y: Any) -> Any:
        if current_trace() is not None:
            return slow(x, y)
        left = x if type(x) is Array else _as_array(x, y) if numbers else None
        right = y if type(y) is Array else _as_array(y, x) if numbers else None
        return slow(x, y) if left is None or right is None else operation(left, right)

    return apply


def _as_array(y: Any, x: Any) -> Array | None:
    """A Python number as a weak array of the dtype of `x`; None where the two have another dtype
    together.
    """
    if type(x) is not Array:
        return None
    kind, dtype = type(y), x.dtype
    fits = is_inexact(dtype) if kind is float else kind is int and not is_bool(dtype)
    if not fits or (x.weak_type and dtype != DEFAULT_DTYPES.of(kind)):
        return None
    try:
        return _NUMBERS((y or repr(y), kind, dtype))
    except IntegerOverflowError:  # which the operation itself may know how to avoid
        return None


def _number(key: tuple[Any, type, DType]) -> Array:
    """The array of a number, which is told as text where it is 0 (0.0 is equal to -0.0)."""
    from jitml.pipeline.compile import number_array

    y, kind, dtype = key
    return number_array(literal(kind(y), ArrayType(dtype, (), True)))


_NUMBERS: Cache[tuple[Any, type, DType], Array] = Cache(_number, 1024)
_KEPT: list[Cache[tuple[Any, ...], Compiled]] = []


# ---- functions ---------------------------------------------------------------------------------


class _Function(Dispatcher):
    """A function of one array, the first argument; all others are static."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code: Any = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        super().__init__(tuple(range(1, count)), code.co_varnames[:count])
        self._function = function
        _FUNCTIONS.append(self)

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function: compiled, where the first argument alone is an array at hand."""
        callee = None
        if args and type(args[0]) is Array:
            callees: list[Callee] = []
            others = (*args[1:], *kwargs.values())
            is_alone = not any(hasattr(x, "shape") for x in others)
            if is_alone and self.install(args, kwargs, [args[0]], None, callees):
                callee = self._callee(args, kwargs)
        if callee is None:
            return self._function(*args, **kwargs)
        callees.append(callee)
        return callee.executable.run((args[0], *callee.constants))[0]

    def _callee(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callee | None:
        """The function recorded and compiled; None if that is not possible."""
        from jitml.pipeline.compile import compiled_graph

        function = self._function
        try:
            type_ = array_type(args[0])
            name = function.__name__
            traced = trace_graph(lambda x: [function(x, *args[1:], **kwargs)], [type_], name)
        except Exception:  # a mistake, which the function itself tells, or it needs values at hand
            return None
        return Callee(compiled_graph(traced.graph)._executable, None, traced.captures)


_FUNCTIONS: list[_Function] = []


def compiled_at_once(function: Function) -> Function:
    """Decorator: on an array at hand the function runs as one kernel, other arguments being
    static.
    """
    call = _Function(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if calling.recorder is not None:
            return function(*args, **kwargs)
        return call(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def clear_operations() -> None:
    """Forget every compiled operator and function."""
    forget_operations()
    for cache in _KEPT:
        cache.clear()
    for function in _FUNCTIONS:
        function.forget()
