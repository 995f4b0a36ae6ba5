"""Fourier transforms along one axis, as functions that kernels can call.

In: which transform ("c2c", "c2r", "r2c"), its direction, the type of its complex numbers. Out: a
function with the signature of a loop of NumPy's generalised ufuncs: `args` are input, factor and
output, `dimensions` the number of transforms and the lengths of input and output, `steps` the bytes
between transforms (of all three), then between elements (of input and output). `ducc0` serves where
it is installed, by way of Python; else NumPy's own loops, straight. What is by way of Python has
words of integers of `BLOCKS` bytes: it does several such blocks at once, whose number follows in
`dimensions`, the bytes between them in `steps`.
"""

from __future__ import annotations

import _thread
import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from .errors import LoadError
from .library import Routine

_Loop = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.c_void_p,
)
_REAL: dict[str, np.dtype[Any]] = {"c64": np.dtype("float32"), "c128": np.dtype("float64")}
_COMPLEX: dict[str, np.dtype[Any]] = {"c64": np.dtype("complex64"), "c128": np.dtype("complex128")}
BLOCKS = 1
_SET_BYTES = 4096  # elements so far apart share the few places of one set of an L1 cache
_PART_BYTES = 1 << 19  # of lines that are transformed beside their place
_KEPT: list[Any] = []  # functions that C has the addresses of


def fft_routine(transform: str, direction: str, type_: str, way: str) -> Routine:
    """The loop of a transform: "c2c", "r2c-even", … in `direction` "forward" or "backward". For a
    "short" one the way through Python is too long.
    """
    if way == "long" and find_spec("ducc0") is not None:
        return _ducc_routine(transform, direction, type_)
    return _numpy_routine(transform, direction, type_)


# ---- NumPy ---------------------------------------------------------------------------------------


class _UfuncFields(ctypes.Structure):
    """The public head of NumPy's ufunc objects, behind Python's own."""

    _fields_ = (
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )


_NUMPY_NAMES = {
    ("c2c", "forward"): "fft",
    ("c2c", "backward"): "ifft",
    ("r2c-even", "forward"): "rfft_n_even",
    ("r2c-odd", "forward"): "rfft_n_odd",
    ("c2r", "backward"): "irfft",
}


def _numpy_routine(transform: str, direction: str, type_: str) -> Routine:
    name = _NUMPY_NAMES[transform, direction]
    ufunc = getattr(import_module("numpy.fft._pocketfft_umath"), name)
    fields = _UfuncFields.from_address(id(ufunc) + object.__basicsize__)
    known = (ufunc.nin, ufunc.nout, ufunc.ntypes)
    if (fields.nin, fields.nout, fields.ntypes) != known:
        raise LoadError("this NumPy keeps its transforms elsewhere: pip install ducc0")
    first, result = (_REAL if transform[0] == "r" else _COMPLEX)[type_].char, _COMPLEX[type_].char
    if transform == "c2r":
        result = _REAL[type_].char
    number = ufunc.types.index(f"{first}{_REAL[type_].char}->{result}")
    data = fields.data[number] if fields.data else 0
    return Routine(fields.functions[number], data or 0, 0, f"{name} of NumPy {np.__version__}")


# ---- ducc0 ---------------------------------------------------------------------------------------


@cache
def _ducc_routine(transform: str, direction: str, type_: str) -> Routine:
    ducc = import_module("ducc0")
    run = _ducc_call(ducc.fft, transform, direction == "forward")
    inner = (_REAL if transform[0] == "r" else _COMPLEX)[type_]
    outer = (_REAL if transform == "c2r" else _COMPLEX)[type_]

    def loop(args: Any, dimensions: Any, steps: Any, _: Any) -> None:
        lines, length, result_length, blocks = dimensions[:4]
        source = _view(args[0], inner, (blocks, lines, length), (steps[5], steps[0], steps[3]))
        target = _view(
            args[2], outer, (blocks, lines, result_length), (steps[6], steps[2], steps[4])
        )
        factor = float(_view(args[1], _REAL[type_], (1,), (0,))[0])
        try:
            run(source, target, factor)
        except BaseException as error:  # nothing leaves a function that C calls
            target.fill(np.nan)
            if not isinstance(error, KeyboardInterrupt):
                raise  # reported by `sys.unraisablehook`
            _thread.interrupt_main()

    function = _Loop(loop)
    _KEPT.append(function)
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    return Routine(address, 0, BLOCKS, f"{transform} of ducc0 {ducc.__version__}")


def _ducc_call(fft: Any, transform: str, forward: bool) -> Callable[[Any, Any, float], None]:
    def run(source: Any, target: Any, factor: float) -> None:
        # The factor is 1, or 1 over the length of the transform.
        options = {"axes": (2,), "nthreads": 1, "inorm": 0 if factor == 1 else 2}
        for lines, out in _apart(source, target, is_complex=transform == "c2c"):
            if transform == "c2c":
                fft.c2c(lines, forward=forward, out=out, **options)
            elif transform == "c2r":
                fft.c2r(lines, lastsize=out.shape[2], forward=forward, out=out, **options)
            else:
                fft.r2c(lines, forward=forward, out=out, **options)

    return run


def _apart(source: Any, target: Any, is_complex: bool) -> Iterator[tuple[Any, Any]]:
    """Lines, and where to put their transforms.

    ducc0 takes as many contiguous lines at once as a vector has lanes, unless they are long complex
    ones. Elements of single precision that it writes `_SET_BYTES` apart drive one another out of
    the cache, so these lines are transformed where there is some space between them, and copied.
    """
    step, size = target.strides[1:]
    is_single = target.dtype.char in "fF"
    works_alone = is_complex and step >= 8 * _SET_BYTES
    if not is_single or works_alone or step % _SET_BYTES or size != target.itemsize:
        yield source, target
        return
    count = max(1, _PART_BYTES // step)
    spaced = np.empty((len(target), count, target.shape[2] + 64 // size), target.dtype)
    for first in range(0, target.shape[1], count):
        part = target[:, first : first + count]
        out = spaced[:, : part.shape[1], : part.shape[2]]
        yield source[:, first : first + count], out
        part[...] = out


def _view(address: int, dtype: np.dtype[Any], shape: tuple[int, ...], steps: Any) -> Any:
    """An array over memory that is not Python's."""
    size = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + dtype.itemsize
    memory = (ctypes.c_char * size).from_address(address)
    return np.ndarray(shape, dtype, memory, strides=steps)
