"""The variables that blocks of rewritten code share: read, set, and put back.

In: the functions that blocks have become. Out: the values of their variables; lists and dicts that
these hold are put back as well, being the same objects before and after. Must not know: graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import CellType
from typing import Any

from jitml.ir.errors import UnassignedVariableError
from jitml.ir.source import user_source


class Unassigned:
    """Stands for a variable that only some ways through the program have assigned."""

    def __init__(self, message: str) -> None:
        self.message = message

    def refuse(self) -> None:
        """Raise, for the variable is read."""
        raise UnassignedVariableError(self.message, hint="assign it before", source=user_source())


ABSENT: Any = object()  # the value of a variable that has none


class Variables:
    """The variables of some blocks: those named, which blocks assign, and those that hold lists or
    dicts, which blocks may change.
    """

    def __init__(
        self,
        blocks: Sequence[Callable[..., Any]],
        names: Iterable[str],
        doubtful: Iterable[str] = (),
        cells: Mapping[str, CellType] | None = None,
    ) -> None:
        self._cells: dict[str, CellType] = dict(cells or {})
        for block in blocks:
            code: Any = block.__code__
            self._cells.update(zip(code.co_freevars, block.__closure__ or (), strict=True))
        self.assigned = tuple(names)
        self.doubtful = frozenset(doubtful)
        held = [n for n in self._cells if isinstance(self.get(n), (list, dict))]
        self.names = tuple(dict.fromkeys([*self.assigned, *held]))
        self._before = {name: self.get(name) for name in self._cells}
        self._containers = [
            (x, dict(x) if isinstance(x, dict) else list(x))
            for x in _containers([self._before[n] for n in self._cells], set())
        ]

    def get(self, name: str) -> Any:
        """The value of a variable now, or ABSENT."""
        try:
            return self._cells[name].cell_contents
        except ValueError:
            return ABSENT

    def before(self, name: str) -> Any:
        """The value of a variable before any block ran."""
        return self._before[name]

    def set(self, name: str, value: Any) -> None:
        """Give a variable a value; a list or dict that it holds stays the same object."""
        cell = self._cells[name]
        if value is ABSENT:
            if self.get(name) is not ABSENT:
                del cell.cell_contents
            return
        now = self.get(name)
        if isinstance(now, (list, dict)) and type(now) is type(value):
            write_into(now, value)
        else:
            cell.cell_contents = value

    def restore(self) -> None:
        """Give all variables, lists and dicts the values from before any block ran."""
        for name, value in self._before.items():
            cell = self._cells[name]
            if value is not ABSENT:
                cell.cell_contents = value
            elif self.get(name) is not ABSENT:
                del cell.cell_contents
        for container, content in self._containers:
            _refill(container, content)


def _containers(values: Iterable[Any], seen: set[int]) -> Iterator[Any]:
    """The lists and dicts among values and within them, each once."""
    for value in values:
        if not isinstance(value, (list, dict, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        if not isinstance(value, tuple):
            yield value
        yield from _containers(value.values() if isinstance(value, dict) else value, seen)


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, dict):
        container.clear()
        container.update(content)
    else:
        container[:] = content


def write_into(container: Any, content: Any) -> None:
    """Give a list or dict, and those inside of it, another content."""
    if isinstance(container, dict):
        inside = {k: _kept(container.get(k), v) for k, v in content.items()}
        _refill(container, inside)
        return
    known = [*container, *[None] * len(content)]
    container[:] = [_kept(a, b) for a, b in zip(known, content, strict=False)]


def _kept(now: Any, new: Any) -> Any:
    if now is not new and isinstance(now, (list, dict)) and type(now) is type(new):
        write_into(now, new)
        return now
    return new
