"""What must hold of any program: compiled whole it equals eager bit for bit, and each equation
agrees with NumPy.

`python -m tests.fuzz.check program.ir` runs the checks on a graph written down as text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import jitml_runtime
from jitml.codegen import emit, plan, special
from jitml.ir.dtypes import DType, is_inexact, real_dtype
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op
from jitml.ir.text import parse_graph
from jitml.ops.control import Control
from jitml.ops.kinds import Reduction
from jitml.pipeline.compile import compile_graph
from jitml.trace.core import bind
from jitml.transforms.dce import dce
from tests.fuzz.generate import random_arrays

_ROUNDING = {2: 2.0**-7, 4: 2e-5, 8: 2e-13}


@contextmanager
def small_chunks() -> Iterator[None]:
    """Kernels that compile fast, and split even small arrays into many chunks."""
    before = emit.CHUNK_COST, plan.LEVEL, plan.SMALL_LEVEL
    emit.CHUNK_COST = special.CHUNK_COST = 256
    plan.LEVEL = plan.SMALL_LEVEL = int(os.environ.get("JITML_FUZZ_LEVEL", "0"))
    try:
        yield
    finally:
        emit.CHUNK_COST, plan.LEVEL, plan.SMALL_LEVEL = before
        special.CHUNK_COST = before[0]


def check_program(graph: Graph, arrays: Sequence[Any]) -> None:
    """Run `graph` eagerly, and compiled with one and with two threads; raise AssertionError where
    they differ.
    """
    inputs = [jitml_runtime.from_numpy(np.array(x, order="C")) for x in arrays]
    values: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for eqn in graph.eqns:
        outputs = bind(eqn.op, *[values.get(a, a) for a in eqn.inputs])
        _compare_with_value(eqn, [values.get(a, a) for a in eqn.inputs], outputs)
        values.update(zip(eqn.outputs, outputs, strict=True))
    compiled = compile_graph(graph)
    threads = jitml_runtime.get_num_threads()
    try:
        for count in (1, 2):
            jitml_runtime.set_num_threads(count)
            for atom, found in zip(graph.outputs, compiled.run(inputs), strict=True):
                expected = values[atom] if isinstance(atom, Var) else atom
                assert same_bits(_numpy(found), _numpy(expected)), (
                    f"{atom} differs from eager, with {count} threads"
                )
    finally:
        jitml_runtime.set_num_threads(threads)


def _numpy(x: Any) -> Any:
    return np.asarray(x.value).astype(x.type.dtype) if isinstance(x, Literal) else np.asarray(x)


def same_bits(a: Any, b: Any) -> bool:
    """Equal in dtype, shape and bits; one NaN is as good as another."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if a.tobytes() == b.tobytes() or not is_inexact(a.dtype):
        return bool(a.tobytes() == b.tobytes())
    if a.dtype.kind == "c":
        return same_bits(a.real.copy(), b.real.copy()) and same_bits(a.imag.copy(), b.imag.copy())
    bits = f"u{a.dtype.itemsize}"
    same = (a.view(bits) == b.view(bits)) if a.ndim else np.asarray(a.tobytes() == b.tobytes())
    return bool(np.all(same | ((a != a) & (b != b))))


def _compare_with_value(eqn: Eqn, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Against the op's NumPy meaning on the same inputs, where that is finite."""
    arrays = [_numpy(x) for x in inputs]
    with np.errstate(all="ignore"):
        expected = eqn.op.value(*arrays)
    for found, wanted in zip(map(_numpy, outputs), expected, strict=True):
        wanted = np.asarray(wanted)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), eqn.op
        if is_inexact(found.dtype):
            _compare_floats(eqn.op, arrays, found, wanted)
        else:
            assert np.array_equal(found, wanted), f"{eqn.op} differs from its value"


def _compare_floats(op: Op, inputs: Sequence[Any], found: Any, wanted: Any) -> None:
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    a, b = found.astype(wide), wanted.astype(wide)
    finite = np.isfinite(a) & np.isfinite(b)
    scale = np.abs(b)
    if isinstance(op, Reduction | Control) or op.name in _SUMS:
        # Rounding errors are as large as the largest terms, not as the sum of them.
        scale = scale + _largest([*inputs, b]) ** (2 if op.name in _PRODUCTS else 1)
    error = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    allowed = _tolerance(op, found.dtype) * np.where(finite, np.maximum(scale, 1), 1)
    assert np.all(error <= allowed), f"{op.name} differs from its value by {np.max(error)}: {op}"


def _tolerance(op: Op, dtype: DType) -> float:
    """The rounding error allowed: an op with graphs inside is as rough as its roughest value, and
    errors grow from step to step.
    """
    inside = [v.type.dtype for graph in nested_graphs(op) for v in graph.variables()]
    rough = min(real_dtype(d).itemsize for d in (dtype, *inside) if is_inexact(d))
    return _ROUNDING[rough] * (8 if inside else 1)


# Ops in which terms may cancel.
_PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})
_SUMS = _PRODUCTS | {
    "cumsum", "cumprod", "cumlogsumexp", "reduce_window", "scatter", "mul", "div", "betaln"
}  # fmt: skip


def _largest(arrays: Sequence[Any]) -> float:
    """A bound of the sum of the terms: the largest number times the longest axis."""
    found = 1.0
    for x in arrays:
        if is_inexact(x.dtype) and x.size:
            sizes = np.abs(x.astype(np.complex128))
            found = max(found, float(np.max(sizes[np.isfinite(sizes)], initial=0)))
    return found * max((max(x.shape, default=1) for x in arrays), default=1)


def shrink(graph: Graph, fails: Callable[[Graph], bool]) -> Graph:
    """The part of `graph` behind the first variable that fails alone; all of it if none does."""
    for number, eqn in enumerate(graph.eqns):
        for var in eqn.outputs:
            part = dce(Graph(graph.name, graph.inputs, graph.eqns[: number + 1], (var,)))
            if fails(part):
                return part
    return graph


def main() -> None:
    """Check the graph in the file named on the command line."""
    graph = parse_graph(Path(sys.argv[1]).read_text())
    with small_chunks():
        check_program(graph, random_arrays(graph.input_types, 0))


if __name__ == "__main__":
    main()
