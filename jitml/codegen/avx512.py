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
# What to do with a number of each kind, four bits for each: quiet and signalling NaN take the
# place of what was there before, others do not.
_TAKE_NAN = 0x11


def vector_lanes(type_: str, lanes: int) -> int:
    """The lanes of the longest vector that divides such a one; 0 where it is too short."""
    longest = min(lanes & -lanes, 512 // BITS[type_])
    return longest if longest * BITS[type_] >= 128 else 0


def instruction(emit: Emitter, name: str, *operands: Value) -> Value:
    """The instruction `name` of the scalar language."""
    x = operands[0]
    if name in ("minimum", "maximum"):
        return _extreme(emit, name, *operands)
    if name == "scale":
        return _call(emit, "scalef", operands, ())
    mantissa = _call(emit, "getmant", (x,), (_INTERVAL,))
    if name == "mantissa":
        return mantissa
    k = _call(emit, "getexp", (x,), ())
    return select(mantissa < 1.0, k + 1.0, k)


def _extreme(emit: Emitter, name: str, x: Value, y: Value) -> Value:
    """Without a mask, of which few can be on their way while memory is waited for."""
    extreme = select(x < y if name == "minimum" else x > y, x, y)
    if x.number is not None and x.number == x.number:
        return extreme
    kinds = emit.constant(f"i{BITS[x.type]}", _TAKE_NAN, x.lanes)
    return _intrinsic(emit, "fixupimm", x, [*map(_typed, (extreme, x, kinds)), ("i32", "0")])


def _call(emit: Emitter, name: str, operands: tuple[Value, ...], numbers: tuple[str, ...]) -> Value:
    """A call of LLVM's intrinsic for it, with all lanes enabled."""
    x = operands[0]
    given = [*map(_typed, operands), *(("i32", n) for n in numbers)]
    return _intrinsic(emit, name, x, [*given, (_typed(x)[0], "zeroinitializer")])


def _intrinsic(emit: Emitter, name: str, x: Value, given: list[tuple[str, str]]) -> Value:
    """LLVM's intrinsic for vectors like x, with all lanes enabled; operands come with types."""
    bits, lanes = BITS[x.type], x.lanes
    vector, _ = _typed(x)
    function = f"@llvm.x86.avx512.mask.{name}.{'ps' if bits == 32 else 'pd'}.{bits * lanes}"
    given.append((f"i{max(lanes, 8)}", "-1"))
    if bits * lanes == 512:
        given.append(("i32", _ROUND_AS_EVER))
    types = ", ".join(type_ for type_, _ in given)
    arguments = ", ".join(f"{type_} {ref}" for type_, ref in given)
    emit.declarations.add(f"declare {vector} {function}({types})")
    return emit.pure(f"call {vector} {function}({arguments})", x.type, lanes)


def _typed(x: Value) -> tuple[str, str]:
    """The type of a vector and its name, as LLVM writes them."""
    element = {"f32": "float", "f64": "double"}.get(x.type, f"i{BITS[x.type]}")
    return f"<{x.lanes} x {element}>", str(x.ref)
