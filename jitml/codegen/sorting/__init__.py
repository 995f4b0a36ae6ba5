"""Kernels that sort: the way is chosen by how long the lines are, how many, and what is moved.

Comes in: a `sort` equation whose operands are contiguous arrays. Goes out: the text of its kernel
and how it is called. All ways give the same.
"""

from __future__ import annotations

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.coding import Coding
from jitml.codegen.sorting.columns import SHORTEST, columns_kernel
from jitml.codegen.sorting.lanes import lanes_fit, lanes_kernel
from jitml.codegen.sorting.lines import Lines
from jitml.codegen.sorting.merge import merge_cost, merge_kernel
from jitml.codegen.sorting.radix import LONGEST, radix_cost, radix_kernel
from jitml.codegen.sorting.top_k import top_k_kernel
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.sort import Sort

__all__ = ["sort_kernel", "top_k_kernel"]


def sort_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of a sort; equal elements keep their order."""
    op = eqn.op
    assert isinstance(op, Sort)
    lines = Lines([a.type for a in eqn.inputs], op.dimension, op.num_keys)
    if target.lanes(1) == 1:  # a thread of a GPU
        return merge_kernel(lines, target)
    coding = Coding(lines, target)
    if coding.fits and lanes_fit(coding):
        return lanes_kernel(coding, target)
    if coding.fits and lines.extent >= SHORTEST:
        return columns_kernel(coding, target)
    by_radix = radix_cost(lines.extent, lines.keys) < merge_cost(lines.extent)
    if by_radix and lines.extent <= LONGEST:
        return radix_kernel(lines, target)
    return merge_kernel(lines, target)
