"""The LLVM text of a C function that runs a plan: on one thread, in memory that the caller gives.

In: a lowered program, and the names of its kernels' functions. Out: lines of text. The function
follows the plan as the runtime's executor does: each buffer has a place that holds where it lies,
which loops change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitml.codegen.plan import Program
from jitml_runtime import Branch, Buffer, Copy, Instruction, Loop, Plan
from jitml_runtime.plan import block_ends

MISALIGNED = -1

_RUN = """\
define internal i32 @run(ptr %kernel, ptr %buffers, ptr %sizes, i64 %extent, i64 %grain, ptr %f) {
entry:
  %any = icmp sgt i64 %extent, 0
  br i1 %any, label %chunk, label %done
chunk:
  %begin = phi i64 [ 0, %entry ], [ %next, %chunk ]
  %status = phi i32 [ 0, %entry ], [ %either, %chunk ]
  %next = add i64 %begin, %grain
  %beyond = icmp sgt i64 %next, %extent
  %end = select i1 %beyond, i64 %extent, i64 %next
  %one = call i32 %kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %f)
  %either = or i32 %status, %one
  %more = icmp slt i64 %next, %extent
  br i1 %more, label %chunk, label %done
done:
  %result = phi i32 [ 0, %entry ], [ %either, %chunk ]
  ret i32 %result
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)"""


class Driver:
    """The function `name`, which takes `arguments` inputs, the results and a workspace; the other
    inputs of the plan are `constants`.
    """

    def __init__(
        self,
        program: Program,
        name: str,
        arguments: int,
        constants: Sequence[bytes],
        kernels: Sequence[str],
    ) -> None:
        self.program = program
        self.plan = program.plan
        self.name = name
        self.arguments = arguments
        self.constants = constants
        self.kernels = kernels
        self.globals: list[str] = []
        self.body: list[str] = []
        self.values = 0
        counts = [len(sites) for sites in program.sites]
        self.first_status = [1 + sum(counts[:number]) for number in range(len(counts))]

    def lines(self) -> Iterator[str]:
        """The text of the function and of all that it needs but the kernels."""
        self._block(0, len(self.plan.instructions))
        self._store_results()
        inputs = [f"ptr %i{k}" for k in range(self.arguments)]
        outputs = [f"ptr %o{k}" for k in range(len(self.plan.outputs))]
        prologue = list(self._prologue())
        yield from self.globals
        for kernel in dict.fromkeys(self.kernels):
            yield f"declare i32 @{kernel}(ptr, ptr, i64, i64, ptr)"
        yield _RUN
        signature = ", ".join([*inputs, *outputs, "ptr %workspace"])
        yield f"define i32 @{self.name}({signature}) nounwind {{"
        yield from prologue
        yield from self.body
        yield "  ret i32 0"
        yield "}"

    # ---- memory ----------------------------------------------------------------------------------

    def _prologue(self) -> Iterator[str]:
        steps = self.plan.instructions
        most = max([len(s.buffers) for s in steps if isinstance(s, Instruction)], default=1)
        yield "entry:"
        yield f"  %table = alloca [{most} x ptr], align 64"
        yield "  %fault = alloca [5 x i64], align 64"
        yield "  %stop = alloca i32, align 4"
        for number in range(len(self.plan.buffers)):
            yield f"  %b{number} = alloca ptr, align 8"
        for number, step in enumerate(steps):
            if isinstance(step, Loop):
                yield f"  %at{number} = alloca i64, align 8"
        yield "  store i32 0, ptr %stop, align 4"
        yield "  %address = ptrtoint ptr %workspace to i64"
        yield "  %rest = and i64 %address, 63"
        yield "  %bad = icmp ne i64 %rest, 0"
        yield "  br i1 %bad, label %misaligned, label %begin"
        yield "misaligned:"
        yield f"  ret i32 {MISALIGNED}"
        yield "begin:"
        yield f"  %scratch = getelementptr i8, ptr %workspace, i64 {scratch_offset(self.plan)}"
        for slot in range(1, 5):
            yield f"  %fault{slot} = getelementptr i8, ptr %fault, i64 {8 * slot}"
        yield f"  store i64 {2**63 - 1}, ptr %fault, align 8"
        yield "  store i64 0, ptr %fault1, align 8"
        yield "  store i64 0, ptr %fault2, align 8"
        yield "  store ptr %stop, ptr %fault3, align 8"
        yield "  store ptr %scratch, ptr %fault4, align 8"
        for number, buffer in enumerate(self.plan.buffers):
            yield f"  %start{number} = getelementptr i8, ptr {self._base(buffer)}"
            yield f"  store ptr %start{number}, ptr %b{number}, align 8"

    def _base(self, buffer: Buffer) -> str:
        """Where a buffer lies before the first step: a pointer, and the bytes beyond it."""
        if buffer.kind == "output":
            return f"%o{buffer.index}, i64 0"
        if buffer.kind == "input":
            return f"{self._input(buffer.index)}, i64 0"
        if buffer.kind == "constant":
            return f"{self._constant(self.plan.constants[buffer.index])}, i64 0"
        return f"%workspace, i64 {buffer.offset}"  # a moving one until its loop sets it

    def _input(self, number: int) -> str:
        if number < self.arguments:
            return f"%i{number}"
        return self._constant(self.constants[number - self.arguments])

    def _constant(self, data: bytes) -> str:
        name = f"@data{len(self.globals)}"
        self.globals.append(f"{name} = internal constant {byte_constant(data)}, align 64")
        return name

    def _store_results(self) -> None:
        """Results that are arguments, or other results, are copies of them."""
        for number, spec in enumerate(self.plan.outputs):
            source = self.plan.forward[number] if self.plan.forward else None
            earlier = self.plan.duplicates[number] if self.plan.duplicates else None
            if source is not None:
                self._move(f"%o{number}", self._input(source), spec.size_bytes)
            elif earlier is not None:
                self._move(f"%o{number}", f"%o{earlier}", spec.size_bytes)

    # ---- text ------------------------------------------------------------------------------------

    def _value(self, text: str) -> str:
        """A new value that an instruction gives."""
        self.values += 1
        self.body.append(f"  %v{self.values} = {text}")
        return f"%v{self.values}"

    def _add(self, *lines: str) -> None:
        self.body.extend(lines)

    def _pointer(self, buffer: int) -> str:
        return self._value(f"load ptr, ptr %b{buffer}, align 8")

    def _move(self, target: str, source: str, size_bytes: int) -> None:
        arguments = f"ptr {target}, ptr {source}, i64 {size_bytes}, i1 false"
        self._add(f"  call void @llvm.memmove.p0.p0.i64({arguments})")

    # ---- steps -----------------------------------------------------------------------------------

    def _block(self, begin: int, end: int) -> None:
        """The steps from `begin` to `end`."""
        number = begin
        while number < end:
            step = self.plan.instructions[number]
            if isinstance(step, Instruction):
                self._run_kernel(number, step)
            elif isinstance(step, Copy):
                source, target = self._pointer(step.source), self._pointer(step.target)
                self._move(target, source, self.plan.buffers[step.source].size_bytes)
            elif isinstance(step, Branch):
                self._branch(number, step)
            elif isinstance(step, Loop):
                self._loop(number, step)
            number = max((number + 1, *block_ends(step)))

    def _run_kernel(self, number: int, step: Instruction) -> None:
        for slot, buffer in enumerate(step.buffers):
            place = self._value(f"getelementptr ptr, ptr %table, i64 {slot}")
            self._add(f"  store ptr {self._pointer(buffer)}, ptr {place}, align 8")
        sizes = ", ".join(f"i64 {size}" for size in step.sizes)
        listed = f"[{len(step.sizes)} x i64] [{sizes}]" if step.sizes else "[1 x i64] [i64 0]"
        self.globals.append(f"@sizes{number} = internal constant {listed}, align 8")
        grain = step.grain or max(1, step.extent)
        status = self._value(
            f"call i32 @run(ptr @{self.kernels[step.kernel]}, ptr %table, ptr @sizes{number}, "
            f"i64 {step.extent}, i64 {grain}, ptr %fault)"
        )
        if self.program.sites[number]:
            failed = self._value(f"icmp ne i32 {status}, 0")
            self._add(f"  br i1 {failed}, label %fail{number}, label %after{number}")
            self._add(f"fail{number}:")
            site = self._value("load i64, ptr %fault, align 8")
            code = self._value(f"add i64 {site}, {self.first_status[number]}")
            told = self._value(f"trunc i64 {code} to i32")
            self._add(f"  ret i32 {told}", f"after{number}:")

    def _branch(self, number: int, step: Branch) -> None:
        index = self._value(f"load i32, ptr {self._pointer(step.index)}, align 4")
        is_low = self._value(f"icmp slt i32 {index}, 0")
        index = self._value(f"select i1 {is_low}, i32 0, i32 {index}")
        last = len(step.ends) - 1
        cases = " ".join(f"i32 {k}, label %case{number}.{k}" for k in range(last))
        self._add(f"  switch i32 {index}, label %case{number}.{last} [ {cases} ]")
        begins = (number + 1, *step.ends)
        for k, (begin, end) in enumerate(zip(begins, step.ends, strict=False)):
            self._add(f"case{number}.{k}:")
            self._block(begin, end)
            self._add(f"  br label %end{number}")
        self._add(f"end{number}:")

    def _loop(self, number: int, step: Loop) -> None:
        self._add(f"  store i64 0, ptr %at{number}, align 8", f"  br label %loop{number}")
        self._add(f"loop{number}:")
        self._block(number + 1, step.condition_end)
        at = self._value(f"load i64, ptr %at{number}, align 8")
        if step.length < 0:
            byte = self._value(f"load i8, ptr {self._pointer(step.predicate)}, align 1")
            goes_on = self._value(f"icmp ne i8 {byte}, 0")
        else:
            goes_on = self._value(f"icmp slt i64 {at}, {step.length}")
        self._add(f"  br i1 {goes_on}, label %body{number}, label %end{number}", f"body{number}:")
        place = self._value(f"sub i64 {step.length - 1}, {at}") if step.reverse else at
        for moving in step.moving:
            buffer = self.plan.buffers[moving]
            offset = self._value(f"mul i64 {place}, {buffer.size_bytes}")
            whole = self._pointer(buffer.index)
            row = self._value(f"getelementptr i8, ptr {whole}, i64 {offset}")
            self._add(f"  store ptr {row}, ptr %b{moving}, align 8")
        self._block(step.condition_end, step.end)
        for current, following in step.carries:
            before, after = self._pointer(current), self._pointer(following)
            self._add(f"  store ptr {after}, ptr %b{current}, align 8")
            self._add(f"  store ptr {before}, ptr %b{following}, align 8")
        counted = self._value(f"add i64 {at}, 1")
        self._add(f"  store i64 {counted}, ptr %at{number}, align 8")
        self._add(f"  br label %loop{number}", f"end{number}:")


def scratch_offset(plan: Plan) -> int:
    """Where the memory of kernels begins in the workspace, behind the arena."""
    return (plan.arena_bytes + 63) // 64 * 64


def byte_constant(data: bytes) -> str:
    """A constant of bytes; nothing has the size 0 in C."""
    found = data or b"\0"
    text = "".join([f"\\{byte:02X}" for byte in found])
    return f'[{len(found)} x i8] c"{text}"'
