"""The stages of a jitted function: `jit(f).lower(*args)` gives `Lowered`, its `compile()` gives `Compiled`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jitml.ir.errors import ArgumentError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.source import user_source
from jitml.pipeline import compile as pipeline
from jitml.pipeline.cost import bytes_accessed, flop_count
from jitml.trace.core import type_of
from jitml.transforms.values import as_value
from jitml.tree_structure import Structure, flatten


class Lowered:
    """A traced function, not compiled yet."""

    def __init__(
        self, graph: Graph, in_tree: Structure, out_tree: Structure, hidden: Sequence[Any]
    ) -> None:
        self.graph = graph
        self.in_tree = in_tree
        self.out_tree = out_tree
        self._hidden = list(hidden)

    def as_text(self) -> str:
        """The graph as recorded."""
        return str(self.graph)

    def cost_analysis(self) -> dict[str, float]:
        """Floating-point operations and the bytes that equations read and write."""
        return {"flops": flop_count(self.graph), "bytes accessed": bytes_accessed(self.graph)}

    def compile(self) -> Compiled:
        """Compile for this machine."""
        return Compiled(self, pipeline.compile_graph(self.graph), self._hidden)


class MemoryAnalysis(NamedTuple):
    """Bytes that one run needs."""

    argument_size_in_bytes: int
    output_size_in_bytes: int
    temp_size_in_bytes: int
    generated_code_size_in_bytes: int


class Compiled:
    """A compiled function of one signature; call it with arguments of exactly those types."""

    def __init__(self, lowered: Lowered, program: pipeline.Compiled, hidden: list[Any]) -> None:
        self._lowered = lowered
        self._program = program
        self._hidden = hidden

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs) if kwargs else (args, None))
        if structure != self._lowered.in_tree:
            raise TreeError(
                f"compiled for arguments {self._lowered.in_tree}, called with {structure}",
                hint="call the jitted function itself, which compiles for other structures",
                source=user_source(),
            )
        values = [as_value(x) for x in leaves]
        for number, (value, var) in enumerate(zip(values, self._lowered.graph.inputs, strict=False)):
            if type_of(value).strong() != var.type.strong():
                raise ArgumentError(
                    f"compiled for {var.type} as argument {number}, called with {type_of(value)}",
                    hint="call the jitted function itself, which compiles for other types",
                    source=user_source(),
                )
        return self._lowered.out_tree.unflatten(self._program.run([*values, *self._hidden]))

    def as_text(self) -> str:
        """The LLVM text of all kernels."""
        return "\n".join(code.text for code in self._program.program.kernels)

    def cost_analysis(self) -> dict[str, float]:
        """As `Lowered.cost_analysis`."""
        return self._lowered.cost_analysis()

    def memory_analysis(self) -> MemoryAnalysis:
        """Bytes of arguments, results, temporary arrays and kernel text."""
        plan = self._program.program.plan
        return MemoryAnalysis(
            sum(spec.size_bytes for spec in plan.inputs),
            sum(spec.size_bytes for spec in plan.outputs),
            plan.arena_bytes,
            sum(len(code.text) for code in self._program.program.kernels),
        )
