"""One library in a process of its own: prepares workloads, and times calls of them when asked.

In: lines of JSON, {"workload": …, "seconds": …}. Out: for each a line, with CPU and wall seconds of
one call, or why there is none. The first answer for a workload has the time of its first call;
jitml's say what this machine would need at least for the bytes, and for the operations.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suite import groups
from benchmarks.suite.workload import WORKLOADS, Library, Workload

Call = Callable[[], Any]


def prepared(peer: str, workload: Workload) -> Call:
    """One call of a workload, its data ready; it returns when the result is there."""
    arrays = workload.arrays(np.random.default_rng(0))
    if peer in ("jitml", "jax"):
        return _traced(Library(peer), workload, arrays)
    function = workload.others[peer.partition(".")[0]]
    if peer.startswith("torch"):
        import torch

        tensors = _mapped(torch.from_numpy, arrays)
        function = torch.compile(function) if peer == "torch.compile" else function
        return lambda: function(*tensors)
    return lambda: function(*arrays)


def _traced(library: Library, workload: Workload, arrays: tuple[Any, ...]) -> Call:
    is_wide = any(np.asarray(x).dtype == np.float64 for x in _leaves(arrays))
    library.root.config.update("jax_enable_x64", is_wide)
    inputs = library.tree.map(library.np.asarray, arrays)

    def function(*xs: Any) -> Any:
        return workload.function(library, *xs)

    called: Any = library.root.jit(function)
    if not workload.jitted:  # through as many Python functions as the other libraries
        called, inputs = workload.function, (library, *inputs)
    if workload.is_call:
        return lambda: called(*inputs)
    finish = library.root.block_until_ready
    return lambda: finish(called(*inputs))


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    is_nested = isinstance(tree, (tuple, list))
    return [leaf for x in tree for leaf in _leaves(x)] if is_nested else [tree]


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _mapped(function, value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)([_mapped(function, value) for value in tree])
    return function(tree)


@functools.cache
def _peak() -> Any:
    """What the machine can do, measured before other libraries' threads are there."""
    from jitml.reports.peak import machine_peak, measure_again

    return measure_again(machine_peak())


def least_seconds(workload: Workload) -> dict[str, float]:
    """For reading arguments and writing results once at the measured speed of memory, or of the
    cache that holds them; and for all operations at that of multiply-adds.
    """
    import jitml

    if workload.is_call:
        return {}
    arrays = workload.arrays(np.random.default_rng(0))
    is_wide = any(np.asarray(x).dtype == np.float64 for x in _leaves(arrays))
    library = Library("jitml")
    traced = jitml.jit(lambda *xs: workload.function(library, *xs)).lower(*arrays)
    cost, peak = traced.cost_analysis(), _peak()
    size = cost["bytes accessed"]
    return {
        "memory": size / peak.bytes_within(size),
        "arithmetic": cost["flops"] / (peak.flops_f64 if is_wide else peak.flops_f32),
    }


class Timed:
    """A workload that has been called once; what is `known` of it is in each answer."""

    def __init__(self, call: Call, known: dict[str, float]) -> None:
        self.call = call
        self.known = known
        begin = time.perf_counter()
        call()
        self.first_s = time.perf_counter() - begin
        begin = time.perf_counter()
        call()
        self.once_s = time.perf_counter() - begin

    def measure(self, seconds: float) -> dict[str, float]:
        """The mean of as many calls as fit into `seconds`."""
        count = max(1, min(100_000, int(seconds / max(self.once_s, 1e-7))))
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(count):
            self.call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.once_s = wall / count
        return {"cpu": cpu / count, "wall": wall / count, "first": self.first_s, **self.known}


def main(peer: str) -> None:
    """Answer requests until there are no more."""
    groups.load()
    ready: tuple[str, Timed] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        name = request["workload"]
        try:
            with contextlib.redirect_stdout(sys.stderr):
                if ready is None or ready[0] != name:
                    ready = None
                    call, is_own = prepared(peer, WORKLOADS[name]), peer == "jitml"
                    ready = name, Timed(call, least_seconds(WORKLOADS[name]) if is_own else {})
                answer: dict[str, Any] = ready[1].measure(request["seconds"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
