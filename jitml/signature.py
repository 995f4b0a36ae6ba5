"""Which of a function's arguments are static or donated: positions and names, each completed by the
other; and values of static arguments, as parts of a signature.

In: a function and what `jit` was told. Out: `Chosen` arguments. Raises where the function has no
such argument.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitml.guards import is_equal
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.recording import argument_names
from jitml.trace.core import Tracer
from jitml_runtime import Array
from jitml_runtime.record import frozen


@frozen
class Chosen:
    """Arguments by position (negative: from the end of those given) and by name."""

    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def positions(self, count: int) -> list[int]:
        """The positions among `count` positional arguments, in order."""
        found = {n + count if n < 0 else n for n in self.numbers}
        return sorted(n for n in found if 0 <= n < count)


NONE_CHOSEN = Chosen()


def choose_arguments(
    fun: Callable[..., Any],
    numbers: int | Sequence[int] | None,
    names: str | Iterable[str] | None,
    option: str,
) -> Chosen:
    """The arguments that `numbers` and `names` of the option "static" or "donate" mean."""
    if numbers is None and names is None:
        return Chosen()
    given = _integers(numbers, f"{option}_argnums")
    named = _strings(names, f"{option}_argnames")
    known = _parameters(fun)
    if known is None:
        return Chosen(tuple(given), tuple(named))
    positions = [_position(n, known, f"{option}_argnums") for n in given]
    for name in named:
        _check_name(name, known, f"{option}_argnames")
    by_name = [known.positional.index(n) for n in named if n in known.positional]
    by_number = [
        known.positional[n] for n in positions if known.positional_only <= n < len(known.positional)
    ]
    return Chosen(
        tuple(dict.fromkeys([*positions, *by_name])), tuple(dict.fromkeys([*named, *by_number]))
    )


@frozen
class _Parameters:
    name: str
    positional: list[str]
    positional_only: int
    by_keyword: list[str]
    takes_more: bool
    takes_any_keyword: bool


def _parameters(fun: Callable[..., Any]) -> _Parameters | None:
    import inspect

    try:
        found = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):  # a callable that does not tell
        return None
    kinds = inspect.Parameter
    positional = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    return _Parameters(
        getattr(fun, "__name__", type(fun).__name__),
        [p.name for p in found if p.kind in positional],
        sum(p.kind is kinds.POSITIONAL_ONLY for p in found),
        [p.name for p in found if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)],
        any(p.kind is kinds.VAR_POSITIONAL for p in found),
        any(p.kind is kinds.VAR_KEYWORD for p in found),
    )


def _position(number: int, known: _Parameters, option: str) -> int:
    count = len(known.positional)
    if known.takes_more:
        return number
    if not -count <= number < count:
        raise ArgumentError(
            f"jit: {option} has {number}, but {known.name} takes {count} positional arguments",
            hint=f"positions run from {-count} to {count - 1}" if count else "leave it out",
            source=user_source(),
        )
    return number % count


def _check_name(name: str, known: _Parameters, option: str) -> None:
    if name not in known.by_keyword and not known.takes_any_keyword:
        raise ArgumentError(
            f"jit: {option} has {name!r}, but {known.name} has no such argument",
            hint=f"its arguments are {', '.join(known.by_keyword) or 'not passed by name'}",
            source=user_source(),
        )


def _integers(numbers: int | Sequence[int] | None, option: str) -> list[int]:
    import operator

    given = (
        [] if numbers is None else [numbers] if not hasattr(numbers, "__iter__") else list(numbers)
    )
    try:
        return [operator.index(n) for n in given]
    except TypeError:
        raise ArgumentError(
            f"jit: {option} must be an integer or a sequence of integers, not {numbers!r}",
            hint=f"name arguments with {option.replace('nums', 'names')}",
            source=user_source(),
        ) from None


def _strings(names: str | Iterable[str] | None, option: str) -> list[str]:
    given = [] if names is None else [names] if isinstance(names, str) else list(names)
    if not all(isinstance(n, str) for n in given):
        raise ArgumentError(
            f"jit: {option} must be a string or a sequence of strings, not {names!r}",
            hint=f"give positions with {option.replace('names', 'nums')}",
            source=user_source(),
        )
    return given


def name_of(fun: Callable[..., Any]) -> str:
    """How messages call a function."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    return str(getattr(fun, "__name__", type(fun).__name__))


class StaticValue:
    """A static argument at `key` (a position or a name): compared by type and value."""

    __slots__ = ("_hash", "key", "value")

    def __init__(self, key: int | str, value: Any, fun: Callable[..., Any]) -> None:
        self.key = key
        self.value = value
        try:
            self._hash = hash((key, value))
        except TypeError:
            name = key if isinstance(key, str) else argument_names(fun, key + 1)[key]
            raise ArgumentError(
                f"jit: the static argument {name} of {name_of(fun)} is an unhashable "
                f"{type(value).__name__}",
                hint="arrays cannot be static: pass it as a traced argument, or a Python number"
                if isinstance(value, (Array, Tracer, np.ndarray))
                else "pass it as a tuple or another hashable value, or do not make it static",
                source=user_source(),
            ) from None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StaticValue) or self.key != other.key:
            return False
        same = self.value is other.value
        return same or (type(self.value) is type(other.value) and is_equal(self.value, other.value))
