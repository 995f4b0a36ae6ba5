"""Execute compiled programs: arrays, plans, kernels.

In: plans and object code, decided elsewhere. Out: arrays. Must not know the compiler: neither
jitml nor llvmlite is imported (the loader asks llvmlite for help only where its own cannot serve).

Two executors have the same surface: the C core, and the pure-Python reference that serves where
the core is not built, or if JITML_RUNTIME=python asks for it.
"""

from __future__ import annotations

import os as _os
import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from .code import Code, load_object
from .dtypes import find_row
from .errors import KernelFault, LoadError
from .limits import granted_bytes as _granted_bytes
from .plan import (
    ArraySpec,
    Branch,
    Buffer,
    Copy,
    HostCall,
    Instruction,
    Loop,
    Plan,
    Step,
    check_plan,
)
from .rebuild import rebuild_array
from .threads import default_thread_count as _default_thread_count


def _wants_python() -> bool:
    asked = _os.environ.get("JITML_RUNTIME", "")
    if asked not in ("", "native", "python"):
        raise ImportError(f"JITML_RUNTIME={asked!r}: expected 'native' or 'python'")
    if asked == "python":
        return True
    try:
        _import_module("._core", __name__)
        if not getattr(_sys, "_is_gil_enabled", lambda: True)():
            raise ImportError("it needs Python's global lock, which is switched off")
    except ImportError as error:
        if asked == "native":
            raise
        _warn(error)
        return True
    return False


def _warn(error: ImportError) -> None:
    import warnings

    # With a place of its own there is no source line for Python to print below the message.
    warnings.warn_explicit(
        f"jitml's C core cannot be used ({error}); the slower pure-Python executor serves instead",
        RuntimeWarning,
        filename=__name__,
        lineno=0,
        module=__name__,
    )


EXECUTOR = "python" if _wants_python() else "native"

if TYPE_CHECKING:
    from .deployment import Program

if TYPE_CHECKING or EXECUTOR == "native":
    from ._core import (
        Array,
        Callee,
        Dispatcher,
        Executable,
        Guard,
        Operation,
        Shortcut,
        attach_remote,
        basic_index,
        basic_reshape,
        basic_transpose,
        basic_update,
        block_bytes,
        calling,
        data_pointer,
        empty,
        forget_operations,
        from_dlpack,
        from_numpy,
        get_num_threads,
        is_at_hand,
        list_stored_arrays,
        memory_stats,
        record_runs,
        recorded_runs,
        release_cache,
        remote_array,
        remote_of,
        scope_num_threads,
        set_memory_limit,
        set_nodes,
        set_num_threads,
        set_operators,
        share,
        take_remote,
        to_numpy,
    )

    set_memory_limit(_granted_bytes() or 0)
else:
    from .reference import (
        Array,
        Callee,
        Dispatcher,
        Executable,
        Guard,
        Operation,
        Shortcut,
        attach_remote,
        basic_index,
        basic_reshape,
        basic_transpose,
        basic_update,
        block_bytes,
        calling,
        data_pointer,
        empty,
        forget_operations,
        from_dlpack,
        from_numpy,
        get_num_threads,
        is_at_hand,
        list_stored_arrays,
        memory_stats,
        record_runs,
        recorded_runs,
        release_cache,
        remote_array,
        remote_of,
        scope_num_threads,
        set_nodes,
        set_num_threads,
        set_operators,
        share,
        take_remote,
        to_numpy,
    )

set_num_threads(_default_thread_count())


def load(path: str | _os.PathLike[str]) -> Program:
    """Return the program in a file that `jitml.export.save` has written.

    Raises LoadError, which says why, if it is damaged, was made by another version or for another
    kind of machine, or uses what this processor cannot do.
    """
    from .deployment import load as load_program

    return load_program(path)


__all__ = [
    "EXECUTOR",
    "Array",
    "ArraySpec",
    "Branch",
    "Buffer",
    "Callee",
    "Code",
    "Copy",
    "Dispatcher",
    "Executable",
    "Guard",
    "HostCall",
    "Instruction",
    "KernelFault",
    "LoadError",
    "Loop",
    "Operation",
    "Plan",
    "Shortcut",
    "Step",
    "attach_remote",
    "basic_index",
    "basic_reshape",
    "basic_transpose",
    "basic_update",
    "block_bytes",
    "calling",
    "check_plan",
    "data_pointer",
    "empty",
    "find_row",
    "forget_operations",
    "from_dlpack",
    "from_numpy",
    "get_num_threads",
    "is_at_hand",
    "list_stored_arrays",
    "load",
    "load_object",
    "memory_stats",
    "rebuild_array",
    "record_runs",
    "recorded_runs",
    "release_cache",
    "remote_array",
    "remote_of",
    "scope_num_threads",
    "set_nodes",
    "set_num_threads",
    "set_operators",
    "share",
    "take_remote",
    "to_numpy",
]
