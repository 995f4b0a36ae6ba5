"""A double of cuBLASLt, by the functions that nvmath-python binds."""

from __future__ import annotations

import ctypes
from typing import Any

import ml_dtypes
import numpy as np

from jitml.device.cublaslt import RESULT
from tests.gpu.libraries.blas import number_at
from tests.gpu.libraries.double import Arrays, Handled, check

DTYPES: dict[int, Any] = {
    0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16,
    4: np.complex64, 5: np.complex128,
}  # fmt: skip
# By the sums' type: the types of the factors, of the operands, of the result.
_SUMS = {
    (68, 0): ({0: {0}, 2: {0, 2}, 14: {0, 14}}), (77, 0): ({0: {0}}),
    (68, 4): ({4: {4}}), (70, 1): ({1: {1}}), (70, 5): ({5: {5}}),
}  # fmt: skip
_DESC = {3: ("is_first_turned", np.int32), 4: ("is_second_turned", np.int32)}
_LAYOUT = {5: ("batch", np.int32), 6: ("batch_step", np.int64)}
_PREFERENCE = {1: ("most", np.uint64), **{k: (f"alignment{k}", np.uint32) for k in (5, 6, 7, 8)}}
MAGIC = 0xB1A5


class BlasLt(Handled):
    """cuBLASLt. It has algorithms for all that fits, unless it `refuses` or gives a `state`."""

    refuses = False
    state = 0
    work_bytes = 100

    def do_matmul_desc_create(self, compute_type: int, scale_type: int) -> int:
        check((compute_type, scale_type) in _SUMS, f"sums {compute_type}, scale {scale_type}")
        return self.new({"desc": (compute_type, scale_type), "is_first_turned": 0,
                         "is_second_turned": 0})  # fmt: skip

    def do_matrix_layout_create(self, type_: int, rows: int, cols: int, ld: int) -> int:
        check(rows > 0 and cols > 0 and ld >= rows, f"layout {(rows, cols, ld)}")
        layout = {"type": type_, "shape": (rows, cols), "step": ld, "batch": 1, "batch_step": 0}
        return self.new(layout)

    def do_matmul_preference_create(self) -> int:
        return self.new({"most": 0})

    def do_matmul_desc_destroy(self, matmul_desc: int) -> None:
        self.do_destroy(matmul_desc)

    def do_matrix_layout_destroy(self, mat_layout: int) -> None:
        self.do_destroy(mat_layout)

    def do_matmul_preference_destroy(self, pref: int) -> None:
        self.do_destroy(pref)

    def do_matmul_desc_set_attribute(
        self, matmul_desc: int, attr: int, buf: int, size: int
    ) -> None:
        self._set(_DESC, "desc", matmul_desc, attr, buf, size)

    def do_matrix_layout_set_attribute(
        self, mat_layout: int, attr: int, buf: int, size: int
    ) -> None:
        self._set(_LAYOUT, "shape", mat_layout, attr, buf, size)

    def do_matmul_preference_set_attribute(self, pref: int, attr: int, buf: int, size: int) -> None:
        self._set(_PREFERENCE, "most", pref, attr, buf, size)

    def _set(self, known: Any, kind: str, handle: int, attr: int, buf: int, size: int) -> None:
        check(attr in known and kind in self.of(handle), f"attribute {attr}")
        name, dtype = known[attr]
        check(size == np.dtype(dtype).itemsize, f"attribute {attr} of {size} bytes")
        self.of(handle)[name] = int(number_at(buf, dtype))

    def do_matmul_algo_get_heuristic(
        self, light_handle: int, operation_desc: int, adesc: int, bdesc: int, cdesc: int,
        ddesc: int, preference: int, requested: int, results: int, count: int,
    ) -> None:  # fmt: skip
        self.of(light_handle)
        self._extents(operation_desc, adesc, bdesc, cdesc, ddesc)
        alignments = {self.of(preference)[f"alignment{k}"] for k in (5, 6, 7, 8)}
        check(requested == 1 and self.of(preference)["most"] >= self.work_bytes, "workspace")
        check(len(alignments) == 1, "alignments")
        found = np.zeros(1, RESULT)
        found["algo"][0, :2] = MAGIC, alignments.pop()
        found["work_bytes"], found["state"] = self.work_bytes, self.state
        ctypes.memmove(results, found.ctypes.data, found.nbytes)
        ctypes.c_int32.from_address(count).value = int(not self.refuses)

    def _extents(self, desc: int, *layouts: int) -> tuple[int, int, int]:
        """Rows, columns, and what is summed over."""
        a, b, c, d = map(self.of, layouts)
        (m, k), (k_too, n) = (
            x["shape"][::-1] if self.of(desc)[f"is_{which}_turned"] else x["shape"]
            for which, x in (("first", a), ("second", b))
        )
        check(k == k_too and c["shape"] == d["shape"] == (m, n), f"shapes {a}, {b}, {d}")
        check(len({x["batch"] for x in (a, b, c, d)}) == 1, "batches")
        fits = _SUMS[self.of(desc)["desc"]]
        check(a["type"] == b["type"] and d["type"] in fits.get(a["type"], ()), f"{a}, {b}, {d}")
        return m, n, k

    def do_matmul(
        self, light_handle: int, compute_desc: int, alpha: int, a: int, adesc: int, b: int,
        bdesc: int, beta: int, c: int, cdesc: int, d: int, ddesc: int, algo: int,
        workspace: int, workspace_size: int, stream: int,
    ) -> None:  # fmt: skip
        self.of(light_handle)
        self._extents(compute_desc, adesc, bdesc, cdesc, ddesc)
        magic, alignment = np.frombuffer(ctypes.string_at(algo, 16), np.uint64)
        check(magic == MAGIC and workspace_size >= self.work_bytes, "no algorithm, or no workspace")
        check(all(x % int(alignment) == 0 for x in (a, b, c, d)), f"alignment {alignment}")
        compute, scale = self.of(compute_desc)["desc"]
        check(number_at(beta, DTYPES[scale]) == 0 and c == d, "beta, or C")
        factor, found = number_at(alpha, DTYPES[scale]), self.stream(stream)
        desc, (first, second, result) = (
            dict(self.of(compute_desc)), [dict(self.of(x)) for x in (adesc, bdesc, ddesc)]
        )  # fmt: skip
        arrays = Arrays(found)

        def run() -> None:
            arrays.spoil(workspace, workspace_size)
            x, y = (
                [_matrix(arrays, place, layout, turned, k) for k in range(result["batch"])]
                for place, layout, turned in (
                    (a, first, desc["is_first_turned"]), (b, second, desc["is_second_turned"])
                )
            )  # fmt: skip
            for number, (left, right) in enumerate(zip(x, y, strict=True)):
                product = (factor * (_rounded(left, compute) @ _rounded(right, compute))).astype(
                    DTYPES[result["type"]]
                )
                place = d + number * result["batch_step"] * product.itemsize
                arrays.write_columns(place, product, result["step"])

        found.ask(run, "kernel")


def _matrix(arrays: Arrays, place: int, layout: Any, is_turned: int, number: int) -> Any:
    """One matrix of a batch, wide enough for sums."""
    dtype = np.dtype(DTYPES[layout["type"]])
    begin = place + number * layout["batch_step"] * dtype.itemsize
    matrix = arrays.columns(begin, dtype, *layout["shape"], layout["step"])
    matrix = matrix.T if is_turned else matrix
    return matrix.astype(np.float32) if dtype.itemsize == 2 else matrix


def _rounded(x: Any, compute: int) -> Any:
    """To the ten bits that tf32 keeps, where sums are of those."""
    if compute != 77:
        return x
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & ~np.uint32((1 << 13) - 1)).view(np.float32)
