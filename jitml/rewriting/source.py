"""The syntax tree that a function was compiled from, and code compiled from one.

In: code objects. Out: syntax trees, checked against the code, for files may have changed since; and
code with the same variables around it. Must not know: what is rewritten.
"""

from __future__ import annotations
import __future__

import ast
import copy
import functools
import inspect
import linecache
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any, NamedTuple

from jitml.rewriting.syntax import RUNTIME, THUNK, function, parameters, without_type_parameters

_FUTURES = functools.reduce(
    lambda a, b: a | b, [getattr(__future__, n).compiler_flag for n in __future__.all_feature_names]
)
_FACTORY = "(factory)"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_GENERATES = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class NoSourceError(Exception):
    """A function whose source cannot be had; the message says why."""


class Found(NamedTuple):
    """The source of a function: a definition or lambda, the class around it, if any, and the
    imports of its module, whose names Python compiles in a way of their own.
    """

    node: ast.FunctionDef | ast.Lambda
    class_name: str
    imports: Sequence[ast.stmt]


def find_source(code: CodeType, names: dict[str, Any]) -> Found:
    """The syntax tree that `code` was compiled from; `names` are the globals of its function."""
    if code.co_flags & _GENERATES:
        raise NoSourceError("it is a generator or coroutine")
    for _ in range(2):  # what is kept of a file may be older than the code, or the file younger
        lines = linecache.getlines(code.co_filename, names)
        found = _find_in("".join(lines), code) if lines else None
        if found is not None:
            return found
        if not lines or code.co_filename.startswith("<"):  # a name that others may have, too
            raise NoSourceError("its source is not at hand (typed at a prompt, or made by exec)")
        linecache.checkcache(code.co_filename)
    raise NoSourceError("its source has changed since it was compiled")


def _find_in(text: str, code: CodeType) -> Found | None:
    try:
        tree = _parsed(text)
    except SyntaxError:
        return None
    imports = list(_imports(tree))
    for node, class_name in _definitions(tree, ""):
        found = Found(node, class_name, imports)
        if _may_be(node, code) and _is_source(found, code):
            return found
    return None


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _imports(node: ast.AST) -> Iterator[ast.stmt]:
    """The imports of a module itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            if getattr(child, "module", "") != "__future__":
                yield child
        elif isinstance(child, ast.stmt) and not isinstance(child, _SCOPES):
            yield from _imports(child)


def _definitions(
    node: ast.AST, class_name: str
) -> Iterator[tuple[ast.FunctionDef | ast.Lambda, str]]:
    """All functions defined in a tree, and the classes around them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield child, class_name
        inside = child.name if isinstance(child, ast.ClassDef) else class_name
        yield from _definitions(child, inside)


def _may_be(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min(node.lineno, *(d.lineno for d in node.decorator_list), node.lineno)
    return node.name == code.co_name and first == code.co_firstlineno


def _is_source(found: Found, code: CodeType) -> bool:
    compiled = compile_function(found._replace(node=copy.deepcopy(found.node)), code)
    if any(isinstance(child, ast.Assert) for child in ast.walk(found.node)):
        count = code.co_argcount  # test runners compile assertions in a way of their own
        return compiled.co_varnames[:count] == code.co_varnames[:count]
    return _is_same(compiled, code)


def _is_same(a: CodeType, b: CodeType) -> bool:
    """Whether two code objects do the same."""
    parts = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount")
    return (
        all(getattr(a, part) == getattr(b, part) for part in parts)
        and len(a.co_consts) == len(b.co_consts)
        and all(map(_is_same_constant, a.co_consts, b.co_consts))
    )


def _is_same_constant(x: Any, y: Any) -> bool:
    if isinstance(x, CodeType) and isinstance(y, CodeType):
        return _is_same(x, y)
    if isinstance(x, str) and "<locals>" in x and isinstance(y, str) and "<locals>" in y:
        # before 3.11 the qualified name of an inner function, which tells what is around it
        return x.rpartition(".")[2] == y.rpartition(".")[2]
    return type(x) is type(y) and repr(x) == repr(y)


def compile_function(found: Found, code: CodeType, more: Sequence[str] = ()) -> CodeType:
    """Compile a definition where `code` stood: with its file, and the variables around it free;
    `more` are other free variables. The tree is changed.
    """
    node = found.node
    node.args.defaults, node.args.kw_defaults = [], [None] * len(node.args.kwonlyargs)
    body: ast.stmt = ast.Expr(node) if isinstance(node, ast.Lambda) else node
    if isinstance(node, ast.FunctionDef):
        node.decorator_list, node.returns = [], None
        body = without_type_parameters(node)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if found.class_name:  # names with two underscores mean what they mean in the class
        around = ast.parse("class C: pass").body[0]
        assert isinstance(around, ast.ClassDef)
        around.name, around.body = found.class_name, [body]
        body = around
    # What is defined is no variable of the factory, unless it was one of the function around it.
    outer = [ast.Global([n]) for n in _defined(body) if n not in code.co_freevars]
    factory = function(_FACTORY, parameters([*code.co_freevars, *more]), [*outer, body])
    tree = ast.fix_missing_locations(ast.Module([*found.imports, factory], []))
    compiled: CodeType = compile(tree, code.co_filename, "exec", code.co_flags & _FUTURES, True)
    for _ in range(3 if found.class_name else 2):
        compiled = next(c for c in compiled.co_consts if isinstance(c, CodeType))
    return compiled


def _defined(node: ast.stmt) -> list[str]:
    return [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []


def renamed(code: CodeType, name: str) -> CodeType:
    """`code` with the functions that blocks and lambdas of rewritten code are called `name`, as
    the function that the user wrote.
    """
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_ours = constant.co_name.startswith("(") or THUNK in constant.co_varnames
            own = name if is_ours else constant.co_name
            inner = name if is_ours or own.startswith("<") else own
            constant = renamed(constant, inner).replace(co_name=own)
        constants.append(constant)
    whole = getattr(code, "co_qualname", None)
    named = {} if whole is None else {"co_qualname": whole.replace(f"{_FACTORY}.<locals>.", "")}
    return code.replace(co_consts=tuple(constants), **named)


def is_rewritten(code: CodeType) -> bool:
    """Whether `code` is rewritten code."""
    return RUNTIME in code.co_freevars
