"""Rewrite rules: a pattern of equations and the smaller expression that has the same value.

Most rules are pairs of Python expressions, traced once per kind of dtype. Rules over ops with
parameters are functions. Every rule carries what is needed to test it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dependencies import live_eqns
from jitml.ir.dtypes import BOOL, COMPLEX64, FLOAT32, INT32, kind
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.trace.core import Trace, Tracer, bind, trace_graph
from jitml.trace.numbers import literal


class Match:
    """An equation about to be recorded: its op and inputs, and what defines the variables."""

    __slots__ = ("_kinds", "definitions", "inputs", "op", "trace")

    def __init__(
        self,
        op: Op,
        inputs: tuple[Tracer | Literal, ...],
        trace: Trace,
        definitions: dict[Var, Eqn],
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.trace = trace
        self.definitions = definitions
        self._kinds: set[str] | None = None

    def eqn(self, x: Tracer | Literal) -> Eqn | None:
        """The equation that defines `x`; None for inputs and literals."""
        atom = x.atom if isinstance(x, Tracer) else x
        return self.definitions.get(atom) if isinstance(atom, Var) else None

    def definition(self, x: Tracer | Literal) -> Match | None:
        """As `eqn`, with the equation's inputs as operands."""
        eqn = self.eqn(x)
        if eqn is None:
            return None
        inputs = [a if isinstance(a, Literal) else Tracer(self.trace, a) for a in eqn.inputs]
        return Match(eqn.op, tuple(inputs), self.trace, self.definitions)

    @property
    def kinds(self) -> set[str]:
        """The kinds of dtype that the variables behind the inputs can have."""
        if self._kinds is None:
            found = {kind(x.type.dtype) for x in self.inputs}
            if self.op.name == "complex":
                found.add("c")
            elif "c" in found:
                found.add("f")
            self._kinds = found
        return self._kinds


SAME_INPUTS = "same inputs"


def clues(inputs: Sequence[Atom], definitions: Mapping[Var, Eqn]) -> set[Any]:
    """What can be seen of an equation at a glance: the numbers among its inputs, the names of the
    ops that define the others, and whether two are the same.
    """
    found: set[Any] = set()
    for place, atom in enumerate(inputs):
        if atom in inputs[:place]:
            found.add(SAME_INPUTS)
        if isinstance(atom, Literal):
            found.add(atom.value)
        elif atom in definitions:
            found.add(definitions[atom].op.name)
    return found


class Rule(NamedTuple):
    """`apply` gives what an equation of one of the ops `roots` can be replaced by, or None.

    `examples` are (types, function) pairs: functions that record an equation to which the rule
    applies. A rule that is not `is_exact` changes bits, and runs under fast_math alone. It
    applies only where its `clues` are among those of the equation.
    """

    name: str
    roots: tuple[str, ...]
    apply: Callable[[Match], Any | None]
    examples: tuple[tuple[tuple[ArrayType, ...], Callable[..., Any]], ...]
    is_exact: bool = True
    clues: frozenset[Any] = frozenset()


_MODELS = {"b": BOOL, "i": INT32, "u": np.dtype(np.uint32), "f": FLOAT32, "c": COMPLEX64}
_COMMUTATIVE = frozenset({"add", "mul", "and", "or", "xor"})


def pair(
    name: str, sides: Callable[..., tuple[Any, Any]], kinds: str, is_exact: bool = True
) -> Rule:
    """The rule that replaces the first of two traced expressions by the second, for dtypes of these
    kinds.

    A parameter named `condition` stands for a boolean, the others for values of one dtype.
    """
    patterns = {kinds[0]: _traced_pair(name, sides, kinds[0])}

    def pattern(letter: str) -> _Pattern:
        # Traced when first asked for, as most kinds never are.
        if letter not in patterns:
            patterns[letter] = _traced_pair(name, sides, letter)
        return patterns[letter]

    def apply(match: Match) -> Any | None:
        for letter in [k for k in kinds if k in match.kinds]:
            bound = pattern(letter).match(match)
            if bound is not None:
                return pattern(letter).replacement(bound)
        return None

    left = functools.partial(_left, sides)
    examples = tuple([(_types(sides, letter), left) for letter in kinds])
    first = patterns[kinds[0]]
    seen = frozenset(clues(first.root.inputs, first.definitions))
    return Rule(name, (first.root.op.name,), apply, examples, is_exact, seen)


def _left(sides: Callable[..., tuple[Any, Any]], *arguments: Any) -> Any:
    return sides(*arguments)[0]


def _types(sides: Callable[..., Any], letter: str) -> tuple[ArrayType, ...]:
    """Types of the variables of a pair, for dtypes of one kind."""
    code = sides.__code__
    names = code.co_varnames[: code.co_argcount]
    return tuple([ArrayType(BOOL if n == "condition" else _MODELS[letter], (2,)) for n in names])


def _traced_pair(name: str, sides: Callable[..., tuple[Any, Any]], letter: str) -> _Pattern:
    return _Pattern(trace_graph(sides, _types(sides, letter), name).graph)


class _Pattern:
    """A traced pair of expressions over variables of one kind of dtype."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.definitions = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
        left = graph.outputs[0]
        assert isinstance(left, Var)
        self.root = self.definitions[left]
        self.right = live_eqns(graph.eqns, graph.outputs[1:])

    def match(self, match: Match) -> dict[Var, Any] | None:
        """What the pattern's variables stand for in `match`, or None if it does not fit."""
        bound: dict[Var, Any] = {}
        return bound if self._match_eqn(self.root, match, bound) else None

    def _match_eqn(self, eqn: Eqn, match: Match, bound: dict[Var, Any]) -> bool:
        if eqn.op != match.op or len(eqn.inputs) != len(match.inputs):
            return False
        if self._match_inputs(eqn, match.inputs, match, bound):
            return True
        is_commutative = eqn.op.name in _COMMUTATIVE
        return is_commutative and self._match_inputs(eqn, match.inputs[::-1], match, bound)

    def _match_inputs(
        self, eqn: Eqn, inputs: Sequence[Any], match: Match, bound: dict[Var, Any]
    ) -> bool:
        for atom, x in zip(eqn.inputs, inputs, strict=True):
            if not self._may_match(atom, x, match):
                return False
        trial = dict(bound)
        for atom, x in zip(eqn.inputs, inputs, strict=True):
            if not self._match_atom(atom, x, match, trial):
                return False
        bound.update(trial)
        return True

    def _may_match(self, atom: Atom, x: Any, match: Match) -> bool:
        """A quick look that rules most equations out."""
        if isinstance(atom, Literal):
            return isinstance(x, Literal)
        wanted = self.definitions.get(atom)
        if wanted is None:
            return True
        found = match.eqn(x)
        return found is not None and found.op == wanted.op

    def _match_atom(self, atom: Atom, x: Any, match: Match, bound: dict[Var, Any]) -> bool:
        if isinstance(atom, Literal):
            return isinstance(x, Literal) and repr(x.value) == repr(atom.value)
        if atom in self.definitions:
            inner = match.definition(x)
            return inner is not None and self._match_eqn(self.definitions[atom], inner, bound)
        if kind(x.type.dtype) != kind(atom.type.dtype):
            return False
        before = bound.setdefault(atom, x)
        return _atom(before) == _atom(x)

    def replacement(self, bound: dict[Var, Any]) -> Any:
        """Record the right side for these variables; its literals take on the dtypes at hand."""
        known: dict[Any, Any] = dict(bound)
        dtype = list(bound.values())[-1].type.dtype

        def read(atom: Atom) -> Any:
            if isinstance(atom, Literal):
                return literal(atom.value, ArrayType(dtype, ()))
            return known[atom]

        for eqn in self.right:
            known.update(zip(eqn.outputs, bind(eqn.op, *map(read, eqn.inputs)), strict=True))
        return read(self.graph.outputs[1])


def _atom(x: Any) -> Atom:
    return x if isinstance(x, Literal) else x.atom
