"""Whether the bits of results depend on the number of threads.

In: workloads. Out: a line for each, with the numbers of threads at which bits differ from those of
one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.suite.workload import Library, Workload

THREADS = (1, 2, 3, 4, 8)


def differences(workload: Workload) -> list[int]:
    """The numbers of threads at which a workload has other bits than with one."""
    import jitml

    library = Library("jitml")
    arrays = workload.arrays(np.random.default_rng(0))
    inputs = library.tree.map(library.np.asarray, arrays)

    def function(*xs: Any) -> Any:
        return workload.function(library, *xs)

    called = jitml.jit(function) if workload.jitted else function
    found = {}
    for threads in THREADS:
        with jitml.num_threads(threads):
            leaves = library.tree.leaves(called(*inputs))
            found[threads] = [np.asarray(x).tobytes() for x in leaves]
    return [n for n in THREADS if found[n] != found[THREADS[0]]]


def lines(workloads: Sequence[Workload]) -> Iterator[str]:
    """What is to be printed of each."""
    for workload in workloads:
        others = differences(workload)
        told = f"other bits at {', '.join(map(str, others))} threads" if others else "same bits"
        yield f"{workload.group:<12}{workload.name:<60}{told}"
