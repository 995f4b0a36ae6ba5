"""Products with the orthogonal matrices that reflectors stand for, a block of these at a time.

In: real reflectors as LAPACK packs them, below the diagonal of a matrix, and their factors. Out:
products. Blocks in the form I − V T Vᵀ (Schreiber and Van Loan, 1989) make them products of
matrices.
"""

from __future__ import annotations

from jitml.ops.elementwise import add, eq, gt, mul, select, sub
from jitml.ops.kinds import Traced, full_of
from jitml.ops.linalg.matrices import as_columns, flipped, identity_like, rows_and_columns, times
from jitml.ops.linalg.panel import panels_of, rows_of
from jitml.ops.linalg.triangular import solve_triangular
from jitml.ops.slicing import concatenate, slice_
from jitml.trace.core import type_of


def reflected(packed: Traced, taus: Traced, x: Traced) -> Traced:
    """Q X for the product Q of the reflectors below the diagonal of `packed`."""
    *batch, rows, count = type_of(packed).shape
    done: Traced = None
    for first, size in reversed(panels_of(count)):
        start = (*[0] * len(batch), first, first)
        v = _unit_lower(slice_(packed, start, (*batch, rows, first + size)))
        own = slice_(taus, start[:-1], (*batch, first + size))
        here = rows_of(x, first, first + size if done is not None else rows)
        if done is None:
            moved = times(flipped(v), here)
        else:
            upper, lower = rows_of(v, 0, size), rows_of(v, size, rows - first)
            moved = add(times(flipped(upper), here), times(flipped(lower), done))
            here = concatenate([here, done], len(batch))
        done = sub(here, times(v, times(_block_factor(v, own), moved)))
    return done


def _unit_lower(x: Traced) -> Traced:
    row, column = rows_and_columns(x)
    one, zero = full_of(type_of(x), 1), full_of(type_of(x), 0)
    return select(gt(row, column), x, select(eq(row, column), one, zero))


def _block_factor(v: Traced, taus: Traced) -> Traced:
    """T = (I + D U)⁻¹ D for the strictly upper part U of Vᵀ V and the diagonal D of factors, some
    of which may be 0.
    """
    scale = as_columns(taus, type_of(v).shape[-1])
    right = mul(identity_like(scale), scale)
    system = mul(times(flipped(v), v), scale)
    return solve_triangular(system, right, left=True, lower=False, unit=True)
