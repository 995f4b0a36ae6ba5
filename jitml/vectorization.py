"""`vmap`: a function of one example to the function of a stack of them, with the signature of JAX.

The user's function is traced on the types of one example, the graph is batched, and the batched
graph executed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from jitml.ir.errors import (
    ArgumentError,
    AxisError,
    JitmlError,
    ShapeError,
    TreeError,
)
from jitml.ir.graph import Graph
from jitml.ir.source import user_source
from jitml.ir.tracebacks import hiding_frames
from jitml.recording import argument_names, output_leaves
from jitml.trace.axes import naming_axis
from jitml.trace.core import trace_graph, type_of
from jitml.trace.forms import traced_form
from jitml.transforms.batch import batch_to
from jitml.transforms.execute import execute
from jitml.transforms.values import as_value
from jitml.tree import broadcast_leaves, flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable[..., Any]:
    """The function that applies `fun` to each element along an axis of its arguments, all at once.

    `in_axes` tells the axis of each argument (an integer, None for an argument that all share, or a
    tree of these that is a prefix of the arguments), `out_axes` the axis of the results.
    `axis_name` is what collectives (`lax.psum`, `lax.all_gather`, …) in `fun` call the axis, and
    `axis_size` its size, for where no argument has it. `spmd_axis_name` is accepted: it would place
    the axis on devices, and there is one.

    >>> import jitml.numpy as jnp
    >>> vmap(lambda row, x: row @ x, in_axes=(0, None))(jnp.ones((2, 3)), jnp.ones(3))
    Array([3., 3.], dtype=float32)
    """
    if not callable(fun):
        raise _failure(ArgumentError, f"vmap takes a function, not a {type(fun).__name__}")
    axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    _check_axes(axes, "in_axes")
    _check_axes(out_axes, "out_axes")
    if not isinstance(axes, (int, tuple, type(None))):
        raise _failure(
            ArgumentError,
            f"vmap: in_axes must be an integer, None, or a tuple with an entry for each argument, "
            f"not a {type(axes).__name__}",
            "for one argument that is a tree write in_axes=(tree,)",
        )

    _check_name(axis_name, "axis_name")
    _check_name(spmd_axis_name, "spmd_axis_name")

    @hiding_frames
    @functools.wraps(fun, updated=())
    def vmapped(*args: Any, **kwargs: Any) -> Any:
        inputs = _arguments(fun, axes, args, kwargs)
        size = _common_size(inputs, axis_size)
        return _run(fun, inputs, size, out_axes, axis_name)

    return vmapped


class _Arguments(NamedTuple):
    """The leaves of all arguments, their axes (None: passed as it is), and how errors call them."""

    leaves: list[Any]
    axes: list[int | None]
    paths: list[str]
    structure: Structure

    @property
    def mapped(self) -> list[Any]:
        return [x for x, axis in zip(self.leaves, self.axes, strict=True) if axis is not None]


def _arguments(
    fun: Callable[..., Any], in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Arguments:
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise _failure(
            ArgumentError,
            f"vmap: in_axes has {len(in_axes)} entries for {len(args)} positional arguments",
            "give one entry for each argument; arguments passed by name are mapped over axis 0",
        )
    pairs, structure = flatten_with_path((args, kwargs))
    axes = _prefix_leaves(in_axes, args, "the arguments", "in_axes")
    axes += [0] * (len(pairs) - len(axes))
    called = argument_names(fun, len(args))
    leaves, found, paths = [], [], []
    for (path, x), axis in zip(pairs, axes, strict=True):
        named = f"{called[path[1].idx]}{keystr(path[2:])}" if path[0].idx == 0 else path[1].key
        if axis is not None:
            x = as_value(x, f"vmap: the argument {named}")
            axis = _front(axis, type_of(x).ndim, f"the argument {named} of type {type_of(x)}")
        leaves.append(x)
        found.append(axis)
        paths.append(named)
    return _Arguments(leaves, found, paths, structure)


def _common_size(inputs: _Arguments, axis_size: int | None) -> int:
    """The one size of all mapped axes."""
    sizes: dict[int, str] = {} if axis_size is None else {axis_size: "axis_size"}
    for x, axis, path in zip(inputs.leaves, inputs.axes, inputs.paths, strict=True):
        if axis is not None:
            type_ = type_of(x)
            sizes.setdefault(type_.shape[axis], f"axis {axis} of {path}: {type_}")
    if len(sizes) > 1:
        listed = "; ".join(f"{size} ({where})" for size, where in sizes.items())
        raise _failure(
            ShapeError,
            f"vmap: the mapped axes differ in size: {listed}",
            "map axes of one size, or give None in in_axes for arguments that all share",
        )
    if not sizes:
        raise _failure(
            ArgumentError,
            "vmap: no argument is mapped: every entry of in_axes is None",
            "map at least one argument, or give axis_size",
        )
    return next(iter(sizes))


def _run(
    fun: Callable[..., Any],
    inputs: _Arguments,
    size: int,
    out_axes: Any,
    axis_name: Hashable | None,
) -> Any:
    """Trace `fun` on one example, batch the graph and run it."""
    result: list[Structure] = []

    def example(*tracers: Any) -> list[Any]:
        remaining = iter(tracers)
        leaves = [
            x if axis is None else next(remaining)
            for x, axis in zip(inputs.leaves, inputs.axes, strict=True)
        ]
        args, kwargs = inputs.structure.unflatten(leaves)
        found, structure = output_leaves(traced_form(fun)(*args, **kwargs))
        result.append(structure)
        return found

    mapped = [a for a in inputs.axes if a is not None]
    types = [
        type_.with_shape(type_.shape[:axis] + type_.shape[axis + 1 :])
        for type_, axis in zip(map(type_of, inputs.mapped), mapped, strict=True)
    ]
    names = [p for p, a in zip(inputs.paths, inputs.axes, strict=True) if a is not None]
    with naming_axis(axis_name, size):
        traced = trace_graph(example, types, getattr(fun, "__name__", ""), names)
    wanted = _output_axes(out_axes, result[0], traced.graph)
    axes = (*mapped, *[None] * len(traced.captures))
    batched = batch_to(traced.graph, size, axes, wanted, axis_name)
    for index in batched.unstackable:
        raise _failure(
            AxisError,
            f"vmap: out_axes is None for result{_result_path(result[0], index)}, "
            "which differs from element to element",
            "give the axis along which the results are stacked",
        )
    outputs = execute(batched.graph, [*inputs.mapped, *traced.captures])
    return result[0].unflatten(outputs)


def _output_axes(out_axes: Any, structure: Structure, graph: Graph) -> tuple[int | None, ...]:
    """`out_axes` for each output, counted from the front."""
    tree = structure.unflatten(list(range(structure.num_leaves)))
    axes = _prefix_leaves(out_axes, tree, "the result", "out_axes")
    return tuple(
        [
            None
            if axis is None
            else _front(axis, type_.ndim + 1, f"result{_result_path(structure, n)} once stacked")
            for n, (axis, type_) in enumerate(zip(axes, graph.output_types, strict=True))
        ]
    )


def _result_path(structure: Structure, index: int) -> str:
    tree = structure.unflatten(list(range(structure.num_leaves)))
    return keystr(flatten_with_path(tree)[0][index][0])


def _prefix_leaves(axes: Any, tree: Any, what: str, name: str) -> list[Any]:
    """The axis of each leaf of `tree`, where `axes` is a prefix of it (None counts as a leaf
    there).
    """
    try:
        return broadcast_leaves(axes, tree, lambda x: x is None, what.removeprefix("the "))
    except TreeError as error:
        raise _failure(
            TreeError,
            f"vmap: {name}={axes} does not fit {what}: {error.message}",
            f"{name} must be an integer, None, or a tree of these with the outer structure of "
            + what,
        ) from None


def _front(axis: int, ndim: int, what: str) -> int:
    """`axis` counted from the front."""
    if not -ndim <= axis < ndim:
        raise _failure(
            AxisError,
            f"vmap: axis {axis} is out of range for {what}, which has {ndim} dimensions",
            "give None in in_axes for what all elements share" if not ndim else "",
        )
    return axis % ndim


def _check_axes(axes: Any, name: str) -> None:
    leaves: Sequence[Any] = flatten(axes)[0]
    for leaf in leaves:
        if not isinstance(leaf, int) or isinstance(leaf, bool):
            raise _failure(
                ArgumentError,
                f"vmap: {name} holds {leaf!r}; axes are integers or None",
                f"{name}=0 maps the first axis",
            )


def _check_name(name: Any, option: str) -> None:
    try:
        hash(name)
    except TypeError:
        raise _failure(
            ArgumentError,
            f"vmap: {option} is a {type(name).__name__}, which cannot be hashed",
            "a name is a string, say",
        ) from None


def _failure(kind: type[JitmlError], message: str, hint: str = "") -> JitmlError:
    return kind(message, hint=hint, source=user_source())
