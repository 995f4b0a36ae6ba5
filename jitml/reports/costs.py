"""What one step of a plan moves and computes, counted from its equations and its kernel's loads.

In: a fused group, and the step that runs it. Out: bytes and operations. Conventions: an operation
is an addition, multiplication, comparison, conversion or function of one element, whatever it costs
(of complex numbers, too); a multiply-add of a product is two, of complex ones eight; functions that
take many instructions are also counted as `transcendentals`. Moving elements is none. Must not
know: time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from jitml.codegen.expand import Combine, Partial
from jitml.codegen.fuse import DEAR, Fused, Group
from jitml.codegen.kernel import Axis, Index, Kernel
from jitml.codegen.llvm import STORAGE_BITS
from jitml.ir.graph import Eqn, Graph, Var
from jitml.ir.nested import nested_graphs
from jitml.ops.contraction import DotGeneral
from jitml.ops.control import Control
from jitml.ops.cost import operation_count
from jitml.ops.cumulative import Cumulative
from jitml.ops.kinds import Elementwise
from jitml.ops.library import LibraryCall
from jitml.ops.scatter import Scatter
from jitml.ops.while_loop import While
from jitml_runtime import Copy, HostCall, Instruction, Plan, Step

TRANSCENDENTALS = DEAR - {"div", "rem", "gather", "threefry2x32"}


class Cost(NamedTuple):
    """What one run of a step moves and computes. `least_bytes` counts each element once, and not at
    all where the step is only in the service of another; `flops` is None where the number of a
    loop's steps is not known.
    """

    bytes: int = 0
    least_bytes: int = 0
    flops: float | None = 0.0
    transcendentals: float | None = 0.0


def equations_of(group: Group, fused: Fused) -> tuple[Eqn, ...]:
    """The equations that a group computes, in the order of the graph."""
    wanted = set(group.roots)
    if group.built is not None:
        wanted |= group.built.computed
    place = {id(eqn): number for number, eqn in enumerate(fused.definitions.values())}
    found = {id(e): e for v in wanted if (e := fused.definitions.get(v)) is not None}
    if group.special is not None:
        found[id(group.special)] = group.special
    return tuple(sorted(found.values(), key=lambda eqn: place.get(id(eqn), 0)))


def cost_of_step(
    plan: Plan, step: Step, group: Group, eqns: tuple[Eqn, ...], is_last: bool
) -> Cost:
    """What one run of a step costs. Kernels before the last of a group prepare what it reads."""
    if isinstance(step, Copy):
        size = 0 if step.source == step.target else 2 * plan.buffers[step.source].size_bytes
        return Cost(size, size)
    if isinstance(step, HostCall):
        size = sum(spec.size_bytes for spec in (*step.input_specs, *step.output_specs))
        return Cost(size, size)
    if not isinstance(step, Instruction):
        return Cost()
    if not is_last:
        return Cost(sum(plan.buffers[b].size_bytes for b in dict.fromkeys(step.buffers)))
    moved, least = _kernel_bytes(group) if group.built else (_operand_bytes(group),) * 2
    if group.built and group.special and _is_product(group):
        made = sum(v.type.size_bytes for v in group.special.outputs)
        read = _operand_bytes(group) - made  # by the product itself, which stays in a cache
        moved, least = moved + read, least + read
    shares = _shares(group)
    return Cost(
        moved,
        least,
        _total(eqns, lambda eqn: operations(eqn, shares)),
        _total(eqns, lambda eqn: transcendentals(eqn, shares)),
    )


def _is_product(group: Group) -> bool:
    return group.special is not None and isinstance(group.special.op, DotGeneral)


def _shares(group: Group) -> dict[Var, float]:
    """Which part of a variable's elements a kernel computes, where it leaves some out."""
    if group.built is None:
        return {}
    most: dict[Var, int] = {}
    for var, node in group.built.nodes:
        most[var] = max(most.get(var, 0), math.prod(a.extent for a in node.axes if not a.merged))
    return {var: min(1.0, count / max(var.type.size, 1)) for var, count in most.items()}


# ---- bytes ---------------------------------------------------------------------------------------


def _operand_bytes(group: Group) -> int:
    """The arrays that a kernel of its own kind reads and writes, each once."""
    assert group.special is not None
    eqn = group.special
    sizes: dict[Var, int] = {var: var.type.size_bytes for var in eqn.outputs}
    for atom in eqn.inputs:
        if isinstance(atom, Var):
            base = group.views[atom][0] if atom in group.views else atom
            sizes[base] = min(atom.type.size_bytes, base.type.size_bytes)  # through a view
    return sum(sizes.values())


def _kernel_bytes(group: Group) -> tuple[int, int]:
    """Bytes that the loops of a kernel read and write, and those of different elements."""
    assert group.built is not None
    kernel = group.built.kernel
    operands = (*group.built.reads, *group.built.writes)
    made = group.special.outputs if group.special and _is_product(group) else ()
    reads: dict[int, Counter[tuple[object, ...]]] = {}
    least: dict[int, int] = {}
    moved = 0
    for node in kernel.nodes():
        if node.name == "load" and operands[node.data.operand] not in made:
            size = _count(node.data.index) * _bytes(node.data.storage)
            moved += size
            seen = reads.setdefault(node.data.operand, Counter())
            key = _footprint(node.data.index)
            if not seen[key]:
                least[node.data.operand] = least.get(node.data.operand, 0) + size
            seen[key] += 1
    written = 0
    for store in kernel.stores:
        size = _count(store.index, _axes_of(kernel)) * _bytes(store.storage) * len(store.nodes)
        written += size * (2 if store.combine is not None and _reads_target(group) else 1)
    total = sum(min(size, operands[k].type.size_bytes) for k, size in least.items())
    return moved + written, total + written


def _axes_of(kernel: Kernel) -> frozenset[Axis] | None:
    """The axes over which every store of an update runs; None for others."""
    if all(store.combine is None for store in kernel.stores):
        return None
    return frozenset([*kernel.outer, *kernel.inner])


def _reads_target(group: Group) -> bool:
    """Whether an update needs what was there before."""
    op = group.special.op if group.special is not None else None
    return isinstance(op, Scatter) and op.kind != "set"


def _bytes(storage: str) -> int:
    return max(1, STORAGE_BITS[storage] // 8)


def _count(index: Index, axes: frozenset[Axis] | None = None) -> int:
    """How many times an index takes a value, or, where it depends on nothing, one."""
    own = index.axes if axes is None else axes
    return math.prod(axis.extent for axis in own if not axis.merged)


def _footprint(index: Index) -> tuple[object, ...]:
    """Equal for indices that run over the same elements."""
    terms = sorted((c, axis.extent) for axis, c in index.terms if not axis.merged)
    return (index.constant, tuple(terms), index.values and index.key)


# ---- operations ----------------------------------------------------------------------------------


def _total(eqns: Iterable[Eqn], count: Callable[[Eqn], float | None]) -> float | None:
    total = 0.0
    for eqn in eqns:
        found = count(eqn)
        if found is None:
            return None
        total += found
    return total


Shares = Mapping[Var, float]


def operations(eqn: Eqn, shares: Shares) -> float | None:
    """Operations of an equation; None where a loop's length is not known."""
    if isinstance(eqn.op, Control):
        return _repeated(eqn, operations)
    return max(shares.get(var, 1.0) for var in eqn.outputs) * _all_operations(eqn)


def _all_operations(eqn: Eqn) -> float:
    op = eqn.op
    if isinstance(op, (Partial, Combine)):
        return float(eqn.inputs[0].type.size)
    if isinstance(op, Cumulative):
        return float(sum(a.type.size for a in eqn.inputs))
    if isinstance(op, Scatter):
        return 0.0 if op.kind == "set" else float(eqn.inputs[2].type.size)
    if isinstance(op, LibraryCall):
        return _routine_operations(eqn, op)
    return operation_count(Graph("", (), (eqn,), ()))


def transcendentals(eqn: Eqn, shares: Shares) -> float | None:
    """Elements of functions that take many instructions."""
    op = eqn.op
    if isinstance(op, Control):
        return _repeated(eqn, transcendentals)
    is_one = isinstance(op, Elementwise) and op.name in TRANSCENDENTALS
    return operations(eqn, shares) if is_one else 0.0


def _repeated(eqn: Eqn, count: Callable[[Eqn, Shares], float | None]) -> float | None:
    """For a loop that is one kernel: the bodies' operations, as often as they run."""
    if isinstance(eqn.op, While):
        return None
    inside = [_total(graph.eqns, lambda e: count(e, {})) for graph in nested_graphs(eqn.op)]
    known = [n for n in inside if n is not None]
    return None if len(known) < len(inside) else sum(known) * getattr(eqn.op, "length", 1)


def _routine_operations(eqn: Eqn, op: LibraryCall) -> float:
    """The textbook's count for the routines that have one: leading terms."""
    x = eqn.inputs[0].type
    count = math.prod(op.batch_shape(x))
    library, _, name = op.routine.partition(" ")
    n = x.shape[-1] if x.shape else 1
    if library == "fft":
        inner = math.prod(x.shape[x.ndim - op.rank :])
        return 5.0 * count * inner * math.log2(max(inner, 2))
    m = x.shape[-2] if x.ndim > 1 else n
    for ending, formula in _ROUTINES.items():
        if name.endswith(ending):
            return count * formula(m, n)
    return 0.0


_ROUTINES: dict[str, Callable[[int, int], float]] = {
    "potrf": lambda m, n: n**3 / 3,
    "getrf": lambda m, n: m * n * n - n**3 / 3,
    "geqrf": lambda m, n: 2 * m * n * n - 2 * n**3 / 3,
}
