"""Where the packages under test lie: `PYTHONPATH` of the processes that tests start."""

from __future__ import annotations

import os
from pathlib import Path

import jitml
import jitml_runtime

PACKAGES = os.pathsep.join(
    str(Path(str(package.__file__)).parent.parent) for package in (jitml, jitml_runtime)
)
