"""How many threads the pool starts with.

In: the environment, the affinity mask, the container's CPU quota. Out: a number ≥ 1.
"""

from __future__ import annotations

import os
import warnings
from operator import index

from .limits import granted_cpus

MAX_THREADS = 1024


def default_thread_count() -> int:
    """Return JITML_NUM_THREADS if it is set, else the number of CPUs this process may use."""
    asked = os.environ.get("JITML_NUM_THREADS", "")
    if asked:
        if asked.isdecimal() and len(asked) <= 4 and 1 <= int(asked) <= MAX_THREADS:
            return int(asked)
        warnings.warn(
            f"JITML_NUM_THREADS={asked!r} is ignored: expected a number from 1 to {MAX_THREADS}",
            RuntimeWarning,
            stacklevel=2,
        )
    return max(1, min(_usable_cpus(), granted_cpus() or MAX_THREADS, MAX_THREADS))


def check_thread_count(count: int) -> int:
    """Return ``count`` if it is a legal number of threads, else raise ValueError."""
    if not 1 <= index(count) <= MAX_THREADS:
        raise ValueError(f"the number of threads must be from 1 to {MAX_THREADS}, not {count}")
    return index(count)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
