"""Plans whose instructions are launches of grids.

Comes in: a fused graph. Goes out: a `Program` as for a CPU, with other kernels: an instruction's
`extent` counts the units of a grid, its `grain` the threads that take a unit together (if there are
several, they are a block), or 0 where one thread must take all units.
What only the host can compute (native functions) is a call of the host, and so are the routines of
libraries, unless the device has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from jitml.codegen.donation import updated_operands
from jitml.codegen.emit import KernelText
from jitml.codegen.fuse import Fused, Group, View
from jitml.codegen.kernel import Kernel, Site
from jitml.codegen.nvptx.attention import GridAttention
from jitml.codegen.nvptx.attention_kernel import attention_kernel
from jitml.codegen.nvptx.cumulative import cumulative_kernel
from jitml.codegen.nvptx.epilogue import Epilogue, joined_epilogue, plain_epilogue
from jitml.codegen.nvptx.grid import GridInstruction, on_grid
from jitml.codegen.nvptx.kernels import emit_threads
from jitml.codegen.nvptx.library import LibraryStep, Product, ProductStep, library_product
from jitml.codegen.nvptx.product import product_kernel
from jitml.codegen.nvptx.sort import INPUT, OUTPUT, is_long, sort_launches
from jitml.codegen.nvptx.target import ACCESS_BYTES
from jitml.codegen.plan import SMALL_LEVEL, KernelCode, Planner, Program
from jitml.codegen.sorting import top_k_kernel
from jitml.codegen.target import Target
from jitml.ir.dtypes import short_name
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ir.types import ArrayType
from jitml.ops.contraction import DotGeneral
from jitml.ops.cumulative import Cumulative
from jitml.ops.library import LibraryCall
from jitml.ops.native import NativeCall
from jitml.ops.sort import Sort
from jitml.ops.top_k import TopK
from jitml_runtime import HostCall, Instruction
from jitml_runtime.record import field_names

_ZERO = """
define i32 @kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) {
  %buffer = load ptr, ptr %buffers, align 8
  %place = getelementptr <type>, ptr %buffer, i64 %begin
  store <type> 0, ptr %place, align <bytes>
  ret i32 0
}
"""


def make_device_plan(
    graph: Graph,
    fused: Fused,
    target: Target,
    types: Sequence[ArrayType],
    donated: tuple[int, ...] = (),
) -> Program:
    """The plan of a fused graph for a GPU; see `make_plan`."""
    return _DevicePlanner(graph, fused, target, types, donated, joins=False).program()


class _DevicePlanner(Planner):
    """Where a GPU's plan differs from a CPU's."""

    _is_aligned = True
    _updated: tuple[int, ...] = ()  # the shape of what a scatter updates

    def _may_follow(self, product: Group, after: Group) -> bool:
        return joined_epilogue(product, after, is_stored=False) is not None

    def _add_steps_of(self, group: Group) -> None:
        eqn = group.special
        if eqn is not None and isinstance(eqn.op, TopK) and eqn.outputs[0].type.size:
            # It is written for vectors; those of a thread are many registers.
            vectors = self.target._replace(vector_bytes=ACCESS_BYTES * 2)
            self._add_kernel(eqn, top_k_kernel(eqn, vectors))
        elif eqn is not None and isinstance(eqn.op, Cumulative) and eqn.outputs[0].type.size:
            atoms = [*eqn.inputs, *eqn.outputs]
            code = cumulative_kernel(eqn, self.target, self._are_aligned(atoms))
            self._add_instruction(code, atoms, (), [eqn])
        elif eqn is not None and isinstance(eqn.op, Sort) and is_long(eqn):
            self._add_sort(eqn)
        elif eqn is not None and isinstance(eqn.op, GridAttention):
            self._add_instruction(
                attention_kernel(eqn, self.target), [*eqn.inputs, *eqn.outputs], (), [eqn]
            )
        else:
            super()._add_steps_of(group)

    def _add_sort(self, eqn: Eqn) -> None:
        launches = sort_launches(eqn, self.target)
        used = {launch.target for launch in launches} - {OUTPUT}
        sets = {
            number: [self.add_temp(a.type.size_bytes) for a in eqn.inputs]
            for number in sorted(used)
        }
        sets[INPUT] = [self.atom_number(a) for a in eqn.inputs]
        sets[OUTPUT] = [self.number(v) for v in eqn.outputs]
        for launch in launches:
            numbers = (*sets[launch.source], *sets[launch.target])
            self._add_launch(launch.code, numbers, eqn)

    def _add_launch(self, code: KernelText, numbers: tuple[int, ...], eqn: Eqn) -> None:
        """One of several launches of an equation, on these buffers."""
        for number in numbers:
            self.touch(number)
        text = self._on_grid(code, numbers)
        step = Instruction(
            self._kernel(KernelCode(text, "kernel", SMALL_LEVEL)),
            numbers,
            code.sizes,
            code.extent,
            code.grain,
            code.scratch_bytes,
            eqn.op.step_label,
        )
        self._add_step(step, (), (eqn.source,))

    def emit(self, kernel: Kernel) -> KernelText:
        return emit_threads(kernel, self.target, self._is_aligned, self._updated)

    def _add_nest(self, group: Group) -> None:
        if group.built is not None:
            atoms = (*group.built.reads, *group.built.writes)
            self._is_aligned = self._are_aligned(atoms)
            self._updated = group.roots[0].type.shape
        super()._add_nest(group)

    def _are_aligned(self, atoms: Sequence[Atom]) -> bool:
        """Whether arrays begin at multiples of an access: a slice that moves may begin anywhere."""
        buffers = [self.buffers[self.atom_number(a)] for a in atoms]
        return not any(b.kind == "moving" and b.size_bytes % ACCESS_BYTES for b in buffers)

    def _add_kernel(self, eqn: Eqn, code: KernelText) -> None:
        super()._add_kernel(eqn, replace(code, grain=1))

    def _add_instruction(
        self,
        code: KernelText,
        atoms: Sequence[Atom],
        sites: tuple[Site, ...],
        eqns: list[Eqn],
        work_ns: int = 0,
        level: int | None = None,
    ) -> None:
        if work_ns:  # a loop, or a map of loops
            code = replace(code, grain=1)
        text = self._on_grid(code, [self.atom_number(a) for a in atoms])
        super()._add_instruction(replace(code, text=text), atoms, sites, eqns)

    def _on_grid(self, code: KernelText, numbers: Sequence[int]) -> str:
        """The text for a grid of a kernel on these buffers."""
        moving = [k for k, number in enumerate(numbers) if self._moves(number)]
        return on_grid(code.text, len(numbers), len(code.sizes), code.grain, moving)

    def _moves(self, number: int) -> bool:
        """Whether a buffer is elsewhere at each step of a loop."""
        is_window = self.buffers[number].kind == "moving"
        return is_window or any(number in pair for pair in self.pairs)

    def _add_joined(self, product: Group, after: Group, readers: Counter[Var]) -> bool:
        """One launch for a product and what works on its elements, if that can be: a library
        computes products alone.
        """
        is_stored = any(readers[v] > 1 or v in self.fused.outputs for v in product.roots)
        epilogue = joined_epilogue(product, after, is_stored)
        if epilogue is None or product.special is None or after.built is None:
            return False
        if self._library_product(product.special, product.views) is not None:
            return False
        built, operands = after.built, {self.number(base) for base, _ in product.views.values()}
        if any(self.numbers.get(v) in operands for v in built.writes):
            return False  # other threads still read what would be overwritten
        eqns = [product.special, *[self.fused.definitions[v] for v in built.writes]]
        atoms = (*built.reads, *built.writes)
        self._launch_product(product.views, epilogue, atoms, eqns)
        numbers = [self.numbers.get(v, -1) for v in atoms]
        self.in_place[len(self.steps) - 1] = [
            (numbers[a], numbers[b])
            for a, b in updated_operands(built.kernel)
            if a != epilogue.product and numbers[a] not in operands
        ]
        return True

    def _add_product(self, eqn: Eqn, views: Mapping[Var, View]) -> None:
        (result,) = eqn.outputs
        self._launch_product(views, plain_epilogue(result), [result], [eqn])
        product = self._library_product(eqn, views)
        if product is not None:
            fields = {name: getattr(self.steps[-1], name) for name in field_names(Instruction)}
            self.steps[-1] = ProductStep(**fields, product=product)

    def _launch_product(
        self,
        views: Mapping[Var, View],
        epilogue: Epilogue,
        operands: Sequence[Var],
        eqns: list[Eqn],
    ) -> None:
        """A product, the first of the equations, with an epilogue that has these operands."""
        eqn = eqns[0]
        op = eqn.op
        assert isinstance(op, DotGeneral)
        (x, _), (y, _) = (views[a] for a in eqn.inputs if isinstance(a, Var))
        shape = self._product_shape(eqn, views)
        types = (eqn.inputs[0].type.dtype, op.accumulator(eqn.inputs[0].type.dtype))
        operand, accumulate = map(short_name, types)
        dtypes = (operand, accumulate, short_name(eqn.outputs[0].type.dtype))
        atoms = [x, y, *epilogue.others(operands)]
        is_aligned = self._are_aligned(atoms)
        code = product_kernel(shape, dtypes, op.precision, epilogue, self.target, is_aligned)
        self._add_instruction(code, atoms, (), eqns)

    def _library_product(self, eqn: Eqn, views: Mapping[Var, View]) -> Product | None:
        """What a library is asked for instead of a kernel."""
        assert isinstance(eqn.op, DotGeneral)
        operand, result = (a.type.dtype for a in (eqn.inputs[0], eqn.outputs[0]))
        bases = [views[a][0] for a in eqn.inputs if isinstance(a, Var)]
        is_aligned = self._are_aligned([*bases, *eqn.outputs])
        return library_product(
            self._product_shape(eqn, views),
            (short_name(operand), short_name(result)),
            eqn.op.precision,
            ACCESS_BYTES if is_aligned else operand.itemsize,
        )

    def _add_library_call(self, eqn: Eqn, op: LibraryCall) -> None:
        for atom, var in zip(eqn.inputs[: op.updates], eqn.outputs, strict=False):
            if var not in self.numbers and self._ends_with(atom, eqn):
                self.numbers[var] = self.atom_number(atom)  # which a library works in
        self._add_host_equation(eqn, op.routine, partial(LibraryStep, call=op))

    def _add_native(self, eqn: Eqn, op: NativeCall) -> None:
        kernel = op.function.grid_kernel
        if kernel is None:
            self._add_host_equation(eqn, op.name)
            return
        atoms = [*eqn.outputs, *eqn.inputs]
        numbers = tuple([self._fixed(self.atom_number(a)) for a in atoms])
        results = numbers[: len(eqn.outputs)]
        for atom, number in zip(eqn.inputs, numbers[len(eqn.outputs) :], strict=True):
            self.add_copy(self.atom_number(atom), number, eqn)
        for number in numbers:
            self.touch(number)
        if kernel.grid is not None:
            for var, number in zip(eqn.outputs, results, strict=True):
                self._add_launch(_zeros(var.type), (number,), eqn)  # it may not write all
        fields = (
            self._kernel(KernelCode(kernel.ptx(self.target.cpu), "kernel", SMALL_LEVEL)),
            numbers,
            tuple([n for a in atoms for n in a.type.shape]),
            eqn.outputs[0].type.size,
            1,
            0,
            f"{op.name} {op.function.name}",
            0,
        )
        grid = kernel.grid
        step = Instruction(*fields) if grid is None else GridInstruction(*fields, grid)
        self._add_step(step, (), (eqn.source,))
        for var, number in zip(eqn.outputs, results, strict=True):
            self.add_copy(number, self.number(var), eqn)

    def _fixed(self, number: int) -> int:
        """A buffer, or another of its size where it moves: kernels of others take addresses."""
        if not self._moves(number):
            return number
        return self.add_temp(self.buffers[number].size_bytes)

    def _add_host_equation(
        self, eqn: Eqn, name: str, make: Callable[..., HostCall] = HostCall
    ) -> None:
        """An equation that the host computes, between two transfers."""
        function = self.functions.setdefault(eqn, len(self.functions))
        inputs = tuple([self.atom_number(a) for a in eqn.inputs])
        outputs = tuple([self.number(v) for v in eqn.outputs])
        specs = [tuple([self.spec(a.type) for a in row]) for row in (eqn.inputs, eqn.outputs)]
        step = make(function, inputs, outputs, specs[0], specs[1], f"{name} on the host")
        self._add_step(step, (), (eqn.source,))


def _zeros(type_: ArrayType) -> KernelText:
    """The kernel that fills a buffer with zeros."""
    size = min(8, type_.dtype.itemsize)
    text = _ZERO.replace("<type>", f"i{8 * size}").replace("<bytes>", str(size))
    return KernelText(text, (), type_.size_bytes // size, 1, 0)
