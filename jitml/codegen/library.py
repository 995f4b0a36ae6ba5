"""Kernels that call a routine of a library for each unit of their range.

Comes in: a `library_call` equation. Goes out: the text of its kernel, which finds where the routine
is in its last buffer, and how it is called. Must not know which library it will be.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.llvm import llvm_type
from jitml.codegen.special import Function, even_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ir.types import ArrayType
from jitml.ops.library import LibraryCall
from jitml.scalar.value import Value, select

_CHUNK_NS = 20_000  # work that one chunk should have at least
_COLUMNS = 16  # of cache lines side by side, that vectors of a library take together
_TRANSFORM_NS = 400_000  # likewise; a library that is called by way of Python takes some 20 µs
_THREADS_NS = 50_000_000  # work of a call for which OpenBLAS should wake threads of its own
# Adds `step` to the number of kernels that want OpenBLAS to have one thread, and tells it when it
# is the first or was the last.
_CHANGE_THREADS = """\
define internal void @change_threads(ptr %record, i64 %step) nounwind noinline {
entry:
  %places = getelementptr i64, ptr %record, i64 1
  %before = getelementptr i64, ptr %record, i64 2
  %getter = getelementptr i64, ptr %record, i64 3
  %setter = getelementptr i64, ptr %record, i64 4
  br label %wait
wait:
  %held = atomicrmw xchg ptr %record, i64 1 acquire, align 8
  %is_held = icmp ne i64 %held, 0
  br i1 %is_held, label %wait, label %inside
inside:
  %count = load i64, ptr %places, align 8
  %after = add i64 %count, %step
  store i64 %after, ptr %places, align 8
  %get = load ptr, ptr %getter, align 8
  %set = load ptr, ptr %setter, align 8
  %is_first = icmp eq i64 %count, 0
  br i1 %is_first, label %begin, label %check
begin:
  %now = call i32 %get()
  %wide = sext i32 %now to i64
  store i64 %wide, ptr %before, align 8
  call void %set(i32 1)
  br label %out
check:
  %is_last = icmp eq i64 %after, 0
  br i1 %is_last, label %end, label %out
end:
  %stored = load i64, ptr %before, align 8
  %number = trunc i64 %stored to i32
  call void %set(i32 %number)
  br label %out
out:
  store atomic i64 0, ptr %record release, align 8
  ret void
}"""
_REAL = {"s": "f32", "c": "f32", "d": "f64", "z": "f64", "c64": "f32", "c128": "f64"}


def library_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of a call. Its buffers: the inputs that are not updated, the outputs, and three
    words about the routine: its address, its data, the bytes of its integers.
    """
    op = eqn.op
    assert isinstance(op, LibraryCall)
    writer = _Transform(eqn, op) if op.routine.startswith("fft ") else _Lapack(eqn, op)
    writer.write()
    chunks = min(writer.units, -(-op.work_ns * writer.count // writer.chunk_ns))
    grain = even_grain(writer.units, max(1, chunks))
    grain = -(-grain // writer.step) * writer.step
    text = writer.f.text(target)
    grain = grain if grain < writer.units else 0
    return KernelText(text, (), writer.units, grain, writer.scratch_bytes)


class _Call:
    """A kernel under construction that makes one call, or one for each unit."""

    chunk_ns = _CHUNK_NS
    step = 1  # a chunk has a multiple of so many units

    def __init__(self, eqn: Eqn, op: LibraryCall) -> None:
        inputs, outputs = eqn.inputs[op.updates :], eqn.outputs
        self.op = op
        self.count = self.units = math.prod(op.batch_shape(eqn.inputs[0].type))
        self.f = Function(len(inputs) + len(outputs) + 1, ())
        types = [a.type for a in (*inputs, *outputs)]
        places = [*zip(self.f.pointers, types, strict=False)]
        self.inputs = dict(zip(range(op.updates, len(eqn.inputs)), places, strict=False))
        self.outputs = places[len(inputs) :]
        self.scratch_bytes = 0
        self._slots = 0

    @abstractmethod
    def write(self) -> None:
        """Write the kernel's body."""

    def word(self, number: int, type_: str) -> Value:
        """A word about the routine."""
        place = self.f.emit.address(self.f.pointers[-1], self.f.number(number), "i64")
        return self.f.emit.effect(f"load {llvm_type(type_)}, ptr {place.ref}, align 8", type_)

    def stored(self, *numbers: Value) -> str:
        """The address of numbers, one after the other, in the function's own memory."""
        self._slots += 1
        slot = Value(self.f.emit, "ptr", 1, f"%slot{self._slots}")
        self.f.prefix.append(f"  {slot.ref} = alloca [{8 * len(numbers)} x i8], align 16")
        for k, x in enumerate(numbers):
            type_ = llvm_type(x.type)
            place = self.f.emit.address(slot, self.f.number(k), x.type.replace("ptr", "i64"))
            self.f.emit.line(f"store {type_} {x.ref}, ptr {place.ref}, align 1")
        return str(slot.ref)

    def element(self, place: tuple[Value, ArrayType], unit: Value) -> Value:
        """Where the array of one unit begins."""
        pointer, type_ = place
        return self.f.emit.address(pointer, unit * (type_.size_bytes // self.count), "u8")


class _Lapack(_Call):
    """Every argument is passed by its address. An integer is stored in 64 bits, of which a routine
    of 32-bit integers reads the lower half.
    """

    def write(self) -> None:
        if self.op.work_ns >= _THREADS_NS:
            self._each_unit()
            return
        record = self.word(1, "ptr")
        self.f.emit.declarations.add(_CHANGE_THREADS)

        def change(step: int) -> None:
            self.f.emit.line(f"call void @change_threads(ptr {record.ref}, i64 {step})")

        is_known = self.word(1, "i64") != 0
        self.f.emit.if_(is_known, lambda: change(1))
        self._each_unit()
        self.f.emit.if_(is_known, lambda: change(-1))

    def _each_unit(self) -> None:
        address, integer_bytes = self.word(0, "ptr"), self.word(2, "i64")
        constant = [self._constant(*argument) for argument in self.op.arguments]

        def call(unit: Value) -> None:
            places = [
                self._array(kind, given, unit) if place is None else place
                for place, (kind, given) in zip(constant, self.op.arguments, strict=True)
            ]
            for place, (kind, given) in zip(places, self.op.arguments, strict=True):
                if kind == "ints":
                    self._clear(place, int(given))
            pointers = [f"ptr {place}" for place in places]
            # The lengths of characters follow, as Fortran passes them.
            lengths = ["i64 1" for kind, _ in self.op.arguments if kind == "char"]
            self.f.emit.line(f"call void {address.ref}({', '.join(pointers + lengths)})")
            for place, (kind, given) in zip(places, self.op.arguments, strict=True):
                if kind == "ints":
                    self._copy_integers(place, int(given), unit, integer_bytes)

        self.f.each(self.f.begin, self.f.end, call)

    def _constant(self, kind: str, given: int | float | str) -> str | None:
        """The address of an argument that is the same for all units."""
        emit = self.f.emit
        if kind == "char":
            return self.stored(emit.constant("i64", ord(str(given))))
        if kind == "int":
            return self.stored(emit.constant("i64", int(given)))
        if kind == "null":
            return "null"
        if kind == "work":
            return self._scratch(int(given))
        if kind == "ints":
            return self._scratch(8 * (self.outputs[int(given)][1].size // self.count))
        if kind == "number":
            type_name = _REAL[self.op.routine.split()[1][0]]
            return self.stored(*(emit.constant(type_name, x) for x in (float(given), 0.0)))
        return None

    def _array(self, kind: str, given: int | float | str, unit: Value) -> str:
        places = self.inputs if kind == "in" else dict(enumerate(self.outputs))
        return str(self.element(places[int(given)], unit).ref)

    def _scratch(self, size_bytes: int) -> str:
        offset = self.scratch_bytes
        self.scratch_bytes += (size_bytes + 63) // 64 * 64
        return str(self.f.emit.address(self.f.scratch, self.f.number(offset), "u8").ref)

    def _clear(self, place: str, output: int) -> None:
        """Some routines take requests where they put their integers; zeros are none."""
        emit, target = self.f.emit, Value(self.f.emit, "ptr", 1, place)
        type_ = self.outputs[output][1]

        def clear(i: Value) -> None:
            emit.store(emit.address(target, i, "i64"), self.f.number(0), "i64")

        self.f.each(self.f.number(0), self.f.number(type_.size // self.count), clear)

    def _copy_integers(self, place: str, output: int, unit: Value, integer_bytes: Value) -> None:
        """Integers of the routine's width as 32-bit ones: the lower halves."""
        emit, source = self.f.emit, Value(self.f.emit, "ptr", 1, place)
        target = self.element(self.outputs[output], unit)
        type_ = self.outputs[output][1]

        def copy(i: Value) -> None:
            number = emit.load(emit.address(source, i * integer_bytes, "u8"), "i32")
            emit.store(emit.address(target, i, "i32"), number, "i32")

        self.f.each(self.f.number(0), self.f.number(type_.size // self.count), copy)


class _Transform(_Call):
    """Transforms along the middle axis of arrays [outer, axis, inner]; a unit is an index of the
    longer one of the others. A routine is called as a loop of NumPy's generalised ufuncs is, for
    all lines of one outer index. If its third word is not 0, it takes several blocks at once.
    """

    chunk_ns = _TRANSFORM_NS

    def write(self) -> None:
        f, rank = self.f, self.op.rank
        places = (self.inputs[0], self.outputs[0])
        lengths = [type_.shape[-rank] for _, type_ in places]
        inner = math.prod(places[0][1].shape[places[0][1].ndim - rank + 1 :])
        sizes = [type_.dtype.itemsize for _, type_ in places]
        rows = [inner * size for size in sizes]
        blocks = [n * row for n, row in zip(lengths, rows, strict=True)]
        by_columns = inner > self.count
        self.units, self.step = (inner, _COLUMNS) if by_columns else (self.count, 1)
        count = f.end - f.begin
        outer, across = (f.number(self.count), count) if by_columns else (count, f.number(inner))
        begins = [f.begin * n for n in (sizes if by_columns else blocks)]
        if inner == 1:  # the lines of all blocks lie evenly
            self._call(begins, f.number(1), count, lengths, (*blocks, *sizes, *blocks))
            return
        takes_blocks = self.word(2, "i64") != 0
        turns = select(takes_blocks, 1, outer)
        together = select(takes_blocks, outer, 1)

        def turn(number: Value) -> None:
            starts = [b + number * n for b, n in zip(begins, blocks, strict=True)]
            self._call(starts, together, across, lengths, (*sizes, *rows, *blocks))

        f.each(f.number(0), turns, turn)

    def _call(
        self,
        starts: Sequence[Value],
        blocks: Value,
        lines: Value,
        lengths: Sequence[int],
        steps: Sequence[int],
    ) -> None:
        """`steps`: the bytes between lines, elements and blocks, of input and output each."""
        f = self.f
        (_, factor), *_ = self.op.arguments
        type_ = _REAL[self.op.routine.split()[3]]
        scale = Value(f.emit, "ptr", 1, self.stored(f.emit.constant(type_, float(factor))))
        ends = [
            f.emit.address(place[0], start, "u8")
            for place, start in zip((self.inputs[0], self.outputs[0]), starts, strict=True)
        ]
        args = self.stored(ends[0], scale, ends[1])
        dimensions = self.stored(lines, *map(f.number, lengths), blocks)
        given = self.stored(*map(f.number, (steps[0], 0, *steps[1:])))
        routine, data = self.word(0, "ptr"), self.word(1, "ptr")
        arguments = ", ".join(f"ptr {x}" for x in (args, dimensions, given, data.ref))
        f.emit.line(f"call void {routine.ref}({arguments})")
