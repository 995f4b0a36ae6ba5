"""Transposition: a graph that is linear in some inputs to the graph that pulls cotangents back."""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from typing import Any, NamedTuple

from jitml.ir.errors import DifferentiationError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Undefined
from jitml.ops.elementwise import add, convert, div, zero_times
from jitml.ops.kinds import fit
from jitml.trace.core import trace_graph, using_source
from jitml.transforms.inline import name_value, replay
from jitml.transforms.strong_zeros import strong_zeros

# Ops that are linear in each of two inputs, but not in both at once.
_BILINEAR = frozenset({"mul", "zero_times", "dot_general", "conv_general_dilated"})


class Transposed(NamedTuple):
    """`graph` takes the inputs that are not linear, then cotangents; it returns cotangents.

    `has_cotangent` says for which linear inputs it returns one; those of the others are zero.
    """

    graph: Graph
    has_cotangent: tuple[bool, ...]


def transpose(
    graph: Graph, linear: Sequence[bool], given: Sequence[bool] | None = None
) -> Transposed:
    """The transpose of `graph` in its `linear` inputs; `given` tells the outputs that get a
    cotangent (all).

    Before: `graph f(%c, %t) { %y = mul %t, %c; return %y }`, linear in %t
    After:  `graph f.transpose(%c, %y_ct) { %r = mul %y_ct, %c; return %r }`
    """
    flags = [True] * len(graph.outputs) if given is None else given
    fixed = [v for v, is_linear in zip(graph.inputs, linear, strict=True) if not is_linear]
    types = [a.type for a, has in zip(graph.outputs, flags, strict=True) if has]
    nonzero: list[bool] = []

    def pulled(*arguments: Any) -> list[Any]:
        cotangents = iter(arguments[len(fixed) :])
        seeds = [next(cotangents) if has else None for has in flags]
        results = pull_back(graph, linear, arguments[: len(fixed)], seeds)
        nonzero.extend(ct is not None for ct in results)
        return [ct for ct in results if ct is not None]

    names = [v.name for v in fixed] + ["ct"] * len(types)
    traced = trace_graph(
        pulled, [*(v.type for v in fixed), *types], f"{graph.name}.transpose", names
    )
    return Transposed(traced.graph, tuple(nonzero))


def pull_back(
    graph: Graph, linear: Sequence[bool], fixed: Sequence[Any], cotangents: Sequence[Any | None]
) -> list[Any | None]:
    """Cotangents of the linear inputs, for values of the others and cotangents of the outputs.

    Equations that do not depend on linear inputs are computed first, in their order.
    """
    values: dict[Any, Any] = {}
    remaining = iter(fixed)
    moving: set[Var] = set()
    for var, is_linear in zip(graph.inputs, linear, strict=True):
        if is_linear:
            moving.add(var)
        else:
            values[var] = next(remaining)
    tangent_eqns: list[Eqn] = []
    for eqn in graph.eqns:
        if moving.isdisjoint(eqn.inputs):
            outputs = replay(eqn, [values.get(a, a) for a in eqn.inputs])
            values.update(zip(eqn.outputs, outputs, strict=True))
        else:
            tangent_eqns.append(eqn)
            moving.update(eqn.outputs)
    backward = _Backward(values, moving, strong_zeros(graph, moving))
    for atom, ct in zip(graph.outputs, cotangents, strict=True):
        backward.accumulate(atom, ct)
    for eqn in reversed(tangent_eqns):
        backward.step(eqn)
    return [
        backward.final(v) for v, is_linear in zip(graph.inputs, linear, strict=True) if is_linear
    ]


class _Backward:
    """The cotangents that have come back so far."""

    def __init__(self, values: dict[Any, Any], moving: set[Var], strong: set[Var]) -> None:
        self.values = values
        self.moving = moving
        self.strong = strong
        self.cotangents: dict[Var, Any] = {}

    def accumulate(self, atom: Any, ct: Any | None) -> None:
        if ct is None or atom not in self.moving:
            return
        before = self.cotangents.get(atom)
        total = self.cotangents[atom] = ct if before is None else add(before, ct)
        name_value(total, f"{atom.name}_ct" if atom.name else "")

    def final(self, var: Var) -> Any | None:
        """The cotangent of an input, with the input's own weak flag."""
        ct = self.cotangents.get(var)
        return None if ct is None else convert(ct, var.type.dtype, var.type.weak)

    def step(self, eqn: Eqn) -> None:
        """Pull the cotangents of one equation's outputs back to its linear inputs."""
        cotangents = [self.cotangents.pop(v, None) for v in eqn.outputs]
        if all(ct is None for ct in cotangents):
            return
        inputs = [
            Undefined(a.type) if a in self.moving else self.values.get(a, a) for a in eqn.inputs
        ]
        with using_source(eqn.source):
            results = self._transposed(eqn, cotangents, inputs)
            for atom, ct in zip(eqn.inputs, results, strict=True):
                self.accumulate(atom, ct)

    def _transposed(
        self, eqn: Eqn, cotangents: Sequence[Any | None], inputs: Sequence[Any]
    ) -> Sequence[Any | None]:
        op = eqn.op
        _check_linear(eqn, inputs)
        if _may_be_infinite(eqn) and not self.strong.isdisjoint(eqn.outputs):
            return _strong_product(op.name, cotangents[0], inputs)
        if getattr(op, "takes_transforms", False):
            return op.transpose(cotangents, inputs, transpose)  # type: ignore[call-arg]
        return op.transpose(cotangents, inputs)


def _may_be_infinite(eqn: Eqn) -> bool:
    """Whether the equation scales by a factor that can be infinite or NaN (a literal of 0.5
    cannot).
    """
    if eqn.op.name not in ("mul", "div"):
        return False
    literals = [a.value for a in eqn.inputs if isinstance(a, Literal)]
    return not (literals and all(cmath.isfinite(x) and x != 0 for x in literals))


def _check_linear(eqn: Eqn, inputs: Sequence[Any]) -> None:
    op = eqn.op
    unknown = sum(isinstance(x, Undefined) for x in inputs)
    divides = op.name == "div" and isinstance(inputs[1], Undefined)
    if not op.has("transpose") or (op.name in _BILINEAR and unknown > 1) or divides:
        raise DifferentiationError(
            f"{op.name} is not linear in the inputs that are transposed",
            hint="linear_transpose takes linear functions only; vjp takes all",
            source=eqn.source,
        )


def _strong_product(name: str, ct: Any, inputs: Sequence[Any]) -> list[Any | None]:
    """Transpose mul or div by a factor that may be infinite, where a zero cotangent must stay
    zero.
    """
    x, y = inputs
    linear, factor = (x, y) if isinstance(x, Undefined) else (y, x)
    if name == "div":
        factor = div(1, factor)
    result = fit(zero_times(ct, factor), linear.type.shape)
    return [result, None] if linear is x else [None, result]
