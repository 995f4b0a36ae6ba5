"""Keys that are used twice, told with both lines where `jax_debug_key_reuse` is set.

In: a graph that is about to run, and its arguments; later its results. Out: nothing, or
KeyReuseError. Each word of a key is an object: slices, reshapes and their kin move these objects as
they move the words themselves, any other op makes new ones, and `key_use` says that words are used.
Bodies of loops are gone through twice, as for two rounds. Must not know how numbers are drawn.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jitml.ir.errors import KeyReuseError
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.source import Source
from jitml.ops.checkpoint import Checkpoint, LinearCheckpoint
from jitml.ops.cond import Cond
from jitml.ops.custom import Call
from jitml.ops.identity import KeyUse
from jitml.ops.layout import LinearMovement
from jitml.ops.scan import Scan
from jitml.ops.slicing import Concatenate
from jitml.ops.while_loop import While
from jitml.pipeline.value_checks import KEY_SWITCH
from jitml.trace.core import current_source
from jitml.trace.flags import is_on
from jitml_runtime import Array


class Use(NamedTuple):
    """Who uses a word, on which line, and the line that runs the program which does."""

    user: str
    source: Source
    caller: Source


class _Word:
    """A word of a key."""

    __slots__ = ("use",)

    def __init__(self) -> None:
        self.use: Use | None = None


Words: TypeAlias = "np.ndarray[Any, Any]"  # of _Word objects, in the shape of what they are in
Uses: TypeAlias = dict[_Word, Use]
_UINT32 = np.dtype(np.uint32)


def _new_words(shape: tuple[int, ...]) -> Words:
    words = np.empty(shape, object)
    for index in np.ndindex(shape):
        words[index] = _Word()
    return words


# ---- arrays -------------------------------------------------------------------------------------

_OF_ARRAYS: dict[int, tuple[weakref.ref[Array], Words]] = {}  # by id, while the array lives


def _words_of_array(x: Array) -> Words:
    found = _OF_ARRAYS.get(id(x))
    if found is None or found[0]() is not x:
        _keep(x, _new_words(x.shape))
        found = _OF_ARRAYS[id(x)]
    return found[1]


def _keep(x: Array, words: Words) -> None:
    number = id(x)
    _OF_ARRAYS[number] = (weakref.ref(x, lambda _: _OF_ARRAYS.pop(number, None)), words)


def follow_view(x: Array, view: Array, look: Callable[[Any], Any]) -> Array:
    """Know the words of `view`, which is `look(x)`."""
    _keep(view, np.asarray(look(_words_of_array(x))))
    return view


# ---- programs -----------------------------------------------------------------------------------


class KeyCheck:
    """Looks at a graph that is about to run; raises KeyReuseError where it uses a key again."""

    def __init__(self, graph: Graph, arguments: Sequence[Array]) -> None:
        self._walk: _Walk | None = None
        self._graph = graph
        if not is_on(KEY_SWITCH):
            return
        makers = dict(zip(graph.inputs, arguments, strict=True))
        uses: Uses = {}
        walk = _Walk(graph, lambda var: _words_of_array(makers[var]), uses, current_source())
        walk.run()
        for word, use in uses.items():
            word.use = use
        self._walk = walk

    def follow(self, results: Sequence[Array]) -> None:
        """Know the words of results that are words of arguments, moved, or have been used."""
        if self._walk is None:
            return
        for atom, x in zip(self._graph.outputs, results, strict=True):
            if x.dtype == _UINT32 and x.shape[-1:] == (2,) and self._walk.is_known(atom):
                _keep(x, self._walk.words(atom))


class _Walk:
    """One way through a graph: the words of its variables, and which of them are used."""

    def __init__(
        self, graph: Graph, given: Callable[[Var], Words], uses: Uses, caller: Source
    ) -> None:
        self._graph = graph
        self._given = given
        self._uses = uses
        self._caller = caller
        self._inputs = set(graph.inputs)
        self._makers = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
        self._known: dict[Atom, Words] = {}

    def run(self) -> None:
        """Go through the equations."""
        for eqn in self._graph.eqns:
            if isinstance(eqn.op, KeyUse) and not eqn.op.is_again:
                self._use(eqn, eqn.op)
            elif isinstance(eqn.op, (Scan, While, Cond, Call)):
                self._enter(eqn)

    def is_known(self, atom: Atom) -> bool:
        """Whether an atom's words are not just new ones."""
        if atom in self._known or atom in self._inputs:
            return True
        eqn = self._makers.get(atom) if isinstance(atom, Var) else None
        return eqn is not None and _moves(eqn) and any(map(self.is_known, eqn.inputs))

    def words(self, atom: Atom) -> Words:
        """The words of an atom."""
        found = self._known.get(atom)
        if found is None:
            found = self._known[atom] = self._made(atom)
        return found

    def _made(self, atom: Atom) -> Words:
        if isinstance(atom, Literal):
            return _new_words(())
        if atom in self._inputs:
            return self._given(atom)
        eqn = self._makers[atom]
        if _moves(eqn):
            return np.asarray(eqn.op.value(*map(self.words, eqn.inputs))[0])
        return _new_words(atom.type.shape)

    def _use(self, eqn: Eqn, op: KeyUse) -> None:
        use = Use(op.user, eqn.source or current_source(), self._caller)
        for word in self.words(eqn.inputs[0]).flat:
            self._mark(word, use)

    def _mark(self, word: _Word, use: Use) -> None:
        earlier = self._uses.get(word) or word.use
        if earlier is not None:
            raise _reused(earlier, use)
        self._uses[word] = use

    # ---- nested graphs --------------------------------------------------------------------------

    def _enter(self, eqn: Eqn) -> None:
        op = eqn.op
        given = [self.words(a) if a.type.dtype == _UINT32 else None for a in eqn.inputs]
        outputs: Sequence[Words | None] = ()
        if isinstance(op, Scan):
            outputs = self._scan(op, given)
        elif isinstance(op, While):
            outputs = self._while(op, given)
        elif isinstance(op, Cond):
            self._cond(op, given[1:])
        elif isinstance(op, Call) and not _computes_again(op):
            outputs = self._inside(op.body, given)
        for var, words in zip(eqn.outputs, outputs, strict=False):
            if words is not None:
                self._known[var] = words

    def _inside(
        self, graph: Graph, given: Sequence[Words | None], uses: Uses | None = None
    ) -> list[Words | None]:
        """The words of a nested graph's outputs, for those of its inputs."""
        known = dict(zip(graph.inputs, given, strict=True))

        def words(var: Var) -> Words:
            found = known[var]
            return _new_words(var.type.shape) if found is None else found

        walk = _Walk(graph, words, self._uses if uses is None else uses, self._caller)
        walk.run()
        return [walk.words(a) if a.type.dtype == _UINT32 else None for a in graph.outputs]

    def _scan(self, op: Scan, given: Sequence[Words | None]) -> list[Words | None]:
        constants, carries, arrays = op.groups(given)
        for k in range(min(op.length, 2)):
            rows = [None if x is None else x[k] for x in arrays]
            carries = self._inside(op.body, [*constants, *carries, *rows])[: op.carries]
        for x in arrays:
            if x is not None:
                self._use_alike(x[2:], x[:1])
        return carries

    def _use_alike(self, rows: Words, first: Words) -> None:
        """Use the words of further rows as those of the first one."""
        words: list[_Word] = list(first.flat)
        for row in rows.reshape((len(rows), len(words))):
            for word, model in zip(row, words, strict=True):
                if model in self._uses:
                    self._mark(word, self._uses[model])

    def _while(self, op: While, given: Sequence[Words | None]) -> list[Words | None]:
        condition_constants, body_constants, carries = op.groups(given)
        for _ in range(2):
            self._inside(op.condition, [*condition_constants, *carries])
            carries = self._inside(op.body, [*body_constants, *carries])
        return carries

    def _cond(self, op: Cond, given: Sequence[Words | None]) -> None:
        before = dict(self._uses)
        for branch in op.branches:
            uses = dict(before)
            self._inside(branch, given, uses)
            self._uses.update(uses)


def _moves(eqn: Eqn) -> bool:
    return isinstance(eqn.op, (LinearMovement, Concatenate))


def _computes_again(op: Call) -> bool:
    """Whether a call is part of a derivative, and only computes what has been computed before."""
    return isinstance(op, LinearCheckpoint) or (isinstance(op, Checkpoint) and op.barrier)


def _reused(earlier: Use, now: Use) -> KeyReuseError:
    """The error, with both lines; of a program that runs again, the lines that run it."""
    first, second = earlier.source, now.source
    if first.place == second.place:
        first, second = earlier.caller, now.caller
    again = earlier.caller is now.caller and first.place == second.place
    where = (
        "in an earlier round of its loop, or call of its function" if again else first.describe()
    )
    return KeyReuseError(
        f"random.{now.user} uses a key that random.{earlier.user} has used\n  first {where}",
        hint="make a key for each use: key, other = random.split(key)",
        source=now.source if again else second,
    )
