"""`match` as `if` and `elif`, where its patterns are values, alternatives of values, or names.

In: the body of a function. Out: the same without such `match` statements; others stay.

Before: match x: case 0: a; case 1 | 2: b; case n if n > 9: c; case _: d
After:  subject = x
        if subject == 0: a
        elif subject == 1 or subject == 2: b
        else: n = subject; if n > 9: c else: d
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from jitml.rewriting.syntax import assign, at, load


class Matches(ast.NodeTransformer):
    """Rewrites the `match` statements of one function."""

    def __init__(self) -> None:
        self._count = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return node

    def visit_Match(self, node: ast.Match) -> ast.stmt | list[ast.stmt]:
        new = super().generic_visit(node)
        assert isinstance(new, ast.Match)
        if not all(map(_is_simple, new.cases)):
            return new
        self._count += 1
        subject = f"(subject {self._count})"
        return [at(node, assign(subject, new.subject)), *_chain(new.cases, subject)]


def _is_simple(case: ast.match_case) -> bool:
    pattern = case.pattern
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is not None:
        return False
    return isinstance(pattern, ast.MatchAs) or _is_value(pattern)


def _is_value(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchOr):
        return all(map(_is_value, pattern.patterns))
    return isinstance(pattern, (ast.MatchValue, ast.MatchSingleton))


def _chain(cases: Sequence[ast.match_case], subject: str) -> list[ast.stmt]:
    """Statements that run the first of `cases` that the subject fits."""
    if not cases:
        return []
    case, rest = cases[0], _chain(cases[1:], subject)
    pattern, test = case.pattern, case.guard
    before: list[ast.stmt] = []
    if isinstance(pattern, ast.MatchAs):
        if pattern.name is not None:
            before = [at(pattern, assign(pattern.name, load(subject)))]
    else:
        fits = _fits(pattern, subject)
        test = fits if test is None else ast.BoolOp(ast.And(), [fits, test])
    if test is None:
        return [*before, *case.body]
    return [*before, at(pattern, ast.If(test, case.body, rest))]


def _fits(pattern: ast.pattern, subject: str) -> ast.expr:
    if isinstance(pattern, ast.MatchOr):
        return ast.BoolOp(ast.Or(), [_fits(p, subject) for p in pattern.patterns])
    if isinstance(pattern, ast.MatchSingleton):
        return ast.Compare(load(subject), [ast.Is()], [ast.Constant(pattern.value)])
    assert isinstance(pattern, ast.MatchValue)
    return ast.Compare(load(subject), [ast.Eq()], [pattern.value])
