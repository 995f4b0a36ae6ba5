"""The names of the axes that `vmap` maps on this thread, with their sizes.

In: the scopes of transforms that map a named axis. Out: the size of an axis that collectives name,
or an error that tells which names there are. Must not know: ops.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TypeAlias

from jitml.ir.errors import UnboundAxisError
from jitml.ir.source import user_source

Sizes: TypeAlias = "dict[Hashable, int]"


class _State(threading.local):
    def __init__(self) -> None:
        self.sizes: Sizes = {}  # replaced, never changed


_STATE = _State()


class naming_axis:  # a scope
    """A scope in which the axis `name` has `size` elements; None names nothing."""

    __slots__ = ("_before", "_name", "_size")

    def __init__(self, name: Hashable | None, size: int) -> None:
        self._name = name
        self._size = size

    def __enter__(self) -> None:
        self._before = _STATE.sizes
        if self._name is not None:
            _STATE.sizes = {**self._before, self._name: self._size}

    def __exit__(self, *_: object) -> None:
        _STATE.sizes = self._before


class without_axes:  # a scope
    """A scope in which no axis has a name: what runs in it belongs to no element of a map."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _STATE.sizes
        _STATE.sizes = {}

    def __exit__(self, *_: object) -> None:
        _STATE.sizes = self._before


def named_axes() -> tuple[tuple[Hashable, int], ...]:
    """The names and sizes of all mapped axes: a trace depends on them."""
    return tuple(_STATE.sizes.items())


def size_of_axis(name: Hashable, what: str) -> int:
    """The size of the axis `name`; `what` is how the error calls the function that asks."""
    size = _STATE.sizes.get(name)
    if size is None:
        raise unbound_axis_error(name, what)
    return size


def unbound_axis_error(name: Hashable, what: str) -> UnboundAxisError:
    """The error for a collective over an axis that no vmap around it names."""
    known = ", ".join(map(repr, _STATE.sizes))
    return UnboundAxisError(
        f"{what}: unbound axis name: {name!r}"
        + (f" (the axes mapped here are {known})" if known else ""),
        hint=f"call it in a function that is mapped by vmap(…, axis_name={name!r})",
        source=user_source(),
    )
