"""A graph as bytes that are the same in every process, for graphs that differ only in names and
lines.

In: a graph. Out: bytes, or None where an op's meaning is not told by its name and parameters: ops
from outside jitml, parameters that are Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np

from jitml.ir.graph import Atom, Graph, Literal
from jitml.ir.op import Op

_OPS = "jitml.ops."  # the ops whose source takes part in the key of the environment
_RULES = (_OPS, "jitml.scalar.")


def graph_key(graph: Graph) -> bytes | None:
    """The graph's structure, types and parameters; None if they do not tell all."""
    try:
        return "\n".join(_lines(graph)).encode("utf-8", "surrogatepass")
    except _Untold:
        return None


class _Untold(Exception):
    """Something has a meaning that text does not tell."""


def _lines(graph: Graph) -> Iterator[str]:
    numbers = {var: number for number, var in enumerate(graph.variables())}

    def atom(a: Atom) -> str:
        if isinstance(a, Literal):
            return f"{type(a.value).__name__} {a.value!r}:{a.type}"
        return f"%{numbers[a]}"

    yield ", ".join([str(type_) for type_ in graph.input_types])
    for eqn in graph.eqns:
        inputs = ", ".join(map(atom, eqn.inputs))
        outputs = ", ".join([str(var.type) for var in eqn.outputs])
        yield f"{outputs} = {_op(eqn.op)} {inputs}"
    yield "return " + ", ".join(map(atom, graph.outputs))


def _op(op: Op) -> str:
    known = Op.registry.get(op.name)
    rule = getattr(op, "lowering", None)
    is_ours = type(op).__module__.startswith(_OPS) and (known is op or known is type(op))
    if not is_ours or (rule is not None and not rule.__module__.startswith(_RULES)):
        raise _Untold
    parameters = [f"{name}={_value(value)}" for name, value in op.parameters().items()]
    return f"{op.name} {{{', '.join(parameters)}}}"


def _value(value: Any) -> str:
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str):
        return repr(value)
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, Enum):
        return f"{kind.__name__}.{value.name}"
    if isinstance(value, tuple):
        name = "" if kind is tuple else kind.__name__
        return f"{name}({', '.join(map(_value, value))},)"
    if isinstance(value, Graph):
        return "graph {\n" + "\n".join(_lines(value)) + "\n}"
    raise _Untold
