"""Where the time of a compiled function goes: `f.report(x)`.

In: an anatomy, arguments. Out: a `CostReport`: for each step of the plan what it took, beside what
it moves and computes and what the machine can do at most. The program runs some times, measured by
the executor between its steps; the fastest run counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jitml.display import html
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.pipeline.compile import Compiled
from jitml.reports.anatomy import Anatomy, StepPart
from jitml.reports.peak import Peak, machine_peak, measure_again
from jitml.reports.text import amount, percent, size_text, table_text
from jitml_runtime import Array, from_numpy, to_numpy

_LEAST_SECONDS, _MOST_RUNS, _LEAST_RUNS = 0.1, 100, 3
_MOST_ROWS = 40
_HEADER = (
    "ms", "share", "calls", "moved", "least", "GB/s", "GFLOP/s", "of peak", "kernel", "variables",
    "lines",
)  # fmt: skip
_ALIGN = "rrrrrrrrlll"


@dataclass(frozen=True)
class ReportRow:
    """One step of the plan: what one call of the function spends there, over all `calls` of the
    step that it makes. `bytes` and `flops` are of all of them together; `least_bytes` counts each
    element once; `peak_share` says how much of what the machine can do it reached: of reading and
    writing each element once, from where so many bytes fit, or of arithmetic, whichever is more.
    """

    step: int
    kind: str
    kernel: str
    lines: tuple[str, ...]
    variables: tuple[str, ...]
    calls: int
    ms: float
    bytes: float
    least_bytes: float
    flops: float | None
    transcendentals: float | None
    peak_share: float | None

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.ms * 1e3 if self.ms else 0.0

    @property
    def flops_per_second(self) -> float | None:
        return None if self.flops is None or not self.ms else self.flops / self.ms * 1e3


@dataclass(frozen=True, repr=False)
class CostReport:
    """What a call of a compiled function costs. `rows` are in the order of the plan; what is left
    of `wall_ms` passes before the first and after the last step, and is spent on results and
    arguments.

    `least_bytes` are those of the arguments and results, each moved once.
    """

    name: str
    rows: tuple[ReportRow, ...]
    wall_ms: float
    runs: int
    least_bytes: float
    peak: Peak
    executor: str

    @property
    def sum_ms(self) -> float:
        """The time of all steps."""
        return sum(row.ms for row in self.rows)

    @property
    def flops(self) -> float | None:
        """Operations of all steps; None where that depends on a loop inside of a kernel."""
        counts = [row.flops for row in self.rows]
        return None if None in counts else float(sum(n for n in counts if n is not None))

    @property
    def bytes(self) -> float:
        """Bytes that all steps move."""
        return sum(row.bytes for row in self.rows)

    def by_line(self) -> dict[str, float]:
        """Milliseconds by the user's lines, the most first; a kernel of several lines counts for
        the last of them, which its result is of.
        """
        found: dict[str, float] = {}
        for row in self.rows:
            line = row.lines[-1] if row.lines else ""
            found[line] = found.get(line, 0.0) + row.ms
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dicts."""
        rows = [
            {**asdict(row), "lines": list(row.lines), "variables": list(row.variables)}
            for row in self.rows
        ]
        return {
            "name": self.name, "wall_ms": self.wall_ms, "sum_ms": self.sum_ms, "runs": self.runs,
            "flops": self.flops, "bytes": self.bytes, "least_bytes": self.least_bytes,
            "executor": self.executor, "peak": self.peak._asdict(), "rows": rows,
        }  # fmt: skip

    # ---- shown -----------------------------------------------------------------------------------

    def _title(self) -> str:
        return (
            f"{self.name}: {self.wall_ms:.3g} ms a call (the fastest of {self.runs}), "
            f"{percent(self.sum_ms / self.wall_ms if self.wall_ms else 0.0)} of it in "
            f"{len(self.rows)} steps"
        )

    def _sums(self) -> str:
        return (
            f"{amount(self.flops, 'FLOP')}; {size_text(self.bytes)} moved, at least "
            f"{size_text(self.least_bytes)} for arguments and results; this machine: {self.peak}"
        )

    def _cells(self, row: ReportRow) -> tuple[str, ...]:
        share = row.ms / self.wall_ms if self.wall_ms else 0.0
        rate = row.flops_per_second
        return (
            f"{row.ms:.3g}",
            percent(share),
            str(row.calls),
            size_text(row.bytes),
            size_text(row.least_bytes),
            f"{row.bytes_per_second / 1e9:.3g}",
            "?" if rate is None else f"{rate / 1e9:.3g}",
            "" if row.peak_share is None else percent(row.peak_share),
            row.kernel,
            ", ".join(row.variables),
            ", ".join(row.lines),
        )

    def _shown(self) -> list[ReportRow]:
        shown = [row for row in self.rows if row.kind not in ("loop", "branch")]
        return sorted(shown, key=lambda row: -row.ms)

    def __str__(self) -> str:
        shown = self._shown()
        lines = [self._title(), self._sums()]
        lines += table_text([self._cells(row) for row in shown[:_MOST_ROWS]], _HEADER, _ALIGN)
        if len(shown) > _MOST_ROWS:
            rest = sum(row.ms for row in shown[_MOST_ROWS:])
            lines.append(f"… and {len(shown) - _MOST_ROWS} more steps, {rest:.3g} ms")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = self._shown()
        rows = []
        for row in shown[:_MOST_ROWS]:
            share = row.ms / self.wall_ms if self.wall_ms else 0.0
            rows.append([html.bar(share, tip=percent(share)), *self._cells(row)])
        table = html.table(rows, header=("", *_HEADER), align="l" + _ALIGN)
        lines = [(line or "?", f"{ms:.3g}") for line, ms in self.by_line().items() if ms]
        return html.page(
            html.title(self._title()),
            html.dim(self._sums()),
            table,
            html.fold("milliseconds by line", html.table(lines, ("line", "ms"), "mr")),
        )


# ---- measured ------------------------------------------------------------------------------------


def measure(
    name: str, anatomy: Anatomy, values: Sequence[Array], donated: tuple[int, ...] = ()
) -> CostReport:
    """The report of runs on these arguments, of which the `donated` are copied first."""
    from jitml_runtime import EXECUTOR

    if any(not isinstance(x, Array) for x in values):
        raise ArgumentError(
            "report runs the function, and needs arrays as arguments",
            hint="memory and explain take ShapeDtypeStructs as well",
            source=user_source(),
        )
    compiled = Compiled(anatomy.graph, anatomy.program, donated, on_host=True)
    runs, wall_ns, times = _fastest(compiled, values, donated, anatomy.graph.has_effect)
    peak = machine_peak()
    rows = _rows(anatomy, times, peak)
    if any((row.peak_share or 0.0) > 1.0 for row in rows):
        peak = measure_again(peak)
        rows = _rows(anatomy, times, peak)
    least = sum(v.type.size_bytes for v in anatomy.graph.inputs)
    least += sum({a: a.type.size_bytes for a in anatomy.graph.outputs}.values())
    return CostReport(name, rows, wall_ns / 1e6, runs, float(least), peak, EXECUTOR)


def _fastest(
    compiled: Compiled, values: Sequence[Array], donated: tuple[int, ...], has_effect: bool
) -> tuple[int, int, Sequence[tuple[int, int]]]:
    """The number of runs; of the fastest its nanoseconds, and calls and nanoseconds by step."""
    if not has_effect:
        compiled.run(_copied(values, donated))
    best: tuple[int, Sequence[tuple[int, int]]] | None = None
    begin, runs = time.perf_counter(), 0
    while runs < (1 if has_effect else _MOST_RUNS):
        arguments = _copied(values, donated)
        compiled.executable.measure(True)
        start = time.perf_counter_ns()
        results = compiled.run(arguments)
        wall_ns = time.perf_counter_ns() - start
        compiled.executable.measure(False)
        del results, arguments
        if best is None or wall_ns < best[0]:
            best = wall_ns, compiled.executable.step_times
        runs += 1
        if runs >= _LEAST_RUNS and time.perf_counter() - begin > _LEAST_SECONDS:
            break
    assert best is not None
    return runs, *best


def _copied(values: Sequence[Array], donated: tuple[int, ...]) -> list[Array]:
    return [
        from_numpy(to_numpy(x), x.weak_type) if n in donated else x for n, x in enumerate(values)
    ]


def _rows(anatomy: Anatomy, times: Sequence[tuple[int, int]], peak: Peak) -> tuple[ReportRow, ...]:
    return tuple([_row(part, *times[part.number], peak) for part in anatomy.steps])


def _row(part: StepPart, calls: int, ns: int, peak: Peak) -> ReportRow:
    cost = part.cost
    flops = None if cost.flops is None else cost.flops * calls
    functions = None if cost.transcendentals is None else cost.transcendentals * calls
    moved = float(cost.bytes * calls)
    share = None
    if ns and part.kind in ("kernel", "copy"):
        seconds = ns / 1e9
        is_wide = any(a.type.dtype.name in ("float64", "complex128")
                      for eqn in part.eqns for a in eqn.outputs)  # fmt: skip
        most = peak.flops_f64 if is_wide else peak.flops_f32
        size = cost.least_bytes or cost.bytes  # what is read twice comes from a cache
        rate = peak.bytes_within(size)
        share = max(size * calls / seconds / rate, (flops or 0.0) / seconds / most)
    return ReportRow(
        part.number, part.kind, part.label, part.lines, part.names, calls, ns / 1e6, moved,
        float(cost.least_bytes * calls), flops, functions, share,
    )  # fmt: skip
