"""The processes that run the libraries.

In: the name of a library. Out: answers to requests, in the order of the requests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Peer:
    """One library in a process; `name` is what the table calls it."""

    def __init__(self, library: str, name: str = "", path: Path = ROOT) -> None:
        self.library = library
        self.name = name or library
        places = [str(path), str(path / "runtime"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.suite.worker", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        )

    def measure(self, workload: str, seconds: float) -> dict[str, Any]:
        """One round: CPU and wall seconds of a call."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"workload": workload, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": "the process has died"}
        return found

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def installed_peers(old: Path | None, compiles_torch: bool) -> list[Peer]:
    """jitml, an old revision of it, and the libraries that are installed."""
    peers = [Peer("jitml")]
    if old is not None:
        peers.append(Peer("jitml", "before", old))
    names = ["jax", "torch", *(["torch.compile"] if compiles_torch else []), "numba", "numpy"]
    return peers + [Peer(n) for n in names if importlib.util.find_spec(n.partition(".")[0])]


@contextmanager
def old_revision(revision: str | None) -> Iterator[Path | None]:
    """A built checkout of a revision of this repository, for as long as it is needed."""
    if revision is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jitml"
        subprocess.run(["git", "worktree", "add", "--detach", path, revision], cwd=ROOT, check=True)
        try:
            command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
            subprocess.run(command, cwd=path, check=True)
            yield path
        finally:
            remove = ["git", "worktree", "remove", "--force", str(path)]
            subprocess.run(remove, cwd=ROOT, check=True)
