"""Dispatcher and Callee in Python: every call is a miss, which is right, only slower.

In: calls. Out: what `miss` gives. Must not know how a function is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any

from ..threads import check_thread_count
from .execute import Executable, scope_num_threads


class Callee:
    """An Executable, the structure of its result, and its hidden inputs."""

    def __init__(
        self,
        executable: Executable,
        structure: Any,
        constants: Sequence[Any],
        fetch: Callable[[], Sequence[Any] | None] | None = None,
        explain: Callable[[Any], BaseException] | None = None,
    ) -> None:
        if not isinstance(executable, Executable):
            raise TypeError("a Callee needs an Executable")
        count = _count_leaves(structure)
        outputs = len(executable.plan.outputs)
        if count != outputs:
            raise ValueError(f"a tree of {count} leaves for {outputs} results")
        self.executable = executable
        self.constants = tuple(constants)


def _count_leaves(structure: Any) -> int:
    return 1 if structure is None else sum(map(_count_leaves, structure[2]))


class Guard:
    """The hidden inputs of a program as they are now: always what `decide` gives."""

    def __init__(self, decide: Callable[[], Sequence[Any] | None]) -> None:
        self._decide = decide

    def __call__(self) -> Sequence[Any] | None:
        return self._decide()

    def watch(self, same: Any, equal: Any, inputs: Any) -> None:
        """Decide without `decide` as long as these hold: not needed here."""


class Dispatcher:
    """A callable whose calls find their compiled callee by the types of arguments."""

    def __init__(
        self,
        static_numbers: tuple[int, ...] = (),
        static_names: tuple[str, ...] = (),
        threads: int | None = None,
    ) -> None:
        self._threads = None if threads is None else check_thread_count(threads)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._threads is None:
            return self.miss(args, kwargs)
        before = scope_num_threads(self._threads)
        try:
            return self.miss(args, kwargs)
        finally:
            scope_num_threads(before)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call for which nothing is installed."""
        raise NotImplementedError

    def install(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        leaves: list[Any],
        donated: list[bool] | None,
        callees: list[Callee],
    ) -> bool:
        """Run these callees for calls like this one: not possible here."""
        return False

    def forget(self) -> None:
        """Forget what was installed."""


def set_nodes(table: Mapping[type, Any]) -> None:
    """Tell which types are containers: nobody asks here."""
    if not isinstance(table, dict) or tuple not in table:
        raise TypeError("set_nodes needs a dict of node kinds by type")
