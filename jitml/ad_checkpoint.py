"""`checkpoint` (also `remat`): derivatives that compute values again instead of keeping them; with
the policies that say what is kept all the same.

>>> import jitml, jitml.numpy as jnp
>>> layer = jitml.checkpoint(lambda x: jnp.sin(jnp.sin(x)))
>>> print(jitml.grad(layer)(1.0))
0.36003944
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Graph
from jitml.ir.op import Op
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.checkpoint import Checkpoint, CheckpointName, Policy
from jitml.recording import output_leaves
from jitml.signature import choose_arguments
from jitml.trace.core import Tracer, bind, bind1, current_trace, trace_graph, type_of
from jitml.trace.forms import traced_form
from jitml.transforms.cse import cse
from jitml.transforms.jvp import open_jvp
from jitml.transforms.linearize import linear_map
from jitml.transforms.values import as_value, is_array_like
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten

__all__ = ["checkpoint", "checkpoint_name", "checkpoint_policies", "remat"]

Rule = Callable[..., Any]
_DOTS = frozenset({"dot_general", "conv_general_dilated"})


# ---- policies ------------------------------------------------------------------------------------


def everything_saveable(op: Any, *types: Any, **parameters: Any) -> bool:
    """Keep all values, as without a checkpoint."""
    return True


def nothing_saveable(op: Any, *types: Any, **parameters: Any) -> bool:
    """Keep nothing but arguments; the default."""
    return False


def dots_saveable(op: Any, *types: Any, **parameters: Any) -> bool:
    """Keep the results of matrix products and convolutions."""
    return op.name in _DOTS


def dots_with_no_batch_dims_saveable(op: Any, *types: Any, **parameters: Any) -> bool:
    """Keep the results of matrix products without batch dimensions, as those of weights are."""
    return op.name == "dot_general" and not any(parameters["dimension_numbers"][1])


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Rule:
    """As `dots_with_no_batch_dims_saveable`: there is one memory, to which nothing is moved."""
    return dots_with_no_batch_dims_saveable


def save_any_names_but_these(*names_not_to_save: str) -> Rule:
    """Keep values that have a name (`checkpoint_name`) other than these."""
    return _by_name(lambda name: name not in names_not_to_save, False)


def save_only_these_names(*names_which_can_be_saved: str) -> Rule:
    """Keep values that have one of these names."""
    return _by_name(lambda name: name in names_which_can_be_saved, False)


def save_anything_except_these_names(*names_not_to_save: str) -> Rule:
    """Keep all values but those that have one of these names."""
    return _by_name(lambda name: name not in names_not_to_save, True)


def save_and_offload_only_these_names(
    *,
    names_which_can_be_saved: Sequence[str],
    names_which_can_be_offloaded: Sequence[str],
    offload_src: str,
    offload_dst: str,
) -> Rule:
    """Keep values that have one of these names: there is one memory, to which nothing is moved."""
    return save_only_these_names(*names_which_can_be_saved, *names_which_can_be_offloaded)


def save_from_both_policies(policy_1: Rule, policy_2: Rule) -> Rule:
    """Keep what one of two policies keeps."""

    def either(op: Any, *types: Any, **parameters: Any) -> bool:
        return bool(policy_1(op, *types, **parameters) or policy_2(op, *types, **parameters))

    return either


def _by_name(is_kept: Callable[[str], bool], otherwise: bool) -> Rule:
    def policy(op: Any, *types: Any, **parameters: Any) -> bool:
        return is_kept(parameters["label"]) if isinstance(op, CheckpointName) else otherwise

    return policy


checkpoint_policies = SimpleNamespace(
    everything_saveable=everything_saveable,
    nothing_saveable=nothing_saveable,
    dots_saveable=dots_saveable,
    checkpoint_dots=dots_saveable,
    dots_with_no_batch_dims_saveable=dots_with_no_batch_dims_saveable,
    checkpoint_dots_with_no_batch_dims=dots_with_no_batch_dims_saveable,
    offload_dot_with_no_batch_dims=offload_dot_with_no_batch_dims,
    save_any_names_but_these=save_any_names_but_these,
    save_only_these_names=save_only_these_names,
    save_anything_except_these_names=save_anything_except_these_names,
    save_and_offload_only_these_names=save_and_offload_only_these_names,
    save_from_both_policies=save_from_both_policies,
)


@functools.lru_cache(maxsize=256)
def _policy(rule: Rule) -> Policy:
    """A user's policy as ops hold it."""

    def saves(op: Op, types: Sequence[ArrayType]) -> bool:
        return bool(rule(op, *types, **op.parameters()))

    return Policy(getattr(rule, "__name__", type(rule).__name__), saves, _forward)


def _forward(
    graph: Graph, has_tangent: tuple[bool, ...]
) -> tuple[Graph, tuple[bool, ...], tuple[Any, ...]]:
    pushed, captures = open_jvp(graph, has_tangent, linear_map)
    return cse(pushed.graph), pushed.has_tangent, captures


# ---- checkpointed functions ----------------------------------------------------------------------


def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool | Sequence[bool] = True,
    policy: Rule | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Iterable[str] = (),
) -> Callable[..., Any]:
    """`fun`, whose derivatives keep its arguments and what `policy` says; all else is computed
    again.

    The function is traced, with arguments at `static_argnums` passed as they are. Without
    `prevent_cse`, compiled code may join the second computation with the first.

    >>> import jitml, jitml.numpy as jnp
    >>> f = checkpoint(lambda x: jnp.sin(x @ x).sum(), policy=checkpoint_policies.dots_saveable)
    >>> print(jitml.grad(f)(jnp.eye(2)))
    [[1.0806046 2.       ]
     [2.        1.0806046]]
    """
    if not callable(fun):
        raise _failure(f"checkpoint takes a function, not a {type(fun).__name__}")
    static = choose_arguments(fun, static_argnums or None, static_argnames or None, "static")
    kept = _policy(policy or nothing_saveable)
    is_apart = prevent_cse if isinstance(prevent_cse, bool) else any(prevent_cse)

    @functools.wraps(fun, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        numbers = static.positions(len(args))
        traced = [x for n, x in enumerate(args) if n not in numbers]
        named = {k: x for k, x in kwargs.items() if k not in static.names}
        leaves, structure = flatten((traced, named))
        if current_trace() is None and not any(isinstance(x, Tracer) for x in leaves):
            return fun(*args, **kwargs)

        def body(*values: Any) -> Any:
            given, named = structure.unflatten(values)
            for n in numbers:
                given.insert(n, args[n])
            return traced_form(fun)(*given, **{**kwargs, **named})

        return _call(body, _name(fun), _values(fun, leaves, structure), kept, is_apart)

    return checkpointed


remat = checkpoint


def _call(
    body: Callable[..., Any], name: str, values: Sequence[Any], policy: Policy, prevent_cse: bool
) -> Any:
    """Trace a body, and record a checkpointed call of it."""
    result: list[Structure] = []

    def flat(*tracers: Any) -> list[Any]:
        leaves, structure = output_leaves(body(*tracers))
        result.append(structure)
        return leaves

    traced = trace_graph(flat, [type_of(x) for x in values], name)
    outputs = bind(Checkpoint(traced.graph, policy, prevent_cse), *values, *traced.captures)
    return result[0].unflatten(outputs)


def _values(fun: Callable[..., Any], leaves: Sequence[Any], structure: Structure) -> list[Any]:
    for number, x in enumerate(leaves):
        if not is_array_like(x):
            tree = structure.unflatten(list(range(len(leaves))))
            path = keystr(flatten_with_path(tree)[0][number][0][1:])
            raise _failure(
                f"checkpoint: the argument {path} of {_name(fun)} is a {type(x).__name__}, "
                "not an array or a number",
                "name it in static_argnums, or pass it by closure",
            )
    return [as_value(x) for x in leaves]


def checkpoint_name(x: Any, name: str) -> Any:
    """`x` (any tree), under a name that policies of `checkpoint` can speak of.

    >>> print(checkpoint_name(2.0, "activation"))
    2.0
    """
    leaves, structure = flatten(x)
    if current_trace() is None and not any(isinstance(leaf, Tracer) for leaf in leaves):
        return x
    named = [bind1(CheckpointName(name), as_value(leaf)) for leaf in leaves]
    return structure.unflatten(named)


def _name(fun: Any) -> str:
    return str(getattr(fun, "__name__", type(fun).__name__))


def _failure(message: str, hint: str = "") -> ArgumentError:
    return ArgumentError(message, hint=hint, source=user_source())
