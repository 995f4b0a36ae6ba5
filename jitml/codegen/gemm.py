"""Native matrix products C[b, m, n] = Σ_k A[b, m, k] · B[b, k, n]: one module for all shapes.

In: three dtypes and a target give a module (`gemm_kernels`); extents and element strides give the
kernels to run, with their sizes (`gemm_steps`). Out: LLVM text and plain numbers. Nothing here
knows arrays, graphs or the runtime.

The bits. Every element of C is one chain over k = 0 … K-1 from +0, `sum = fma(a_k, b_k, sum)`, in
the accumulate dtype (f32 for f16 and bf16), converted to the result dtype once, at the end.
K-blocks continue the chain from stored partial sums. A complex product is the real product in
which A's element is the two columns (re, im) and B's the two rows (re, im) and (-im, re); so

    re = fma(a.im, -b.im, fma(a.re, b.re, re));   im = fma(a.im, b.re, fma(a.re, b.im, im))

Integers wrap around at the accumulate dtype. So results depend neither on blocking, packing and
strides nor on threads and vector width. (k is never padded: fma(0, 0, -0) is +0.)

The steps. C overlaps neither A nor B. `gemm` has the buffers ("a", "b" or a temp of packed
panels, "c"). With an epilogue (a kernel of the ABI that works on rows of C) they are ("a", "b" or
temp, "c", "epilogue"), then the epilogue's own buffers; "epilogue" holds the address of its code.
When rows of C are final, and still in cache, `gemm` calls it for them: units [begin, end), which
are whole rows of C counted through the batch, `units` each. It may change C in place. `fault` is
the caller's record, `fault->scratch` its own area, its status goes up: 2 stops at once, others are
merged.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from jitml.codegen.gemm_blocks import Blocks, GemmShape, divide_up, round_up
from jitml.codegen.gemm_driver import (
    A_DIRECT,
    A_ROWS,
    B_PACKED,
    C_HELD,
    NO_EPILOGUE,
    GemmSizes,
    PackSizes,
    gemm,
    pack_b,
)
from jitml.codegen.gemm_gather import (
    gather_functions,
    gather_record,
    run_of_depth,
    table_entries,
)
from jitml.codegen.gemm_micro import run_functions, tile_functions
from jitml.codegen.gemm_pack import pack_functions
from jitml.codegen.gemm_types import GemmTypes, resolve_types
from jitml.codegen.target import Target

# Multiply-adds that a chunk of units should have.
_CHUNK_WORK = 1 << 19
_LINE = 64
# Panels and rows of B that packing takes at once, rows of a unit of it, and elements of a chunk.
_PACK_GROUP = 16
_PACK_BLOCK = 16
_PACK_UNIT_ROWS = 64
_PACK_WORK = 1 << 15


class GemmKernels(NamedTuple):
    """LLVM text with the kernels `pack_b` and `gemm`, and the types that it was made for.

    Some modules can gather operands.
    """

    text: str
    types: GemmTypes


class Temp(NamedTuple):
    """A buffer that lives between two steps."""

    name: str
    size_bytes: int


class Epilogue(NamedTuple):
    """What `gemm` must know of the kernel that it calls on finished parts of C."""

    buffers: tuple[str | Temp, ...]
    sizes: tuple[int, ...]
    units: int  # in a row of C
    scratch_bytes: int = 0


class GemmStep(NamedTuple):
    """One kernel to run over units [0, extent), in chunks of `grain`."""

    function: str
    buffers: tuple[str | Temp, ...]
    sizes: tuple[int, ...]
    extent: int
    grain: int
    scratch_bytes: int


@functools.cache
def gemm_kernels(
    operand: str, accumulate: str, result: str, target: Target, gathers: bool = False
) -> GemmKernels:
    """The module for one choice of dtypes; one that `gathers` takes operands of several axes.

    Raises:
        ValueError: no kernel is defined for them.
    """
    types = resolve_types(operand, accumulate, result, target)
    functions = [*tile_functions(types.tile), *pack_functions(types), pack_b(types)]
    functions += gather_functions(types) if gathers else []
    functions += run_functions(types.tile) if gathers and types.masks_operand else []
    functions.append(gemm(types, gathers))
    declarations = sorted(set().union(*(f.declarations for f in functions)))
    zeros = types.tile.b_row
    bits = 8 * target.vector_bytes
    attributes = f'nounwind "min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"'
    parts = [
        f"@zeros = internal constant [{zeros} x i8] zeroinitializer, align {_LINE}",
        *declarations,
        *(f.text(attributes) for f in functions),
    ]
    return GemmKernels("\n".join(parts), types)


def gemm_steps(
    shape: GemmShape, kernels: GemmKernels, epilogue: Epilogue | None = None
) -> list[GemmStep]:
    """The kernels to run, in order; blocks and grains follow from shape and dtypes alone."""
    if 0 in (shape.batch, shape.m, shape.n):
        return []
    return _Planner(shape, kernels.types, epilogue).steps()


class _Planner(Blocks):
    """The steps of a product in blocks."""

    def __init__(self, shape: GemmShape, types: GemmTypes, epilogue: Epilogue | None) -> None:
        super().__init__(shape, types, epilogue is not None)
        self.epilogue = epilogue

    def _units(self) -> int:
        return self.shape.batch * self.row_blocks * self.column_blocks

    def steps(self) -> list[GemmStep]:
        b: str | Temp = "b"
        steps = []
        if self.b_mode == B_PACKED:
            b = Temp("packed_b", self._packed_batch() * self._packed_matrices())
            steps.append(self._pack_step(b))
        return [*steps, self._gemm_step(b)]

    def _packed_matrices(self) -> int:
        """A B that is the same for the whole batch is packed once."""
        return 1 if self.shape.b_batch == 0 else self.shape.batch

    def _panel_bytes(self) -> int:
        return self.depth * self.tile.b_row

    def _packed_batch(self) -> int:
        return divide_up(self.columns, self.tile.columns) * self._panel_bytes()

    def _pack_step(self, packed: Temp) -> GemmStep:
        s, size = self.shape, self.types.operand_bytes
        width = self.tile.columns // self.types.parts
        # Rows that are consecutive are read along, a few at a time; columns are read as a whole.
        along = s.b_column == 1
        group = width * (_PACK_GROUP if along else 1)
        rows = _PACK_UNIT_ROWS if along else max(1, s.k)
        sizes = PackSizes(
            groups=divide_up(s.n, group),
            group_columns=group,
            row_groups=max(1, divide_up(s.k, rows)),
            group_rows=rows,
            block_rows=_PACK_BLOCK if along else rows,
            columns=s.n,
            rows=s.k,
            b_batch=s.b_batch * size,
            b_row=s.b_row * size,
            b_column=s.b_column * size,
            packed_batch=self._packed_batch(),
        )
        extent = sizes.groups * sizes.row_groups * self._packed_matrices()
        grain = max(1, _PACK_WORK // (rows * group))
        return GemmStep("pack_b", ("b", packed), tuple(sizes), extent, grain, 0)

    def _gemm_step(self, b: str | Temp) -> GemmStep:
        s, tile, size = self.shape, self.tile, self.types.operand_bytes
        a_row, a_step, a_bytes = self._tile_strides_of_a()
        # Gathering runs over the end by less than a square of numbers.
        slack = tile.block if s.a_gather or s.b_gather else 0
        a_bytes += slack * tile.a_row
        b_bytes = (min(self.depth, self.block_depth) + slack) * tile.b_row
        held_columns = self.block_columns if self.c_mode == C_HELD else tile.columns
        c_bytes = held_columns * tile.itemsize * self.block_rows
        own = self.epilogue.sizes if self.epilogue else ()
        scratch_b = round_up(a_bytes, _LINE)
        scratch_c = round_up(scratch_b + b_bytes, _LINE)
        a_table = round_up(scratch_c + c_bytes, _LINE)
        b_table = a_table + (8 * table_entries(self.block_depth) if s.a_gather else 0)
        row_table = b_table + (8 * table_entries(self.block_depth) if s.b_gather else 0)
        table_end = row_table + (8 * self.block_rows if self.a_mode == A_ROWS else 0)
        scratch_end = round_up(table_end, _LINE)
        records = [gather_record(g, self.types) if g else () for g in (s.a_gather, s.b_gather)]
        a_record = 8 * (len(GemmSizes._fields) + len(own))
        packed = self.b_mode == B_PACKED
        sizes = GemmSizes(
            rows=s.m,
            columns=self.columns,
            depth=self.depth,
            a_batch=s.a_batch * size,
            a_row=s.a_row * size,
            a_step=s.a_column * size,
            b_batch=(self._packed_batch() if s.b_batch else 0) if packed else s.b_batch * size,
            b_row=s.b_row * size,
            b_column=s.b_column * size,
            c_batch=s.c_batch * self.types.result_bytes,
            c_row=s.c_row * self.types.result_bytes,
            row_blocks=self.row_blocks,
            column_blocks=self.column_blocks,
            tiles_each=self.row_tiles // self.row_blocks,
            tiles_left=self.row_tiles % self.row_blocks,
            panels_each=self.column_panels // self.column_blocks,
            panels_left=self.column_panels % self.column_blocks,
            tile_rows=self.tile_rows,
            block_rows=self.block_rows,
            block_depth=self.block_depth,
            a_mode=self.a_mode,
            b_mode=self.b_mode,
            c_mode=self.c_mode,
            tile_a_row=a_row,
            tile_a_step=a_step,
            scratch_b=scratch_b,
            scratch_c=scratch_c,
            scratch_end=scratch_end,
            a_record=a_record,
            b_record=a_record + 8 * len(records[0]),
            a_table=a_table,
            b_table=b_table,
            row_table=row_table,
            row_run=run_of_depth(s.a_gather, self.types) if s.a_gather else 1,
            lane_run=self.lane_run,
            epilogue_sizes=8 * len(GemmSizes._fields) if self.epilogue else NO_EPILOGUE,
            epilogue_units=self.epilogue.units if self.epilogue else 0,
        )
        buffers: tuple[str | Temp, ...] = ("a", b, "c")
        if self.epilogue:
            buffers = (*buffers, "epilogue", *self.epilogue.buffers)
        scratch = scratch_end + (self.epilogue.scratch_bytes if self.epilogue else 0)
        extent = self._units()
        unit_work = self.block_rows * self.block_columns * max(1, self.depth)
        grain = max(1, _CHUNK_WORK // unit_work)
        numbers = (*sizes, *own, *records[0], *records[1])
        return GemmStep("gemm", buffers, numbers, extent, grain, scratch)

    def _tile_strides_of_a(self) -> tuple[int, int, int]:
        """Row and k strides of A as the micro-kernel reads it, and the size of its packed block."""
        size = self.tile.itemsize
        if self.a_mode == A_DIRECT:
            step = size if self.types.pairs else self.shape.a_column * size
            return self.shape.a_row * self.types.operand_bytes, step, 0
        if self.a_mode == A_ROWS:
            assert self.shape.a_gather is not None
            return self.shape.a_gather.lanes[-1][1] * size, size, 0
        tiles = self.block_rows // self.tile.panel_rows
        return size, self.tile.a_row, tiles * self.tile.a_row * min(self.depth, self.block_depth)
