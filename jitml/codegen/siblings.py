"""Join kernels that run through the same elements of the same arrays.

Comes in: groups in order. Goes out: groups in order, of which some do what two did: what both read
is read once, and where all fits into caches there is one call less. Bits do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jitml.codegen.build import Built
from jitml.codegen.element import MOST_NODES, NeedsBuffer
from jitml.ir.graph import Var

if TYPE_CHECKING:
    from jitml.codegen.fuse import Group

MOST_ARRAYS = 12  # that a kernel runs through at once
SMALL_BYTES = 1 << 14  # a call of a kernel on less takes about as long as its work
_LOOKED_AT = 4  # kernels of a shape, the last ones


def join_siblings(groups: Sequence[Group], build: Callable[[list[Var]], Built]) -> list[Group]:
    """The groups, each joined to an earlier one if that could do its work too."""
    result: list[Group] = []
    places: dict[Var, int] = {}  # where variables are stored
    plain: dict[tuple[int, ...], list[int]] = {}
    for group in groups:
        number = len(result)
        if _is_plain(group):
            after = max((places.get(v, -1) for v in group.reads), default=-1)
            alike = plain.setdefault(group.roots[0].type.shape, [])
            number = _join(group, result, [n for n in alike[-_LOOKED_AT:] if n >= after], build)
            if number == len(result):
                alike.append(number)
        if number == len(result):
            result.append(group)
        places.update(dict.fromkeys(group.roots, number))
    return result


def _join(
    group: Group, groups: list[Group], alike: Sequence[int], build: Callable[[list[Var]], Built]
) -> int:
    """The number of the group that does the work of `group`, too: one behind the last if none."""
    for number in reversed(alike):
        other = groups[number]
        if not _is_worth_it(group, other):
            continue
        try:
            other.built = build([*other.roots, *group.roots])
        except NeedsBuffer:
            continue
        other.roots += group.roots
        other.reads = other.built.reads
        return number
    return len(groups)


def _is_worth_it(group: Group, other: Group) -> bool:
    assert group.built is not None and other.built is not None
    if group.built.size + other.built.size > MOST_NODES:
        return False
    shape = group.roots[0].type.shape
    shared = [v for v in group.reads if v in other.reads and v.type.shape == shape]
    arrays = {*group.reads, *other.reads, *group.roots, *other.roots}
    is_small = all(v.type.size_bytes <= SMALL_BYTES for v in arrays)
    return len(arrays) <= MOST_ARRAYS and (bool(shared) or is_small)


def _is_plain(group: Group) -> bool:
    """Whether a kernel runs once through elements in their order, and does nothing else."""
    if group.special is not None or group.built is None:
        return False
    kernel, shape = group.built.kernel, group.roots[0].type.shape
    is_flat = not kernel.sites and not kernel.inner and len(kernel.live_outer()) <= 1
    has_folds = any(node.name == "reduce" for node in kernel.nodes())
    return is_flat and not has_folds and all(v.type.shape == shape for v in group.roots)
