"""A training loop that shows how it goes while it runs: `for step in live(range(n)): …`.

In: what to loop over, and numbers to draw, arrays or Python's. Out: the same items, and a view of
the loop (curves, time per step, compilations, memory) that is drawn a few times a second, between
steps. Numbers are looked at when they are drawn, not when they are told.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from jitml.dispatch import Jitted
from jitml.display import html
from jitml.display.curves import chart
from jitml.display.screens import current_screen
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.memory import memory_stats
from jitml.trace.core import Tracer
from jitml_runtime.shortage import size_text

T = TypeVar("T")
_LEAST_SHARE = 600  # so many times the time of a drawing passes without one
_MOST_PENDING = 4096  # numbers that wait to be looked at
_MOST_SAMPLES = 256  # of time and memory


def live(iterable: Iterable[T], **curves: Callable[[], Any]) -> Live[T]:
    """Loop over `iterable` and show how the loop goes: curves of numbers, milliseconds a step,
    compilations, memory. In a notebook that is a chart in the cell; in a terminal, one line.

    Tell it numbers by calling it in the loop; or name functions, which are called after each step.
    `history` has all numbers by name, also after the loop was interrupted; `steps` has the steps
    that they belong to. A number may be an array of one element; it is looked at later, when it is
    drawn or asked for, and is NaN if it was donated before.

    >>> import jitml, jitml.numpy as jnp
    >>> run = jitml.live(range(3))
    >>> for step in run:
    ...     loss = jnp.exp(-1.0 * step)
    ...     run(loss=loss)
    >>> run.history["loss"]
    array([1.        , 0.36787945, 0.13533528])
    >>> for step in jitml.live(range(3), loss=lambda: loss):
    ...     loss = loss / 2
    """
    for name, function in curves.items():
        if not callable(function):
            raise ArgumentError(
                f"live: {name} is a {type(function).__name__}, not a function",
                hint=f"live(…, {name}=lambda: {name}), or run({name}={name}) within the loop",
                source=user_source(),
            )
    return Live(iterable, curves)


class Live(Generic[T]):
    """What `live` returns: an iterable that takes numbers when it is called."""

    def __init__(self, iterable: Iterable[T], curves: dict[str, Callable[[], Any]]) -> None:
        self._iterable = iterable
        self._curves = curves
        self._total: int | None = None
        self._pending: list[tuple[str, int, Any]] = []
        self._steps: dict[str, array[int]] = {}
        self._values: dict[str, array[float]] = {}
        self._clock = _Clock()
        self._state = "not begun"
        self.done = 0  #: steps that have ended

    def __call__(self, **values: Any) -> None:
        """Add numbers to the curves of these names, at this step."""
        for name, value in values.items():
            if not _is_number(value):
                raise _no_number(name, value)
            self._pending.append((name, self.done, value))
        if len(self._pending) > _MOST_PENDING:
            self._settle()

    def __iter__(self) -> Iterator[T]:
        screen = current_screen()
        if isinstance(self._iterable, Sized):
            self._total = self.done + len(self._iterable)
        self._state = "running"
        self._clock.start(self.done)
        screen.draw(self, is_last=False)
        now, due = time.perf_counter, time.perf_counter() + screen.interval_s
        budget = _Budget()
        try:
            for item in self._iterable:
                yield item
                if self._curves:
                    self(**{name: function() for name, function in self._curves.items()})
                self.done += 1
                if now() >= due:
                    if budget.allows():
                        with budget:
                            self._clock.sample(self.done)
                            screen.draw(self, is_last=False)
                    due = now() + screen.interval_s
            self._state = "done"
        finally:
            if self._state == "running":
                self._state = "stopped"
            self._clock.sample(self.done)
            screen.draw(self, is_last=True)

    @property
    def history(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """All numbers so far, by the names of their curves."""
        self._settle()
        return {name: np.array(values) for name, values in self._values.items()}

    @property
    def steps(self) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
        """The steps at which those numbers were told, the first is 0."""
        self._settle()
        return {name: np.array(steps) for name, steps in self._steps.items()}

    def _settle(self) -> None:
        pending, self._pending = self._pending, []
        for name, step, value in pending:
            if name not in self._values:
                self._values[name], self._steps[name] = array("d"), array("q")
            self._values[name].append(_number(value))
            self._steps[name].append(step)

    # ---- how it shows itself --------------------------------------------------------------------

    def __repr__(self) -> str:
        """One line: `step 120/1000 · loss 0.1234 · 3.2 ms a step · …`."""
        self._settle()
        of = "" if self._total is None else f"/{self._total}"
        state = "" if self._state == "running" else f", {self._state}"
        latest = [f"{name} {values[-1]:.4g}" for name, values in self._values.items()]
        return " · ".join([f"step {self.done}{of}{state}", *latest, *self._clock.says(self._left)])

    @property
    def _left(self) -> int | None:
        is_known = self._total is not None and self._state == "running"
        return max(0, (self._total or 0) - self.done) if is_known else None

    def _repr_html_(self) -> str:
        line = repr(self)
        curves = {name: (self._steps[name], self._values[name]) for name in self._values}
        drawn = [
            chart(names[0] if len(names) == 1 else kind, {name: curves[name] for name in names})
            for kind, names in _alike(curves).items()
        ]
        # The first sample is mostly compilation.
        steps, times_ms = self._clock.steps[1:], self._clock.times_ms[1:]
        if len(steps) > 1:
            sizes = (steps, self._clock.sizes[1:])
            drawn.append(chart("ms a step", {"ms a step": (steps, times_ms)}))
            drawn.append(chart("memory", {"memory": sizes}, number=lambda x: size_text(int(x))))
        share = html.bar(self.done / self._total) if self._total else ""
        return html.page(html.element("div", share, " ", line), html.row(*drawn))


class _Budget:
    """How often to draw: once so many times the time has passed that the last drawing took. A scope
    is a drawing.
    """

    def __init__(self) -> None:
        self._cost_s = 0.0
        self._last_s = time.perf_counter()

    def allows(self) -> bool:
        return time.perf_counter() - self._last_s >= _LEAST_SHARE * self._cost_s

    def __enter__(self) -> None:
        self._last_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        begin, self._last_s = self._last_s, time.perf_counter()
        self._cost_s = self._last_s - begin


def _number(value: Any) -> float:
    """The number that an array of one element holds; NaN if it has been donated meanwhile."""
    if hasattr(value, "is_deleted") and value.is_deleted():
        return math.nan
    return float(value.item() if getattr(value, "shape", ()) else value)


def _is_number(value: Any) -> bool:
    is_one = getattr(value, "size", 1) == 1 and hasattr(value, "__float__")
    return is_one and not isinstance(value, Tracer)


def _no_number(name: str, value: Any) -> ArgumentError:
    if isinstance(value, Tracer):
        return ArgumentError(
            f"live: {name} is not known while a function is traced",
            hint="return it from the jitted function, and tell it outside",
            source=user_source(),
        )
    if not hasattr(value, "shape"):
        return ArgumentError(
            f"live: {name} is a {type(value).__name__}, not a number", source=user_source()
        )
    return ArgumentError(
        f"live: {name} has shape {value.shape}, which is not one number",
        hint=f"tell its mean, or one curve for each: run({name}={name}.mean())",
        source=user_source(),
    )


def _alike(curves: dict[str, Any]) -> dict[str, list[str]]:
    """Names of curves that belong into one chart, by the last word that they share (`train_loss`,
    `test_loss`).
    """
    groups: dict[str, list[str]] = {}
    for name in curves:
        groups.setdefault(name.rpartition("_")[2], []).append(name)
    return groups


class _Clock:
    """Samples of time per step and of memory, and how often functions were compiled."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.times_ms: list[float] = []
        self.sizes: list[int] = []
        self._compiles_before = _count_compiles()
        self._last = (time.perf_counter(), 0)

    def start(self, step: int) -> None:
        """Count time from now on."""
        self._last = (time.perf_counter(), step)

    def sample(self, step: int) -> None:
        """Note the time since the last sample, and the memory in use."""
        (before, first), now = self._last, time.perf_counter()
        if step == first:
            return
        self._last = (now, step)
        if len(self.steps) >= _MOST_SAMPLES:
            for kept in (self.steps, self.times_ms, self.sizes):
                del kept[::2]
        self.steps.append(step)
        self.times_ms.append(1e3 * (now - before) / (step - first))
        self.sizes.append(memory_stats()["bytes_in_use"])

    def says(self, left: int | None) -> Iterator[str]:
        """The latest sample in words; the time for the steps that are `left`."""
        if self.steps:
            yield f"{_duration(self.times_ms[-1])} a step"
        compiles = _count_compiles() - self._compiles_before
        if compiles:
            yield "1 compilation" if compiles == 1 else f"{compiles} compilations"
        if self.steps:
            yield size_text(self.sizes[-1])
        if left and self.steps:
            seconds = round(left * self.times_ms[-1] / 1e3)
            yield f"{seconds // 60}:{seconds % 60:02d} left"


def _duration(time_ms: float) -> str:
    """A time in the unit that suits it."""
    if time_ms < 0.1:
        return f"{1e3 * time_ms:.3g} µs"
    return f"{time_ms:.3g} ms" if time_ms < 1000 else f"{time_ms / 1e3:.1f} s"


def _count_compiles() -> int:
    return sum(function.compiles for function in Jitted.instances())
