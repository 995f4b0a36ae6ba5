"""The types of one contraction kernel and the register tile that they lead to.

In: operand, accumulate and result dtypes and a target. Out: what the kernels compute in, and the
tile. A complex product is a real one of twice the depth and twice the columns (see `gemm`), so
the tile is always real.
"""

from __future__ import annotations

from typing import NamedTuple

from jitml.codegen.gemm_micro import Tile
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.target import Target
from jitml.scalar.value import BITS, SIGNED, UNSIGNED

_COMPLEX = {"c64": "f32", "c128": "f64"}
_FLOATS = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64"}
_INTEGERS = SIGNED | UNSIGNED


class GemmTypes(NamedTuple):
    """Dtypes of one kernel; for complex ones the parts' types, with `pairs` true."""

    operand: str
    accumulate: str
    result: str
    pairs: bool
    tile: Tile

    @property
    def compute(self) -> str:
        return self.tile.compute

    @property
    def parts(self) -> int:
        """How many real numbers make an element."""
        return 2 if self.pairs else 1

    @property
    def operand_bytes(self) -> int:
        """Size of an operand's element (of both parts of a complex one)."""
        return STORAGE_BITS[self.operand] // 8 * self.parts

    @property
    def result_bytes(self) -> int:
        return STORAGE_BITS[self.result] // 8 * self.parts

    @property
    def plain_operand(self) -> bool:
        """Whether the micro-kernel may read operands where they are."""
        return same_bits(self.operand, self.compute)

    @property
    def plain_result(self) -> bool:
        """Whether the micro-kernel may keep its partial sums in the result."""
        return same_bits(self.result, self.compute) and self.accumulate == self.compute

    @property
    def holds(self) -> bool:
        """Whether partial sums may have to be held apart from the result."""
        return not (self.plain_result and self.tile.masks)

    @property
    def masks_operand(self) -> bool:
        """Whether some lanes of a vector of operands can be read."""
        return self.plain_operand and self.tile.masks and self.tile.lanes > 1


def same_bits(a: str, b: str) -> bool:
    """Whether two types are stored alike (equal but for the sign of integers)."""
    return a == b or (a in _INTEGERS and b in _INTEGERS and BITS[a] == BITS[b])


def resolve_types(operand: str, accumulate: str, result: str, target: Target) -> GemmTypes:
    """Check the three dtypes and choose compute type and tile.

    Raises:
        ValueError: no kernel is defined for this combination.
    """
    pairs = [dtype in _COMPLEX for dtype in (operand, accumulate, result)]
    if all(pairs):
        operand, accumulate, result = (_COMPLEX[d] for d in (operand, accumulate, result))
    compute = _compute(accumulate)
    if any(pairs) != all(pairs) or not _fits(operand, compute) or not _fits(result, compute):
        raise ValueError(
            f"no contraction kernel multiplies {operand}, accumulates in {accumulate} and "
            f"gives {result}; convert the operands or the result first"
        )
    # Only a result wider than the accumulator shows where sums wrapped around.
    if compute.startswith("f") or BITS[result] <= BITS[accumulate]:
        accumulate = compute
    lanes = target.lanes(BITS[compute] // 8)
    rows, panel_rows = _heights(target)
    # AVX and AVX-512 have masks for numbers of 32 and 64 bits.
    masks = target.triple.startswith("x86_64") and target.vector_bytes >= 32
    tile = Tile(compute, lanes, rows, panel_rows, masks)
    return GemmTypes(operand, accumulate, result, all(pairs), tile)


def _heights(target: Target) -> tuple[int, int]:
    """Rows of the tiles: as many as registers allow (32 of them, or 16)."""
    if target.triple.startswith("x86_64") and target.vector_bytes < 64:
        return 6, 6
    return 8, 14


def _compute(accumulate: str) -> str:
    """What sums are held in: wrap-around sums of small integers are exact modulo 2^32."""
    if accumulate in _INTEGERS:
        return "i64" if BITS[accumulate] == 64 else "i32"
    return _FLOATS.get(accumulate, "")


def _fits(dtype: str, compute: str) -> bool:
    """Whether values convert between `dtype` and `compute` in one rounding."""
    if dtype in _INTEGERS:
        return compute in ("i32", "i64")
    if dtype in ("f16", "bf16"):
        return compute == "f32"
    return dtype in ("f32", "f64") and compute in ("f32", "f64")
