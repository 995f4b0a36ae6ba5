"""Which variables statements read and write: liveness, and what may be unassigned.

In: syntax trees of one function. Out: sets of names. Must not know: values, and what is rewritten.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Function: TypeAlias = "ast.FunctionDef | ast.Lambda"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Uses(ast.NodeVisitor):
    """The names of one scope that syntax trees use.

    `captured` are those that functions defined there read whenever they are called, `rebound` those
    that such functions assign.
    """

    def __init__(self, *nodes: ast.AST) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.captured: set[str] = set()
        self.rebound: set[str] = set()
        self.nonlocals: set[str] = set()
        self.globals: set[str] = set()
        for node in nodes:
            self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        (self.reads if isinstance(node.ctx, ast.Load) else self.writes).add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.reads.add(node.target.id)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:  # else nothing is assigned
            self.visit(node.target)
            self.visit(node.value)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._write(node.name)
        self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> None:
        self._write((node.asname or node.name).split(".")[0])

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._write(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._write(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._write(node.rest)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals.update(node.names)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, _FUNCTIONS):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node)
        else:
            super().visit(node)

    def _write(self, name: str | None) -> None:
        if name:
            self.writes.add(name)

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self._visit_all([*node.args.defaults, *node.args.kw_defaults])
        if not isinstance(node, ast.Lambda):
            self._visit_all(node.decorator_list)
            self.writes.add(node.name)
        inner = Uses(*body_of(node))
        free = (inner.reads | inner.nonlocals | inner.captured) - local_names(node, inner)
        self.reads |= free
        self.captured |= free
        self.rebound |= inner.nonlocals | (inner.rebound - local_names(node, inner))

    def _class(self, node: ast.ClassDef) -> None:
        self.writes.add(node.name)
        inner = Uses(*node.decorator_list, *node.bases, *node.keywords, *node.body)
        self.reads |= inner.reads | inner.captured
        self.captured |= inner.reads | inner.captured
        self.rebound |= inner.rebound

    def _comprehension(self, node: ast.AST) -> None:
        first, *others = node.generators  # type: ignore[attr-defined]
        self.visit(first.iter)
        bound = Uses(first.target, *(g.target for g in others)).writes
        conditions = [c for g in (first, *others) for c in g.ifs]
        elements = [part for name in ("elt", "key", "value") if (part := getattr(node, name, None))]
        inner = Uses(*elements, *conditions, *(g.iter for g in others))
        self.reads |= inner.reads - bound
        self.captured |= inner.captured - bound
        self.writes |= inner.writes


def body_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.AST]:
    """What a function evaluates when it is called."""
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)


def argument_names(arguments: ast.arguments) -> set[str]:
    """The names of all parameters."""
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    listed = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra)
    return {a.arg for a in listed}


def local_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, uses: Uses) -> set[str]:
    """The variables of a function's own, given what its body uses."""
    return argument_names(node.args) | (uses.writes - uses.nonlocals - uses.globals)


# ---- liveness ------------------------------------------------------------------------------------


def live_before(
    statements: Sequence[ast.stmt], after: frozenset[str], always: frozenset[str]
) -> frozenset[str]:
    """The names whose values matter before `statements`, if those in `after` do afterwards.

    Those in `always` do everywhere. Exits other than a last `return` must have been rewritten.
    """
    live = after | always
    for statement in reversed(statements):
        live = _before(statement, live, always) | always
    return live


def live_in_loop(
    loop: ast.While | ast.For, after: frozenset[str], always: frozenset[str]
) -> frozenset[str]:
    """The names whose values matter where a step of a loop begins, its condition included."""
    head = after
    while True:
        body = live_before(loop.body, head, always)
        if isinstance(loop, ast.While):
            now = _evaluated(loop.test, after | body)
        else:
            stop: ast.expr | None = getattr(loop, "stop", None)
            now = after | (body - Uses(loop.target).writes)
            now |= frozenset() if stop is None else Uses(stop).reads
        if now <= head:
            return head
        head |= now


def _evaluated(expression: ast.AST, after: frozenset[str]) -> frozenset[str]:
    uses = Uses(expression)
    return (after - uses.writes) | uses.reads


def _before(statement: ast.stmt, after: frozenset[str], always: frozenset[str]) -> frozenset[str]:
    if isinstance(statement, ast.If):
        sides = [live_before(side, after, always) for side in (statement.body, statement.orelse)]
        return _evaluated(statement.test, sides[0] | sides[1])
    if isinstance(statement, ast.While):
        return live_in_loop(statement, after, always)
    if isinstance(statement, ast.For):
        return _evaluated(statement.iter, live_in_loop(statement, after, always))
    if isinstance(statement, ast.Try):
        kept = watched_by(statement, after, always)
        return live_before(statement.body, after | kept, always | kept)
    if isinstance(statement, ast.With):
        live = live_before(statement.body, after, always)
        return _evaluated(ast.Tuple(list(_parts_of(statement.items)), ast.Load()), live)
    if isinstance(statement, ast.Match):
        cases = [live_before(case.body, after, always) for case in statement.cases]
        patterns = Uses(*[case.pattern for case in statement.cases])
        guards = Uses(*[case.guard for case in statement.cases if case.guard])
        live = after.union(*cases) | patterns.reads | guards.reads
        return _evaluated(statement.subject, live)
    uses = Uses(statement)
    if isinstance(statement, ast.Return):
        return frozenset(uses.reads)
    return (after - uses.writes) | uses.reads


def watched_by(statement: ast.Try, after: frozenset[str], always: frozenset[str]) -> frozenset[str]:
    """The names that matter anywhere in a `try`, for an exception may come at any time."""
    finally_ = live_before(statement.finalbody, after, always)
    else_ = live_before(statement.orelse, finally_, always)
    handlers = [live_before(h.body, finally_, always) for h in statement.handlers]
    kinds = Uses(*[h.type for h in statement.handlers if h.type])
    return finally_.union(else_, *handlers) | kinds.reads


def _parts_of(items: Sequence[ast.withitem]) -> Iterable[ast.expr]:
    for item in items:
        yield item.context_expr
        if item.optional_vars is not None:
            yield item.optional_vars


# ---- what may be unassigned ----------------------------------------------------------------------


def doubtful_names(function: ast.FunctionDef) -> frozenset[str]:
    """The local variables that are read somewhere where they may not have been assigned yet."""
    own = local_names(function, Uses(*function.body))
    search = _Assignments(own)
    search.run(function.body, frozenset(argument_names(function.args)))
    return frozenset(search.doubtful)


_Assigned: TypeAlias = "frozenset[str] | None"  # None: this point is never reached


class _Assignments:
    """Follows a function's statements with the set of names that are certainly assigned."""

    def __init__(self, own: set[str]) -> None:
        self._own = own
        self._breaks: list[list[frozenset[str]]] = []
        self.doubtful: set[str] = set()

    def run(self, statements: Sequence[ast.stmt], assigned: _Assigned) -> _Assigned:
        """What is assigned after the statements."""
        for statement in statements:
            if assigned is None:
                return None
            assigned = self._statement(statement, assigned)
        return assigned

    def _read(self, assigned: frozenset[str], *nodes: ast.AST | None) -> frozenset[str]:
        uses = Uses(*[node for node in nodes if node is not None])
        self.doubtful |= ((uses.reads | uses.captured) & self._own) - assigned
        return assigned | uses.writes

    def _statement(self, node: ast.stmt, assigned: frozenset[str]) -> _Assigned:
        if isinstance(node, ast.If):
            assigned = self._read(assigned, node.test)
            return _both(self.run(node.body, assigned), self.run(node.orelse, assigned))
        if isinstance(node, (ast.While, ast.For)):
            return self._loop(node, assigned)
        if isinstance(node, ast.Try):
            return self._try(node, assigned)
        if isinstance(node, ast.With):
            return self.run(node.body, self._read(assigned, *_parts_of(node.items)))
        if isinstance(node, ast.Match):
            return self._match(node, assigned)
        if isinstance(node, ast.Break):
            self._breaks[-1].append(assigned)
            return None
        after = self._read(assigned, node)
        if isinstance(node, ast.Delete):
            return assigned - Uses(node).writes
        return None if isinstance(node, (ast.Return, ast.Raise, ast.Continue)) else after

    def _loop(self, node: ast.While | ast.For, assigned: frozenset[str]) -> _Assigned:
        self._breaks.append([])
        if isinstance(node, ast.While):
            ended: _Assigned = self._read(assigned, node.test)
            self.run(node.body, ended)
            if isinstance(node.test, ast.Constant) and node.test.value:
                ended = None
        else:
            ended = self._read(assigned, node.iter)
            self.run(node.body, self._read(ended, node.target))
        after = self.run(node.orelse, ended)
        for broken in self._breaks.pop():
            after = _both(after, broken)
        return after

    def _try(self, node: ast.Try, assigned: frozenset[str]) -> _Assigned:
        after = self.run(node.orelse, self.run(node.body, assigned))
        for handler in node.handlers:
            named = {handler.name} if handler.name else set()
            after = _both(after, self.run(handler.body, assigned | named))
        last = self.run(node.finalbody, assigned)
        return None if last is None or after is None else after | last

    def _match(self, node: ast.Match, assigned: frozenset[str]) -> _Assigned:
        assigned = self._read(assigned, node.subject)
        after: _Assigned = assigned
        for case in node.cases:
            inside = self._read(assigned | Uses(case.pattern).writes, case.pattern, case.guard)
            after = _both(after, self.run(case.body, inside))
        return after


def _both(a: _Assigned, b: _Assigned) -> _Assigned:
    if a is None or b is None:
        return b if a is None else a
    return a & b
