"""A double of cuBLAS, by the functions that nvmath-python binds."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import blas

from tests.gpu.libraries.double import Arrays, Streamed, check

DTYPES = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}


class Blas(Streamed):
    """cuBLAS, with numbers on the host."""

    def find(self, name: str) -> Callable[..., Any]:
        family = f"typed_{name[1:]}"
        if name[0] in DTYPES and hasattr(type(self), family):
            function = object.__getattribute__(self, family)
            return lambda *arguments: function(name[0], *arguments)
        return super().find(name)

    def do_set_workspace(self, handle: int, workspace: int, size_bytes: int) -> None:
        check(workspace % 256 == 0, f"the workspace lies at {workspace:#x}")
        self.of(handle)["workspace"] = workspace, size_bytes

    def typed_trsm(
        self, letter: str, handle: int, side: int, uplo: int, trans: int, diag: int, m: int, n: int,
        alpha: int, a: int, lda: int, b: int, ldb: int,
    ) -> None:  # fmt: skip
        dtype, size = DTYPES[letter], m if side == 0 else n
        check(side in (0, 1) and uplo in (0, 1) and trans in (0, 1, 2) and diag in (0, 1), "trsm")
        check(m > 0 and n > 0 and lda >= size and ldb >= m, f"trsm: {(m, n, lda, ldb)}")
        factor, stream = number_at(alpha, dtype), self.stream_of(handle)
        check(self.of(handle).get("workspace") is not None, "it would allocate while recorded")
        workspace, arrays = self.of(handle)["workspace"], Arrays(stream)

        def run() -> None:
            arrays.spoil(*workspace)
            x = getattr(blas, f"{letter}trsm")(
                factor,
                arrays.columns(a, dtype, size, size, lda),
                arrays.columns(b, dtype, m, n, ldb),
                side=side, lower=uplo == 0, trans_a=trans, diag=diag,
            )  # fmt: skip
            arrays.write_columns(b, x, ldb)

        stream.ask(run, "kernel")

    def typed_geam(
        self, letter: str, handle: int, transa: int, transb: int, m: int, n: int,
        alpha: int, a: int, lda: int, beta: int, b: int, ldb: int, c: int, ldc: int,
    ) -> None:  # fmt: skip
        dtype, stream = DTYPES[letter], self.stream_of(handle)
        check(transa == 1 and transb == 0, "the double transposes alone")
        check(lda >= n and ldc >= m and (b, ldb) == (c, ldc), f"geam: {(m, n, lda, ldb, ldc)}")
        check(number_at(beta, dtype) == 0, "geam: beta")
        factor, arrays = number_at(alpha, dtype), Arrays(stream)

        def run() -> None:
            source = arrays.columns(a, dtype, n, m, lda)
            arrays.write_columns(c, factor * source.T, ldc)

        stream.ask(run, "kernel")

    def typed_scal_64(
        self, letter: str, handle: int, n: int, alpha: int, x: int, incx: int
    ) -> None:
        check(letter in "sd" and n > 0 and incx == 1, f"scal: {(n, incx)}")
        dtype, stream = DTYPES[letter], self.stream_of(handle)
        factor, arrays = number_at(alpha, dtype), Arrays(stream)
        stream.ask(lambda: arrays.write(x, factor * arrays.read(x, dtype, n)), "kernel")


def number_at(address: int, dtype: Any) -> Any:
    """A number in the host's memory."""
    data = ctypes.string_at(address, np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype)[0]
