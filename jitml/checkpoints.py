"""Trees of arrays in files: `save` writes one as safetensors, `load` reads it.

In: trees, paths. Out: files that any program which knows safetensors can read, with the arrays by
their paths in the tree; structure, Python's numbers and a checksum are text in the file's metadata.
Nothing in a file is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jitml.abstract import is_abstract
from jitml.checkpoint_structure import DamagedStructure, node_to_text, text_to_structure
from jitml.ir.errors import ArgumentError, CheckpointError, TreeError
from jitml.ir.source import user_source
from jitml.numpy.operands import native
from jitml.transforms.values import is_array_like
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import flatten
from jitml_runtime import from_numpy

__all__ = ["load", "save"]

_FORMAT = "1"
_NUMBERS = (bool, int, float, complex)
_WIDE_COMPLEX = np.dtype(np.complex128)


def save(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a tree of arrays and numbers to a file, whole: who reads it meanwhile sees the old one.

    Dicts, lists, tuples, None, named tuples and registered containers are kept as they are; dtypes
    and bits as well. It needs the package safetensors (extra `checkpoint`).

    >>> import jitml, jitml.numpy as jnp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
    >>> jitml.save(path, {"w": jnp.ones(2), "steps": 3})
    >>> jitml.load(path)
    {'steps': 3, 'w': Array([1., 1.], dtype=float32)}
    """
    numpy_files = _safetensors("save").numpy
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    leaves: list[dict[str, Any]] = []
    for keys, x in flatten_with_path(tree)[0]:
        if type(x) in _NUMBERS:
            leaves.append({"number": _number_to_text(x)})
        else:
            name = _unused(keystr(keys, simple=True, separator="."), arrays)
            array = _as_numpy(x, name)
            leaf = {"array": name}
            if array.dtype == _WIDE_COMPLEX:  # the format has none: pairs of floats
                array, leaf["dtype"] = array.view(np.float64).reshape(*array.shape, 2), "complex128"
            arrays[name] = array
            leaves.append(leaf)
    text = json.dumps({"structure": node_to_text(flatten(tree)[1].spec), "leaves": leaves})
    metadata = {"jitml": _FORMAT, "tree": text, "checksum": _checksum(text, arrays)}
    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        numpy_files.save_file(arrays, unfinished, metadata)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], like: Any = None) -> Any:
    """The tree that `save` has written to a file; of any other safetensors file, a dict of arrays.

    With `like`, a tree of arrays or ShapeDtypeStructs, its structure, shapes and dtypes must be
    those of the file, and its containers are used: for classes that the file cannot name.

    >>> import jitml, jitml.numpy as jnp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
    >>> jitml.save(path, (jnp.arange(2), None))
    >>> jitml.load(path)
    (Array([0, 1], dtype=int32), None)
    """
    metadata, arrays = _read(Path(path))
    if not metadata.keys() & {"jitml", "tree", "checksum"}:  # another program's
        return {name: from_numpy(native(x)) for name, x in arrays.items()}
    text = metadata.get("tree", "")
    if metadata.get("jitml") != _FORMAT:
        raise _failure(path, f"has the format {metadata.get('jitml')}, this jitml reads {_FORMAT}")
    if metadata.get("checksum") != _checksum(text, arrays):
        raise _failure(path, "is damaged: its checksum differs from that of what it holds")
    try:
        found = json.loads(text)
        leaves = [_leaf(row, arrays) for row in found["leaves"]]
        if like is not None:
            return _in_place_of(like, found["structure"], leaves, path)
        return text_to_structure(found["structure"], len(leaves)).unflatten(leaves)
    except (ValueError, KeyError, TypeError, DamagedStructure) as error:
        if isinstance(error, (CheckpointError, TreeError)):
            raise
        raise _failure(path, f"cannot be read as a tree: {error}") from None


# ---- leaves --------------------------------------------------------------------------------------


def _as_numpy(x: Any, name: str) -> np.ndarray[Any, Any]:
    if not is_array_like(x):
        raise ArgumentError(
            f"save: {name or 'the tree'} is a {type(x).__name__}, not an array or a number",
            hint="leave it out of the tree, or register its class (jitml.tree_util)",
            source=user_source(),
        )
    array = np.asarray(x)
    return np.ascontiguousarray(native(array)).reshape(array.shape)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or the first of `name#2`, `name#3`, … that is free."""
    free, count = name, 1
    while free in taken or free == "__metadata__":
        count += 1
        free = f"{name}#{count}"
    return free


def _number_to_text(x: complex) -> list[str]:
    kind = type(x).__name__
    if isinstance(x, complex):
        return [kind, x.real.hex(), x.imag.hex()]
    return [kind, x.hex() if isinstance(x, float) else str(int(x))]


def _text_to_number(row: list[str]) -> complex:
    kind, *parts = row
    if kind == "complex":
        return complex(*map(float.fromhex, parts))
    if kind == "float":
        return float.fromhex(parts[0])
    return bool(int(parts[0])) if kind == "bool" else int(parts[0])


def _leaf(row: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if "number" in row:
        return _text_to_number(row["number"])
    array = arrays[row["array"]]
    if "dtype" in row:
        array = np.ascontiguousarray(array).view(row["dtype"]).reshape(array.shape[:-1])
    return from_numpy(array)


def _checksum(text: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """A digest of all that a file holds."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# ---- files ---------------------------------------------------------------------------------------


def _safetensors(function: str) -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ArgumentError(
            f"{function}: the package safetensors is not installed",
            hint='pip install "jitml[checkpoint]"',
            source=user_source(),
        ) from None
    return safetensors


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """Metadata and arrays of a safetensors file."""
    library = _safetensors("load")
    if not path.is_file():
        raise FileNotFoundError(f"load: there is no file {str(path)!r}")
    try:
        with library.safe_open(path, framework="np") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except library.SafetensorError as error:
        raise _failure(path, f"is no safetensors file, or is damaged: {error}") from None


def _failure(path: str | os.PathLike[str], problem: str) -> CheckpointError:
    return CheckpointError(
        f"load: {os.fspath(path)} {problem}",
        hint="write it again with jitml.save, or fetch another copy",
        source=user_source(),
    )


def _in_place_of(like: Any, text: Any, leaves: list[Any], path: Any) -> Any:
    """The leaves in the containers of `like`, which must fit them."""
    pairs, structure = flatten_with_path(like)
    if node_to_text(structure.spec) != text:
        raise CheckpointError(
            f"load: the tree in {os.fspath(path)} has not the structure of `like`, {structure}",
            hint="load(path) without `like` shows what the file has",
            source=user_source(),
        )
    for (keys, wanted), x in zip(pairs, leaves, strict=True):
        if not (is_abstract(wanted) or hasattr(wanted, "dtype")) or not hasattr(x, "dtype"):
            continue
        if (x.shape, x.dtype) != (tuple(wanted.shape), wanted.dtype):
            raise CheckpointError(
                f"load: {keystr(keys) or 'the array'} is {x.dtype.name}{list(x.shape)} in "
                f"{os.fspath(path)}, {wanted.dtype.name}{list(wanted.shape)} in `like`",
                hint="load(path) without `like` takes what the file has",
                source=user_source(),
            )
    return structure.unflatten(leaves)
