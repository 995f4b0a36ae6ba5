"""Operations on arrays at hand: one look-up leads from the operands' types to a compiled kernel.

In: functions of arrays. Out: the same functions, which outside of any trace record themselves once
for each signature, and run the compiled graph from then on. The look-up is the runtime's, so that
what is known costs no Python code. Must not know: what a function computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from jitml.ir.errors import JitmlError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.pipeline.cache import Cache
from jitml.pipeline.value_checks import are_checked
from jitml.trace.conventions import is_narrowed
from jitml.trace.core import array_type, trace_graph
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml_runtime import (
    Array,
    Callee,
    Dispatcher,
    KernelFault,
    Operation,
    calling,
    forget_operations,
)

if TYPE_CHECKING:
    from jitml.pipeline.compile import Compiled

Function = TypeVar("Function", bound=Callable[..., Any])

# ---- functions of arrays alone -----------------------------------------------------------------


def operation(
    function: Function, takes_numbers: bool = True, keeps_integer: bool = False
) -> Function:
    """Decorator: on arrays at hand (three at most) the function runs as one kernel.

    If it `takes_numbers`, a Python number beside arrays may be an array of their dtype as well;
    one that `keeps_integer` depends on which integer its last argument is.
    """
    made: Any = Operation(function, run_unknown, takes_numbers, keeps_integer)
    return made  # type: ignore[no-any-return]


def run_unknown(operation: Operation, *operands: Any) -> Any:
    """The result of an operation; the runtime is told of the program."""
    types = [array_type(x) if type(x) is Array else x for x in operands]
    if any(is_narrowed(t.dtype) for t in types if type(t) is ArrayType):
        return NotImplemented  # the function itself narrows what NumPy made
    compiled = _PROGRAMS((operation, DEFAULT_DTYPES.is_wide, *types))
    if compiled is False:
        return NotImplemented
    if not are_checked():
        operation.install(operands, compiled.executable)
    try:
        return compiled.run([x for x in operands if type(x) is Array])[0]
    except JitmlError as error:
        error.source = user_source()  # not the line that was the first to need the program
        raise


def _compile(key: tuple[Any, ...]) -> Compiled | bool:
    """What an operation does to operands of these types, compiled; False where it raises an error,
    which the function itself tells.
    """
    from jitml.pipeline.compile import compiled_graph

    operation, _, *types = key
    function = operation.__wrapped__
    kept = [x for x in types if type(x) is int]
    types = types[: len(types) - len(kept)]
    name = getattr(function, "__name__", "")
    try:
        return compiled_graph(trace_graph(lambda *xs: [function(*xs, *kept)], types, name).graph)
    except (JitmlError, TypeError, ValueError):
        return False


_PROGRAMS: Cache[tuple[Any, ...], Any] = Cache(_compile, 4096)


# ---- functions of one array and options --------------------------------------------------------


_Explain: TypeAlias = Callable[[KernelFault], JitmlError]


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
        found = None
        if args and type(args[0]) is Array and not are_checked():
            callees: list[Callee] = []
            others = (*args[1:], *kwargs.values())
            is_alone = not any(hasattr(x, "shape") for x in others)
            if is_alone and self.install(args, kwargs, [args[0]], None, callees):
                found = self._callee(args, kwargs)
        if found is None:
            return self._function(*args, **kwargs)
        callee, explain = found
        callees.append(callee)
        try:
            return callee.executable.run((args[0], *callee.constants))[0]
        except KernelFault as fault:
            raise explain(fault) from None

    def _callee(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callee, _Explain] | None:
        """The function recorded and compiled, and what tells of its failures; None if that is not
        possible.
        """
        from jitml.pipeline.compile import compiled_graph

        function = self._function
        try:
            type_ = array_type(args[0])
            name = function.__name__
            traced = trace_graph(lambda x: [function(x, *args[1:], **kwargs)], [type_], name)
        except Exception:  # a mistake, which the function itself tells, or it needs values at hand
            return None
        compiled = compiled_graph(traced.graph)
        explain = functools.partial(_explained, compiled)
        return Callee(compiled.executable, None, traced.captures, None, explain), explain


def _explained(compiled: Compiled, fault: KernelFault) -> JitmlError:
    """The error that a failed check is, at the user's line."""
    from jitml.pipeline.faults import explain_fault

    error = explain_fault(compiled.program, fault)
    error.source = user_source()
    return error


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
    _PROGRAMS.clear()
    for function in _FUNCTIONS:
        function.forget()
