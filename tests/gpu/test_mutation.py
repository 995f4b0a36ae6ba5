"""Mistakes in the PTX of each family of kernels are seen by comparing bits on the emulated device.

JITML_GPU=all tries all of them; else a few. What is left is printed. Much of it changes nothing
(steps of loops that end after one turn, the slow path of divisions), but not
all of that has been looked at, so the limit is what is reached, not what is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.target import compile_ptx, gpu_target
from jitml.codegen.plan import Program
from jitml.device import launches
from jitml.device.device import Device
from jitml.device.driver import Driver
from jitml.device.errors import DeviceError
from jitml.device.executable import DeviceExecutable, run_on_host
from jitml.device.launches import Code
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.mutation import mutants
from jitml.pipeline.lowering import lower
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import KernelFault
from tests.gpu.agreement import same_bits

EVERY = 1 if os.environ.get("JITML_GPU") == "all" else 151
LEAST_SCORE = 0.75


class Family(NamedTuple):
    """A function and the shapes of arguments that it is tried with."""

    function: Callable[..., Any]
    shapes: tuple[tuple[tuple[int, ...], ...], ...]


FAMILIES = {
    "elementwise": Family(lambda x, y: x * y + 2, (((1200,), (1200,)), ((7,), (7,)))),
    "row sums": Family(lambda x: x.sum(1), (((3, 200),), ((11, 104),), ((2, 33),))),
    "softmax": Family(jitml.nn.softmax, (((11, 104),),)),
    "transpose": Family(lambda x: x.T + 1, (((70, 50),), ((33, 64),))),
    "product": Family(lambda x, y: x @ y, (((5, 7), (7, 6)), ((20, 3), (3, 37)))),
}
TARGET = gpu_target("sm_90")


class Run(NamedTuple):
    """A program and one set of arguments."""

    program: Program
    arrays: list[Any]

    def outputs(self, ptx: list[str]) -> list[Any]:
        """What the program gives with these kernels; errors are raised."""
        cuda = EmulatedCuda(memory_bytes=1 << 22, most_steps=20_000)
        checked = tuple([bool(sites) for sites in self.program.sites])
        code = Code(self.program.plan, tuple(ptx), checked)
        executable = DeviceExecutable(code, lambda fault: fault, lambda error, _: error)
        return run_on_host(executable, Device(Driver(cuda)), self.arrays)


def runs_of(family: Family) -> list[Run]:
    random = np.random.default_rng(0)
    found = []
    for shapes in family.shapes:
        arrays = [(random.standard_normal(s) * 25).astype(np.float32) for s in shapes]
        graph = inline_calls(jitml.make_graph(family.function)(*map(jnp.asarray, arrays)))
        found.append(Run(lower(graph, TARGET), arrays))
    return found


def is_seen(run: Run, ptx: list[str], expected: list[Any]) -> bool:
    try:
        found = run.outputs(ptx)
    except (DeviceError, KernelFault):
        return True
    return not all(map(same_bits, found, expected))


@pytest.mark.parametrize("name", FAMILIES)
def test_mistakes_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Few threads, so that they take several units.
    monkeypatch.setattr(launches, "MOST_THREADS", 256)
    runs = runs_of(FAMILIES[name])
    texts = [[compile_ptx(code.text, TARGET) for code in run.program.kernels] for run in runs]
    expected = [run.outputs(ptx) for run, ptx in zip(runs, texts, strict=True)]
    # Sizes are arguments, so one text may serve all shapes; else each has its own.
    tried, left = 0, []
    for kernel in dict.fromkeys(t for ptx in texts for t in ptx):
        for mutant in list(mutants(kernel))[::EVERY]:
            tried += 1
            for run, ptx, known in zip(runs, texts, expected, strict=True):
                if kernel in ptx:
                    changed = [mutant.text if t == kernel else t for t in ptx]
                    if is_seen(run, changed, known):
                        break
            else:
                left.append(f"line {mutant.line}: {mutant.before} -> {mutant.after}")
    print(f"\n{name}: {tried} mutants, {len(left)} left", *left, sep="\n  ")
    # By chance, a few of a few may be of those that change nothing.
    assert tried and len(left) <= (1 - LEAST_SCORE) * tried + (EVERY > 1) * 3, left
