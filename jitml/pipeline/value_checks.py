"""Results that are looked through for NaN and infinities, where JAX's switches want that.

In: results of a program, and what it was run on. Out: nothing, or an error that names the line, the
element and the loops' steps of the first equation that makes one. While it is wanted on a thread,
`calling.is_checked` keeps the runtime from running what it knows by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import FloatError
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.source import Source
from jitml.ir.variables import variable_of
from jitml.trace.core import current_source
from jitml.trace.flags import PROCESS, flag, scope_flag
from jitml.transforms.stepwise import run_stepwise
from jitml_runtime.errors import loop_steps

KEY_SWITCH = "jax_debug_key_reuse"
_Kind = tuple[str, str, Callable[[Any], Any]]  # a switch, what it forbids, what finds that
_KINDS: tuple[_Kind, ...] = (
    ("jax_debug_nans", "NaN", np.isnan),
    ("jax_debug_infs", "infinity", np.isinf),
)
_HINT = "jitml.checkify makes such checks part of the program"


def are_checked() -> bool:
    """Whether results or keys are looked at on this thread."""
    return PROCESS.has_flags and any(map(flag, (*(switch for switch, _, _ in _KINDS), KEY_SWITCH)))


def check_results(graph: Graph, results: Sequence[Any], arguments: Sequence[Any]) -> None:
    """Raise if results hold what a switch forbids. A graph of several equations is then run again,
    equation by equation, to find the first one that makes it.
    """
    wanted = [kind for kind in _KINDS if flag(kind[0])]
    found = _forbidden(results, wanted)
    if found is None:
        return
    if len(graph.eqns) > 1 or any(any(nested_graphs(eqn.op)) for eqn in graph.eqns):
        with scope_flag("jax_debug_nans", False), scope_flag("jax_debug_infs", False):
            _look_again(graph, arguments, wanted)
    name = graph.eqns[0].op.name if len(graph.eqns) == 1 else graph.name or "the function"
    source = graph.eqns[0].source if len(graph.eqns) == 1 else None
    raise _error(name, found, "", source or current_source())


_Found = tuple[str, str, tuple[int, ...]]  # the switch, what it forbids, where that is


def _look_again(graph: Graph, arguments: Sequence[Any], wanted: Sequence[_Kind]) -> None:
    """Raise for the first equation that makes what is forbidden of values that do not hold it, or
    else for the argument that does.
    """

    def visit(
        eqn: Eqn, inputs: Sequence[Any], outputs: Sequence[Any], steps: tuple[int, ...]
    ) -> None:
        found = _forbidden(outputs, wanted)
        if found is not None and _forbidden(inputs, wanted) is None:
            name = variable_of(eqn.source)
            value = f"{name}: {eqn.outputs[0].type}" if name else str(eqn.outputs[0].type)
            where = f" of {value}{loop_steps(steps[::-1])}"
            raise _error(eqn.op.name, found, where, eqn.source)

    run_stepwise(graph, arguments, visit)
    for var, value in zip(graph.inputs, arguments, strict=True):
        found = _forbidden([value], wanted)
        if found is not None:
            switch, what, place = found
            raise FloatError(
                f"the argument {var.name or 'of the function'} holds {what}{_element(place)}, "
                f"with {switch} set",
                hint=_HINT,
                source=current_source(),
            )


def _error(name: str, found: _Found, where: str, source: Source) -> FloatError:
    switch, what, place = found
    message = f"{name} gives {what}{_element(place)}{where}, with {switch} set"
    return FloatError(message, hint=_HINT, source=source)


def _element(place: tuple[int, ...]) -> str:
    return f" at element [{', '.join(map(str, place))}]" if place else ""


def _forbidden(results: Sequence[Any], wanted: Sequence[_Kind]) -> _Found | None:
    """The first thing that a switch forbids in some result."""
    for x in results:
        if hasattr(x, "dtype") and is_inexact(x.dtype):
            values = np.asarray(x)
            for switch, what, test in wanted:
                places = test(values)
                if places.any():
                    first = np.unravel_index(int(places.argmax()), places.shape)
                    return switch, what, tuple(map(int, first))
    return None
