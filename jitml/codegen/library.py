"""Kernels that call a routine of a library for each unit of their range.

Comes in: a `library_call` equation. Goes out: the text of its kernel, which finds where the routine
is in its last buffer, and how it is called. Must not know which library it will be.
"""

from __future__ import annotations

import math
from abc import abstractmethod

from jitml.codegen.emit import KernelText
from jitml.codegen.llvm import llvm_type
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ir.types import ArrayType
from jitml.ops.library import LibraryCall
from jitml.scalar.value import Value

_CHUNK_NS = 20_000  # work that one chunk should have at least
_REAL = {"s": "f32", "c": "f32", "d": "f64", "z": "f64", "c64": "f32", "c128": "f64"}


def library_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of a call. Its buffers: the inputs that are not updated, the outputs, and three
    words about the routine: its address, its data, the bytes of its integers.
    """
    op = eqn.op
    assert isinstance(op, LibraryCall)
    writer = _Transform(eqn, op) if op.routine.startswith("fft ") else _Lapack(eqn, op)
    writer.write()
    grain = max(1, _CHUNK_NS // max(1, op.work_ns))
    text = writer.f.text(target)
    grain = grain if grain < writer.count else 0
    return KernelText(text, (), writer.count, grain, writer.scratch_bytes)


class _Call:
    """A kernel under construction that makes one call, or one for each unit."""

    def __init__(self, eqn: Eqn, op: LibraryCall) -> None:
        inputs, outputs = eqn.inputs[op.updates :], eqn.outputs
        self.op = op
        self.count = math.prod(op.batch_shape(eqn.inputs[0].type))
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
    """One call for all units, in the way of a loop of NumPy's generalised ufuncs."""

    def write(self) -> None:
        f = self.f
        (source, target) = (self.inputs[0], self.outputs[0])
        (_, factor), *_ = self.op.arguments
        type_ = _REAL[self.op.routine.split()[3]]
        scale = Value(f.emit, "ptr", 1, self.stored(f.emit.constant(type_, float(factor))))
        lengths = [place[1].shape[-1] for place in (source, target)]
        sizes = [place[1].dtype.itemsize for place in (source, target)]
        lines = [n * size for n, size in zip(lengths, sizes, strict=True)]
        args = self.stored(self.element(source, f.begin), scale, self.element(target, f.begin))
        dimensions = self.stored(f.end - f.begin, *map(f.number, lengths))
        steps = self.stored(*map(f.number, (lines[0], 0, lines[1], *sizes)))
        routine, data = self.word(0, "ptr"), self.word(1, "ptr")
        arguments = ", ".join(f"ptr {x}" for x in (args, dimensions, steps, data.ref))
        f.emit.line(f"call void {routine.ref}({arguments})")
