"""Arrays in a notebook: what they are, how their numbers spread, and a picture where one helps.

In: arrays at hand. Out: HTML, and the same as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jitml.display import html, pictures
from jitml.display.statistics import Statistics, statistics_of
from jitml.hardware import typeof
from jitml_runtime.shortage import size_text

_SMALL = 48  # elements; they are shown one by one, which says enough
_PICTURE_SIDE = 192  # pixels on the page that a small picture is blown up to
_WIDTH, _HEIGHT = 240, 60  # of a histogram


def array_html(array: Any) -> str:
    """Type, size and device; a histogram, a picture if it looks like one, and the numbers."""
    if array.is_deleted():
        return html.page(html.dim(repr(array)))
    values = np.asarray(array)
    type_, *others = _headline(array)
    heading = html.title(
        html.element("span", type_, class_="m"), html.dim("".join(f" · {x}" for x in others))
    )
    numbers = html.code(str(array))
    if values.size <= 1:
        return html.page(heading, numbers)
    statistics = statistics_of(values)
    if values.size <= _SMALL:
        return html.page(heading, numbers, _facts_html(values, statistics))
    picture = _picture(values, statistics)
    shown = html.row(*([picture] if picture else []), _spread(values, statistics))
    return html.page(heading, shown, html.fold("values", numbers))


def array_text(array: Any) -> str:
    """What `repr` says, and for arrays that it shows in part what the HTML says of the whole."""
    if array.is_deleted() or array.size <= _SMALL:
        return repr(array)
    values = np.asarray(array)
    facts = [f"{name} {value}" for name, value, _ in _facts(values, statistics_of(values))]
    return f"{array!r}\n{' · '.join([*_headline(array), *facts])}"


def _headline(array: Any) -> list[str]:
    return [str(typeof(array)), size_text(array.nbytes), f"on {array.device}"]


def _facts(values: Any, statistics: Statistics) -> Iterator[tuple[str, str, bool]]:
    """Name, value, and whether it is a bad sign."""
    magnitudes = "|x| " if values.dtype.kind == "c" else ""
    if values.dtype.kind == "b":
        yield "true", f"{values.size - statistics.zeros * statistics.every:,}", False
    elif statistics.low is not None and statistics.mean is not None:
        yield f"{magnitudes}min", _number(statistics.low), False
        yield f"{magnitudes}mean", _number(statistics.mean), False
        yield f"{magnitudes}max", _number(statistics.high), False
    if statistics.nans:
        yield "NaN", f"{statistics.nans:,}", True
    if statistics.infinities:
        yield "inf", f"{statistics.infinities:,}", True
    if statistics.zeros and values.dtype.kind != "b":
        yield "zeros", f"{statistics.zeros:,}", False
    if statistics.every > 1:
        yield "counted", f"one element in {statistics.every}", False


def _number(x: Any) -> str:
    return f"{x:,}" if isinstance(x, int) and abs(x) < 10**15 else f"{x:.5g}"


def _facts_html(values: Any, statistics: Statistics) -> html.Markup:
    facts = [
        html.element("span", html.dim(name, " "), html.bad(value) if is_bad else value)
        for name, value, is_bad in _facts(values, statistics)
    ]
    return html.element("div", html.join(facts, " · "))


def _spread(values: Any, statistics: Statistics) -> html.Markup:
    """The facts, and the histogram under them."""
    has_bars = statistics.counts and values.dtype.kind != "b"
    drawn = _histogram(statistics) if has_bars else ""
    return html.join([_facts_html(values, statistics), drawn])


def _histogram(statistics: Statistics) -> html.Markup:
    counts, most = statistics.counts, max(statistics.counts)
    width = _WIDTH / len(counts)
    bars = [
        html.rect(
            round(n * width, 1),
            round(_HEIGHT * (1 - count / most), 1),
            max(width - 1, 0.5),
            round(_HEIGHT * count / most, 1),
        )
        for n, count in enumerate(counts)
        if count
    ]
    base = html.rect(0, _HEIGHT, _WIDTH, 1, html.SOFT)
    ends = (
        html.text(0, _HEIGHT + 12, _number(statistics.low)),
        html.text(_WIDTH, _HEIGHT + 12, _number(statistics.high), anchor="end"),
    )
    return html.svg(_WIDTH, _HEIGHT + 15, *bars, base, *ends)


def _picture(values: Any, statistics: Statistics) -> html.Markup | None:
    """The array as an image, or as a heat map with its scale."""
    pixels = pictures.image_of(values, statistics)
    if pixels is not None:
        height, width = pixels.shape[:2]
        scale = max(1, _PICTURE_SIDE // max(height, width))
        return html.image(pixels, width * scale, height * scale, alt="the array as an image")
    pixels = pictures.heat_map_of(values, statistics)
    if pixels is None:
        return None
    height, width = (_side(size) for size in pixels.shape[:2])
    drawn = html.image(pixels, width, height, alt="heat map")
    return html.join([drawn, html.element("div", *_scale(statistics))])


def _side(size: int) -> int:
    """How long a side of a heat map is on the page: whole pixels for an element, 24 at most."""
    return size * min(24, max(1, _PICTURE_SIDE // size))


def _scale(statistics: Statistics) -> Iterator[html.Markup]:
    """Which colours stand for which numbers."""
    low, high = pictures.scale_of(statistics)
    colours = pictures.coloured(np.linspace(0, 1, 64)[None], pictures.has_two_signs(statistics))
    yield html.dim(_number(low), " ")
    yield html.image(colours, 64, 8, alt="scale")
    yield html.dim(" ", _number(high))
