"""PTX to machine code, by NVIDIA's assembler where it is installed.

Comes in: PTX. Goes out: a cubin and what the kernel takes of a multiprocessor. `ptxas` is looked
for in the wheels that `pip install jitml[cuda]` brings, then on the PATH. No device is needed.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from jitml.ir.errors import InternalError

_WHEELS = ("cu13/bin/ptxas", "cuda_nvcc/bin/ptxas")
_SECONDS = 120


@dataclass(frozen=True)
class Resources:
    """What one thread, or one block, of a kernel takes."""

    registers: int
    spilled_bytes: int
    stack_bytes: int
    shared_bytes: int


@functools.cache
def find_assembler() -> str | None:
    """Where `ptxas` is; None if it is nowhere."""
    found = find_spec("nvidia")
    for folder in (found and found.submodule_search_locations) or ():
        for name in _WHEELS:
            if (Path(folder) / name).is_file():
                return str(Path(folder) / name)
    return shutil.which("ptxas")


@functools.lru_cache(1024)
def assemble(ptx: str, target: str) -> tuple[bytes, Resources] | None:
    """The cubin of a kernel and its resources; None where there is no assembler.

    Raises:
        InternalError: the assembler does not accept the PTX.
    """
    assembler = find_assembler()
    if assembler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, object_ = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        command = [assembler, "-v", f"-arch={target}", str(source), "-o", str(object_)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        if done.returncode:
            raise InternalError(f"ptxas does not accept a kernel for {target}: {done.stderr}")
        return object_.read_bytes(), _resources(done.stderr + done.stdout)


def _resources(text: str) -> Resources:
    def number(pattern: str) -> int:
        found = re.search(pattern, text)
        return int(found[1]) if found else 0

    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes spill stores"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes smem"),
    )
