"""Switches that change what programs mean: so far, how wide the dtypes of Python numbers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.trace.numbers import DEFAULT_DTYPES


def _read_wide() -> bool:
    return DEFAULT_DTYPES.is_wide


def _write_wide(value: Any) -> None:
    type(DEFAULT_DTYPES).wide_everywhere = bool(value)


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
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
    before = DEFAULT_DTYPES.wide
    DEFAULT_DTYPES.wide = bool(new_val)
    try:
        yield
    finally:
        DEFAULT_DTYPES.wide = before


def __getattr__(name: str) -> Any:
    if name in _SETTINGS:
        return _SETTINGS[name][0]()
    raise AttributeError(f"module 'jitml.config' has no attribute {name!r}")
