"""Golden files: `golden/<pass>/<case>.ir` has the text before, `---`, and the text after a pass.

A first line `# {…}` holds the pass's arguments as a Python literal. A file without its second part
fails, unless --update-golden writes it.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitml.ir.graph import Graph
from jitml.ir.text import format_graph, parse_graph
from jitml.ir.verify import verify

FOLDER = Path(__file__).parent / "golden"
LONGEST = 30


def cases(pass_name: str) -> list[Path]:
    """The golden files of a pass; there must be some."""
    found = sorted((FOLDER / pass_name).glob("*.ir"))
    assert found, f"no golden files in {FOLDER / pass_name}"
    return found


def check_message(path: Path, found: str, update: bool) -> None:
    """Compare what users read with the whole file; it has six lines at most."""
    assert len(found.splitlines()) <= 6
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.is_file(), f"{path} is missing; --update-golden writes it"
    assert found == path.read_text()


def check(path: Path, apply: Callable[..., tuple[Graph, ...]], update: bool) -> None:
    """Compare what `apply(graph, **arguments)` gives with the file's second part."""
    before, _, expected = path.read_text().partition("---\n")
    first, _, rest = before.partition("\n")
    arguments: dict[str, Any] = {}
    if first.startswith("# "):
        arguments, text = ast.literal_eval(first[2:]), rest
    else:
        text = before
    graphs = apply(verify(parse_graph(text)), **arguments)
    found = "".join(format_graph(verify(g), sources=False) + "\n" for g in graphs)
    if update:
        path.write_text(f"{before}---\n{found}")
    else:
        difference = difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="")
        assert found == expected, "\n".join([str(path), *difference])
    assert len(found.splitlines()) <= LONGEST, f"{path}: golden cases have {LONGEST} lines at most"
