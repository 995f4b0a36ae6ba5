"""The LLVM backend of the scalar language: one table over its instructions, and control flow as
text.

An `Emitter` writes the body of one LLVM function. Scalars and explicit vectors go through the same
calls; equal instructions within scope are written once, so no middle-end pass is needed. It knows
no array and no graph.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitml.codegen import avx512
from jitml.scalar.composed import COMPOSED
from jitml.scalar.value import (
    BITS,
    FLOATS,
    SIGNED,
    Number,
    Value,
    bitcast,
    convert,
    select,
)

LINE_BYTES = 64  # what caches fetch and write together
STORAGE_BITS = {**BITS, "bool": 8, "f16": 16, "bf16": 16}
# What a storage type is computed in; types not listed compute as themselves.
COMPUTE = {"bool": "i1", "f16": "f32", "bf16": "f32"}
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_PLAIN = frozenset([*_INTEGER, *_FLOAT, "rem", "shl", "shr"])
_INTRINSICS = {
    "fma": "fma", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "round_even": "roundeven", "copysign": "copysign", "population_count": "ctpop",
}  # fmt: skip
_FOLD: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}
Body = Callable[[Value, list[Value]], Sequence[Value]]
Function = Callable[..., "Value | Sequence[Value]"]


@functools.cache
def llvm_type(type_: str, lanes: int = 1) -> str:
    """LLVM's spelling of a scalar type, or of a vector of it."""
    if type_ in ("f32", "f64"):
        scalar = "float" if type_ == "f32" else "double"
    elif type_ == "ptr":
        scalar = "ptr"
    else:
        scalar = "i" + type_[1:]
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def _literal(type_: str, number: Number) -> str:
    if type_ == "i1":
        return "true" if number else "false"
    if type_ in FLOATS:
        # A binary32 constant is written as the binary64 pattern of its value.
        value = _round_to_float32(float(number)) if type_ == "f32" else float(number)
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    return str(int(number))


def _round_to_float32(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


class Emitter:
    """Writes one function's body; `lines` is its text so far, `declarations` what the module needs
    beside it: intrinsics, tables, and functions, which have `attributes`. If it `aligns_vectors`,
    those in memory lie at multiples of their size. With `has_avx512` some instructions are its own.
    """

    def __init__(
        self,
        attributes: str = "nounwind",
        aligns_vectors: bool = False,
        has_avx512: bool = False,
    ) -> None:
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.attributes = attributes
        self.aligns_vectors = aligns_vectors
        self.has_avx512 = has_avx512
        self.block = "entry"
        self._count = 0
        self._scopes: list[dict[Any, Any]] = [{}]
        self._functions: dict[Any, tuple[str, list[Value]]] = {}

    # ---- values ----------------------------------------------------------------------------

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def constant(self, type_: str, number: Number, lanes: int = 1) -> Value:
        text = _literal(type_, number)
        ref = text if lanes == 1 else f"splat ({llvm_type(type_)} {text})"
        return Value(self, type_, lanes, ref, number)

    def splat(self, value: Value, lanes: int) -> Value:
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, (value, lanes)
        if value.number is not None:
            return self.constant(value.type, value.number, lanes)
        vector, scalar = llvm_type(value.type, lanes), llvm_type(value.type)
        seed = self.pure(
            f"insertelement {vector} poison, {scalar} {value.ref}, i32 0", value.type, lanes
        )
        return self.pure(
            f"shufflevector {vector} {seed.ref}, {vector} poison, <{lanes} x i32> zeroinitializer",
            value.type,
            lanes,
        )

    def pure(self, text: str, type_: str, lanes: int = 1) -> Value:
        """The value of a side-effect free instruction; an equal one in scope is reused."""
        key = f"{type_} {text}"
        for scope in reversed(self._scopes):
            if key in scope:
                found: Value = scope[key]
                return found
        value = self.effect(text, type_, lanes)
        self._scopes[-1][key] = value
        return value

    def effect(self, text: str, type_: str, lanes: int = 1) -> Value:
        """The value of an instruction that must be written anew each time (loads)."""
        name = self.fresh()
        self.line(f"{name} = {text}")
        return Value(self, type_, lanes, name)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Code that need not dominate what follows: what it computes is not reused after it."""
        self._scopes.append({})
        try:
            yield
        finally:
            self._scopes.pop()

    # ---- the instruction table ----------------------------------------------------------------

    def instruction(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value:
        folded = self._fold(name, type_, lanes, operands)
        if folded is not None:
            return folded
        source = operands[0].type
        vector = llvm_type(source, lanes)
        refs = [x.ref for x in operands]
        if name in _PLAIN:
            text = f"{_arithmetic(name, source)} {vector} {refs[0]}, {refs[1]}"
        elif name == "select":
            choice = llvm_type(type_, lanes)
            text = (
                f"select {llvm_type('i1', lanes)} {refs[0]}, {choice} {refs[1]}, {choice} {refs[2]}"
            )
        elif name in ("convert", "bitcast"):
            return self._cast(name, operands[0], type_)
        elif name in _INTRINSICS:
            return self.intrinsic(_INTRINSICS[name], type_, lanes, refs)
        elif name == "abs":
            return self.intrinsic("fabs", type_, lanes, refs)
        elif name in COMPOSED:
            return self._composed(name, operands)
        elif name == "count_leading_zeros":
            return self._count_leading_zeros(operands[0])
        elif name == "neg":
            text = f"fneg {vector} {refs[0]}" if source in FLOATS else self._negative(operands[0])
        else:
            text = f"{_comparison(name, source)} {vector} {refs[0]}, {refs[1]}"
        return self.pure(text, type_, lanes)

    def _fold(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value | None:
        """Address arithmetic on known i64 numbers is done here, not at run time."""
        if type_ != "i64" or name not in _FOLD:
            return None
        a, b = operands
        if a.number is not None and b.number is not None:
            return self.constant(type_, _FOLD[name](int(a.number), int(b.number)), lanes)
        if (b.number == 0 and name in ("add", "sub")) or (b.number == 1 and name == "mul"):
            return a
        if (a.number == 0 and name == "add") or (a.number == 1 and name == "mul"):
            return b
        return None

    def _negative(self, x: Value) -> str:
        return f"sub {llvm_type(x.type, x.lanes)} {self.constant(x.type, 0, x.lanes).ref}, {x.ref}"

    def intrinsic(self, name: str, type_: str, lanes: int, refs: Sequence[str]) -> Value:
        """Call the overloaded LLVM intrinsic `name`, whose operands have its result's type."""
        vector = llvm_type(type_, lanes)
        function = f"@llvm.{name}.{suffix(type_, lanes)}"
        self.declarations.add(f"declare {vector} {function}({', '.join([vector] * len(refs))})")
        arguments = ", ".join(f"{vector} {ref}" for ref in refs)
        return self.pure(f"call {vector} {function}({arguments})", type_, lanes)

    def _composed(self, name: str, operands: tuple[Value, ...]) -> Value:
        """An instruction of AVX-512 for each of its vectors, or others in its place."""
        lanes = operands[0].lanes
        whole = avx512.vector_lanes(operands[0].type, lanes) if self.has_avx512 else 0
        if not whole:
            return COMPOSED[name](*operands)
        parts = [
            avx512.instruction(self, name, *(self._part(x, k, whole) for x in operands))
            for k in range(0, lanes, whole)
        ]
        return self._joined(parts)

    def _part(self, x: Value, first: int, lanes: int) -> Value:
        if x.lanes == lanes:
            return x
        if x.number is not None:
            return self.constant(x.type, x.number, lanes)
        return self.shuffle(x, x, range(first, first + lanes))

    def _joined(self, parts: Sequence[Value]) -> Value:
        """The concatenation of vectors; a power of two of them."""
        while len(parts) > 1:
            lanes = range(2 * parts[0].lanes)
            parts = [
                self.shuffle(a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
        return parts[0]

    def _count_leading_zeros(self, x: Value) -> Value:
        vector, function = llvm_type(x.type, x.lanes), f"@llvm.ctlz.{suffix(x.type, x.lanes)}"
        self.declarations.add(f"declare {vector} {function}({vector}, i1)")
        return self.pure(f"call {vector} {function}({vector} {x.ref}, i1 false)", x.type, x.lanes)

    def _cast(self, name: str, x: Value, type_: str) -> Value:
        before, after = llvm_type(x.type, x.lanes), llvm_type(type_, x.lanes)
        if name == "bitcast" or (x.type not in FLOATS and type_ not in FLOATS):
            name = "bitcast" if name == "bitcast" else _integer_cast(x.type, type_)
            if before == after:
                return Value(self, type_, x.lanes, x.ref, None)
        elif x.type in FLOATS and type_ in FLOATS:
            if type_ == "f32":
                return self._rounded_once(x)
            name = "fpext"
        elif type_ in FLOATS:
            name = "sitofp" if x.type in SIGNED else "uitofp"
        else:
            return self._saturate(x, type_)
        return self.pure(f"{name} {before} {x.ref} to {after}", type_, x.lanes)

    def _rounded_once(self, x: Value) -> Value:
        """f64 as f32. What follows does not see where it comes from: LLVM would take a sign, say,
        from the f64, which it can only narrow to f16 by a function that is not there.
        """
        before, after = llvm_type(x.type, x.lanes), llvm_type("f32", x.lanes)
        result = self.pure(f"fptrunc {before} {x.ref} to {after}", "f32", x.lanes)
        if self.aligns_vectors:  # for GPUs, which can
            return result
        return self.intrinsic("arithmetic.fence", "f32", x.lanes, [result.ref])

    def _saturate(self, x: Value, type_: str) -> Value:
        """Towards zero; what is out of range becomes the nearest number, NaN zero."""
        before, after = llvm_type(x.type, x.lanes), llvm_type(type_, x.lanes)
        kind = "fptosi" if type_ in SIGNED else "fptoui"
        if x.lanes > 1:  # of vectors LLVM would convert each lane apart
            plain = self.pure(f"{kind} {before} {x.ref} to {after}", type_, x.lanes)
            return _saturated(x, plain)
        function = f"@llvm.{kind}.sat.{suffix(type_, x.lanes)}.{suffix(x.type, x.lanes)}"
        self.declarations.add(f"declare {after} {function}({before})")
        return self.pure(f"call {after} {function}({before} {x.ref})", type_, x.lanes)

    def lookup(self, table: Sequence[float], index: Value, type_: str) -> Value:
        """Read a constant table that travels with the code, lane by lane."""
        element, vector = llvm_type(type_), llvm_type(type_, index.lanes)
        numbers = ", ".join(f"{element} {_literal(type_, number)}" for number in table)
        text = f"[{len(table)} x {element}] [{numbers}]"
        name = f"@table.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.declarations.add(f"{name} = private unnamed_addr constant {text}")
        pointers = llvm_type("ptr", index.lanes)
        address = f"getelementptr inbounds {element}, ptr {name}, {llvm_type('i64', index.lanes)}"
        place = self.pure(f"{address} {index.ref}", "ptr", index.lanes)
        if index.lanes == 1:
            align = BITS[type_] // 8
            return self.pure(f"load {element}, ptr {place.ref}, align {align}", type_)
        lanes = f"v{index.lanes}"
        function = f"@llvm.masked.gather.{suffix(type_, index.lanes)}.{lanes}p0"
        mask = f"<{index.lanes} x i1>"
        self.declarations.add(f"declare {vector} {function}({pointers}, i32, {mask}, {vector})")
        arguments = (
            f"{pointers} {place.ref}, i32 {BITS[type_] // 8}, "
            f"{mask} splat (i1 true), {vector} poison"
        )
        return self.pure(f"call {vector} {function}({arguments})", type_, index.lanes)

    # ---- functions ------------------------------------------------------------------------------

    def apply(self, function: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
        """The value of `function(*operands)`, computed in place."""
        return function(*operands)

    def call_shared(self, functions: Sequence[Function], operands: Sequence[Value]) -> list[Value]:
        """The values of all `functions` of `operands`, computed by one function of the module that
        all such calls share.
        """
        name, results = self._define(functions, operands)
        arguments = ", ".join(_typed(x) for x in operands)
        types = _result_type(results)
        whole = self.pure(f"call {types} {name}({arguments})", "call")
        if len(results) == 1:
            return [Value(self, results[0].type, results[0].lanes, whole.ref)]
        return [
            self.pure(f"extractvalue {types} {whole.ref}, {k}", x.type, x.lanes)
            for k, x in enumerate(results)
        ]

    def _define(
        self, functions: Sequence[Function], operands: Sequence[Value]
    ) -> tuple[str, list[Value]]:
        """Write `functions` for operands of these types and lanes; the name of the code and its
        results.
        """
        key = (*functions, *((x.type, x.lanes) for x in operands))
        if key in self._functions:
            return self._functions[key]
        body = Emitter(self.attributes, has_avx512=self.has_avx512)
        arguments = [
            Value(body, x.type, x.lanes, f"%a{number}") for number, x in enumerate(operands)
        ]
        results: list[Value] = []
        for function in functions:
            result = function(*arguments)
            values = [result] if isinstance(result, Value) else result
            results.extend(body.splat(x, operands[0].lanes) for x in values)
        names = [f"{f.__module__.rpartition('.')[2]}.{f.__name__}" for f in functions]
        name = "@" + ".".join([*names, *(suffix(x.type, x.lanes) for x in operands)])
        self.declarations |= body.declarations
        self.declarations.add(_definition(name, arguments, body, results))
        self._functions[key] = name, results
        return name, results

    def rarely(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        """The values of `rare(*operands)` in lanes where `condition` holds, else `usual`; a side
        path that is skipped where no lane asks.
        """
        lanes = max(condition.lanes, *(v.lanes for v in usual))
        condition, *usual = (self.splat(v, lanes) for v in (condition, *usual))
        operands = tuple(self.splat(v, lanes) for v in operands)
        key = (rare, *(v.ref for v in (condition, *operands, *usual)))
        for scope in reversed(self._scopes):
            if key in scope:
                return list(scope[key])
        results = self._side_path(condition, rare, operands, usual)
        self._scopes[-1][key] = results
        return results

    def _side_path(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        asked = self.any_lane(condition)
        self._count += 1
        number, before = self._count, self.block
        self.line(f"br i1 {asked.ref}, label %rare{number}, label %usual{number}")
        self.label(f"rare{number}")
        with self.scope():
            values = rare(*operands)
            if condition.lanes > 1:
                values = [select(condition, x, y) for x, y in zip(values, usual, strict=True)]
        latch = self.block
        self.line(f"br label %usual{number}")
        self.label(f"usual{number}")
        results = [Value(self, v.type, v.lanes, f"%u{number}.{k}") for k, v in enumerate(values)]
        for result, value, other in zip(results, values, usual, strict=True):
            self.lines.append(self._phi(result, other, before, value, latch))
        return results

    def repeat(
        self,
        condition: Function,
        step: Callable[..., Sequence[Value]],
        state: Sequence[Value],
        fixed: tuple[Value, ...],
    ) -> list[Value]:
        """A loop that runs as long as any lane asks; lanes that no longer do keep their state."""
        lanes = max(v.lanes for v in (*state, *fixed))
        first = [self.splat(v, lanes) for v in state]
        fixed = tuple(self.splat(v, lanes) for v in fixed)
        key = (condition, step, *(v.ref for v in (*first, *fixed)))
        for scope in reversed(self._scopes):
            if key in scope:
                return list(scope[key])
        self._count += 1
        number, before = self._count, self.block
        self.line(f"br label %while{number}")
        self.label(f"while{number}")
        at = len(self.lines)
        now = [Value(self, v.type, lanes, f"%w{number}.{k}") for k, v in enumerate(first)]
        with self.scope():
            going = condition(*now, *fixed)
            assert isinstance(going, Value)
            self.line(f"br i1 {self.any_lane(going).ref}, label %do{number}, label %end{number}")
            self.label(f"do{number}")
            after = [select(going, x, y) for x, y in zip(step(*now, *fixed), now, strict=True)]
            latch = self.block
            self.line(f"br label %while{number}")
        pairs = zip(now, first, after, strict=True)
        self.lines[at:at] = [self._phi(x, a, before, b, latch) for x, a, b in pairs]
        self.label(f"end{number}")
        self._scopes[-1][key] = now
        return now

    # ---- memory ---------------------------------------------------------------------------------

    def address(self, pointer: Value, index: Value, storage: str) -> Value:
        """The address of element `index` of an array of `storage` elements."""
        if index.number == 0:
            return pointer
        element = f"i{STORAGE_BITS[storage]}"
        return self.pure(
            f"getelementptr inbounds {element}, ptr {pointer.ref}, i64 {index.ref}", "ptr"
        )

    def load(self, pointer: Value, storage: str, lanes: int = 1) -> Value:
        """Load `lanes` consecutive elements, widened to the type that `storage` computes in."""
        raw = storage if storage not in COMPUTE else f"u{STORAGE_BITS[storage]}"
        align = STORAGE_BITS[storage] // 8 * (lanes if self.aligns_vectors else 1)
        text = f"load {llvm_type(raw, lanes)}, ptr {pointer.ref}, align {align}"
        return self.widen(self.effect(text, raw, lanes), storage)

    def prefetch(self, pointer: Value, level: int, to_write: bool = False) -> None:
        """Ask for the cache line at `pointer`, whatever that address is, in cache `level`."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        how = f"i32 {int(to_write)}, i32 {4 - level}, i32 1"
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer.ref}, {how})")

    def store(self, pointer: Value, value: Value, storage: str, streaming: bool = False) -> None:
        """Store consecutive elements, rounded to `storage`; a streaming store needs whole cache
        lines.
        """
        raw = self.narrow(value, storage)
        align = STORAGE_BITS[storage] // 8 * (value.lanes if self.aligns_vectors else 1)
        align = LINE_BYTES if streaming else align
        tail = ", !nontemporal !0" if streaming else ""
        vector = llvm_type(raw.type, raw.lanes)
        self.line(f"store {vector} {raw.ref}, ptr {pointer.ref}, align {align}{tail}")

    def widen(self, raw: Value, storage: str) -> Value:
        """From stored bits to the compute type."""
        if storage == "bool":
            return raw != 0
        if storage == "bf16":
            return bitcast(convert(raw, "u32") << 16, "f32")
        if storage == "f16":
            before = f"<{raw.lanes} x half>" if raw.lanes > 1 else "half"
            half = self.pure(
                f"bitcast {llvm_type('u16', raw.lanes)} {raw.ref} to {before}", "f16", raw.lanes
            )
            return self.pure(
                f"fpext {before} {half.ref} to {llvm_type('f32', raw.lanes)}", "f32", raw.lanes
            )
        return raw

    def narrow(self, value: Value, storage: str) -> Value:
        """From the compute type to the bits that are stored, rounding to nearest even."""
        if storage == "bool":
            return self._cast("convert", value, "u8")
        if storage == "bf16":
            bits = bitcast(value, "u32")
            rounded = bits + 0x7FFF + ((bits >> 16) & 1)
            bits = select(value != value, bits | 0x400000, rounded)
            return convert(bits >> 16, "u16")
        if storage == "f16":
            half = f"<{value.lanes} x half>" if value.lanes > 1 else "half"
            rounded = self.pure(
                f"fptrunc {llvm_type('f32', value.lanes)} {value.ref} to {half}",
                "f16",
                value.lanes,
            )
            return self.pure(
                f"bitcast {half} {rounded.ref} to {llvm_type('u16', value.lanes)}",
                "u16",
                value.lanes,
            )
        return value

    def round_to(self, value: Value, storage: str) -> Value:
        """`value` as it reads back after a store to `storage`."""
        if storage not in ("f16", "bf16"):
            return value
        return self.widen(self.narrow(value, storage), storage)

    # ---- lanes -------------------------------------------------------------------------------

    def extract(self, vector: Value, lane: int) -> Value:
        if vector.lanes == 1:
            return vector
        text = f"extractelement {llvm_type(vector.type, vector.lanes)} {vector.ref}, i32 {lane}"
        return self.pure(text, vector.type)

    def insert(self, vector: Value, scalar: Value, lane: int) -> Value:
        text = (
            f"insertelement {llvm_type(vector.type, vector.lanes)} {vector.ref}, "
            f"{llvm_type(scalar.type)} {scalar.ref}, i32 {lane}"
        )
        return self.pure(text, vector.type, vector.lanes)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Pick lanes of the concatenation of `a` and `b`."""
        if b is a and [*lanes] == [*range(a.lanes)]:
            return a
        vector = llvm_type(a.type, a.lanes)
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        text = f"shufflevector {vector} {a.ref}, {vector} {b.ref}, <{len(lanes)} x i32> <{mask}>"
        if len(lanes) > 1:
            return self.pure(text, a.type, len(lanes))
        return self.extract(a, lanes[0]) if lanes[0] < a.lanes else self.extract(b, lanes[0])

    def replace_lanes(self, vector: Value, part: Value, first: int) -> Value:
        """The vector with the lanes of `part` in place of its own from `first` on."""
        if part.lanes == 1:
            return self.insert(vector, part, first)
        wide = self.shuffle(part, part, [k % part.lanes for k in range(vector.lanes)])
        inside = range(first, first + part.lanes)
        lanes = [vector.lanes + k - first if k in inside else k for k in range(vector.lanes)]
        return self.shuffle(vector, wide, lanes)

    def lane_numbers(self, lanes: int) -> Value:
        """The vector 0, 1, 2, … as i64."""
        if lanes == 1:
            return self.constant("i64", 0)
        numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
        return Value(self, "i64", lanes, f"<{numbers}>")

    def any_lane(self, mask: Value) -> Value:
        """Whether any lane of an i1 vector holds."""
        if mask.lanes == 1:
            return mask
        function = f"@llvm.vector.reduce.or.v{mask.lanes}i1"
        self.declarations.add(f"declare i1 {function}(<{mask.lanes} x i1>)")
        return self.pure(f"call i1 {function}(<{mask.lanes} x i1> {mask.ref})", "i1")

    # ---- control flow ----------------------------------------------------------------------------

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def loop(
        self, lower: Value, upper: Value, step: Value | int, carried: Sequence[Value], body: Body
    ) -> list[Value]:
        """`for i in range(lower, upper, step)` as a guarded do-while; `body(i, carried)` gives the
        next state."""
        self._count += 1
        number = self._count
        top, out = f"loop{number}", f"done{number}"
        before = self.block
        guard = lower < upper
        self.line(f"br i1 {guard.ref}, label %{top}, label %{out}")
        self.label(top)
        at = len(self.lines)
        index = Value(self, "i64", 1, f"%i{number}")
        state = [Value(self, v.type, v.lanes, f"%s{number}.{k}") for k, v in enumerate(carried)]
        with self.scope():
            after = list(body(index, state))
            following = index + step
            self.line(f"%c{number} = icmp slt i64 {following.ref}, {upper.ref}")
        latch = self.block
        self.line(f"br i1 %c{number}, label %{top}, label %{out}")
        phis = [f"  {index.ref} = phi i64 [{lower.ref}, %{before}], [{following.ref}, %{latch}]"]
        for old, first, new in zip(state, carried, after, strict=True):
            phis.append(self._phi(old, first, before, new, latch))
        self.lines[at:at] = phis
        self.label(out)
        results = [Value(self, v.type, v.lanes, f"%r{number}.{k}") for k, v in enumerate(carried)]
        for result, first, new in zip(results, carried, after, strict=True):
            self.lines.append(self._phi(result, first, before, new, latch))
        return results

    def _phi(self, name: Value, a: Value, from_a: str, b: Value, from_b: str) -> str:
        vector = llvm_type(name.type, name.lanes)
        return f"  {name.ref} = phi {vector} [{a.ref}, %{from_a}], [{b.ref}, %{from_b}]"

    def if_(
        self, condition: Value, then: Callable[[], None], other: Callable[[], None] | None = None
    ) -> None:
        """Run `then` where the scalar `condition` holds, else the `other`."""
        self._count += 1
        yes, no, out = (f"{name}{self._count}" for name in ("then", "else", "end"))
        self.line(f"br i1 {condition.ref}, label %{yes}, label %{no if other else out}")
        for name, branch in ((yes, then), (no, other)):
            if branch is not None:
                self.label(name)
                with self.scope():
                    branch()
                self.line(f"br label %{out}")
        self.label(out)


def suffix(type_: str, lanes: int) -> str:
    """How overloaded intrinsics spell a type: f32, i64, v8f32."""
    scalar = type_ if type_ in FLOATS else f"i{BITS[type_]}"
    return scalar if lanes == 1 else f"v{lanes}{scalar}"


def _saturated(x: Value, plain: Value) -> Value:
    """A plain conversion of floats to integers, put right where they are out of range or NaN."""
    is_signed, bits = plain.type in SIGNED, BITS[plain.type]
    least = -(1 << (bits - 1)) if is_signed else 0
    end = 1 << (bits - 1 if is_signed else bits)
    inside = select(x < float(least), plain.like(least), plain)
    inside = select(x < float(end), inside, end - 1)
    return select(x == x, inside, 0)


def _result_type(results: Sequence[Value]) -> str:
    types = [llvm_type(x.type, x.lanes) for x in results]
    return types[0] if len(types) == 1 else "{" + ", ".join(types) + "}"


def _definition(
    name: str, arguments: Sequence[Value], body: Emitter, results: Sequence[Value]
) -> str:
    """The text of a function that is called, not inlined."""
    types, last = _result_type(results), results[0].ref
    parameters = ", ".join(map(_typed, arguments))
    lines = [
        f"define internal {types} {name}({parameters}) noinline {body.attributes} {{",
        "entry:",
        *body.lines,
    ]
    if len(results) > 1:
        last = "poison"
        for number, x in enumerate(results):
            lines.append(f"  %whole{number} = insertvalue {types} {last}, {_typed(x)}, {number}")
            last = f"%whole{number}"
    return "\n".join([*lines, f"  ret {types} {last}", "}"])


def _typed(x: Value) -> str:
    return f"{llvm_type(x.type, x.lanes)} {x.ref}"


def _comparison(name: str, type_: str) -> str:
    if type_ in FLOATS:
        return "fcmp " + ("une" if name == "ne" else "o" + name)
    if name in ("eq", "ne"):
        return "icmp " + name
    return "icmp " + ("s" if type_ in SIGNED else "u") + name


def _arithmetic(name: str, type_: str) -> str:
    if type_ in FLOATS:
        return _FLOAT[name]
    sign = "s" if type_ in SIGNED else "u"
    if name in ("div", "rem"):
        return sign + name
    if name == "shr":
        return "ashr" if sign == "s" else "lshr"
    return "shl" if name == "shl" else _INTEGER[name]


def _integer_cast(before: str, after: str) -> str:
    if BITS[after] == BITS[before]:
        return "bitcast"
    if BITS[after] < BITS[before]:
        return "trunc"
    return "sext" if before in SIGNED else "zext"
