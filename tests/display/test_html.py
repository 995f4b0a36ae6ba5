"""The pieces of HTML: what is text stays text, what is made is well formed, images read back."""

from __future__ import annotations

import doctest
import io
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from jitml.display import html


class Balance(HTMLParser):
    """Every element that begins ends, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in {"img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_examples() -> None:
    found = doctest.testmod(html)
    assert (found.failed, found.attempted) == (0, 2)


def test_text_is_escaped_and_markup_is_not() -> None:
    hostile = "<script>alert('x & y')</script>"
    made = html.page(
        html.title(hostile),
        html.table([(hostile, html.bad(hostile))], (hostile, "b"), "mr"),
        html.fold(hostile, html.code(hostile), is_open=True),
        html.svg(10, 10, html.rect(0, 0, 1, 1, tip=hostile), html.text(1, 2, hostile)),
        html.bar(0.5, tip='"' + hostile),
    )
    assert "<script" not in made
    assert made.count("&lt;script&gt;") == 9
    tags = Balance(made).tags
    assert {"table", "details", "svg", "title", "text"} <= set(tags)
    assert "<details open>" in made


def test_a_bar_stays_within_its_frame() -> None:
    widths = [html.bar(share) for share in (-1.0, 0.25, 7.0, float("nan"))]
    assert ["width:0.0%" in w for w in widths] == [True, False, False, True]
    assert "width:25.0%" in widths[1]
    assert "width:100.0%" in widths[2]


def test_nothing_is_fetched_and_nothing_runs() -> None:
    made = html.page(html.image(np.zeros((2, 2), np.uint8)))
    assert "http" not in made
    assert "<script" not in made
    assert "@import" not in made


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_an_image_reads_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    read = matplotlib.image.imread(io.BytesIO(html.png(pixels)), format="png")
    assert (np.round(read * 255).astype(np.uint8) == pixels).all()
