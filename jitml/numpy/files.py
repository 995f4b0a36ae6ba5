"""Arrays in files, and out of text and iterators: at hand, never traced."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import IO, Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.creation import asarray
from jitml.numpy.operands import as_dtype, fail
from jitml.typing import Array, DTypeLike

__all__ = ["fromfile", "fromiter", "fromstring", "load", "save", "savez"]

File = IO[bytes] | str | os.PathLike[Any]


def save(file: File, arr: Any, allow_pickle: bool = True) -> None:
    """Write an array to a file in NumPy's `.npy` form.

    >>> import io, jitml.numpy as jnp
    >>> with io.BytesIO() as file:
    ...     save(file, jnp.arange(3))
    ...     _ = file.seek(0)
    ...     print(load(file))
    [0 1 2]
    """
    np.save(file, np.asarray(asarray(arr)), allow_pickle=False)


def savez(file: File, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Write arrays to a file in NumPy's `.npz` form: named, or "arr_0", "arr_1", …

    >>> import io, jitml.numpy as jnp
    >>> with io.BytesIO() as file:
    ...     savez(file, x=jnp.arange(3))
    ...     _ = file.seek(0)
    ...     print(load(file)["x"])
    [0 1 2]
    """
    given = [np.asarray(asarray(x)) for x in args]
    named: dict[str, Any] = {name: np.asarray(asarray(x)) for name, x in kwds.items()}
    np.savez(file, *given, allow_pickle=False, **named)


def load(file: File, *args: Any, **kwargs: Any) -> Any:
    """The array of a `.npy` file, or the arrays by name of an `.npz` file. No pickles are read.

    >>> import io, jitml.numpy as jnp
    >>> with io.BytesIO() as file:
    ...     save(file, jnp.ones(2, "bfloat16"))
    ...     _ = file.seek(0)
    ...     print(load(file).dtype)
    bfloat16
    """
    if kwargs.get("allow_pickle"):
        fail(ArgumentError, "load: pickles are not read", "numpy.load reads files that you trust")
    found = np.load(file, *args, **kwargs)
    if isinstance(found, np.ndarray):
        return _adopted(found)
    with found:
        return {name: _adopted(found[name]) for name in found.files}


def _adopted(x: np.ndarray[Any, Any]) -> Array:
    """NumPy's files know no bfloat16, and say that an element is two bytes."""
    return asarray(x.view(dtypes.bfloat16) if x.dtype == np.dtype("V2") else x)


def fromfile(
    file: File, dtype: DTypeLike = float, count: int = -1, sep: str = "", offset: int = 0
) -> Array:
    """The numbers in a file: bytes, or text with a separator.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(bytes([1, 2])), file.seek(0)
    ...     print(fromfile(file, "uint8"))
    [1 2]
    """
    if not (hasattr(file, "read") or isinstance(file, (str, bytes, os.PathLike))):
        fail(ArgumentError, f"fromfile: takes a path or an open file, not a {type(file).__name__}")
    return asarray(np.fromfile(file, as_dtype(dtype), count, sep, offset))


def fromiter(iter: Iterable[Any], dtype: DTypeLike, count: int = -1) -> Array:
    """A vector of the numbers that something iterates over.

    >>> print(fromiter(range(3), int))
    [0 1 2]
    """
    return asarray(list(islice(iter, None if count < 0 else count)), dtype)


def fromstring(string: str, dtype: DTypeLike = float, count: int = -1, *, sep: str) -> Array:
    """A vector of the numbers in a text.

    >>> print(fromstring("1 2 3", int, sep=" "))
    [1 2 3]
    """
    try:
        return asarray(np.fromstring(string, as_dtype(dtype), count, sep=sep))
    except ValueError as error:
        fail(ArgumentError, f"fromstring: {error}")
