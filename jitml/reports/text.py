"""Numbers and tables as plain text.

In: numbers with units, rows of cells. Out: text.
"""

from __future__ import annotations

from collections.abc import Sequence

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def size_text(size_bytes: float) -> str:
    """`3.2 MB`.

    >>> size_text(3_200_000), size_text(17)
    ('3.2 MB', '17 B')
    """
    return amount(size_bytes, "B")


def amount(number: float | None, unit: str = "") -> str:
    """A number of three digits with a prefix; "?" where it is not known.

    >>> amount(2_000_000_000.0, "FLOP"), amount(None)
    ('2 GFLOP', '?')
    """
    if number is None:
        return "?"
    factor, prefix = next((p for p in _PREFIXES if abs(number) >= p[0]), (1.0, ""))
    return f"{number / factor:.3g} {prefix}{unit}".rstrip()


def percent(share: float) -> str:
    """`12 %`."""
    return f"{100 * share:.0f} %"


def table_text(rows: Sequence[Sequence[str]], header: Sequence[str], align: str) -> list[str]:
    """Lines of a table; `align` has l or r for each column, as `display.html.table` has it."""
    lines = [header, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]

    def line_text(line: Sequence[str]) -> str:
        cells = zip(line, widths, align.ljust(len(widths), "l"), strict=False)
        return "  ".join(
            [cell.rjust(w) if kind == "r" else cell.ljust(w) for cell, w, kind in cells]
        ).rstrip()

    return [line_text(line) for line in lines]
