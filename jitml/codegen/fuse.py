"""Group the equations of an expanded graph into kernels.

Comes in: a graph whose ops all have kernels. Goes out: `Group`s in an order in which they can run. A variable either
has a buffer (it is an output, a special kernel reads it, or computing it once is cheaper) or is computed inside the
kernels that need it. No pattern is known by name: deleting any rule here leaves results as they are, only slower.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from jitml.codegen.build import Built, build_kernel, build_scatter, strided_view
from jitml.codegen.element import NeedsBuffer
from jitml.codegen.expand import Combine, Partial
from jitml.ir.graph import Eqn, Graph, Var
from jitml.ops.contraction import DotGeneral
from jitml.ops.kinds import Elementwise, Movement, Reduction, Row
from jitml.ops.scatter import Scatter

# Equations that cost about one instruction per element: cheaper to repeat than to store and load again.
_DEAR = frozenset(
    "exp exp2 expm1 log log1p pow sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh logistic erf erfc "
    "erf_inv lgamma digamma cbrt div rem sqrt rsqrt threefry2x32".split()
)
_REPEAT_COST = 6


@dataclass(eq=False)
class Group:
    """One kernel to be: the variables that it stores, or the one equation with a kernel of its own kind."""

    roots: list[Var]
    special: Eqn | None = None
    built: Built | None = None
    reads: tuple[Var, ...] = ()


@dataclass
class Fused:
    """The groups of a graph in order, the equations by variable, and all variables with buffers."""

    groups: list[Group]
    definitions: dict[Var, Eqn]
    buffers: set[Var] = field(default_factory=set)


def fuse(graph: Graph) -> Fused:
    """Group the equations of `graph` into kernels and build those."""
    return _Fuser(graph).run()


def is_special(eqn: Eqn) -> bool:
    """Whether the equation has a kernel of its own kind."""
    return not isinstance(eqn.op, (Elementwise, Movement, Reduction, Partial, Combine))


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
        self.inputs = set(graph.inputs)
        self.buffers: set[Var] = set(graph.inputs)
        self.homes: dict[Var, set[int]] = {}  # variable -> numbers of the groups that compute it
        self.groups: list[Group] = []
        self.cost: dict[Var, int] = {}
        self.users: dict[Var, list[Eqn]] = {}
        self.group_of: dict[Var, Group] = {}

    def run(self) -> Fused:
        self._estimate_costs()
        self._assign()
        self._build_all()
        ordered = self._in_order()
        return Fused(ordered, self.definitions, self.buffers)

    # ---- which variables get buffers -----------------------------------------------------------

    def _estimate_costs(self) -> None:
        for eqn in self.graph.eqns:
            own = 8 if isinstance(eqn.op, Row) and eqn.op.name in _DEAR else 1
            if eqn.op.name in _DEAR or eqn.op.name == "gather":
                own = 8
            below = sum(self.cost.get(a, 0) for a in eqn.inputs if isinstance(a, Var))
            for var in eqn.outputs:
                self.cost[var] = min(own + below, 1 << 20)

    def _assign(self) -> None:
        """From the outputs back: give every variable a buffer or the groups that will compute it."""
        users = self.users
        for eqn in self.graph.eqns:
            for atom in dict.fromkeys(eqn.inputs):
                if isinstance(atom, Var):
                    users.setdefault(atom, []).append(eqn)
        outputs = {a for a in self.graph.outputs if isinstance(a, Var)}
        for eqn in reversed(self.graph.eqns):
            live = [v for v in eqn.outputs if v in outputs or users.get(v)]
            if is_special(eqn):
                self._add_group(Group(list(eqn.outputs), eqn))
                continue
            for var in live:
                self._place(var, eqn, users.get(var, []), var in outputs)

    def _place(self, var: Var, eqn: Eqn, users: list[Eqn], is_output: bool) -> None:
        homes: set[int] = set()
        needs_buffer = is_output or isinstance(eqn.op, Partial)
        for user in users:
            if is_special(user):
                # A pure index map is read through strides, if that turns out to be possible.
                needs_buffer = needs_buffer or not isinstance(eqn.op, Movement)
                continue
            for out in user.outputs:
                homes |= self.homes.get(out, set())
                needs_buffer = needs_buffer or self._viewed(out)
        if len(homes) > 1:
            is_dear = self.cost[var] > _REPEAT_COST and not isinstance(eqn.op, Movement)
            needs_buffer = needs_buffer or is_dear or isinstance(eqn.op, (Reduction, Combine))
        if not needs_buffer:
            self.homes[var] = homes
            return
        self._give_buffer(var, homes)

    def _viewed(self, var: Var) -> bool:
        """Whether `var` is an index map that only special kernels read, so that its source needs a buffer."""
        return var not in self.buffers and not self.homes.get(var)

    def _give_buffer(self, var: Var, homes: set[int]) -> None:
        """A buffer for `var`, stored by the one kernel that computes it anyway if shapes agree, else by its own."""
        if len(homes) == 1:
            (number,) = homes
            group = self.groups[number]
            shapes = [root.type.shape for root in group.roots]
            if group.special is None and var.type.shape in shapes and self._only_reader(var, number):
                group.roots.append(var)
                self.buffers.add(var)
                self.homes[var] = {number}
                self.group_of[var] = group
                return
        self._add_group(Group([var]))

    def _only_reader(self, var: Var, number: int) -> bool:
        """Whether no other group can come between: every use of `var` is inside the group."""
        return all(
            not is_special(user) and self.homes.get(out, {number}) == {number}
            for user in self.users[var]
            for out in user.outputs
        )

    def _add_group(self, group: Group) -> None:
        number = len(self.groups)
        self.groups.append(group)
        for root in group.roots:
            self.buffers.add(root)
            self.homes[root] = {number}
            self.group_of[root] = group

    # ---- building ------------------------------------------------------------------------------------

    def _build_all(self) -> None:
        position = 0
        while position < len(self.groups):
            group = self.groups[position]
            try:
                self._build(group)
                position += 1
            except NeedsBuffer as need:
                self._split_off(group, need.var)

    def _split_off(self, group: Group, var: Var) -> None:
        """Compute `var` apart: it leaves the group, or gets a group of its own."""
        if var in group.roots:
            assert len(group.roots) > 1, (var, group.roots)
            group.roots.remove(var)
        self._add_group(Group([var]))

    def _build(self, group: Group) -> None:
        eqn = group.special
        if eqn is None:
            own = set(group.roots)
            group.built = build_kernel(self.definitions, self.buffers - own, group.roots)
            group.reads = group.built.reads
        elif isinstance(eqn.op, Scatter):
            # The operand is copied to the output first; updates and indices are computed in the kernel.
            group.built = build_scatter(self.definitions, self.buffers, eqn)
            group.reads = (*group.built.reads, *self._bases(eqn.inputs[:1]))
        else:
            group.reads = tuple(self._bases(eqn.inputs, isinstance(eqn.op, DotGeneral)))

    def _bases(self, atoms: Iterable[object], strided: bool = False) -> list[Var]:
        """The variables with buffers that a special kernel reads its operands from."""
        bases = []
        for atom in atoms:
            if not isinstance(atom, Var):
                continue
            if atom in self.buffers:
                bases.append(atom)
                continue
            view = strided_view(self.definitions, self.buffers, atom) if strided else None
            if view is None or view[1] != 0:
                raise NeedsBuffer(atom)
            bases.append(view[0])
        return bases

    # ---- order -----------------------------------------------------------------------------------------

    def _in_order(self) -> list[Group]:
        ordered: list[Group] = []
        state: dict[int, int] = {}
        for root in reversed(self.groups):
            stack = [(root, False)]
            while stack:
                group, ready = stack.pop()
                if ready:
                    ordered.append(group)
                    continue
                if id(group) in state:
                    continue
                state[id(group)] = 1
                stack.append((group, True))
                for var in group.reads:
                    if var in self.group_of and self.group_of[var] is not group:
                        stack.append((self.group_of[var], False))
        return ordered

