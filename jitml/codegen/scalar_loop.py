"""Loops over scalars as one kernel: the loop inside, its state in registers.

Comes in: a loop's equation, whose carries, slices and outputs are all scalars. Goes out: the text
of a kernel, or None where the body does not fit into one. What it reads beside (constants) may be
arrays of any size. Its checks are numbered by the step at which they fail.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jitml.codegen.build import Built, build_kernel
from jitml.codegen.element import NeedsBuffer, compute_type, part_type
from jitml.codegen.emit import KernelText
from jitml.codegen.frame import Frame
from jitml.codegen.kernel import Node, Site
from jitml.codegen.llvm import Emitter, llvm_type
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.special import Element
from jitml.codegen.target import Target
from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.types import ArrayType
from jitml.ops.scan import Scan
from jitml.ops.while_loop import While
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, select

STEP_NS = 2  # the least that a step takes: tells whether other Python threads may run meanwhile
_ENDLESS_NS = 1 << 40
_MOST_EQNS = 200


@dataclass(frozen=True)
class ScalarLoop:
    """The text of a loop's kernel, what its operands are, its checks."""

    kernel: KernelText
    operands: tuple[Atom, ...]
    sites: tuple[Site, ...]
    work_ns: int


def scalar_loop(eqn: Eqn, target: Target) -> ScalarLoop | None:
    """The kernel of a loop over scalars; None if it is not one."""
    op = eqn.op
    if isinstance(op, Scan):
        constants, carries, arrays = op.groups(eqn.inputs)
        inner = op.groups(op.body.inputs)
        values = [*inner[1], *inner[2], *op.body.outputs]
        if not op.length or not _are_scalars(values):
            return None
        parts = _parts(op.body)
        if parts is None:
            return None
        return _Loop(eqn, target, carries, op.carries).scan(op, parts, constants, arrays)
    assert isinstance(op, While)
    _, _, carries = op.groups(eqn.inputs)
    if not _are_scalars(op.body.outputs):
        return None
    asked, body = _parts(op.condition), _parts(op.body)
    if asked is None or body is None:
        return None
    return _Loop(eqn, target, carries, len(carries)).repeat(op, asked, body)


def _are_scalars(atoms: Sequence[Atom]) -> bool:
    return all(not a.type.shape for a in atoms)


@dataclass(frozen=True)
class _Part:
    """A nested graph as a kernel without loops; `built` is None if it computes nothing."""

    graph: Graph
    built: Built | None


def _parts(graph: Graph) -> _Part | None:
    if len(graph.eqns) > _MOST_EQNS:
        return None
    definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    roots = [a for a in dict.fromkeys(graph.outputs) if isinstance(a, Var) and a in definitions]
    if not roots:
        return _Part(graph, None)
    try:
        built = build_kernel(definitions, set(graph.inputs), roots)
    except NeedsBuffer:
        return None
    has_loops = any(node.name == "reduce" for node in built.kernel.nodes())
    return None if has_loops or built.kernel.live_outer() else _Part(graph, built)


class _Loop:
    """One loop while its text is written."""

    def __init__(self, eqn: Eqn, target: Target, carries: Sequence[Atom], count: int) -> None:
        self.eqn = eqn
        self.target = target
        self.carries = list(carries)
        self.outputs = eqn.outputs[:count]
        self.operands: list[Atom] = []
        self.sites: list[Site] = []
        self.frame = Frame(target, 0)
        self.emit = self.frame.emit
        self.state: list[Any] = []
        self.index = Value(self.emit, "i64", 1, "%step")
        self._blocks = 0

    # ---- operands --------------------------------------------------------------------------------

    def pointer(self, atom: Atom) -> Value:
        """The address of a buffer, as a new operand of the kernel."""
        self.operands.append(atom)
        pointer = Value(self.emit, "ptr", 1, f"%b{len(self.frame.pointers)}")
        self.frame.pointers.append(pointer)
        return pointer

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
        first = list(map(self.initial, self.carries))
        used = self._used(part)
        pointers = {v: self.pointer(a) for v, a in zip(fixed, constants, strict=True) if v in used}
        whole = {v: self.pointer(a) for v, a in zip(slices, arrays, strict=True) if v in used}
        stacked = self.eqn.outputs[op.carries :]
        targets = [self.pointer(v) for v in stacked]
        length = self.frame.size(op.length)

        def step() -> list[Any]:
            last = self.frame.size(op.length - 1)
            position = last - self.index if op.reverse else self.index
            moved = {v: _slice(self.emit, p, v.type, position) for v, p in whole.items()}
            values = self._values(part, {**pointers, **moved}, carried)
            nexts, ys = values[: op.carries], values[op.carries :]
            for pointer, var, value in zip(targets, stacked, ys, strict=True):
                Element(var.type).store(self.emit, pointer, position, value)
            return nexts

        self._write(first, lambda: self.index < length, step)
        return self._finish(op.length * STEP_NS * max(1, len(op.body.eqns)))

    def repeat(self, op: While, asked: _Part, body: _Part) -> ScalarLoop:
        condition_constants, body_constants, _ = op.groups(self.eqn.inputs)
        first = list(map(self.initial, self.carries))
        asked_used, body_used = self._used(asked), self._used(body)
        asked_inputs = op.condition.inputs[: op.condition_constants]
        body_inputs = op.body.inputs[: op.body_constants]
        for_condition = {
            v: self.pointer(a)
            for v, a in zip(asked_inputs, condition_constants, strict=True)
            if v in asked_used
        }
        for_body = {
            v: self.pointer(a)
            for v, a in zip(body_inputs, body_constants, strict=True)
            if v in body_used
        }

        def goes_on() -> Value:
            carried = op.condition.inputs[op.condition_constants :]
            (holds,) = self._values(asked, for_condition, carried)
            assert isinstance(holds, Value)
            return holds

        def step() -> list[Any]:
            return self._values(body, for_body, op.body.inputs[op.body_constants :])

        self._write(first, goes_on, step)
        return self._finish(_ENDLESS_NS)

    def _used(self, part: _Part) -> set[Any]:
        """The inputs of a graph that its kernel, or an output, reads."""
        reads = part.built.reads if part.built else ()
        return {*reads, *(a for a in part.graph.outputs if isinstance(a, Var))}

    def _finish(self, work_ns: int) -> ScalarLoop:
        text = self.frame.finish(has_checks=bool(self.sites))
        kernel = KernelText(text, tuple(self.frame.sizes), 1, 0, self.frame.scratch_bytes)
        return ScalarLoop(kernel, tuple(self.operands), tuple(self.sites), work_ns)

    # ---- text ------------------------------------------------------------------------------------

    def _write(
        self, first: Sequence[Any], goes_on: Callable[[], Value], step: Callable[[], list[Any]]
    ) -> None:
        """`while goes_on(): state = step()`, then the state to the outputs."""
        emit = self.emit
        stop = self._stop_flag()
        elements = [Element(v.type) for v in self.outputs]
        scalars = [x for e, v in zip(elements, first, strict=True) for x in e.scalars(v)]
        before = emit.block
        emit.line("br label %steps")
        emit.label("steps")
        at = len(emit.lines)
        moving = [Value(emit, x.type, 1, f"%state{k}") for k, x in enumerate(scalars)]
        self.state = _grouped(elements, moving)
        with emit.scope():
            holds = goes_on()
            self._leave_if_failed()
            emit.line(f"br i1 {holds.ref}, label %body, label %after")
            emit.label("body")
            nexts = step()
            self._leave_if_failed()
            following = self.index + 1
            flag = emit.effect(f"load volatile i32, ptr {stop.ref}, align 4", "i32") != 0
            latch = emit.block
            emit.line(f"br i1 {flag.ref}, label %left, label %steps")
        after = [x for e, v in zip(elements, nexts, strict=True) for x in e.scalars(v)]
        phis = [f"  {self.index.ref} = phi i64 [0, %{before}], [{following.ref}, %{latch}]"]
        for old, x, y in zip(moving, scalars, after, strict=True):
            type_ = llvm_type(old.type)
            phis.append(f"  {old.ref} = phi {type_} [{x.ref}, %{before}], [{y.ref}, %{latch}]")
        emit.lines[at:at] = phis
        self._leave()
        emit.label("after")
        for element, var, value in zip(elements, self.outputs, self.state, strict=True):
            element.store(emit, self.pointer(var), self.frame.number(0), value)

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
        """The outputs of a nested graph, for the state at hand."""
        state = dict(zip(carried, self.state, strict=True))
        computed = {} if part.built is None else self._computed(part.built, pointers, state)
        values = []
        for atom in part.graph.outputs:
            assert isinstance(atom, Var)
            if atom in computed:
                values.append(computed[atom])
            elif atom in state:
                values.append(state[atom])
            else:
                element = Element(atom.type)
                values.append(element.load(self.emit, pointers[atom], self.frame.number(0)))
        return values

    def _computed(
        self, built: Built, pointers: Mapping[Var, Value], state: Mapping[Var, Any]
    ) -> dict[Var, Any]:
        """What a kernel without loops stores, as values."""
        frame = copy.copy(self.frame)  # the same text, other operands
        nowhere = Value(self.emit, "ptr", 1, "poison")
        frame.pointers = [pointers.get(v, nowhere) for v in (*built.reads, *built.writes)]
        first_site = len(self.sites)
        self.sites += [replace(site, counts_steps=True) for site in built.kernel.sites]

        def write(nest: Nest, node: Node) -> Any:
            if node.name == "load" and built.reads[node.data.operand] in state:
                return _carried(nest, node, state[built.reads[node.data.operand]])
            if node.name == "check":
                return self._check(nest, node, first_site)
            return write_node(nest, node)

        nest = Nest(built.kernel, frame, self.target, write)
        nest.prepare([node for store in built.kernel.stores for node in store.nodes])
        found = {}
        for var, store in zip(built.writes, built.kernel.stores, strict=True):
            found[var] = Element(var.type).group([nest.value(node) for node in store.nodes])
        return found

    def _check(self, nest: Nest, node: Node, first_site: int) -> Value:
        """A check that tells the step at which it fails."""
        ok, offending = (nest.value(x) for x in node.operands[:2])
        bad = ~ok if len(node.operands) < 4 else ~ok & nest.value(node.operands[3])
        site = first_site + node.data
        self.emit.if_(bad, lambda: self.frame.fail(site, self.index, offending, bad))
        return ok


_NO_SITE = 2**63 - 1


def _carried(nest: Nest, node: Node, value: Any) -> Value:
    """A load of a carry: no load at all."""
    parts = (value,) if isinstance(value, Value) else (value.re, value.im)
    part = parts[node.data.index.constant]
    if len(node.operands) == len(node.data.index.nodes):
        return part
    return select(nest.value(node.operands[0]), part, part.like(0))


def _grouped(elements: Sequence[Element], scalars: Sequence[Value]) -> list[Any]:
    remaining = iter(scalars)
    return [e.group([next(remaining) for _ in range(e.parts)]) for e in elements]


def _slice(emit: Emitter, pointer: Value, type_: ArrayType, position: Value) -> Value:
    """The address of one element of an array of scalars."""
    element = Element(type_)
    return emit.address(pointer, position * element.parts, element.storage)
