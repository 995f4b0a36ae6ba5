"""Instructions of AVX-512 that the scalar language has and LLVM's own language lacks.

In: vectors of 16, 32 or 64 bytes. Out: what `jitml.scalar.composed` computes for them, the bits of
NaN aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitml.scalar.value import BITS, Value, select

if TYPE_CHECKING:
    from jitml.codegen.llvm import Emitter

_ROUND_AS_EVER = "4"
# Mantissas from 3/4 to 3/2 (3), without the sign of zeros (4), NaN below 0 (8).
_INTERVAL = "15"


def vector_lanes(type_: str, lanes: int) -> int:
    """The lanes of the longest vector that divides such a one; 0 where it is too short."""
    longest = min(lanes & -lanes, 512 // BITS[type_])
    return longest if longest * BITS[type_] >= 128 else 0


def instruction(emit: Emitter, name: str, *operands: Value) -> Value:
    """The instruction `name` of the scalar language."""
    x = operands[0]
    if name == "scale":
        return _call(emit, "scalef", operands, ())
    mantissa = _call(emit, "getmant", (x,), (_INTERVAL,))
    if name == "mantissa":
        return mantissa
    k = _call(emit, "getexp", (x,), ())
    return select(mantissa < 1.0, k + 1.0, k)


def _call(emit: Emitter, name: str, operands: tuple[Value, ...], numbers: tuple[str, ...]) -> Value:
    """A call of LLVM's intrinsic for it, with all lanes enabled."""
    x = operands[0]
    bits, lanes = BITS[x.type], x.lanes
    vector = f"<{lanes} x {'float' if bits == 32 else 'double'}>"
    function = f"@llvm.x86.avx512.mask.{name}.{'ps' if bits == 32 else 'pd'}.{bits * lanes}"
    given = [(vector, v.ref) for v in operands] + [("i32", n) for n in numbers]
    given += [(vector, "zeroinitializer"), (f"i{max(lanes, 8)}", "-1")]
    if bits * lanes == 512:
        given.append(("i32", _ROUND_AS_EVER))
    types = ", ".join(type_ for type_, _ in given)
    arguments = ", ".join(f"{type_} {ref}" for type_, ref in given)
    emit.declarations.add(f"declare {vector} {function}({types})")
    return emit.pure(f"call {vector} {function}({arguments})", x.type, lanes)
