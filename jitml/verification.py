"""Compiled functions compared with their own meaning: `jit(f, verify=n)`.

In: a graph, arguments, what the compiled program gave. Out: nothing, or an error that names the
first equation where the two differ, and a file that shows it again. The reference runs equation by
equation, each with a kernel of its own, the bodies of loops step by step: no fusion, no pass, no
plan in common. Bits are compared, but for what libraries compute and what follows from it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jitml.ir.dtypes import FROM_SHORT_NAME, short_name
from jitml.ir.errors import VerificationError
from jitml.ir.graph import Eqn, Graph, Literal
from jitml.ir.nested import nested_graphs
from jitml.ir.text import parse_graph
from jitml.ir.variables import name_of_value
from jitml.ops.control import split
from jitml.ops.scan import Scan
from jitml.pipeline.compile import Compiled
from jitml.pipeline.passes import PASSES
from jitml.transforms.dce import dce
from jitml.transforms.inline_calls import drop_barriers, inline_calls
from jitml.transforms.runner import run_passes
from jitml.transforms.stepwise import run_equation, run_stepwise, steps_of_scan
from jitml.transforms.values import literal_value
from jitml_runtime import Array, from_numpy, to_numpy
from jitml_runtime.errors import loop_steps

_Input: TypeAlias = tuple[str, tuple[int, ...], bool, str]  # a row of INPUTS in the file
_MOST_HEX_BYTES = 1 << 16  # inputs up to here are part of the file, larger ones lie beside it
_RTOL = {"float16": 1e-2, "bfloat16": 1e-1, "float32": 1e-4, "complex64": 1e-4}


class Difference(NamedTuple):
    """The first equation that differs, at which steps of the loops around it; the element, and
    its two values.
    """

    eqn: Eqn | None
    output: int
    steps: tuple[int, ...]
    element: tuple[int, ...]
    compiled: str
    reference: str


def can_verify(graph: Graph) -> bool:
    """Whether a graph may be run a second time: nothing happens by it but its outputs."""
    return not graph.has_effect


def verify_results(
    graph: Graph, arguments: Sequence[Array], results: Sequence[Array], reference: Sequence[Any]
) -> None:
    """Raise VerificationError if results of the compiled program are not those of the reference."""
    graph = drop_barriers(inline_calls(graph))
    found = _compare(graph, arguments, results, reference)
    if found is not None:
        raise _error(graph, found, _write_repro(graph, arguments))


def _compare(
    graph: Graph, arguments: Sequence[Array], results: Sequence[Any], reference: Sequence[Any]
) -> Difference | None:
    pairs = list(zip(results, reference, strict=True))
    if all(_same(x, y, True) for x, y in pairs):
        return None
    exact = _is_exact(graph)
    wrong = [number for number, (x, y) in enumerate(pairs) if not _same(x, y, exact)]
    if not wrong:
        return None
    found = find_difference(graph, arguments)
    return found or _difference_of_output(graph, wrong[0], *pairs[wrong[0]])


def reference_of(graph: Graph, arguments: Sequence[Array]) -> list[Any]:
    """The outputs of a graph, equation by equation."""
    return run_stepwise(graph, arguments)


def _error(graph: Graph, found: Difference, path: str) -> VerificationError:
    eqn, name = found.eqn, graph.name or "the function"
    where = f"[{', '.join(map(str, found.element))}]" if found.element else ""
    what = "its result"
    if eqn is not None:
        var = eqn.outputs[found.output]
        called = name_of_value(var, eqn)
        what = f"{called + ': ' if called else ''}{var.type} ({eqn.op.name})"
    return VerificationError(
        f"{name}, compiled, differs from itself op by op, first in {what}{loop_steps(found.steps)}"
        f"\n  element {where or '[]'} is {found.compiled}, should be {found.reference}",
        hint=f"python {path} shows it again; please report it with that file",
        source=eqn.source if eqn is not None else None,
    )


# ---- what differs --------------------------------------------------------------------------------


def find_difference(
    graph: Graph, arguments: Sequence[Any], steps: tuple[int, ...] = ()
) -> Difference | None:
    """The first equation whose value, compiled together with all that it needs, is another one than
    that of the reference. None if there is none, for some are wrong in company only.
    """
    known: dict[Any, Any] = dict(zip(graph.inputs, arguments, strict=True))
    exact = True
    for number, eqn in enumerate(graph.eqns):
        inputs = [known.get(a, a) for a in eqn.inputs]
        outputs = run_equation(eqn, inputs)
        known.update(zip(eqn.outputs, outputs, strict=True))
        exact = exact and _is_exact(Graph("", (), (eqn,), ()))
        upto = dce(Graph(graph.name, graph.inputs, graph.eqns[: number + 1], eqn.outputs))
        found = Compiled(upto).run(arguments)
        for place, (x, y) in enumerate(zip(found, outputs, strict=True)):
            if not _same(x, y, exact):
                inner = _inside_scan(eqn, inputs, steps)
                return inner or Difference(eqn, place, steps[::-1], *_first_element(x, y, exact))
    return None


def _inside_scan(eqn: Eqn, inputs: Sequence[Any], steps: tuple[int, ...]) -> Difference | None:
    """The first difference in the steps of a scan."""
    if not isinstance(eqn.op, Scan):
        return None
    given = [literal_value(x) if isinstance(x, Literal) else x for x in inputs]
    inputs_at, carries = steps_of_scan(eqn.op, given), eqn.op.groups(given)[1]
    body = inline_calls(eqn.op.body)
    compiled = Compiled(body)
    for step in range(eqn.op.length):
        values = inputs_at(step, carries)
        right = run_stepwise(body, values)
        exact = _is_exact(body)
        if not all(map(lambda x, y: _same(x, y, exact), compiled.run(values), right)):
            return find_difference(body, values, (*steps, step))
        carries = split(right, eqn.op.carries)[0]
    return None


def _difference_of_output(graph: Graph, number: int, result: Any, right: Any) -> Difference:
    atom = graph.outputs[number]
    makers = [e for e in graph.eqns if any(v is atom for v in e.outputs)]
    eqn = makers[0] if makers else None
    place = [v is atom for v in eqn.outputs].index(True) if eqn else 0
    return Difference(eqn, place, (), *_first_element(result, right, _is_exact(graph)))


def _is_exact(graph: Graph) -> bool:
    """Whether bits are promised: no library computes a part of it."""
    lowered = run_passes(graph, PASSES, dump="").graph
    return not _calls_library(lowered)


def _calls_library(graph: Graph) -> bool:
    return any(
        eqn.op.name == "library_call" or any(map(_calls_library, nested_graphs(eqn.op)))
        for eqn in graph.eqns
    )


def _same(x: Any, y: Any, exact: bool) -> bool:
    return not _differences(x, y, exact).any()


def _differences(x: Any, y: Any, exact: bool) -> np.ndarray[Any, Any]:
    """Where two arrays differ: in any bit (NaNs are all alike), or by more than rounding does."""
    a, b = np.asarray(x), np.asarray(y)
    if a.dtype.kind in "biu":
        return np.asarray(a != b)
    if not exact:
        rtol = _RTOL.get(a.dtype.name, 1e-9)
        scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=1.0))
        return np.asarray(~np.isclose(a, b, rtol=rtol, atol=rtol * scale, equal_nan=True))
    parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
    different = np.zeros(a.shape, bool)
    for p, q in parts:
        bits = f"u{p.dtype.itemsize}"
        same = np.ascontiguousarray(p).view(bits) == np.ascontiguousarray(q).view(bits)
        different |= ~(same.reshape(a.shape) | (np.isnan(p) & np.isnan(q)))
    return different


def _first_element(x: Any, y: Any, exact: bool) -> tuple[tuple[int, ...], str, str]:
    places = _differences(x, y, exact)
    place = tuple(map(int, np.unravel_index(int(places.argmax()), places.shape)))
    return place, str(np.asarray(x)[place]), str(np.asarray(y)[place])


# ---- the file ------------------------------------------------------------------------------------

_REPRO = '''"""A compiled function that differs from itself op by op, as jit(f, verify=n) has found
it.

Run it: `python {name}` prints the first difference, and ends with status 1 while there is one.
"""

from jitml.verification import reproduce

GRAPH = """
{graph}
"""

INPUTS = [  # dtype, shape, weak, and the bytes: in hex, or the name of a file beside this one
{inputs}
]

if __name__ == "__main__":
    reproduce(GRAPH, INPUTS, __file__)
'''


def _write_repro(graph: Graph, arguments: Sequence[Array]) -> str:
    """Write the file, here or else where temporary files go; its path."""
    for folder in (os.getcwd(), tempfile.gettempdir()):
        try:
            return _write_in(folder, graph, arguments)
        except OSError:
            continue
    return "(which could not be written)"


def _write_in(folder: str, graph: Graph, arguments: Sequence[Array]) -> str:
    label = re.sub(r"\W+", "_", graph.name).strip("_") or "function"
    descriptor, path = tempfile.mkstemp(".py", f"repro_{label}_", folder)
    os.close(descriptor)
    rows = []
    for number, x in enumerate(arguments):
        data = np.ascontiguousarray(to_numpy(x)).tobytes()
        content = data.hex()
        if len(data) > _MOST_HEX_BYTES:
            content = f"{os.path.splitext(os.path.basename(path))[0]}.{number}.bytes"
            with open(os.path.join(folder, content), "wb") as beside:
                beside.write(data)
        rows.append(f"    ({short_name(x.dtype)!r}, {tuple(x.shape)}, {x.weak_type}, {content!r}),")
    text = _REPRO.format(name=os.path.basename(path), graph=graph, inputs="\n".join(rows))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return os.path.relpath(path) if folder == os.getcwd() else path


def reproduce(text: str, inputs: Sequence[_Input], path: str) -> None:
    """Compare a graph, compiled, with itself op by op; what a file that `verify` wrote does."""
    graph = parse_graph(text)
    arguments = [_read(row, os.path.dirname(os.path.abspath(path))) for row in inputs]
    results = Compiled(graph).run(arguments)
    found = _compare(graph, arguments, results, run_stepwise(graph, arguments))
    if found is None:
        print("no difference")
        return
    print(_error(graph, found, path))
    raise SystemExit(1)


def _read(row: _Input, folder: str) -> Array:
    dtype, shape, weak, content = row
    if content.endswith(".bytes"):
        with open(os.path.join(folder, content), "rb") as file:
            data = file.read()
    else:
        data = bytes.fromhex(content)
    return from_numpy(np.frombuffer(data, FROM_SHORT_NAME[dtype]).reshape(shape), weak)


def kept(arguments: Sequence[Array], donated: Sequence[int]) -> list[Array]:
    """The arguments, with copies of those that the run may take."""
    return [
        from_numpy(to_numpy(x), x.weak_type) if n in donated else x for n, x in enumerate(arguments)
    ]
