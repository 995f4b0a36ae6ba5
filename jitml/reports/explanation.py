"""What became of a function: its source, its graph after each pass, its plan and kernels.

In: a function and what was recorded of it. Out: an `Explanation`: text for a terminal, data, and
HTML in which a click on a line of the source marks all that it became.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jitml.codegen.plan import KernelCode
from jitml.codegen.target import compile_assembly
from jitml.display import html
from jitml.ir.graph import Graph
from jitml.ir.source import file_name
from jitml.pipeline import devices
from jitml.pipeline.cost import bytes_accessed, flop_count
from jitml.pipeline.kernels import host_target
from jitml.reports.anatomy import Anatomy, StepPart, take_apart
from jitml.reports.device import device_lines
from jitml.transforms.runner import Report
from jitml_runtime import Branch, Copy, HostCall, Instruction, Loop, Plan
from jitml_runtime.library import find_routine
from jitml_runtime.plan import KERNEL_ROUTINE

_LONGEST_KERNEL = 80  # lines; more are told by their number, unless all are asked for
_MOST_ASSEMBLED = 12  # kernels whose assembly a notebook shows
_MOST_HTML = 150_000  # characters; beyond, what is less often looked at is left out
_PLACE = re.compile(r"# ([^#]*?:\d+)(?: \[[^\]]*\])?$")


class Explanation(str):
    """Every stage of a function, as text; `as_dict()` has the same as data, notebooks show it with
    what belongs together linked.
    """

    __slots__ = ("_parts",)
    _parts: _Parts

    def as_dict(self) -> dict[str, Any]:
        """Source, graphs after each pass, plan and kernels; `lines` tells for each of the user's
        lines which steps and kernels it became.
        """
        return self._parts.as_dict()

    def _repr_html_(self) -> str:
        return self._parts.page()

    def __repr__(self) -> str:
        return str(self)


def explain_graph(
    fun: Callable[..., Any],
    graph: Graph,
    assembly: bool = False,
    full: bool = False,
    rewritten: Sequence[str] = (),
) -> Explanation:
    """Every stage that the `graph` recorded of `fun` goes through.

    Kernels are shown as LLVM text, or with `assembly` as machine code; long ones only with `full`.
    `rewritten` tells what became of Python's control flow.
    """
    parts = _Parts(fun, take_apart(graph), rewritten)
    explanation = Explanation("\n".join(parts.lines(assembly, full)))
    explanation._parts = parts
    return explanation


class _Parts:
    """What an explanation is made of."""

    def __init__(self, fun: Callable[..., Any], anatomy: Anatomy, rewritten: Sequence[str]) -> None:
        self.fun = fun
        self.anatomy = anatomy
        self.rewritten = rewritten
        self.first_line, self.source = _source_lines(fun)

    # ---- text ------------------------------------------------------------------------------------

    def lines(self, assembly: bool, full: bool) -> Iterator[str]:
        anatomy = self.anatomy
        yield "== source =="
        yield "\n".join(self.source)
        if self.rewritten:
            yield "== rewritten, for conditions that are not known while tracing =="
            yield from self.rewritten
        yield "== recorded graph =="
        yield str(anatomy.graph)
        yield from _pass_lines(anatomy.graph, anatomy.passes)
        yield f"== {self.plan_title()} =="
        yield from self.plan_lines()
        for number, code in enumerate(anatomy.program.kernels):
            yield f"== {_kernel_title(number, code)} =="
            yield _kernel_text(code, assembly, full)

    def plan_title(self) -> str:
        graph = self.anatomy.passes.graph
        flops, least = flop_count(graph), bytes_accessed(graph)
        count = len(self.anatomy.steps)
        return f"plan: {count} instructions, {flops:.3g} flops, at least {least:.3g} bytes"

    def plan_lines(self) -> Iterator[str]:
        for part in self.anatomy.steps:
            sources = self.anatomy.program.sources[part.number]
            lines = ", ".join(dict.fromkeys(str(s) or "?" for s in sources))
            what = _step_text(self.anatomy.plan, part)
            yield f"{part.number:>4} {part.label:<24} {what}  # {lines}"
        yield f"temporary memory: {self.anatomy.plan.arena_bytes} bytes"
        if devices.device_name() != devices.CPU:
            yield "== on the device =="
            yield from device_lines(self.anatomy.graph)

    # ---- data ------------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        anatomy = self.anatomy
        return {
            "source": {"first_line": self.first_line, "text": "\n".join(self.source)},
            "rewritten": list(self.rewritten),
            "graph": str(anatomy.graph),
            "passes": [
                {
                    "name": step.name, "ms": step.time_ns / 1e6,
                    "equations_before": step.eqns_before, "equations_after": step.eqns_after,
                    "graph": str(step.graph),
                }
                for step in anatomy.passes.steps
            ],
            "plan": [self._step_dict(part) for part in anatomy.steps],
            "kernels": [
                {"function": code.function, "level": code.level, "llvm": code.text}
                for code in anatomy.program.kernels
            ],
            "lines": self._links(),
        }  # fmt: skip

    def _step_dict(self, part: StepPart) -> dict[str, Any]:
        return {
            "step": part.number, "kind": part.kind, "label": part.label, "depth": part.depth,
            "kernel": _kernel_of(part), "lines": list(part.lines),
            "variables": list(part.names), **part.cost._asdict(),
        }  # fmt: skip

    def _links(self) -> dict[str, dict[str, list[int]]]:
        """By the user's lines the steps and kernels that they became."""
        found: dict[str, dict[str, list[int]]] = {}
        for part in self.anatomy.steps:
            for line in part.lines:
                own = found.setdefault(line, {"steps": [], "kernels": []})
                own["steps"].append(part.number)
                kernel = _kernel_of(part)
                if kernel is not None and kernel not in own["kernels"]:
                    own["kernels"].append(kernel)
        return found

    # ---- HTML ------------------------------------------------------------------------------------

    def page(self) -> str:
        """A radio button for each line, and a rule of style by which it marks what belongs to it:
        this needs no script.
        """
        return html.page(*_Page(self).contents())


def _pass_lines(graph: Graph, report: Report) -> Iterator[str]:
    for step in report.steps:
        time_ms = step.time_ns / 1e6
        if step.graph == graph:
            yield f"== after {step.name}: no change, {time_ms:.2f} ms =="
        else:
            yield (
                f"== after {step.name}: {step.eqns_before} -> {step.eqns_after} equations, "
                f"{time_ms:.2f} ms =="
            )
            yield str(step.graph)
        graph = step.graph


def _step_text(plan: Plan, part: StepPart) -> str:
    step = part.step
    if isinstance(step, Instruction):
        moved = sum(plan.buffers[b].size_bytes for b in dict.fromkeys(step.buffers))
        count = -(-step.extent // step.grain) if step.grain else 1
        chunks = "1 chunk" if count == 1 else f"{count} chunks"
        what = f"kernel {step.kernel}, {step.extent} units in {chunks}, {moved} bytes"
        return what + "".join(f", calls {library}" for library in _libraries(plan, step))
    if isinstance(step, Branch):
        return f"one of the blocks up to {', '.join(map(str, step.ends))}"
    if isinstance(step, Loop):
        often = "while" if step.length < 0 else f"{step.length} times"
        return f"{often} the steps up to {step.end}"
    assert isinstance(step, (HostCall, Copy))
    return "host call" if isinstance(step, HostCall) else "copy"


def _libraries(plan: Plan, step: Instruction) -> list[str]:
    """The routines that a step calls, and whose they are."""
    names = dict(plan.routines)
    constants = [plan.buffers[b].index for b in step.buffers if plan.buffers[b].kind == "constant"]
    called = [names[number] for number in constants if number in names]
    return [find_routine(n).library for n in called if n.split()[0] != KERNEL_ROUTINE]


def _kernel_of(part: StepPart) -> int | None:
    return part.step.kernel if isinstance(part.step, Instruction) else None


def _kernel_title(number: int, code: KernelCode) -> str:
    return f"kernel {number}: {code.function}, codegen level {code.level}"


def _kernel_text(code: KernelCode, assembly: bool, full: bool) -> str:
    text = compile_assembly(code.text, host_target(), code.level) if assembly else code.text
    lines = text.rstrip().splitlines()
    if full or len(lines) <= _LONGEST_KERNEL:
        return "\n".join(lines)
    shown = lines[: _LONGEST_KERNEL // 4]
    more = f"… and {len(lines) - len(shown)} more lines (full=True or --full shows them)"
    return "\n".join([*shown, more])


def _source_lines(fun: Callable[..., Any]) -> tuple[int, list[str]]:
    """The number of the first line of a function's source, and its lines."""
    import inspect

    try:
        lines, first = inspect.getsourcelines(inspect.unwrap(fun))
    except (OSError, TypeError):
        return 0, [f"(the source of {getattr(fun, '__name__', fun)} is not at hand)"]
    return max(first, 1), "".join(lines).rstrip().splitlines()


# ---- the page ------------------------------------------------------------------------------------

_PAGES = itertools.count()


class _Page:
    """The HTML of one explanation; its ids and classes are its own."""

    def __init__(self, parts: _Parts) -> None:
        self.parts = parts
        self.prefix = f"jx{id(parts):x}{next(_PAGES)}"
        self.numbers: dict[str, int] = {}  # of the user's lines
        self.left = _MOST_HTML

    def contents(self) -> Iterator[object]:
        anatomy = self.parts.anatomy
        stages = [*self._graphs(), self._plan(), *self._kernels()]
        source = self._source()
        yield self._style()
        for number in self.numbers.values():
            yield html.element(
                "input", type="radio", name=self.prefix, id=f"{self.prefix}b{number}", hidden=True
            )
        title = f"{anatomy.graph.name or 'function'}: {self.parts.plan_title()}"
        yield html.element("div", html.title(title), source, *stages, class_=self.prefix)

    def _style(self) -> html.Markup:
        mark = "background:color-mix(in srgb,#e0a030 35%,transparent)"
        rules = [
            f"#{self.prefix}b{n}:checked~.{self.prefix} .{self.prefix}l{n}{{{mark}}}"
            for n in self.numbers.values()
        ]
        rules.append(f".{self.prefix} label{{cursor:pointer;display:inline}}")
        return html.element("style", html.Markup("\n".join(rules)))

    def _classes(self, places: Iterable[str]) -> str | None:
        """The classes of what comes from these lines."""
        found = [self.numbers.setdefault(place, len(self.numbers)) for place in places]
        return " ".join([f"{self.prefix}l{n}" for n in found]) or None

    def _source(self) -> html.Markup:
        """The function's lines, then those of others that it calls."""
        parts = self.parts
        own = self._own_file()
        rows: list[object] = []
        for number, text in enumerate(parts.source, start=parts.first_line):
            rows.append(self._source_line(f"{own}:{number}", text))
        shown = {
            f"{own}:{n}" for n in range(parts.first_line, parts.first_line + len(parts.source))
        }
        others = [place for place in self.numbers if place not in shown]
        texts = {str(s).partition(" [")[0]: s.text for p in parts.anatomy.steps for s in p.sources}
        for place in sorted(others):
            rows.append(self._source_line(place, f"{texts.get(place, '')}  # {place}"))
        return html.fold(
            "source: a click on a line marks what it became",
            html.code(html.join(rows, "\n")),
            is_open=True,
        )

    def _own_file(self) -> str:
        import inspect

        code = getattr(inspect.unwrap(self.parts.fun), "__code__", None)
        return file_name(code.co_filename) if code is not None else ""

    def _source_line(self, place: str, text: str) -> object:
        number = self.numbers.get(place)
        if number is None:
            return text
        return html.element(
            "label", text, for_=f"{self.prefix}b{number}", class_=f"{self.prefix}l{number}"
        )

    def _graphs(self) -> Iterator[html.Markup]:
        anatomy = self.parts.anatomy
        yield self._graph("recorded graph", anatomy.graph)
        before = anatomy.graph
        for step in anatomy.passes.steps:
            if step.graph != before:
                title = f"after {step.name}: {step.eqns_before} → {step.eqns_after} equations"
                yield self._graph(title, step.graph)
            before = step.graph

    def _graph(self, title: str, graph: Graph) -> html.Markup:
        return html.fold(title, html.code(html.join(self._equations(str(graph)), "\n")))

    def _equations(self, text: str) -> Iterator[object]:
        for line in self._cut(text.splitlines()):
            place = _PLACE.search(line)
            classes = self._classes([place[1].strip()]) if place else None
            yield html.element("span", line, class_=classes) if classes else line

    def _cut(self, lines: Sequence[str]) -> Iterator[str]:
        """The lines, as far as there is room."""
        for number, line in enumerate(lines):
            self.left -= len(line) + 60
            if self.left < 0:
                yield f"… and {len(lines) - number} more lines"
                return
            yield line

    def _plan(self) -> html.Markup:
        rows = []
        lines = list(self.parts.plan_lines())
        for part, line in zip(self.parts.anatomy.steps, self._cut(lines), strict=False):
            rows.append(html.element("span", line, class_=self._classes(_places(part))))
        return html.fold("plan", html.code(html.join([*rows, lines[-1]], "\n")), is_open=True)

    def _kernels(self) -> Iterator[html.Markup]:
        parts = self.parts.anatomy.steps
        for number, code in enumerate(self.parts.anatomy.program.kernels):
            users = [part for part in parts if _kernel_of(part) == number]
            places = dict.fromkeys(place for part in users for place in _places(part))
            title = html.element("span", _kernel_title(number, code), class_=self._classes(places))
            sections = [("LLVM", _kernel_text(code, False, False))]
            if number < _MOST_ASSEMBLED:
                sections.append(("assembly", _kernel_text(code, True, False)))
            folds = [
                html.fold(name, html.code("\n".join(self._cut(text.splitlines()))))
                for name, text in sections
            ]
            yield html.fold(title, *folds)


def _places(part: StepPart) -> list[str]:
    """The user's lines of a step, without names of scopes."""
    return [line.partition(" [")[0] for line in part.lines]
