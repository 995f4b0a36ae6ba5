"""Switches: how wide the dtypes of Python numbers are, how many threads kernels use; and JAX's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml_runtime import calling, get_num_threads, scope_num_threads, set_num_threads
from jitml_runtime.threads import check_thread_count


class UnknownSwitchError(ArgumentError, AttributeError):
    """A switch that there is none of."""


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


def _read_leaks() -> bool:
    from jitml.trace.core import looks_for_leaks

    return looks_for_leaks()


def _write_leaks(value: Any) -> None:
    from jitml.trace.core import look_for_leaks

    look_for_leaks(bool(value))


def _write_off(value: Any) -> None:
    calling.is_off = bool(value)


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "num_threads": (get_num_threads, _write_threads),
    "jax_enable_x64": (_read_wide, _write_wide),
    "enable_x64": (_read_wide, _write_wide),
    "jax_disable_jit": (lambda: calling.is_off, _write_off),
    "jax_check_tracer_leaks": (_read_leaks, _write_leaks),
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
    if name in _SETTINGS:
        return _SETTINGS[name]
    from jitml.switches import SWITCHES, read_switch, write_switch

    if name in SWITCHES:
        return (lambda: read_switch(name)), (lambda value: write_switch(name, value))
    raise UnknownSwitchError(
        f"config: there is no switch {name!r}",
        hint=f"the switches are {', '.join(_SETTINGS)}, and those of JAX that jitml.switches has",
        source=user_source(),
    )


def update_from_environment(environment: Mapping[str, str]) -> None:
    """Set JAX's switches as its environment variables say: `JAX_ENABLE_X64=1` and its kin.

    >>> update_from_environment({"JAX_ENABLE_X64": "0"})
    """
    from jitml.switches import SWITCHES

    for name in (*_SETTINGS, *SWITCHES):
        text = environment.get(name.upper()) if name.startswith("jax_") else None
        if text is not None:
            update(name, _TRUTHS.get(text.lower(), text))


_TRUTHS = {"1": True, "true": True, "yes": True, "on": True}
_TRUTHS |= {"0": False, "false": False, "no": False, "off": False, "": False}


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
    if name.startswith("jax"):
        try:
            return read(name)
        except ArgumentError as error:
            raise AttributeError(str(error)) from None
    raise AttributeError(f"module 'jitml.config' has no attribute {name!r}")
