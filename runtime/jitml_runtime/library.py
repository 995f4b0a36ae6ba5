"""Routines of numerical libraries: what a plan calls them, and where they are in this process.

In: names. Out: addresses, as the bytes of the constants that kernels read them from. Addresses hold
in one process, so plans are stored with names alone.

"lapack dpotrf" is a routine of LAPACK or BLAS in the OpenBLAS (or other library) that NumPy brings,
or else SciPy; its data says how OpenBLAS is told its number of threads. "fft c2c forward c128 long"
is a transform along one axis: `ducc0` where that is installed, NumPy else. Must not know what is
computed with them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from .errors import LoadError
from .plan import KERNEL_ROUTINE, Plan
from .record import replace

# How builds of LAPACK call a routine, and the bytes of their integers.
_SPELLINGS = (
    ("scipy_{}_64_", 8),
    ("{}_64_", 8),
    ("{}$NEWLAPACK$ILP64", 8),
    ("scipy_{}_", 4),
    ("{}_", 4),
    ("{}$NEWLAPACK", 4),
)
# Modules that are linked with LAPACK.
_LINKED = ("numpy.linalg._umath_linalg", "scipy.linalg._flapack")
_KEPT: list[Any] = []  # memory that C has the addresses of
_ENTRY = struct.Struct("<qqq")


class Routine(NamedTuple):
    """A routine: its address, what it is to be passed beside its arguments, the bytes of its
    integers, and the library that it is from.
    """

    address: int
    data: int
    integer_bytes: int
    library: str


def with_addresses(plan: Plan, kernels: Sequence[int]) -> Plan:
    """The plan with the addresses of the routines that its kernels call; those of its kernels are
    given. LoadError is raised if there is no such routine here.
    """
    if not plan.routines:
        return plan
    constants = list(plan.constants)
    for number, name in plan.routines:
        family, _, which = name.partition(" ")
        if family == KERNEL_ROUTINE:
            constants[number] = _ENTRY.pack(kernels[int(which)], 0, 0)
        else:
            constants[number] = _ENTRY.pack(*find_routine(name)[:3])
    return replace(plan, constants=tuple(constants))


@cache
def find_routine(name: str) -> Routine:
    """The routine of a name."""
    family, *rest = name.split()
    if family == "lapack":
        return _lapack_routine(*rest)
    from .transforms import fft_routine

    return fft_routine(*rest)


def _lapack_routine(name: str) -> Routine:
    for library in _lapack_libraries():
        for spelling, integer_bytes in _SPELLINGS:
            try:
                function = getattr(library, spelling.format(name))
            except AttributeError:
                continue
            address = _address(function)
            told = f"{name} of {_file_name(address)}"
            return Routine(address, _threads_record(library), integer_bytes, told)
    raise LoadError(
        f"the LAPACK routine {name} is in no library that NumPy or SciPy bring: "
        "install them from PyPI or conda-forge"
    )


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _threads_record(library: Any) -> int:
    """Where kernels find how OpenBLAS is told its number of threads, or 0: a lock, how many
    kernels want one thread, the number before, and the functions that get and set it.
    """
    for spelling in ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads",
                     "openblas_{}_num_threads64_", "openblas_{}_num_threads"):  # fmt: skip
        try:
            functions = [getattr(library, spelling.format(verb)) for verb in ("get", "set")]
        except AttributeError:
            continue
        record = (ctypes.c_int64 * 5)(0, 0, 0, *map(_address, functions))
        _KEPT.append(record)
        return ctypes.addressof(record)
    return 0


def _forget_other_threads() -> None:
    """In a child process no other thread is inside of a kernel."""
    for record in _KEPT:
        if record[1]:
            record[0] = record[1] = 0
            ctypes.CFUNCTYPE(None, ctypes.c_int)(record[4])(record[2])
        record[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def _lapack_libraries() -> Iterator[Any]:
    """Libraries in which, or in what they are linked with, routines may be found."""
    for module in _LINKED:
        package = module.partition(".")[0]
        path = getattr(import_module(module), "__file__", None) if find_spec(package) else None
        if path:
            yield _opened(path)


@cache
def _opened(path: str) -> Any:
    return ctypes.CDLL(path)


class _Place(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _file_name(address: int) -> str:
    """The name of the library that an address lies in, where the system tells."""
    place = _Place()
    try:
        found = ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(place))
    except (AttributeError, OSError, TypeError):
        found = 0
    return place.file.decode().rpartition("/")[2] if found and place.file else "LAPACK"
