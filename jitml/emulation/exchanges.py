"""What the threads of a warp do together: shuffles, votes, matrix units.

Comes in: the threads of a block, some of which wait for others of their warp. Goes out: the results
of those that all have come whom they wait for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.emulation.coroutines import EXCHANGES, READY
from jitml.emulation.matrix import SHAPES, shared_out_rows, unit_results

WARP_THREADS = 32
_SHAPES = {
    "mma.m16n8k16.row.col.bf16": SHAPES["m16n8k16", "bf16"],
    "mma.m16n8k16.row.col.f32.f32": SHAPES["m16n8k16", "f16"],
    "mma.m16n8k8.row.col.tf32": SHAPES["m16n8k8", "tf32"],
}
Array = np.ndarray[Any, Any]


def exchange(threads: Array, waiting: Array) -> bool:
    """Let those go on whose masks name none but threads that wait at the same line; whether there
    are any.
    """
    sites = threads["site"][waiting]
    met = [_meet(threads, waiting[sites == site]) for site in set(sites.tolist())]
    return any(met)


def _meet(threads: Array, group: Array) -> bool:
    """The same for threads that wait at one line."""
    lane = group % WARP_THREADS
    bits, first = np.uint32(1) << lane.astype(np.uint32), group - lane
    present = _joined(bits, first, len(threads))
    met = threads["mask"][group] & ~present == 0
    if not met.all():
        group, lane, bits, first = group[met], lane[met], bits[met], first[met]
    if len(group):
        found = _results(threads, group, lane, bits, first)
        threads["results"][group, : found.shape[1]] = found
        threads["state"][group] = READY
    return len(group) > 0


def _joined(bits: Array, first: Array, count: int) -> Array:
    """The bits of all threads of each one's warp."""
    joined = np.zeros(count, np.uint32)
    np.bitwise_or.at(joined, first, bits)
    found: Array = joined[first]
    return found


def _results(threads: Array, group: Array, lane: Array, bits: Array, first: Array) -> Array:
    """What each gets, [thread, register]."""
    kind = list(EXCHANGES)[threads["exchange"][group[0]]]
    operands = threads["operands"]
    if kind.startswith("shfl"):
        by, mask = threads["by"][group], threads["mask"][group]
        source = _sources(kind, lane, by, mask)
        found: Array = operands[np.where(source >= 0, first + source, group), :1]
    elif kind.startswith("vote"):
        given = bits * (operands[group, 0] != 0)
        found = (_joined(given, first, len(threads)) & threads["mask"][group])[:, None]
    elif kind.startswith("ldmatrix"):
        found = shared_out_rows(operands[group, :4], "trans" in kind)
    else:
        words = np.ascontiguousarray(operands[group])
        sums = words[:, 6:].copy().view(np.float32)
        found = unit_results(_SHAPES[kind], words[:, :6], sums).view(np.uint32)
    return found


def _sources(kind: str, lane: Array, by: Array, mask: Array) -> Array:
    """The lanes that a shuffle reads; -1, for a thread's own value, where the mask names nobody."""
    source = lane + by if "down" in kind else by
    bits = mask >> (source % WARP_THREADS).astype(np.uint32) & 1
    return np.where((source < WARP_THREADS) & (bits > 0), source, -1)
