"""`if`, `while` and `for` as calls of the runtime, their blocks as functions.

In: a function's body without early exits. Out: statements in which

    if c: x = 1                 def then(): nonlocal x; x = 1
    else: x = 2                 def orelse(): nonlocal x; x = 2
                                runtime.if_(c, then, orelse, names, doubtful)

`names` are the variables whose values matter afterwards, and for a loop also those that matter in
its next step.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from jitml.rewriting.exits import without_exits
from jitml.rewriting.expressions import Expressions
from jitml.rewriting.matching import Matches
from jitml.rewriting.names import (
    Uses,
    argument_names,
    doubtful_names,
    live_before,
    live_in_loop,
    local_names,
    watched_by,
)
from jitml.rewriting.syntax import (
    ITEM,
    assign,
    at,
    call,
    constant,
    function,
    load,
    names,
    parameters,
    thunk,
)

_LOOKING_UP = frozenset({"locals", "vars", "eval", "exec", "dir"})


def rewrite_function(node: ast.FunctionDef) -> None:
    """Rewrite the body of a function in place."""
    matches = Matches()
    node.body = [new for s in node.body for new in _listed(matches.visit(s))]
    doubtful = doubtful_names(node)
    body = without_exits(node.body)
    uses = Uses(*body)
    own = local_names(node, uses)
    listed = [*node.args.posonlyargs, *node.args.args]
    expressions = Expressions(doubtful, frozenset(uses.globals), listed[0].arg if listed else "")
    blocks = Blocks(own, uses, doubtful, expressions).body(body)
    scopes = [s for s in body if isinstance(s, (ast.Global, ast.Nonlocal))]
    inner = [s for s in blocks if s not in scopes]
    bound = sorted(own - argument_names(node.args))
    node.body = [*scopes, *([_binding(node, bound)] if bound else []), *inner]


def reason_against(node: ast.FunctionDef) -> str:
    """Why a function cannot be rewritten; nothing if it can."""
    for child in _own_nodes(node.body):
        if isinstance(child, (ast.Yield, ast.YieldFrom, ast.Await)):
            return "it is a generator or coroutine"
        if isinstance(child, ast.Name) and child.id in _LOOKING_UP:
            return f"it looks up variables by name ({child.id})"
        if isinstance(child, ast.Try) and any(map(_is_exit, _own_nodes(child.finalbody))):
            return "it leaves a `finally` early"
    return ""


def _is_exit(node: ast.AST) -> bool:
    return isinstance(node, (ast.Return, ast.Break, ast.Continue))


def _own_nodes(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _own_nodes(ast.iter_child_nodes(node))


def _binding(place: ast.AST, own: Sequence[str]) -> ast.stmt:
    """A statement that never runs, and makes the names variables of this function."""
    assigned = [assign(name, constant(None)) for name in own]
    return at(place, ast.If(constant(False), list(assigned), []))


class Blocks:
    """Rewrites the blocks of one function: `own` are its local variables, `uses` what its body
    reads and assigns, `doubtful` what may be read before it is assigned.
    """

    def __init__(
        self, own: set[str], uses: Uses, doubtful: frozenset[str], expressions: Expressions
    ) -> None:
        self._assignable = frozenset(own | uses.nonlocals)
        self._globals = frozenset(uses.globals)
        self._rebound = frozenset(uses.rebound) & self._assignable
        self._always = (frozenset(uses.captured) | uses.nonlocals) & self._assignable
        self._doubtful = doubtful
        self._expressions = expressions

    def body(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The whole body of the function."""
        return self._block(statements, frozenset(), self._always)

    def _block(
        self, statements: Sequence[ast.stmt], after: frozenset[str], always: frozenset[str]
    ) -> list[ast.stmt]:
        """Statements, of whose variables those in `after` and `always` matter afterwards."""
        result: list[list[ast.stmt]] = []
        live = after | always
        for statement in reversed(statements):
            before = live_before([statement], live, always)  # rewriting changes the statement
            result.append(self._statement(statement, live, always))
            live = before
        return [new for group in reversed(result) for new in group]

    def _statement(
        self, node: ast.stmt, after: frozenset[str], always: frozenset[str]
    ) -> list[ast.stmt]:
        if isinstance(node, ast.If):
            return self._if(node, after, always)
        if isinstance(node, ast.While):
            return self._while(node, after, always)
        if isinstance(node, ast.For):
            return self._for(node, after, always)
        if isinstance(node, ast.Try):
            kept = always | watched_by(node, after, always)
            node.body = self._block(node.body, after | kept, kept)
            for handler in node.handlers:
                handler.body = self._block(handler.body, after | kept, kept)
            node.orelse = self._block(node.orelse, after | kept, kept)
            node.finalbody = self._block(node.finalbody, after, always)
            return [node]
        if isinstance(node, ast.With):
            node.body = self._block(node.body, after, always)
            items = ast.With(node.items, [ast.Pass()])
            node.items = self._expressions.visit(items).items
            return [node]
        if isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self._block(case.body, after, always)
            node.subject = self._expressions.visit(node.subject)
            return [node]
        if isinstance(node, ast.FunctionDef) and not reason_against(node):
            rewrite_function(node)
        return _listed(self._expressions.visit(node))

    # ---- statements with blocks ------------------------------------------------------------------

    def _if(self, node: ast.If, after: frozenset[str], always: frozenset[str]) -> list[ast.stmt]:
        written = self._written(*node.body, *node.orelse) & after
        blocks = [
            self._function(name, node, side, after, always, written)
            for name, side in (("(then)", node.body), ("(else)", node.orelse))
        ]
        test = self._expressions.test(node.test)
        return self._called(node, "if_", blocks, written, test, *_loaded(blocks))

    def _while(
        self, node: ast.While, after: frozenset[str], always: frozenset[str]
    ) -> list[ast.stmt]:
        head = live_in_loop(node, after, always)
        written = self._written(*node.body, node.test) & (head | after)
        test = at(node.test, ast.Return(self._expressions.test(node.test)))
        asks = function("(while)", parameters([]), [*self._declared([node.test]), test])
        body = self._function("(do)", node, node.body, head, always, written)
        blocks = [at(node, asks), body]
        return self._called(node, "while_", blocks, written, *_loaded(blocks))

    def _for(self, node: ast.For, after: frozenset[str], always: frozenset[str]) -> list[ast.stmt]:
        head = live_in_loop(node, after, always)
        stop: ast.expr | None = getattr(node, "stop", None)
        start = at(node.target, ast.Assign([node.target], load(ITEM)))
        body = [start, *node.body]
        written = self._written(*body) & (head | after)
        block = self._function("(for)", node, body, head, always, written, parameters([ITEM]))
        stops = constant(None) if stop is None else thunk(self._expressions.test(stop))
        iterable = self._expressions.visit(node.iter)
        return self._called(node, "for_", [block], written, iterable, load("(for)"), stops)

    def _function(
        self,
        name: str,
        place: ast.stmt,
        body: Sequence[ast.stmt],
        after: frozenset[str],
        always: frozenset[str],
        written: frozenset[str],
        arguments: ast.arguments | None = None,
    ) -> ast.stmt:
        """A block as a function; those of `written` that it leaves alone are declared as well."""
        declared = self._declared(body, written)
        inner = self._block(body, after, always) or [ast.Pass()]
        block = function(name, arguments or parameters([]), [*declared, *inner])
        return at(body[0] if body else place, block)

    def _called(
        self,
        node: ast.stmt,
        name: str,
        blocks: list[ast.stmt],
        written: frozenset[str],
        *arguments: ast.expr,
    ) -> list[ast.stmt]:
        doubtful = names(written & self._doubtful)
        done = ast.Expr(call(name, *arguments, names(written), doubtful))
        return [*blocks, at(node, done)]

    def _written(self, *nodes: ast.AST) -> frozenset[str]:
        return (frozenset(Uses(*nodes).writes) & self._assignable) | self._rebound

    def _declared(
        self, body: Sequence[ast.AST], also: frozenset[str] = frozenset()
    ) -> list[ast.stmt]:
        """The declarations with which a block assigns the function's variables."""
        uses = Uses(*body)
        outer = (uses.writes & self._assignable) | also
        found: list[ast.stmt] = [ast.Nonlocal(sorted(outer))] if outer else []
        if uses.writes & self._globals:
            found.append(ast.Global(sorted(uses.writes & self._globals)))
        return found


def _listed(made: ast.stmt | list[ast.stmt]) -> list[ast.stmt]:
    """What a transformer makes of a statement."""
    return made if isinstance(made, list) else [made]


def _loaded(blocks: Sequence[ast.stmt]) -> list[ast.expr]:
    return [load(block.name) for block in blocks if isinstance(block, ast.FunctionDef)]
