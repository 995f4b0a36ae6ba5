"""Pieces of HTML: elements, tables, bars, foldable sections, small drawings, images.

In: text, numbers, and pieces made before. Out: `Markup`, text that goes into a page as it is;
any other text is escaped. `page` makes a whole: what a `_repr_html_` returns, with its style, which
takes the colours of the page around it (light or dark). Must not know what is shown.

>>> print(table([("x", 3)], header=("name", "size"), align="lr"))
<table><tr><th>name</th><th class="r">size</th></tr><tr><td>x</td><td class="r">3</td></tr></table>
>>> print(element("b", "1 < 2"))
<b>1 &lt; 2</b>
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape as _escape
from typing import Any

import numpy as np

# Colours of drawings, by number: they are told apart on light and on dark ground.
COLOURS = ("#3b7dd8", "#e0803a", "#3aa66b", "#c65b7c", "#8c6fd1", "#a08a3c")
SOFT = "color-mix(in srgb, currentColor 12%, transparent)"  # lines and grounds, in any theme

# The class stands twice, so that the rules of the page around it (JupyterLab's) are weaker.
_STYLE = """
.jitml{font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);color:inherit;
max-width:980px;overflow-x:auto}
.jitml.jitml table{border-collapse:collapse;margin:4px 0;font-size:12px;color:inherit;border:0}
.jitml.jitml tr,.jitml.jitml tr:nth-child(even){background:transparent}
.jitml.jitml th,.jitml.jitml td{padding:2px 8px;text-align:left;border:0;
border-bottom:1px solid SOFT;vertical-align:top;white-space:nowrap;max-width:none}
.jitml.jitml th{font-weight:600;opacity:.75}
.jitml.jitml .r{text-align:right;font-variant-numeric:tabular-nums}
.jitml.jitml .m,.jitml.jitml pre{font-size:12px;
font-family:var(--jp-code-font-family,ui-monospace,monospace)}
.jitml.jitml pre{margin:4px 0;padding:6px 8px;background:SOFT;color:inherit;border-radius:4px;
overflow:auto;white-space:pre;line-height:1.35;max-height:420px}
.jitml.jitml .dim{opacity:.65}
.jitml.jitml .bad{color:var(--jp-error-color1,#d32f2f);font-weight:600}
.jitml.jitml .title{font-weight:600;margin:2px 0}
.jitml.jitml .row{display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start}
.jitml.jitml details{margin:1px 0}
.jitml.jitml details>:not(summary){margin-left:18px}
.jitml.jitml summary{cursor:pointer}
.jitml.jitml .bar{display:inline-block;width:90px;height:9px;background:SOFT;border-radius:2px;
vertical-align:middle;overflow:hidden}
.jitml.jitml .bar i{display:block;height:100%}
.jitml.jitml svg text{fill:currentColor;font-size:10px}
.jitml.jitml img{image-rendering:pixelated;max-width:100%;background:none;margin:0}
""".replace("SOFT", SOFT).replace("\n", "")

Pixels = np.ndarray[Any, np.dtype[np.float64]]  # of several points

_WITHOUT_END = frozenset({"br", "img"})
_NAMES = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}
_has_signs = re.compile("[&<>\"']").search


class Markup(str):
    """HTML that is put in as it is."""

    __slots__ = ()


def escape(content: object) -> Markup:
    """The content as HTML: `Markup` as it is, anything else as text with its signs escaped."""
    return content if isinstance(content, Markup) else Markup(_escaped(str(content)))


def _escaped(text: str) -> str:
    return _escape(text) if _has_signs(text) else text


def join(contents: Iterable[object], between: str = "") -> Markup:
    """The contents one after another."""
    return Markup(str(escape(between)).join([escape(content) for content in contents]))


def element(tag: str, *contents: object, **attributes: object) -> Markup:
    """`<tag …>contents</tag>`. Attributes: `class_` is class, `stroke_width` stroke-width; one
    that is None or False is left out, one that is True stands without a value.
    """
    text = "".join([_attribute(*pair) for pair in attributes.items()])
    end = "" if tag in _WITHOUT_END else f"</{tag}>"
    return Markup(f"<{tag}{text}>{join(contents)}{end}")


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {_NAMES.get(name, name)}="{_escaped(str(value))}"'


def page(*contents: object) -> Markup:
    """A whole, with its style: what `_repr_html_` returns."""
    return element("div", element("style", Markup(_STYLE)), *contents, class_="jitml")


def title(*contents: object) -> Markup:
    """A line in bold."""
    return element("div", *contents, class_="title")


def dim(*contents: object) -> Markup:
    """Contents that stand back."""
    return element("span", *contents, class_="dim")


def bad(*contents: object) -> Markup:
    """Contents that tell of something wrong."""
    return element("span", *contents, class_="bad")


def code(text: object) -> Markup:
    """Lines of a program or a graph; `Markup` within them keeps its elements."""
    return element("pre", text)


def row(*contents: object) -> Markup:
    """Contents side by side, in as many lines as they need."""
    return element("div", *[element("div", content) for content in contents], class_="row")


def fold(summary: object, *contents: object, is_open: bool = False, **attributes: object) -> Markup:
    """A section that a click on its summary opens and closes."""
    return element("details", element("summary", summary), *contents, open=is_open, **attributes)


def table(
    rows: Iterable[Sequence[object]], header: Sequence[object] = (), align: str = ""
) -> Markup:
    """A table. `align` has a letter for each column: `l`, `r` (right, for numbers) or `m` (left, in
    the type of code).
    """
    lines = [_table_row("th", header, align.replace("m", "l"))] if header else []
    lines += [_table_row("td", cells, align) for cells in rows]
    return element("table", *lines)


def _table_row(tag: str, cells: Sequence[object], align: str) -> Markup:
    kinds = align.ljust(len(cells), "l")
    return element(
        "tr",
        *[
            element(tag, cell, class_=None if kind == "l" else kind)
            for cell, kind in zip(cells, kinds, strict=False)
        ],
    )


def bar(share: float, colour: str = COLOURS[0], tip: str | None = None) -> Markup:
    """A bar that is full to a share, from 0 to 1."""
    percent = 100 * min(max(share, 0.0), 1.0) if share == share else 0.0
    filled = element("i", style=f"width:{percent:.1f}%;background:{colour}")
    return element("span", filled, class_="bar", title=tip)


# ---- drawings -------------------------------------------------------------------------------


def svg(width: float, height: float, *contents: object) -> Markup:
    """A drawing of a size in pixels; y points down."""
    return element(
        "svg", *contents, width=width, height=height, viewbox=f"0 0 {width:g} {height:g}"
    )


def rect(
    x: float, y: float, width: float, height: float, fill: str = COLOURS[0], tip: str | None = None
) -> Markup:
    """A filled rectangle; `tip` is shown when the mouse rests on it."""
    inner = () if tip is None else (element("title", tip),)
    return element("rect", *inner, x=x, y=y, width=width, height=height, fill=fill)


def text(x: float, y: float, content: object, anchor: str = "start") -> Markup:
    """Text from a point on; with `anchor` it ends (`end`) or is centred (`middle`) there."""
    return element("text", content, x=x, y=y, text_anchor=anchor)


def polyline(x: Pixels, y: Pixels, stroke: str = COLOURS[0]) -> Markup:
    """A line through points."""
    return element("polyline", fill="none", stroke=stroke, stroke_width=15, **_tenths(x, y))


def area(
    x: Pixels,
    y: Pixels,
    fill: str = COLOURS[0],
    stroke: str | None = None,
    opacity: float = 0.35,
) -> Markup:
    """The area that a line through points encloses; `stroke` is its border, as `fill` if None."""
    border = stroke or fill
    return element("polygon", fill=fill, fill_opacity=opacity, stroke=border, **_tenths(x, y))


def _tenths(x: Pixels, y: Pixels) -> dict[str, str]:
    """Points in tenths of pixels: whole numbers are written several times as fast as others."""
    both = np.rint(10 * np.stack([x, y], axis=-1)).astype(int).ravel()
    return {"points": " ".join(map(str, both.tolist())), "transform": "scale(.1)"}


# ---- images ---------------------------------------------------------------------------------


def image(
    pixels: np.ndarray[Any, Any],
    width: int | None = None,
    height: int | None = None,
    alt: str = "",
) -> Markup:
    """Pixels, `uint8[h, w]` (grey) or `uint8[h, w, 3 or 4]` (RGB, RGBA), drawn in a size."""
    source = "data:image/png;base64," + b64encode(png(pixels)).decode("ascii")
    size = f"width:{width or pixels.shape[1]}px;height:{height or pixels.shape[0]}px"
    return element("img", src=source, alt=alt, style=size)


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """A PNG file of `uint8[h, w]` or `uint8[h, w, 3 or 4]`."""
    height, width = pixels.shape[:2]
    kind = {2: 0, 3: 2, 4: 6}[pixels.ndim if pixels.ndim == 2 else pixels.shape[2]]
    lines = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 6)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join([_chunk(*chunk) for chunk in chunks])


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum
