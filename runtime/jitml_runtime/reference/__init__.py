"""The pure-Python executor: the same surface as the C core, over NumPy and ctypes.

It serves where the core is not built, and says by its simplicity what the core must do. Kernels
run one chunk after the other on the calling thread.
"""

from __future__ import annotations

from .array import (
    Array,
    data_pointer,
    empty,
    from_numpy,
    list_stored_arrays,
    set_operators,
    share,
    to_numpy,
)
from .calling import calling
from .dispatch import Callee, Dispatcher, are_unchanged, set_nodes
from .dlpack import from_dlpack
from .eager import Operation, basic_index, basic_update, forget_operations
from .execute import Executable, get_num_threads, scope_num_threads, set_num_threads
from .memory import block_bytes, memory_stats, release_cache
from .spans import record_runs, recorded_runs

__all__ = [
    "Array",
    "Callee",
    "Dispatcher",
    "Executable",
    "Operation",
    "are_unchanged",
    "basic_index",
    "basic_update",
    "block_bytes",
    "calling",
    "data_pointer",
    "empty",
    "forget_operations",
    "from_dlpack",
    "from_numpy",
    "get_num_threads",
    "list_stored_arrays",
    "memory_stats",
    "record_runs",
    "recorded_runs",
    "release_cache",
    "scope_num_threads",
    "set_nodes",
    "set_num_threads",
    "set_operators",
    "share",
    "to_numpy",
]
