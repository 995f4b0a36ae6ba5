"""The pure-Python executor: the same surface as the C core, over NumPy and ctypes.

It serves where the core is not built, and says by its simplicity what the core must do. Kernels
run one chunk after the other on the calling thread.
"""

from __future__ import annotations

from .array import (
    Array,
    attach_remote,
    data_pointer,
    empty,
    from_numpy,
    is_at_hand,
    list_stored_arrays,
    remote_array,
    remote_of,
    set_operators,
    share,
    take_remote,
    to_numpy,
)
from .calling import calling
from .dispatch import Callee, Dispatcher, Guard, set_nodes
from .dlpack import from_dlpack
from .eager import (
    Operation,
    Shortcut,
    basic_index,
    basic_reshape,
    basic_transpose,
    basic_update,
    forget_operations,
)
from .execute import Executable, get_num_threads, scope_num_threads, set_num_threads
from .memory import block_bytes, memory_stats, release_cache
from .spans import record_runs, recorded_runs

__all__ = [
    "Array",
    "Callee",
    "Dispatcher",
    "Executable",
    "Guard",
    "Operation",
    "Shortcut",
    "attach_remote",
    "basic_index",
    "basic_reshape",
    "basic_transpose",
    "basic_update",
    "block_bytes",
    "calling",
    "data_pointer",
    "empty",
    "forget_operations",
    "from_dlpack",
    "from_numpy",
    "get_num_threads",
    "is_at_hand",
    "list_stored_arrays",
    "memory_stats",
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
