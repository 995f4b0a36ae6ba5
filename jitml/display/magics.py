"""`%load_ext jitml`: the magics `%jit_explain` and `%%jit_report`.

In: IPython's shell. Out: two magics, each of which takes a call `f(x)` and shows how it is
compiled, or what it costs, in place of its result. Must not import IPython: it is there already.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from jitml.compilation import jit
from jitml.dispatch import Jitted
from jitml.ir.errors import ArgumentError

_ASK = "__jitml_ask__"  # what the call is replaced by


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to an IPython shell; `%load_ext jitml` calls this.

    `%jit_explain f(x)` is every stage that `f` goes through, from source to machine code.
    `%%jit_report` before a cell that ends in a call is what each kernel of that call costs. (Each
    may be used either way.) A function that is not jitted is jitted for it.
    """

    def jit_explain(line: str, cell: str | None = None) -> Any:
        """Show how the function that is called is compiled: `%jit_explain f(x)`."""
        return _asked(shell, line, cell, lambda f, *args, **kwargs: f.explain(*args, **kwargs))

    def jit_report(line: str, cell: str | None = None) -> Any:
        """Show what the kernels of the last call of a cell cost: `%%jit_report`."""
        return _asked(shell, line, cell, lambda f, *args, **kwargs: f.report(*args, **kwargs))

    for magic in (jit_explain, jit_report):
        shell.register_magic_function(magic, "line_cell", magic.__name__)


def _asked(shell: Any, line: str, cell: str | None, ask: Callable[..., Any]) -> Any:
    """The answer for the call at the end of the code, whose other statements are executed."""
    source = line if cell is None else f"\n{cell}"  # the magic itself is the first line
    file = shell.compile.cache(source, shell.execution_count)
    tree = ast.parse(source, file)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or not isinstance(last.value, ast.Call):
        raise ArgumentError(
            "the last line is not a call of a function",
            hint="write the call whose program you want to see: %jit_explain f(x)",
        )
    names = shell.user_ns
    exec(compile(ast.Module(tree.body[:-1], []), file, "exec", dont_inherit=True), names)
    call = last.value
    call.args.insert(0, call.func)
    call.func = ast.copy_location(ast.Name(_ASK, ast.Load()), call)
    scope = {**names, _ASK: lambda f, *args, **kwargs: ask(_jitted(f), *args, **kwargs)}
    return eval(compile(ast.Expression(call), file, "eval", dont_inherit=True), scope)


def _jitted(function: Any) -> Any:
    return function if isinstance(function, Jitted) else jit(function)
