"""Check that a graph is well formed: SSA, and every type as the op's own `infer` says."""

from __future__ import annotations

from jitml.ir.errors import InternalError, JitmlError
from jitml.ir.graph import Atom, Graph, Literal, Var
from jitml.ir.nested import nested_graphs


def verify(graph: Graph) -> Graph:
    """Return `graph` if it is well formed, else raise InternalError with its text."""
    defined: set[Var] = set()

    def fail(message: str) -> InternalError:
        return InternalError(f"{message}\n{graph}")

    def define(var: Var) -> None:
        if var in defined:
            raise fail(f"{var} is defined twice")
        defined.add(var)

    def use(atom: Atom) -> None:
        if isinstance(atom, Literal):
            if atom.type.shape:
                raise fail(f"the literal {atom} is not 0-d")
        elif atom not in defined:
            raise fail(f"{atom} is used before it is defined")

    for var in graph.inputs:
        define(var)
    for eqn in graph.eqns:
        for atom in eqn.inputs:
            use(atom)
        for nested in nested_graphs(eqn.op):
            verify(nested)
        try:
            inferred = eqn.op.infer(*(a.type for a in eqn.inputs))
        except JitmlError as error:
            raise fail(f"{eqn.op.name}: {error.message}") from error
        declared = tuple(v.type for v in eqn.outputs)
        if declared != inferred:
            declared_text, inferred_text = (" ".join(map(str, t)) for t in (declared, inferred))
            raise fail(f"{eqn.op.name}: declared {declared_text}, the rule says {inferred_text}")
        for var in eqn.outputs:
            define(var)
    for atom in graph.outputs:
        use(atom)
    return graph
