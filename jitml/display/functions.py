"""Jitted functions in a notebook: where they are from, what they were compiled for, and why again.

In: the function, and what is known of its traces. Out: HTML, and the same as text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from jitml.display import html
from jitml.ir.source import file_name
from jitml.ir.types import ArrayType
from jitml.retraces import Retraces, Signature
from jitml.signature import name_of

_MOST_TYPES = 12  # arguments of one signature that are listed
_MOST_ROWS = 20  # signatures and retraces, the latest


def function_html(function: Callable[..., Any], retraces: Retraces) -> str:
    """Name, place, signatures that were compiled, and the reasons for more than one."""
    rows = [
        (n, html.element("div", _listed(signature), style="white-space:normal"))
        for n, signature in _numbered(retraces)
    ]
    parts = [html.table(rows, ("", "compiled for"), "rm")] if rows else []
    reasons = [
        (r.argument, r.kind, r.before, r.after, f"{r.seconds:.2f} s", r.hint)
        for r in retraces.found[-_MOST_ROWS:]
    ]
    if reasons:
        header = ("what changed", "kind", "before", "then", "cost", "how to avoid it")
        told = html.table(reasons, header, "mlmmrl")
        parts.append(html.fold("why it was traced again", told, is_open=True))
    heading = html.title("jitted ", html.element("span", name_of(function), class_="m"))
    return html.page(heading, html.dim(_counted(function, retraces)), *parts)


def function_text(function: Callable[..., Any], retraces: Retraces) -> str:
    """The same as lines."""
    return "\n".join(_lines(function, retraces))


def _lines(function: Callable[..., Any], retraces: Retraces) -> Iterator[str]:
    yield f"<jitted {name_of(function)}>"
    yield f"  {_counted(function, retraces)}"
    for number, signature in _numbered(retraces):
        yield f"  {number}: {_listed(signature)}"
    for reason in retraces.found[-_MOST_ROWS:]:
        yield f"  traced again, {reason.seconds:.2f} s: {reason}"
        yield f"    hint: {reason.hint}"


def _counted(function: Callable[..., Any], retraces: Retraces) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    place = f"{file_name(code.co_filename)}:{code.co_firstlineno}, " if code else ""
    if not retraces.count:
        return f"{place}not compiled yet"
    times = "once" if retraces.count == 1 else f"{retraces.count} times"
    return f"{place}traced and compiled {times} in {retraces.seconds:.2f} s"


def _numbered(retraces: Retraces) -> list[tuple[int, Signature]]:
    return list(enumerate(retraces.signatures, start=1))[-_MOST_ROWS:]


def _listed(signature: Signature) -> str:
    """`x: f32[3], axis=0`."""
    typed = [
        f"{path}: {ArrayType(*type_)}"
        for path, type_ in zip(signature.paths, signature.types, strict=True)
    ]
    more = [f"… {len(typed) - _MOST_TYPES} more"] if len(typed) > _MOST_TYPES else []
    static = [f"{name}={value.value!r:.40}" for name, value in signature.static.items()]
    return ", ".join([*typed[:_MOST_TYPES], *more, *static])
