"""What the arrays of this process hold: counted by the runtime's allocator.

In: nothing. Out: numbers of bytes. Must not know what the arrays are for.
"""

from __future__ import annotations

from jitml_runtime import memory_stats as _memory_stats
from jitml_runtime import release_cache as _release_cache


def memory_stats(reset_peak: bool = False) -> dict[str, int]:
    """Bytes that arrays and running programs hold (`bytes_in_use`), the most they held at once
    (`peak_bytes`), bytes kept for reuse (`cached_bytes`), blocks handed out so far (`allocations`)
    and arrays alive (`live_arrays`). With `reset_peak` the peak is counted anew from now on.

    >>> import jitml, jitml.numpy as jnp
    >>> before = jitml.memory_stats()["bytes_in_use"]
    >>> x = jnp.zeros(1_000_000)
    >>> jitml.memory_stats()["bytes_in_use"] - before >= x.nbytes
    True
    """
    return _memory_stats(reset_peak)


def release_memory() -> int:
    """Give memory that is kept for reuse back to the system; the result is its size in bytes.

    >>> import jitml
    >>> _ = jitml.release_memory()
    >>> jitml.memory_stats()["cached_bytes"]
    0
    """
    return _release_cache()
