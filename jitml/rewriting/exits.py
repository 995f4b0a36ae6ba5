"""`break`, `continue` and early `return` as flags, so that every block is left at its end only.

In: the body of a function. Out: the same with at most one `return`, its last statement.

Before: `while c: a; if d: break; b`        After: `while not broke and c: a; if d: broke = True;
                                                    else: b`
What follows an `if` with a side that always leaves moves into its other side; elsewhere it is
guarded by the flags. A `for` keeps its iterable: its attribute `stop` says when to end early.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from jitml.rewriting.syntax import RESULT, RETURNED, assign, at, constant, load, none_of

_LEAVES = (ast.Return, ast.Break, ast.Continue, ast.Raise)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_LOOPS = (ast.While, ast.For)
_BREAK = "break"


def without_exits(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The body of a function with flags for its early exits."""
    returns = list(_returns(body))
    if not returns:
        return _Lowering().block(body, None)
    if returns == [body[-1]]:
        return [*_Lowering().block(body[:-1], None), body[-1]]
    last = at(body[-1], ast.Return(constant(None)))
    whole = [*body] if _ends(body) else [*body, last]
    start = at(body[0], assign(RETURNED, constant(False)))
    end = at(body[-1], ast.Return(load(RESULT)))
    return [start, *_Lowering().block(whole, None), end]


def _returns(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The `return` statements of a function's own."""
    for node in nodes:
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, _INNER):
            yield from _returns(ast.iter_child_nodes(node))


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Whether the end of `body` is never reached."""
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    if isinstance(last, ast.With):
        return _ends(last.body)
    return isinstance(last, _LEAVES) or (isinstance(last, ast.While) and _is_endless(last))


def _is_endless(loop: ast.While) -> bool:
    """Whether only `return` leaves a loop."""
    holds = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    return holds and _BREAK not in _flags_of(loop.body, _Loop(_BREAK, ""))


class _Loop(NamedTuple):
    """The flags of one loop."""

    broke: str
    skipped: str


def _flags(node: ast.AST, loop: _Loop | None) -> Iterator[str]:
    """The flags that a statement in the body of `loop` may set."""
    if isinstance(node, ast.Return):
        yield RETURNED
    elif isinstance(node, (ast.Break, ast.Continue)) and loop is not None:
        yield loop.broke if isinstance(node, ast.Break) else loop.skipped
    elif isinstance(node, _LOOPS):
        yield from (RETURNED for _ in _returns(node.body))
        for statement in node.orelse:
            yield from _flags(statement, loop)
    elif not isinstance(node, _INNER):
        for child in ast.iter_child_nodes(node):
            yield from _flags(child, loop)


def _flags_of(body: Sequence[ast.stmt], loop: _Loop | None) -> list[str]:
    """The flags that statements in the body of `loop` may set, each once."""
    return list(dict.fromkeys(flag for node in body for flag in _flags(node, loop)))


def _with_rest(node: ast.If, rest: Sequence[ast.stmt]) -> ast.If | None:
    """An `if` one of whose sides always leaves, with `rest` in its other side."""
    if _ends(node.body):
        new = ast.If(node.test, node.body, [*node.orelse, *rest])
    elif _ends(node.orelse):
        new = ast.If(node.test, [*node.body, *rest], node.orelse)
    else:
        return None
    return ast.copy_location(new, node)


def _stopping(node: ast.While | ast.For, body: list[ast.stmt], stops: Sequence[str]) -> ast.stmt:
    """A loop that ends when one of the flags is set."""
    if isinstance(node, ast.While):
        test = ast.BoolOp(ast.And(), [none_of(stops), node.test]) if stops else node.test
        return at(node, ast.copy_location(ast.While(test, body, []), node))
    new = ast.copy_location(ast.For(node.target, node.iter, body, []), node)
    new.stop = at(node, ast.UnaryOp(ast.Not(), none_of(stops))) if stops else None  # type: ignore[attr-defined]
    return at(node, new)


class _Lowering:
    def __init__(self) -> None:
        self._loops = 0

    def block(self, body: Sequence[ast.stmt], loop: _Loop | None) -> list[ast.stmt]:
        """Statements without exits; `loop` is the one around them."""
        result: list[ast.stmt] = []
        for position, statement in enumerate(body):
            rest = body[position + 1 :]
            if isinstance(statement, (ast.Return, ast.Break, ast.Continue)):
                return result + self._exit(statement, loop)
            flags = _flags_of([statement], loop)
            if flags and isinstance(statement, ast.If):
                moved = _with_rest(statement, rest)
                if moved is not None:
                    return result + self._statement(moved, loop)
            result += self._statement(statement, loop)
            if flags and rest:
                guarded = ast.If(none_of(flags), self.block(rest, loop), [])
                return [*result, at(rest[0], guarded)]
        return result

    def _exit(self, statement: ast.stmt, loop: _Loop | None) -> list[ast.stmt]:
        if isinstance(statement, ast.Return):
            value = statement.value or constant(None)
            steps = [assign(RESULT, value), assign(RETURNED, constant(True))]
            return [at(statement, step) for step in steps]
        assert loop is not None
        flag = loop.broke if isinstance(statement, ast.Break) else loop.skipped
        return [at(statement, assign(flag, constant(True)))]

    def _statement(self, node: ast.stmt, loop: _Loop | None) -> list[ast.stmt]:
        if isinstance(node, _LOOPS):
            return self._loop(node, loop)
        if isinstance(node, ast.If):
            new: ast.stmt = ast.If(
                node.test,
                self.block(node.body, loop) or [ast.Pass()],
                self.block(node.orelse, loop),
            )
        elif isinstance(node, ast.With):
            new = ast.With(node.items, self.block(node.body, loop))
        elif isinstance(node, ast.Try):
            new = self._try(node, loop)
        elif isinstance(node, ast.Match):
            cases = [
                ast.match_case(c.pattern, c.guard, self.block(c.body, loop)) for c in node.cases
            ]
            new = ast.Match(node.subject, cases)
        else:
            return [node]
        return [at(node, ast.copy_location(new, node))]

    def _try(self, node: ast.Try, loop: _Loop | None) -> ast.stmt:
        handlers = [
            ast.copy_location(ast.ExceptHandler(h.type, h.name, self.block(h.body, loop)), h)
            for h in node.handlers
        ]
        orelse = self.block(node.orelse, loop)
        flags = _flags_of(node.body, loop)
        if flags and orelse:
            orelse = [at(orelse[0], ast.If(none_of(flags), orelse, []))]
        return ast.Try(self.block(node.body, loop), handlers, orelse, node.finalbody)

    def _loop(self, node: ast.While | ast.For, around: _Loop | None) -> list[ast.stmt]:
        self._loops += 1
        loop = _Loop(f"(broke {self._loops})", f"(skipped {self._loops})")
        flags = _flags_of(node.body, loop)
        body = self.block(node.body, loop)
        if loop.skipped in flags:
            body = [at(node, assign(loop.skipped, constant(False))), *body]
        stops = [flag for flag in flags if flag != loop.skipped]
        before = [at(node, assign(loop.broke, constant(False)))] if loop.broke in stops else []
        orelse = self.block(node.orelse, around)
        if stops and orelse:
            orelse = [at(orelse[0], ast.If(none_of(stops), orelse, []))]
        return [*before, _stopping(node, body, stops), *orelse]
