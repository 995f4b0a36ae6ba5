"""The two simplest jvp rules, for ops to inherit: linear in the first input, and no tangent at all.

In: an op and its primals and tangents. Out: outputs and their tangents. Must not know any op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from jitml.ir.op import Op
from jitml.trace.core import bind, bind1

Traced: TypeAlias = Any


class LinearInFirst(Op):
    """An op with one output that is linear in its first input; the others have no tangents."""

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        t, rest = tangents[0], primals[1:]
        return [bind1(self, *primals)], [None if t is None else bind1(self, t, *rest)]


class WithoutTangents(Op):
    """An op whose outputs do not move when its inputs do."""

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        outputs = bind(self, *primals)
        return outputs, [None] * len(outputs)
