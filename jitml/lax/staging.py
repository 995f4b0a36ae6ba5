"""What tells a compiler about order, platforms and placement: on one device with exact arithmetic
most of it is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, UnexpectedTracerError
from jitml.numpy.operands import fail, settle
from jitml.numpy.operands import operand as as_operand
from jitml.scopes import named_scope
from jitml.trace.core import Tracer
from jitml.trace.forms import traced_form
from jitml.tree import leaves
from jitml.tree import map as tree_map
from jitml.tree_util import register_pytree_node_class
from jitml.typing import Array, ArrayLike

__all__ = [
    "after_all",
    "composite",
    "create_token",
    "dce_sink",
    "optimization_barrier",
    "platform_dependent",
    "stage",
    "with_sharding_constraint",
]

PLATFORM = "cpu"


@register_pytree_node_class
class Token:
    """What orders effects elsewhere; here they keep the order in which they are written.

    That of `psend` holds what was `sent`, and along which axis from where to where (`way`).
    """

    def __init__(self, sent: Sequence[Any] = (), way: Any = None) -> None:
        self.sent = tuple(sent)
        self.way = way

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        return self.sent, self.way

    @classmethod
    def tree_unflatten(cls, way: Any, children: Any) -> Token:
        return cls(children, way)

    def __repr__(self) -> str:
        return "Token()"


def create_token(_: Any = None) -> Token:
    """A token.

    >>> create_token()
    Token()
    """
    return Token()


def after_all(*operands: Token) -> Token:
    """A token that comes after others.

    >>> after_all(create_token(), create_token())
    Token()
    """
    for token in operands:
        if not isinstance(token, Token):
            fail(ArgumentError, f"after_all: takes tokens, not a {type(token).__name__}")
    return Token()


def _passed(name: str, tree: Any) -> Any:
    return tree_map(lambda x: settle(as_operand(x, name)), tree)


def optimization_barrier(operand: Any, /) -> Any:
    """Its argument: no optimisation here changes a result, so none has to be kept away.

    >>> print(optimization_barrier(1.0))
    1.0
    """
    return _passed("optimization_barrier", operand)


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Use values and give nothing: what only this reads is left out.

    >>> dce_sink(1.0)
    """
    _passed("dce_sink", val)


def stage(x: ArrayLike, /) -> Array:
    """A value as an array; while tracing, as a traced value.

    >>> print(stage(1.0))
    1.0
    """
    from jitml.trace.core import current_trace

    trace, value = current_trace(), settle(as_operand(x, "stage"))
    return value if trace is None else trace.tracer(value)


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """Its argument: on one device there is one way to lay out an array.

    >>> print(with_sharding_constraint(1.0, "data"))
    1.0
    """
    if shardings is None or any(s is None for s in leaves(shardings)):
        fail(ArgumentError, "with_sharding_constraint: a sharding is None", "leave the call out")
    return _passed("with_sharding_constraint", x)


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """A function whose equations carry a name; keyword arguments must be known while tracing.

    >>> import jitml.numpy as jnp
    >>> tangent = composite(lambda x: jnp.sin(x) / jnp.cos(x), name="my.tangent")
    >>> print(tangent(0.0))
    0.0
    """

    check_callable("composite", decomposition)

    def called(*args: Any, **kwargs: Any) -> Any:
        for key, value in kwargs.items():
            if any(isinstance(leaf, Tracer) for leaf in leaves(value)):
                fail(
                    UnexpectedTracerError,
                    f"composite: the argument {key} of {name!r} is a traced value",
                    "pass it by position; keyword arguments must be known",
                )
        with named_scope(name):
            return traced_form(decomposition)(*args, **kwargs)

    called.__name__ = getattr(decomposition, "__name__", name)
    called.__doc__ = decomposition.__doc__
    return called


def platform_dependent(
    *args: Any,
    default: Callable[..., Any] | None = None,
    **per_platform: Callable[..., Any],
) -> Any:
    """The function for this platform, cpu=…, or else `default`, of the arguments.

    >>> print(platform_dependent(2.0, cpu=lambda x: x, default=lambda x: -x))
    2.0
    """
    for platform, function in {**per_platform, "default": default}.items():
        if function is not None and not callable(function):
            fail(ArgumentError, f"platform_dependent: {platform} is no function: {function!r}")
    if "gpu" in per_platform:
        fail(ArgumentError, "platform_dependent: 'gpu' is not a platform", "say 'cuda' or 'rocm'")
    chosen = per_platform.get(PLATFORM, default)
    if chosen is None:
        listed = ", ".join(per_platform) or "none"
        fail(
            ArgumentError,
            f"platform_dependent: there are functions for {listed}, none for {PLATFORM!r}",
            f"give {PLATFORM}=… or default=…",
        )
    return traced_form(chosen)(*args)
