"""The values of a function's variables, without changing it: `jitml.inspect(f)(x)["hidden"]`.

In: a function. Out: `Inspected`: its result, and what its variables held, by name or line. While
the function is traced, Python tells of each line that it has run; a variable that holds a traced
value then is observed, by an equation that has no other effect. So values come from the compiled
run: under vmap with the axis of the map in front, in a scan stacked by its steps, under grad those
of the forward pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

import numpy as np

from jitml.custom_derivatives import custom_vjp
from jitml.dispatch import Jitted, retracing
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import ArgumentError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.source import Source, file_name, user_source
from jitml.ops.callback import HostFunction
from jitml.ops.observe import Observe
from jitml.ops.scan import Scan
from jitml.reading import is_library
from jitml.signature import NONE_CHOSEN
from jitml.trace.core import Tracer, bind
from jitml.tree_structure import Structure, flatten
from jitml_runtime import from_numpy

# The loops around a value: how many steps (None: not known), and whether from the last one on.
Loops: TypeAlias = "tuple[tuple[int | None, bool], ...]"
COTANGENT = "grad "  # in front of the name of a variable
RETURNED = "return"  # what a value is called that a function returns
_MADE = "<string>"  # the file of functions that Python itself makes, of named tuples for example
_MOST_LEAVES = 256  # of a container that is observed


class Observation:
    """One assignment: `variable` got a value in `line` of `file`, in `function`. `count` says how
    often that happened in the run.
    """

    def __init__(self, variable: str, file: str, line: int, function: str) -> None:
        self.variable = variable
        self.file = file
        self.line = line
        self.function = function
        self._leaves: list[_Leaf | Any] = []
        self._structure: Structure | None = None

    @property
    def place(self) -> str:
        """`model.py:12`."""
        return f"{file_name(self.file)}:{self.line}"

    @property
    def count(self) -> int:
        return max((len(x.runs) for x in self._leaves if isinstance(x, _Leaf)), default=0)

    @property
    def value(self) -> Any:
        """The value, of the type of container that the variable held."""
        assert self._structure is not None
        leaves = [x.stacked() if isinstance(x, _Leaf) else x for x in self._leaves]
        return self._structure.unflatten(leaves)

    def observe(self, value: Any) -> bool:
        """Record equations that tell of the traced values in `value`; whether there are any."""
        try:
            found, self._structure = flatten(value)
        except TreeError:  # a container of something else
            return False
        if len(found) > _MOST_LEAVES or not any(map(_is_open, found)):
            return False
        self._leaves = [_Leaf(self, x) if _is_open(x) else x for x in found]
        return True

    def passed(self, value: Any) -> Any:
        """The value itself, observed."""
        if self._structure is None:
            self.observe(value)
        elif isinstance(self._leaves[0], _Leaf):
            self._leaves[0].tell(value)  # traced once more
        return value

    def __str__(self) -> str:
        types = [f"{x.dtype}{list(x.shape)}" for x in flatten(self.value)[0] if hasattr(x, "dtype")]
        shown = ", ".join(types[:3]) + (", …" if len(types) > 3 else "")
        return f"{self.variable}: {shown}  # {self.place} in {self.function}"


class _Leaf:
    """One observed value; `runs` has what it was each time."""

    def __init__(self, observation: Observation, tracer: Tracer) -> None:
        self.runs: list[np.ndarray[Any, Any]] = []
        self.loops: Loops = ()
        source = Source(file=observation.file, line=observation.line, function=observation.function)
        self.host = HostFunction(observation.variable, self, self._note, source)
        self.tell(tracer)

    def tell(self, tracer: Tracer) -> None:
        """Record that the value is told."""
        bind(Observe(self.host, (), ()), tracer)

    def _note(self, arrays: Sequence[Any], types: Sequence[Any]) -> Sequence[Any]:
        self.runs.append(np.array(arrays[0]))
        return ()

    def stacked(self) -> Any:
        """The value, or all of them in the order of the loops' steps."""
        if not self.loops and len(self.runs) == 1:
            return from_numpy(self.runs[0])
        rows = np.stack(self.runs)
        lengths = [n for n, _ in self.loops if n is not None]
        if len(lengths) == len(self.loops) and int(np.prod(lengths)) == len(self.runs):
            rows = rows.reshape(*lengths, *rows.shape[1:])
            backwards = [axis for axis, (_, is_reverse) in enumerate(self.loops) if is_reverse]
            rows = np.flip(rows, tuple(backwards))
        return from_numpy(np.ascontiguousarray(rows))


def _is_float(x: Any) -> bool:
    return _is_open(x) and is_inexact(x.dtype)


def _is_open(x: Any) -> bool:
    return isinstance(x, Tracer) and x.owner.is_open


class Inspected:
    """What a call gave: `result`, and the values of variables, by name ("hidden", or with the
    function's "layer.hidden"), line number, or place ("model.py:12"). Of several assignments the
    last one counts; `history` has all.
    """

    def __init__(self, result: Any, observations: Sequence[Observation]) -> None:
        self.result = result
        self.observations = tuple([seen for seen in observations if seen.count])
        self._missed = [seen for seen in observations if not seen.count]

    def __getitem__(self, key: str | int) -> Any:
        return self.history(key)[-1]

    def history(self, key: str | int) -> list[Any]:
        """The values of all assignments that `key` tells, in the order of their traces."""
        found = [seen for seen in self.observations if _fits(seen, key)]
        if not found:
            raise self._missing(key)
        named = [seen for seen in found if seen.variable != RETURNED]
        return [seen.value for seen in named or found]

    def _missing(self, key: str | int) -> Exception:
        missed = [seen for seen in self._missed if _fits(seen, key)]
        if missed:
            return _NotRun(
                f"{key!r} was not computed in this run: the branch or loop around it did not run",
                source=Source(
                    file=missed[0].file, line=missed[0].line, function=missed[0].function
                ),
            )
        listed = ", ".join(self.names[:12]) + (", …" if len(self.names) > 12 else "")
        return _NotRun(
            f"the function has no variable or line {key!r} that holds a traced value",
            hint=f"there are {listed}" if listed else "it was called with no arrays",
        )

    @property
    def names(self) -> list[str]:
        """The variables, each once, in the order of their first assignments."""
        return list(dict.fromkeys(s.variable for s in self.observations if s.variable != RETURNED))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (str, int)) and any(_fits(s, key) for s in self.observations)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def as_dict(self) -> dict[str, Any]:
        """The latest value of each variable."""
        return {name: self[name] for name in self.names}

    def __str__(self) -> str:
        return "\n".join(map(str, self.observations))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from jitml.display import html

        rows = []
        for seen in self.observations:
            what, _, where = str(seen).partition("  # ")
            rows.append((what, where))
        return html.page(html.table(rows, ("variable", "line"), "ml"))


class _NotRun(ArgumentError, KeyError):
    """A key that nothing was observed for."""

    __str__ = ArgumentError.__str__


def _fits(seen: Observation, key: str | int) -> bool:
    name, of_value = seen.variable, not seen.variable.startswith(COTANGENT)
    if isinstance(key, int):
        return of_value and seen.line == key
    if key == seen.place:
        return of_value
    prefix = "" if of_value else COTANGENT
    return key in (name, f"{prefix}{seen.function}.{name.removeprefix(COTANGENT)}")


# ---- watching ------------------------------------------------------------------------------------


class _Watcher:
    """Looks at the variables of users' functions line by line."""

    def __init__(self, cotangents: bool) -> None:
        self.observations: list[Observation] = []
        self._cotangents = cotangents
        self._seen: dict[FrameType, dict[str, int]] = {}
        self._lines: dict[FrameType, int] = {}
        self._kept: list[Any] = []  # what is seen is told apart by its id, and so must stay

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """As Python calls what `sys.settrace` was given."""
        file = frame.f_code.co_filename
        if file == _MADE or is_library(file):
            return None
        self._seen[frame] = {}
        self._lines[frame] = frame.f_code.co_firstlineno
        self._look(frame)
        return self._follow

    def _follow(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._look(frame)
        self._lines[frame] = frame.f_lineno
        if event == "return":
            self._observe(RETURNED, argument, frame)
            self._seen.pop(frame, None)
            self._lines.pop(frame, None)
        return self._follow

    def _look(self, frame: FrameType) -> None:
        """Observe what the line before has changed."""
        seen, values = self._seen.get(frame), frame.f_locals
        if seen is None:
            return
        for name in _own_names(frame.f_code):
            if name in values and seen.get(name) != id(values[name]):
                seen[name] = id(values[name])
                self._observe(name, values[name], frame)
                if self._cotangents and _is_float(values[name]):
                    # Python puts what is here now into the variable when this returns.
                    values[name] = self._tapped(name, values[name], frame)
                    seen[name] = id(values[name])

    def _tapped(self, name: str, value: Any, frame: FrameType) -> Any:
        """The same value, whose cotangent is observed."""
        code = frame.f_code
        seen = Observation(f"{COTANGENT}{name}", code.co_filename, self._lines[frame], code.co_name)
        self.observations.append(seen)
        tapped = custom_vjp(lambda x: x)
        tapped.defvjp(lambda x: (x, None), lambda _, ct: (seen.passed(ct),))
        found = tapped(value)
        self._kept.append(found)
        return found

    def _observe(self, name: str, value: Any, frame: FrameType) -> None:
        self._kept.append(value)
        code = frame.f_code
        line = self._lines.get(frame, frame.f_lineno)
        seen = Observation(name, code.co_filename, line, code.co_name)
        if seen.observe(value):
            self.observations.append(seen)

    def note_loops(self, graph: Graph, around: Loops = ()) -> None:
        """Tell the observations in a graph which loops are around them."""
        for eqn in graph.eqns:
            if isinstance(eqn.op, Observe):
                eqn.op.function.callback.loops = around
            for inner in nested_graphs(eqn.op):
                self.note_loops(inner, (*around, *_loop(eqn.op)))


def _loop(op: Any) -> Loops:
    if isinstance(op, Scan):
        return ((op.length, op.reverse),)
    return ((None, False),) if op.name == "while" else ()


def _own_names(code: CodeType) -> tuple[str, ...]:
    """The variables of a function itself, not of those around it."""
    return (*code.co_varnames, *[n for n in code.co_cellvars if n not in code.co_varnames])


@contextmanager
def _watching(watcher: _Watcher) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(watcher)
    try:
        yield
    finally:
        sys.settrace(before)


def inspect(fun: Callable[..., Any], cotangents: bool = False) -> Callable[..., Inspected]:
    """A function that calls `fun`, compiled, and gives the values of its variables as well, and of
    the functions of the user's that it calls.

    `jitml.inspect(f)(x)["hidden"]` is what the variable `hidden` holds at the end; `[12]` and
    `["model.py:12"]` what line 12 has assigned or returned; `["layer.hidden"]` that of the function
    `layer`. `.history(key)` has the values of all assignments, `.result` is what `fun` returns.
    Under vmap the axis of the map comes first; in a scan the values of all steps are stacked, as
    scan stacks its outputs; under grad they are those of the forward pass. `fun` may be jitted, a
    gradient, a map: it is traced anew. With `cotangents`, `["grad hidden"]` is the cotangent of the
    variable `hidden`, where `fun` takes gradients by reverse mode.

    >>> import jitml, jitml.numpy as jnp
    >>> @jitml.jit
    ... def f(x):
    ...     hidden = jnp.tanh(x)
    ...     return hidden.sum()
    >>> inspect(f)(jnp.zeros(3))["hidden"]
    Array([0., 0., 0.], dtype=float32)
    >>> print(inspect(jitml.vmap(jitml.grad(f)))(jnp.zeros((2, 3)))["hidden"].shape)
    (2, 3)
    """
    if not callable(fun):
        raise ArgumentError(
            f"inspect takes a function, not a {type(fun).__name__}",
            hint="pass the function itself, then its arguments: inspect(f)(x)",
            source=user_source(),
        )

    def inspected(*args: Any, **kwargs: Any) -> Inspected:
        watcher = _Watcher(cotangents)
        jitted = fun.observed() if isinstance(fun, Jitted) else Jitted(fun, NONE_CHOSEN)
        with retracing(), _watching(watcher):
            entry, values = jitted.prepared(args, kwargs)
        watcher.note_loops(entry.graph)
        result = entry.run(values, values)
        return Inspected(result, watcher.observations)

    return inspected
