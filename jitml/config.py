"""Switches: how wide the dtypes of Python numbers are, how many threads kernels use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml_runtime import calling, get_num_threads, scope_num_threads, set_num_threads
from jitml_runtime.threads import check_thread_count


def _read_wide() -> bool:
    return calling.is_wide


def _write_wide(value: Any) -> None:
    calling.wide_everywhere = bool(value)


def _write_threads(value: Any) -> None:
    set_num_threads(checked_threads(value))


def checked_threads(count: Any) -> int:
    """`count`, if it is a number of threads that kernels can use; else ArgumentError."""
    try:
        return check_thread_count(count)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"num_threads: {error}",
            hint="unless told otherwise, kernels use all processors that the process may run on",
            source=user_source(),
        ) from None


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "num_threads": (get_num_threads, _write_threads),
    "jax_enable_x64": (_read_wide, _write_wide),
    "enable_x64": (_read_wide, _write_wide),
}


def update(name: str, value: Any) -> None:
    """Set the switch `name` for the whole process.

    >>> update("jax_enable_x64", False)
    """
    _setting(name)[1](value)


def read(name: str) -> Any:
    """The value of the switch `name` on this thread.

    >>> read("jax_enable_x64")
    False
    """
    return _setting(name)[0]()


def _setting(name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    if name not in _SETTINGS:
        raise ArgumentError(
            f"config: there is no switch {name!r}", hint=f"the switches are {', '.join(_SETTINGS)}"
        )
    return _SETTINGS[name]


@contextmanager
def enable_x64(new_val: bool = True) -> Iterator[None]:
    """A scope, on this thread, in which Python numbers become 64-bit arrays.

    >>> import jitml.numpy as jnp
    >>> with enable_x64():
    ...     print(jnp.zeros(2).dtype)
    float64
    """
    before = calling.wide
    calling.wide = bool(new_val)
    try:
        yield
    finally:
        calling.wide = before


def num_threads(count: int) -> AbstractContextManager[None]:
    """A scope, on this thread, in which kernels use at most `count` threads. Results are the same
    bits for any number. `JITML_NUM_THREADS` and `config.update("num_threads", n)` set the number
    for the process.

    >>> import jitml, jitml.numpy as jnp
    >>> with jitml.num_threads(1):
    ...     print(jnp.ones(1000).sum())
    1000.0
    """
    return _thread_scope(checked_threads(count))


@contextmanager
def _thread_scope(count: int) -> Iterator[None]:
    before = scope_num_threads(count)
    try:
        yield
    finally:
        scope_num_threads(before)


def __getattr__(name: str) -> Any:
    if name in _SETTINGS:
        return _SETTINGS[name][0]()
    raise AttributeError(f"module 'jitml.config' has no attribute {name!r}")
