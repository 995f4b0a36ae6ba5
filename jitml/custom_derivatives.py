"""Derivative rules of the user's own: `custom_jvp` and `custom_vjp`, with the signatures of JAX.

>>> import jitml, jitml.numpy as jnp
>>> @jitml.custom_jvp
... def log1pexp(x):
...     return jnp.log(1.0 + jnp.exp(x))
>>> @log1pexp.defjvp
... def log1pexp_jvp(primals, tangents):
...     (x,), (t,) = primals, tangents
...     return log1pexp(x), (1 - 1 / (1 + jnp.exp(x))) * t
>>> print(jitml.grad(log1pexp)(100.0))
1.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.custom_calls import (
    Called,
    CustomFunction,
    Expected,
    failure,
    pair,
    rule_outputs,
)
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import MissingRuleError, TreeError, UnexpectedTracerError
from jitml.ir.graph import Graph
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.custom import CustomPullback, Pull
from jitml.ops.elementwise import add
from jitml.trace.core import Tracer, bind, trace_graph, type_of, using_source
from jitml.trace.forms import traced_form
from jitml.trace.rules import Push
from jitml.transforms.values import (
    as_value,
    float0,
    float0_zeros,
    is_array_like,
    is_float0,
    retyped,
    zeros,
)
from jitml.tree import broadcast_leaves, flatten_with_path, keystr
from jitml.tree import map as tree_map
from jitml.tree_structure import Structure, flatten

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "zero_from_primal",
]


if TYPE_CHECKING:
    from jitml.closures import closure_convert as closure_convert
    from jitml.closures import custom_gradient as custom_gradient


def __getattr__(name: str) -> Any:
    """The functions of `jitml.closures`, which are made with these here."""
    if name not in ("closure_convert", "custom_gradient"):
        raise AttributeError(f"module 'jitml.custom_derivatives' has no attribute {name!r}")
    from jitml import closures

    return getattr(closures, name)


class SymbolicZero:
    """A tangent or cotangent that is known to be zero, where a rule asked for `symbolic_zeros`."""

    __slots__ = ("aval", "dtype", "shape")

    def __init__(self, aval: Any) -> None:
        self.aval = aval
        self.shape = tuple(aval.shape)
        self.dtype = np.dtype(aval.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"SymbolicZero({self.dtype.name}[{','.join(map(str, self.shape))}])"


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The zero tangent of a value; with `symbolic_zeros` one that only says so.

    >>> zero_from_primal(2.0)
    Array(0., dtype=float32, weak_type=True)
    """
    type_ = val.aval if isinstance(val, SymbolicZero) else type_of(as_value(val))
    return _symbolic_zero(type_) if symbolic_zeros else _zero(type_)


def _tangent_type(type_: ArrayType) -> ArrayType:
    return type_ if is_inexact(type_.dtype) else ArrayType(float0, type_.shape)


def _symbolic_zero(type_: ArrayType) -> SymbolicZero:
    return SymbolicZero(_tangent_type(type_))


def _zero(type_: ArrayType) -> Any:
    return zeros(type_) if is_inexact(type_.dtype) else float0_zeros(type_.shape)


# ---- forward rules -------------------------------------------------------------------------------


class custom_jvp(CustomFunction):
    """A function whose derivative is told by `defjvp`: `rule(primals, tangents)` gives the output
    and its tangent.

    Arguments at `nondiff_argnums` are passed on as they are: to the rule before the others.

    >>> import jitml.numpy as jnp
    >>> f = custom_jvp(lambda x, y: jnp.sin(x) * y)
    >>> f.defjvps(lambda t, out, x, y: jnp.cos(x) * t * y, lambda t, out, x, y: jnp.sin(x) * t)
    >>> print(f(0.0, 2.0))
    0.0
    """

    kind = "custom_jvp"

    jvp: Callable[..., Any] | None = None
    symbolic_zeros = False
    # For functions linear in their last argument: (other arguments, cotangent) -> its cotangent
    transposed: Callable[..., Any] | None = None

    @property
    def followed(self) -> tuple[Any, ...]:
        return () if self.jvp is None else (self.jvp,)

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Give the rule; with `symbolic_zeros`, tangents that are zero come as `SymbolicZero`."""
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        self.forget_rules()
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Give one rule for each argument, `rule(tangent, output, *primals)`; None means zero."""
        if self.nondiff_argnums:
            raise failure("defjvps cannot be used with nondiff_argnums", "use defjvp")

        def jvp(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            parts = [
                rule(t, out, *primals)
                for t, rule in zip(tangents, jvps, strict=True)
                if rule is not None
            ]
            total = tree_map(lambda x, *ts: _summed(x, ts), out, *parts)
            return out, total

        self.defjvp(jvp)

    def check_call(self, args: Sequence[Any]) -> None:
        if self.jvp is None:
            raise failure(
                f"{self.label} has no derivative rule yet",
                f"give it one with {self.label}.defjvp",
                MissingRuleError,
            )

    def push(self, call: Called, expected: list[Expected]) -> Push:
        rule = self.jvp
        assert rule is not None
        zero = _symbolic_zero if self.symbolic_zeros else _zero
        what = f"the rule {_name(rule)} of {self.label}"

        def pushed(
            captured: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any | None]
        ) -> tuple[Sequence[Any], Sequence[Any | None]]:
            values = [as_value(x) for x in primals]
            moving = [
                zero(type_of(x)) if t is None else t for x, t in zip(values, tangents, strict=True)
            ]
            given = (call.structure.unflatten(values), call.structure.unflatten(moving))
            with using_source(None):
                result = traced_form(rule)(*map(_stopped, call.fixed_args), *given)
            out, slope = pair(result, what, "the output and its tangent")
            outputs = rule_outputs(what, out, expected)
            return outputs, _output_tangents(what, outputs, expected[0].structure, slope)

        return pushed

    def pull(self, call: Called, expected: list[Expected]) -> Pull | None:
        transposed = self.transposed
        if transposed is None:
            return None

        def pulled(
            captured: Sequence[Any], inputs: Sequence[Any], cotangents: Sequence[Any]
        ) -> list[Any | None]:
            *others, last = call.structure.unflatten(list(inputs))
            fixed = flatten(others)[0]
            if any(isinstance(x, Undefined) for x in fixed):
                raise failure(f"{self.label} is linear in its last argument only")
            ct = expected[0].structure.unflatten(list(cotangents))
            found = flatten(transposed(*others, ct))[0]
            rows = zip(flatten(last)[0], found, strict=True)
            return [None] * len(fixed) + [t if isinstance(x, Undefined) else None for x, t in rows]

        return pulled


def _output_tangents(
    what: str, outputs: Sequence[Any], structure: Structure, slope: Any
) -> list[Any | None]:
    leaves, own = flatten(slope)
    if own != structure:
        raise failure(
            f"{what} must return an output and a tangent of one structure, but returned "
            f"{structure} and {own}",
            kind=TreeError,
        )
    return [_output_tangent(what, type_of(x), t) for x, t in zip(outputs, leaves, strict=True)]


def _output_tangent(what: str, type_: ArrayType, t: Any) -> Any | None:
    wanted = _tangent_type(type_)
    if isinstance(t, SymbolicZero) or is_float0(t):
        found = ArrayType(np.dtype(t.dtype), tuple(t.shape))
    else:
        t = as_value(t, f"the tangent that {what} returned")
        found = type_of(t)
    if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
        raise failure(
            f"{what} returned a tangent of type {_shown(found)} for an output of type "
            f"{type_}; it must be {_shown(wanted)}"
        )
    return None if isinstance(t, SymbolicZero) or is_float0(t) else retyped(t, type_)


def _shown(type_: ArrayType) -> str:
    return f"float0[{','.join(map(str, type_.shape))}]" if type_.dtype == float0 else str(type_)


def _summed(out: Any, tangents: Sequence[Any]) -> Any:
    if not tangents:
        return _zero(type_of(as_value(out)))
    total = as_value(tangents[0])
    for t in tangents[1:]:
        total = add(total, as_value(t))
    return total


def _stopped(x: Any) -> Any:
    """An argument that is not differentiated, as the rule gets it."""
    from jitml.differentiation import stop_gradient

    return stop_gradient(x) if isinstance(x, Tracer) else x


def _name(fun: Any) -> str:
    return str(getattr(fun, "__name__", type(fun).__name__))


# ---- reverse rules -------------------------------------------------------------------------------


class CustomVJPPrimal:
    """An argument as a forward rule with `symbolic_zeros` gets it: its value, and whether it is
    differentiated.
    """

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool) -> None:
        self.value = value
        self.perturbed = perturbed


class custom_vjp(CustomFunction):
    """A function whose derivative is told by `defvjp(fwd, bwd)`, in reverse mode only.

    `fwd(*args)` gives the output and what to keep; `bwd(kept, cotangent)` gives a tuple with the
    cotangent of each argument (None is zero). Arguments at `nondiff_argnums` are passed to `fwd` in
    their places, to `bwd` before the others.

    >>> f = custom_vjp(lambda x: x * x)
    >>> f.defvjp(lambda x: (x * x, x), lambda x, ct: (10 * x * ct,))
    >>> import jitml
    >>> print(jitml.grad(f)(1.0))
    10.0
    """

    kind = "custom_vjp"

    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None
    symbolic_zeros = False

    @property
    def followed(self) -> tuple[Any, ...]:
        return () if self.fwd is None else (self.fwd, self.bwd)

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Give the rules.

        With `symbolic_zeros`, `fwd` gets `CustomVJPPrimal`s. `optimize_remat` changes nothing: what
        `fwd` computes and nobody needs is always left out.
        """
        if symbolic_zeros and optimize_remat:
            raise failure(
                "defvjp: optimize_remat does not go with symbolic_zeros", "leave one of them out"
            )
        self.fwd, self.bwd, self.symbolic_zeros = fwd, bwd, symbolic_zeros
        self.forget_rules()

    def check_call(self, args: Sequence[Any]) -> None:
        if self.fwd is None or self.bwd is None:
            raise failure(
                f"{self.label} has no derivative rule yet",
                f"give it one with {self.label}.defvjp",
                MissingRuleError,
            )
        for n in self.fixed_positions(len(args)):
            if any(isinstance(x, Tracer) for x in flatten(args[n])[0]):
                raise failure(
                    f"argument {n} of {self.label} is in nondiff_argnums, but is a traced value",
                    "pass it as an ordinary argument, with None for its cotangent",
                    UnexpectedTracerError,
                )

    def push(self, call: Called, expected: list[Expected]) -> Push:
        fwd, bwd = self.fwd, self.bwd
        assert fwd is not None and bwd is not None
        what = f"the rule {_name(fwd)} of {self.label}"

        def pushed(
            captured: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any | None]
        ) -> tuple[Sequence[Any], Sequence[Any | None]]:
            values = [as_value(x) for x in primals]
            given: list[Any] = values
            if self.symbolic_zeros:
                given = [
                    CustomVJPPrimal(x, t is not None) for x, t in zip(values, tangents, strict=True)
                ]
            with using_source(None):
                result = traced_form(fwd)(*call.all_args(given))
            out, kept = pair(result, what, "the output and what to keep for the backward pass")
            outputs = rule_outputs(what, out, expected)
            types = [type_of(x) for x in values]
            backward = _Backward(self, call, types, outputs, expected[0].structure, kept)
            return outputs, backward.tangents(tangents)

        return pushed


class _Backward:
    """The backward rule for one call: what the forward rule kept, and the types around it."""

    def __init__(
        self,
        function: custom_vjp,
        call: Called,
        types: Sequence[ArrayType],
        outputs: Sequence[Any],
        result: Structure,
        kept: Any,
    ) -> None:
        self.function = function
        self.call = call
        self.types = types
        self.outputs = [type_of(x) for x in outputs]
        self.result = result
        leaves, self.kept = flatten(kept)
        self.is_residual = [_is_residual(x) for x in leaves]
        self.leaves = [
            as_value(x) if is_it else x for x, is_it in zip(leaves, self.is_residual, strict=True)
        ]

    def tangents(self, tangents: Sequence[Any | None]) -> list[Any | None]:
        """Tangents of the outputs: what the rule is the transpose of."""
        residuals = [x for x, is_it in zip(self.leaves, self.is_residual, strict=True) if is_it]
        inexact = [is_inexact(t.dtype) for t in self.outputs]
        seeds = [t for t, is_it in zip(self.outputs, inexact, strict=True) if is_it]
        moving = [n for n, t in enumerate(tangents) if t is not None]
        if not moving or not seeds:
            return [None] * len(self.outputs)
        has_cotangent: list[bool] = []

        def backward(*values: Any) -> list[Any]:
            found = self._cotangents(values[: len(residuals)], values[len(residuals) :])
            has_cotangent.extend(found[n] is not None for n in moving)
            return [found[n] for n in moving if found[n] is not None]

        types = [*(type_of(x) for x in residuals), *seeds]
        traced = trace_graph(backward, types, _name(self.function.bwd))
        inputs = traced.graph.inputs
        ordered = (*inputs[len(types) :], *inputs[: len(types)])
        graph = Graph(traced.graph.name, ordered, traced.graph.eqns, traced.graph.outputs)
        count = len(traced.captures) + len(residuals)
        op = CustomPullback(graph, count, tuple(has_cotangent))
        found = iter(bind(op, *traced.captures, *residuals, *(tangents[n] for n in moving)))
        return [next(found) if is_it else None for is_it in inexact]

    def _cotangents(self, residuals: Sequence[Any], seeds: Sequence[Any]) -> list[Any | None]:
        """What the rule gives for each leaf of the arguments."""
        bwd, call = self.function.bwd, self.call
        assert bwd is not None
        given = iter(residuals)
        kept = self.kept.unflatten(
            [
                next(given) if is_it else x
                for x, is_it in zip(self.leaves, self.is_residual, strict=True)
            ]
        )
        cts = iter(seeds)
        zero = _symbolic_zero if self.function.symbolic_zeros else _zero
        cotangent = self.result.unflatten(
            [next(cts) if is_inexact(t.dtype) else zero(t) for t in self.outputs]
        )
        with using_source(None):
            found = traced_form(bwd)(*call.fixed_args, kept, cotangent)
        what = f"the rule {_name(bwd)} of {self.function.label}"
        count = len(call.args) - len(call.fixed_args)
        if isinstance(found, list) and len(found) == count:
            found = tuple(found)
        example = call.structure.unflatten(list(range(len(self.types))))
        try:
            if not isinstance(found, tuple):
                raise TreeError(f"it returned a {type(found).__name__}")
            if len(found) != count:
                raise TreeError(f"it returned {len(found)}")
            leaves = broadcast_leaves(found, example, _ends, "the arguments")
        except TreeError as error:
            raise failure(
                f"{what} must return a tuple with a cotangent for each of {count} arguments, of "
                f"the argument's structure: {error.message}",
                "None stands for the zero cotangent of an argument",
                TreeError,
            ) from None
        paths = [keystr(path) for path, _ in flatten_with_path(example)[0]]
        rows = zip(self.types, leaves, paths, strict=True)
        return [self._cotangent(what, *row) for row in rows]

    def _cotangent(self, what: str, type_: ArrayType, ct: Any, path: str) -> Any | None:
        """One cotangent, checked against the type of its argument."""
        if ct is None or not is_inexact(type_.dtype) or is_float0(ct):
            return None
        if isinstance(ct, SymbolicZero):
            fits = ct.shape == type_.shape
            found: Any = ct
        else:
            ct = as_value(ct, f"the cotangent that {what} returned")
            found = type_of(ct)
            fits = found.shape == type_.shape and is_inexact(found.dtype)
        if not fits:
            raise failure(
                f"{what} returned a cotangent of type {found} at output{path}, "
                f"for an argument of type {type_}"
            )
        return None if isinstance(ct, SymbolicZero) else retyped(ct, type_)


def _is_residual(x: Any) -> bool:
    """Whether a kept value is an array; numbers and other objects are kept as they are."""
    return is_array_like(x) and not isinstance(x, (bool, int, float, complex))


def _ends(x: Any) -> bool:
    return x is None
