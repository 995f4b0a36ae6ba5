"""A double of cuSOLVER's dense part, by the functions that nvmath-python binds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lapack

from tests.gpu.libraries.blas import DTYPES
from tests.gpu.libraries.double import Arrays, Status, Streamed, check

OF_COMPLEX = {
    "ungqr": "orgqr", "unmqr": "ormqr", "heevd": "syevd", "hetrd": "sytrd",
    "heevj_batched": "syevj_batched",
}  # fmt: skip
_REAL = {"c": "s", "z": "d"}


class Solver(Streamed):
    """cuSOLVER. It cannot be recorded."""

    def find(self, name: str) -> Callable[..., Any]:
        letter, rest = name[0], name[1:]
        rest = OF_COMPLEX.get(rest.removesuffix("_buffer_size"), rest.removesuffix("_buffer_size"))
        is_real_name = rest == name[1:].removesuffix("_buffer_size")
        own = rest in OF_COMPLEX.values()
        ending = "size" if name.endswith("_buffer_size") else "typed"
        if letter not in DTYPES or not hasattr(type(self), f"{ending}_{rest}"):
            return super().find(name)
        if own and is_real_name == (letter in _REAL):
            raise AttributeError(name)  # sorgqr, but cungqr
        function = object.__getattribute__(self, f"{ending}_{rest}")
        if ending == "size":
            return lambda *arguments: function(*arguments)

        def call(handle: int, *arguments: int) -> None:
            stream = self.stream_of(handle)
            if stream.recorded is not None:
                raise Status(7, "INTERNAL_ERROR")
            function(letter, stream, handle, *arguments)

        return call

    def _asked(self, handle: int, name: str, *sizes: int) -> int:
        """How much memory a routine of these sizes is to be given; odd, so that it is noticed."""
        self.of(handle)
        check(all(type(n) is int and n > 0 for n in sizes), f"{name}: {sizes}")
        return sum(sizes) * 3 + 7

    def size_potrf(self, handle: int, uplo: int, n: int, a: int, lda: int) -> int:
        return self._asked(handle, "potrf", n, lda)

    def typed_potrf(
        self, letter: str, stream: Any, handle: int, uplo: int, n: int, a: int, lda: int,
        work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        check(lda >= n and lwork == self.size_potrf(handle, uplo, n, a, lda), "potrf")
        dtype, arrays = DTYPES[letter], Arrays(stream)

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, n, n, lda)
            factor, code = getattr(lapack, f"{letter}potrf")(x, lower=uplo == 0, clean=0)
            arrays.write_columns(a, factor, lda)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_getrf(self, handle: int, m: int, n: int, a: int, lda: int) -> int:
        return self._asked(handle, "getrf", m, n, lda)

    def typed_getrf(
        self, letter: str, stream: Any, handle: int, m: int, n: int, a: int, lda: int,
        work: int, ipiv: int, info: int,
    ) -> None:  # fmt: skip
        check(lda >= m, "getrf")
        dtype, arrays = DTYPES[letter], Arrays(stream)
        size = self.size_getrf(handle, m, n, a, lda)

        def run() -> None:
            arrays.spoil(work, size * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, m, n, lda)
            factors, pivots, code = getattr(lapack, f"{letter}getrf")(x)
            arrays.write_columns(a, factors, lda)
            arrays.write(ipiv, (pivots + 1).astype(np.int32))
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_geqrf(self, handle: int, m: int, n: int, a: int, lda: int) -> int:
        return self._asked(handle, "geqrf", m, n, lda)

    def typed_geqrf(
        self, letter: str, stream: Any, handle: int, m: int, n: int, a: int, lda: int, tau: int,
        work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        check(lda >= m and lwork == self.size_geqrf(handle, m, n, a, lda), "geqrf")
        dtype, arrays = DTYPES[letter], Arrays(stream)

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, m, n, lda)
            packed, taus, _, code = getattr(lapack, f"{letter}geqrf")(x)
            arrays.write_columns(a, packed, lda)
            arrays.write(tau, taus)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_orgqr(self, handle: int, m: int, n: int, k: int, a: int, lda: int, tau: int) -> int:
        return self._asked(handle, "orgqr", m, n, k, lda)

    def typed_orgqr(
        self, letter: str, stream: Any, handle: int, m: int, n: int, k: int, a: int, lda: int,
        tau: int, work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        check(m >= n >= k and lda >= m, f"orgqr: {(m, n, k, lda)}")
        check(lwork == self.size_orgqr(handle, m, n, k, a, lda, tau), "orgqr: lwork")
        dtype, arrays = DTYPES[letter], Arrays(stream)
        name = "ungqr" if letter in _REAL else "orgqr"

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x, taus = arrays.columns(a, dtype, m, n, lda), arrays.read(tau, dtype, k)
            q, _, code = getattr(lapack, f"{letter}{name}")(x, taus)
            arrays.write_columns(a, q, lda)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_ormqr(
        self, handle: int, side: int, trans: int, m: int, n: int, k: int, a: int, lda: int,
        tau: int, c: int, ldc: int,
    ) -> int:  # fmt: skip
        return self._asked(handle, "ormqr", m, n, k, lda, ldc)

    def typed_ormqr(
        self, letter: str, stream: Any, handle: int, side: int, trans: int, m: int, n: int, k: int,
        a: int, lda: int, tau: int, c: int, ldc: int, work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        rows = m if side == 0 else n
        check(rows >= k and lda >= rows and ldc >= m, f"ormqr: {(m, n, k, lda, ldc)}")
        check(trans in ((0, 2) if letter in _REAL else (0, 1)), f"ormqr: trans {trans}")
        size = self.size_ormqr(handle, side, trans, m, n, k, a, lda, tau, c, ldc)
        check(lwork == size and side in (0, 1), "ormqr: lwork")
        dtype, arrays = DTYPES[letter], Arrays(stream)
        name = "unmqr" if letter in _REAL else "ormqr"

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            product, _, code = getattr(lapack, f"{letter}{name}")(
                "LR"[side], "NTC"[trans],
                arrays.columns(a, dtype, rows, k, lda), arrays.read(tau, dtype, k),
                arrays.columns(c, dtype, m, n, ldc), 64 * (m + n),
            )  # fmt: skip
            arrays.write_columns(c, product, ldc)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_syevd(
        self, handle: int, jobz: int, uplo: int, n: int, a: int, lda: int, w: int
    ) -> int:
        return self._asked(handle, "syevd", n, lda)

    def typed_syevd(
        self, letter: str, stream: Any, handle: int, jobz: int, uplo: int, n: int, a: int, lda: int,
        w: int, work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        check(lda >= n and lwork == self.size_syevd(handle, jobz, uplo, n, a, lda, w), "syevd")
        check(jobz in (0, 1) and uplo in (0, 1), f"syevd: {(jobz, uplo)}")
        dtype, arrays = DTYPES[letter], Arrays(stream)
        name = "heevd" if letter in _REAL else "syevd"

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, n, n, lda)
            values, vectors, code = getattr(lapack, f"{letter}{name}")(
                x, compute_v=jobz, lower=uplo == 0
            )
            arrays.write_columns(a, vectors, lda)
            arrays.write(w, values)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def do_create_syevj_info(self) -> int:
        return self.new("method")

    def do_destroy_syevj_info(self, info: int) -> None:
        check(self.of(info) == "method", "no method")
        del self.live[info]

    def size_syevj_batched(
        self, handle: int, jobz: int, uplo: int, n: int, a: int, lda: int, w: int, params: int,
        batch_size: int,
    ) -> int:  # fmt: skip
        check(self.of(params) == "method", "no method")
        return self._asked(handle, "syevj", n, lda, batch_size)

    def typed_syevj_batched(
        self, letter: str, stream: Any, handle: int, jobz: int, uplo: int, n: int, a: int, lda: int,
        w: int, work: int, lwork: int, info: int, params: int, batch_size: int,
    ) -> None:  # fmt: skip
        size = self.size_syevj_batched(handle, jobz, uplo, n, a, lda, w, params, batch_size)
        check(lda >= n and lwork == size and jobz in (0, 1) and uplo in (0, 1), "syevj")
        dtype, arrays = DTYPES[letter], Arrays(stream)

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            for number in range(batch_size):
                place = a + number * lda * n * np.dtype(dtype).itemsize
                x = arrays.columns(place, dtype, n, n, lda)
                ends = bool(np.isfinite(x).all())
                values, vectors = np.linalg.eigh(x if ends else np.eye(n, dtype=dtype), "LU"[uplo])
                arrays.write_columns(place, vectors if jobz else np.full_like(x, np.nan), lda)
                arrays.write(w + number * values.nbytes, values)
                arrays.write(info + 4 * number, np.int32(0 if ends else n + 1))

        stream.ask(run, "kernel")

    def size_sytrd(
        self, handle: int, uplo: int, n: int, a: int, lda: int, d: int, e: int, tau: int
    ) -> int:
        return self._asked(handle, "sytrd", n, lda)

    def typed_sytrd(
        self, letter: str, stream: Any, handle: int, uplo: int, n: int, a: int, lda: int, d: int,
        e: int, tau: int, work: int, lwork: int, info: int,
    ) -> None:  # fmt: skip
        check(lda >= n and lwork == self.size_sytrd(handle, uplo, n, a, lda, d, e, tau), "sytrd")
        dtype, arrays = DTYPES[letter], Arrays(stream)
        name = "hetrd" if letter in _REAL else "sytrd"

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, n, n, lda)
            packed, *parts, code = getattr(lapack, f"{letter}{name}")(x, lower=uplo == 0)
            arrays.write_columns(a, packed, lda)
            for place, part in zip((d, e, tau), parts, strict=True):
                if part.size:
                    arrays.write(place, part)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")

    def size_gesvd(self, handle: int, m: int, n: int) -> int:
        return self._asked(handle, "gesvd", m, n)

    def typed_gesvd(
        self, letter: str, stream: Any, handle: int, jobu: int, jobvt: int, m: int, n: int,
        a: int, lda: int, s: int, u: int, ldu: int, vt: int, ldvt: int,
        work: int, lwork: int, rwork: int, info: int,
    ) -> None:  # fmt: skip
        job = chr(jobu)
        check(m >= n and lda >= m and jobu == jobvt and job in "ASN", f"gesvd: {(m, n, lda, job)}")
        check(job == "N" or (ldu >= m and ldvt >= n and u and vt), f"gesvd: {(ldu, ldvt)}")
        check(lwork == self.size_gesvd(handle, m, n) and rwork == 0, "gesvd: lwork")
        dtype, arrays = DTYPES[letter], Arrays(stream)

        def run() -> None:
            arrays.spoil(work, lwork * np.dtype(dtype).itemsize)
            x = arrays.columns(a, dtype, m, n, lda)
            left, values, right, code = getattr(lapack, f"{letter}gesvd")(
                x, compute_uv=job != "N", full_matrices=job == "A"
            )
            arrays.write_columns(a, np.full_like(x, np.nan), lda)  # it is destroyed
            arrays.write(s, values)
            if job != "N":
                arrays.write_columns(u, left, ldu)
                arrays.write_columns(vt, right, ldvt)
            arrays.write(info, np.int32(code))

        stream.ask(run, "kernel")
