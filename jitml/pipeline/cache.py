"""A bounded cache of what is expensive to make, for several threads."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class Cache(Generic[Key, Made]):
    """The most recent results of `make`. What is asked for by several threads at once is made once;
    others wait.
    """

    def __init__(self, make: Callable[[Key], Made], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._found: OrderedDict[Key, Made] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Key, threading.RLock] = {}
        self.get = self._found.get  # without counting as a use: for callers in a hurry
        _ALL.add(self)

    def __call__(self, key: Key) -> Made:
        found = self._found.get(key)
        if found is not None:
            return found
        with self._lock:
            making = self._making.setdefault(key, threading.RLock())
        try:
            with making:
                found = self._found.get(key)
                if found is None:
                    found = self._make(key)
                    self._add(key, found)
        finally:
            with self._lock:
                self._making.pop(key, None)
        return found

    def _add(self, key: Key, made: Made) -> None:
        with self._lock:
            self._found[key] = made
            if len(self._found) > self._limit:
                self._found.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()

    def release(self) -> None:
        """Let go of the locks of threads that are gone."""
        self._lock = threading.Lock()
        self._making = {}


_ALL: WeakSet[Cache[Any, Any]] = WeakSet()


def _release_all() -> None:
    for cache in _ALL:
        cache.release()


if hasattr(os, "register_at_fork"):  # where other threads may be making something at that moment
    os.register_at_fork(after_in_child=_release_all)
