"""Group the equations of an expanded graph into kernels.

Comes in: a graph whose ops all have kernels. Goes out: `Group`s in an order in which they can run.
A variable either has a buffer (it is an output, a special kernel reads it, or computing it once is
cheaper) or is computed inside the kernels that need it, a scatter's among them. No pattern is known
by name: deleting any rule here leaves results as they are, only slower.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jitml.codegen.alike import Builds
from jitml.codegen.build import Built, build_scatter, strided_view
from jitml.codegen.element import NeedsBuffer
from jitml.codegen.expand import Combine, Partial
from jitml.codegen.product import operand_layout
from jitml.codegen.siblings import MOST_ARRAYS, join_siblings
from jitml.ir.graph import Atom, Eqn, Graph, Var
from jitml.ops.contraction import DotGeneral
from jitml.ops.kinds import Elementwise, Movement, Reduction
from jitml.ops.scatter import Scatter

# Ops that cost many instructions per element: dearer to repeat than to store and load again.
_DEAR_NAMES = (
    "exp exp2 expm1 log log1p pow sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh "
    "atanh logistic erf erfc erf_inv lgamma digamma bessel_i0e bessel_i1e cbrt div rem "
    "sqrt rsqrt threefry2x32 gather "
    "beta betainc betainc_grad_a betainc_grad_b betaln cosine_integral dawsn erfcx exp1 expi "
    "expn fresnel_cosine fresnel_sine gamma hyp1f1 hyp1f1_grad_a hyp1f1_grad_b hyp2f1 "
    "hyp2f1_grad_a hyp2f1_grad_c igamma igamma_grad_a igammac kl_div log_ndtr logit ndtr ndtri "
    "owens_t poch polygamma random_gamma_grad rel_entr sine_integral spence wofz xlog1py xlogy "
    "zeta zeta_grad_x"
)
DEAR = frozenset(_DEAR_NAMES.split())
_MODEST = frozenset(["exp", "exp2", "log", "tanh", "logistic", "div", "sqrt", "rsqrt"])  # of these
_MODEST_COST, _DEAR_COST = 8, 30
_REPEAT_COST = 6
# An array that no cache keeps from one kernel to the next: to store and load it takes longer.
_LARGE_BYTES, _LARGE_REPEAT_COST = 1 << 22, 12
_SERIAL_COST = 16  # what one thread computes beside updates rather than all threads before them
_MOST_COST = 1 << 20

_REDUCTIONS = (Reduction, Partial, Combine)

# A variable with a buffer and the strides, in elements, through which it is read.
View = tuple[Var, tuple[int, ...]]


@dataclass(eq=False)
class Group:
    """One kernel to be: the variables that it stores, or the one equation with a kernel of its own
    kind.

    `reads` are the variables whose buffers it reads, `views` say how a special kernel reads its
    operands.
    """

    roots: list[Var]
    special: Eqn | None = None
    built: Built | None = None
    reads: tuple[Var, ...] = ()
    views: dict[Var, View] = field(default_factory=dict)


@dataclass
class Fused:
    """The groups of a graph in order, the equations by variable, all variables with buffers, the
    variables that the graph gives, and whether kernels are for threads.
    """

    groups: list[Group]
    definitions: dict[Var, Eqn]
    buffers: set[Var] = field(default_factory=set)
    outputs: frozenset[Var] = frozenset()
    for_threads: bool = False


def fuse(
    graph: Graph,
    separately: bool = False,
    overwritten: Mapping[Var, Eqn] | None = None,
    for_threads: bool = False,
) -> Fused:
    """Group the equations of `graph` into kernels and build those; `separately` gives each equation
    a kernel. Variables that are `overwritten` by an equation are read before it runs. Kernels
    `for_threads` are a GPU's.
    """
    return _Fuser(graph, separately, overwritten or {}, for_threads).run()


def is_special(eqn: Eqn) -> bool:
    """Whether the equation has a kernel of its own kind."""
    return not isinstance(eqn.op, (Elementwise, Movement, *_REDUCTIONS))


def _takes_in(eqn: Eqn, var: Var) -> bool:
    """Whether a special kernel can compute `var` itself: a scatter its indices and updates. It does
    so on one thread.
    """
    return isinstance(eqn.op, Scatter) and var is not eqn.inputs[0]


def has_effect(group: Group) -> bool:
    """Whether a group runs for more than its outputs."""
    return group.special is not None and group.special.op.has_effect


def _kept(graph: Graph, overwritten: Mapping[Var, Eqn]) -> set[Var]:
    """The variables that are computed from others which will be overwritten."""
    return {
        out
        for eqn in graph.eqns
        for a in eqn.inputs
        if isinstance(a, Var) and a in overwritten and overwritten[a] is not eqn
        for out in eqn.outputs
    }


class _Fuser:
    def __init__(
        self, graph: Graph, separately: bool, overwritten: Mapping[Var, Eqn], for_threads: bool
    ) -> None:
        self.graph = graph
        self.for_threads = for_threads
        self.overwritten = overwritten
        self.kept = _kept(graph, overwritten)
        self.separately = separately
        self.definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
        self.place = {var: number for number, var in enumerate(self.definitions)}
        self.buffers: set[Var] = set(graph.inputs)
        self.builds = Builds(self.definitions, self.buffers, for_threads)
        self.homes: dict[Var, set[int]] = {}  # variable -> numbers of the groups that compute it
        self.groups: list[Group] = []
        self.united: dict[int, int] = {}  # groups that another, of this number, has taken in
        self.cost: dict[Var, int] = {}
        self.users: dict[Var, list[Eqn]] = {}
        self.group_of: dict[Var, Group] = {}
        self.effects: list[Group] = []  # the last one first

    def run(self) -> Fused:
        self._estimate_costs()
        self._assign()
        self._build_all()
        ordered = self._in_order()
        while ordered is None:
            self._build_all()
            ordered = self._in_order()
        if not self.separately:
            ordered = join_siblings(ordered, self.builds.build)
        outputs = frozenset(a for a in self.graph.outputs if isinstance(a, Var))
        return Fused(ordered, self.definitions, self.buffers, outputs, self.for_threads)

    # ---- which variables get buffers -----------------------------------------------------------

    def _estimate_costs(self) -> None:
        """What it costs to compute a variable again, from those that surely have buffers."""
        outputs = set(self.graph.outputs)
        for eqn in self.graph.eqns:
            is_dear, is_modest = eqn.op.name in DEAR, eqn.op.name in _MODEST
            own = _MODEST_COST if is_modest else _DEAR_COST if is_dear else 1
            below = sum(self.cost.get(a, 0) for a in eqn.inputs if isinstance(a, Var))
            is_read = is_special(eqn) or isinstance(eqn.op, _REDUCTIONS)
            for var in eqn.outputs:
                is_free = is_read or var in outputs
                self.cost[var] = 0 if is_free else min(own + below, _MOST_COST)

    def _is_dear(self, var: Var, least: int = 0) -> bool:
        """Whether to compute `var` again takes longer than to store and load it, or than `least`:
        from reductions, which have buffers where several groups need them, and others that have.
        """
        if isinstance(self.definitions[var].op, _REDUCTIONS):
            return True
        is_large = var.type.size_bytes >= _LARGE_BYTES
        limit = _LARGE_REPEAT_COST if is_large else _REPEAT_COST
        return self.cost[var] > max(limit, least)

    def _assign(self) -> None:
        """From the outputs back: give every variable a buffer or the groups that will compute
        it.
        """
        for eqn in self.graph.eqns:
            for atom in dict.fromkeys(eqn.inputs):
                if isinstance(atom, Var):
                    self.users.setdefault(atom, []).append(eqn)
        outputs = {a for a in self.graph.outputs if isinstance(a, Var)}
        for eqn in reversed(self.graph.eqns):
            if is_special(eqn):
                self._add_group(Group(list(eqn.outputs), eqn))
                if eqn.op.has_effect:
                    self.effects.append(self.groups[-1])
                continue
            live = [v for v in eqn.outputs if v in outputs or v in self.users]
            if isinstance(eqn.op, Reduction):
                self._unite(eqn)
            if not self.kept.isdisjoint(live):
                self._add_group(Group(live))
            elif any(self._needs_buffer(v, eqn, v in outputs) for v in live):
                self._give_buffers(live)
            else:
                for var in live:
                    self.homes[var] = self._homes_of_users(var)
        self.groups = [g for n, g in enumerate(self.groups) if n not in self.united]

    def _unite(self, eqn: Eqn) -> None:
        """Make one group of those that need a reduction: what it reads is then read once. They loop
        over the same elements; if one waits for another, they will be split.
        """
        (var,) = eqn.outputs
        numbers = sorted(self._homes_of_users(var))
        groups = [self.groups[number] for number in numbers]
        shapes = {root.type.shape for group in groups for root in group.roots[:1]}
        if self.separately or len(shapes) != 1 or any(g.special for g in groups):
            return
        for number in numbers[1:]:
            self.united[number] = numbers[0]
            groups[0].roots += self.groups[number].roots
            for root in self.groups[number].roots:
                self.group_of[root] = groups[0]

    def _home(self, number: int) -> int:
        """The group that a group has become."""
        while number in self.united:
            number = self.united[number]
        return number

    def _homes_of_users(self, var: Var) -> set[int]:
        """The groups that need `var`."""
        users = [u for u in self.users.get(var, ()) if not is_special(u) or _takes_in(u, var)]
        homes = (n for user in users for out in user.outputs for n in self.homes.get(out, ()))
        return {self._home(number) for number in homes}

    def _needs_buffer(self, var: Var, eqn: Eqn, is_output: bool) -> bool:
        if is_output or self.separately or isinstance(eqn.op, Partial):
            return True
        is_movement = isinstance(eqn.op, Movement)
        for user in self.users[var]:
            # Index maps are read through strides, if that turns out to be possible; their source
            # has a buffer.
            if is_special(user):
                if not is_movement and not _takes_in(user, var):
                    return True
            elif any(map(self._is_view, user.outputs)) and not self._is_strided(var, eqn):
                return True
        if is_movement or not self._is_dear(var):
            return False
        homes = self._homes_of_users(var)
        is_serial = any(self.groups[n].special is not None for n in homes)
        return len(homes) > 1 or (is_serial and self._is_dear(var, _SERIAL_COST))

    def _is_view(self, var: Var) -> bool:
        """Whether `var` is an index map that only special kernels read."""
        return var in self.users and var not in self.buffers and not self.homes.get(var)

    def _is_strided(self, var: Var, eqn: Eqn) -> bool:
        """Whether `var` is what `eqn` reads, through strides."""
        if not isinstance(eqn.op, Movement):
            return False
        sources = {a for a in eqn.inputs if isinstance(a, Var)}
        return strided_view(self.definitions, sources, var) is not None

    def _give_buffers(self, variables: list[Var]) -> None:
        """Buffers for what one equation computes: stored by the one kernel that computes it anyway,
        if it can.
        """
        for var in variables:
            homes = self._homes_of_users(var)
            if len(homes) != 1 or not self._may_join(var, *homes):
                self._add_group(Group(variables))
                return
        for var in variables:
            (number,) = self._homes_of_users(var)
            group = self.groups[number]
            group.roots.append(var)
            self.buffers.add(var)
            self.homes[var] = {number}
            self.group_of[var] = group

    def _may_join(self, var: Var, number: int) -> bool:
        """Whether group `number`, the only one to compute with `var`, can store it: it loops over
        its elements or over more, and no kernel between the two reads it.
        """
        group = self.groups[number]
        if self.separately or group.special is not None:
            return False
        # Special kernels, and views that only they read, are at home elsewhere.
        is_alone = all(
            {self._home(n) for n in self.homes.get(out, {number})} == {number}
            for user in self.users[var]
            for out in user.outputs
        )
        is_reduction = isinstance(self.definitions[var].op, Reduction)
        return is_alone and (is_reduction or var.type.shape == group.roots[0].type.shape)

    def _add_group(self, group: Group) -> None:
        number = len(self.groups)
        self.groups.append(group)
        for root in group.roots:
            self.buffers.add(root)
            self.homes[root] = {number}
            self.group_of[root] = group

    # ---- building
    # ------------------------------------------------------------------------------------

    def _build_all(self) -> None:
        position = 0
        while position < len(self.groups):
            group = self.groups[position]
            try:
                if group.special is not None or group.built is None:
                    self._build(group)
                position += 1
            except NeedsBuffer as need:
                dear: set[Var] = set()
                for var in need.variables:
                    if var not in self.buffers or var in group.roots:
                        dear.update(filter(self._is_dear, self._compute_apart(group, var)))
                position = min(position, self._forget_kernels(dear))

    def _compute_apart(self, group: Group, var: Var) -> list[Var]:
        """Give `var` a group of its own; all that have one now."""
        # The outputs of one equation are computed together: one alone would come back here.
        if var in group.roots:
            together = [v for v in self.definitions[var].outputs if v in group.roots]
            assert len(group.roots) > len(together), (var, group.roots)
            group.roots[:] = [v for v in group.roots if v not in together]
            self._add_group(Group(together))
        else:
            self._give_own_group(var)
        return self._give_shared_groups(var)

    def _forget_kernels(self, dear: set[Var]) -> int:
        """Forget the kernels that compute what is dear and has a buffer now; the number of the
        first group that is to be built anew.
        """
        first = len(self.groups)
        for number, other in enumerate(self.groups):
            if other.built is not None and not dear.isdisjoint(other.built.computed):
                other.built = None
                first = min(first, number)
        return first

    def _give_own_group(self, var: Var) -> None:
        beside = [v for v in self.definitions[var].outputs if v not in self.buffers]
        live = [v for v in beside if v is var or v in self.users]
        assert live, var
        self._add_group(Group(live))

    def _give_shared_groups(self, var: Var) -> list[Var]:
        """Buffers for what is dear, and computed both for `var`, which has a group of its own, and
        for others: each of them would compute it, and all below it, again.
        """
        apart, beside = [var], list[Var]()
        for root in apart:
            for shared in self._shared_below(root):
                is_beside = self.group_of[shared] is self.group_of[root]
                (beside if is_beside else apart).append(shared)
        return apart + beside

    def _shared_below(self, root: Var) -> list[Var]:
        """The first such variables below `root`, with buffers; users come before what they use.
        The kernel of `root` stores those that have as many elements, others have groups.
        """
        shared: list[Var] = []
        computed: set[Var] = set()
        waiting, seen = [(-self.place[root], root)], {root}
        while waiting:
            _, at = heapq.heappop(waiting)
            is_shared = at is not root and any(map(computed.isdisjoint, self._users_outputs(at)))
            if is_shared and at not in self.buffers and self._is_stored_if_shared(at):
                shared.append(at)
                group = self.group_of[root]
                if at.type.shape != root.type.shape or len(group.roots) >= MOST_ARRAYS:
                    self._give_own_group(at)
                    continue
                self._store_beside(at, group)
            computed.add(at)
            for atom in self.definitions[at].inputs:
                if isinstance(atom, Var) and atom not in seen and atom not in self.buffers:
                    seen.add(atom)
                    heapq.heappush(waiting, (-self.place[atom], atom))
        return shared

    def _store_beside(self, var: Var, group: Group) -> None:
        """Let a group store what it computes anyway, and what the same equation computes."""
        together = self.definitions[var].outputs
        live = [v for v in together if v not in self.buffers and (v is var or v in self.users)]
        group.roots += live
        self.buffers.update(live)
        self.group_of.update(dict.fromkeys(live, group))

    def _users_outputs(self, var: Var) -> Iterator[tuple[Var, ...]]:
        return (user.outputs for user in self.users[var])

    def _is_stored_if_shared(self, var: Var) -> bool:
        return not isinstance(self.definitions[var].op, Movement) and self._is_dear(var)

    def _build(self, group: Group) -> None:
        eqn = group.special
        if not any(var.type.size for var in group.roots) and not has_effect(group):
            return
        if eqn is None:
            group.built = self.builds.build(group.roots)
            group.reads = group.built.reads
        elif isinstance(eqn.op, Scatter):
            # The operand is copied to the output first; updates and indices are computed in the
            # kernel.
            group.views = self._views(eqn.inputs[:1])
            if eqn.inputs[2].type.size:
                group.built = build_scatter(self.definitions, self.buffers, eqn)
            group.reads = (*(group.built.reads if group.built else ()), *group.views)
        else:
            group.views = self._views(eqn.inputs, isinstance(eqn.op, DotGeneral))
            if isinstance(eqn.op, DotGeneral):
                self._check_evenness(eqn, group.views)
            group.reads = tuple(base for base, _ in group.views.values())

    def _check_evenness(self, eqn: Eqn, views: dict[Var, View]) -> None:
        """An operand that cannot be read as batched matrices is copied to a buffer first; and so is
        one that would be gathered anew for all of a batch in which it is the same.
        """
        for side, atom in enumerate(eqn.inputs):
            assert isinstance(atom, Var)
            layout = operand_layout(eqn, side, views[atom][1])
            if layout is None:
                raise NeedsBuffer(atom)
            source = self._repeated(atom)
            if layout.axes and layout.batch == 0 and source is not None:
                raise NeedsBuffer(source)

    def _repeated(self, var: Var) -> Var | None:
        """What `var` repeats, if that is an index map itself."""
        eqn = self.definitions.get(var)
        if var in self.buffers or eqn is None or eqn.op.name != "broadcast_in_dim":
            return None
        (source,) = eqn.inputs
        return source if isinstance(source, Var) and source not in self.buffers else None

    def _views(self, atoms: Iterable[Atom], strided: bool = False) -> dict[Var, View]:
        """How a special kernel reads its operands: from their own buffers, or through strides from
        others.
        """
        views: dict[Var, View] = {}
        for atom in atoms:
            if not isinstance(atom, Var):
                continue
            if atom in self.buffers:
                shape = atom.type.shape
                views[atom] = atom, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
                continue
            view = strided_view(self.definitions, self.buffers, atom) if strided else None
            if view is None or view[1] != 0:
                raise NeedsBuffer(self._repeated(atom) or atom)
            views[atom] = view[0], view[2]
        return views

    # ---- order
    # -----------------------------------------------------------------------------------------

    def _in_order(self) -> list[Group] | None:
        """The groups, each after those that it reads from. None if there is a cycle; one of its
        groups is split.
        """
        ordered: list[Group] = []
        done: dict[int, bool] = {}
        for first in reversed(self.groups):
            stack = [(first, False)]
            while stack:
                group, ready = stack.pop()
                if ready:
                    ordered.append(group)
                    done[id(group)] = True
                elif id(group) not in done:
                    done[id(group)] = False
                    stack.append((group, True))
                    stack.extend((other, False) for other in self._sources(group))
                elif not done[id(group)]:
                    self._split_one([g for g, is_open in stack if is_open])
                    return None
        return ordered

    def _sources(self, group: Group) -> list[Group]:
        """The groups that store what `group` reads, and the effect before it."""
        found = [self.group_of[var] for var in group.reads if var in self.group_of]
        if has_effect(group):
            place = self.effects.index(group)
            found += self.effects[place + 1 : place + 2]
        for var, eqn in self.overwritten.items():
            if group.special is eqn:
                found += [other for other in self.groups if var in other.reads]
        return [other for other in found if other is not group]

    def _split_one(self, path: Sequence[Group]) -> None:
        """Give the roots of a group on a cycle a group each."""
        group = next(g for g in reversed(path) if len(g.roots) > 1 and g.special is None)
        others = group.roots[1:]
        del group.roots[1:]
        group.built = None
        for root in others:
            self._add_group(Group([root]))
