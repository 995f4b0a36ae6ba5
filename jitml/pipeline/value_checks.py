"""Results that are looked through for NaN and infinities, where JAX's switches want that.

In: results of a program, and how to run it again equation by equation. Out: nothing, or an error at
the line of the first equation that makes one. While it is wanted, the runtime must not know
programs: it would run them without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import FloatError
from jitml.ir.graph import Graph
from jitml.trace.core import current_source
from jitml.trace.flags import PROCESS, flag

KEY_SWITCH = "jax_debug_key_reuse"

_KINDS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("jax_debug_nans", "NaN", np.isnan),
    ("jax_debug_infs", "infinity", np.isinf),
)


def are_checked() -> bool:
    """Whether results or keys are looked at on this thread."""
    return PROCESS.has_flags and any(map(flag, (*(switch for switch, _, _ in _KINDS), KEY_SWITCH)))


def check_results(graph: Graph, results: Sequence[Any], run_again: Callable[[], Any]) -> None:
    """Raise if results hold what a switch forbids; `run_again` raises at the equation itself, if
    the graph has several.
    """
    found = _forbidden(results)
    if not found:
        return
    if len(graph.eqns) > 1:
        run_again()
    (switch, what) = found
    name = graph.eqns[0].op.name if len(graph.eqns) == 1 else graph.name or "the function"
    raise FloatError(
        f"{name} gives {what}, with {switch} set",
        hint="jitml.checkify makes such checks part of the program",
        source=current_source(),
    )


def _forbidden(results: Sequence[Any]) -> tuple[str, str] | None:
    """The switch that forbids what is in some result, and what that is."""
    wanted = [(switch, what, test) for switch, what, test in _KINDS if flag(switch)]
    for x in results:
        if is_inexact(x.dtype):
            values = np.asarray(x)
            for switch, what, test in wanted:
                if test(values).any():
                    return switch, what
    return None
