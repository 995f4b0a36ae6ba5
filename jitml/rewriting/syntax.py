"""Small pieces of syntax that rewritten code is made of.

Names that rewriting adds hold characters which no name of a user's has, so that they never meet.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import TypeVar

RUNTIME = "(jitml)"  # the variable that holds `jitml.rewriting.runtime`
RETURNED = "(returned)"
RESULT = "(result)"
ITEM = "(item)"
THUNK = "(thunk)"  # a parameter that marks the lambdas which rewriting adds
Node = TypeVar("Node", bound=ast.AST)


def at(place: ast.AST, node: Node) -> Node:
    """`node`, what is new of it at the first line of `place`."""
    line, column = place.lineno, place.col_offset  # type: ignore[attr-defined]
    is_short = place.end_lineno == line  # type: ignore[attr-defined]
    end = place.end_col_offset if is_short else column  # type: ignore[attr-defined]
    for child in ast.walk(node):
        if "lineno" in child._attributes and not hasattr(child, "lineno"):
            child.lineno = child.end_lineno = line  # type: ignore[attr-defined]
            child.col_offset, child.end_col_offset = column, end  # type: ignore[attr-defined]
    return node


def load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def constant(value: object) -> ast.expr:
    return ast.Constant(value)  # type: ignore[arg-type]


def names(values: Iterable[str]) -> ast.expr:
    """A tuple of strings, in order."""
    return ast.Tuple([ast.Constant(v) for v in sorted(values)], ast.Load())


def call(function: str, *arguments: ast.expr) -> ast.Call:
    """A call of a function of the runtime."""
    return ast.Call(ast.Attribute(load(RUNTIME), function, ast.Load()), list(arguments), [])


def thunk(value: ast.expr) -> ast.expr:
    """`lambda: value`, marked as none of the user's."""
    return ast.Lambda(parameters([], [THUNK]), value)


def parameters(plain: Sequence[str], with_none: Sequence[str] = ()) -> ast.arguments:
    """Parameters, the last of which are None unless given."""
    listed = [ast.arg(name) for name in (*plain, *with_none)]
    return ast.arguments(
        posonlyargs=[],
        args=listed,
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[ast.Constant(None) for _ in with_none],
    )


def function(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    """A function definition of all that versions of Python want to know."""
    node = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[])
    node.returns = None
    return without_type_parameters(node)


def without_type_parameters(node: ast.FunctionDef) -> ast.FunctionDef:
    """A definition without type parameters, which Python has had since 3.12."""
    if "type_params" in node._fields:
        vars(node)["type_params"] = []
    return node


def none_of(flags: Sequence[str]) -> ast.expr:
    """Whether no flag is set."""
    tests: list[ast.expr] = [ast.UnaryOp(ast.Not(), load(flag)) for flag in flags]
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)
