"""Routines of LAPACK by cuSOLVER and cuBLAS.

In: a `library_call` of a "lapack" routine: matrices stored column by column, as both libraries have
them, and arguments in LAPACK's order. Out: the routine for each matrix of the batch, in turn. What
it says of its outcome (`info`, exchanged rows) is written as the CPU's LAPACK writes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitml.codegen.nvptx.library import LibraryStep
from jitml.device.errors import NoLibraryError

if TYPE_CHECKING:
    from jitml.device.libraries import Libraries
    from jitml.device.library import Routine

_WORD = {
    "uplo": {"L": 0, "U": 1},
    "side": {"L": 0, "R": 1},
    "trans": {"N": 0, "T": 1, "C": 2},
    "diag": {"N": 0, "U": 1},
    "jobz": {"N": 0, "V": 1},
}
_MOST = 2**31 - 1  # numbers of one matrix: the libraries count in 32 bits
_WORKSPACE_BYTES = 4 << 20  # of cuBLAS, which else would allocate while a graph is recorded
_MOST_SMALL = 32  # rows up to which a batch of matrices is diagonalised at once
_ALIGNMENT = 256
_NUMBERS = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}


class _Form(NamedTuple):
    """The arguments of a routine by name: LAPACK's but for memory to work in, those that the size
    of that memory depends on, the library's.
    """

    lapack: str
    size: str
    own: str


_QR = "m n k a lda tau"
_MQR = "side trans m n k a lda tau c ldc"
_FORMS = {
    "potrf": _Form("uplo n a lda info", "uplo n a lda", "uplo n a lda work lwork info"),
    "getrf": _Form("m n a lda ipiv info", "m n a lda", "m n a lda work ipiv info"),
    "geqrf": _Form("m n a lda tau info", "m n a lda", "m n a lda tau work lwork info"),
    "orgqr": _Form(f"{_QR} info", _QR, f"{_QR} work lwork info"),
    "ormqr": _Form(f"{_MQR} info", _MQR, f"{_MQR} work lwork info"),
    "syevd": _Form("jobz uplo n a lda w info", "jobz uplo n a lda w",
                   "jobz uplo n a lda w work lwork info"),
    "sytrd": _Form("uplo n a lda d e tau info", "uplo n a lda d e tau",
                   "uplo n a lda d e tau work lwork info"),
}  # fmt: skip
_COMPLEX = {"ungqr": "orgqr", "unmqr": "ormqr", "heevd": "syevd", "hetrd": "sytrd"}


def dense_routine(libraries: Libraries, step: LibraryStep) -> Routine:
    """What computes a step; NoLibraryError where only the host does."""
    name = _name(step)
    sizes = [prod(spec.shape) for spec in (*step.input_specs, *step.output_specs)]
    if max(sizes) // _count(step) > _MOST:
        raise NoLibraryError(f"cuSOLVER counts the numbers of a matrix in 32 bits ({name})")
    if name[1:] == "trsm":
        return Triangular(libraries, step)
    if name[1:] == "gesdd":
        return SingularValues(libraries, step)
    if name[1:] in ("syevd", "heevd") and _is_many_small(step):
        return SmallEigen(libraries, step)
    if _COMPLEX.get(name[1:], name[1:]) in _FORMS:
        return Factors(libraries, step)
    raise NoLibraryError(f"cuSOLVER has no {name}")


def _name(step: LibraryStep) -> str:
    return step.call.routine.removeprefix("lapack ")


def _count(step: LibraryStep) -> int:
    """How many matrices there are."""
    shape = step.input_specs[0].shape
    return prod(shape[: len(shape) - step.call.rank])


def _is_many_small(step: LibraryStep) -> bool:
    return _count(step) > 1 and step.input_specs[0].shape[-1] <= _MOST_SMALL


class _Arguments:
    """The arguments of a step's routine, by name."""

    def __init__(self, step: LibraryStep, names: str) -> None:
        given = _without_memory(step.call.arguments)
        self._given = dict(zip(names.split(), given, strict=True))
        count = _count(step)
        self._input_bytes = [spec.size_bytes // count for spec in step.input_specs]
        self._output_bytes = [spec.size_bytes // count for spec in step.output_specs]

    def constant(self, name: str) -> int:
        """A number, or what the library calls a character; 0 where it is a matrix."""
        kind, given = self._given[name]
        if kind == "char":
            return _WORD[name][str(given)]
        return int(given) if kind == "int" else 0

    def values(
        self, inputs: Sequence[int], outputs: Sequence[int], unit: int
    ) -> Callable[[str], int]:
        """What each argument is for one matrix of the batch."""

        def value(name: str) -> int:
            kind, given = self._given[name]
            if kind == "in":
                return inputs[int(given)] + unit * self._input_bytes[int(given)]
            if kind in ("out", "ints"):
                return outputs[int(given)] + unit * self._output_bytes[int(given)]
            return self.constant(name)

        return value


def _without_memory(arguments: Sequence[Any]) -> list[Any]:
    """LAPACK's arguments but for memory to work in and its sizes."""
    kept = []
    for number, argument in enumerate(arguments):
        is_size = number > 0 and arguments[number - 1][0] == "work" and argument[0] == "int"
        if argument[0] != "work" and not is_size:
            kept.append(argument)
    return kept


class Factors:
    """A routine that cuSOLVER has with LAPACK's arguments."""

    title = "cuSOLVER"
    is_recordable = False  # they wait for the device, some of them

    def __init__(self, libraries: Libraries, step: LibraryStep) -> None:
        self._library = libraries.library("cusolverDn")
        self._name, self._count = _name(step), _count(step)
        form = _FORMS[_COMPLEX.get(self._name[1:], self._name[1:])]
        self._arguments = _Arguments(step, form.lapack)
        self._names = form.own.split()
        constants = [self._arguments.constant(name) for name in form.size.split()]
        size_of = f"{self._name}_buffer_size"
        self._work = int(self._library.call(size_of, self._library.handle, *constants))
        self.work_bytes = self._work * np.dtype(_NUMBERS[self._name[0]]).itemsize

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        self._library.follow()
        memory = {"work": work, "lwork": self._work}
        for unit in range(self._count):
            value = self._arguments.values(inputs, outputs, unit)
            arguments = [memory[x] if x in memory else value(x) for x in self._names]
            self._library.call(self._name, self._library.handle, *arguments)


class SmallEigen:
    """Eigenvalues and eigenvectors of a batch of small matrices, all at once, by Jacobi's method:
    as `syevd`, in ascending order.
    """

    title = "cuSOLVER"
    is_recordable = False

    def __init__(self, libraries: Libraries, step: LibraryStep) -> None:
        self._library = libraries.library("cusolverDn")
        self._name = _name(step).replace("evd", "evj_batched")
        self._arguments = _Arguments(step, _FORMS["syevd"].lapack)
        self._method = self._library.call("create_syevj_info")
        closer = partial(self._library.call, "destroy_syevj_info", self._method)
        libraries.own(self, closer)
        self._count = _count(step)
        constants = [self._arguments.constant(name) for name in _FORMS["syevd"].size.split()]
        size_of, handle = f"{self._name}_buffer_size", self._library.handle
        rest = (self._method, self._count)
        self._work = int(self._library.call(size_of, handle, *constants, *rest))
        self.work_bytes = self._work * np.dtype(_NUMBERS[self._name[0]]).itemsize

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        self._library.follow()
        value = self._arguments.values(inputs, outputs, 0)
        arguments = [value(name) for name in _FORMS["syevd"].size.split()]
        rest = (work, self._work, value("info"), self._method, self._count)
        self._library.call(self._name, self._library.handle, *arguments, *rest)


class Triangular:
    """Systems with triangular matrices, which cuBLAS solves."""

    title = "cuBLAS"
    is_recordable = True
    work_bytes = _WORKSPACE_BYTES

    def __init__(self, libraries: Libraries, step: LibraryStep) -> None:
        self._library = libraries.library("cublas")
        self._name, self._count = _name(step), _count(step)
        self._names = "side uplo trans diag m n alpha a lda b ldb"
        self._arguments = _Arguments(step, self._names)
        self._alpha = np.ones(1, _NUMBERS[self._name[0]])

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        handle = self._library.handle
        self._library.follow()
        self._library.call("set_workspace", handle, work, _WORKSPACE_BYTES)
        for unit in range(self._count):
            value = self._arguments.values(inputs, outputs, unit)
            arguments = [
                self._alpha.ctypes.data if x == "alpha" else value(x) for x in self._names.split()
            ]
            self._library.call(self._name, handle, *arguments)


class SingularValues:
    """Singular values, and vectors if asked for. cuSOLVER wants no fewer rows than columns; the
    transpose of a wide matrix is decomposed, whose vectors are the transposes of what is asked for.
    """

    title = "cuSOLVER"
    is_recordable = False

    def __init__(self, libraries: Libraries, step: LibraryStep) -> None:
        self._library = libraries.library("cusolverDn")
        self._letter, self._count = _name(step)[0], _count(step)
        (_, self._job), (_, m), (_, n) = step.call.arguments[:3]
        self._rows, self._columns = int(m), int(n)
        self._is_wide = self._rows < self._columns
        self._blas = libraries.library("cublas") if self._is_wide else None
        self._dtype = np.dtype(_NUMBERS[self._letter])
        self._numbers = np.array([1, 0], self._dtype)
        self._bytes = [spec.size_bytes // self._count for spec in step.output_specs]
        tall = max(self._rows, self._columns), min(self._rows, self._columns)
        size = self._library.call(f"{self._letter}gesvd_buffer_size", self._library.handle, *tall)
        self._work = int(size)
        own = self._bytes[0] if self._is_wide else 0
        vectors = self._bytes[3:1:-1] if self._is_wide and self._job != "N" else [0, 0]
        sizes = [self._work * self._dtype.itemsize, own, *vectors]
        self._places = [0, *itertools.accumulate(map(_up, sizes))]
        self.work_bytes = self._places[-1]

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        for library in (self._library, self._blas):
            if library is not None:
                library.follow()
        for unit in range(self._count):
            places = [
                address + unit * size for address, size in zip(outputs, self._bytes, strict=True)
            ]
            a, values, *vectors, info = places
            u, vt = vectors or (0, 0)
            if self._is_wide:
                self._decompose_transpose(a, values, u, vt, info, work)
            else:
                self._decompose((self._rows, self._columns), a, values, u, vt, info, work)

    def _decompose(
        self, shape: tuple[int, int], a: int, values: int, u: int, vt: int, info: int, work: int
    ) -> None:
        rows, columns = shape
        job = ord(str(self._job))
        self._library.call(
            f"{self._letter}gesvd", self._library.handle, job, job, rows, columns, a, rows, values,
            u, rows, vt, columns, work, self._work, 0, info,
        )  # fmt: skip

    def _decompose_transpose(
        self, a: int, values: int, u: int, vt: int, info: int, work: int
    ) -> None:
        rows, columns = self._rows, self._columns
        turned, left, right = (work + place for place in self._places[1:4])
        self._transpose(a, turned, columns, rows)
        vectors = (0, 0) if self._job == "N" else (left, right)
        self._decompose((columns, rows), turned, values, *vectors, info, work)
        if self._job != "N":
            wide = columns if self._job == "A" else rows
            self._transpose(right, u, rows, rows)
            self._transpose(left, vt, wide, columns)

    def _transpose(self, source: int, target: int, rows: int, columns: int) -> None:
        """A matrix of so many rows, from its transpose."""
        assert self._blas is not None
        one = self._numbers.ctypes.data
        zero = one + self._dtype.itemsize
        self._blas.call(
            f"{self._letter}geam", self._blas.handle, 1, 0, rows, columns,
            one, source, columns, zero, target, rows, target, rows,
        )  # fmt: skip


def _up(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
