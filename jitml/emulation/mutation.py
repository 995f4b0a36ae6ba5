"""Small mistakes in PTX, one at a time: a test that does not see them is too weak.

Comes in: the text of a module. Goes out: texts with one instruction changed. What they are run on,
and what counts as seen, is the tests' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Instructions that are exchanged; each pattern is replaced once where it stands.
_EXCHANGES = (
    (r"\badd\.(s|u|rn)", r"sub.\1"),
    (r"\bsub\.(s|u|rn)", r"add.\1"),
    (r"\bmul\.rn", "add.rn"),
    (r"\bmad\.lo\.s(\d+)", r"mul.lo.s\1"),
    (r"\bmin\.", "max."),
    (r"\bmax\.", "min."),
    (r"\bshl\.b", "shr.u"),
    (r"\bshr\.u", "shl.b"),
    (r"\band\.b", "or.b"),
    (r"\bor\.b", "and.b"),
    (r"\bxor\.b", "or.b"),
    (r"\bsetp\.lt\.", "setp.le."),
    (r"\bsetp\.le\.", "setp.lt."),
    (r"\bsetp\.gt\.", "setp.ge."),
    (r"\bsetp\.ge\.", "setp.gt."),
    (r"\bsetp\.eq\.", "setp.ne."),
    (r"\bsetp\.ne\.", "setp.eq."),
    (r"\bshfl\.sync\.down\b", "shfl.sync.up"),
    (r"@%p", "@!%p"),
    (r"@!%p", "@%p"),
)
_BARRIER = re.compile(r"\b(bar\.sync|barrier\.sync\.aligned)\b.*;")
_OFFSET = re.compile(r"\[(%\w+)(?:\+(-?\d+))?\]")
_NUMBER = re.compile(r"(?<=, )(\d+)(?=[;,])")
_FLOAT = re.compile(r"\b0f([0-9A-F]{8})\b")
_FUSED = re.compile(r"\bfma\.rn\.(f\d+) (.*?), (.*?), (.*?), (.*?);")


class Mutant(NamedTuple):
    """A module with a mistake, and what it is."""

    text: str
    line: int
    before: str
    after: str


def mutants(text: str) -> Iterator[Mutant]:
    """Every module that differs from this one by one mistake."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        body = line.strip()
        if not body.endswith(";") or body.startswith((".", "ld.param", "//")):
            continue
        for changed in dict.fromkeys(_changes(line)):
            if changed != line:
                whole = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
                yield Mutant(whole, number + 1, body, changed.strip())


def _changes(line: str) -> Iterator[str]:
    for pattern, replacement in _EXCHANGES:
        if re.search(pattern, line):
            yield re.sub(pattern, replacement, line, count=1)
    if _BARRIER.search(line):
        yield _BARRIER.sub("", line)
    if "[" in line and "param" not in line:
        yield _OFFSET.sub(lambda m: f"[{m[1]}+{int(m[2] or 0) + 4}]", line, count=1)
    if _NUMBER.search(line) and "bar" not in line:
        yield _NUMBER.sub(lambda m: str(int(m[1]) + 1), line, count=1)
    if _FLOAT.search(line):
        yield _FLOAT.sub(lambda m: f"0f{int(m[1], 16) ^ 0x00400000:08X}", line, count=1)
    if _FUSED.search(line):
        yield _FUSED.sub(r"mul.rn.\1 \2, \3, \4;", line)
