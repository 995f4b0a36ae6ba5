"""Scopes in which functions of this thread run otherwise: not compiled, while
tracing, or under a name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError
from jitml.ir.source import SCOPE, user_source
from jitml.trace.core import checking_leaks, outside_traces
from jitml_runtime import calling

Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def disable_jit(disable: bool = True) -> Iterator[None]:
    """A scope in which jitted functions run as plain Python, operation by operation.

    >>> import jitml, jitml.numpy as jnp
    >>> with disable_jit():
    ...     print(jitml.jit(lambda x: x + 1 if x > 0 else x)(jnp.float32(1)))
    2.0
    """
    before = calling.is_off
    calling.is_off = disable
    try:
        yield
    finally:
        calling.is_off = before


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """A scope in which operations on concrete arrays run at once, also while a function is traced.

    >>> import jitml, jitml.numpy as jnp
    >>> @jitml.jit
    ... def f(x):
    ...     with ensure_compile_time_eval():
    ...         n = int(jnp.sum(jnp.arange(4)))
    ...     return x * n
    >>> print(f(1.0))
    6.0
    """
    with outside_traces():
        yield


@contextmanager
def check_tracer_leaks(new_val: bool = True) -> Iterator[None]:
    """A scope in which a tracer that outlives its trace is an error, as by `checking_leaks`.

    >>> import jitml
    >>> with check_tracer_leaks():
    ...     print(jitml.jit(lambda x: x + 1)(1.0))
    2.0
    """
    if not new_val:
        yield
        return
    with checking_leaks():
        yield


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """A scope, or a decorator, that gives a name to what is recorded inside: it shows in graphs,
    in `explain` and in errors, beside the line.

    >>> import jitml, jitml.numpy as jnp
    >>> @jitml.jit
    ... def f(x):
    ...     with named_scope("attention"):
    ...         return jnp.sin(x)
    >>> "[attention]" in str(f.graph(1.0))
    True
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"named_scope takes a string, not a {type(name).__name__}", source=user_source()
        )
    before = SCOPE.path
    SCOPE.path = f"{before}/{name}" if before else name
    try:
        yield
    finally:
        SCOPE.path = before


def named_call(fun: Function, *, name: str | None = None) -> Function:
    """`fun` in a scope of its own name, or of `name`.

    >>> named_call(abs, name="size")(-1)
    1
    """
    check_callable("named_call", fun)
    label = getattr(fun, "__name__", type(fun).__name__) if name is None else name

    @functools.wraps(fun, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        with named_scope(label):
            return fun(*args, **kwargs)

    return call  # type: ignore[return-value]
