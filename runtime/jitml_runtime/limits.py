"""What the process may use of the machine: its control groups' grants of CPUs and memory.

In: /proc/self/cgroup and the files of control groups, version 1 or 2. Out: numbers, or None where
nothing is limited. A group's parents limit it too, so the smallest grant on the way up counts.
Inside a container the path that the kernel tells may not exist: there its top is what limits.
"""

from __future__ import annotations

from collections.abc import Iterator

_ROOT = "/sys/fs/cgroup"
_UNLIMITED_BYTES = 1 << 60  # version 1 writes a huge number where there is no limit


def granted_cpus() -> int | None:
    """CPUs that the control groups grant, rounded up."""
    grants = []
    for folder in _folders("cpu"):
        quota = _read(f"{folder}/cpu.max").split() or [
            _read(f"{folder}/cpu.cfs_quota_us").strip(),
            _read(f"{folder}/cpu.cfs_period_us").strip(),
        ]
        if len(quota) == 2 and quota[0].isdecimal() and quota[1].isdecimal() and int(quota[1]):
            grants.append(max(1, -(-int(quota[0]) // int(quota[1]))))
    return min(grants, default=None)


def granted_bytes() -> int | None:
    """Bytes of memory that the control groups grant."""
    grants = []
    for folder in _folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(f"{folder}/{name}").strip()
            if text.isdecimal() and 0 < int(text) < _UNLIMITED_BYTES:
                grants.append(int(text))
    return min(grants, default=None)


def _folders(controller: str) -> Iterator[str]:
    """Folders of the process's groups that this controller may limit, and of all their parents."""
    yield _ROOT
    for line in _read("/proc/self/cgroup").splitlines():
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if (controllers and controller not in controllers.split(",")) or "/.." in path:
            continue  # another controller's, or a group that this container cannot see
        mount = f"{_ROOT}/{controllers}" if controllers else _ROOT
        while path.strip("/"):
            yield mount + path.rstrip("/")
            path = path.rstrip("/").rpartition("/")[0]
        if controllers:
            yield mount
    yield f"{_ROOT}/{controller}"  # the usual other name, where several controllers share a folder


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
