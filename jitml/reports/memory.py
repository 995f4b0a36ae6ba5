"""How much memory a compiled function needs: `f.memory(x)`, told from its plan before any run.

In: an anatomy. Out: a `MemoryReport`: the peak, what lives at which step, the largest arrays with
the user's names and lines. Memory in the service of a call is one block, taken at its beginning and
given back at its end, so the peak does not depend on when in the call its parts are used.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jitml.display import html
from jitml.reports.anatomy import Anatomy, BufferPart
from jitml.reports.text import size_text, table_text
from jitml_runtime import Instruction, block_bytes, get_num_threads

_LARGEST = 5
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 160, 70, 22
_INLINE_BYTES = 256  # up to here an array lies in its own object
_STACK_BYTES = 8192  # up to here a call's memory lies on the stack
_MOST_STEPS = 320  # drawn; of longer programs groups of steps


@dataclass(frozen=True)
class MemoryStep:
    """What is alive while a step runs: bytes of arguments, results, constants, temporary arrays."""

    step: int
    kernel: str
    lines: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, repr=False)
class MemoryReport:
    """Bytes that a call needs. The peak is all of them together: `arguments` (there before the
    call), `results`, `temporary` (planned together, so that arrays which are not alive at the same
    time share memory), `constants`, `scratch`, which each thread has of its own, and `rounding`,
    since memory comes in blocks of certain sizes. `reused` of the results' bytes are donated
    arguments'.
    """

    name: str
    arguments: int
    results: int
    reused: int
    temporary: int
    constants: int
    scratch: int
    rounding: int
    timeline: tuple[MemoryStep, ...]
    arrays: tuple[BufferPart, ...]

    @property
    def peak(self) -> int:
        """The most bytes that are in use at a time, arguments and constants included."""
        return self.arguments + self.constants + self.added

    @property
    def added(self) -> int:
        """The most bytes that a call adds to what is in use before it."""
        return self.results - self.reused + self.temporary + self.scratch + self.rounding

    @property
    def largest(self) -> tuple[BufferPart, ...]:
        """The five largest arrays."""
        return tuple(sorted(self.arrays, key=lambda a: -a.size_bytes)[:_LARGEST])

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dicts."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {
            "name": self.name, "peak": self.peak, "added": self.added, "reused": self.reused,
            **parts, "timeline": [{**asdict(s), "lines": list(s.lines)} for s in self.timeline],
            "largest": [asdict(array) for array in self.largest],
        }  # fmt: skip

    # ---- shown -----------------------------------------------------------------------------------

    def _title(self) -> str:
        listed = [f"{name} {size_text(getattr(self, name))}" for name in _PARTS]
        if self.reused:
            listed.append(f"less {size_text(self.reused)} that results take from donated arguments")
        return f"{self.name}: {size_text(self.peak)} at most: {', '.join(listed)}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (size_text(a.size_bytes), a.name or "(unnamed)", a.type, a.kind, a.line,
             "" if a.kind in ("input", "constant") else f"{a.first} to {a.last}")
            for a in self.largest
        ]  # fmt: skip

    def __str__(self) -> str:
        header = ("size", "variable", "type", "kind", "line", "steps")
        lines = [self._title(), *table_text(self._rows(), header, "rlllll")]
        fullest = max(self.timeline, key=lambda s: s.bytes, default=None)
        if fullest is not None:
            where = f" ({', '.join(fullest.lines)})" if fullest.lines else ""
            lines.append(
                f"most is alive at step {fullest.step}, {fullest.kernel}{where}: "
                f"{size_text(fullest.bytes)}"
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header = ("size", "variable", "type", "kind", "line", "steps")
        return html.page(
            html.title(self._title()),
            self._drawing(),
            html.table(self._rows(), header=header, align="rmmlml"),
        )

    def _drawing(self) -> html.Markup:
        """The timeline as steps, each with a tip."""
        if not self.timeline:
            return html.Markup("")
        groups = _grouped(self.timeline, _MOST_STEPS)
        width = (_WIDTH - _LEFT) / len(groups)
        parts = [
            html.text(_LEFT - 6, 12, size_text(self.peak), "end"),
            html.text(_LEFT - 6, _HEIGHT - _BOTTOM, "0", "end"),
            html.text(_LEFT, _HEIGHT - 6, "step 0"),
            html.text(_WIDTH, _HEIGHT - 6, f"step {self.timeline[-1].step}", "end"),
        ]
        whole = _HEIGHT - _BOTTOM
        for number, step in enumerate(groups):
            height = whole * step.bytes / max(self.peak, 1)
            tip = (
                f"step {step.step}: {step.kernel}\n{size_text(step.bytes)}\n{', '.join(step.lines)}"
            )
            x = _LEFT + number * width
            parts.append(html.rect(x, whole - height, max(width - 0.5, 0.5), height, tip=tip))
        return html.svg(_WIDTH, _HEIGHT, *parts)


_PARTS = ("arguments", "results", "temporary", "constants", "scratch", "rounding")


def _grouped(steps: tuple[MemoryStep, ...], most: int) -> list[MemoryStep]:
    """The fullest of each of at most so many groups of steps."""
    size = -(-len(steps) // most)
    return [max(steps[k : k + size], key=lambda s: s.bytes) for k in range(0, len(steps), size)]


def predict_memory(name: str, anatomy: Anatomy) -> MemoryReport:
    """The report of a program."""
    plan = anatomy.plan
    skipped = {
        n for table in (plan.forward, plan.duplicates) for n, is_it in enumerate(table)
        if is_it is not None
    }  # fmt: skip
    sizes = [s.size_bytes for n, s in enumerate(plan.outputs) if n not in skipped]
    reused = [plan.outputs[output].size_bytes for output, _ in plan.aliases]
    kernels = [step for step in plan.instructions if isinstance(step, Instruction)]
    scratch = max([step.scratch_bytes for step in kernels], default=0)
    if any(0 < step.grain < step.extent for step in kernels):
        scratch *= get_num_threads()
    in_blocks = sum(map(_block, sizes)) - sum(map(_block, reused))
    in_blocks += _block(plan.arena_bytes + scratch, _STACK_BYTES)
    added = sum(sizes) - sum(reused) + plan.arena_bytes + scratch
    return MemoryReport(
        name=name,
        arguments=sum(spec.size_bytes for spec in plan.inputs),
        results=sum(sizes),
        reused=sum(reused),
        temporary=plan.arena_bytes,
        constants=sum(map(len, plan.constants)),
        scratch=scratch,
        rounding=in_blocks - added,
        timeline=_timeline(anatomy),
        arrays=anatomy.buffers,
    )


def _block(size_bytes: int, least: int = _INLINE_BYTES) -> int:
    """What the allocator takes for an array, or for a block from `least` bytes on."""
    return block_bytes(size_bytes) if size_bytes > least else 0


def _timeline(anatomy: Anatomy) -> tuple[MemoryStep, ...]:
    changes = [0] * (len(anatomy.steps) + 1)
    for array in anatomy.buffers:
        changes[array.first] += array.size_bytes
        changes[array.last + 1] -= array.size_bytes
    found, alive = [], 0
    for step, change in zip(anatomy.steps, changes, strict=False):
        alive += change
        found.append(MemoryStep(step.number, step.label, step.lines, alive))
    return tuple(found)
