"""Results that are looked through for NaN and infinities, where JAX's switches want that.

In: graphs that are about to run, later what they gave. Out: graphs that watch themselves as they
run, compiled as all are; nothing, or an error that names the line, the element, the map's element
and the loops' steps of the first equation that made one. While it is wanted on a thread,
`calling.is_checked` keeps the runtime from running what it knows by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import FloatError
from jitml.ir.graph import Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.source import Source
from jitml.ir.variables import variable_of
from jitml.trace.core import current_source
from jitml.trace.flags import PROCESS, flag
from jitml.transforms.functionalize import CODE, WATCHED, Site, functionalize
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import Array, from_numpy

KEY_SWITCH = "jax_debug_key_reuse"


class Kind(NamedTuple):
    """A switch, what it forbids, what finds that, and what sites that watch for it are called."""

    switch: str
    what: str
    test: Callable[[Any], Any]
    site: str


_KINDS = (
    Kind("jax_debug_nans", "NaN", np.isnan, WATCHED[0]),
    Kind("jax_debug_infs", "infinity", np.isinf, WATCHED[1]),
)
_HINT = "jitml.checkify makes such checks part of the program"
_Found = tuple[Kind, tuple[int, ...]]  # what is forbidden, and where it is


def are_checked() -> bool:
    """Whether results or keys are looked at on this thread."""
    return PROCESS.has_flags and any(map(flag, (*(kind.switch for kind in _KINDS), KEY_SWITCH)))


def forbidden_kinds() -> tuple[Kind, ...]:
    """What results must not hold on this thread."""
    return tuple([kind for kind in _KINDS if flag(kind.switch)])


def has_parts(graph: Graph) -> bool:
    """Whether a graph is more than one operation, so that results do not tell what made them."""
    return len(graph.eqns) > 1 or any(any(nested_graphs(eqn.op)) for eqn in graph.eqns)


def check_operation(graph: Graph, results: Sequence[Any], kinds: Sequence[Kind]) -> None:
    """Raise if the results of a graph that is one operation, or none, hold what is forbidden."""
    found = _forbidden(results, kinds)
    if found is not None:
        (eqn,) = graph.eqns or (None,)
        name = eqn.op.name if eqn is not None else graph.name or "the function"
        raise _error(name, found, "", (eqn and eqn.source) or current_source())


class Watched:
    """A graph, and the `graph` that also notes while it runs which equation was the first to make
    something forbidden of values that were free of it. That takes `start` before the arguments.
    """

    def __init__(self, graph: Graph, kinds: Sequence[Kind]) -> None:
        self._of = graph
        self._kinds = kinds
        self._names = [var.name for var in graph.inputs]
        self._noting = functionalize(inline_calls(graph), [kind.site for kind in kinds])
        self.graph = self._noting.graph
        self.start: list[Array] = [
            from_numpy(np.zeros(t.shape, t.dtype)) for t in (CODE, *self._noting.slots)
        ]

    def results(
        self, found: Sequence[Any], arguments: Sequence[Any], graph: Graph
    ) -> Sequence[Any]:
        """The results among what the graph gave; raises if they hold what is forbidden. `graph` is
        the one that was watched, but for names and lines, which the error has from it.
        """
        (code, *slots), results = found[: len(self.start)], found[len(self.start) :]
        forbidden = _forbidden(results, self._kinds)
        if forbidden is None:
            return results
        if graph is not self._of:
            return Watched(graph, self._kinds).results(found, arguments, graph)
        number = int(np.asarray(code))
        if number:
            raise self._error(self._noting.sites[number - 1], [np.asarray(x)[()] for x in slots])
        self._check_arguments(arguments)
        raise _error(self.graph.name, forbidden, "", current_source())

    def _error(self, site: Site, slots: Sequence[Any]) -> FloatError:
        kind = next(kind for kind in self._kinds if kind.site == site.kind)
        eqn, type_ = site.eqn, site.eqn.outputs[0].type
        element = np.unravel_index(int(slots[site.slots[0]]), type_.shape)
        name = variable_of(eqn.source)
        value = f"{name}: {type_}" if name else str(type_)
        place = site.place(slots, self._noting.deepest)
        return _error(
            eqn.op.name, (kind, tuple(map(int, element))), f" of {value}{place}", eqn.source
        )

    def _check_arguments(self, arguments: Sequence[Any]) -> None:
        for name, value in zip(self._names, arguments, strict=True):
            found = _forbidden([value], self._kinds)
            if found is not None:
                kind, place = found
                raise FloatError(
                    f"the argument {name or 'of the function'} holds {kind.what}{_element(place)}, "
                    f"with {kind.switch} set",
                    hint=_HINT,
                    source=current_source(),
                )


def _error(name: str, found: _Found, where: str, source: Source) -> FloatError:
    kind, place = found
    message = f"{name} gives {kind.what}{_element(place)}{where}, with {kind.switch} set"
    return FloatError(message, hint=_HINT, source=source)


def _element(place: tuple[int, ...]) -> str:
    return f" at element [{', '.join(map(str, place))}]" if place else ""


def _forbidden(results: Sequence[Any], kinds: Sequence[Kind]) -> _Found | None:
    """The first thing that is forbidden in some result."""
    for x in results:
        if hasattr(x, "dtype") and is_inexact(x.dtype):
            values = np.asarray(x)
            for kind in kinds:
                places = kind.test(values)
                if places.any():
                    first = np.unravel_index(int(places.argmax()), places.shape)
                    return kind, tuple(map(int, first))
    return None
