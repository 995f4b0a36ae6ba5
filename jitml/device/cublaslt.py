"""Products of matrices by cuBLASLt.

In: a `Product`, of matrices row by row. Out: one call for the whole batch. cuBLASLt takes columns:
a matrix by rows is its transpose by columns, so that C = A B becomes Cᵀ = Bᵀ Aᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.codegen.nvptx.library import Operand, Product
from jitml.device.errors import NoLibraryError
from jitml.device.memory import Host

if TYPE_CHECKING:
    from jitml.device.libraries import Libraries

# cudaDataType by the names of our types.
DATA_TYPES = {"f32": 0, "f64": 1, "f16": 2, "bf16": 14, "c64": 4, "c128": 5}
_COMPUTE_32F, _COMPUTE_TF32, _COMPUTE_64F = 68, 77, 70
_SCALES: dict[str, Any] = {"f64": np.float64, "c64": np.complex64, "c128": np.complex128}
# Attributes: of products, of layouts, of what is preferred.
_FIRST_IS_TURNED, _SECOND_IS_TURNED = 3, 4
_BATCH_COUNT, _BATCH_STEP = 5, 6
_MOST_WORKSPACE, _ALIGNMENTS = 1, (5, 6, 7, 8)
_MOST_WORK_BYTES = 32 << 20
# cublasLtMatmulHeuristicResult_t
RESULT = np.dtype(
    [("algo", "<u8", 8), ("work_bytes", "<u8"), ("state", "<i4"), ("waves", "<f4"),
     ("reserved", "<i4", 4)]
)  # fmt: skip


class Multiplication:
    """A product, with the algorithm that cuBLASLt prefers for it."""

    title = "cuBLASLt"
    is_recordable = True

    def __init__(self, libraries: Libraries, product: Product) -> None:
        self._libraries = libraries
        self._library = libraries.library("cublasLt")
        m, n, k = product.sizes
        a, b = product.operands
        self._numbers: Host = np.array([1, 0], _SCALES.get(product.dtype, np.float32))
        wide = _COMPUTE_64F if product.dtype in ("f64", "c128") else _COMPUTE_32F
        compute = _COMPUTE_TF32 if product.is_rounded else wide
        scale_type = DATA_TYPES[product.dtype if product.dtype in _SCALES else "f32"]
        self._desc = self._new("matmul_desc", compute, scale_type)
        self._set("matmul_desc", self._desc, _FIRST_IS_TURNED, b.is_turned, np.int32)
        self._set("matmul_desc", self._desc, _SECOND_IS_TURNED, a.is_turned, np.int32)
        result = Operand(False, n, m * n)
        self._layouts = [
            self._layout(product, product.dtype, (k, n), b),
            self._layout(product, product.dtype, (m, k), a),
            self._layout(product, product.result, (m, n), result),
        ]
        self._algorithm = self._choose(product)
        self.work_bytes = int(self._algorithm["work_bytes"][0])

    def _new(self, kind: str, *arguments: Any) -> int:
        """A new description, which goes with this product."""
        handle: int = self._library.call(f"{kind}_create", *arguments)
        self._libraries.own(self, partial(self._library.call, f"{kind}_destroy", handle))
        return handle

    def _set(self, kind: str, handle: int, attribute: int, value: int, dtype: Any) -> None:
        data = np.array([value], dtype)
        place = data.ctypes.data, data.nbytes
        self._library.call(f"{kind}_set_attribute", handle, attribute, *place)

    def _layout(
        self, product: Product, dtype: str, shape: tuple[int, int], operand: Operand
    ) -> int:
        """Matrices of this shape by columns: their transposes, unless they are turned."""
        rows, columns = shape if operand.is_turned else shape[::-1]
        handle = self._new("matrix_layout", DATA_TYPES[dtype], rows, columns, operand.step)
        self._set("matrix_layout", handle, _BATCH_COUNT, product.batch, np.int32)
        self._set("matrix_layout", handle, _BATCH_STEP, operand.batch_step, np.int64)
        return handle

    def _choose(self, product: Product) -> Any:
        """What the library takes for best."""
        preference = self._new("matmul_preference")
        size = _MOST_WORK_BYTES
        self._set("matmul_preference", preference, _MOST_WORKSPACE, size, np.uint64)
        for attribute in _ALIGNMENTS:
            self._set("matmul_preference", preference, attribute, product.alignment, np.uint32)
        found, count = np.zeros(1, RESULT), np.zeros(1, np.int32)
        first, second, result = self._layouts
        self._library.call(
            "matmul_algo_get_heuristic", self._library.handle, self._desc, first, second, result,
            result, preference, 1, found.ctypes.data, count.ctypes.data,
        )  # fmt: skip
        if count[0] == 0 or found["state"][0] != 0:
            raise NoLibraryError(f"cuBLASLt has no algorithm for {product}")
        return found

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        (a, b), (c,) = inputs, outputs
        one = self._numbers.ctypes.data
        zero = one + self._numbers.itemsize
        first, second, result = self._layouts
        self._library.call(
            "matmul", self._library.handle, self._desc, one, b, first, a, second, zero,
            c, result, c, result, self._algorithm.ctypes.data, work, self.work_bytes,
            self._libraries.driver.stream.value,
        )  # fmt: skip
