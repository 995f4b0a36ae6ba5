"""The order of groups in which products stand right before what can be their epilogue.

Before: groups in an order in which they can run. After: the same, but a product and the group that
reads it first meet between their places where the second can be an epilogue: behind all that the
second needs, and, so that it may take over their memory, behind all that reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitml.codegen.fuse import Group
from jitml.ir.graph import Var
from jitml.ops.contraction import DotGeneral


def paired(groups: Sequence[Group], can_follow: Callable[[Group, Group], object]) -> list[Group]:
    """The groups with each product right before what `can_follow` it as its epilogue."""
    makers = {var: group for group in groups for var in group.roots}
    first_reader: dict[Var, Group] = {}
    for group in groups:
        for var in group.reads:
            first_reader.setdefault(var, group)
    ordered, pairs = list(groups), dict[Group, Group]()
    for after in groups:
        sources = [makers[v] for v in after.reads if v in makers and first_reader[v] is after]
        products = [p for p in sources if can_follow(p, after)]
        if products:
            _bring_together(ordered, max(products, key=ordered.index), after, pairs)
    return ordered


def _bring_together(
    ordered: list[Group], product: Group, after: Group, pairs: dict[Group, Group]
) -> None:
    """Move both to where they can meet, if they can, but not between those of another pair."""
    begin, end = ordered.index(product), ordered.index(after)
    between = ordered[begin + 1 : end]
    meet = 0
    for place, other in enumerate(between):
        if _comes_before(other, after):
            meet = place + (2 if other in pairs else 1)
    if not any(_may_overwrite(other, product) for other in between[:meet]):
        ordered[begin : end + 1] = [*between[:meet], product, after, *between[meet:]]
        pairs[product] = after


def _comes_before(other: Group, after: Group) -> bool:
    return not {*after.reads}.isdisjoint((*other.roots, *other.reads))


def _may_overwrite(other: Group, product: Group) -> bool:
    """Whether a group may be an update in place of what the product reads."""
    if other.special is None or isinstance(other.special.op, DotGeneral):
        return False
    return not {*product.reads}.isdisjoint(other.reads)
