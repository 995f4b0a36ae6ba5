"""Small charts of curves, as SVG.

In: curves, each a name with steps and values. Out: a drawing with axes' ends, logarithmic where
the values ask for it. Must not know what the curves are of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.display import html

_MOST_POINTS = 60  # of one curve; more are taken together
_LEFT, _TOP, _BOTTOM = 52, 6, 16  # margins
_LOGARITHMIC = 30  # the ratio of the largest to the smallest value from which on the axis is so

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


class _Line(NamedTuple):
    """A curve, thinned: the mean, the least and the largest value of each group of steps."""

    steps: Any
    mean: Any
    low: Any
    high: Any


def chart(
    title: str,
    curves: Curves,
    width: int = 226,
    height: int = 120,
    number: Callable[[float], str] = "{:.3g}".format,
) -> html.Markup:
    """A chart of curves `name -> (steps, values)`; what is not finite is left out."""
    lines = {name: line for name, c in curves.items() if (line := _thinned(*c)) is not None}
    heading = html.element("div", html.element("b", title), *_legend(list(lines), title))
    if not lines:
        return html.join([heading, html.svg(width, height)])
    low = min(float(line.low.min()) for line in lines.values())
    high = max(float(line.high.max()) for line in lines.values())
    is_logarithmic = low > 0 and high / low > _LOGARITHMIC
    first = min(float(line.steps[0]) for line in lines.values())
    last = max(float(line.steps[-1]) for line in lines.values())
    across = _scale(first, last, _LEFT, width - 6)
    up = _scale(low, high, height - _BOTTOM, _TOP, math.log if is_logarithmic else float)
    drawn = [x for n, line in enumerate(lines.values()) for x in _drawn(line, across, up, n)]
    return html.join([heading, html.svg(width, height, *_frame(width, height), *drawn,
        html.text(_LEFT - 4, _TOP + 8, number(high), "end"),
        html.text(_LEFT - 4, height - _BOTTOM, number(low), "end"),
        html.text(_LEFT, height - 4, f"{first:g}"),
        html.text(width - 6, height - 4, f"{last:g}", "end"),
        html.text((width + _LEFT) / 2, height - 4, "log scale" if is_logarithmic else "", "middle"),
    )])  # fmt: skip


def _thinned(steps: Sequence[float], values: Sequence[float]) -> _Line | None:
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if not y.size:
        return None
    starts = np.arange(0, y.size, math.ceil(y.size / _MOST_POINTS))
    sizes = np.diff(np.append(starts, y.size))
    mean = np.add.reduceat(y / np.repeat(sizes, sizes), starts)
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    places = np.append(x[starts[:-1]], x[-1])  # so that it spans all steps
    return _Line(places, mean, low, high)


def _scale(
    low: float, high: float, begin: float, end: float, by: Callable[[float], float] = float
) -> Callable[[Any], Any]:
    """The map of numbers from `low` to `high` to pixels from `begin` to `end`."""
    least, most = by(low) / 2, by(high) / 2  # halves: their distance is finite
    size = (most - least) or 1.0
    level = 0.5 if most == least else 0.0

    def place(x: Any) -> Any:
        values = np.log(x) if by is math.log else np.asarray(x)
        return begin + (end - begin) * np.clip((values / 2 - least) / size + level, 0, 1)

    return place


def _drawn(line: _Line, across: Any, up: Any, number: int) -> list[html.Markup]:
    colour = html.COLOURS[number % len(html.COLOURS)]
    x, y, found = across(line.steps), up(line.mean), []
    if (line.low < line.high).any():
        there_and_back = np.append(x, x[::-1]), np.append(up(line.high), up(line.low)[::-1])
        found.append(html.area(*there_and_back, colour, stroke="none", opacity=0.2))
    if x.size == 1:
        return [html.rect(float(x[0]) - 2, float(y[0]) - 2, 4, 4, colour)]
    return [*found, html.polyline(x, y, colour)]


def _frame(width: int, height: int) -> list[html.Markup]:
    return [
        html.rect(_LEFT, _TOP, 1, height - _BOTTOM - _TOP, html.SOFT),
        html.rect(_LEFT, height - _BOTTOM, width - _LEFT - 6, 1, html.SOFT),
    ]


def _legend(names: list[str], title: str) -> list[html.Markup]:
    if names in ([], [title]):
        return []
    return [
        html.element("span", f" ● {name}", style=f"color:{html.COLOURS[n % len(html.COLOURS)]}")
        for n, name in enumerate(names)
    ]
