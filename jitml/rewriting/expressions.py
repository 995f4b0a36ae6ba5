"""Expressions whose parts depend on conditions, and calls, as calls of the runtime.

In: statements of a function. Out: the same statements, changed in place, in which `a if c else b`,
`and`, `or`, `not`, chained comparisons, `in`, and calls are calls of `jitml.rewriting.runtime`;
parts that may not be needed are lambdas there.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeVar

from jitml.rewriting.names import Uses
from jitml.rewriting.syntax import at, call, constant, load, thunk

Node = TypeVar("Node", bound=ast.AST)
_UNTOUCHED = frozenset({"super", "print", "isinstance", "len", "type", "getattr", "hasattr"})


class Expressions(ast.NodeTransformer):
    """Rewrites all expressions of one function.

    `doubtful` are the names that are looked at when they are read, `globals_` those that it assigns
    outside of itself; `first_argument` is what `super()` takes.
    """

    def __init__(
        self, doubtful: frozenset[str], globals_: frozenset[str], first_argument: str = ""
    ) -> None:
        self._doubtful = doubtful
        self._globals = globals_
        self._first_argument = first_argument

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._doubtful or not isinstance(node.ctx, ast.Load):
            return node
        return at(node, call("assigned", node))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test = self.test(node.test)
        sides = [self.visit(node.body), self.visit(node.orelse)]
        if _binds(*sides):
            return ast.copy_location(ast.IfExp(test, *sides), node)
        return at(node, call("choose", test, *map(thunk, sides)))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return self._chain(node, [self.visit(value) for value in node.values], "")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if not isinstance(node.op, ast.Not):
            return self._generic(node)
        return at(node, call("not_", self.test(node.operand)))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        new = self._generic(node)
        if _binds(*new.comparators):
            return new
        if len(new.ops) == 1:
            if not isinstance(new.ops[0], (ast.In, ast.NotIn)):
                return new
            found: ast.expr = call("contains", new.comparators[0], new.left)
            return at(node, found if isinstance(new.ops[0], ast.In) else call("not_", found))
        signs = ast.Tuple([constant(type(op).__name__) for op in new.ops], ast.Load())
        return at(node, call("compare", new.left, signs, *map(thunk, new.comparators)))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Name) and function.id in _UNTOUCHED:
            if function.id == "super" and not node.args and self._first_argument:
                node.args = [load("__class__"), load(self._first_argument)]
                return at(node, node)
            return self._generic(node)
        new = self._generic(node)
        new.func = at(function, call("callee", new.func))
        return new

    def test(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            return self._chain(node, [self.test(value) for value in node.values], "_truth")
        new: ast.expr = self.visit(node)
        return new

    def _chain(self, node: ast.BoolOp, values: Sequence[ast.expr], kind: str) -> ast.expr:
        first, *others = values
        if _binds(*others):
            return ast.copy_location(ast.BoolOp(node.op, list(values)), node)
        name = ("and" if isinstance(node.op, ast.And) else "or") + (kind or "_value")
        return at(node, call(name, first, *map(thunk, others)))

    def _generic(self, node: Node) -> Node:
        return super().generic_visit(node)  # type: ignore[return-value]

    # ---- statements ------------------------------------------------------------------------------

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        target = node.target
        before: list[ast.stmt] = []
        if isinstance(target, ast.Name) and target.id in self._doubtful:
            before.append(ast.Expr(call("assigned", load(target.id))))
        if isinstance(target, ast.Name):
            before.append(ast.Expr(call("storing_into", load(target.id), constant(True))))
        before += self._stores([target])
        return [*(at(node, s) for s in before), self._generic(node)]

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        return [*(at(node, s) for s in self._stores(node.targets)), self._generic(node)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | list[ast.stmt]:
        """Without the annotation, which a block could not have."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        plain = ast.Assign([node.target], node.value)
        return self.visit_Assign(at(node, ast.copy_location(plain, node)))

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        return [*(at(node, s) for s in self._stores(node.targets)), self._generic(node)]

    def _stores(self, targets: Sequence[ast.expr]) -> list[ast.stmt]:
        """Checks before what is no variable is assigned: whether a condition may undo that."""
        checks: list[ast.stmt] = []
        for target in targets:
            if isinstance(target, (ast.Tuple, ast.List)):
                checks += self._stores(target.elts)
            elif isinstance(target, ast.Starred):
                checks += self._stores([target.value])
            elif isinstance(target, ast.Attribute):
                checks.append(_storing(f"the attribute {target.attr}"))
            elif isinstance(target, ast.Name) and target.id in self._globals:
                checks.append(_storing(f"the global {target.id}"))
            elif isinstance(target, ast.Subscript) and _is_plain(target.value):
                held = isinstance(_root(target.value), ast.Name)
                found = call("storing_into", _loaded(target.value), constant(held))
                checks.append(ast.Expr(found))
            elif isinstance(target, ast.Subscript):
                checks.append(_storing("an element of what is computed"))
        return checks

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        if node.exc is not None:
            node.exc = at(node, call("raised", self.visit(node.exc)))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        """Only what is evaluated where the function is defined."""
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [
            None if d is None else self.visit(d) for d in node.args.kw_defaults
        ]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return node


def _binds(*nodes: ast.expr) -> bool:
    """Whether evaluating the expressions assigns a variable, which a lambda could not."""
    return bool(Uses(*nodes).writes)


def _storing(what: str) -> ast.stmt:
    return ast.Expr(call("storing", constant(what)))


def _is_plain(node: ast.expr) -> bool:
    """Whether evaluating `node` twice does what evaluating it once does."""
    if isinstance(node, ast.Attribute):
        return _is_plain(node.value)
    if isinstance(node, ast.Subscript):
        return _is_plain(node.value) and isinstance(node.slice, (ast.Constant, ast.Name))
    return isinstance(node, ast.Name)


def _root(node: ast.expr) -> ast.expr:
    """What entries are taken of."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _loaded(node: ast.expr) -> ast.expr:
    source = ast.parse(ast.unparse(node), mode="eval").body
    for child in ast.walk(source):
        for attribute in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(child, attribute):
                delattr(child, attribute)
    return source
