"""Functions in their rewritten form, and how far rewriting reaches.

In: what rewritten code is about to call. Out: what it calls instead: the rewritten form of
functions and methods that a user wrote (outside of Python's own library, of installed packages and
of jitml), also in partials and objects that are called; everything else as it is.
"""

from __future__ import annotations

import ast
import copy
import functools
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from jitml.reading import is_library
from jitml.rewriting.activity import note_refused
from jitml.rewriting.blocks import reason_against, rewrite_function
from jitml.rewriting.expressions import Expressions
from jitml.rewriting.source import (
    NoSourceError,
    compile_function,
    find_source,
    is_rewritten,
    renamed,
)
from jitml.rewriting.syntax import RUNTIME

_CODES: dict[CodeType, CodeType] = {}  # the rewritten form of code
_MOST_CODES = 4096


def rewritten(function: Any) -> Any:
    """What is called in place of `function`."""
    if type(function) is FunctionType:
        return _rewritten_function(function)
    if type(function) is MethodType:
        own = rewritten(function.__func__)
        return function if own is function.__func__ else MethodType(own, function.__self__)
    if type(function) is functools.partial:
        own = rewritten(function.func)
        same = own is function.func
        return function if same else functools.partial(own, *function.args, **function.keywords)
    called = getattr(type(function), "__call__", None)  # noqa: B004  (the function is wanted)
    if type(called) is FunctionType and not isinstance(function, type):
        own = rewritten(called)
        return function if own is called else MethodType(own, function)
    return function


def _rewritten_function(function: FunctionType) -> FunctionType:
    code = function.__code__
    if is_library(code.co_filename) or is_rewritten(code):
        return function
    found = _CODES.get(code)
    if found is None:
        try:
            found = _rewritten_code(code, function.__globals__)
        except NoSourceError as error:
            note_refused(code, str(error))
            return function
        if len(_CODES) >= _MOST_CODES:
            _CODES.clear()
        _CODES[code] = found
    return _with_code(function, found)


def _rewritten_code(code: CodeType, names: dict[str, Any]) -> CodeType:
    """The rewritten form of `code`; raises where there is none."""
    found = find_source(code, names)
    node = copy.deepcopy(found.node)
    if isinstance(node, ast.Lambda):
        node.body = Expressions(frozenset(), frozenset()).visit(node.body)
    elif reason := reason_against(node):
        raise NoSourceError(reason)
    else:
        rewrite_function(node)
    found = found._replace(node=node)
    try:
        compiled = compile_function(found, code, (RUNTIME,))
    except SyntaxError as error:
        raise NoSourceError(f"its rewritten form is no Python ({error.msg})") from None
    return renamed(compiled, code.co_name)


def _with_code(function: FunctionType, code: CodeType) -> FunctionType:
    """A function with other code, and the same variables around it."""
    from jitml.rewriting import runtime

    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[RUNTIME] = CellType(runtime)
    closure = tuple(cells[name] for name in code.co_freevars)
    new = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__doc__ = function.__qualname__, function.__doc__
    new.__module__ = function.__module__
    new.__dict__.update(function.__dict__)
    return new
