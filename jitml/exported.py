"""Traced functions as bytes: `export` writes the graph of a function down, `deserialize` reads it.

In: a jitted function and example arguments, of which the types count. Out: an `Exported`, which any
jitml of the same version calls, differentiates and maps, on any processor. What Python code would
have to run for (derivative rules of the user's own, callbacks) is not in the graph's text; rules
are left out, callbacks refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import jitml
from jitml.abstract import struct_of
from jitml.checkpoint_structure import DamagedStructure, node_to_text, text_to_structure
from jitml.compilation import jit
from jitml.custom_derivatives import custom_jvp
from jitml.dispatch import Jitted
from jitml.ir.errors import (
    ArgumentError,
    CheckpointError,
    DifferentiationError,
    TransformError,
    TreeError,
)
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.source import user_source
from jitml.ir.text import format_graph, parse_graph
from jitml.ir.types import ArrayType, parse_type
from jitml.trace.core import type_of
from jitml.transforms.inline import inline
from jitml.transforms.inline_calls import inline_calls
from jitml.transforms.values import as_value
from jitml.tree_structure import Structure, flatten
from jitml_runtime import from_numpy, to_numpy
from jitml_runtime.record import replace

__all__ = ["Exported", "default_export_platform", "deserialize", "export"]

_MAGIC = b"jitml graph\n"
_DIGEST_BYTES = 16


def default_export_platform() -> str:
    """The platform that functions are exported for.

    >>> default_export_platform()
    'cpu'
    """
    return "cpu"


def export(
    fun_jit: Callable[..., Any],
    *,
    platforms: Sequence[str] | None = None,
    disabled_checks: Sequence[Any] = (),
) -> Callable[..., Exported]:
    """The function that gives `fun_jit` exported for arguments (arrays or ShapeDtypeStructs).

    >>> import jitml, jitml.numpy as jnp
    >>> exported = export(jitml.jit(jnp.sin))(jitml.ShapeDtypeStruct((2,), "float32"))
    >>> print(deserialize(exported.serialize()).call(jnp.zeros(2)))
    [0. 0.]
    """
    if not isinstance(fun_jit, Jitted):
        raise ArgumentError(
            f"export: a {type(fun_jit).__name__} is not a jitted function",
            hint="write export(jitml.jit(f))(…)",
            source=user_source(),
        )
    if platforms is not None and tuple(platforms) != ("cpu",):
        raise ArgumentError(
            f"export: there is no platform {platforms!r}",
            hint="programs run on 'cpu'",
            source=user_source(),
        )

    def exported(*args: Any, **kwargs: Any) -> Exported:
        traced = fun_jit.trace(*args, **kwargs)
        constants = [to_numpy(as_value(x)) for x in traced.entry.hidden_values() or ()]
        graph, trees = _plain(traced.graph), (traced.in_tree, traced.out_tree)
        return Exported(traced.fun_name, graph, *trees, constants, not _has_rules(traced.graph))

    return exported


class Exported:
    """A function that is written down: `call` runs it, `serialize` gives its bytes."""

    platforms = ("cpu",)
    nr_devices = 1

    def __init__(
        self,
        fun_name: str,
        graph: Graph,
        in_tree: Structure,
        out_tree: Structure,
        constants: Sequence[np.ndarray[Any, Any]],
        is_differentiable: bool = True,
    ) -> None:
        self.fun_name = fun_name
        self.graph = graph
        self.in_tree = in_tree
        self.out_tree = out_tree
        self._constants = constants
        self._is_differentiable = is_differentiable
        self._run = jit(self._flat if is_differentiable else self._without_derivative())

    @property
    def in_avals(self) -> tuple[Any, ...]:
        """The types of the arguments, one for each leaf."""
        return tuple([struct_of(t) for t in self.graph.input_types[: self.in_tree.num_leaves]])

    @property
    def out_avals(self) -> tuple[Any, ...]:
        """The types of the results, one for each leaf."""
        return tuple([struct_of(t) for t in self.graph.output_types])

    def _flat(self, *leaves: Any) -> list[Any]:
        constants = [from_numpy(x) for x in self._constants]
        return [as_value(x) for x in inline(self.graph, [*leaves, *constants])]

    def _without_derivative(self) -> Callable[..., Any]:
        """The function, whose derivative is an error: its own rules are not in the text."""

        def rule(primals: Any, tangents: Any) -> Any:
            raise DifferentiationError(
                f"{self.fun_name} has derivative rules of the user's own, which were not exported",
                hint="export a function that computes the gradient",
                source=user_source(),
            )

        function = custom_jvp(self._flat)
        function.defjvp(rule)
        return function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result; arguments have the types that it was exported for."""
        leaves, structure = flatten((args, kwargs))
        if structure != self.in_tree:
            raise TreeError(
                f"{self.fun_name} was exported for arguments of structure {self.in_tree}, "
                f"called with {structure}",
                source=user_source(),
            )
        values = [as_value(x) for x in leaves]
        for number, (x, wanted) in enumerate(zip(values, self.graph.input_types, strict=False)):
            if (type_of(x).dtype, type_of(x).shape) != (wanted.dtype, wanted.shape):
                raise ArgumentError(
                    f"{self.fun_name} was exported for {wanted} as argument leaf {number}, "
                    f"called with {type_of(x)}",
                    hint="export it for these types, too",
                    source=user_source(),
                )
        return self.out_tree.unflatten(self._run(*values))

    def mlir_module(self) -> str:
        """The graph as text."""
        return str(self.graph)

    def serialize(self, vjp_order: int = 0) -> bytearray:
        """The function as bytes, which `deserialize` reads. Derivatives need no place in them: the
        function that is read can be differentiated.
        """
        head = {
            "version": jitml.__version__,
            "name": self.fun_name,
            "graph": format_graph(self.graph, sources=False),
            "in": node_to_text(self.in_tree.spec),
            "out": node_to_text(self.out_tree.spec),
            "differentiable": self._is_differentiable,
            "leaves": [self.in_tree.num_leaves, self.out_tree.num_leaves],
            "constants": [str(ArrayType(x.dtype, x.shape)) for x in self._constants],
        }
        text = json.dumps(head).encode()
        body = [len(text).to_bytes(8, "little"), text]
        body += [np.ascontiguousarray(x).tobytes() for x in self._constants]
        data = b"".join(body)
        return bytearray(_MAGIC + _digest(data) + data)


def deserialize(blob: bytes | bytearray) -> Exported:
    """The function that `Exported.serialize` has written.

    >>> import jitml
    >>> print(deserialize(export(jitml.jit(lambda x: x + 1))(1.0).serialize()).call(2.0))
    3.0
    """
    data = bytes(blob)
    begin = len(_MAGIC) + _DIGEST_BYTES
    if not data.startswith(_MAGIC):
        raise _failure("these bytes are no exported function")
    if data[len(_MAGIC) : begin] != _digest(data[begin:]):
        raise _failure("the bytes are damaged: their checksum is another")
    size = int.from_bytes(data[begin : begin + 8], "little")
    head = json.loads(data[begin + 8 : begin + 8 + size])
    if head["version"] != jitml.__version__:
        raise _failure(f"exported by jitml {head['version']}, this is {jitml.__version__}")
    try:
        inside, outside = head["leaves"]
        return Exported(
            head["name"],
            parse_graph(head["graph"]),
            text_to_structure(head["in"], inside),
            text_to_structure(head["out"], outside),
            _constants(head["constants"], data[begin + 8 + size :]),
            head["differentiable"],
        )
    except DamagedStructure as error:
        raise _failure(str(error)) from None


def _constants(types: Sequence[str], data: bytes) -> list[np.ndarray[Any, Any]]:
    found, at = [], 0
    for type_ in map(parse_type, types):
        count = type_.size
        found.append(np.frombuffer(data, type_.dtype, count, at).reshape(type_.shape))
        at += count * type_.dtype.itemsize
    return found


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _failure(problem: str) -> CheckpointError:
    return CheckpointError(
        f"deserialize: {problem}", hint="export the function again", source=user_source()
    )


def _plain(graph: Graph) -> Graph:
    """The graph without what Python code belongs to, checked to come back from its text."""
    found = _without_calls(graph)
    check_own(found)
    return found


def check_own(graph: Graph) -> None:
    """Raise if a graph calls functions of this process."""
    eqn = next(_calls_of_this_process(graph), None)
    if eqn is not None:
        raise TransformError(
            f"export: {graph.name} calls functions of this process while it runs, which a "
            f"file cannot hold: {eqn.op.name} of {eqn.op.function.name}",  # type: ignore[attr-defined]
            hint="leave callbacks and calls of numba functions out of the exported function",
            source=eqn.source,
        )


def _calls_of_this_process(graph: Graph) -> Iterator[Eqn]:
    for eqn in graph.eqns:
        if eqn.op.is_of_this_process:
            yield eqn
        for nested in nested_graphs(eqn.op):
            yield from _calls_of_this_process(nested)


def _has_rules(graph: Graph) -> bool:
    """Whether it calls functions that have derivative rules of the user's own."""
    return any(
        (eqn.op.has_rule and eqn.op.name != "checkpoint")
        or any(map(_has_rules, nested_graphs(eqn.op)))
        for eqn in graph.eqns
    )


def _without_calls(graph: Graph) -> Graph:
    eqns = [replace(eqn, op=map_nested(eqn.op, _without_calls)) for eqn in graph.eqns]
    return inline_calls(graph.with_eqns(eqns))
