"""How many threads the pool starts with.

In: the environment, the affinity mask, the container's CPU quota. Out: a number ≥ 1.
"""

from __future__ import annotations

import os
import warnings

MAX_THREADS = 1024


def default_thread_count() -> int:
    """Return JITML_NUM_THREADS if it is set, else the number of CPUs this process may use."""
    asked = os.environ.get("JITML_NUM_THREADS", "")
    if asked:
        if asked.isdecimal() and 1 <= int(asked) <= MAX_THREADS:
            return int(asked)
        warnings.warn(
            f"JITML_NUM_THREADS={asked!r} is ignored: expected a number from 1 to {MAX_THREADS}",
            RuntimeWarning,
            stacklevel=2,
        )
    return max(1, min(_usable_cpus(), _quota_cpus(), MAX_THREADS))


def check_thread_count(count: int) -> int:
    """Return ``count`` if it is a legal number of threads, else raise ValueError."""
    if not 1 <= count <= MAX_THREADS:
        raise ValueError(f"the number of threads must be from 1 to {MAX_THREADS}, not {count}")
    return count


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota_cpus() -> int:
    """CPUs that the control group grants, rounded up; a huge number if it sets no limit."""
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if not quota:  # version 1 of control groups keeps the two numbers in two files
        folder = "/sys/fs/cgroup/cpu/cpu.cfs_"
        quota = [_read(folder + "quota_us").strip(), _read(folder + "period_us").strip()]
    if len(quota) != 2 or not quota[0].isdecimal() or not quota[1].isdecimal():
        return MAX_THREADS
    return max(1, -(-int(quota[0]) // max(1, int(quota[1]))))


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
