"""What a workload is: data, and one function for each library that can do the work.

In: functions written with a `Library`. Out: `Workload`s by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Library:
    """The modules of jitml or JAX, which have the same names in both."""

    name: str

    def _module(self, path: str) -> Any:
        return importlib.import_module(f"{self.name}.{path}")

    @cached_property
    def root(self) -> Any:
        return importlib.import_module(self.name)

    @cached_property
    def np(self) -> Any:
        return self._module("numpy")

    @cached_property
    def lax(self) -> Any:
        return self._module("lax")

    @cached_property
    def nn(self) -> Any:
        return self._module("nn")

    @cached_property
    def random(self) -> Any:
        return self._module("random")

    @cached_property
    def scipy(self) -> Any:
        self._module("scipy.special")
        self._module("scipy.signal")
        return self._module("scipy")

    @cached_property
    def ops(self) -> Any:
        return self._module("ops")

    @cached_property
    def linalg(self) -> Any:
        return self._module("scipy.linalg")

    @cached_property
    def tree(self) -> Any:
        return self._module("tree")


@dataclass(frozen=True)
class Workload:
    """`function(library, *arrays)` for jitml and JAX, and how the `others` do it, by name.

    `arrays(random)` gives NumPy arrays, or trees of them. What is not `jitted` is called as it is.
    """

    group: str
    name: str
    function: Function
    arrays: Callable[[np.random.Generator], tuple[Any, ...]]
    others: dict[str, Function] = field(default_factory=dict)
    jitted: bool = True

    @property
    def is_call(self) -> bool:
        """Whether the call itself is measured: nothing waits for its few elements."""
        return self.group in ("calls", "eager")

    @property
    def peers(self) -> list[str]:
        """The libraries that can do it."""
        return [
            "jitml",
            "jax",
            *self.others,
            *["torch.compile" for n in self.others if n == "torch"],
        ]


WORKLOADS: dict[str, Workload] = {}


def workload(
    group: str,
    name: str,
    *shapes: tuple[int, ...],
    arrays: Callable[[np.random.Generator], tuple[Any, ...]] | None = None,
    jitted: bool = True,
    **others: Function,
) -> Callable[[Function], Function]:
    """Decorator: a workload on normal numbers of these shapes, or on `arrays`."""

    def normal(random: np.random.Generator) -> tuple[Any, ...]:
        return tuple(random.standard_normal(shape, np.float32) for shape in shapes)

    def add(function: Function) -> Function:
        assert name not in WORKLOADS, name
        WORKLOADS[name] = Workload(group, name, function, arrays or normal, others, jitted)
        return function

    return add
