"""Guards: whether the Python values that a function read while it was traced are still the same.

In: `Place`s, found by `jitml.reading` before a trace, and the arrays that the trace captured. Out:
`Guards`, which say whether a trace still holds, and fetch the arrays that it captured: every place
is walked from its root, and compared by type and value. Must not know: graphs.

In the common case nothing has changed. `Guards.checks` are what says so by identity, in one pass
over (get, container, key, expected), which the runtime's `Guard` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jitml_runtime import Array
from jitml_runtime.packing import key_of

Get: TypeAlias = Callable[[Any, Any], Any]
Check: TypeAlias = "tuple[Get, Any, Any, Any]"
Look: TypeAlias = "tuple[Get, Any, Any]"

# How a place must stay. SAME: an equal value of the same type. OBJECT: the same object. THROUGH:
# any object of the
# type, for what matters of it has places of its own. TOKEN: equal, and computed at each check.
# ARRAY: not decided yet.
SAME, OBJECT, THROUGH, TOKEN, ARRAY = "same", "object", "through", "token", "array"
_SMALL_BYTES = 1 << 14


class Place:
    """Where code reaches a value: `get(container, key)`, the container being the value of `parent`,
    or `root`.
    """

    __slots__ = ("get", "key", "mode", "parent", "path", "root", "value")

    def __init__(
        self, parent: Place | None, root: Any, get: Get, key: Any, value: Any, path: str, mode: str
    ) -> None:
        self.parent = parent
        self.root = root
        self.get = get
        self.key = key
        self.value = value
        self.path = path
        self.mode = mode

    def fits(self, now: Any) -> bool:
        """Whether `now` is as good as the value that was read."""
        before = self.value
        if now is before or self.mode == ARRAY:
            return True
        if type(now) is not type(before) or self.mode == OBJECT:
            return False
        return self.mode == THROUGH or is_equal(now, before)


def is_equal(a: Any, b: Any) -> bool:
    """Whether two values of one type are the same to a program: −0 is not 0, nan is nan, (1,) is
    not (1.0,).
    """
    if isinstance(a, (Array, np.generic)):
        return content_token(a, None) == content_token(b, None)
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    if isinstance(a, tuple):
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(type(x) is type(y) and is_equal(x, y) for x, y in pairs)
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False


class Change(NamedTuple):
    """A place where something else is than was read, as text."""

    path: str
    before: str
    after: str


class Checks(NamedTuple):
    """As long as the objects in `identical` are the same and those in `equal` are equal, a trace
    holds, and its captured arrays are `hidden`: for each, all ways to it.
    """

    identical: tuple[Check, ...]
    equal: tuple[Check, ...]
    hidden: tuple[tuple[Look, ...], ...]


class Guards:
    """The places that one trace depends on, and those that its captured arrays are fetched from."""

    __slots__ = ("_hidden", "_places", "checks")

    def __init__(self, places: Sequence[Place], hidden: Sequence[Sequence[Place]]) -> None:
        """`hidden`: for each captured array every place that held it; parents come before their
        children.
        """
        self._places = tuple(places)
        self._hidden = tuple(tuple(aliases) for aliases in hidden)
        self.checks = Checks((), (), ())  # of the last `fetch`

    def __bool__(self) -> bool:
        return bool(self._places)

    def fetch(self) -> list[Any] | None:
        """The captured arrays as they are now; None if anything that was read has changed."""
        try:
            self.checks = self._walk()
            for get, container, key, expected in self.checks.equal:
                if get(container, key) != expected:
                    return None
            return [_fetched(aliases) for aliases in self.checks.hidden]
        except (
            Exception
        ):  # a user's own __getattr__ may raise anything: what was there is not there any more
            return None

    def changes(self) -> list[Change]:
        """What has changed, containers before what they hold."""
        changed: list[Change] = []
        values: dict[int, Any] = {}
        for place in self._places:
            try:
                now = values[id(place)] = _look(place, values)
            except Exception:
                changed.append(Change(place.path, repr(place.value), "not there"))
                continue
            if not place.fits(now):
                changed.append(Change(place.path, repr(place.value), repr(now)))
        for first, *others in self._hidden if not changed else ():
            changed += [
                Change(place.path, f"the array at {first.path}", "another array")
                for place in others
                if values[id(place)] is not values[id(first)]
            ]
        return changed

    def captured(self) -> list[tuple[str, Any]]:
        """The captured arrays as they are now, and where they are; nothing must have changed."""
        paths = [aliases[0].path for aliases in self._hidden]
        return list(zip(paths, self.fetch() or (), strict=False))

    def places(self) -> list[Place]:
        """The places with the values that are there now, for a trace around this one that depends
        on them too.
        """
        copies: dict[int, Place] = {}
        values: dict[int, Any] = {}
        for p in self._places:
            parent = None if p.parent is None else copies.get(id(p.parent))
            if parent is None and p.parent is not None:
                continue
            try:
                now = values[id(p)] = _look(p, values)
            except Exception:  # as in `fetch`: it is gone, and no input of a trace any more
                continue
            copies[id(p)] = Place(parent, p.root, p.get, p.key, now, p.path, p.mode)
        return list(copies.values())

    def _walk(self) -> Checks:
        """Compare every place from its root by type and value; the checks for the values found."""
        values: dict[int, Any] = {}
        for place in self._places:
            now = values[id(place)] = _look(place, values)
            if not place.fits(now):
                raise _ChangedError
        return self._anchored(values)

    def _anchored(self, values: dict[int, Any]) -> Checks:
        identical: list[Check] = []
        equal: list[Check] = []
        for place in self._places:
            if place.mode == TOKEN:
                equal.append((place.get, _container(place, values), place.key, place.value))
            elif place.mode != ARRAY:
                now = values[id(place)]
                identical.append((place.get, _container(place, values), place.key, now))
        hidden = tuple(
            tuple((p.get, _container(p, values), p.key) for p in aliases)
            for aliases in self._hidden
        )
        return Checks(tuple(identical), tuple(equal), hidden)


class _ChangedError(Exception):
    """Something that was read is not the same any more."""


def _container(place: Place, values: dict[int, Any]) -> Any:
    return place.root if place.parent is None else values[id(place.parent)]


def _look(place: Place, values: dict[int, Any]) -> Any:
    return place.get(_container(place, values), place.key)


def _fetched(aliases: Sequence[Look]) -> Any:
    get, container, key = aliases[0]
    found = get(container, key)
    for get, container, key in aliases[1:]:
        if get(container, key) is not found:
            raise _ChangedError
    return found


# ---- which places matter -----------------------------------------------------------------------


def make_guards(places: Iterable[Place], captured: Sequence[Any]) -> tuple[Guards, list[bool]]:
    """Guards for a trace that has just ended; of each captured object whether it is fetched anew.

    `places` were found before the trace. What the function itself changed while it was traced (a
    counter, a log) is no input of it, and is left out.
    """
    reachable, logs = _unchanged(places)
    by_id: dict[int, list[Place]] = {}
    for place in reachable:
        if place.mode == ARRAY:
            by_id.setdefault(id(place.value), []).append(place)
    hidden = [by_id.get(id(x), []) for x in captured]
    needed = {id(p) for aliases in hidden for place in aliases for p in _lineage(place)}
    settled: list[Place] = []
    for place in reachable:
        if id(place) in needed:
            settled.append(place)
        elif not any(id(p) in logs for p in _lineage(place)):
            settled += _compared(place)
    guards = Guards(settled, [aliases for aliases in hidden if aliases])
    for aliases in hidden:
        for place in aliases:
            place.value = None  # fetched anew each time: the array of this time need not be kept
    return guards, [bool(a) for a in hidden]


def merged(places: Iterable[Place], others: Iterable[Place]) -> list[Place]:
    """All the places, each once."""
    known: dict[tuple[int, Get, Any], Place] = {}
    same: dict[int, Place] = {}
    result: list[Place] = []
    for place in (*places, *others):
        if place.parent is not None:
            place.parent = same[id(place.parent)]
        container = place.root if place.parent is None else place.parent
        found = known.setdefault((id(container), place.get, (type(place.key), place.key)), place)
        same[id(place)] = found
        if found is place:
            result.append(place)
    return result


def _unchanged(places: Iterable[Place]) -> tuple[list[Place], set[int]]:
    """The places that still lead to what they led to, and the containers among them that gained or
    lost something.
    """
    kept: list[Place] = []
    values: dict[int, Any] = {}
    logs: set[int] = set()
    for place in places:
        if place.parent is not None and id(place.parent) not in values:
            continue
        try:
            now = _look(place, values)
        except Exception:  # as in `fetch`: the function has removed it
            continue
        fits = now is place.value if place.mode in (ARRAY, THROUGH) else place.fits(now)
        if fits:
            values[id(place)] = now
            kept.append(place)
        elif place.mode == TOKEN and place.parent is not None:
            logs.add(id(place.parent))
    return kept, logs


def _lineage(place: Place) -> Iterator[Place]:
    """The place and those that it is reached through."""
    at: Place | None = place
    while at is not None:
        yield at
        at = at.parent


def _compared(place: Place) -> list[Place]:
    """How a place is checked. An array that did not enter the graph may have been used by Python or
    NumPy code.
    """
    if place.mode != ARRAY:
        return [place]
    if isinstance(place.value, np.ndarray):
        place.mode = THROUGH
        token = content_token(place.value, None)
        return [place, Place(place, None, content_token, None, token, place.path, TOKEN)]
    place.mode = SAME if isinstance(place.value, Array) else OBJECT
    return [place]


# ---- ways to get --------------------------------------------------------------------------------


def length(container: Any, _: Any) -> int:
    """How many elements a list has."""
    return len(container)


def keys(container: Any, _: Any) -> tuple[Any, ...]:
    """The keys of a dict in order."""
    return tuple(container)


def contents(container: Any, _: Any) -> tuple[Any, ...]:
    """The keys, elements and their types of a container of numbers and strings."""
    values = container.values() if isinstance(container, dict) else container
    return (tuple(container), tuple(map(_plain, values)))


def _plain(x: Any) -> Any:
    return (type(x), repr(x)) if isinstance(x, (float, complex)) else (type(x), x)


def identities(container: Any, _: Any) -> tuple[int, ...]:
    """Which objects a container holds."""
    return tuple(map(id, container.values() if isinstance(container, dict) else container))


def elements(container: Any, _: Any) -> frozenset[Any]:
    """The elements of a set."""
    return frozenset(container)


def content_token(array: Any, _: Any) -> tuple[Any, ...]:
    """Equal for arrays of one dtype, shape and content, bit for bit."""
    values = np.asarray(array)
    data = values.tobytes()
    if len(data) > _SMALL_BYTES:
        data = key_of(data)
    return (values.dtype, values.shape, getattr(array, "weak_type", False), data)
