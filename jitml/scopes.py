"""Scopes in which functions of this thread run otherwise: not compiled, or while tracing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitml.trace.core import outside_traces
from jitml_runtime import calling


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
