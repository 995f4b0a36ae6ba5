"""Races among logged accesses: two threads reach one place, one writes, nothing orders them.

Comes in: a log of what nothing orders, and who made each access. Goes out: two accesses that race,
if there are any. Atomic updates do not race with each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.emulation.coroutines import LOAD, STORE, UPDATE

Array = np.ndarray[Any, Any]


def first_race(log: Array, threads: Array) -> tuple[int, int] | None:
    """The numbers of two accesses that race, by different `threads`."""
    if not (log["kind"] & (STORE | UPDATE)).any():
        return None
    record, place = _places(log)
    order = np.argsort(place, kind="stable")
    record, place = record[order], place[order]
    begins = np.concatenate([[0], np.flatnonzero(np.diff(place)) + 1])
    thread = threads[record]
    several = np.minimum.reduceat(thread, begins) != np.maximum.reduceat(thread, begins)
    kinds = np.bitwise_or.reduceat(log["kind"][record], begins)
    racing = np.flatnonzero(several & _is_race(kinds))
    if not len(racing):
        return None
    begin, end = np.append(begins, len(record))[racing[0] : racing[0] + 2]
    return _pair(record[begin:end], log["kind"], threads)


def _is_race(kinds: Any) -> Any:
    """Whether accesses of these kinds race, if different threads make them."""
    return (kinds & STORE != 0) | (kinds == LOAD | UPDATE)


def _places(log: Array) -> tuple[Array, Array]:
    """The numbers of records, once for each part that they reach; and the parts, as large as all
    accesses allow.
    """
    every = int(np.bitwise_or.reduce(log["address"] | log["size"].astype(np.uint64)))
    part = every & -every
    count = log["size"] // part
    record = np.repeat(np.arange(len(log)), count)
    within = np.arange(len(record)) - np.repeat(np.cumsum(count) - count, count)
    return record, (log["address"] // np.uint64(part)).astype(np.int64)[record] + within


def _pair(records: Array, kinds: Array, threads: Array) -> tuple[int, int]:
    """The first two of some records of one place that race."""
    for number, later in enumerate(records):
        for earlier in records[:number]:
            if threads[earlier] != threads[later] and _is_race(kinds[earlier] | kinds[later]):
                return int(earlier), int(later)
    raise AssertionError("no two of them race")
