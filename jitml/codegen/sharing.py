"""Which calls of a kernel share code: long functions that a large kernel needs more than once.

Comes in: the nodes of a kernel. Goes out: for each call that is to be one, the functions that are
computed together, for those of the same operands have much in common (sine and cosine the reduction
of their argument). A large kernel then compiles in a fraction of the time. Small ones compile fast
anyway, and run a little faster with everything in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from jitml.codegen.kernel import Node

LARGE_BODY = 400  # instructions

Functions: TypeAlias = tuple[Callable[..., Any], ...]


def shared_calls(nodes: Sequence[Node]) -> Mapping[int, Functions]:
    """By the numbers of call nodes, all functions of their operands; empty for small kernels."""
    if sum(map(instructions, nodes)) < LARGE_BODY:
        return {}
    together: dict[tuple[Node, ...], dict[Callable[..., Any], Node]] = {}
    for node in nodes:
        if node.name == "call":
            together.setdefault(node.operands, {})[node.data.function] = node
    uses = Counter(map(frozenset, together.values()))
    names = {key: tuple(sorted(key, key=lambda f: (f.__module__, f.__name__))) for key in uses}
    return {
        node.number: names[frozenset(calls)]
        for calls in together.values()
        for node in calls.values()
        if uses[frozenset(calls)] > 1
    }


def instructions(node: Node) -> int:
    """How many instructions a node stands for."""
    return node.data.instructions if node.name == "call" else 1
