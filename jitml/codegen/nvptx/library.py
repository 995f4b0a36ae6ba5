"""Steps that a library of the device takes over where there is one.

What a step is without that library is its base: a call of the host, or the launch of a kernel.
"""

from __future__ import annotations

import os

from jitml.codegen.gemm_blocks import GemmShape
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Graph
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ops.library import LibraryCall
from jitml.ops.linalg.eigen import Eigh
from jitml.ops.linalg.qr import Qr
from jitml.trace.inline import rewritten
from jitml_runtime import HostCall, Instruction
from jitml_runtime.record import frozen, replace

_DTYPES = ("f32", "f64", "f16", "bf16", "c64", "c128")
_WIDER = {("f16", "f32"), ("bf16", "f32")}  # operands and results that may differ


@frozen
class LibraryStep(HostCall):
    """A routine for each element of a batch: the host's, unless the device has one."""

    call: LibraryCall


@frozen
class Operand:
    """Matrices that lie row by row, or if `is_turned` column by column. Rows, or columns, begin
    `step` numbers apart, matrices `batch_step`.
    """

    is_turned: bool = False
    step: int = 0
    batch_step: int = 0


@frozen
class Product:
    """Products of m × k and k × n matrices, of the numbers `dtype`, as numbers `result` row by row.
    Addresses are multiples of `alignment`.
    """

    sizes: tuple[int, int, int] = (0, 0, 0)
    batch: int = 1
    operands: tuple[Operand, Operand] = (Operand(), Operand())
    dtype: str = ""
    result: str = ""
    is_rounded: bool = False  # to tf32, before they are multiplied
    alignment: int = 1


@frozen
class ProductStep(Instruction):
    """A product that a library is asked for, by a kernel unless the device has it."""

    product: Product = Product()


def ask_libraries(graph: Graph) -> Graph:
    """The graph with what a library of the device does as a whole stated by its routines.

    Before: `%q, %r = qr %a`. After: `%p, %t = geqrf %a`, and what makes Q and R of them.
    """
    is_nested = [any(nested_graphs(eqn.op)) for eqn in graph.eqns]
    if any(is_nested):
        pairs = zip(graph.eqns, is_nested, strict=True)
        inside = [replace(e, op=map_nested(e.op, ask_libraries)) if n else e for e, n in pairs]
        graph = graph.with_eqns(inside)
    if not any(isinstance(eqn.op, (Eigh, Qr)) for eqn in graph.eqns):
        return graph
    return rewritten(graph, lambda e: e.op.by_library if isinstance(e.op, (Eigh, Qr)) else None)


def takes_products() -> bool:
    """Whether products are a library's, as `JITML_GPU_PRODUCTS` says."""
    asked = os.environ.get("JITML_GPU_PRODUCTS") or "own"
    if asked not in ("own", "cublaslt"):
        raise ArgumentError(
            f"JITML_GPU_PRODUCTS={asked!r}: nothing computes products by this name",
            hint="expected 'own' or 'cublaslt'",
        )
    return asked == "cublaslt"


def library_product(
    shape: GemmShape, dtypes: tuple[str, str], precision: str | None, alignment: int
) -> Product | None:
    """A product as a library may compute it; None where it cannot or is not asked to, or where the
    CPU's bits are wanted.
    """
    is_known = dtypes in _WIDER or (dtypes[0] in _DTYPES and dtypes[0] == dtypes[1])
    if not takes_products():
        return None
    if precision == "highest" or shape.a_gather or shape.b_gather or not is_known:
        return None
    m, n, k = shape.m, shape.n, shape.k
    a = _operand(m, k, shape.a_row, shape.a_column, shape.a_batch)
    b = _operand(k, n, shape.b_row, shape.b_column, shape.b_batch)
    if a is None or b is None or 0 in (shape.batch, m, n, k):
        return None
    is_rounded = precision == "high" and dtypes[0] == "f32"
    return Product((m, n, k), shape.batch, (a, b), *dtypes, is_rounded, alignment)


def _operand(rows: int, columns: int, row: int, column: int, batch: int) -> Operand | None:
    """Matrices by the strides of rows and columns; those of axes of length 1 do not count."""
    if batch < 0:
        return None
    if column == 1 or columns == 1:
        step = row if rows > 1 else columns
        if step >= columns:
            return Operand(False, step, batch)
    if row == 1 or rows == 1:
        step = column if columns > 1 else rows
        if step >= rows:
            return Operand(True, step, batch)
    return None
