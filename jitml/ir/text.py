"""The text of a graph, and back: `parse_graph(str(g))` is `g` up to names.

    graph loss(%w: f32[784,10], %x: f32[128,784]) {
      %h: f32[128,10] = dot_general %x, %w {contract=(((1,), (0,)), ((), ()))}  # train.py:12
      return %h
    }

Names of variables are the user's where known, made unique by a number. A parameter that is a graph,
or several, follows its equation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jitml.ir.dtypes import FROM_SHORT_NAME, SHORT_NAMES
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.nested import is_nested
from jitml.ir.op import Op
from jitml.ir.source import NOWHERE, Source
from jitml.ir.types import parse_type
from jitml_runtime.record import field_names


def format_graph(graph: Graph, sources: bool = True) -> str:
    """The graph as text; `sources=False` leaves the comments with the user's lines out."""
    return "\n".join(_Printer(sources).graph(graph, ""))


class _Printer:
    def __init__(self, sources: bool) -> None:
        self.sources = sources
        self.names: dict[Var, str] = {}
        self.taken: set[str] = set()

    def name(self, var: Var) -> str:
        if var not in self.names:
            stem = re.sub(r"\W+", "_", var.name).strip("_")
            name, number = stem, 0
            while not name or name in self.taken:
                name = f"{stem}.{number}" if stem else str(len(self.names) + number)
                number += 1
            self.taken.add(name)
            self.names[var] = name
        return "%" + self.names[var]

    def atom(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return f"{format_number(atom.value)}:{atom.type}"
        return self.name(atom)

    def defined(self, var: Var) -> str:
        return f"{self.name(var)}: {var.type}"

    def graph(self, graph: Graph, indent: str) -> Iterator[str]:
        inputs = ", ".join(map(self.defined, graph.inputs))
        yield f"{indent}graph {graph.name or 'f'}({inputs}) {{"
        for eqn in graph.eqns:
            yield from self.eqn(eqn, indent + "  ")
        yield f"{indent}  return {', '.join(map(self.atom, graph.outputs))}".rstrip()
        yield indent + "}"

    def eqn(self, eqn: Eqn, indent: str) -> Iterator[str]:
        inputs = ", ".join(map(self.atom, eqn.inputs))
        given = list(eqn.op.parameters().items())
        plain = [(name, value) for name, value in given if not is_nested(value)]
        nested = [(name, value) for name, value in given if is_nested(value)]
        parameters = ", ".join(f"{name}={format_parameter(value)}" for name, value in plain)
        outputs = ", ".join(map(self.defined, eqn.outputs))
        text = f"{indent}{outputs}{' = ' if outputs else ''}{eqn.op.name} {inputs}".rstrip()
        text += f" {{{parameters}}}" if parameters else ""
        text += " with" if nested else ""
        yield text + (f"  # {eqn.source}" if self.sources and eqn.source else "")
        for name, found in nested:
            several = isinstance(found, tuple)
            yield f"{indent}  {name} ({len(found)}) =" if several else f"{indent}  {name} ="
            for graph in found if several else (found,):
                yield from _Printer(self.sources).graph(graph, indent + "    ")


def format_number(value: bool | int | float | complex) -> str:
    """A number so that `parse_number` gives the same bits back."""
    return repr(value).replace(" ", "")


def format_parameter(value: Any) -> str:
    """A parameter of an op as text: Python's own literals, dtypes by their short names."""
    if isinstance(value, np.dtype):
        return SHORT_NAMES[value]
    if hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)
        inside = ", ".join(f"{k}={format_parameter(v)}" for k, v in pairs)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, tuple):
        inside = ", ".join(map(format_parameter, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return format_number(value) if isinstance(value, float) else repr(value)


_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "True": True, "False": False}


def parse_number(text: str) -> bool | int | float | complex:
    """The inverse of `format_number`."""
    if text.lstrip("-") in _NUMBERS:
        number = _NUMBERS[text.lstrip("-")]
        return -number if text.startswith("-") else number
    if text.endswith(("j", "j)")):
        return complex(text)
    return float(text) if re.search(r"[.en]", text) else int(text)


_EQN = re.compile(
    r"^(?:(?P<outputs>[^={]*?)\s*=\s*)?(?P<op>[\w.]+)(?P<inputs>[^{#]*?)"
    r"\s*(?:\{(?P<parameters>.*)\})?(?P<nested> with)?\s*"
    r"(?:  # (?P<source>\S+)(?: \[(?P<scope>.*)\])?)?$"
)
_HEAD = re.compile(r"^graph (?P<name>[^(]*)\((?P<inputs>.*)\) \{$")


def parse_graph(text: str) -> Graph:
    """Read a graph from its text. Every op named in it must have been imported."""
    lines = iter([line.strip() for line in text.splitlines() if line.strip()])
    return _Parser(lines).graph()


class _Parser:
    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.variables: dict[str, Var] = {}

    def graph(self) -> Graph:
        line = next(self.lines)
        head = _HEAD.match(line)
        if head is None:
            raise ArgumentError(f"parse: expected `graph name(…) {{`, found {line!r}")
        inputs = tuple(map(self.define, _split(head["inputs"])))
        eqns: list[Eqn] = []
        for line in self.lines:
            if line.startswith("return"):
                outputs = tuple(map(self.atom, _split(line[len("return") :])))
                next(self.lines)
                return Graph(head["name"], inputs, tuple(eqns), outputs)
            eqns.append(self.eqn(line))
        raise ArgumentError("parse: the graph has no return")

    def define(self, text: str) -> Var:
        name, _, type_ = text.partition(":")
        stem = name.strip().lstrip("%")
        var = Var(parse_type(type_), "" if stem.isdigit() else re.sub(r"\.\d+$", "", stem))
        self.variables[stem] = var
        return var

    def atom(self, text: str) -> Atom:
        if text.startswith("%"):
            try:
                return self.variables[text[1:]]
            except KeyError:
                raise ArgumentError(f"parse: {text} is used before it is defined") from None
        number, _, type_ = text.rpartition(":")
        return Literal(parse_number(number), parse_type(type_))

    def eqn(self, line: str) -> Eqn:
        match = _EQN.match(line)
        if match is None:
            raise ArgumentError(f"parse: not an equation: {line!r}")
        inputs = tuple(map(self.atom, _split(match["inputs"])))
        given = _parse_parameters(match["parameters"] or "")
        op = self.op(match["op"], given, bool(match["nested"]))
        file, _, number = (match["source"] or "").rpartition(":")
        source = NOWHERE
        if file:
            source = Source(file=file, line=int(number), scope=match["scope"] or "")
        return Eqn(op, inputs, tuple(map(self.define, _split(match["outputs"] or ""))), source)

    def op(self, name: str, given: dict[str, Any], nested: bool) -> Op:
        found = Op.registry.get(name)
        if found is None:
            raise ArgumentError(f"parse: there is no op named {name!r}")
        if isinstance(found, Op):
            return found
        if nested:
            for field in field_names(found):
                if field not in given:
                    given[field] = self.nested()
        return found(**given)

    def nested(self) -> Graph | tuple[Graph, ...]:
        """A parameter that is a graph, or as many as its first line says."""
        several = re.search(r"\((\d+)\) =$", next(self.lines))
        if several is None:
            return _Parser(self.lines).graph()
        return tuple([_Parser(self.lines).graph() for _ in range(int(several[1]))])


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "[({") - (char in "])}")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def _parse_parameters(text: str) -> dict[str, Any]:
    if not text:
        return {}
    call = ast.parse(f"f({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(k.arg): _parameter(k.value) for k in call.keywords}


def _parameter(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return FROM_SHORT_NAME[node.id] if node.id in FROM_SHORT_NAME else _NUMBERS[node.id]
    if isinstance(node, ast.Tuple):
        return tuple(map(_parameter, node.elts))
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name):
        return -_NUMBERS[node.operand.id]
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        values = {str(k.arg): _parameter(k.value) for k in node.keywords}
        return PARAMETER_CLASSES[node.func.id](**values)
    return ast.literal_eval(node)


# Named tuples that ops have as parameters (dimension numbers) register here to be readable from
# text.
PARAMETER_CLASSES: dict[str, Any] = {}
