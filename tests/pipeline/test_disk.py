"""The cache's folder: what was written is read back, whole, or nothing is."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from places import PACKAGES

from jitml.pipeline import disk as disk_module
from jitml.pipeline.disk import KERNEL, PROGRAM, Disk, default_folder, default_limit_bytes
from jitml_runtime import packing
from jitml_runtime.packing import KEY_BYTES, FormatError, key_of, seal, unseal

KEY = bytes(range(KEY_BYTES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def only_file(folder: Path) -> Path:
    (found,) = (path for path in folder.rglob("*") if path.is_file())
    return found


def test_what_was_written_is_read_back_by_another_cache_of_the_folder(folder: Path) -> None:
    assert Disk(str(folder)).write(KERNEL, KEY, b"code")
    other = Disk(str(folder))
    assert other.read(KERNEL, KEY) == b"code"
    assert other.read(PROGRAM, KEY) is None
    assert other.read(KERNEL, KEY[::-1]) is None
    assert other.problem == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


def test_an_entry_written_again_replaces_the_first(folder: Path) -> None:
    disk = Disk(str(folder))
    assert disk.write(KERNEL, KEY, b"one") and disk.write(KERNEL, KEY, b"two")
    assert disk.read(KERNEL, KEY) == b"two"
    assert only_file(folder).suffix == ".kernel"


# ---- damage --------------------------------------------------------------------------------------


def test_entries_cut_off_anywhere_are_ignored_and_rebuilt(folder: Path) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"sixteen bytes of")
    path = only_file(folder)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert disk.read(KERNEL, KEY) is None, size
    path.write_bytes(whole + b"more")
    assert disk.read(KERNEL, KEY) is None
    assert disk.write(KERNEL, KEY, b"again")
    assert disk.read(KERNEL, KEY) == b"again"


def test_entries_with_any_bit_flipped_are_ignored(folder: Path) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"sixteen bytes of")
    path = only_file(folder)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert disk.read(KERNEL, KEY) is None, bit


def test_entries_of_another_version_are_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(packing, "VERSION", packing.VERSION + 1)
        assert disk.write(KERNEL, KEY, b"code")
        assert disk.read(KERNEL, KEY) == b"code"
    assert disk.read(KERNEL, KEY) is None
    with pytest.raises(FormatError, match="it has format 2, this version of jitml_runtime reads 1"):
        unseal(KERNEL, only_file(folder).read_bytes())


def test_a_valid_entry_under_another_name_is_ignored(folder: Path) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    other = key_of(b"other")
    disk.write(KERNEL, other, b"other code")
    paths = sorted(folder.rglob("*.kernel"))
    os.replace(paths[0], paths[1])
    assert disk.read(KERNEL, KEY) is None and disk.read(KERNEL, other) is None


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_entries_that_others_may_write_are_ignored(folder: Path, mode: int) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    only_file(folder).chmod(mode)
    assert disk.read(KERNEL, KEY) is None
    assert disk.write(KERNEL, KEY, b"code") and disk.read(KERNEL, KEY) == b"code"


def test_entries_of_another_owner_are_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert disk.read(KERNEL, KEY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_entries_given_to_another_owner_are_ignored(folder: Path) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    os.chown(only_file(folder), 65534, 65534)
    assert disk.read(KERNEL, KEY) is None
    assert disk.write(KERNEL, KEY, b"code") and disk.read(KERNEL, KEY) == b"code"


def test_links_and_folders_in_the_place_of_entries_are_ignored(
    folder: Path, tmp_path: Path
) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    path = only_file(folder)
    os.replace(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert disk.read(KERNEL, KEY) is None
    path.unlink()
    path.mkdir()
    assert disk.read(KERNEL, KEY) is None


# ---- folders that cannot be used -----------------------------------------------------------------


def is_unused(disk: Disk) -> bool:
    return not disk.write(KERNEL, KEY, b"code") and disk.read(KERNEL, KEY) is None


def test_a_folder_that_others_may_write_is_not_used(folder: Path) -> None:
    Disk(str(folder)).write(KERNEL, KEY, b"code")
    folder.chmod(0o777)
    disk = Disk(str(folder))
    assert is_unused(disk)
    assert disk.problem == f"{folder} can be written by others (chmod 700 mends it)"
    assert disk.entries() == [] and disk.clear() == 0


def test_a_folder_of_another_owner_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    disk = Disk(str(folder))
    assert is_unused(disk)
    assert disk.problem == f"{folder} belongs to another user"


def test_a_folder_that_cannot_be_made_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    disk = Disk(str(tmp_path / "file" / "cache"))
    assert is_unused(disk)
    assert "cannot be read: Not a directory" in disk.problem
    assert is_unused(Disk("no/absolute/path"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_cannot_be_written_is_only_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    Disk(str(folder)).write(KERNEL, KEY, b"code")
    disk = Disk(str(folder))
    opened = os.open

    def refuse(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return opened(path, flags, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert not disk.write(PROGRAM, KEY, b"program")
    assert not disk.write(PROGRAM, KEY, b"program"), "it is not tried again"
    assert disk.read(KERNEL, KEY) == b"code"
    assert disk.problem == f"not written any more: {os.strerror(number)}"


def run(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


FULL = """
import resource, signal, sys
from jitml.pipeline.disk import KERNEL, Disk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
disk = Disk(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
key = bytes(24)
print(disk.write(KERNEL, key, bytes(4000)), disk.write(KERNEL, key, b"x" * 9000), disk.problem)
print(disk.read(KERNEL, key) == bytes(4000))
"""


def test_a_disk_that_is_full_in_the_middle_of_an_entry_keeps_the_earlier_one(folder: Path) -> None:
    assert run(FULL, str(folder)).splitlines() == [
        "True False not written any more: File too large",
        "True",
    ]
    assert only_file(folder).suffix == ".kernel"


KILLED = """
import sys
from jitml.pipeline.disk import KERNEL, Disk
disk = Disk(sys.argv[1])
print(flush=True)
for n in range(10**6):
    disk.write(KERNEL, bytes(24), bytes([n % 256]) * 3_000_000)
"""


def test_a_process_killed_while_it_writes_leaves_whole_entries(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    for delay in (0.0, 0.02, 0.045, 0.07):
        command = [sys.executable, "-c", KILLED, str(folder)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        found = Disk(str(folder)).read(KERNEL, bytes(24))
        assert found is None or (len(found) == 3_000_000 and len(set(found)) == 1)


def test_unfinished_files_of_killed_processes_are_cleared_away(folder: Path) -> None:
    disk = Disk(str(folder))
    disk.write(KERNEL, KEY, b"code")
    shard = only_file(folder).parent
    old, young = shard / "a.kernel.1.1.new", shard / "b.kernel.1.1.new"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    disk.clean_up()
    assert not old.exists() and young.exists()
    assert disk.clear() == 1
    assert list(folder.rglob("*.*")) == []


# ---- size ----------------------------------------------------------------------------------------


def test_the_folder_stays_below_its_limit_and_keeps_what_was_used_last(folder: Path) -> None:
    limit = 100_000
    disk = Disk(str(folder), limit)
    keys = [key_of(struct.pack("<I", n)) for n in range(200)]
    for n, key in enumerate(keys):
        assert disk.write(KERNEL, key, bytes(2000))
        path = disk._path(KERNEL, key)
        os.utime(path, (n, n))
        disk.read(KERNEL, keys[0])  # the first is used all the time
    total = sum(entry.size_bytes for entry in disk.entries())
    assert limit / 2 < total <= limit + 4000
    assert disk.read(KERNEL, keys[0]) and disk.read(KERNEL, keys[-1])
    assert disk.read(KERNEL, keys[1]) is None
    assert not disk.write(KERNEL, KEY, bytes(limit)), "larger than the whole folder may be"
    assert disk.problem == ""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("1000", 1000),
        ("64K", 64 << 10),
        ("2 mb", 2 << 20),
        ("1G", 1 << 30),
        ("", disk_module.DEFAULT_LIMIT_BYTES),
        ("-1", disk_module.DEFAULT_LIMIT_BYTES),
        ("many", disk_module.DEFAULT_LIMIT_BYTES),
        ("1KM", disk_module.DEFAULT_LIMIT_BYTES),
    ],
)
def test_the_limit_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int
) -> None:
    monkeypatch.setenv("JITML_CACHE_SIZE", asked)
    assert default_limit_bytes() == expected


def test_the_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITML_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert default_folder() == str(tmp_path / ".cache" / "jitml")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == str(tmp_path / "xdg" / "jitml")
    monkeypatch.setenv("JITML_CACHE_DIR", str(tmp_path / "own"))
    assert default_folder() == str(tmp_path / "own")


def test_sealed_files_tell_what_is_wrong() -> None:
    sealed = seal(KERNEL, KEY, b"code")
    assert unseal(KERNEL, sealed) == b"code"
    for data, message in (
        (b"ELF" + sealed, "no jitml file"),
        (sealed[:-1], "damaged: 3 bytes"),
        (sealed[:-1] + b"x", "digest"),
    ):
        with pytest.raises(FormatError, match=message):
            unseal(KERNEL, data)
    with pytest.raises(FormatError, match="something else"):
        unseal(PROGRAM, sealed)
