"""Programs that differentiate and vectorize, written once for jitml's ops and for JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitml import differentiation, jacobians, vectorization
from jitml.ir.types import ArrayType
from jitml.ops import elementwise, movement, reduction
from jitml.ops.contraction import dot_general
from jitml.trace.core import type_of
from jitml.transforms.values import as_value


class Ops:
    """The functions that programs use, on jitml's ops."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(elementwise, {"max2": "maximum"}.get(name, name))

        def applied(*xs: Any) -> Any:
            return function(*[self._operand(x, xs) for x in xs])

        return applied

    def _operand(self, x: Any, xs: tuple[Any, ...]) -> Any:
        if isinstance(x, (bool, int, float)):
            model = next(type_of(as_value(y)) for y in xs if not isinstance(y, (int, float)))
            return elementwise.full_like(x=as_value(np.zeros((), model.dtype)), number=x)
        value = as_value(x)
        shapes = [type_of(as_value(y)).shape for y in xs if not isinstance(y, (int, float))]
        shape = np.broadcast_shapes(*shapes)
        own = type_of(value).shape
        if not own or own == shape:
            return value
        return movement.broadcast_in_dim(value, shape, range(len(shape) - len(own), len(shape)))

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return elementwise.select(condition, *[self._operand(v, (x, y, condition)) for v in (x, y)])

    def dot(self, x: Any, y: Any) -> Any:
        contract = ((len(type_of(as_value(x)).shape) - 1,), (0,))
        return dot_general(as_value(x), as_value(y), (contract, ((), ())))

    def sum(self, x: Any, axis: int | None = None) -> Any:
        return reduction.reduce_sum(x, self._axes(x, axis))

    def max(self, x: Any, axis: int | None = None) -> Any:
        return reduction.reduce_max(x, self._axes(x, axis))

    def prod(self, x: Any, axis: int | None = None) -> Any:
        return reduction.reduce_prod(x, self._axes(x, axis))

    def _axes(self, x: Any, axis: int | None) -> tuple[int, ...]:
        return tuple(range(type_of(x).ndim)) if axis is None else (axis,)

    def column(self, x: Any) -> Any:
        return movement.reshape(x, (*type_of(x).shape, 1))

    def transpose(self, x: Any) -> Any:
        return movement.transpose(as_value(x), (1, 0))

    def reverse(self, x: Any) -> Any:
        return movement.reverse(x, (0,))

    def part(self, x: Any, start: int, stop: int) -> Any:
        type_: ArrayType = type_of(x)
        rest = type_.shape[1:]
        return movement.slice_(x, (start, *[0] * len(rest)), (stop, *rest))

    def joined(self, *xs: Any) -> Any:
        return movement.concatenate(list(xs), 0)


class Jax:
    """The same functions on JAX."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import jax.numpy as jnp
        from jax import lax

        named: dict[str, Any] = {
            "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": jnp.divide,
            "neg": jnp.negative, "pow": jnp.power, "gt": jnp.greater, "max2": jnp.maximum,
            "dot": jnp.dot, "where": jnp.where, "transpose": jnp.transpose, "abs_": jnp.abs,
            "stop_gradient": lax.stop_gradient, "logistic": lax.logistic,
            "column": lambda x: x[..., None], "reverse": lambda x: x[::-1],
            "part": lambda x, start, stop: x[start:stop], "erf": lax.erf,
            "joined": lambda *xs: jnp.concatenate(xs),
        }  # fmt: skip
        return named.get(name) or getattr(jnp, name)


def waves(n: Any, x: Any) -> Any:
    return n.sum(n.mul(n.sin(x), n.exp(x)))


def network(n: Any, x: Any) -> Any:
    w = np.linspace(-1, 1, 12).reshape(4, 3)
    hidden = n.tanh(n.add(n.dot(x, w), np.array([0.1, -0.2, 0.3])))
    return n.sum(n.mul(n.dot(hidden, np.transpose(w)), x))


def softmax(n: Any, x: Any) -> Any:
    e = n.exp(n.sub(x, n.stop_gradient(n.max(x))))
    return n.sum(n.mul(n.div(e, n.sum(e)), np.array([1.0, 2.0, -1.0, 0.5])))


def normalized(n: Any, x: Any) -> Any:
    centred = n.sub(x, n.mul(n.sum(x), 0.25))
    variance = n.mul(n.sum(n.mul(centred, centred)), 0.25)
    return n.sum(n.pow(n.div(centred, n.sqrt(n.add(variance, 1e-3))), 3.0))


def piecewise(n: Any, x: Any) -> Any:
    return n.sum(n.where(n.gt(x, 0.5), n.log(x), n.mul(x, x)))


def stencil(n: Any, x: Any) -> Any:
    inner = n.sub(n.part(x, 1, 4), n.part(x, 0, 3))
    return n.sum(n.mul(n.joined(inner, n.part(x, 0, 1)), n.reverse(x)))


def products(n: Any, x: Any) -> Any:
    return n.add(n.prod(x), n.max(n.mul(x, x)))


def ratios(n: Any, x: Any) -> Any:
    return n.sum(n.div(n.log1p(n.mul(x, x)), n.add(n.cosh(x), n.erf(x))))


def outer(n: Any, x: Any) -> Any:
    table = n.mul(n.column(x), x)
    return n.sum(n.logistic(n.mul(table, n.transpose(n.sin(table)))))


def rectified(n: Any, x: Any) -> Any:
    return n.sum(n.mul(n.max2(n.sub(x, 0.6), 0.0), n.abs_(x)))


def powers(n: Any, x: Any) -> Any:
    return n.sum(n.pow(x, n.add(x, 1.5)))


SCALAR: tuple[Callable[[Any, Any], Any], ...] = (
    waves, network, softmax, normalized, piecewise, stencil, products, ratios, outer, rectified,
    powers,
)  # fmt: skip


def squashed(n: Any, x: Any) -> Any:
    return n.tanh(n.dot(np.linspace(-1, 1, 12).reshape(3, 4), n.exp(n.neg(x))))


def differences(n: Any, x: Any) -> Any:
    return n.mul(n.part(x, 1, 4), n.sin(n.part(x, 0, 3)))


VECTOR: tuple[Callable[[Any, Any], Any], ...] = (squashed, differences)


class Ours:
    """The transforms of jitml; those of JAX are attributes of `jax`."""

    grad, jvp, vjp, linearize = (
        differentiation.grad,
        differentiation.jvp,
        differentiation.vjp,
        differentiation.linearize,
    )
    value_and_grad = differentiation.value_and_grad
    jacfwd, jacrev, hessian = jacobians.jacfwd, jacobians.jacrev, jacobians.hessian
    vmap = vectorization.vmap


Of = Callable[[Any, Callable[[Any], Any]], Callable[[Any], Any]]
X = np.array([0.3, 0.9, 1.4, 0.7])
T = np.array([0.5, -1.0, 0.25, 2.0])
STACK = np.stack([X, X[::-1] + 0.1, X * 0.8 + 0.05])

OF_SCALAR: dict[str, tuple[Of, Any]] = {
    "grad": (lambda m, f: m.grad(f), X),
    "value_and_grad": (lambda m, f: m.value_and_grad(f), X),
    "jvp": (lambda m, f: lambda x: m.jvp(f, (x,), (T,)), X),
    "vjp": (lambda m, f: lambda x: m.vjp(f, x)[1](np.float64(2.0)), X),
    "linearize": (lambda m, f: lambda x: m.linearize(f, x)[1](T), X),
    "hessian": (lambda m, f: m.hessian(f), X),
    "jacrev_grad": (lambda m, f: m.jacrev(m.grad(f)), X),
    "jacfwd_jacfwd": (lambda m, f: m.jacfwd(m.jacfwd(f)), X),
    "jvp_grad": (lambda m, f: lambda x: m.jvp(m.grad(f), (x,), (T,)), X),
    "grad_jvp": (lambda m, f: m.grad(lambda x: m.jvp(f, (x,), (T,))[1]), X),
    "vjp_grad": (lambda m, f: lambda x: m.vjp(m.grad(f), x)[1](T), X),
    "vmap_grad": (lambda m, f: m.vmap(m.grad(f)), STACK),
    "vmap_value_and_grad": (lambda m, f: m.vmap(m.value_and_grad(f), in_axes=1), STACK.T),
    "vmap_hessian": (lambda m, f: m.vmap(m.hessian(f), out_axes=2), STACK),
    "jacrev_vmap": (lambda m, f: m.jacrev(m.vmap(f)), STACK),
    "jacfwd_vmap_grad": (lambda m, f: m.jacfwd(m.vmap(m.grad(f))), STACK),
    "third": (lambda m, f: m.jacfwd(m.jacfwd(m.jacrev(f))), X),
}
OF_VECTOR: dict[str, tuple[Of, Any]] = {
    "jacfwd": (lambda m, f: m.jacfwd(f), X),
    "jacrev": (lambda m, f: m.jacrev(f), X),
    "jacfwd_jacrev": (lambda m, f: m.jacfwd(m.jacrev(f)), X),
    "jacrev_jacfwd": (lambda m, f: m.jacrev(m.jacfwd(f)), X),
    "jvp_vjp": (
        lambda m, f: lambda x: m.jvp(lambda y: m.vjp(f, y)[1](T[:3])[0], (x,), (T,)), X
    ),
    "vmap_jacrev": (lambda m, f: m.vmap(m.jacrev(f)), STACK),
    "vmap_vmap": (lambda m, f: m.vmap(m.vmap(f), in_axes=1, out_axes=1), np.stack([STACK] * 2)),
}  # fmt: skip


def pairs(each: int) -> Iterator[tuple[Any, ...]]:
    """Name, program, transform and argument: each program of one number under so many of the
    transforms, every transform on some program; those of vectors under all.
    """
    for programs, transforms in ((SCALAR, OF_SCALAR), (VECTOR, OF_VECTOR)):
        names = list(transforms)
        for number, program in enumerate(programs):
            step = len(names) if programs is VECTOR else each
            for k in range(step):
                name = names[(number * each + k) % len(names)]
                yield f"{name}-{program.__name__}", program, *transforms[name]
