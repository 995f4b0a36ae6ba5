"""Which values a function reads besides its arguments: a search through its code, before it is
traced.

In: a function. Out: `Place`s: what is reached through globals, closure cells, defaults, attributes
and entries, also by the user functions that it calls.

Followed is code outside of Python's own library, of installed packages and of jitml. Of an object
whose attributes are named in the code, those are read; one that is handed on is read whole: the
attributes of its instance and class, its lists, tuples, dicts and sets, to a depth of 6 and up to
some 2000 values. Properties are followed, not evaluated.

Not seen are values reached through names computed at run time (`globals()[name]`), through compiled
extensions and through code in installed packages; what is read by a function that is called, but
also given to a callback; the inside of what lies deeper or beyond these limits; and that a captured
NumPy array changed what NumPy, not jitml.numpy, computed of it.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from jitml.bytecode import ATTRIBUTE, ENTRY, LENGTH, accesses, inner_codes
from jitml.guards import (
    ARRAY,
    OBJECT,
    SAME,
    THROUGH,
    TOKEN,
    Get,
    Place,
    contents,
    elements,
    identities,
    keys,
    length,
)
from jitml.ir.source import PACKAGES
from jitml.trace.core import Tracer
from jitml_runtime import Array

_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, Enum)
_ARRAYS = (Array, Tracer, np.ndarray)
_GETS: dict[str, Get] = {ATTRIBUTE: getattr, ENTRY: operator.getitem, LENGTH: length}
_TYPE_ATTRIBUTES = frozenset({"shape", "ndim", "size", "dtype", "itemsize", "nbytes", "weak_type"})
_MOST_PLACES = 2000
_DEEPEST = 6
_LONG = 64  # containers of more numbers and strings than this are compared as a whole


def find_places(function: Any, static: Mapping[str, Any]) -> list[Place]:
    """Everything that `function` reads besides its arguments; `static` are those of its arguments
    that are known.
    """
    search = _Search()
    search.callable(function, (), static)
    return search.places


def read_while_traced(
    places: list[Place], function: Any, static: Mapping[str, Any], later: Iterable[Any]
) -> list[Place]:
    """Those of the `places` of `function` that are not read by the functions `later` alone, which
    run when the program runs: what they read then is what is there then.
    """
    search = _Search({id(x) for callback in later for x in _parts(callback)})
    search.callable(function, (), static)
    modes = {_way(place): place.mode for place in search.places}
    kept = [place for place in places if _way(place) in modes]
    for place in kept:
        place.mode = modes[_way(place)]
    return kept


def _way(place: Place) -> tuple[Any, ...]:
    start = id(place.root) if place.parent is None else _way(place.parent)
    return (start, place.get, _hashable(place.key))


def _parts(callback: Any) -> Iterator[Any]:
    """What stands for a function in a search: itself, its code, the object that it is a method
    of.
    """
    yield callback
    if isinstance(callback, functools.partial):
        yield from _parts(callback.func)
    elif isinstance(callback, MethodType):
        yield from _parts(callback.__func__)
    elif isinstance(callback, BuiltinMethodType):
        yield callback.__self__
    elif isinstance(callback, FunctionType):
        yield callback.__code__


@functools.cache
def _libraries() -> tuple[str, ...]:
    import site  # which Python itself has imported

    paths = {os.path.dirname(os.__file__), *site.getsitepackages(), site.getusersitepackages()}
    return ("<frozen", *PACKAGES, *(os.path.join(path, "") for path in paths if path))


@functools.lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether code in `file` is not the user's own."""
    return not file or file.startswith(_libraries())


def _is_library_module(module: ModuleType) -> bool:
    """Whether a module is not the user's own. Those that are made while a program runs have no
    file.
    """
    file = getattr(module, "__file__", None)
    if file:
        return is_library(file)
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return origin in ("built-in", "frozen") or module.__name__ in sys.builtin_module_names


def _is_library_type(type_: type) -> bool:
    if type_.__module__ == "builtins":
        return True
    module = sys.modules.get(type_.__module__)
    return module is not None and is_library(getattr(module, "__file__", None) or "<user>")


class _Search:
    """The places found so far. A scope tells for each name of a function how its value is got:
    (root, get, key).
    """

    def __init__(self, later: Set[int] = frozenset()) -> None:
        self.places: list[Place] = []
        self._later = later  # by id: functions that do not run now, of which nothing is read
        self._known: dict[tuple[int, Get, Any], Place] = {}
        self._followed: set[tuple[Any, ...]] = set()
        self._read_by: dict[int, Place] = {}
        self._read_whole: set[int] = set()
        self._kept: list[Any] = []  # what ids above stand for must not be freed meanwhile

    # ---- code ------------------------------------------------------------------------------------

    def callable(
        self, function: Any, arguments: Sequence[Any] = (), named: Mapping[str, Any] = {}
    ) -> None:
        """Follow a function, method, partial or object with `__call__`, if a user wrote it."""
        while True:
            if isinstance(function, functools.partial):
                for held in (function.args, function.keywords):
                    self._contents(None, held, "partial", 0)
                arguments = (*function.args, *arguments)
                function = function.func
            elif isinstance(function, MethodType):
                arguments = (function.__self__, *arguments)
                function = function.__func__
            elif isinstance(function, FunctionType):
                if id(function.__code__) in self._later:
                    return
                if not is_library(function.__code__.co_filename):
                    self._function(function, arguments, named)
                if not hasattr(function, "__wrapped__"):
                    return
                function = function.__wrapped__
            elif hasattr(function, "__wrapped__") and not isinstance(function, type):
                for rule in getattr(function, "followed", ()):
                    self.callable(rule)
                function = function.__wrapped__
            elif isinstance(_call_of(function), FunctionType):
                arguments = (function, *arguments)
                function = _call_of(function)
            else:
                return

    def _function(
        self, function: FunctionType, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> None:
        code = function.__code__
        known = dict(zip(code.co_varnames[: code.co_argcount], arguments, strict=False))
        known.update(named)
        self._kept += (function, known)
        key = (id(function), *((name, id(value)) for name, value in known.items()))
        if key in self._followed or len(self.places) > _MOST_PLACES:
            return
        self._followed.add(key)
        if function.__defaults__:
            self._defaults(function, "__defaults__")
        if function.__kwdefaults__:
            self._defaults(function, "__kwdefaults__")
        scope: dict[str, Any] = {
            name: ((value,), operator.getitem, 0) for name, value in known.items()
        }
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            scope[name] = (cell, getattr, "cell_contents")
        self._code(code, function.__globals__, scope)

    def _defaults(self, function: FunctionType, name: str) -> None:
        held = getattr(function, name)
        path = f"{function.__name__}.{name}"
        self.value(self._place(None, function, getattr, name, held, path), 0)

    def _code(self, code: CodeType, names: dict[str, Any], scope: dict[str, Any]) -> None:
        for access in accesses(code):
            if not access.is_global and access.name in scope:
                root, get, key = scope[access.name]
            elif access.is_global and access.name in names:
                root, get, key = names, operator.getitem, access.name
            else:
                continue
            if isinstance(root, CellType) and not _is_filled(root):
                continue
            self._chain(access.name, root, get, key, access.steps)
        for inner in inner_codes(code):
            if id(inner) in self._later:
                continue
            free = {name: scope[name] for name in inner.co_freevars if name in scope}
            self._code(inner, names, free)

    def _chain(
        self, path: str, root: Any, get: Get, key: Any, steps: Sequence[tuple[str, Any]]
    ) -> None:
        """Follow attributes and entries as far as they lead to something that can be guarded."""
        value = get(root, key)
        if isinstance(
            root, tuple
        ):  # a static argument: known by the key of the entry, not by a place
            place = None
        elif isinstance(value, ModuleType) and _is_library_module(value):
            return
        else:
            place = self._place(None, root, get, key, value, path, _mode_on_the_way(value))
        for kind, name in steps:
            if isinstance(value, _SCALARS):
                break
            if isinstance(value, _ARRAYS) and name not in _TYPE_ATTRIBUTES and kind != LENGTH:
                break
            if kind == ATTRIBUTE and self._followed_attribute(value, name):
                if place is not None and self._runs_later(getattr(type(value), name, None)):
                    place.mode = OBJECT
                return
            get = _GETS[kind]
            try:
                found = get(value, name)
            except Exception:  # the code that does the same while tracing tells the user
                break
            if isinstance(found, BuiltinMethodType):
                break
            path = {
                ATTRIBUTE: f"{path}.{name}",
                ENTRY: f"{path}[{name!r}]",
                LENGTH: f"len({path})",
            }[kind]
            place = self._place(place, value, get, name, found, path, _mode_on_the_way(found))
            value = found
        if place is None:
            self._contents(None, value, path, 0)
        else:
            place.mode = ARRAY if isinstance(value, _ARRAYS) else place.mode
            self.value(place, 0)

    def _followed_attribute(self, owner: Any, name: str) -> bool:
        """Follow a method or property instead of evaluating it; whether `name` is one."""
        if isinstance(owner, (ModuleType, type)) or name in getattr(owner, "__dict__", ()):
            return False
        for class_ in type(owner).__mro__:
            if name in vars(class_):
                break
        else:
            return False
        found = vars(class_)[name]
        if isinstance(found, FunctionType):
            self._place(None, class_, getattr, name, found, f"{class_.__name__}.{name}", OBJECT)
            self.callable(found, (owner,))
            return True
        if isinstance(found, (property, functools.cached_property)):
            self.callable(found.fget if isinstance(found, property) else found.func, (owner,))
            return True
        return False

    def _runs_later(self, function: Any) -> bool:
        return id(getattr(function, "__code__", None)) in self._later

    # ---- values
    # ------------------------------------------------------------------------------------

    def _place(
        self,
        parent: Place | None,
        root: Any,
        get: Get,
        key: Any,
        value: Any,
        path: str,
        mode: str = "",
    ) -> Place:
        """The place of a value; one for each way to it."""
        known_as = (id(root) if parent is None else id(parent), get, _hashable(key))
        found = self._known.get(known_as)
        if found is None:
            self._kept.append(root)
            found = Place(
                parent,
                root if parent is None else None,
                get,
                key,
                value,
                path,
                mode or _mode(value),
            )
            self._known[known_as] = found
            self.places.append(found)
        return found

    def value(self, place: Place, depth: int) -> None:
        """Read what a value contains, or does when called."""
        if place.mode not in (THROUGH, OBJECT):
            return
        if id(place.value) in self._later:
            place.mode = OBJECT
            return
        reader = self._read_by.setdefault(id(place.value), place)
        if reader is not place or len(self.places) > _MOST_PLACES or depth > _DEEPEST:
            place.mode = (
                OBJECT  # nothing of it is watched from here, so that another object is a change
            )
            return
        self._contents(place, place.value, place.path, depth)

    def _contents(self, place: Place | None, value: Any, path: str, depth: int) -> None:
        if isinstance(value, (_SCALARS, _ARRAYS, ModuleType)):
            return
        if isinstance(value, type):
            self._class(value, depth)
        elif isinstance(value, (FunctionType, MethodType, functools.partial)):
            self.callable(value)
        elif id(value) not in self._read_whole:
            self._read_whole.add(id(value))
            self._kept.append(value)
            if isinstance(value, (list, tuple, dict, set, frozenset)):
                self._container(place, value, path, depth)
            self._fields(place, value, path, depth)
            if callable(value):
                self.callable(value)

    def _container(self, place: Place | None, value: Any, path: str, depth: int) -> None:
        if isinstance(value, (set, frozenset)):
            self._place(place, value, elements, None, elements(value, None), f"{path}", TOKEN)
            return
        if isinstance(value, dict):
            self._place(place, value, keys, None, keys(value, None), f"the keys of {path}", TOKEN)
        elif isinstance(value, list):
            self._place(place, value, length, None, len(value), f"len({path})", TOKEN)
        held = list(value.values() if isinstance(value, dict) else value)
        if len(held) > _LONG and all(isinstance(x, _SCALARS) for x in held):
            self._place(place, value, contents, None, contents(value, None), path, TOKEN)
            return
        if len(self.places) + len(held) > _MOST_PLACES:
            self._kept.append(held)
            self._place(place, value, identities, None, identities(value, None), path, TOKEN)
            return
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found = value[key]
            inner = self._place(place, value, operator.getitem, key, found, f"{path}[{key!r}]")
            self.value(inner, depth + 1)

    def _fields(self, place: Place | None, value: Any, path: str, depth: int) -> None:
        """The attributes of an instance of a user's class."""
        type_ = type(value)
        if not _is_user_object(value):
            return
        names = list(getattr(value, "__dict__", ()))
        for class_ in type_.__mro__:
            slots = vars(class_).get("__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        for name in names:
            if name in ("__dict__", "__weakref__"):
                continue
            try:
                found = getattr(value, name)
            except Exception:  # a slot that is empty, or the user's own __getattribute__
                continue
            self.value(self._place(place, value, getattr, name, found, f"{path}.{name}"), depth + 1)
        self._class(type_, depth)

    def _class(self, type_: type, depth: int) -> None:
        """The attributes and methods of a user's class."""
        for class_ in type_.__mro__:
            if id(class_) in self._read_whole or _is_library_type(class_):
                continue
            self._read_whole.add(id(class_))
            for name, found in list(vars(class_).items()):
                if isinstance(found, (staticmethod, classmethod)):
                    found = found.__func__
                if isinstance(found, property):
                    found = found.fget
                if isinstance(found, FunctionType):
                    self.callable(found)
                elif not name.startswith("__") and isinstance(
                    found, (*_SCALARS, *_ARRAYS, list, tuple, dict, set, frozenset)
                ):
                    path = f"{class_.__name__}.{name}"
                    self.value(self._place(None, class_, getattr, name, found, path), depth + 1)


def _mode(value: Any) -> str:
    if isinstance(value, _ARRAYS):
        return ARRAY
    if isinstance(value, _SCALARS) or _is_constant(value):
        return SAME
    if isinstance(value, (list, tuple, dict, set, frozenset, ModuleType)):
        return THROUGH
    return OBJECT if isinstance(value, type) or not _is_user_object(value) else THROUGH


def _mode_on_the_way(value: Any) -> str:
    """The mode of a value of which only an attribute or entry is read, as far as is known."""
    return THROUGH if isinstance(value, _ARRAYS) else _mode(value)


def _is_user_object(value: Any) -> bool:
    """Whether attributes of `value` are the user's own data."""
    type_ = type(value)
    return type_ is SimpleNamespace or type_.__name__ == "Namespace" or not _is_library_type(type_)


def _call_of(value: Any) -> Any:
    """What runs when an instance is called."""
    return getattr(type(value), "__call__", None)  # noqa: B004  (the function itself is wanted)


def _is_constant(value: Any) -> bool:
    """Whether a tuple holds numbers and strings alone, and so can be compared as a whole."""
    return type(value) is tuple and all(isinstance(x, _SCALARS) or _is_constant(x) for x in value)


def _hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return id(key)
    return (type(key), key)


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (raises where nothing has been assigned yet)
    except ValueError:
        return False
    return True
