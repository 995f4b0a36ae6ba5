"""Trees of arrays as an outline: what each branch holds, and how much.

In: a tree. Out: HTML with a foldable section for each branch, and the same as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jitml.display import html
from jitml.tree_registry import NODES
from jitml_runtime.shortage import size_text

_MOST_CHILDREN = 40  # of one branch that are shown
_MOST_LINES = 500  # in all
_ALL_OPEN = 24  # lines; of larger trees the first level alone is open
_LONGEST_VALUE = 60  # characters of a leaf that is no array


class _Branch(NamedTuple):
    """A node or leaf of a tree. `says` is its type; totals are of all leaves below."""

    name: str
    says: str
    children: tuple[_Branch, ...]
    arrays: int
    elements: int
    size_bytes: int

    @property
    def line(self) -> str:
        return " · ".join([f"{self.name} {self.says}".strip(), *self.totals()])

    def totals(self) -> Iterator[str]:
        """What is below, in words."""
        if self.children:
            yield f"{self.arrays:,} arrays" if self.arrays != 1 else "1 array"
            yield f"{self.elements:,} numbers"
        if self.arrays:
            yield size_text(self.size_bytes)


class Outline:
    """What `tree` returns: it shows itself."""

    def __init__(self, root: Any) -> None:
        self._root = _branch("", root)

    def __repr__(self) -> str:
        lines = list(_text_lines(self._root, 0))
        kept = lines[:_MOST_LINES]
        return "\n".join([*kept, *_more(len(lines) - len(kept), "line")])

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        lines = _count_lines(self._root)
        return html.page(_section(self._root, 0, lines <= _ALL_OPEN, [_MOST_LINES]))


def tree(root: Any) -> Outline:
    """The outline of a tree of arrays: types, shapes, numbers and bytes of every branch. In a
    notebook its branches fold.

    >>> import jitml.numpy as jnp
    >>> tree({"w": jnp.ones((3, 2)), "b": [jnp.zeros(2)]})
    dict · 2 arrays · 8 numbers · 32 bytes
      ['b'] list · 1 array · 2 numbers · 8 bytes
        [0] float32[2] · 8 bytes
      ['w'] float32[3,2] · 24 bytes
    """
    return Outline(root)


def _branch(name: str, x: Any) -> _Branch:
    kind = NODES.get(type(x))
    if kind is None:
        return _leaf(name, x)
    children, _ = kind.flatten(x)
    below = tuple(
        _branch(str(key), child) for key, child in zip(kind.keys(x), children, strict=True)
    )
    says = "None" if x is None else type(x).__name__
    arrays, elements, size_bytes = (
        sum(getattr(child, total) for child in below)
        for total in ("arrays", "elements", "size_bytes")
    )
    return _Branch(name, says, below, arrays, elements, size_bytes)


def _leaf(name: str, x: Any) -> _Branch:
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if not isinstance(shape, tuple) or not hasattr(dtype, "itemsize"):
        return _Branch(name, _short(repr(x)), (), 0, 0, 0)
    says = f"{getattr(dtype, 'name', dtype)}[{','.join(map(str, shape))}]"
    if isinstance(x, np.generic):
        says += f" {x}"
    size = math.prod(shape)
    return _Branch(name, says, (), 1, size, size * int(getattr(dtype, "itemsize", 0)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


def _count_lines(branch: _Branch) -> int:
    return 1 + sum(_count_lines(child) for child in branch.children)


def _text_lines(branch: _Branch, depth: int) -> Iterator[str]:
    yield "  " * depth + branch.line
    for child in branch.children[:_MOST_CHILDREN]:
        yield from _text_lines(child, depth + 1)
    for text in _more(len(branch.children) - _MOST_CHILDREN, "branch", "branches"):
        yield "  " * (depth + 1) + text


def _more(count: int, what: str, many: str = "") -> list[str]:
    return [f"… {count:,} more {what if count == 1 else many or what + 's'}"] if count > 0 else []


def _section(branch: _Branch, depth: int, is_open: bool, left: list[int]) -> html.Markup:
    """A branch in HTML; `left` counts the lines that may still be shown."""
    left[0] -= 1
    totals = "".join(f" · {total}" for total in branch.totals())
    line = html.join(
        [html.element("b", branch.name), " ", html.element("span", branch.says, class_="m")]
    )
    line = html.join([line, html.dim(totals)])
    if not branch.children:
        return html.element("div", line)
    shown: list[object] = []
    for child in branch.children[:_MOST_CHILDREN]:
        if left[0] > 0:
            shown.append(_section(child, depth + 1, is_open, left))
    rest = _more(len(branch.children) - len(shown), "branch", "branches")
    shown += [html.element("div", html.dim(text)) for text in rest]
    return html.fold(line, *shown, is_open=is_open or depth == 0)
