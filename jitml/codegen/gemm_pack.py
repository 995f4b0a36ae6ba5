"""Moving blocks of matrices between arrays and panels.

In: source and destination pointers, byte strides and extents. Out: LLVM functions that copy, widen, transpose and pad
(`pack`), or narrow and store (`unpack`). Packing never changes a number's value, except that the packed B of a complex
product has each row twice: (re, im) and (-im, re). Nothing here knows blocks, panels' places or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from jitml.codegen.gemm_function import Function
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.llvm import STORAGE_BITS
from jitml.scalar.value import BITS, Value, bitcast, convert, select

# Destination, its row stride, source, its strides along rows and columns, rows, columns.
_COPY = ("ptr", "i64", "ptr", "i64", "i64", "i64", "i64")
# Moves `lanes` numbers from a source address to a destination address.
_Move = Callable[[Function, Value, Value, int], None]


def pack_functions(types: GemmTypes) -> list[Function]:
    """`pack_a` (compact copy), `pack_b` (copy padded to a panel's width) and `unpack` (store of results)."""
    load, unload = partial(_widen_move, types), partial(_narrow_move, types)
    lanes = types.tile.lanes
    unpack = _copy_rows("unpack", unload, types.tile.itemsize, types.result, lanes, "store_rest")
    functions = [
        _copy_each("store_rest", unload, types.tile.itemsize, 1),
        unpack,
        _fill(types),
    ]
    if types.pairs:
        turn = partial(_turn_move, types)
        return [
            *functions,
            _copy_each("copy_pairs", load, 2 * types.tile.itemsize, 2),
            _copy_each("turn_pairs", turn, 2 * types.tile.itemsize, 2, row_steps=2),
            _pack_pairs(types, "pack_a", "copy_pairs"),
            _pack_pairs(types, "pack_b", "turn_pairs"),
        ]
    size = STORAGE_BITS[types.operand] // 8
    return [
        *functions,
        _copy_each("copy_each", load, types.tile.itemsize, 1),
        _copy_rows("copy_rows", load, size, types.compute, lanes, "copy_each"),
        _copy_transposed(types),
        _pack(types, "pack_a"),
        _pack(types, "pack_b"),
    ]
