"""Which kernels a matrix product can run itself, on rows that are finished and still in cache.

Comes in: the group of a product and the group after it. Goes out: whether the second works on each
element of the product where it lies, so that it can run row by row. Its results are the same either
way. What it computes does not matter.
"""

from __future__ import annotations

import math

from jitml.codegen.emit import KernelText
from jitml.codegen.fuse import Group
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.kernel import Index, Kernel, Load
from jitml.ir.graph import Var
from jitml.ops.contraction import DotGeneral

# Products with fewer rows or columns leave too little to share out, or to keep in cache.
_LEAST_ROWS, _MOST_COLUMNS = 64, 4096


def kernel_after(product: Group, after: Group) -> Kernel | None:
    """The kernel of `after`, if it reads what `product` gives and has neither checks nor
    reductions.
    """
    if product.special is None or not isinstance(product.special.op, DotGeneral):
        return None
    (result,) = product.special.outputs
    if after.special is not None or after.built is None or result not in after.built.reads:
        return None
    kernel = after.built.kernel
    if kernel.sites:  # steps of products tell of no checks
        return None
    # A reduction may need scratch memory of its own.
    return None if any(node.name == "reduce" for node in kernel.nodes()) else kernel


def can_follow(product: Group, after: Group) -> bool:
    """Whether `after` can run on rows of what `product` gives."""
    kernel = kernel_after(product, after)
    if kernel is None or after.built is None:
        return False
    (result,) = product.roots
    return _is_in_place(kernel, after.built.reads.index(result)) and _covers(kernel, result)


def _is_in_place(kernel: Kernel, operand: int) -> bool:
    """Whether the operand is read, and everything written, where the loops are."""
    loads: list[Load] = [node.data for node in kernel.nodes() if node.name == "load"]
    indices = [load.index for load in loads if load.operand == operand]
    indices += [store.index for store in kernel.stores]
    return all(_is_linear(index, kernel) for index in indices)


def _is_linear(index: Index, kernel: Kernel) -> bool:
    """Whether an index counts the elements in the order of the loops."""
    stride = 1
    for axis in reversed(kernel.live_outer()):
        if index.coefficient(axis) != stride:
            return False
        stride *= axis.extent
    return index.constant == 0 and not index.values


def _covers(kernel: Kernel, result: Var) -> bool:
    return math.prod(axis.extent for axis in kernel.live_outer()) == result.type.size


def units_per_row(shape: GemmShape, code: KernelText) -> int:
    """How many units of a kernel make a row of the product; 0 if they do not, or it does not
    pay.
    """
    rows = shape.batch * shape.m
    if shape.m < _LEAST_ROWS or shape.n > _MOST_COLUMNS or code.elements_per_unit == 0:
        return 0
    if shape.n % code.elements_per_unit or code.extent * code.elements_per_unit != rows * shape.n:
        return 0
    units = shape.n // code.elements_per_unit
    return 0 if units % code.step else units
