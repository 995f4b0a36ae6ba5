"""Everything that rewritten code calls, by the names that it calls it."""

from __future__ import annotations

from jitml.rewriting.calls import callee
from jitml.rewriting.conditions import choose, if_
from jitml.rewriting.operators import (
    and_truth,
    and_value,
    compare,
    contains,
    not_,
    or_truth,
    or_value,
)
from jitml.rewriting.refusals import assigned, raised, storing, storing_into
from jitml.rewriting.repetition import for_, while_

__all__ = [
    "and_truth",
    "and_value",
    "assigned",
    "callee",
    "choose",
    "compare",
    "contains",
    "for_",
    "if_",
    "not_",
    "or_truth",
    "or_value",
    "raised",
    "storing",
    "storing_into",
    "while_",
]
