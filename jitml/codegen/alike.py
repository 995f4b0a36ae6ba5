"""Groups that compute alike share a kernel: it is built once, and emitted once.

Comes in: equations, which variables have buffers, the roots of groups. Goes out: what
`build_kernel` gives. Groups are alike if they differ in nothing but their variables, as those of
equal layers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitml.codegen.build import Built, build_kernel
from jitml.ir.graph import Atom, Eqn, Var
from jitml.ir.types import ArrayType


class Builds:
    """The kernels of one graph so far, by what they compute."""

    def __init__(
        self, definitions: Mapping[Var, Eqn], buffers: set[Var], for_threads: bool = False
    ) -> None:
        self.definitions = definitions
        self.buffers = buffers
        self.for_threads = for_threads
        self._known: dict[Any, tuple[Built, list[Var]]] = {}

    def build(self, roots: Sequence[Var]) -> Built:
        """The kernel that computes `roots` from the other variables in buffers."""
        key, variables = self._description(roots)
        known = self._known.get(key)
        if known is not None:
            return _renamed(known[0], dict(zip(known[1], variables, strict=True)))
        built = build_kernel(self.definitions, self.buffers, roots, for_threads=self.for_threads)
        if not built.kernel.sites:  # whose checks tell of equations
            self._known[key] = built, variables
        return built

    def _description(self, roots: Sequence[Var]) -> tuple[Any, list[Var]]:
        """What `roots` are computed from, variables being numbers; and these by number."""
        numbers: dict[Var, int] = {}
        found: list[Eqn | ArrayType] = []
        stored, stack = frozenset(roots), list[Atom](roots)
        while stack:
            var = stack.pop()
            if type(var) is not Var or var in numbers:
                continue
            eqn = self.definitions.get(var)
            if eqn is None or (var in self.buffers and var not in stored):
                numbers[var] = len(numbers)
                found.append(var.type)
                continue
            for output in eqn.outputs:
                numbers[output] = len(numbers)
            found.append(eqn)
            stack.extend(eqn.inputs)
        steps = [x if isinstance(x, ArrayType) else _step(x, numbers) for x in found]
        return (tuple([numbers[v] for v in roots]), tuple(steps)), list(numbers)


def _step(eqn: Eqn, numbers: Mapping[Var, int]) -> tuple[Any, ...]:
    """An equation, variables being numbers."""
    return eqn.op, *[numbers[a] if type(a) is Var else a for a in eqn.inputs]


def _renamed(built: Built, names: Mapping[Var, Var]) -> Built:
    """The same kernel for other variables."""
    reads, writes = (tuple([names[v] for v in some]) for some in (built.reads, built.writes))
    nodes = tuple([(names[v], node) for v, node in built.nodes])
    computed = frozenset(map(names.__getitem__, built.computed))
    return Built(built.kernel, reads, writes, computed, nodes, built.size)
