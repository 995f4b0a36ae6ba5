"""Loops that repeat the work of others: what a forward pass and a backward pass both scan."""

from __future__ import annotations

from bisect import bisect_right

from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ops.scan import Scan
from jitml.transforms.dce import dce
from jitml_runtime.record import replace


def merge_scans(graph: Graph) -> Graph:
    """Run once a scan whose steps are part of another scan's steps over the same values.

    Before: `%a = scan %c, %x {body: h = tanh …; return h}; %b, %r = scan %c, %x {body: h = tanh …;
            r = sub 1, …; return h, r}`
    After:  `%b, %r = scan %c, %x {…}`, with %b in place of %a
    """
    eqns = list(graph.eqns)
    if sum(isinstance(eqn.op, Scan) for eqn in eqns) < 2:
        return graph
    same: dict[Atom, Atom] = {}
    places: list[int] = []  # of scans in `eqns`
    made: dict[Atom, int] = {}  # where
    for place, eqn in enumerate(eqns):
        eqn = eqns[place] = _renamed(eqn, same)
        made.update(dict.fromkeys(eqn.outputs, place))
        if not isinstance(eqn.op, Scan) or eqn.op.has_effect:
            continue
        last_read = max((made.get(a, -1) for a in eqn.inputs), default=-1)
        for before in places[bisect_right(places, last_read) :]:
            merged = _merged(eqns[before], eqn)
            if merged is not None:
                eqns[before], found = merged
                made.update(dict.fromkeys(eqns[before].outputs, before))
                # What stood for others may be gone itself.
                same = {a: found.get(b, b) for a, b in same.items()} | found
                # What lies between may have read the scan that has gone.
                eqns[before + 1 : place] = [_renamed(e, same) for e in eqns[before + 1 : place]]
                eqns[place] = _NOTHING
                break
        else:
            places.append(place)
    if not same:
        return graph
    outputs = tuple([same.get(a, a) for a in graph.outputs])
    return Graph(graph.name, graph.inputs, tuple(e for e in eqns if e is not _NOTHING), outputs)


_NOTHING = Eqn(Scan(Graph("", (), (), ()), 0, 0, 0), (), ())


def _renamed(eqn: Eqn, same: dict[Atom, Atom]) -> Eqn:
    if same.keys().isdisjoint(eqn.inputs):
        return eqn
    return replace(eqn, inputs=tuple([same.get(a, a) for a in eqn.inputs]))


def _merged(first: Eqn, second: Eqn) -> tuple[Eqn, dict[Atom, Atom]] | None:
    """One scan for two, and what stands for outputs that are gone; None if neither does all that
    the other does.
    """
    for large, small in ((second, first), (first, second)):
        part = _Part(large, small)
        if part.is_whole():
            return part.merged()
    return None


class _Part:
    """The steps of the scan `small` as part of those of `large`."""

    def __init__(self, large: Eqn, small: Eqn) -> None:
        assert isinstance(large.op, Scan) and isinstance(small.op, Scan)
        self.large, self.small = large, small
        self.op, self.inner = large.op, small.op
        self.step = small.op.body
        self.carries: list[int] = []  # those of `large` that the carries of `small` are
        self.values: dict[Atom, Atom] = {}  # of the step of `small`, in that of `large`

    def is_whole(self) -> bool:
        """Whether all that `small` computes is there; its values are known then."""
        if (self.op.length, self.op.reverse) != (self.inner.length, self.inner.reverse):
            return False
        if not {*self.small.inputs} <= {*self.large.inputs} or not self._match_inputs():
            return False
        self.step = dce(self.inner.body)
        known = {(eqn.op, eqn.inputs): eqn.outputs for eqn in self.op.body.eqns}
        for eqn in self.step.eqns:
            inputs = tuple([self._value(a) for a in eqn.inputs])
            found = known.get((eqn.op, inputs))
            if found is None or eqn.op.has_effect:
                return False
            self.values.update(zip(eqn.outputs, found, strict=True))
        nexts = [self._value(a) for a in self.step.outputs[: self.inner.carries]]
        return nexts == [self.op.body.outputs[k] for k in self.carries]

    def _value(self, atom: Atom) -> Atom:
        return self.values.get(atom, atom)

    def _match_inputs(self) -> bool:
        """Find the inputs of `small` among those of `large`: constants and slices of the same
        arrays, carries that start from the same, each in the place of its own.
        """
        theirs, ours = self.inner.groups(self.small.inputs), self.op.groups(self.large.inputs)
        inner, outer = (op.groups(op.body.inputs) for op in (self.inner, self.op))
        for kind in (0, 2):
            place = dict(zip(ours[kind], outer[kind], strict=True))
            for var, atom in zip(inner[kind], theirs[kind], strict=True):
                if atom in place:
                    self.values[var] = place[atom]
        for number, atom in enumerate(theirs[1]):
            alike = [k for k, a in enumerate(ours[1]) if a == atom and k not in self.carries]
            if not alike:
                return False
            self.carries.append(number if number in alike else alike[0])
            self.values[inner[1][number]] = outer[1][self.carries[-1]]
        return True

    def merged(self) -> tuple[Eqn, dict[Atom, Atom]]:
        """`large` with the stacked outputs that only `small` has; what the others of it are."""
        results = list(self.op.body.outputs)
        outputs = list(self.large.outputs)
        stacked: dict[Atom, Var] = {
            a: v for a, v in zip(results, outputs, strict=True) if v in outputs[self.op.carries :]
        }
        same: dict[Atom, Atom] = {
            var: outputs[k] for var, k in zip(self.small.outputs, self.carries, strict=False)
        }
        rest = zip(self.small.outputs, self.step.outputs, strict=True)
        for var, atom in list(rest)[self.inner.carries :]:
            value = self._value(atom)
            if value in stacked and not isinstance(value, Literal):
                same[var] = stacked[value]
            else:
                results.append(value)
                outputs.append(var)
        body = replace(self.op.body, outputs=tuple(results))
        op = replace(self.op, body=body)
        return replace(self.large, op=op, outputs=tuple(outputs)), same
