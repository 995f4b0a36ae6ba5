"""The stages of a jitted function: `jit(f).trace(*args)` gives `Traced`, its `lower()` `Lowered`,
whose `compile()` gives `Compiled`.

In: an entry of `jit`. Out: text, costs, and something to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from jitml.abstract import struct_of
from jitml.ir.errors import ArgumentError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.source import user_source
from jitml.pipeline import compile as pipeline
from jitml.pipeline.cost import bytes_accessed, flop_count
from jitml.trace.core import type_of
from jitml.transforms.values import as_value
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten


class Entry(Protocol):
    """What one tracing gave, as `jit` keeps it."""

    graph: Graph
    donated: tuple[int, ...]
    structure: Structure
    rewritten: tuple[str, ...]

    def hidden_values(self) -> Sequence[Any] | None:
        """The hidden inputs as they are now; None if what was read has changed."""

    @property
    def compiled(self) -> pipeline.Compiled:
        """The machine code."""

    def run(self, values: Sequence[Any], given: Sequence[Any]) -> Any:
        """The result for these inputs, of which the arguments were `given`."""


class Traced:
    """A function traced for arguments of some types. `args_info` has ShapeDtypeStructs for them."""

    def __init__(self, entry: Entry, fun_name: str, in_tree: Structure, args_info: Any) -> None:
        self.entry = entry
        self.fun_name = fun_name
        self.in_tree = in_tree
        self.args_info = args_info

    @property
    def graph(self) -> Graph:
        """The graph as recorded; what the function captured comes after its arguments."""
        return self.entry.graph

    @property
    def rewritten(self) -> tuple[str, ...]:
        """What became of Python's control flow on traced values, line by line."""
        return self.entry.rewritten

    @property
    def jaxpr(self) -> Graph:
        """The graph, under JAX's name."""
        return self.entry.graph

    @property
    def out_tree(self) -> Structure:
        return self.entry.structure

    @property
    def out_info(self) -> Any:
        """The result's structure with ShapeDtypeStructs for leaves."""
        return self.out_tree.unflatten([struct_of(t) for t in self.graph.output_types])

    def lower(self) -> Lowered:
        """The next stage."""
        return Lowered(self)


class Lowered:
    """A traced function, not compiled yet."""

    def __init__(self, traced: Traced) -> None:
        self._traced = traced
        self.graph = traced.graph
        self.in_tree = traced.in_tree
        self.out_tree = traced.out_tree
        self.args_info = traced.args_info
        self.out_info = traced.out_info

    def as_text(self, dialect: str | None = None) -> str:
        """The graph as recorded (`dialect` "graph", the default) or the LLVM text of its kernels
        ("llvm").
        """
        if dialect in (None, "graph"):
            return str(self.graph)
        if dialect == "llvm":
            return "\n".join(code.text for code in pipeline.lower_graph(self.graph).kernels)
        raise ArgumentError(
            f"as_text: there is no dialect {dialect!r}",
            hint="the dialects are 'graph' and 'llvm'",
            source=user_source(),
        )

    def cost_analysis(self) -> dict[str, float]:
        """Floating-point operations, and the bytes of arguments and results: the least that a run
        moves.
        """
        return {"flops": flop_count(self.graph), "bytes accessed": bytes_accessed(self.graph)}

    def compile(self) -> Compiled:
        """Compile for this machine."""
        return Compiled(self, self._traced.entry)


class MemoryAnalysis(NamedTuple):
    """Bytes that one run needs; results in the memory of donated arguments are counted twice, here
    as `alias`.
    """

    argument_size_in_bytes: int
    output_size_in_bytes: int
    alias_size_in_bytes: int
    temp_size_in_bytes: int
    generated_code_size_in_bytes: int


class Compiled:
    """A compiled function of one signature; call it with arguments of exactly those types, without
    static ones.
    """

    def __init__(self, lowered: Lowered, entry: Entry) -> None:
        self._lowered = lowered
        self.entry = entry
        self._program = entry.compiled
        self.in_tree = lowered.in_tree
        self.out_tree = lowered.out_tree
        self.args_info = lowered.args_info
        self.out_info = lowered.out_info

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        if structure != self.in_tree:
            raise TreeError(
                f"compiled for arguments of structure {self.in_tree}, called with {structure}",
                hint="static arguments are left out here; the jitted function takes any others",
                source=user_source(),
            )
        values = [as_value(x) for x in leaves]
        for number, (value, var) in enumerate(
            zip(values, self._lowered.graph.inputs, strict=False)
        ):
            if type_of(value).strong() != var.type.strong():
                path = keystr(flatten_with_path((args, kwargs))[0][number][0][1:])
                raise ArgumentError(
                    f"compiled for {var.type} as argument {path}, called with {type_of(value)}",
                    hint="call the jitted function itself, which compiles for other types",
                    source=user_source(),
                )
        hidden = self.entry.hidden_values()
        if hidden is None:
            raise ArgumentError(
                "a Python value that the function read while it was traced has changed since",
                hint="lower and compile again, or call the jitted function itself",
                source=user_source(),
            )
        return self.entry.run([*values, *hidden], leaves)

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
            sum(plan.outputs[number].size_bytes for number, _ in plan.aliases),
            plan.arena_bytes,
            sum(len(code.text) for code in self._program.program.kernels),
        )
