"""Loops: `while` and `for`, as rewritten code calls them.

In: blocks. Steps run as Python runs them as long as it is known whether there is a next one; from
where it is not, the steps are one loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jitml.ir.errors import ConcretizationTypeError, JitmlError, TracerIntegerConversionError
from jitml.rewriting.activity import inside
from jitml.rewriting.conditions import Block, conditional, truth
from jitml.rewriting.iteration import Items, is_long, is_unknown, items_of, numbered
from jitml.rewriting.loops import Loop
from jitml.rewriting.operators import and_truth, not_
from jitml.rewriting.state import Variables
from jitml.transforms.values import as_value

_MOST_STEPS = 10_000  # that are recorded one by one where they cannot be one loop


def while_(test: Block, body: Block, names: Sequence[str], doubtful: Sequence[str]) -> None:
    """The statement `while test(): body()`."""
    holds = truth(test())
    while isinstance(holds, bool):
        if not holds:
            return
        body()
        holds = truth(test())

    def step(_: Any) -> list[Any]:
        body()
        return [as_value(truth(test()))]

    with inside("loop"):
        Loop(Variables((test, body), names, doubtful)).run_while(step, [holds])


def for_(
    iterable: Any,
    body: Block,
    stop: Block | None,
    names: Sequence[str],
    doubtful: Sequence[str],
) -> None:
    """The statement `for item in iterable: body(item)`, which ends early where `stop()` holds."""
    loop = _For(body, stop, names, doubtful)
    items = items_of(iterable)
    if items is None:
        loop.run_each(iterable)
    elif is_unknown(items.count):
        loop.run_from(items, 0)
    elif stop is None and is_long(items):
        try:
            loop.run_rows(items)
        except JitmlError:  # the steps differ, as where each appends to a list
            if items.count > _MOST_STEPS:
                raise
            loop.run_known(items)
    else:
        loop.run_known(items)


class _For(NamedTuple):
    """A `for` statement without its iterable."""

    body: Block
    stop: Block | None
    names: Sequence[str]
    doubtful: Sequence[str]

    def run_known(self, items: Items) -> None:
        """Steps as Python runs them, up to where it is not known whether the loop ends."""
        for number in range(items.count):
            ends = self._ends()
            if not isinstance(ends, bool):
                try:
                    self.run_from(items, number)
                except (ConcretizationTypeError, TracerIntegerConversionError):
                    self.run_each(map(items.item, range(number, items.count)))  # they must be known
                return
            if ends:
                return
            self.body(items.item(number))

    def run_rows(self, items: Items) -> None:
        """All steps as one loop, of a number that is known."""

        def step(number: Any, *rows: Any) -> list[Any]:
            self.body(items.row(number, iter(rows)))
            return [number + 1]

        with inside("loop"):
            Loop(self._variables()).run_scan(step, [numbered(0)], items.arrays, items.count)

    def run_from(self, items: Items, first: int) -> None:
        """The steps from number `first` on as one loop, of a number that is not known."""

        def goes_on(number: Any) -> Any:
            more = number < items.count
            if self.stop is None:
                return as_value(more)
            return as_value(truth(and_truth(not_(self.stop()), lambda: more)))

        def step(_: Any, number: Any) -> list[Any]:
            self.body(items.item(number))
            return [goes_on(number + 1), number + 1]

        start = numbered(first)
        with inside("loop"):
            Loop(self._variables()).run_while(step, [goes_on(start), start])

    def run_each(self, iterable: Iterable[Any]) -> None:
        """A loop over Python objects: where it is not known whether it has ended, steps are
        conditional.
        """
        for item in iterable:
            ends = self._ends()
            if isinstance(ends, bool):
                if ends:
                    return
                self.body(item)
            else:
                runs = (lambda: None, lambda item=item: self.body(item))
                conditional(ends, (self.body, self.body), self._variables(), runs)

    def _ends(self) -> Any:
        return False if self.stop is None else truth(self.stop())

    def _variables(self) -> Variables:
        blocks = (self.body,) if self.stop is None else (self.body, self.stop)
        return Variables(blocks, self.names, self.doubtful)
