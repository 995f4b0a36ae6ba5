"""Which outputs of a plan take the memory of a donated input.

Comes in: the steps of a plan, and which inputs are given away. Goes out: pairs (output, input). An
output may take the memory of an input that is not read once the output is written; the step that
does both must write each element only where it has read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

from jitml.codegen.kernel import Kernel
from jitml.ir.graph import Graph, Var
from jitml_runtime import Buffer, Copy, HostCall, Instruction, Step
from jitml_runtime.plan import Branch, Loop

LEAST_BYTES = 1 << 12  # a smaller result is had faster than memory is taken over

Place: TypeAlias = tuple[str, int]  # "input" or "output", and its number
Pairs: TypeAlias = Collection[tuple[int, int]]  # buffers read and written


def choose_aliases(
    graph: Graph,
    buffers: Sequence[Buffer],
    steps: Sequence[Step],
    in_place: Mapping[int, Pairs],
    donated: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Pairs (output, donated input); `in_place` has, for a step, the buffers that it updates."""
    lives = _lives(buffers, steps)
    updates = {
        (_place(buffers, a), _place(buffers, b)) for pairs in in_place.values() for a, b in pairs
    }
    free = [n for n in donated if graph.inputs[n] not in graph.outputs]
    chosen = []
    for number, atom in enumerate(graph.outputs):
        written = lives.get(("output", number))
        if not isinstance(atom, Var) or written is None or atom.type.size_bytes < LEAST_BYTES:
            continue
        for candidate in free:
            if graph.inputs[candidate].type.strong() != atom.type.strong():
                continue
            read = lives.get(("input", candidate), (-1, -1))
            is_update = (("input", candidate), ("output", number)) in updates
            if read[1] < written[0] or (read[1] == written[0] and is_update):
                chosen.append((number, candidate))
                free.remove(candidate)
                break
    return tuple(chosen)


def updated_operands(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """Pairs of operands of a kernel of which the second is written, at each element, after the
    first has been read there, and there alone.
    """
    loads: dict[int, set[object]] = {}
    for node in kernel.nodes():
        if node.name == "load":
            loads.setdefault(node.data.operand, set()).add(node.data.index.key)
    stores: dict[int, set[object]] = {}
    for store in kernel.stores:
        plain = store.combine is None and not store.index.values
        stores.setdefault(store.operand, set()).add(store.index.key if plain else None)
    for written, places in stores.items():
        yield from ((operand, written) for operand, keys in loads.items() if keys == places)


def _place(buffers: Sequence[Buffer], number: int) -> Place:
    buffer = buffers[number]
    while buffer.kind == "moving":
        buffer = buffers[buffer.index]
    return buffer.kind, buffer.index


def _lives(buffers: Sequence[Buffer], steps: Sequence[Step]) -> dict[Place, tuple[int, int]]:
    """The first and the last step that names an input or an output. What a loop names, all of its
    steps do.
    """
    lives: dict[Place, tuple[int, int]] = {}
    outermost = (0, 0)  # the loop around, from its first step to behind its last
    for number, step in enumerate(steps):
        if number >= outermost[1]:
            outermost = (number, step.end if isinstance(step, Loop) else number + 1)
        for named in _named(step):
            place = _place(buffers, named)
            first, _ = lives.get(place, outermost)
            lives[place] = (first, outermost[1] - 1)
    return lives


def _named(step: Step) -> Sequence[int]:
    """The buffers that a step names."""
    if isinstance(step, Instruction):
        return step.buffers
    if isinstance(step, Copy):
        return (step.source, step.target)
    if isinstance(step, HostCall):
        return (*step.inputs, *step.outputs)
    if isinstance(step, Branch):
        return (step.index,)
    predicate = () if step.length >= 0 else (step.predicate,)
    return (*predicate, *step.moving, *(number for pair in step.carries for number in pair))
