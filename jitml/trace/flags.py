"""The values of JAX's switches: for the process, and in scopes of a thread.

In: names and values, checked above. Out: the value that holds here. Must not know what they mean.
"""

from __future__ import annotations

import threading
from typing import Any


class _Process:
    """`has_flags`: whether any switch was ever set in this process."""

    __slots__ = ("has_flags",)

    def __init__(self) -> None:
        self.has_flags = False


PROCESS = _Process()


class _Scoped(threading.local):
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}  # replaced, never changed


_SCOPED = _Scoped()
_EVERYWHERE: dict[str, Any] = {}


def flag(name: str, default: Any = None) -> Any:
    """The value of a switch on this thread."""
    scoped = _SCOPED.values
    return scoped[name] if name in scoped else _EVERYWHERE.get(name, default)


def is_on(name: str) -> bool:
    """Whether a switch that is off unless set is on, on this thread."""
    return PROCESS.has_flags and bool(flag(name))


def scoped_flag(name: str) -> Any:
    """The value of a switch that a scope of this thread gives it, or None."""
    return _SCOPED.values.get(name)


def flag_everywhere(name: str) -> Any:
    """The value of a switch that the process gives it, or None."""
    return _EVERYWHERE.get(name)


def set_everywhere(name: str, value: Any) -> None:
    """Set a switch for the process."""
    _EVERYWHERE[name] = value
    PROCESS.has_flags = True


class scope_flag:  # a scope
    """A scope, on this thread, in which a switch has a value."""

    __slots__ = ("_before", "_name", "_value")

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = value

    def __enter__(self) -> None:
        PROCESS.has_flags = True
        self._before = _SCOPED.values
        _SCOPED.values = {**self._before, self._name: self._value}

    def __exit__(self, *_: object) -> None:
        _SCOPED.values = self._before
