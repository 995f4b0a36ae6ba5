"""Look into compiled programs while they run: `print`, `callback`, `breakpoint`.

In: values, traced or not. Out: nothing: what is recorded calls Python when the program runs. Under
`vmap` that is once for each element, under `grad` once, in the forward pass.
"""

from __future__ import annotations

import builtins
import string
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

from jitml.callbacks import identity, name_of
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError
from jitml.ir.source import Source, user_frame, user_source
from jitml.ops.callback import DebugCallback, HostFunction
from jitml.trace.core import bind
from jitml.transforms.values import as_value, is_array_like
from jitml.tree_structure import Structure, flatten
from jitml.visualization import (
    inspect_array_sharding,
    visualize_array_sharding,
    visualize_sharding,
)

__all__ = [
    "breakpoint", "callback", "inspect_array_sharding", "log", "print", "visualize_array_sharding",
    "visualize_sharding",
]  # fmt: skip


def print(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> Any:
    """Print values when the program runs, formatted as by `fmt.format(*args, **kwargs)`.

    Prints come in the order in which they are written; with `ordered`, vmap refuses them. Options
    may also be given in a call of their own: `print(ordered=True)("x = {x}", x=x)`.

    >>> import jitml
    >>> @jitml.jit
    ... def f(x):
    ...     print("x = {x:.2f}, twice {}", 2 * x, x=x)
    ...     return x
    >>> _ = f(1.5)
    x = 1.50, twice 3.0
    """

    def write(text: str) -> None:
        sys.stdout.write(text + "\n")

    return _printing("print", write, fmt, args, kwargs, ordered, skip_format_check)


def log(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> Any:
    """As `print`, to the logger "jitml" at level INFO."""

    def write(text: str) -> None:
        import logging

        logging.getLogger("jitml").info("%s", text)

    return _printing("log", write, fmt, args, kwargs, ordered, skip_format_check)


def _printing(
    name: str,
    write: Callable[[str], None],
    fmt: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ordered: bool,
    skip_format_check: bool,
) -> Any:
    def tell(fmt: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(fmt, str):
            raise ArgumentError(
                f"debug.{name} takes a format string, not a {type(fmt).__name__}",
                hint=f'debug.{name}("{{}}", x) prints x',
                source=user_source(),
            )
        if not skip_format_check:
            _check_format(name, fmt, args, kwargs)
        has_fields = any(field is not None for _, field, _, _ in string.Formatter().parse(fmt))

        def show(*args: Any, **kwargs: Any) -> None:
            write(fmt.format(*args, **kwargs) if has_fields else " ".join([fmt, *map(str, args)]))

        _record(name, show, args, kwargs, ordered, (name, fmt))

    return _with_options(f"debug.{name}", tell, fmt, args, kwargs)


def _with_options(
    name: str,
    call: Callable[..., None],
    first: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Do `call`, or without a first argument (options alone were given) return it."""
    if first is not None:
        return call(first, *args, **kwargs)
    if args or kwargs:
        raise ArgumentError(
            f"{name} was called with options alone, but also with {[*args, *kwargs]}",
            hint="the arguments belong to the second call",
            source=user_source(),
        )
    return call


class _FormatCheck(string.Formatter):
    """Finds out whether a format string and its arguments belong together."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return value

    def check_unused_args(
        self, used_args: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        unused = [str(n) for n in range(len(args)) if n not in used_args]
        unused += [name for name in kwargs if name not in used_args]
        if unused:
            raise ValueError(f"the arguments {', '.join(unused)} have no field in it")


def _check_format(name: str, fmt: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    try:
        _FormatCheck().vformat(fmt, args, kwargs)
    except (ValueError, LookupError, AttributeError) as error:
        problem = f"there is no argument {error}" if isinstance(error, LookupError) else error
        raise ArgumentError(
            f"debug.{name}({fmt!r}, …): {problem}",
            hint='write "x = {x}" and x=x, not an f-string: values are known when the program runs',
            source=user_source(),
        ) from None


def callback(
    callback: Callable[..., Any] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function with values when the program runs; what it returns is dropped.

    Arguments that are no arrays or numbers reach it as they are. Options may also be given in a
    call of their own: `callback(ordered=True)(function, x)`.

    >>> import jitml
    >>> found = []
    >>> @jitml.jit
    ... def f(x):
    ...     callback(lambda name, x: found.append((name, float(x))), "x", x)
    ...     return x
    >>> _ = f(2.0)
    >>> found
    [('x', 2.0)]
    """

    def tell(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        check_callable("debug.callback", function)
        _record(name_of(function), function, args, kwargs, ordered, identity(function))

    return _with_options("debug.callback", tell, callback, args, kwargs)


class _Arguments(NamedTuple):
    """The arguments of a call: `leaves` has None for those that are values of the program."""

    leaves: list[Any]
    is_value: tuple[bool, ...]
    structure: Structure

    def rebuilt(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = iter(arrays)
        rows = zip(self.leaves, self.is_value, strict=True)
        leaves = [next(given) if is_it else x for x, is_it in rows]
        args, kwargs = self.structure.unflatten(leaves)
        return args, kwargs


def _record(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ordered: bool,
    key: tuple[Any, ...],
) -> None:
    """Record a call of `function`, which `key` tells from others."""
    found, structure = flatten((args, kwargs))
    is_value = tuple(map(is_array_like, found))
    values = [as_value(x) for x, is_it in zip(found, is_value, strict=True) if is_it]
    rest = [None if is_it else x for x, is_it in zip(found, is_value, strict=True)]
    arguments = _Arguments(rest, is_value, structure)

    def flat(arrays: Sequence[Any], types: Sequence[Any]) -> Sequence[Any]:
        args, kwargs = arguments.rebuilt(arrays)
        function(*args, **kwargs)
        return ()

    source = user_source()
    full_key = (*key, is_value, structure, *map(id, rest), source.place)
    host = HostFunction.of(full_key, name, function, flat, source)
    bind(DebugCallback(host, (), (), ordered), *values)


# ---- breakpoint ----------------------------------------------------------------------------------


def breakpoint(
    *,
    backend: str | None = None,
    filter_frames: bool = True,
    num_frames: int | None = None,
    ordered: bool = False,
    token: Any = None,
) -> Any:
    """Stop here when the program runs, in pdb, with the values that local variables have then.

    `c` goes on, `q` ends the program. Where no terminal is at hand, the values are printed instead.
    With `token` (a tree of arrays), it stops once that is computed; `token` is returned.
    """
    frame = user_frame()
    assert frame is not None
    stop = _Stop(Source(frame.f_code, frame.f_lasti), frame)
    _record("breakpoint", stop, (token,), _visible(frame), ordered, ("breakpoint",))
    return token


def _visible(frame: FrameType) -> dict[str, Any]:
    """The local variables that may hold values of the program."""
    is_module = frame.f_locals is frame.f_globals
    names = frame.f_code.co_names if is_module else frame.f_locals
    return {name: frame.f_locals[name] for name in names if name in frame.f_locals}


class _Stop:
    """What a breakpoint does when it is reached: `source` is its place."""

    def __init__(self, source: Source, frame: FrameType) -> None:
        self.source = source
        self.globals = frame.f_globals

    def __call__(self, token: Any, **values: Any) -> None:
        if not sys.stdin.isatty():
            self._tell(values)
            return
        import pdb
        from bdb import BdbQuit

        debugger = pdb.Pdb()
        debugger.reset()
        debugger.interaction(self._frame(values), None)
        if debugger.quitting:
            raise BdbQuit

    def _tell(self, values: Mapping[str, Any]) -> None:
        text = "".join([f"\n  {k} = {v!r}" for k, v in values.items() if is_array_like(v)])
        builtins.print(
            f"debug.breakpoint {self.source.describe()}\n"
            f"  standard input is no terminal: no debugger is opened{text}",
            file=sys.stderr,
        )

    def _frame(self, values: dict[str, Any]) -> FrameType:
        """A frame at the user's line, with these local variables."""
        text = "\n" * (self.source.line - 1) + "__frame__ = __import__('sys')._getframe()"
        code = compile(text, self.source.file, "exec").replace(co_name=self.source.function)
        exec(code, self.globals, values)
        frame: FrameType = values.pop("__frame__")
        return frame
