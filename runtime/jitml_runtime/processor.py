"""What this machine's processor can do, as far as compiled code cares.

In: /proc/cpuinfo. Out: names of features as Linux writes them; nothing where the system does not
tell.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache

_COMPUTING = re.compile(
    r"sse|ssse3|pni$|avx|fma$|f16c$|bmi|abm$|popcnt$|movbe$|cx16$|gfni$|vaes$|vpclmulqdq$|adx$"
    r"|pclmulqdq$|aes$"
)

# What the levels of the x86-64 architecture need.
_LEVEL_2 = ("cx16", "pni", "popcnt", "sse", "sse2", "sse4_1", "sse4_2", "ssse3")
_LEVEL_3 = (*_LEVEL_2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_LEVEL_4 = (*_LEVEL_3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
LEVELS = {"x86-64-v3": _LEVEL_3, "x86-64-v4": _LEVEL_4}


def platform_name() -> str:
    """System and architecture, as in "linux-x86_64"."""
    return f"{sys.platform}-{platform.machine()}"


@cache
def description() -> dict[str, str] | None:
    """The lines of /proc/cpuinfo about the first processor; None where the system has none."""
    try:
        file = os.open("/proc/cpuinfo", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(file, 1 << 14).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(file)
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def features() -> frozenset[str] | None:
    """Everything that the processor can do; None if the system does not tell."""
    fields = description() or {}
    listed = fields.get("flags", fields.get("Features"))
    return None if listed is None else frozenset(listed.split())


def compiled_features() -> tuple[str, ...]:
    """The features that code compiled for this machine may use."""
    known = features() or frozenset()
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    return tuple(sorted(f for f in known if not is_x86 or _COMPUTING.match(f)))
