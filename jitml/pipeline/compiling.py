"""Kernels are compiled: here, in a worker process, or some here and some there at the same time.

In: texts. Out: object code. Imported when a kernel is found nowhere, not before.
"""

from __future__ import annotations

import threading

from jitml.codegen.target import Target, compile_object
from jitml.pipeline.cache import Cache
from jitml.pipeline.kernels import Job, Loaded
from jitml.pipeline.workers import Worker, WorkerLost, drop_worker, has_worker, worker, worker_count

# Milliseconds saved from which on workers compile beside this process: running ones, new ones.
_WORTH_ASKING, _WORTH_STARTING = 10.0, 100.0


def compile_text(text: str, level: int, through: Worker | None, target: Target) -> bytes:
    """The object code of a text, from a worker, or from here where that is lost or refuses."""
    if through is not None:
        try:
            data = through.compile(text, target, level)
        except WorkerLost:
            drop_worker(through)
        else:
            if data is not None:
                return data
    return compile_object(text, target, level)


def load_beside(jobs: list[Job], loaded: Cache[Job, Loaded]) -> None:
    """Load jobs, the last first, here and in workers until none is left; or none of them, where
    that would save too little.
    """
    costs = [job.cost_ms for job in jobs]
    saved = sum(costs) - max(*costs, sum(costs) / 2)
    if saved < (_WORTH_ASKING if has_worker() else _WORTH_STARTING):
        return
    for number in range(min(worker_count(), len(jobs) - 1)):
        helper = worker(number)
        if helper is not None:
            arguments = (helper, jobs, loaded)
            threading.Thread(target=_serve, args=arguments, daemon=True).start()
    while jobs:
        try:
            job = jobs.pop()
        except IndexError:  # a worker was faster
            return
        loaded(job)


def _serve(helper: Worker, jobs: list[Job], loaded: Cache[Job, Loaded]) -> None:
    """Let a worker compile jobs until none is left."""
    try:
        helper.wait()
        while jobs and not helper.is_closed:
            job = jobs.pop()
            job.through = helper
            loaded(job)
    except WorkerLost:
        drop_worker(helper)
    except IndexError:  # the last job is taken
        return
