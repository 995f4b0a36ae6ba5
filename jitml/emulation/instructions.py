"""What each instruction does, lane by lane.

Comes in: an instruction of a kernel. Goes out: a function over the state of the machine and the
lanes that stand there. Arithmetic is IEEE 754's as PTX has it: results that are not a number are
the canonical one. A multiplication or addition that the assembler might fuse is refused, and so is
what approximates; but in kernels that NVIDIA's compiler wrote both are computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.emulation.carry import has_carry, with_carry
from jitml.emulation.faults import EmulatedFault
from jitml.emulation.fused import fused_multiply_add
from jitml.emulation.operands import Array, dtype_of, parts_of, reader, writer
from jitml.emulation.ptx import PAIRS, Instruction, PtxError, bits_of

if TYPE_CHECKING:
    from jitml.emulation.machine import Kernel, Lanes

Step = Callable[["Lanes", Array], None]
_TYPES = ("pred", *PAIRS, "f16", "f32", "f64", *(f"{k}{n}" for k in "sub" for n in (8, 16, 32, 64)))
_ROUNDED = ("add", "sub", "mul", "fma", "div", "rcp", "sqrt")
_CANONICAL: dict[int, Any] = {
    4: np.uint32(0x7FFFFFFF),
    8: np.uint64(0x7FF8000000000000),
    2: np.uint16(0x7FFF),
}


def compile_instruction(kernel: Kernel, instruction: Instruction) -> Step:
    """The meaning of one instruction."""
    if kernel.is_foreign:
        instruction = _as_exact(instruction)
    name = instruction.opcode[0]
    builder = with_carry if has_carry(instruction) else _BUILDERS.get(name)
    if builder is None:
        raise PtxError(f"line {instruction.line}: unknown instruction {instruction}")
    try:
        step = builder(kernel, instruction)
    except (KeyError, IndexError, ValueError) as error:
        raise PtxError(f"line {instruction.line}: {instruction}: {error}") from error
    if instruction.guard is None or name == "bra":
        return step
    register, negated = instruction.guard

    def guarded(state: Lanes, lanes: Array) -> None:
        chosen = state.read(register, lanes)
        some = lanes[~chosen if negated else chosen]
        if len(some):
            step(state, some)

    return guarded


def _as_exact(instruction: Instruction) -> Instruction:
    """The instruction without leave to approximate, to flush small numbers, or to be fused."""
    opcode = [part for part in instruction.opcode if part not in ("approx", "full", "ftz")]
    if opcode[0] in _ROUNDED and opcode[-1] in ("f32", "f64") and opcode[1] == opcode[-1]:
        opcode.insert(1, "rn")
    return replace(instruction, opcode=tuple(opcode))


def types_of(instruction: Instruction) -> list[str]:
    """The types in an opcode, in order."""
    return [part for part in instruction.opcode[1:] if part in _TYPES]


def _canonical(values: Any) -> Any:
    """One NaN for all."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        bad = values != values
        if bad.any():
            bits = values.view(f"u{values.dtype.itemsize}")
            return np.where(bad, _CANONICAL[values.dtype.itemsize], bits).view(values.dtype)
    return values


# ---- arithmetic ----------------------------------------------------------------------------------

Function = Callable[..., Any]


def _elementwise(function: Function, count: int, by_bits: bool = False) -> Any:
    """Instructions whose operands and result have one type."""

    def build(kernel: Kernel, instruction: Instruction) -> Step:
        type_ = types_of(instruction)[-1]
        if type_ in PAIRS:
            return _by_halves(kernel, instruction, lambda *x: _canonical(function(*x)), count)
        if by_bits and type_ != "pred":
            type_ = f"u{bits_of(type_)}"
        _refuse_fusion(instruction, type_)
        target, *sources = instruction.operands
        read = [reader(kernel, s, type_) for s in sources[:count]]
        write = writer(kernel, target, type_)
        if count == 2:
            first, second = read
            return lambda state, lanes: write(
                state, lanes, _canonical(function(first(state, lanes), second(state, lanes)))
            )
        return lambda state, lanes: write(
            state, lanes, _canonical(function(*(r(state, lanes) for r in read)))
        )

    return build


def _halves(words: Array, type_: str) -> tuple[Array, Array]:
    """The two numbers of a pair, the lower one first."""
    low, high = (words & np.uint32(0xFFFF)), (words >> np.uint32(16))
    dtype = PAIRS[type_]
    return low.astype(np.uint16).view(dtype), high.astype(np.uint16).view(dtype)


def _pair(low: Any, high: Any) -> Array:
    first, second = (np.asarray(x).view(np.uint16) for x in (low, high))
    pair: Array = first.astype(np.uint32) | (second.astype(np.uint32) << np.uint32(16))
    return pair


def _by_halves(kernel: Kernel, instruction: Instruction, function: Function, count: int) -> Step:
    """An instruction on pairs of numbers."""
    type_ = types_of(instruction)[-1]
    _refuse_fusion(instruction, type_)
    read = [reader(kernel, s, "u32") for s in instruction.operands[1 : 1 + count]]
    write = writer(kernel, instruction.operands[0], "u32")

    def step(state: Lanes, lanes: Array) -> None:
        halves = [_halves(np.asarray(r(state, lanes)), type_) for r in read]
        low, high = (function(*(h[k] for h in halves)) for k in (0, 1))
        write(state, lanes, _pair(low, high))

    return step


def _in_double(function: Function) -> Any:
    """Functions that a device only approximates: exact but for the last bit."""
    exact = _elementwise(lambda x: function(x.astype(np.float64)).astype(x.dtype), 1)

    def build(kernel: Kernel, instruction: Instruction) -> Step:
        if not kernel.is_foreign:
            raise PtxError(f"line {instruction.line}: unknown instruction {instruction}")
        return exact(kernel, instruction)  # type: ignore[no-any-return]

    return build


def _add(kernel: Kernel, instruction: Instruction) -> Step:
    rounding = instruction.opcode[1]
    if rounding not in ("rz", "rm", "rp") or instruction.opcode[-1] != "f32":
        return _elementwise(np.add, 2)(kernel, instruction)  # type: ignore[no-any-return]
    target, first, second = instruction.operands
    operands = (target, first, "0f3F800000", second)
    return _fused(kernel, replace(instruction, operands=operands))


def _refuse_fusion(instruction: Instruction, type_: str) -> None:
    name = instruction.opcode[0]
    is_float = type_.startswith("f") and name in ("add", "sub", "mul")
    if is_float and "rn" not in instruction.opcode:
        raise PtxError(f"line {instruction.line}: {instruction} may be fused: it has no rounding")
    if {"ftz", "approx", "full"} & set(instruction.opcode):
        raise PtxError(f"line {instruction.line}: {instruction} is not IEEE 754's")


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.divide(a, b)
    zero = b == 0
    safe = np.where(zero, b.dtype.type(1), b)
    if a.dtype.kind == "i":
        least = np.iinfo(a.dtype).min
        wraps = (a == least) & (safe == -1)
        safe = np.where(wraps, b.dtype.type(1), safe)
    quotient = a // safe
    if a.dtype.kind == "i":
        inexact = quotient * safe != a
        quotient = quotient + (inexact & ((a < 0) != (safe < 0))).astype(a.dtype)
    # Undefined on a device: nothing may depend on it.
    return np.where(zero, np.invert(np.zeros_like(quotient)), quotient).astype(a.dtype)


def _remainder(a: Array, b: Array) -> Array:
    zero = b == 0
    safe = np.where(zero, b.dtype.type(1), b)
    return np.where(zero, a, a - _divide(a, safe) * safe).astype(a.dtype)


def _least(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.minimum(a, b)
    both = np.where(np.signbit(a), a, b)
    return np.where((a == b) & (a == 0), both, np.fmin(a, b))


def _greatest(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.maximum(a, b)
    both = np.where(np.signbit(a), b, a)
    return np.where((a == b) & (a == 0), both, np.fmax(a, b))


def _negate(a: Array) -> Array:
    return np.negative(a) if a.dtype.kind == "f" else (np.zeros_like(a) - a)


def _copy_sign(sign: Array, magnitude: Array) -> Array:
    return np.copysign(magnitude, sign)


def _population(x: Array) -> Array:
    return np.bitwise_count(x).astype(np.uint32)


def _leading_zeros(x: Array) -> Array:
    bits = 8 * x.dtype.itemsize
    count = np.zeros(x.shape, np.uint32)
    going = np.ones(x.shape, bool)
    for place in range(bits - 1, -1, -1):
        going &= ((x >> x.dtype.type(place)) & x.dtype.type(1)) == 0
        count += going
    return count


def _reverse_bits(x: Array) -> Array:
    result = np.zeros_like(x)
    for place in range(8 * x.dtype.itemsize):
        bit = (x >> x.dtype.type(place)) & x.dtype.type(1)
        result |= bit << x.dtype.type(8 * x.dtype.itemsize - 1 - place)
    return result


def _fused(kernel: Kernel, instruction: Instruction) -> Step:
    type_ = types_of(instruction)[-1]
    rounding = instruction.opcode[1]
    known = ("rn", "rz", "rm", "rp") if type_ == "f32" else ("rn",)
    if rounding not in known or "ftz" in instruction.opcode:
        raise PtxError(f"{instruction} is not IEEE 754's")
    read = [reader(kernel, s, type_) for s in instruction.operands[1:4]]
    write = writer(kernel, instruction.operands[0], type_)
    first, second, third = read

    def step(state: Lanes, lanes: Array) -> None:
        values = first(state, lanes), second(state, lanes), third(state, lanes)
        write(state, lanes, _canonical(fused_multiply_add(*values, rounding)))

    return step


def _multiply(kernel: Kernel, instruction: Instruction) -> Step:
    """mul and mad of whole numbers: their lower half, upper half, or all of them."""
    type_ = types_of(instruction)[-1]
    if type_.startswith("f"):
        if instruction.opcode[0] == "mad":
            return _fused(kernel, instruction)
        return _elementwise(np.multiply, 2)(kernel, instruction)  # type: ignore[no-any-return]
    bits = bits_of(type_)
    is_wide, is_high = "wide" in instruction.opcode, "hi" in instruction.opcode
    result = f"{type_[0]}{2 * bits}" if is_wide else type_
    first, second = (reader(kernel, s, type_) for s in instruction.operands[1:3])
    adds = instruction.opcode[0] == "mad"
    third = reader(kernel, instruction.operands[3], result) if adds else None
    write = writer(kernel, instruction.operands[0], result)
    dtype = dtype_of(result)

    def step(state: Lanes, lanes: Array) -> None:
        a, b = first(state, lanes), second(state, lanes)
        if is_high:
            whole = np.asarray(a).astype(object) * np.asarray(b).astype(object)
            product = np.asarray((whole >> bits) % (1 << bits), object)
            product = product.astype(f"u{bits // 8}").view(dtype)
        else:
            product = a.astype(dtype) * b.astype(dtype)
        write(state, lanes, product if third is None else product + third(state, lanes))

    return step


def _shift(kernel: Kernel, instruction: Instruction) -> Step:
    type_ = types_of(instruction)[-1]
    bits, to_left = bits_of(type_), instruction.opcode[0] == "shl"
    first = reader(kernel, instruction.operands[1], type_)
    second = reader(kernel, instruction.operands[2], "u32")
    write = writer(kernel, instruction.operands[0], type_)

    def step(state: Lanes, lanes: Array) -> None:
        x, by = first(state, lanes), second(state, lanes)
        over = by >= bits
        by = np.minimum(by, bits - 1).astype(x.dtype)
        shifted = x << by if to_left else x >> by
        filled = np.where(x < 0, x.dtype.type(-1), x.dtype.type(0)) if x.dtype.kind == "i" else 0
        empty = np.zeros_like(x) if to_left else filled
        write(state, lanes, np.where(over, empty, shifted).astype(x.dtype))

    return step


def _funnel(kernel: Kernel, instruction: Instruction) -> Step:
    """shf: 32 bits out of two registers side by side."""
    low, high, by = (reader(kernel, s, "u32") for s in instruction.operands[1:4])
    write = writer(kernel, instruction.operands[0], "u32")
    to_left, wraps = "l" in instruction.opcode, "wrap" in instruction.opcode

    def step(state: Lanes, lanes: Array) -> None:
        a, b = low(state, lanes).astype(np.uint64), high(state, lanes).astype(np.uint64)
        n = by(state, lanes).astype(np.uint64)
        n = n & np.uint64(31) if wraps else np.minimum(n, np.uint64(32))
        both = (b << np.uint64(32)) | a
        found = (both << n) >> np.uint64(32) if to_left else both >> n
        write(state, lanes, (found & np.uint64(0xFFFFFFFF)).astype(np.uint32))

    return step


def _extract_bits(kernel: Kernel, instruction: Instruction) -> Step:
    type_ = types_of(instruction)[-1]
    bits = bits_of(type_)
    read = reader(kernel, instruction.operands[1], type_)
    begin, length = (reader(kernel, s, "u32") for s in instruction.operands[2:4])
    write = writer(kernel, instruction.operands[0], type_)

    def step(state: Lanes, lanes: Array) -> None:
        wide = np.asarray(read(state, lanes)).astype(object)
        position = np.asarray(begin(state, lanes)).astype(object) & 255
        count = np.asarray(length(state, lanes)).astype(object) & 255

        def one(x: int, p: int, n: int) -> int:
            x %= 1 << bits
            sign = x >> min(p + n - 1, bits - 1) & 1 if n and type_[0] == "s" else 0
            found = x >> p & ((1 << n) - 1)
            return int(found | (-sign << min(n, max(bits - p, 0)))) % (1 << bits)

        values = np.vectorize(one, otypes=[f"u{bits // 8}"])(wide, position, count)
        write(state, lanes, values.view(dtype_of(type_)))

    return step


def _insert_bits(kernel: Kernel, instruction: Instruction) -> Step:
    type_ = f"u{bits_of(types_of(instruction)[-1])}"
    bits = bits_of(type_)
    part, whole = (reader(kernel, s, type_) for s in instruction.operands[1:3])
    begin, length = (reader(kernel, s, "u32") for s in instruction.operands[3:5])
    write = writer(kernel, instruction.operands[0], type_)

    def step(state: Lanes, lanes: Array) -> None:
        a, b = part(state, lanes), whole(state, lanes)
        p = begin(state, lanes).astype(np.uint64) & np.uint64(255)
        n = length(state, lanes).astype(np.uint64) & np.uint64(255)
        one = np.uint64(1)
        full = np.where(n >= 64, ~np.uint64(0), (one << np.minimum(n, np.uint64(63))) - one)
        mask = np.where(p >= bits, np.uint64(0), full << np.minimum(p, np.uint64(63)))
        moved = np.where(
            p >= bits, np.uint64(0), a.astype(np.uint64) << np.minimum(p, np.uint64(63))
        )
        found = (b.astype(np.uint64) & ~mask) | (moved & mask)
        write(state, lanes, found.astype(dtype_of(type_)))

    return step


def _permute_bytes(kernel: Kernel, instruction: Instruction) -> Step:
    low, high, chosen = (reader(kernel, s, "u32") for s in instruction.operands[1:4])
    write = writer(kernel, instruction.operands[0], "u32")

    def step(state: Lanes, lanes: Array) -> None:
        both = low(state, lanes).astype(np.uint64) | (
            high(state, lanes).astype(np.uint64) << np.uint64(32)
        )
        selector = chosen(state, lanes).astype(np.uint64)
        found = np.zeros_like(both)
        for k in range(4):
            nibble = selector >> np.uint64(4 * k) & np.uint64(15)
            byte = both >> (np.uint64(8) * (nibble & np.uint64(7))) & np.uint64(255)
            sign = np.where(byte >> np.uint64(7), np.uint64(255), np.uint64(0))
            byte = np.where(nibble & np.uint64(8), sign, byte)
            found |= byte << np.uint64(8 * k)
        write(state, lanes, found.astype(np.uint32))

    return step


# ---- comparisons and conversions -----------------------------------------------------------------

_COMPARISONS: dict[str, Function] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
    "eq": np.equal, "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b), "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b), "geu": lambda a, b: ~(a < b),
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "nan": lambda a, b: (a != a) | (b != b), "num": lambda a, b: (a == a) & (b == b),
}  # fmt: skip


def _ordered_not_equal(a: Array, b: Array) -> Array:
    return (a < b) | (a > b)


def _compare(kernel: Kernel, instruction: Instruction) -> Step:
    name, type_ = instruction.opcode[1], types_of(instruction)[-1]
    function = _COMPARISONS.get(name, _ordered_not_equal if name == "ne" else None)
    if function is None or len(instruction.operands) != 3:
        raise PtxError(f"line {instruction.line}: unknown comparison {instruction}")
    if type_ in PAIRS:
        return _compare_halves(kernel, instruction, function)
    first, second = (reader(kernel, s, type_) for s in instruction.operands[1:])
    targets = instruction.operands[0].split("|")
    writes = [writer(kernel, t, "pred") for t in targets]

    def step(state: Lanes, lanes: Array) -> None:
        found = np.asarray(function(first(state, lanes), second(state, lanes)))
        writes[0](state, lanes, found)
        if len(writes) > 1:
            writes[1](state, lanes, ~found)

    return step


def _compare_halves(kernel: Kernel, instruction: Instruction, function: Function) -> Step:
    """A comparison of pairs: one predicate for each."""
    type_ = types_of(instruction)[-1]
    first, second = (reader(kernel, s, "u32") for s in instruction.operands[1:])
    writes = [writer(kernel, t, "pred") for t in instruction.operands[0].split("|")]

    def step(state: Lanes, lanes: Array) -> None:
        a, b = (_halves(np.asarray(r(state, lanes)), type_) for r in (first, second))
        for k, write in enumerate(writes):
            write(state, lanes, np.asarray(function(a[k], b[k])))

    return step


def _select(kernel: Kernel, instruction: Instruction) -> Step:
    type_ = types_of(instruction)[-1]
    target, yes, no, condition = instruction.operands
    first, second = _bits(kernel, yes, type_), _bits(kernel, no, type_)
    chosen = reader(kernel, condition, "pred")
    write = writer(kernel, target, f"u{bits_of(type_)}")
    return lambda state, lanes: write(
        state, lanes, np.where(chosen(state, lanes), first(state, lanes), second(state, lanes))
    )


def _bits(kernel: Kernel, text: str, type_: str) -> Any:
    """An operand as its bits, also where it is written as a floating-point number."""
    read = reader(kernel, text, type_)
    unsigned = f"u{bits_of(type_) // 8}"
    return lambda state, lanes: np.asarray(read(state, lanes)).view(unsigned)


_ROUNDINGS: dict[str, Function] = {
    "rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil,
}  # fmt: skip


def _convert(kernel: Kernel, instruction: Instruction) -> Step:
    after, before = types_of(instruction)
    if after in PAIRS:
        return _convert_pair(kernel, instruction)
    saturates = "sat" in instruction.opcode and (after, before) == ("f32", "f32")
    if "ftz" in instruction.opcode or ("sat" in instruction.opcode and not saturates):
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    read = reader(kernel, instruction.operands[1], before)
    write = writer(kernel, instruction.operands[0], after)
    rounding = next((_ROUNDINGS[p] for p in instruction.opcode if p in _ROUNDINGS), None)
    dtype = dtype_of(after)

    def step(state: Lanes, lanes: Array) -> None:
        values = read(state, lanes)
        if values.dtype.kind == "f" and dtype.kind in "iu":
            write(state, lanes, _to_whole(values, dtype, rounding or np.trunc))
        elif values.dtype.kind == "f":
            found = values if rounding is None else rounding(values)
            if saturates:  # between 0 and 1
                found = np.fmin(np.fmax(found, values.dtype.type(0)), values.dtype.type(1))
            write(state, lanes, _canonical(found.astype(dtype)))
        elif dtype.kind == "f":
            write(state, lanes, values.astype(dtype))
        else:
            write(state, lanes, values.astype(dtype))

    return step


def _convert_pair(kernel: Kernel, instruction: Instruction) -> Step:
    """Two numbers as a pair, the first one in its upper half."""
    upper, lower = (reader(kernel, s, "f32") for s in instruction.operands[1:])
    write = writer(kernel, instruction.operands[0], "u32")

    def step(state: Lanes, lanes: Array) -> None:
        numbers = (np.asarray(r(state, lanes)).astype(np.float16) for r in (lower, upper))
        write(state, lanes, _pair(*map(_canonical, numbers)))

    return step


def _to_whole(values: Array, dtype: np.dtype[Any], rounding: Function) -> Array:
    """Saturating; what is no number becomes 0, or with 64 bits at either end the sign bit."""
    limits = np.iinfo(dtype)
    rounded = np.asarray(rounding(values.astype(np.float64)))
    is_number = rounded == rounded
    over = rounded >= float(limits.max)
    under = rounded <= float(limits.min)
    inside = np.where(is_number & ~over & ~under, rounded, 0).astype(dtype)
    found = np.where(over, limits.max, np.where(under, limits.min, inside)).astype(dtype)
    has_64_bits = values.dtype.itemsize == 8 or dtype.itemsize == 8
    sign = 1 << (8 * dtype.itemsize - 1)
    nothing = np.array(sign if has_64_bits else 0, np.uint64).astype(f"u{dtype.itemsize}")
    return np.where(is_number, found, nothing.view(dtype))


# ---- moves and memory ----------------------------------------------------------------------------


def _move(kernel: Kernel, instruction: Instruction) -> Step:
    target, source = instruction.operands
    type_ = types_of(instruction)[-1]
    if target.startswith("{"):
        return _take_apart(kernel, parts_of(target), source, type_)
    if source.startswith("{"):
        return _put_together(kernel, target, parts_of(source), type_)
    read = reader(kernel, source, type_)
    write = writer(kernel, target, type_)
    return lambda state, lanes: write(state, lanes, np.copy(read(state, lanes)))


def _take_apart(kernel: Kernel, targets: list[str], source: str, type_: str) -> Step:
    bits = bits_of(type_) // len(targets)
    read = reader(kernel, source, f"u{bits_of(type_)}")
    writes = [writer(kernel, t, f"u{bits}") for t in targets]
    dtype = dtype_of(f"u{bits}")

    def step(state: Lanes, lanes: Array) -> None:
        whole = np.copy(read(state, lanes))
        for k, write in enumerate(writes):
            write(state, lanes, (whole >> whole.dtype.type(bits * k)).astype(dtype))

    return step


def _put_together(kernel: Kernel, target: str, sources: list[str], type_: str) -> Step:
    bits = bits_of(type_) // len(sources)
    reads = [reader(kernel, s, f"u{bits}") for s in sources]
    write = writer(kernel, target, f"u{bits_of(type_)}")
    dtype = dtype_of(f"u{bits_of(type_)}")

    def step(state: Lanes, lanes: Array) -> None:
        whole = np.zeros((), dtype)
        for k, read in enumerate(reads):
            whole = whole | (read(state, lanes).astype(dtype) << dtype.type(bits * k))
        write(state, lanes, whole)

    return step


def _branch(kernel: Kernel, instruction: Instruction) -> Step:
    place = kernel.entry.labels[instruction.operands[0]]
    if instruction.guard is None:
        return lambda state, lanes: state.go(place, lanes)
    register, negated = instruction.guard

    def step(state: Lanes, lanes: Array) -> None:
        chosen = state.read(register, lanes)
        chosen = ~chosen if negated else chosen
        state.go(place, lanes[chosen])
        state.go(state.pc + 1, lanes[~chosen])

    return step


def _return(kernel: Kernel, instruction: Instruction) -> Step:
    if instruction.guard is not None:
        raise PtxError(f"line {instruction.line}: a guarded return is not supported")

    def step(state: Lanes, lanes: Array) -> None:
        state.exited[lanes] = True

    return step


def _barrier(kernel: Kernel, instruction: Instruction) -> Step:
    if instruction.guard is not None or instruction.operands not in (("0",), ()):
        raise PtxError(f"line {instruction.line}: {instruction} is not supported")
    return lambda state, lanes: state.wait(lanes)


def _set_conditional(kernel: Kernel, instruction: Instruction) -> Step:
    """What a conditional node of the running graph is to ask for."""
    handle, value = (
        reader(kernel, text, type_)
        for text, type_ in zip(instruction.operands, ("u64", "u32"), strict=True)
    )

    def step(state: Lanes, lanes: Array) -> None:
        if len(lanes) > 1:
            raise EmulatedFault("race", "several threads set what a conditional node asks")
        number = int(handle(state, lanes).item())
        if number not in state.memory.conditionals:
            raise EmulatedFault("launch", "the graph that runs has no such conditional handle")
        state.memory.conditionals[number] = int(value(state, lanes).item())

    return step


def _nothing(kernel: Kernel, instruction: Instruction) -> Step:
    return lambda state, lanes: None


def _builders() -> dict[str, Callable[[Kernel, Instruction], Step]]:
    from jitml.emulation import accesses, matrix, warps

    return {
        "add": _add,
        "sub": _elementwise(np.subtract, 2),
        "mul": _multiply,
        "mad": _multiply,
        "fma": _fused,
        "div": _elementwise(_divide, 2),
        "rem": _elementwise(_remainder, 2),
        "min": _elementwise(_least, 2),
        "max": _elementwise(_greatest, 2),
        "and": _elementwise(np.bitwise_and, 2, by_bits=True),
        "or": _elementwise(np.bitwise_or, 2, by_bits=True),
        "xor": _elementwise(np.bitwise_xor, 2, by_bits=True),
        "not": _elementwise(np.invert, 1, by_bits=True),
        "abs": _elementwise(np.abs, 1),
        "neg": _elementwise(_negate, 1),
        "sqrt": _elementwise(np.sqrt, 1),
        "rcp": _elementwise(np.reciprocal, 1),
        "rsqrt": _in_double(lambda x: 1 / np.sqrt(x)),
        "ex2": _in_double(np.exp2),
        "lg2": _in_double(np.log2),
        "sin": _in_double(np.sin),
        "cos": _in_double(np.cos),
        "tanh": _in_double(np.tanh),
        "copysign": _elementwise(_copy_sign, 2),
        "brev": _elementwise(_reverse_bits, 1, by_bits=True),
        "popc": _counting(_population),
        "clz": _counting(_leading_zeros),
        "shl": _shift,
        "shr": _shift,
        "shf": _funnel,
        "bfe": _extract_bits,
        "bfi": _insert_bits,
        "prmt": _permute_bytes,
        "setp": _compare,
        "selp": _select,
        "cvt": _convert,
        "cvta": accesses.convert_address,
        "mov": _move,
        "ld": accesses.load,
        "ldu": accesses.load,
        "st": accesses.store,
        "atom": accesses.update,
        "red": accesses.update,
        "bra": _branch,
        "ret": _return,
        "exit": _return,
        "bar": _barrier,
        "barrier": _barrier,
        "shfl": warps.shuffle,
        "vote": warps.vote,
        "mma": matrix.multiply,
        "ldmatrix": matrix.load_matrices,
        "cp": matrix.copy_later,
        "set_conditional": _set_conditional,
        "membar": _nothing,
        "fence": _nothing,
    }


def _counting(function: Function) -> Any:
    """Instructions that count bits: the result has 32 of them."""

    def build(kernel: Kernel, instruction: Instruction) -> Step:
        type_ = f"u{bits_of(types_of(instruction)[-1])}"
        read = reader(kernel, instruction.operands[1], type_)
        write = writer(kernel, instruction.operands[0], "u32")
        return lambda state, lanes: write(state, lanes, function(read(state, lanes)))

    return build


_BUILDERS = _builders()
