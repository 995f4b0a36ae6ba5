"""Lay out the fused groups of a graph as a `Plan`: buffers, kernels, instructions.

Comes in: a graph and its groups. Goes out: a `Program`: the plan for the runtime, the texts of the
kernels that it names, and for each instruction the equations whose checks can fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitml.codegen.control_plan import add_control
from jitml.codegen.donation import choose_aliases, updated_operands
from jitml.codegen.emit import KernelText, emit_kernel
from jitml.codegen.epilogue import can_follow, units_per_row
from jitml.codegen.fuse import Fused, Group, View, has_effect
from jitml.codegen.gemm import Epilogue, Temp, gemm_kernels, gemm_steps
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.kernel import Kernel, Site
from jitml.codegen.library import library_kernel
from jitml.codegen.matrices import matrix_kernel
from jitml.codegen.pairing import paired
from jitml.codegen.product import gemm_shape
from jitml.codegen.scalar_loop import ScalarLoop
from jitml.codegen.sorting import sort_kernel, top_k_kernel
from jitml.codegen.special import cumulative_kernel
from jitml.codegen.target import Target
from jitml.ir.dtypes import short_name
from jitml.ir.errors import InternalError
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.ops.callback import Callback, HostFunction
from jitml.ops.contraction import DotGeneral
from jitml.ops.control import Control
from jitml.ops.cumulative import Cumulative
from jitml.ops.library import LibraryCall
from jitml.ops.linalg.matrices import MatrixOp
from jitml.ops.native import NativeCall
from jitml.ops.scatter import Scatter
from jitml.ops.sort import Sort
from jitml.ops.top_k import TopK
from jitml_runtime import ArraySpec, Buffer, Copy, HostCall, Instruction, Plan, Step
from jitml_runtime.plan import KERNEL_ROUTINE, ROUTINE_BYTES

# Codegen levels: products that have much to do, and loops whose state is in registers, need the
# better allocator at once; others of some size get it when they have run long, and small ones are
# compiled in a third of the time without it. Bits are the same at all levels.
FULL_LEVEL, LEVEL, SMALL_LEVEL = 2, 1, 0
_LARGE, _LARGE_NESTED = 1 << 13, 1 << 9  # instructions; steps of loops run often
# Multiply-adds of a program that take less time, slow as they are without the allocator, than it.
_FEW_MULTIPLY_ADDS = 1 << 26


# A kernel that calls the function at the address that its first size is.
_NATIVE = """
define i32 @kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) nounwind {
entry:
  %address = load i64, ptr %sizes, align 8
  %function = inttoptr i64 %address to ptr
  %code = call i32 %function(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault)
  ret i32 %code
}
"""
_STRETCH = 32  # steps: temporaries are looked for by them
_NATIVE_NS = 1 << 20  # nobody knows: other Python threads may run meanwhile


@dataclass(frozen=True)
class KernelCode:
    """A kernel's text, the name of its function there, and the codegen level it wants."""

    text: str
    function: str
    level: int


@dataclass(frozen=True)
class Program:
    """Everything that is needed to run a graph."""

    plan: Plan
    kernels: tuple[KernelCode, ...]
    sites: tuple[tuple[Site, ...], ...]  # per instruction
    sources: tuple[tuple[Source, ...], ...]  # the user lines of each instruction
    functions: tuple[HostFunction | Eqn, ...] = ()  # an equation: its op is to run on the host


def make_plan(
    graph: Graph,
    fused: Fused,
    target: Target,
    types: Sequence[ArrayType],
    donated: tuple[int, ...] = (),
    joins: bool = True,
) -> Program:
    """The plan of a fused graph, with kernels for `target`, whose results are of these types: an
    input that is returned may have another shape there. They may take the memory of the `donated`
    inputs. If it `joins`, kernels may call kernels by address.
    """
    return Planner(graph, fused, target, types, donated, joins).program()


class Planner:
    """The plan so far; `numbers` has the buffers of the variables of the graph at hand."""

    def __init__(
        self,
        graph: Graph,
        fused: Fused,
        target: Target,
        types: Sequence[ArrayType],
        donated: tuple[int, ...] = (),
        joins: bool = True,
    ) -> None:
        self.graph = graph
        self.output_types = types
        self.joins = joins
        self.donated = donated
        self.fused = self.outermost = fused
        self.target = target
        self.buffers: list[Buffer] = []
        self.numbers: dict[Var, int] = {}
        self.steps: list[Step] = []
        self.sites: list[tuple[Site, ...]] = []
        self.sources: list[tuple[Source, ...]] = []
        self.kernels: dict[KernelCode, int] = {}
        self.functions: dict[HostFunction | Eqn, int] = {}
        self.temps: dict[int, _Temp] = {}  # by buffer
        self.pairs: list[tuple[int, int]] = []  # temporaries that live equally long
        self.constants: dict[Literal, int] = {}  # buffers of numbers
        self.routines: dict[str, int] = {}  # buffers of what tells where routines are
        self.constant_bytes: list[bytes] = []
        self.in_place: dict[int, list[tuple[int, int]]] = {}  # by step: buffers that it updates
        # For those who ask what became of equations: the group of each step, whose buffers are.
        self.origins: dict[int, tuple[Group, Fused]] = {}
        self.products: set[int] = set()  # kernels that are products
        self.multiply_adds = 0  # of all products
        self.repeats = 1  # how often the graph at hand runs
        self._texts: dict[Kernel, KernelText] = {}
        self._special_texts: dict[tuple[Any, ...], KernelText] = {}
        self.owners: dict[int, tuple[Var, Eqn | None]] = {}

    def program(self) -> Program:
        forward, duplicates = self._outputs()
        for number, var in enumerate(self.graph.inputs):
            self._add_buffer(var, Buffer("input", number, 0, var.type.size_bytes))
        for number, atom in enumerate(self.graph.outputs):
            if isinstance(atom, Var) and forward[number] is None and duplicates[number] is None:
                self._add_buffer(atom, Buffer("output", number, 0, atom.type.size_bytes))
        self.add_groups()
        arena_bytes = self._place_temps()
        plan = Plan(
            tuple(_spec(t) for t in self.graph.input_types),
            tuple(_spec(t) for t in self.output_types),
            tuple(self.buffers),
            tuple(self.steps),
            arena_bytes,
            tuple(self.constant_bytes),
            choose_aliases(self.graph, self.buffers, self.steps, self.in_place, self.donated),
            forward=tuple(forward),
            duplicates=tuple(duplicates),
            routines=tuple((self.buffers[n].index, name) for name, n in self.routines.items()),
        )
        return Program(
            plan,
            self._kernels_by_number(),
            tuple(self.sites),
            tuple(self.sources),
            tuple(self.functions),
        )

    def _kernels_by_number(self) -> tuple[KernelCode, ...]:
        """The kernels; those of products at a level by what they have to do."""
        level = LEVEL if self.multiply_adds < _FEW_MULTIPLY_ADDS else FULL_LEVEL
        return tuple(
            [
                replace(code, level=level) if number in self.products else code
                for number, code in enumerate(self.kernels)
            ]
        )

    def _outputs(self) -> tuple[list[int | None], list[int | None]]:
        """Which outputs are arguments passed through, and which repeat an earlier output."""
        arguments = {var: number for number, var in enumerate(self.graph.inputs)}
        first: dict[Atom, int] = {}
        forward: list[int | None] = []
        duplicates: list[int | None] = []
        for number, atom in enumerate(self.graph.outputs):
            forward.append(arguments.get(atom) if isinstance(atom, Var) else None)
            earlier = first.setdefault(atom, number)
            is_repeat = earlier != number and forward[number] is None
            duplicates.append(earlier if is_repeat else None)
        return forward, duplicates

    def _add_buffer(self, var: Var, buffer: Buffer) -> int:
        self.numbers[var] = len(self.buffers)
        self.buffers.append(buffer)
        self._own(var)
        return self.numbers[var]

    def number(self, var: Var) -> int:
        """The buffer of `var`; a new temporary one at its first use."""
        if var not in self.numbers:
            self.numbers[var] = self.add_temp(var.type.size_bytes)
            self._own(var)
        number = self.numbers[var]
        self.touch(number)
        return number

    def _own(self, var: Var) -> None:
        self.owners.setdefault(self.numbers[var], (var, self.fused.definitions.get(var)))

    def add_temp(self, size_bytes: int) -> int:
        number = len(self.buffers)
        self.buffers.append(Buffer("temp", 0, 0, size_bytes))
        self.temps[number] = _Temp(number, size_bytes, len(self.steps), len(self.steps))
        return number

    def touch(self, number: int) -> None:
        if number in self.temps:
            self.temps[number].last = len(self.steps)

    def add_buffer(self, buffer: Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def atom_number(self, atom: Atom) -> int:
        """The buffer of a variable, or of a number."""
        if isinstance(atom, Var):
            return self.number(atom)
        if atom not in self.constants:
            buffer = Buffer("constant", len(self.constant_bytes), 0, atom.type.size_bytes)
            self.constant_bytes.append(_bytes_of(atom))
            self.constants[atom] = self.add_buffer(buffer)
        return self.constants[atom]

    # ---- blocks ------------------------------------------------------------------------------

    def enter(
        self, fused: Fused, numbers: dict[Var, int], repeats: int
    ) -> tuple[Fused, dict[Var, int], int]:
        """Go on with a nested graph, whose inputs have these buffers, and which runs so often for
        each run of this one; what to `leave` it with.
        """
        outer = self.fused, self.numbers, self.repeats
        self.fused, self.numbers = fused, numbers
        self.repeats *= repeats
        for var, number in numbers.items():
            self._own(var)
            self.touch(number)
        return outer

    def leave(self, outer: tuple[Fused, dict[Var, int], int]) -> None:
        """Go back to the graph around."""
        self.fused, self.numbers, self.repeats = outer

    def open_step(self, eqn: Eqn) -> int:
        """A place in front of its blocks for the step of a control-flow equation."""
        self._add_step(Copy(0, 0, eqn.op.name), (), (eqn.source,))
        return len(self.steps) - 1

    def close_step(self, place: int, step: Step) -> None:
        """Put the step there, now that its blocks are known. What they read from before them must
        last for all of their steps, and so must what they leave behind.
        """
        self.steps[place] = step
        for temp in self.temps.values():
            if temp.first <= place <= temp.last:
                temp.last = max(temp.last, len(self.steps))

    def join_lifetimes(self, first: int, second: int) -> None:
        """Let two temporaries live from the beginning of both to the end of both."""
        self.pairs.append((first, second))

    def add_copy(self, source: int, target: int, eqn: Eqn) -> None:
        self.touch(source)
        self.touch(target)
        if source != target:
            self.in_place[len(self.steps)] = [(source, target)]
            self._add_step(Copy(source, target, eqn.op.name), (), (eqn.source,))

    # ---- groups ------------------------------------------------------------------------------

    def add_groups(self) -> None:
        """The steps of the graph at hand. A product runs what follows it on its rows, if it can."""
        self.fused.groups[:] = paired(self.fused.groups, self._may_follow)
        readers = Counter(var for group in self.fused.groups for var in {*group.reads})
        product: Group | None = None  # the last group, if its steps are still to be added
        for group in self.fused.groups:
            if product is not None and self._add_joined(product, group, readers):
                product = None
                continue
            if product is not None:
                self.add_group(product)
            product = group
        if product is not None:
            self.add_group(product)

    def _may_follow(self, product: Group, after: Group) -> bool:
        """Whether `product` may run `after` on what is finished of it."""
        return self.joins and can_follow(product, after)

    def _add_joined(self, product: Group, after: Group, readers: Counter[Var]) -> bool:
        """One step for both groups, if that can be."""
        eqn, built = product.special, after.built
        if eqn is None or built is None or not self._may_follow(product, after):
            return False
        code = self._text_of(built.kernel)
        units = units_per_row(self._product_shape(eqn, product.views), code)
        if not units:
            return False
        operands = {self.number(base) for base, _ in product.views.values()}
        if any(self.numbers.get(var) in operands for var in built.writes):
            return False  # other rows of the product still read what would be overwritten
        (result,) = eqn.outputs
        is_passing = readers[result] == 1 and result not in self.fused.outputs
        alike = [v for v in built.writes if v.type.size_bytes == result.type.size_bytes]
        if is_passing and alike:  # what comes of it takes its place
            self.numbers[result] = self.number(alike[0])
        reads = (*product.reads, *after.reads)
        whole = Group([result, *after.roots], eqn, built, reads, product.views)
        first, fused = len(self.steps), self.fused
        self._add_matrices(eqn, product.views, (after, code, units))
        for number in range(first, len(self.steps)):
            self.origins.setdefault(number, (whole, fused))
        return True

    def add_group(self, group: Group) -> None:
        first, fused = len(self.steps), self.fused
        self._add_steps_of(group)
        for number in range(first, len(self.steps)):
            self.origins.setdefault(number, (group, fused))  # those of nested groups know theirs

    def _add_steps_of(self, group: Group) -> None:
        eqn = group.special
        if all(v.type.size == 0 for v in group.roots) and not has_effect(group):
            for var in group.roots:
                self.number(var)
            return
        if eqn is not None and isinstance(eqn.op, DotGeneral):
            self._add_product(eqn, group.views)
        elif eqn is not None and isinstance(eqn.op, Control):
            add_control(self, eqn)
        elif eqn is not None and isinstance(eqn.op, Callback):
            self._add_callback(eqn, eqn.op)
        elif eqn is not None and isinstance(eqn.op, NativeCall):
            self._add_native(eqn, eqn.op)
        elif eqn is not None and isinstance(eqn.op, Cumulative):
            self._add_kernel(eqn, self._written(cumulative_kernel, eqn))
        elif eqn is not None and isinstance(eqn.op, Sort):
            self._add_kernel(eqn, self._written(sort_kernel, eqn))
        elif eqn is not None and isinstance(eqn.op, TopK):
            self._add_kernel(eqn, self._written(top_k_kernel, eqn))
        elif eqn is not None and isinstance(eqn.op, MatrixOp):
            self._add_kernel(eqn, self._written(matrix_kernel, eqn))
        elif eqn is not None and isinstance(eqn.op, LibraryCall):
            self._add_library_call(eqn, eqn.op)
        else:
            if eqn is not None:
                self._copy_operand(eqn)
            self._add_nest(group)

    def _copy_operand(self, eqn: Eqn) -> None:
        """A scatter starts from its operand."""
        if not isinstance(eqn.op, Scatter):
            raise InternalError(f"no kernel for {eqn.op.name}")
        source, target = eqn.inputs[0], eqn.outputs[0]
        assert isinstance(source, Var)
        self.add_copy(self.number(source), self.number(target), eqn)

    def _add_step(self, step: Step, sites: tuple[Site, ...], sources: tuple[Source, ...]) -> None:
        self.steps.append(step)
        self.sites.append(sites)
        self.sources.append(sources)

    def _add_nest(self, group: Group) -> None:
        if group.built is None:
            return
        kernel, reads, writes = group.built.kernel, group.built.reads, group.built.writes
        code = self._text_of(kernel)
        sites = tuple(kernel.sites)
        eqns = [self.fused.definitions[v] for v in writes]
        self._add_instruction(code, [*reads, *writes], sites, eqns)
        if self.donated:
            numbers = [self.atom_number(a) for a in (*reads, *writes)]
            pairs = [(numbers[a], numbers[b]) for a, b in updated_operands(kernel)]
            self.in_place[len(self.steps) - 1] = pairs

    def _text_of(self, kernel: Kernel) -> KernelText:
        """The text of a kernel, which a product before it may have asked for already."""
        if kernel not in self._texts:
            self._texts[kernel] = self.emit(kernel)
        return self._texts[kernel]

    def emit(self, kernel: Kernel) -> KernelText:
        """The text of a kernel for the target."""
        return emit_kernel(kernel, self.target)

    def _written(self, write: Callable[[Eqn, Target], KernelText], eqn: Eqn) -> KernelText:
        """What `write` makes of an equation, once for equal ones."""
        key = (eqn.op, *[a.type if isinstance(a, Var) else a for a in eqn.inputs])
        if key not in self._special_texts:
            self._special_texts[key] = write(eqn, self.target)
        return self._special_texts[key]

    def _add_kernel(self, eqn: Eqn, code: KernelText) -> None:
        operands = [a for a in eqn.inputs if isinstance(a, Var)]
        level = LEVEL if code.work_ns else None
        atoms = [*operands, *eqn.outputs]
        self._add_instruction(code, atoms, (), [eqn], code.work_ns, level)

    def _add_callback(self, eqn: Eqn, op: Callback) -> None:
        function = self.functions.setdefault(op.function, len(self.functions))
        inputs = tuple([self.atom_number(a) for a in eqn.inputs])
        outputs = tuple([self.number(v) for v in eqn.outputs])
        specs = [tuple([self.spec(a.type) for a in row]) for row in (eqn.inputs, eqn.outputs)]
        label = f"{op.name} {op.function.name}"
        step = HostCall(function, inputs, outputs, specs[0], specs[1], label)
        self._add_step(step, (), (eqn.source,))

    def spec(self, type_: ArrayType) -> ArraySpec:
        """A type as the runtime knows it."""
        return _spec(type_)

    def _add_native(self, eqn: Eqn, op: NativeCall) -> None:
        atoms = [*eqn.outputs, *eqn.inputs]
        sizes = (op.function.address, *[n for a in atoms for n in a.type.shape])
        code = KernelText(_NATIVE, sizes, 1, 0, 0)
        self._add_instruction(code, atoms, (Site(eqn),), [eqn], _NATIVE_NS, SMALL_LEVEL)

    def _add_library_call(self, eqn: Eqn, op: LibraryCall) -> None:
        """Copy what the routine updates, then call it."""
        for atom, var in zip(eqn.inputs[: op.updates], eqn.outputs, strict=False):
            if var not in self.numbers and self._ends_with(atom, eqn):
                self.numbers[var] = self.atom_number(atom)
            else:
                self.add_copy(self.atom_number(atom), self.number(var), eqn)
        code = library_kernel(eqn, self.target)
        numbers = [self.atom_number(a) for a in (*eqn.inputs[op.updates :], *eqn.outputs)]
        step = Instruction(
            self._kernel(KernelCode(code.text, "kernel", SMALL_LEVEL)),
            (*numbers, self._routine_number(op.routine)),
            code.sizes,
            code.extent,
            code.grain,
            code.scratch_bytes,
            op.routine.partition(" ")[2],
            op.work_ns * code.extent,
        )
        self._add_step(step, (), (eqn.source,))

    def _ends_with(self, atom: Atom, eqn: Eqn) -> bool:
        """Whether nothing but `eqn` reads a temporary variable of the outermost graph."""
        if not isinstance(atom, Var) or self.fused is not self.outermost:
            return False
        readers = [group for group in self.fused.groups if atom in group.reads]
        is_temp = atom in self.fused.definitions and self.number(atom) in self.temps
        return is_temp and len(readers) == 1 and eqn.inputs.count(atom) == 1

    def _routine_number(self, name: str) -> int:
        """The buffer in which kernels will find where a routine is."""
        if name not in self.routines:
            buffer = Buffer("constant", len(self.constant_bytes), 0, ROUTINE_BYTES)
            self.constant_bytes.append(bytes(ROUTINE_BYTES))
            self.routines[name] = self.add_buffer(buffer)
        return self.routines[name]

    def add_loop(self, eqn: Eqn, loop: ScalarLoop) -> None:
        """A loop that is one kernel."""
        for atom, var in loop.copies:
            self.add_copy(self.atom_number(atom), self.number(var), eqn)
        code, sites = loop.kernel, loop.sites
        self._add_instruction(code, loop.operands, sites, [eqn], loop.work_ns, FULL_LEVEL)

    def _add_instruction(
        self,
        code: KernelText,
        atoms: Sequence[Atom],
        sites: tuple[Site, ...],
        eqns: list[Eqn],
        work_ns: int = 0,
        level: int | None = None,
    ) -> None:
        if level is None:
            is_nested = self.fused is not self.outermost
            is_small = code.instructions < (_LARGE_NESTED if is_nested else _LARGE)
            level = SMALL_LEVEL if is_small and not code.grain else LEVEL
        kernel = self._kernel(KernelCode(code.text, "kernel", level))
        numbers = tuple([self.atom_number(a) for a in atoms])
        label = " ".join(dict.fromkeys(e.op.step_label for e in eqns))
        step = Instruction(
            kernel,
            numbers,
            code.sizes,
            code.extent,
            code.grain,
            code.scratch_bytes,
            label,
            work_ns,
        )
        self._add_step(step, sites, tuple(e.source for e in eqns))

    def _kernel(self, code: KernelCode) -> int:
        return self.kernels.setdefault(code, len(self.kernels))

    def _product_shape(self, eqn: Eqn, views: Mapping[Var, View]) -> GemmShape:
        (_, x_strides), (_, y_strides) = (views[a] for a in eqn.inputs if isinstance(a, Var))
        return gemm_shape(eqn, x_strides, y_strides)

    def _add_product(self, eqn: Eqn, views: Mapping[Var, View]) -> None:
        self._add_matrices(eqn, views)

    def _add_matrices(
        self,
        eqn: Eqn,
        views: Mapping[Var, View],
        after: tuple[Group, KernelText, int] | None = None,
    ) -> None:
        """A product of batched matrices, read through strides; `after`: what runs on its rows."""
        op, shape = eqn.op, self._product_shape(eqn, views)
        assert isinstance(op, DotGeneral)
        types = (eqn.inputs[0].type.dtype, op.accumulator(eqn.inputs[0].type.dtype))
        operand, accumulate = (short_name(t) for t in types)
        result = short_name(eqn.outputs[0].type.dtype)
        gathers = bool(shape.a_gather or shape.b_gather)
        kernels = gemm_kernels(operand, accumulate, result, self.target, gathers)
        (x, _), (y, _) = (views[a] for a in eqn.inputs if isinstance(a, Var))
        known = {"a": self.number(x), "b": self.number(y), "c": self.number(eqn.outputs[0])}
        self.multiply_adds += self.repeats * shape.batch * shape.m * shape.n * shape.k
        epilogue, eqns = self._epilogue(after, known) if after else (None, [])
        for step in gemm_steps(shape, kernels, epilogue):
            for name in step.buffers:
                if isinstance(name, Temp) and name.name not in known:
                    known[name.name] = self.add_temp(name.size_bytes)
            names = [name.name if isinstance(name, Temp) else name for name in step.buffers]
            numbers = tuple(known[name] for name in names)
            for number in numbers:
                self.touch(number)
            kernel = self._kernel(KernelCode(kernels.text, step.function, LEVEL))
            self.products.add(kernel)
            done = [eqn, *(eqns if step.function == "gemm" else ())]
            instruction = Instruction(
                kernel,
                numbers,
                tuple(step.sizes),
                step.extent,
                step.grain,
                step.scratch_bytes,
                " ".join(dict.fromkeys(e.op.name for e in done)),
            )
            self._add_step(instruction, (), tuple(e.source for e in done))

    def _epilogue(
        self, after: tuple[Group, KernelText, int], known: dict[str, int]
    ) -> tuple[Epilogue, list[Eqn]]:
        """What the product must know of the kernel that it runs; its buffers become `known`."""
        group, code, units = after
        assert group.built is not None
        kernel = self._kernel(KernelCode(code.text, "kernel", SMALL_LEVEL))
        known["epilogue"] = self._routine_number(f"{KERNEL_ROUTINE} {kernel}")
        names: list[str | Temp] = []
        for atom in (*group.built.reads, *group.built.writes):
            name = f"epilogue {len(names)}"
            names.append(name)
            known[name] = self.atom_number(atom)
        eqns = [self.fused.definitions[v] for v in group.built.writes]
        return Epilogue(tuple(names), code.sizes, units, code.scratch_bytes), eqns

    # ---- temporary memory
    # -------------------------------------------------------------------------

    def _place_temps(self) -> int:
        """Offsets in the arena: the lowest gap that is free while the buffer lives, largest buffers
        first.
        """
        for first, second in self.pairs:
            a, b = self.temps[first], self.temps[second]
            a.first = b.first = min(a.first, b.first)
            a.last = b.last = max(a.last, b.last)
        placed: dict[int, list[_Temp]] = {}  # by stretches of steps
        end = 0
        for temp in sorted(self.temps.values(), key=lambda t: -t.size_bytes):
            offset = 0
            size = (temp.size_bytes + 63) // 64 * 64
            stretches = range(temp.first // _STRETCH, temp.last // _STRETCH + 1)
            near = dict.fromkeys(p for k in stretches for p in placed.get(k, ()))
            beside = [p for p in near if p.first <= temp.last and temp.first <= p.last]
            for other in sorted(beside, key=lambda p: p.offset):
                if offset + size <= other.offset:
                    break
                offset = max(offset, other.offset + (other.size_bytes + 63) // 64 * 64)
            temp.offset = offset
            for k in stretches:
                placed.setdefault(k, []).append(temp)
            end = max(end, offset + size)
            self.buffers[temp.number] = Buffer("temp", 0, offset, temp.size_bytes)
        return end


@dataclass(eq=False)
class _Temp:
    """A temporary buffer and the steps between which it lives."""

    number: int
    size_bytes: int
    first: int
    last: int
    offset: int = 0


def _bytes_of(number: Literal) -> bytes:
    return np.asarray(number.value).astype(number.type.dtype).tobytes()


def _spec(type_: ArrayType) -> ArraySpec:
    return ArraySpec(type_.dtype, type_.shape, type_.weak)
