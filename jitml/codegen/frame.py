"""The function of a kernel: its head and tail, and what its body finds there.

Comes in: the lines of a body, written through `emit`. Goes out: the text of one function of the
kernel ABI. Numbers that are sizes are arguments, so equal text serves other sizes. It knows no
loops and no nodes.
"""

from __future__ import annotations

from jitml.codegen.llvm import Emitter
from jitml.codegen.target import Target
from jitml.scalar.value import Value

_FAIL = """
define internal void
@fail(ptr %f, i64 %site, i64 %index, i64 %value, i1 %bad) noinline nounwind {
entry:
  br i1 %bad, label %compare, label %out
compare:
  %pi = getelementptr i64, ptr %f, i64 1
  %pv = getelementptr i64, ptr %f, i64 2
  %s = load i64, ptr %f
  %i = load i64, ptr %pi
  %lower = icmp slt i64 %site, %s
  %same = icmp eq i64 %site, %s
  %before = icmp slt i64 %index, %i
  %tie = and i1 %same, %before
  %first = or i1 %lower, %tie
  br i1 %first, label %keep, label %out
keep:
  store i64 %site, ptr %f
  store i64 %index, ptr %pi
  store i64 %value, ptr %pv
  br label %out
out:
  ret void
}
"""


class Frame:
    """A kernel's function under construction: sizes, memory of its own, operands.

    `sizes` are the arguments to call it with, `scratch_bytes` what it needs of the worker's area.
    """

    def __init__(self, target: Target, operand_count: int, aligns_vectors: bool = False) -> None:
        bits = 8 * target.vector_bytes
        self.emit = Emitter(
            f'nounwind "min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"',
            aligns_vectors,
            target.has_avx512,
        )
        self.sizes: list[int] = []
        self.scratch_bytes = 0
        self.pointers = [
            Value(self.emit, "ptr", 1, f"%b{number}") for number in range(operand_count)
        ]
        self._size_slots: dict[int, Value] = {}
        self._prefix: list[str] = []
        self.is_streaming = False  # whether stores are to be waited for at the end

    def number(self, n: int) -> Value:
        """A number that is part of the text."""
        return self.emit.constant("i64", n)

    def size(self, n: int) -> Value:
        """A size as an argument of the kernel (0 and 1 are part of the text)."""
        if n in (0, 1):
            return self.number(n)
        if n not in self._size_slots:
            slot = len(self.sizes)
            self.sizes.append(n)
            self._prefix.append(f"  %pz{slot} = getelementptr i64, ptr %sizes, i64 {slot}")
            self._prefix.append(f"  %z{slot} = load i64, ptr %pz{slot}, align 8")
            self._size_slots[n] = Value(self.emit, "i64", 1, f"%z{slot}")
        return self._size_slots[n]

    def stack(self, size_bytes: int) -> Value:
        """Memory of fixed size in the function's frame."""
        name = f"%m{len(self._prefix)}"
        self._prefix.append(f"  {name} = alloca [{size_bytes} x i8], align 64")
        return Value(self.emit, "ptr", 1, name)

    def scratch(self, size_bytes: int) -> Value:
        """Memory whose size depends on sizes, in the worker's scratch area."""
        offset = self.scratch_bytes
        self.scratch_bytes += (size_bytes + 63) // 64 * 64
        if offset == 0:
            self._prefix.append("  %ps = getelementptr i64, ptr %fault, i64 4")
            self._prefix.append("  %scratch = load ptr, ptr %ps, align 8")
        base = Value(self.emit, "ptr", 1, "%scratch")
        return self.emit.address(base, self.size(offset), "u8")

    def zeros(self) -> str:
        """The name of some readable zero bytes, for reads whose result is not wanted."""
        nothing = "@nothing = internal constant [512 x i8] zeroinitializer, align 64"
        self.emit.declarations.add(nothing)
        return "@nothing"

    def fail(self, site: int, index: Value, value: Value, is_bad: Value) -> None:
        """Record the failure of check `site` in the fault, if it is the first and `is_bad`."""
        self.emit.line(
            f"call void @fail(ptr %fault, i64 {site}, i64 {index.ref}, "
            f"i64 {value.ref}, i1 {is_bad.ref})"
        )

    def finish(self, has_checks: bool) -> str:
        """End the body and return the text of the module."""
        if self.is_streaming:
            self.emit.declarations.add("declare void @llvm.x86.sse.sfence()")
            self.emit.line("call void @llvm.x86.sse.sfence()")
        if has_checks:
            self.emit.line("%site = load i64, ptr %fault")
            self.emit.line(f"%failed = icmp ne i64 %site, {2**63 - 1}")
            self.emit.line("%code = zext i1 %failed to i32")
            self.emit.line("ret i32 %code")
        else:
            self.emit.line("ret i32 0")
        lines = [
            *sorted(self.emit.declarations),
            self._head(),
            "entry:",
            *self._operand_lines(),
            *self._prefix,
            *self.emit.lines,
            "}",
            "!0 = !{i32 1}",
        ]
        return "\n".join(lines) + "\n" + (_FAIL if has_checks else "")

    def _head(self) -> str:
        return (
            "define i32 @kernel(ptr noalias %buffers, ptr noalias %sizes, i64 %begin, i64 %end, "
            f"ptr noalias %fault) {self.emit.attributes} {{"
        )

    def _operand_lines(self) -> list[str]:
        return [
            line
            for k in range(len(self.pointers))
            for line in (
                f"  %pb{k} = getelementptr ptr, ptr %buffers, i64 {k}",
                f"  %b{k} = load ptr, ptr %pb{k}, align 8",
            )
        ]
