"""Why a jitted function is traced again: what differs from the trace that is nearest, and how to
avoid it.

In: for each trace its signature, and what had changed of what earlier traces read. Out: `Retrace`s
as data, and two lines on the logger "jitml" at the second retrace of a function, the fourth, the
eighth, ….
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from jitml.guards import Change
from jitml.ir.source import file_name
from jitml.ir.types import ArrayType
from jitml.signature import StaticValue, name_of
from jitml.tree_structure import Structure

_MOST_KEPT = 64  # traces of one function that a new one is compared with
_FEW = 4  # so often the same code may be passed to jit for one signature
_LONGEST = 40  # characters of a value

_HINTS = {
    "shape": "pad {} to one shape, or leave the odd one out",
    "rank": "reshape {} to one rank before the call",
    "dtype": "convert {} to one dtype before the call",
    "weak type": "pass {} as an array of one dtype each time, not as a Python number",
    "structure": "pass containers of one structure each time, and arguments in one way",
    "static": "leave {} out of the static arguments if it takes many values",
    "value": "pass {} as an argument if it changes often",
    "x64": "call it under one setting of x64",
    "axes": "call it under the same named axes",
    "cache": "clear caches less often",
    "jit": "call jit once, outside of the loop, and keep what it returns",
}


class Retrace(NamedTuple):
    """One reason for which a function was traced again.

    `argument` is the path of an argument, or of a value that the function reads; `kind` is one of
    "shape", "rank", "dtype", "weak type", "structure", "static", "value", "x64", "axes", "cache"
    (it was cleared) and "jit" (the same code was passed to `jit` anew); `seconds` is what tracing
    and compiling took.
    """

    argument: str
    kind: str
    before: str
    after: str
    seconds: float = 0.0

    @property
    def hint(self) -> str:
        """How to avoid it."""
        return _HINTS[self.kind].format(self.argument)

    def __str__(self) -> str:
        return f"{self.argument} was {self.before}, now {self.after}"


class Signature(NamedTuple):
    """What one trace was made for. `static` has names and values; `modes` are the setting of x64
    and the named axes around.
    """

    structure: Structure
    paths: tuple[str, ...]
    types: tuple[Any, ...]
    static: dict[str, StaticValue]
    modes: tuple[Any, Any]


class Retraces:
    """The traces of one jitted function: `count` of them, which took `seconds`, and the reasons
    `found` for all but the first.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.found: list[Retrace] = []
        self.count = 0
        self.seconds = 0.0
        self._function = function
        self._signatures: list[Signature] = []
        self._lock = threading.Lock()

    def add(self, signature: Signature, changes: Sequence[Change], seconds: float) -> None:
        """Note a trace; `changes` tells what had changed of what earlier ones for this very
        signature had read.
        """
        with self._lock:
            self.count += 1
            self.seconds += seconds
            told = (self.count, self.seconds)
            reasons = [Retrace(c.path, "value", c.before, c.after) for c in changes[-1:]]
            if self.count == 1:
                told, reasons = _made_anew(self._function, signature, seconds)
            reasons = [
                r._replace(seconds=seconds, before=_short(r.before), after=_short(r.after))
                for r in reasons or self._nearest(signature)
            ]
            self.found = [*self.found, *reasons][-_MOST_KEPT:]
            if signature not in self._signatures:
                self._signatures = [*self._signatures, signature][-_MOST_KEPT:]
        retraces = told[0] - 1
        is_told = retraces >= 2 and retraces & (retraces - 1) == 0
        if is_told and reasons and reasons[0].kind != "cache":
            _tell(self._function, *told, reasons)

    @property
    def signatures(self) -> list[Signature]:
        """What the latest traces were made for, each once."""
        return list(self._signatures)

    def _nearest(self, signature: Signature) -> list[Retrace]:
        """What differs from the earlier trace from which the least does."""
        found = [list(_differences(earlier, signature)) for earlier in self._signatures[::-1]]
        least = min(found, key=len, default=[])
        return least or [Retrace("the cache", "cache", "filled", "cleared") for _ in found[:1]]


# ---- what differs --------------------------------------------------------------------------------


def _differences(before: Signature, now: Signature) -> Iterator[Retrace]:
    if before.structure != now.structure:
        yield _different_structure(before, now)
    else:
        for path, old, new in zip(now.paths, before.types, now.types, strict=True):
            if old != new:
                yield Retrace(path, _kind_of_difference(old, new), _type(old), _type(new))
    for name, static in now.static.items():
        if before.static.get(name) != static:
            earlier = before.static.get(name)
            text = "not given" if earlier is None else repr(earlier.value)
            yield Retrace(name, "static", text, repr(static.value))
    for kind, old, new in zip(("x64", "axes"), before.modes, now.modes, strict=True):
        if old != new:
            yield Retrace("x64" if kind == "x64" else "named axes", kind, str(old), str(new))


def _different_structure(before: Signature, now: Signature) -> Retrace:
    """The first place that only one of two signatures has."""
    for path in now.paths:
        if path not in before.paths:
            return Retrace(path, "structure", "not there", "given")
    for path in before.paths:
        if path not in now.paths:
            return Retrace(path, "structure", "given", "not there")
    return Retrace("the arguments", "structure", str(before.structure), str(now.structure))


def _kind_of_difference(old: Any, new: Any) -> str:
    if len(old[1]) != len(new[1]):
        return "rank"
    if old[1] != new[1]:
        return "shape"
    return "dtype" if old[0] != new[0] else "weak type"


def _type(type_: Any) -> str:
    return str(ArrayType(*type_))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ---- functions that are jitted anew --------------------------------------------------------------


class _Made:
    """The first traces of jitted functions of one code: how many by signature, and their time."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.seconds = 0.0


_MADE: WeakKeyDictionary[CodeType, _Made] = WeakKeyDictionary()


def _made_anew(
    function: Any, signature: Signature, seconds: float
) -> tuple[tuple[int, float], list[Retrace]]:
    """How many jitted functions of the same code were traced for this signature, the time that
    took, and the reason where there were others.
    """
    code = _code_of(function)
    if code is None:
        return (1, seconds), []
    made = _MADE.setdefault(code, _Made())
    static = [hash(x) for x in signature.static.values()]  # not the values: they may be large
    key = (signature.structure, signature.types, *static)
    count = made.counts.pop(key, 0) + 1
    if len(made.counts) >= _MOST_KEPT:
        made.counts.clear()
    made.counts[key] = count
    made.seconds += seconds
    reasons = [Retrace("jit", "jit", "called for the same code", "called again")]
    return (count, made.seconds), reasons if count > _FEW else []


def _code_of(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code if isinstance(code, CodeType) else None


# ---- what users are told -------------------------------------------------------------------------


def _tell(function: Any, count: int, seconds: float, reasons: Sequence[Retrace]) -> None:
    import logging

    code, first = _code_of(function), reasons[0]
    where = f" ({file_name(code.co_filename)}:{code.co_firstlineno})" if code else ""
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    logging.getLogger("jitml").warning(
        f"jitml: {name_of(function)}{where} has been traced {count} times, {seconds:.2f} s so far: "
        f"{first}{more}\n  hint: {first.hint}"
    )
