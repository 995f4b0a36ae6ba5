"""How full a kernel can make a multiprocessor.

Comes in: what a thread and a block of it take, and the target. Goes out: the share of the warps
that the multiprocessor has room for. The limits are those of NVIDIA's tables.
"""

from __future__ import annotations

from typing import NamedTuple

from jitml.codegen.nvptx.assembler import Resources

_WARP = 32
_REGISTERS = 1 << 16
_REGISTER_STEP = 256  # a warp's registers are given out in steps of so many
_RESERVED_BYTES = 1 << 10  # of shared memory, for each block


class _Limits(NamedTuple):
    """What a multiprocessor has room for."""

    warps: int
    blocks: int
    shared_bytes: int


_LIMITS = {
    "sm_80": _Limits(64, 32, 164 << 10),
    "sm_86": _Limits(48, 16, 100 << 10),
    "sm_89": _Limits(48, 24, 100 << 10),
    "sm_90": _Limits(64, 32, 228 << 10),
    "sm_100": _Limits(64, 32, 228 << 10),
    "sm_120": _Limits(48, 24, 100 << 10),
}


def occupancy(resources: Resources, threads: int, target: str) -> float:
    """The share of a multiprocessor's warps that run at once, in blocks of so many threads."""
    limits = _LIMITS[target]
    warps = -(-threads // _WARP)
    per_warp = -(-max(1, resources.registers) * _WARP // _REGISTER_STEP) * _REGISTER_STEP
    blocks = min(
        limits.blocks,
        limits.warps // warps,
        _REGISTERS // (per_warp * warps),
        limits.shared_bytes // (resources.shared_bytes + _RESERVED_BYTES),
    )
    return blocks * warps / limits.warps
