"""One LLVM function of a contraction module, written through the scalar language.

In: a name and parameter types. Out: the function's text. It adds to `Emitter` what kernels that
move pointers by run-time strides need: byte offsets, pointer loads, calls and early returns. It
knows no contraction.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.llvm import Emitter, llvm_type, suffix
from jitml.scalar.value import BITS, Value, select

ABI = ("ptr", "ptr", "i64", "i64", "ptr")
STOP_OFFSET, SCRATCH_OFFSET = 24, 32
STOPPED = 2


class Function(Emitter):
    """An `Emitter` with parameters, a name and a return type.

    A `cold` function only calls others in loops: it is compiled quickly rather than well.
    """

    def __init__(
        self, name: str, parameters: Sequence[str], returns: str = "void", cold: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.cold = cold
        self.returns = returns
        self.parameters = [Value(self, t, 1, f"%p{i}") for i, t in enumerate(parameters)]

    def integer(self, number: int) -> Value:
        """An i64 constant."""
        return self.constant("i64", number)

    def offset(self, pointer: Value, size_bytes: Value) -> Value:
        """`pointer` moved by a number of bytes; it may leave its array, so nothing is assumed."""
        if size_bytes.number == 0:
            return pointer
        return self.pure(f"getelementptr i8, ptr {pointer.ref}, i64 {size_bytes.ref}", "ptr")

    def opaque(self, value: Value) -> Value:
        """The same value, hidden from strength reduction: addresses stay as written."""
        if value.number is not None:
            return value
        return self.effect(f"freeze {llvm_type(value.type)} {value.ref}", value.type)

    def load_integer(self, array: Value, index: int) -> Value:
        """Element `index` of an i64 array that does not change while the function runs."""
        place = self.offset(array, self.integer(8 * index))
        return self.pure(f"load i64, ptr {place.ref}, align 8", "i64")

    def load_pointer(self, array: Value, index: int) -> Value:
        """Element `index` of an array of pointers that does not change while the function runs."""
        place = self.offset(array, self.integer(8 * index))
        return self.pure(f"load ptr, ptr {place.ref}, align 8", "ptr")

    def store_integer(self, array: Value, index: int, value: Value) -> None:
        """Write element `index` of an i64 array that nothing in this function loads."""
        self.store(self.offset(array, self.integer(8 * index)), value, "i64")

    def first_lanes(self, count: Value, lanes: int) -> Value:
        """A mask of the lanes below `count`."""
        return self.lane_numbers(lanes) < self.splat(count, lanes)

    def load_lanes(self, pointer: Value, type_: str, mask: Value) -> Value:
        """The consecutive elements that `mask` asks for; nothing else is read, and gives zero."""
        lanes = mask.lanes
        vector, choice = llvm_type(type_, lanes), llvm_type("i1", lanes)
        name = f"@llvm.masked.load.{suffix(type_, lanes)}.p0"
        self.declarations.add(f"declare {vector} {name}(ptr, i32, {choice}, {vector})")
        arguments = (
            f"ptr {pointer.ref}, i32 {BITS[type_] // 8}, {choice} {mask.ref}, "
            f"{vector} zeroinitializer"
        )
        return self.effect(f"call {vector} {name}({arguments})", type_, lanes)

    def store_lanes(self, pointer: Value, value: Value, type_: str, mask: Value) -> None:
        """Write the lanes that `mask` asks for, and nothing else."""
        vector, choice = llvm_type(type_, value.lanes), llvm_type("i1", value.lanes)
        name = f"@llvm.masked.store.{suffix(type_, value.lanes)}.p0"
        self.declarations.add(f"declare void {name}({vector}, ptr, i32, {choice})")
        arguments = (
            f"{vector} {value.ref}, ptr {pointer.ref}, i32 {BITS[type_] // 8}, {choice} {mask.ref}"
        )
        self.line(f"call void {name}({arguments})")

    def call(self, name: str, arguments: Sequence[Value]) -> None:
        """Call a function of this module that returns nothing."""
        self.line(f"call void @{name}({_typed(arguments)})")

    def call_kernel(self, code: Value, arguments: Sequence[Value]) -> Value:
        """Call a kernel by pointer; its status as i32."""
        return self.effect(f"call i32 {code.ref}({_typed(arguments)})", "i32")

    def leave(self, status: int) -> None:
        """Return from the middle of a function; what follows in this block is never reached."""
        self.line(f"ret i32 {status}")
        self.label("after" + self.fresh()[1:])

    def leave_if_stopped(self, fault: Value) -> None:
        """Poll the stop flag of the fault record, and return when it is set."""
        flag = self.load_pointer(fault, STOP_OFFSET // 8)
        stop = self.effect(f"load volatile i32, ptr {flag.ref}, align 4", "i32")
        self.if_(stop != 0, lambda: self.leave(STOPPED))

    def text(self, attributes: str) -> str:
        """The whole function; kernels of the ABI are visible, all else is internal."""
        attributes += " optnone noinline" if self.cold else ""
        linkage = "internal void" if self.returns == "void" else self.returns
        parameters = _typed(self.parameters)
        ending = [] if self.returns != "void" else ["  ret void"]
        body = "\n".join(["entry:", *self.lines, *ending])
        return f"define {linkage} @{self.name}({parameters}) {attributes} {{\n{body}\n}}\n"


def _typed(values: Sequence[Value]) -> str:
    return ", ".join(f"{llvm_type(v.type, v.lanes)} {v.ref}" for v in values)


def smaller(a: Value, b: Value | int) -> Value:
    """The smaller of two integers."""
    return select(a < b, a, b)


def larger(a: Value, b: Value | int) -> Value:
    """The larger of two integers."""
    return select(a < b, b, a)
