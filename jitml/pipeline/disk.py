"""A folder of entries that outlive the process: bytes under a kind and a key.

In: sealed bytes. Out: the same bytes, or nothing: whatever is damaged, cut off, of another version,
another user's, or open to changes by others is as if it were not there. Nothing here raises: a
folder that cannot be used or written is left alone, and `state` says why. Several processes may
share a folder: entries appear whole, by renaming. Must not know what the entries mean.

The folder is JITML_CACHE_DIR, else jitml in XDG_CACHE_HOME, else ~/.cache/jitml; JITML_CACHE=0
turns it off; JITML_CACHE_SIZE bounds it (bytes, or with K, M, G: 512M), beyond which the entries
that were used least recently are deleted.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Iterator

from jitml_runtime.packing import FormatError, seal, unseal
from jitml_runtime.record import frozen

DEFAULT_LIMIT_BYTES = 512 << 20
PROGRAM, KERNEL, TARGET, SOURCES, PEAK = 1, 2, 3, 4, 5
_SUFFIXES = {PROGRAM: ".program", KERNEL: ".kernel", TARGET: ".target", SOURCES: ".sources"} | {
    PEAK: ".peak"
}
_KINDS = {suffix: kind for kind, suffix in _SUFFIXES.items()}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TOUCH_SECONDS = 3600  # an entry's time of use is not kept more exactly than this
_STALE_SECONDS = 3600  # an unfinished file this old is what a killed process has left
_CLEANUPS = 32  # times that a folder is looked through while it is filled once
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_LARGEST_BYTES = 1 << 30


@frozen
class Entry:
    """A file of the folder."""

    path: str
    kind: int  # 0: unfinished
    size_bytes: int
    used: float


class Disk:
    """A folder of entries. `problem` says why it is not used, or why it is no longer written."""

    def __init__(self, folder: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.problem = _folder_problem(folder)
        self._is_readable = self._is_writable = not self.problem
        self._names = itertools.count()

    def read(self, kind: int, key: bytes) -> bytes | None:
        """The entry of this kind and key, if there is one to be trusted."""
        if not self._is_readable:
            return None
        path = self._path(kind, key)
        try:
            data = _read_own(path)
            return None if data is None else unseal(kind, data, key)
        except (OSError, FormatError):
            return None

    def has(self, kind: int, key: bytes) -> bool:
        """Whether there is an entry of this kind and key, to be trusted or not."""
        return self._is_readable and os.path.exists(self._path(kind, key))

    def write(self, kind: int, key: bytes, payload: bytes) -> bool:
        """Keep an entry; whether that was possible."""
        data = seal(kind, key, payload)
        if not self._is_writable or len(data) > min(self.limit_bytes, _LARGEST_BYTES):
            return False
        path = self._path(kind, key)
        try:
            self._write(path, data)
            # Decided by the key, so that processes too short to count what they write do it too.
            due = int.from_bytes(key[:4], "little") / 2**32 * self.limit_bytes
            if len(data) * _CLEANUPS > due:
                self.clean_up()
        except OSError as error:
            self._is_writable = False
            self.problem = f"not written any more: {error.strerror or error}"
            return False
        return True

    def _write(self, path: str, data: bytes) -> None:
        name = f"{path}.{os.getpid()}.{next(self._names)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW
        try:
            file = os.open(name, flags, _FILE_MODE)
        except FileNotFoundError:
            for made in (self.folder, os.path.dirname(path)):
                os.makedirs(made, _FOLDER_MODE, exist_ok=True)
            file = os.open(name, flags, _FILE_MODE)
        try:
            with open(file, "wb", buffering=0) as out:
                rest = memoryview(data)
                while rest:
                    rest = rest[out.write(rest) :]
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    def _path(self, kind: int, key: bytes) -> str:
        name = key.hex()
        return os.path.join(self.folder, name[:2], name[2:] + _SUFFIXES[kind])

    # ---- all entries -----------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Every file that this cache has made."""
        if not self._is_readable:
            return []
        return [entry for folder in _folders(self.folder) for entry in _files(folder)]

    def clear(self) -> int:
        """Delete every entry; how many there were."""
        entries = self.entries()
        for entry in entries:
            _delete(entry.path)
        return sum(entry.kind != 0 for entry in entries)

    def clean_up(self) -> None:
        """Delete what was used least recently until the rest is well below the limit."""
        now = time.time()
        found = self.entries()
        stale = [e for e in found if e.kind == 0 and now - e.used > _STALE_SECONDS]
        kept = sorted((e for e in found if e.kind != 0), key=lambda e: e.used)
        total = sum(entry.size_bytes for entry in kept)
        if total > self.limit_bytes:
            for entry in kept:
                if total <= self.limit_bytes * 3 // 4:
                    break
                stale.append(entry)
                total -= entry.size_bytes
        for entry in stale:
            _delete(entry.path)


def _folder_problem(folder: str) -> str:
    """Why a folder cannot be used, or ""; one that is not there is made with the first entry."""
    if not os.path.isabs(folder):
        return "there is no home folder to put it in (JITML_CACHE_DIR names another)"
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror or error}"
    if found.st_uid != os.geteuid():
        return f"{folder} belongs to another user"
    if found.st_mode & 0o022:
        return f"{folder} can be written by others (chmod 700 mends it)"
    return ""


def _read_own(path: str) -> bytes | None:
    """The bytes of a file that only this user can have written."""
    file = os.open(path, os.O_RDONLY | _NOFOLLOW)
    try:
        found = os.fstat(file)
        is_own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_own or found.st_mode & 0o022 or found.st_size > _LARGEST_BYTES:
            return None
        if time.time() - found.st_mtime > _TOUCH_SECONDS:
            _touch(path)
        parts = []
        while part := os.read(file, max(1, found.st_size)):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:  # a folder that may only be read
        return


def _delete(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # another process was faster, or the folder may only be read
        return


def _folders(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if len(entry.name) == 2 and entry.is_dir(follow_symlinks=False):
                    yield entry.path
    except OSError:
        return


def _files(folder: str) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            for entry in found:
                suffix = os.path.splitext(entry.name)[1]
                if suffix == ".new" or suffix in _KINDS:
                    status = entry.stat(follow_symlinks=False)
                    kind = _KINDS.get(suffix, 0)
                    yield Entry(entry.path, kind, status.st_size, status.st_mtime)
    except OSError:
        return


# ---- the cache of this process -------------------------------------------------------------------


def is_wanted() -> bool:
    """Whether the environment leaves the cache on."""
    return os.environ.get("JITML_CACHE", "") != "0" and hasattr(os, "geteuid")


def default_folder() -> str:
    """Where the cache lies."""
    asked = os.environ.get("JITML_CACHE_DIR")
    if asked:
        return os.path.abspath(asked)
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # which the standard says to ignore
        home = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "jitml")


def default_limit_bytes() -> int:
    """How large the cache may become; the default where JITML_CACHE_SIZE cannot be read."""
    asked = os.environ.get("JITML_CACHE_SIZE", "").strip().upper().removesuffix("B")
    number = asked.rstrip("KMG")
    unit = asked[len(number) :]
    if not number.strip().isdecimal() or unit not in _UNITS:
        return DEFAULT_LIMIT_BYTES
    return int(number) * _UNITS[unit]


_DISK: list[Disk | None] = []


def disk() -> Disk | None:
    """The cache of this process, opened at first use; None where it is turned off."""
    if not _DISK:  # two threads may both append; the first counts
        _DISK.append(Disk(default_folder(), default_limit_bytes()) if is_wanted() else None)
    return _DISK[0]


def reopen() -> None:
    """Look at the environment again at the next use."""
    _DISK.clear()
