"""What tracings of a function gave, kept by signature: graphs, and the callees made of them.

In: graphs with what they depend on. Out: the first entry that still holds, and callees for the
runtime's dispatcher. Must not know: how arguments are taken apart.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from jitml.guards import Change, Guards
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.pipeline.compile import Compiled, compiled_graph, lower_graph
from jitml.trace.core import Tracer, ended_trace_error, type_of
from jitml.transforms.values import as_value
from jitml.tree_structure import LEAF, Structure
from jitml_runtime import Array, Callee, Guard, KernelFault, share

_MAX_ENTRIES = 16  # traces kept for one signature, for changing values of what the function reads
_MAX_SIGNATURES = 4096  # static arguments may differ at each call
TypeKey: TypeAlias = (
    "tuple[Any, tuple[int, ...], bool]"  # dtype, shape, weak: cheaper than an ArrayType
)


class HiddenInputs:
    """The inputs of a graph after its arguments: constants, and None for what guards fetch anew."""

    def __init__(self, guards: Guards, constants: Sequence[Any], types: Sequence[TypeKey]) -> None:
        self.guards = guards
        self.constants = tuple(constants)
        self._fetched_types = [t for t, x in zip(types, constants, strict=True) if x is None]
        # The hidden inputs of this call; None if anything that tracing read has changed.
        self.values = Guard(self._decided)

    def _decided(self) -> Sequence[Any] | None:
        """`values`, where the runtime does not know already."""
        if not self.guards:
            return self.constants
        fetched = self.guards.fetch()
        if fetched is None:
            return None
        settle = [x if type(x) is Array else settled(x) for x in fetched]
        if [type_key(x) for x in settle] != self._fetched_types:
            return None
        self._watch()
        found = iter(settle)
        return tuple([next(found) if x is None else x for x in self.constants])

    def _watch(self) -> None:
        """Let the runtime know what may not change, and what it must fetch."""
        same, equal, hidden = self.guards.checks
        fetched = ((*t, places) for t, places in zip(self._fetched_types, hidden, strict=True))
        inputs = [next(fetched) if x is None else x for x in self.constants]
        if all(type(x) in (Array, tuple) for x in inputs):  # tracers are for their trace alone
            self.values.watch(same, equal, tuple(inputs))

    def changes(self) -> list[Change]:
        """What was read and has changed, or the captured arrays whose types have."""
        changed = self.guards.changes()
        if changed:
            return changed
        now = [(p, type_key(settled(x))) for p, x in self.guards.captured()]
        return [
            Change(path, str(ArrayType(*before)), str(ArrayType(*after)))
            for before, (path, after) in zip(self._fetched_types, now, strict=False)
            if before != after
        ]


class Entry:
    """What one tracing of a function gave: its graph, the structure of its result, what it reads.

    `constants` has the graph's inputs after the arguments, with None where `guards` fetch them
    anew.
    """

    def __init__(
        self,
        graph: Graph,
        structure: Structure,
        guards: Guards,
        constants: Sequence[Any],
        donated: tuple[int, ...] = (),
    ) -> None:
        self.graph = graph
        self.donated = donated  # the arguments that are given away
        self.structure = structure
        self.guards = guards
        inputs = graph.input_types[len(graph.inputs) - len(constants) :]
        self._hidden = HiddenInputs(guards, constants, [(t.dtype, t.shape, t.weak) for t in inputs])
        self.hidden_values = self._hidden.values
        self.changes = self._hidden.changes
        self.is_cacheable = not any(isinstance(x, Tracer) for x in constants)
        self.rewritten: tuple[str, ...] = ()  # what became of Python's control flow, line by line
        self._compiled: Compiled | None = None
        self._callee: Callee | None = None

    @property
    def compiled(self) -> Compiled:
        """The machine code, shared with equal graphs; the first to ask compiles it, others wait."""
        if self._compiled is None:
            self._compiled = compiled_graph(self.graph, self.donated)
        return self._compiled

    def run_verified(self, values: Sequence[Array], given: Sequence[Any]) -> Any:
        """As `run`; the result is compared with that of the graph's equations one by one."""
        from jitml import verification

        if not verification.can_verify(self.graph):
            return self.run(values, given)
        kept = verification.kept(values, self.donated)
        reference = verification.reference_of(self.graph, kept)
        results = self.compiled.run(values, self.graph)
        verification.verify_results(self.graph, kept, results, reference)
        return self._result(results, given)

    def run(self, values: Sequence[Array], given: Sequence[Any]) -> Any:
        """The result for these inputs, which were `given` as they are or as what became them.
        Arrays that are given away are deleted then; one that is returned has become another.
        """
        return self._result(self.compiled.run(values, self.graph), given)

    def _result(self, results: Sequence[Array], given: Sequence[Any]) -> Any:
        donated = [given[n] for n in self.donated if isinstance(given[n], Array)]
        if donated:
            known = {id(x) for x in donated}
            results = tuple(
                [share(x, x.shape, x.weak_type) if id(x) in known else x for x in results]
            )
            for x in donated:
                if not x.is_deleted():
                    x.delete()
        return results[0] if self.structure is LEAF else self.structure.unflatten(results)

    @property
    def callee(self) -> Callee:
        """The same for the runtime's dispatcher."""
        if self._callee is None:
            graph, compiled = self.graph, self.compiled
            constants = () if self.guards else self._hidden.constants
            fetch = self.hidden_values if self.guards else None
            self._callee = Callee(
                compiled.executable,
                self.structure.spec,
                constants,
                fetch,
                lambda fault: _explained(fault, graph, compiled),
            )
        return self._callee


def _explained(fault: KernelFault, graph: Graph, compiled: Compiled) -> BaseException:
    """The error that a failed check is, with the lines of this function's own graph."""
    from jitml.pipeline.faults import explain_fault

    program = compiled.program if compiled.graph is graph else lower_graph(graph)
    return explain_fault(program, fault)


class Known:
    """The entries of one signature, the latest first; and their callees, as far as they are
    compiled.
    """

    __slots__ = ("callees", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.callees: list[Callee] = []

    def valid(self) -> tuple[Entry, Sequence[Any]] | None:
        """The first of the entries that still holds, and its hidden inputs."""
        for entry in self.entries:
            hidden = entry.hidden_values()
            if hidden is not None:
                return entry, hidden
        return None

    def changes(self) -> list[Change]:
        """What the latest entry read and is not any more as it was; empty if there is none."""
        return self.entries[0].changes() if self.entries else []


class EntryTable:
    """The entries of one function by signature, for several threads."""

    def __init__(self) -> None:
        self._known: dict[Any, Known] = {}
        self._lock = threading.Lock()

    def known(self, key: Any) -> Known:
        """What is known for a signature; a new signature may put away the oldest one."""
        known = self._known.get(key)
        if known is None:
            with self._lock:
                while len(self._known) >= _MAX_SIGNATURES:
                    del self._known[next(iter(self._known))]
                known = self._known.setdefault(key, Known())
        return known

    def keep(self, known: Known, entry: Entry) -> None:
        """Add an entry in front."""
        with self._lock:
            known.entries.insert(0, entry)
            for old in known.entries[_MAX_ENTRIES:]:
                known.entries.remove(old)
                if old._callee in known.callees:
                    known.callees.remove(old._callee)

    def use(self, known: Known, entry: Entry) -> None:
        """Offer the compiled form of a kept entry to the dispatcher, before those used earlier."""
        callee = entry.callee
        with self._lock:
            if entry in known.entries:
                if callee in known.callees:
                    known.callees.remove(callee)
                known.callees.insert(0, callee)

    def compiled(self) -> list[Compiled]:
        """The programs of all entries, as far as they are compiled."""
        with self._lock:
            entries = [entry for known in self._known.values() for entry in known.entries]
        return [entry._compiled for entry in entries if entry._compiled is not None]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()


def settled(x: Any) -> Any:
    """What is no array yet as one; a tracer must not have outlived its trace."""
    if isinstance(x, Tracer) and not x.owner.is_open:
        raise ended_trace_error(x)
    return as_value(x)


def type_key(x: Any) -> TypeKey:
    """Dtype, shape and weakness of an array or tracer."""
    if type(x) is Array:
        return (x.dtype, x.shape, x.weak_type)
    type_ = type_of(x)
    return (type_.dtype, type_.shape, type_.weak)
