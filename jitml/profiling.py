"""Where the time of a program goes: `with jitml.profile() as p:` around a training loop.

In: spans of tracing and compiling from the pipeline, of runs and copies from the runtime. Out: a
table by function, a timeline, a file for Chrome's trace viewer. While it runs, a call costs two
looks at the clock more; with `detail="kernels"` so does each step of its plan. When none runs,
nothing.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jitml.dispatch import Jitted
from jitml.display import html
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.pipeline import compile as pipeline
from jitml.pipeline.spans import Span, listen, unlisten
from jitml.reports.text import percent, table_text
from jitml.signature import name_of
from jitml_runtime import Instruction, record_runs, recorded_runs

KINDS = ("compile", "trace", "transfer", "run", "wait")
PYTHON = "(outside of jitml)"
_COPIES = "(arrays from NumPy)"
_EAGER = " (eager)"  # what runs outside of jitted functions
_MOST_ROWS = 30
_WIDTH, _LANE, _LEFT, _MOST_BOXES = 760, 22, 110, 1500
_RUNNING: list[Profile] = []
_LOCK = threading.Lock()


class ProfileRow(NamedTuple):
    """What one function took: `calls` of it, and milliseconds of each kind, less what lies inside
    of another function's.
    """

    name: str
    calls: int
    compile_ms: float
    trace_ms: float
    transfer_ms: float
    run_ms: float
    wait_ms: float

    @property
    def total_ms(self) -> float:
        return self.compile_ms + self.trace_ms + self.transfer_ms + self.run_ms + self.wait_ms


class KernelRow(NamedTuple):
    """What one step of a function's plan took, in all calls together."""

    function: str
    step: int
    kernel: str
    lines: tuple[str, ...]
    calls: int
    ms: float


class Profile:
    """What was recorded: `rows` by function, `kernels` (if asked for), `spans`, `wall_ms`."""

    def __init__(self, detail: str = "functions") -> None:
        self.detail = detail
        self._told: list[Span] = []  # by the pipeline
        self._runs: list[Any] = []  # told by the runtime, which knows no names
        self._names = _Names(set())
        self._spans: list[Span] | None = None  # all of them, once somebody looks
        self.kernels: list[KernelRow] = []
        self.wall_ms = 0.0
        self.lost = 0  # runs that there was no room for
        self.threads: dict[int, str] = {}
        self._begin_ns = 0
        self._measured: dict[int, Any] = {}  # programs whose steps are counted

    # ---- recording -------------------------------------------------------------------------------

    def __enter__(self) -> Profile:
        with _LOCK:
            if _RUNNING:
                raise ArgumentError(
                    "profile: one is running already",
                    hint="end it first; a profile has all threads of the process",
                    source=user_source(),
                )
            _RUNNING.append(self)
        self._told, self._runs, self._spans = [], [], None
        self._name_threads()
        if self.detail == "kernels":
            for compiled in list(pipeline.KNOWN.values()):
                self._measure(compiled)
        listen(self._note)
        recorded_runs()
        record_runs(True)
        self._begin_ns = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        end_ns = time.perf_counter_ns()
        record_runs(False)
        unlisten(self._note)
        self._name_threads()
        self.wall_ms = (end_ns - self._begin_ns) / 1e6
        self._runs, self.lost = recorded_runs()
        self._names = _Names({span.name for span in self._told if span.kind == "trace"})
        for program in {id(run[0]): run[0] for run in self._runs if run[0] is not None}.values():
            self._names.of(program)  # while it is known
        self._take_kernels()
        _RUNNING.clear()

    @property
    def spans(self) -> list[Span]:
        """What was done when, in order; put together when it is first asked for."""
        if self._spans is None:
            found = [self._names.renamed(span) for span in self._told]
            for about, begin_ns, end_ns, size_bytes, thread in self._runs:
                of_copy = about is None
                name = _COPIES if of_copy else self._names.of(about)
                kind = "transfer" if of_copy else "run"
                found.append(Span(kind, name, begin_ns, end_ns, thread, size_bytes))
            self._spans = sorted(found, key=lambda span: (span.begin_ns, -span.end_ns))
            self._told, self._runs = [], []
        return self._spans

    def _note(self, span: Span) -> None:
        self._told.append(span)
        self.threads.setdefault(span.thread, threading.current_thread().name)
        if span.kind == "compile" and self.detail == "kernels":
            for compiled in list(pipeline.KNOWN.values()):
                self._measure(compiled)

    def _name_threads(self) -> None:
        for thread in threading.enumerate():
            if thread.ident is not None:
                self.threads[thread.ident] = thread.name

    def _measure(self, compiled: Any) -> None:
        if id(compiled) not in self._measured and hasattr(compiled.executable, "measure"):
            self._measured[id(compiled)] = compiled
            compiled.executable.measure(True)

    def _take_kernels(self) -> None:
        for compiled in self._measured.values():
            compiled.executable.measure(False)
            times = compiled.executable.step_times
            if not any(calls for calls, _ in times):
                continue
            name, sources = self._names.of(compiled.executable), compiled.program.sources
            for number, (step, (calls, ns)) in enumerate(
                zip(compiled.plan.instructions, times, strict=True)
            ):
                if calls and (ns or isinstance(step, Instruction)):
                    lines = tuple(dict.fromkeys([str(s) for s in sources[number] if s]))
                    row = KernelRow(name, number, step.label, lines, calls, ns / 1e6)
                    self.kernels.append(row)
        self._measured.clear()
        self.kernels.sort(key=lambda row: -row.ms)

    # ---- data ------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[ProfileRow]:
        """By function, the dearest first."""
        own: dict[str, dict[str, float]] = {}
        calls: dict[str, int] = {}
        for span, ms in _exclusive(self.spans):
            kinds = own.setdefault(span.name, dict.fromkeys(KINDS, 0.0))
            kinds[span.kind] += ms
            calls[span.name] = calls.get(span.name, 0) + (span.kind in ("run", "transfer"))
        rows = [
            ProfileRow(name, calls[name], *[kinds[kind] for kind in KINDS])
            for name, kinds in own.items()
        ]
        return sorted(rows, key=lambda row: -row.total_ms)

    @property
    def sums(self) -> dict[str, float]:
        """Milliseconds by kind."""
        rows = self.rows
        return {kind: sum(getattr(row, f"{kind}_ms") for row in rows) for kind in KINDS}

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dicts; the spans are what `save` writes."""
        return {
            "wall_ms": self.wall_ms, "sums_ms": self.sums, "lost": self.lost,
            "rows": [row._asdict() for row in self.rows],
            "kernels": [{**row._asdict(), "lines": list(row.lines)} for row in self.kernels],
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) show."""
        process = os.getpid()
        events: list[dict[str, Any]] = [
            {"name": "thread_name", "ph": "M", "pid": process, "tid": ident, "args": {"name": name}}
            for ident, name in self.threads.items()
        ]
        for span in self.spans:
            event: dict[str, Any] = {
                "name": span.name, "cat": span.kind, "ph": "X", "pid": process, "tid": span.thread,
                "ts": (span.begin_ns - self._begin_ns) / 1e3,
                "dur": (span.end_ns - span.begin_ns) / 1e3,
            }  # fmt: skip
            if span.size_bytes:
                event["args"] = {"bytes": span.size_bytes}
            events.append(event)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)

    # ---- shown -----------------------------------------------------------------------------------

    def _title(self) -> str:
        sums = self.sums
        known = [f"{kind} {ms:.3g} ms" for kind, ms in sums.items() if ms]
        lost = f"; {self.lost} runs more than there was room for" if self.lost else ""
        return f"{self.wall_ms:.3g} ms: {', '.join(known) or 'nothing of jitml'}{lost}"

    def _cells(self) -> list[tuple[str, ...]]:
        rows = self.rows
        shown = [
            (row.name, str(row.calls), *[f"{ms:.3g}" if ms else "" for ms in row[2:]],
             percent(row.total_ms / self.wall_ms if self.wall_ms else 0.0))
            for row in rows[:_MOST_ROWS]
        ]  # fmt: skip
        if len(self.threads) == 1 or len({span.thread for span in self.spans}) <= 1:
            rest = max(self.wall_ms - sum(row.total_ms for row in rows), 0.0)
            share = percent(rest / self.wall_ms if self.wall_ms else 0.0)
            shown.append((PYTHON, "", *[""] * 3, f"{rest:.3g}", "", share))
        return shown

    def _kernel_cells(self) -> list[tuple[str, ...]]:
        return [
            (f"{row.ms:.3g}", str(row.calls), row.function, row.kernel, ", ".join(row.lines))
            for row in self.kernels[:_MOST_ROWS]
        ]

    def __str__(self) -> str:
        lines = [self._title(), *table_text(self._cells(), _HEADER, _ALIGN)]
        if self.kernels:
            lines += ["", *table_text(self._kernel_cells(), _KERNEL_HEADER, _KERNEL_ALIGN)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [html.title(self._title()), self._timeline()]
        parts.append(html.table(self._cells(), _HEADER, _ALIGN))
        if self.kernels:
            table = html.table(self._kernel_cells(), _KERNEL_HEADER, _KERNEL_ALIGN)
            parts.append(html.fold("kernels", table, is_open=True))
        return html.page(*parts)

    def _timeline(self) -> html.Markup:
        """A lane for each thread; spans that are too close to be told apart are drawn as one."""
        lanes = {thread: n for n, thread in enumerate(dict.fromkeys(s.thread for s in self.spans))}
        scale = (_WIDTH - _LEFT) / max(self.wall_ms, 1e-9)
        height = _LANE * len(lanes) + 30
        parts: list[html.Markup] = []
        for thread, lane in lanes.items():
            name = self.threads.get(thread, f"thread {thread}")
            parts.append(html.text(0, _LANE * lane + 14, name[:18]))
        for span, x, width in _boxes(self.spans, self._begin_ns, scale):
            y, tip = _LANE * lanes[span.thread] + 3, f"{span.kind} {span.name}: {span.ms:.3g} ms"
            colour = html.COLOURS[KINDS.index(span.kind) % len(html.COLOURS)]
            parts.append(html.rect(_LEFT + x, y, width, _LANE - 6, colour, tip))
        for number, kind in enumerate(KINDS):
            x = _LEFT + 90 * number
            parts.append(html.rect(x, height - 18, 9, 9, html.COLOURS[number]))
            parts.append(html.text(x + 13, height - 10, kind))
        return html.svg(_WIDTH, height, *parts)


_HEADER = ("function", "calls", *[f"{kind} ms" for kind in KINDS], "share")
_ALIGN = "lrrrrrrr"
_KERNEL_HEADER = ("ms", "calls", "function", "kernel", "lines")
_KERNEL_ALIGN = "rrlll"


class _Names:
    """What the programs that ran are called: by the jitted functions that they are of."""

    def __init__(self, traced: set[str]) -> None:
        self._known: dict[int, str] = {}
        self._jitted = traced | {name_of(f.__wrapped__) for f in Jitted.instances()}
        for function in Jitted.instances():
            for compiled in function.programs():
                self._known.setdefault(id(compiled.executable), name_of(function.__wrapped__))

    def of(self, executable: Any) -> str:
        """The name of a program; those of no jitted function are called by their graph."""
        found = self._known.get(id(executable))
        if found is None:
            compiled = pipeline.KNOWN.get(id(executable))
            is_it = compiled is not None and compiled.executable is executable
            name = compiled.graph.name if compiled is not None and is_it else ""
            found = self._known[id(executable)] = self._called(name)
        return found

    def _called(self, name: str) -> str:
        return name if name in self._jitted else f"{name or '?'}{_EAGER}"

    def renamed(self, span: Span) -> Span:
        """The span; one that no jitted function was compiled in is called as what it is run by."""
        return span._replace(name=self._called(span.name)) if span.kind == "compile" else span


def _exclusive(spans: Iterable[Span]) -> list[tuple[Span, float]]:
    """The spans, which are in order, and the milliseconds of each less those inside of it."""
    inside: dict[int, float] = {}
    around: dict[int, list[int]] = {}  # by thread: the spans that are open
    listed = list(spans)
    for number, span in enumerate(listed):
        stack = around.setdefault(span.thread, [])
        while stack and listed[stack[-1]].end_ns < span.end_ns:
            stack.pop()
        if stack:
            inside[stack[-1]] = inside.get(stack[-1], 0.0) + span.ms
        stack.append(number)
    return [(span, max(span.ms - inside.get(n, 0.0), 0.0)) for n, span in enumerate(listed)]


def _boxes(spans: Sequence[Span], begin_ns: int, scale: float) -> list[tuple[Span, float, float]]:
    """Spans to draw with place and width in pixels: of those in one pixel the longest."""
    found: dict[tuple[int, int, str], tuple[Span, float, float]] = {}
    step = max(1.0, (_WIDTH - _LEFT) / _MOST_BOXES * 2)
    for span in spans:
        x, width = (span.begin_ns - begin_ns) / 1e6 * scale, max(span.ms * scale, 0.5)
        key = (span.thread, int(x / step), span.kind)
        if key not in found or found[key][2] < width:
            found[key] = (span, x, width)
    boxes = sorted(found.values(), key=lambda box: -box[2])
    return boxes[:_MOST_BOXES]


def profile(detail: str = "functions") -> Profile:
    """A scope that records where time goes: tracing, compiling, copies from NumPy, runs, waits, for
    each jitted function, on all threads. On a CPU calls wait for their own results, so runs have
    all of it, and waits nothing.

    `print(p)` is a table, notebooks show a timeline, `p.rows` and `p.as_dict()` are data,
    `p.save("trace.json")` writes a file for Chrome's trace viewer. With `detail="kernels"`,
    `p.kernels` tells what each step of each program took.

    >>> import jitml, jitml.numpy as jnp
    >>> step = jitml.jit(lambda x: x * 0.9)
    >>> x = jnp.ones(1000)
    >>> with jitml.profile() as p:
    ...     for _ in range(5):
    ...         x = step(x)
    >>> p.rows[0].name, p.rows[0].calls
    ('<lambda>', 5)
    """
    if detail not in ("functions", "kernels"):
        raise ArgumentError(
            f"profile: there is no detail {detail!r}",
            hint="it is 'functions' or 'kernels'",
            source=user_source(),
        )
    return Profile(detail)
