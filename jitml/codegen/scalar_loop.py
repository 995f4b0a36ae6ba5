"""Loops over scalars as one kernel: the loop inside, its state in registers.

Comes in: a loop's equation, whose carries, slices and outputs are scalars, but for carries that are
arrays of which each step updates single elements in place. Goes out: the text of a kernel, or None
where the body does not fit into one. What it reads beside (constants) may be arrays of any size.
Its checks are numbered by the step at which they fail.

A map of such loops of unknown length, one for each element, is one kernel too: threads share the
elements, which run in the lanes of vectors; each element takes its own number of steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jitml.codegen.build import Built, build_kernel, build_scatter
from jitml.codegen.element import NeedsBuffer, compute_type, part_type
from jitml.codegen.emit import KernelText
from jitml.codegen.frame import Frame
from jitml.codegen.in_place import update_chain
from jitml.codegen.kernel import Node, Site
from jitml.codegen.latest import Latest
from jitml.codegen.llvm import Emitter, llvm_type
from jitml.codegen.masked import masked_load, masked_store
from jitml.codegen.memory import store
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.special import Element
from jitml.codegen.target import Target
from jitml.codegen.vectorize import widest_bytes
from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.types import ArrayType
from jitml.ops.scan import Scan
from jitml.ops.scatter import Scatter
from jitml.ops.while_loop import While, loop_of_map
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, select

STEP_NS = 2  # the least that a step takes: tells whether other Python threads may run meanwhile
_ENDLESS_NS = 1 << 40
_MAP_VECTORS = 8  # vectors of elements of a map of loops that a thread takes at a time
_MAP_REGISTERS = 2  # that a vector takes: two chains of instructions run beside each other
_MOST_EQNS = 200
_REPEATED = 1 << 20  # equal instructions on scalars are written once


@dataclass(frozen=True)
class ScalarLoop:
    """The text of a loop's kernel, what its operands are, its checks.

    `copies` are the initial values of arrays that it updates, and the outputs that it does it in.
    """

    kernel: KernelText
    operands: tuple[Atom, ...]
    copies: tuple[tuple[Atom, Var], ...]
    sites: tuple[Site, ...]
    work_ns: int


def scalar_loop(eqn: Eqn, target: Target) -> ScalarLoop | None:
    """The kernel of a loop over scalars; None if it is not one."""
    op = eqn.op
    if isinstance(op, Scan):
        inner_loop = loop_of_map(op)
        if inner_loop is not None and len({*op.body.outputs}) == len(op.body.outputs):
            return _map_of_loops(eqn, op, inner_loop, target)
        constants, carries, arrays = op.groups(eqn.inputs)
        inner = op.groups(op.body.inputs)
        if not op.length or not _are_scalars([*inner[2], *op.body.outputs[op.carries :]]):
            return None
        part = _part(op.body, inner[1])
        loop = _Loop(eqn, target, carries)
        return None if part is None else loop.scan(op, part, constants, arrays)
    assert isinstance(op, While)
    _, _, carries = op.groups(eqn.inputs)
    if all(v.type.shape for v in eqn.outputs):
        return None
    asked = _part(op.condition, ())
    body = _part(op.body, op.body.inputs[op.body_constants :])
    if asked is None or body is None:
        return None
    return _Loop(eqn, target, carries).repeat(op, asked, body)


def _map_of_loops(eqn: Eqn, op: Scan, inner: Eqn, target: Target) -> ScalarLoop | None:
    """The kernel of a map of loops over scalars. One with checks is none: which of them fails first
    must not depend on how threads share the elements.
    """
    loop = inner.op
    assert isinstance(loop, While)
    asked, body = _part(loop.condition, ()), _part(loop.body, ())
    if asked is None or body is None or not op.length or not _are_scalars(inner.outputs):
        return None
    if any(built.kernel.sites for built in (*asked.kernels, *body.kernels)):
        return None
    outer: dict[Atom, Atom] = dict(zip(op.body.inputs, eqn.inputs, strict=True))
    outer.update(zip(op.body.outputs, eqn.outputs, strict=True))
    moving = {*op.body.inputs[op.constants :], *inner.outputs}
    return _Map(inner, target, outer, moving).run(loop, asked, body, op.length)


def _are_scalars(atoms: Sequence[Atom]) -> bool:
    return all(not a.type.shape for a in atoms)


@dataclass(frozen=True)
class _Part:
    """A nested graph as a kernel without loops; `built` is None if it computes no scalar.

    `updates` are the scatters, in order, that are made at the end of a step, and the carries that
    they update.
    """

    graph: Graph
    built: Built | None
    updates: tuple[tuple[Built, Var], ...]

    @property
    def kernels(self) -> list[Built]:
        own = [] if self.built is None else [self.built]
        return [*own, *(built for built, _ in self.updates)]


def _part(graph: Graph, carries: Sequence[Var]) -> _Part | None:
    if len(graph.eqns) > _MOST_EQNS or graph.has_effect:
        return None
    scatters: dict[Eqn, Var] = {}
    for var, end in zip(carries, graph.outputs, strict=False):
        if var.type.shape:
            found = _scatters(graph, var, end)
            if found is None:
                return None
            scatters.update(dict.fromkeys(found, var))
    definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    scalars = [a for a in dict.fromkeys(graph.outputs) if not a.type.shape]
    roots = [a for a in scalars if isinstance(a, Var) and a in definitions]
    inputs = set(graph.inputs)
    try:
        built = build_kernel(definitions, inputs, roots, _REPEATED) if roots else None
        ordered = [eqn for eqn in graph.eqns if eqn in scatters]
        updates = [(build_scatter(definitions, inputs, e, _REPEATED), scatters[e]) for e in ordered]
    except NeedsBuffer:
        return None
    part = _Part(graph, built, tuple(updates))
    nodes = [node for b in part.kernels for node in b.kernel.nodes()]
    has_loops = any(b.kernel.live_outer() for b in part.kernels)
    return None if has_loops or any(node.name == "reduce" for node in nodes) else part


def _scatters(graph: Graph, start: Var, end: Atom) -> list[Eqn] | None:
    """The scatters of single elements that make `end` of `start`, if nothing reads between."""
    chain = update_chain(graph, start, end)
    if not chain or graph.outputs.count(end) > 1:
        return None
    for update in chain:
        op, after = update.eqn.op, update.after
        uses = sum(after in eqn.inputs for eqn in graph.eqns)
        if not isinstance(op, Scatter) or update.eqn.inputs[2].type.size != 1:
            return None
        if uses != (after is not end):
            return None
    return [update.eqn for update in chain]


class _Loop:
    """One loop while its text is written."""

    def __init__(self, eqn: Eqn, target: Target, carries: Sequence[Atom]) -> None:
        self.eqn = eqn
        self.target = target
        self.carries = list(carries)
        self.results = eqn.outputs[: len(carries)]
        self.outputs = [v for v in self.results if not v.type.shape]
        self.operands: list[Atom] = []
        self.places: list[Value | None] = []
        self.sites: list[Site] = []
        self.frame = Frame(target, 0)
        self.emit = self.frame.emit
        self.state: list[Any] = []
        self.latest: dict[str, Latest] = {}  # by the addresses of arrays
        self.fixed: dict[Var, Any] = {}  # inputs of nested graphs that are values already
        self.lanes = 1
        self.active: Value | None = None  # which lanes are to run, where not all are
        self.index = Value(self.emit, "i64", 1, "%step")
        self._blocks = 0

    # ---- operands --------------------------------------------------------------------------------

    def pointer(self, atom: Atom) -> Value:
        """The address of a buffer, as a new operand of the kernel."""
        self.operands.append(atom)
        pointer = Value(self.emit, "ptr", 1, f"%b{len(self.frame.pointers)}")
        self.frame.pointers.append(pointer)
        return pointer

    def arrays(self, carried: Sequence[Var]) -> dict[Var, Value]:
        """The addresses of the carries that are arrays: where their results are to be."""
        if not self.places:
            self.places = [self.pointer(v) if v.type.shape else None for v in self.results]
        pairs = zip(carried, self.places, strict=True)
        return {var: place for var, place in pairs if place is not None}

    def remember_updates(self, part: _Part, carried: Sequence[Var]) -> None:
        """Keep what each step writes into an array, for reads of the next one."""
        for var, place in self.arrays(carried).items():
            specs = [s for b, v in part.updates if v is var for s in b.kernel.stores]
            is_read = any(var in built.reads for built in part.kernels)
            if is_read and all(len(s.nodes) == 1 for s in specs):
                self.latest[place.ref] = Latest(self.emit, specs[0])

    def initial_state(self) -> list[Any]:
        """The values that the carries which are scalars start from."""
        return [self.initial(a) for a in self.carries if not a.type.shape]

    def initial(self, atom: Atom) -> Any:
        """The value that a carry starts from."""
        if not isinstance(atom, Literal):
            return Element(atom.type).load(self.emit, self.pointer(atom), self.frame.number(0))
        if is_complex(atom.type.dtype):
            part, number = part_type(atom.type), complex(atom.value)
            return Complex(*(self.emit.constant(part, x) for x in (number.real, number.imag)))
        assert not isinstance(atom.value, complex)
        return self.emit.constant(compute_type(atom.type), atom.value)

    # ---- the two kinds of loops ------------------------------------------------------------------

    def scan(
        self, op: Scan, part: _Part, constants: Sequence[Atom], arrays: Sequence[Atom]
    ) -> ScalarLoop:
        fixed, carried, slices = op.groups(op.body.inputs)
        first = self.initial_state()
        used = self._used(part)
        pointers = {v: self.pointer(a) for v, a in zip(fixed, constants, strict=True) if v in used}
        whole = {v: self.pointer(a) for v, a in zip(slices, arrays, strict=True) if v in used}
        stacked = self.eqn.outputs[op.carries :]
        targets = [self.pointer(v) for v in stacked]
        length = self.frame.size(op.length)
        self.remember_updates(part, carried)

        def step() -> list[Any]:
            last = self.frame.size(op.length - 1)
            position = last - self.index if op.reverse else self.index
            moved = {v: _slice(self.emit, p, v.type, position) for v, p in whole.items()}
            values = self._values(part, {**pointers, **moved, **self.arrays(carried)}, carried)
            nexts, ys = values[: op.carries], values[op.carries :]
            for pointer, var, value in zip(targets, stacked, ys, strict=True):
                Element(var.type).store(self.emit, pointer, position, value)
            return [x for x in nexts if x is not None]

        self._write(first, lambda: self.index < length, step)
        return self._finish(op.length * STEP_NS * max(1, len(op.body.eqns)))

    def repeat(self, op: While, asked: _Part, body: _Part) -> ScalarLoop:
        self.write_repeat(op, asked, body)
        return self._finish(_ENDLESS_NS)

    def write_repeat(self, op: While, asked: _Part, body: _Part) -> None:
        """The text of a loop of unknown length."""
        condition_constants, body_constants, _ = op.groups(self.eqn.inputs)
        first = self.initial_state()
        asked_inputs = op.condition.inputs[: op.condition_constants]
        body_inputs = op.body.inputs[: op.body_constants]
        for_condition = self.constants(asked, asked_inputs, condition_constants)
        for_body = self.constants(body, body_inputs, body_constants)
        carried = op.body.inputs[op.body_constants :]
        self.remember_updates(body, carried)

        def goes_on() -> Value:
            tested = op.condition.inputs[op.condition_constants :]
            pointers = {**for_condition, **self.arrays(tested)}
            (holds,) = self._values(asked, pointers, tested)
            assert isinstance(holds, Value)
            return holds if self.active is None else self.active & holds

        def step() -> list[Any]:
            values = self._values(body, {**for_body, **self.arrays(carried)}, carried)
            return [x for x in values if x is not None]

        self._write(first, goes_on, step)

    def constants(
        self, part: _Part, inputs: Sequence[Var], atoms: Sequence[Atom]
    ) -> dict[Var, Value]:
        """The addresses of what a nested graph reads beside its carries."""
        used = self._used(part)
        return {v: self.pointer(a) for v, a in zip(inputs, atoms, strict=True) if v in used}

    def _used(self, part: _Part) -> set[Any]:
        """The inputs of a graph that its kernel, or an output, reads."""
        reads = [v for built in part.kernels for v in built.reads]
        return {*reads, *(a for a in part.graph.outputs if isinstance(a, Var))}

    def _finish(self, work_ns: int, extent: int = 1, grain: int = 0) -> ScalarLoop:
        text = self.frame.finish(has_checks=bool(self.sites))
        kernel = KernelText(text, tuple(self.frame.sizes), extent, grain, self.frame.scratch_bytes)
        pairs = zip(self.carries, self.results, strict=True)
        copies = tuple([(atom, var) for atom, var in pairs if var.type.shape])
        return ScalarLoop(kernel, tuple(self.operands), copies, tuple(self.sites), work_ns)

    # ---- text ------------------------------------------------------------------------------------

    def _write(
        self, first: Sequence[Any], goes_on: Callable[[], Value], step: Callable[[], list[Any]]
    ) -> None:
        """`while goes_on(): state = step()`, then the state to the outputs. Lanes that no longer go
        on keep their state.
        """
        emit, lanes = self.emit, self.lanes
        stop = self._stop_flag()
        elements = [Element(v.type) for v in self.outputs]
        scalars = self._scalars(elements, first)
        scalars = [emit.splat(x, lanes) for x in scalars]
        before = emit.block
        emit.line("br label %steps")
        emit.label("steps")
        at = len(emit.lines)
        moving = [Value(emit, x.type, lanes, f"%state{k}") for k, x in enumerate(scalars)]
        self._resume(elements, moving)
        with emit.scope():
            holds = goes_on()
            self._leave_if_failed()
            emit.line(f"br i1 {emit.any_lane(holds).ref}, label %body, label %after")
            emit.label("body")
            nexts = step()
            after = self._scalars(elements, nexts)
            if lanes > 1:
                after = [select(holds, x, old) for x, old in zip(after, moving, strict=True)]
            self._leave_if_failed()
            following = self.index + 1
            flag = emit.effect(f"load volatile i32, ptr {stop.ref}, align 4", "i32") != 0
            latch = emit.block
            emit.line(f"br i1 {flag.ref}, label %left, label %steps")
        phis = [f"  {self.index.ref} = phi i64 [0, %{before}], [{following.ref}, %{latch}]"]
        for old, x, y in zip(moving, scalars, after, strict=True):
            type_ = llvm_type(old.type, lanes)
            phis.append(f"  {old.ref} = phi {type_} [{x.ref}, %{before}], [{y.ref}, %{latch}]")
        emit.lines[at:at] = phis
        self._leave()
        emit.label("after")
        for element, var, value in zip(elements, self.outputs, self.state, strict=True):
            self.store_result(element, var, value)

    def _scalars(self, elements: Sequence[Element], values: Sequence[Any]) -> list[Value]:
        """All that a step hands on: the carries' values, what has been written."""
        carried = [x for e, v in zip(elements, values, strict=True) for x in e.scalars(v)]
        return carried + [x for latest in self.latest.values() for x in latest.state]

    def _resume(self, elements: Sequence[Element], scalars: Sequence[Value]) -> None:
        """Begin a step with what the one before has handed on."""
        remaining = iter(scalars)
        self.state = [e.group([next(remaining) for _ in range(e.parts)]) for e in elements]
        for latest in self.latest.values():
            latest.state = [next(remaining) for _ in latest.state]

    def store_result(self, element: Element, var: Var, value: Any) -> None:
        """What a carry has become."""
        element.store(self.emit, self.pointer(var), self.frame.number(0), value)

    def _stop_flag(self) -> Value:
        place = self.emit.pure("getelementptr i64, ptr %fault, i64 3", "ptr")
        return self.emit.effect(f"load ptr, ptr {place.ref}, align 8", "ptr")

    def _has_failed(self) -> Value:
        site = self.emit.effect("load i64, ptr %fault, align 8", "i64")
        return site != _NO_SITE

    def _leave_if_failed(self) -> None:
        """The first step with a failed check is the last one."""
        if self.sites:
            self._blocks += 1
            failed = self._has_failed()
            self.emit.line(f"br i1 {failed.ref}, label %left, label %good{self._blocks}")
            self.emit.label(f"good{self._blocks}")

    def _leave(self) -> None:
        """Where the loop is left early: 1 for a failed check, 2 for a stop."""
        self.emit.label("left")
        with self.emit.scope():
            failed = self._has_failed()
            self.emit.line(f"%early = select i1 {failed.ref}, i32 1, i32 2")
            self.emit.line("ret i32 %early")

    def _values(
        self, part: _Part, pointers: Mapping[Var, Value], carried: Sequence[Var]
    ) -> list[Any]:
        """The outputs of a nested graph that are scalars, for the state at hand; None for arrays,
        which are updated once everything has been read.
        """
        scalars = [v for v in carried if not v.type.shape]
        state = {**self.fixed, **dict(zip(scalars, self.state, strict=True))}
        computed: dict[Var, Any] = {}
        if part.built is not None:
            nest = self._prepared(part.built, pointers, state)
            for var, spec in zip(part.built.writes, part.built.kernel.stores, strict=True):
                nodes = [nest.value(node) for node in spec.nodes]
                computed[var] = Element(var.type).group(nodes)
        updates = [(b, self._prepared(b, pointers, state, v)) for b, v in part.updates]
        values = [self._value(atom, computed, state, pointers) for atom in part.graph.outputs]
        for built, nest in updates:
            for spec in built.kernel.stores:
                latest = self.latest.get(nest.frame.pointers[spec.operand].ref)
                if latest is None:
                    store(nest, spec)
                else:
                    latest.update(nest, spec)
        return values

    def _value(
        self,
        atom: Atom,
        computed: Mapping[Var, Any],
        state: Mapping[Var, Any],
        pointers: Mapping[Var, Value],
    ) -> Any:
        assert isinstance(atom, Var)
        if atom.type.shape:
            return None
        if atom in computed:
            return computed[atom]
        if atom in state:
            return state[atom]
        return Element(atom.type).load(self.emit, pointers[atom], self.frame.number(0))

    def _prepared(
        self,
        built: Built,
        pointers: Mapping[Var, Value],
        state: Mapping[Var, Any],
        updated: Var | None = None,
    ) -> Nest:
        """A kernel without loops, all that its stores need computed; they go to `updated`."""
        frame = copy.copy(self.frame)  # the same text, other operands
        nowhere = Value(self.emit, "ptr", 1, "poison")
        target = nowhere if updated is None else pointers[updated]
        reads = [pointers.get(v, nowhere) for v in built.reads]
        frame.pointers = [*reads, *(target for _ in built.writes)]
        first_site = len(self.sites)
        self.sites += [replace(site, counts_steps=True) for site in built.kernel.sites]

        def is_carried(node: Node) -> bool:
            return node.name == "load" and built.reads[node.data.operand] in state

        def is_latest(node: Node) -> bool:
            return node.name == "load" and reads[node.data.operand].ref in self.latest

        def write(nest: Nest, node: Node) -> Any:
            if is_carried(node):
                return _carried(nest, node, state[built.reads[node.data.operand]])
            if is_latest(node):
                return self.latest[reads[node.data.operand].ref].read(nest, node)
            if node.name == "check":
                return self._check(nest, node, first_site)
            return write_node(nest, node)

        nest = Nest(built.kernel, frame, self.target, write)
        nest.lanes = self.lanes
        # What does not wait for the step before comes first: a jump that is made of a choice among
        # the rest does not hold it up.
        waiting = _above(nest.nodes, lambda node: is_carried(node) or is_latest(node))
        nest.prepare([node for node in nest.nodes if node.number not in waiting])
        nest.prepare([node for spec in built.kernel.stores for node in spec.roots])
        return nest

    def _check(self, nest: Nest, node: Node, first_site: int) -> Value:
        """A check that tells the step at which it fails."""
        ok, offending = (nest.value(x) for x in node.operands[:2])
        bad = ~ok if len(node.operands) < 4 else ~ok & nest.value(node.operands[3])
        site = first_site + node.data
        self.emit.if_(bad, lambda: self.frame.fail(site, self.index, offending, bad))
        return ok


class _Map(_Loop):
    """A loop for each element of a map; `outer` tells what its operands are outside of the map,
    `moving` which of them are slices.
    """

    def __init__(
        self, eqn: Eqn, target: Target, outer: Mapping[Atom, Atom], moving: set[Var]
    ) -> None:
        assert isinstance(eqn.op, While)
        super().__init__(eqn, target, eqn.op.groups(eqn.inputs)[2])
        self.outer = outer
        self.moving = moving
        self.element = self.frame.number(0)

    def run(self, op: While, asked: _Part, body: _Part, length: int) -> ScalarLoop:
        begin, end = (Value(self.emit, "i64", 1, f"%{name}") for name in ("begin", "end"))
        self.lanes = self._lanes(asked, body, length)

        def some(index: Value, _: list[Value]) -> Sequence[Value]:
            self.element = index
            if self.lanes > 1:
                self.active = self.emit.lane_numbers(self.lanes) + index < end
            self.write_repeat(op, asked, body)
            return []

        self.emit.loop(begin, end, self.lanes, [], some)
        return self._finish(_ENDLESS_NS, length, min(length, _MAP_VECTORS * max(8, self.lanes)))

    def _lanes(self, asked: _Part, body: _Part, length: int) -> int:
        """How many elements run beside each other."""
        slices = [a for a in self.eqn.inputs if isinstance(a, Var) and a in self.moving]
        if not _are_scalars(slices) or any(
            is_complex(a.type.dtype) for a in (*slices, *self.outputs)
        ):
            return 1
        nodes = [n for part in (asked, body) for b in part.kernels for n in b.kernel.nodes()]
        lanes = self.target.lanes(widest_bytes(nodes)) * _MAP_REGISTERS
        while lanes >= 2 * length:
            lanes //= 2
        return lanes

    def write_repeat(self, op: While, asked: _Part, body: _Part) -> None:
        self.fixed = {}
        super().write_repeat(op, asked, body)

    def pointer(self, atom: Atom) -> Value:
        if not isinstance(atom, Var):
            return super().pointer(atom)
        whole = super().pointer(self.outer[atom])
        if atom not in self.moving:
            return whole
        return _slice(self.emit, whole, atom.type, self.element)

    def constants(
        self, part: _Part, inputs: Sequence[Var], atoms: Sequence[Atom]
    ) -> dict[Var, Value]:
        used, pointers = self._used(part), {}
        for var, atom in zip(inputs, atoms, strict=True):
            if var in used and atom in self.moving and not var.type.shape:
                self.fixed[var] = self.initial(atom)
            elif var in used:
                pointers[var] = self.pointer(atom)
        return pointers

    def initial(self, atom: Atom) -> Any:
        if self.active is None or atom not in self.moving:
            return super().initial(atom)
        return masked_load(self.emit, self.pointer(atom), Element(atom.type).storage, self.active)

    def store_result(self, element: Element, var: Var, value: Any) -> None:
        if var not in self.outer:  # nobody reads it
            return
        if self.active is None:
            super().store_result(element, var, value)
        else:
            masked_store(self.emit, self.pointer(var), value, element.storage, self.active)


_NO_SITE = 2**63 - 1


def _above(nodes: Iterable[Node], is_wanted: Callable[[Node], bool]) -> set[int]:
    """The numbers of the nodes that are wanted, or computed from such."""
    found: set[int] = set()
    for node in nodes:
        if is_wanted(node) or not found.isdisjoint(x.number for x in node.operands):
            found.add(node.number)
    return found


def _carried(nest: Nest, node: Node, value: Any) -> Value:
    """A load of a carry: no load at all."""
    parts = (value,) if isinstance(value, Value) else (value.re, value.im)
    part = parts[node.data.index.constant]
    if len(node.operands) == len(node.data.index.nodes):
        return part
    return select(nest.value(node.operands[0]), part, part.like(0))


def _slice(emit: Emitter, pointer: Value, type_: ArrayType, position: Value) -> Value:
    """The address of a slice, of `type_`, of an array."""
    element = Element(type_)
    return emit.address(pointer, position * (element.parts * type_.size), element.storage)
