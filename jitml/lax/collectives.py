"""Collectives: sums, extremes and exchanges among the elements of axes that `vmap` has named.

All take trees of arrays, and a name or a tuple of names (the first is the outermost).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NoReturn, TypeAlias

import jitml.evaluation  # noqa: F401  (ops can run outside of traces)
from jitml.ir.arguments import check_sequence
from jitml.ir.dtypes import INT32, is_bool
from jitml.ir.errors import ArgumentError, AxisError, JitmlError, ShapeError, TransformError
from jitml.ir.source import user_source
from jitml.lax.staging import Token
from jitml.numpy.operands import operand, settle
from jitml.ops.collectives import AllGather, AllReduce, AllToAll, AxisIndex, Permute
from jitml.ops.elementwise import add, convert, mul
from jitml.ops.layout import move_axis, reshape
from jitml.ops.reduction import reduce_max, reduce_min, reduce_sum
from jitml.ops.slicing import slice_
from jitml.trace.axes import size_of_axis
from jitml.trace.core import bind1, type_of
from jitml.tree import map as tree_map
from jitml.typing import Array

__all__ = [
    "all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pcast", "pmax", "pmean",
    "pmin", "ppermute", "precv", "psend", "pshuffle", "psum", "psum_scatter", "pswapaxes",
]  # fmt: skip

AxisName: TypeAlias = "Hashable | tuple[Hashable, ...]"
Groups: TypeAlias = "Sequence[Sequence[int]] | None"
_FOLDS: dict[str, Callable[..., Any]] = {"sum": reduce_sum, "max": reduce_max, "min": reduce_min}


# ---- the axes themselves -------------------------------------------------------------------------


def axis_size(axis_name: AxisName) -> int:
    """The number of elements of a mapped axis, as a Python integer.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x / axis_size("i"), axis_name="i")(jnp.ones(4)))
    [0.25 0.25 0.25 0.25]
    """
    return math.prod(size_of_axis(name, "axis_size") for name in _names(axis_name))


def axis_index(axis_name: AxisName) -> Array:
    """The number of the element along a mapped axis, as an int32.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x + axis_index("i"), axis_name="i")(jnp.array([5, 5, 5])))
    [5 6 7]
    """
    index: Any = None
    for name in _names(axis_name):
        size = size_of_axis(name, "axis_index")
        own = bind1(AxisIndex(name, size))
        index = own if index is None else add(mul(index, size), own)
    return settle(operand(0) if index is None else index)


# ---- reductions ----------------------------------------------------------------------------------


def psum(x: Any, axis_name: AxisName, *, axis_index_groups: Groups = None) -> Any:
    """The sum over all elements of a mapped axis; booleans count as int32, and a Python number
    gives a Python number. Integers among the names are axes of `x` itself.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x / psum(x, "i"), axis_name="i")(jnp.array([1.0, 1.0, 2.0])))
    [0.25 0.25 0.5 ]
    """
    _no_groups("psum", axis_index_groups)
    return tree_map(lambda leaf: _reduced("psum", "sum", leaf, axis_name), x)


def pmean(x: Any, axis_name: AxisName, *, axis_index_groups: Groups = None) -> Any:
    """The mean over all elements of a mapped axis.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x - pmean(x, "i"), axis_name="i")(jnp.array([1.0, 2.0, 6.0])))
    [-2. -1.  3.]
    """
    _no_groups("pmean", axis_index_groups)
    count = psum(1, axis_name)
    return tree_map(lambda leaf: leaf / count, psum(x, axis_name))


def pmax(x: Any, axis_name: AxisName, *, axis_index_groups: Groups = None) -> Any:
    """The greatest among all elements of a mapped axis.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x / pmax(x, "i"), axis_name="i")(jnp.array([1.0, 2.0, 4.0])))
    [0.25 0.5  1.  ]
    """
    _no_groups("pmax", axis_index_groups)
    return tree_map(lambda leaf: _reduced("pmax", "max", leaf, axis_name), x)


def pmin(x: Any, axis_name: AxisName, *, axis_index_groups: Groups = None) -> Any:
    """The least among all elements of a mapped axis.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: x - pmin(x, "i"), axis_name="i")(jnp.array([1.0, 2.0, 4.0])))
    [0. 1. 3.]
    """
    _no_groups("pmin", axis_index_groups)
    return tree_map(lambda leaf: _reduced("pmin", "min", leaf, axis_name), x)


def _reduced(what: str, kind: str, x: Any, axis_name: AxisName) -> Any:
    names = _names(axis_name)
    sizes = {n: size_of_axis(n, what) for n in names if not _is_axis(n)}
    _check_distinct(what, names)
    if isinstance(x, (bool, int, float, complex)) and len(sizes) == len(names):
        return x * math.prod(sizes.values()) if kind == "sum" else x
    y = operand(x, what)
    if kind == "sum" and is_bool(type_of(y).dtype):
        y = convert(y, INT32)
    own = [_position(what, n, type_of(y).ndim) for n in names if n not in sizes]
    if own:
        y = _FOLDS[kind](y, tuple(own))
    for name in reversed(sizes):
        y = bind1(AllReduce(name, sizes[name], kind), y)
    return settle(y)


def psum_scatter(
    x: Any,
    axis_name: AxisName,
    *,
    scatter_dimension: int = 0,
    axis_index_groups: Groups = None,
    tiled: bool = False,
) -> Any:
    """The sum over all elements of a mapped axis, of which each element keeps its own slice along
    `scatter_dimension`; with `tiled` a block of slices, and the axis stays.

    >>> import jitml, jitml.numpy as jnp
    >>> x = jnp.array([[1, 2], [10, 20]])
    >>> print(jitml.vmap(lambda row: psum_scatter(row, "i"), axis_name="i")(x))
    [11 22]
    """
    _no_groups("psum_scatter", axis_index_groups)

    def scattered(leaf: Any) -> Any:
        y = operand(leaf, "psum_scatter")
        axis = _position("psum_scatter", scatter_dimension, type_of(y).ndim)
        pieces = _pieces("psum_scatter", y, axis_name, axis, tiled)
        total = reduce_sum(_exchanged("psum_scatter", pieces, axis_name), (0,))
        return settle(move_axis(total, 0, axis) if tiled else total)

    return tree_map(scattered, x)


# ---- movements -----------------------------------------------------------------------------------


def all_gather(
    x: Any,
    axis_name: AxisName,
    *,
    axis_index_groups: Groups = None,
    axis: int = 0,
    tiled: bool = False,
    to: str = "varying",
) -> Any:
    """The values of all elements of a mapped axis, stacked along a new `axis`, or with `tiled`
    concatenated along an axis that there is. `to` is accepted, and changes nothing.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: all_gather(x, "i")[::-1], axis_name="i")(jnp.arange(2)))
    [[1 0]
     [1 0]]
    """
    _no_groups("all_gather", axis_index_groups)

    def gathered(leaf: Any) -> Any:
        y = operand(leaf, "all_gather")
        where = _position("all_gather", axis, type_of(y).ndim + (not tiled))
        stacked = move_axis(_stacked("all_gather", y, axis_name), 0, where)
        return settle(_merged(stacked, where) if tiled else stacked)

    return tree_map(gathered, x)


def all_to_all(
    x: Any,
    axis_name: AxisName,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Groups = None,
    tiled: bool = False,
) -> Any:
    """Each element gives slice k along `split_axis` to element k, and stacks what it gets along
    `concat_axis`; with `tiled` blocks of slices are exchanged, and concatenated.

    >>> import jitml, jitml.numpy as jnp
    >>> x = jnp.array([[1, 2], [3, 4]])
    >>> print(jitml.vmap(lambda row: all_to_all(row, "i", 0, 0), axis_name="i")(x))
    [[1 3]
     [2 4]]
    """
    _no_groups("all_to_all", axis_index_groups)

    def exchanged(leaf: Any) -> Any:
        y = operand(leaf, "all_to_all")
        ndim = type_of(y).ndim
        split = _position("all_to_all", split_axis, ndim)
        where = _position("all_to_all", concat_axis, ndim)
        pieces = _pieces("all_to_all", y, axis_name, split, tiled)
        got = _exchanged("all_to_all", pieces, axis_name)
        if not tiled:
            return settle(move_axis(got, 0, where))
        block = move_axis(got, 1, 1 + split)  # the pieces' own axis, back in its place
        return settle(_merged(move_axis(block, 0, where), where))

    return tree_map(exchanged, x)


def pswapaxes(x: Any, axis_name: AxisName, axis: int, *, axis_index_groups: Groups = None) -> Any:
    """The mapped axis and an axis of `x`, of equal size, change places.

    >>> import jitml, jitml.numpy as jnp
    >>> x = jnp.array([[1, 2], [3, 4]])
    >>> print(jitml.vmap(lambda row: pswapaxes(row, "i", 0), axis_name="i")(x))
    [[1 3]
     [2 4]]
    """
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def psend(x: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    """Send as `ppermute` does; `precv` receives. A token for each array of the tree `x`.

    >>> import jitml, jitml.numpy as jnp
    >>> def shifted(x):
    ...     token = psend(x, "i", [(0, 1)])
    ...     return precv(token, x, "i", [(0, 1)])
    >>> print(jitml.vmap(shifted, axis_name="i")(jnp.array([3, 4])))
    [0 3]
    """
    check_sequence("psend", perm, "pairs")
    way = _way(axis_name, perm)
    return tree_map(lambda leaf: Token([leaf], way), ppermute(x, axis_name, perm))


def precv(
    token: Token, out_shape: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]
) -> Array:
    """What `psend` has sent along this axis and in this way, of the shape and dtype of `out_shape`.

    >>> import jitml, jitml.numpy as jnp
    >>> swap = [(0, 1), (1, 0)]
    >>> swapped = jitml.vmap(lambda x: precv(psend(x, "i", swap), x, "i", swap), axis_name="i")
    >>> print(swapped(jnp.array([3, 4])))
    [4 3]
    """
    if not isinstance(token, Token) or token.way != _way(axis_name, perm):
        _fail(
            ArgumentError,
            f"precv: nothing was sent along the axis {axis_name!r} by {perm}",
            "token is what psend gives for the same axis and perm",
        )
    sent = token.sent[0]
    if (type_of(sent).shape, type_of(sent).dtype) != (out_shape.shape, out_shape.dtype):
        _fail(ShapeError, f"precv: what was sent is {type_of(sent)}, not as out_shape says")
    return sent


def _way(axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    names = tuple(axis_name) if isinstance(axis_name, (list, tuple)) else (axis_name,)
    return names, tuple([tuple(pair) for pair in perm])


def ppermute(x: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    """Element b of a mapped axis gets the value of element a, for each (a, b) in `perm`; elements
    that nothing is sent to get zeros.

    >>> import jitml, jitml.numpy as jnp
    >>> shift = [(0, 1), (1, 2), (2, 0)]
    >>> print(jitml.vmap(lambda x: ppermute(x, "i", shift), axis_name="i")(jnp.arange(3)))
    [2 0 1]
    """
    size = _joint_size("ppermute", axis_name)
    sources = [-1] * size
    sent: set[int] = set()
    check_sequence("ppermute", perm, "pairs")
    for source, target in perm:
        pair = f"({source}, {target})"
        if not (0 <= source < size and 0 <= target < size):
            _fail(
                ArgumentError,
                f"ppermute: {pair} in an axis of {size} elements",
                f"perm holds pairs (source, target) of numbers from 0 to {size - 1}",
            )
        if sources[target] >= 0 or source in sent:
            _fail(
                ArgumentError,
                f"ppermute: {pair} sends from or to an element twice",
                "each number may be a source once, and a target once",
            )
        sent.add(source)
        sources[target] = operator.index(source)
    return tree_map(lambda leaf: _permuted(operand(leaf, "ppermute"), axis_name, sources), x)


def pshuffle(x: Any, axis_name: AxisName, perm: Sequence[int]) -> Any:
    """Element k of a mapped axis gets the value of element `perm[k]`.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: pshuffle(x, "i", [2, 0, 1]), axis_name="i")(jnp.arange(3)))
    [2 0 1]
    """
    size = _joint_size("pshuffle", axis_name)
    if sorted(perm) != list(range(size)):
        _fail(ArgumentError, f"pshuffle: {list(perm)} is not a permutation of {size} elements")
    return ppermute(x, axis_name, list(zip(perm, range(size), strict=True)))


def pbroadcast(x: Any, axis_name: AxisName, source: int) -> Any:
    """The value of the element numbered `source` of a mapped axis, for all elements.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: pbroadcast(x, "i", 2), axis_name="i")(jnp.arange(3)))
    [2 2 2]
    """
    size = _joint_size("pbroadcast", axis_name)
    if not 0 <= source < size:
        _fail(ArgumentError, f"pbroadcast: source is {source} in an axis of {size} elements")

    def spread(leaf: Any) -> Any:
        stacked = _stacked("pbroadcast", operand(leaf, "pbroadcast"), axis_name)
        shape = type_of(stacked).shape
        rest = [0] * (len(shape) - 1)
        row = slice_(stacked, [source, *rest], [source + 1, *shape[1:]])
        return settle(reshape(row, shape[1:]))

    return tree_map(spread, x)


def pcast(x: Any, axis_name: AxisName, *, to: str) -> Any:
    """`x`: whether it varies along a mapped axis is known without being told.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.vmap(lambda x: pcast(x, "i", to="varying"), axis_name="i")(jnp.arange(3)))
    [0 1 2]
    """
    _joint_size("pcast", axis_name)
    return x


# ---- axes and names ------------------------------------------------------------------------------


def _names(axis_name: AxisName) -> tuple[Hashable, ...]:
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def _is_axis(name: Hashable) -> bool:
    """Whether a name among those of a reduction is an axis of the array itself."""
    return isinstance(name, int) and not isinstance(name, bool)


def _joint_size(what: str, axis_name: AxisName) -> int:
    names = _names(axis_name)
    _check_distinct(what, names)
    return math.prod(size_of_axis(name, what) for name in names)


def _stacked(what: str, x: Any, axis_name: AxisName) -> Any:
    """`x` of all elements along a new first axis."""
    names = _names(axis_name)
    size = _joint_size(what, axis_name)
    shape = type_of(x).shape
    for name in reversed(names):
        x = bind1(AllGather(name, size_of_axis(name, what)), x)
    return reshape(x, (size, *shape)) if len(names) != 1 else x


def _exchanged(what: str, x: Any, axis_name: AxisName) -> Any:
    """Slice k of `x` along its first axis goes to element k; what each gets, stacked there."""
    names = _names(axis_name)
    if len(names) == 1:
        return bind1(AllToAll(names[0], size_of_axis(names[0], what)), x)
    shape = type_of(x).shape
    sizes = [size_of_axis(name, what) for name in names]
    x = reshape(x, (*sizes, *shape[1:]))
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        front = bind1(AllToAll(name, size), move_axis(x, number, 0))
        x = move_axis(front, 0, number)
    return reshape(x, shape)


def _permuted(x: Any, axis_name: AxisName, sources: Sequence[int]) -> Any:
    names = _names(axis_name)
    if len(names) != 1:
        _fail(ArgumentError, f"ppermute: the axes {names} are permuted one at a time",
              "call it once for each axis")  # fmt: skip
    return settle(bind1(Permute(names[0], len(sources), tuple(sources)), x))


def _pieces(what: str, x: Any, axis_name: AxisName, axis: int, tiled: bool) -> Any:
    """`x` with what it has for each element along its first axis, and with `tiled` the slices of
    a piece along its second.
    """
    size, shape = _joint_size(what, axis_name), type_of(x).shape
    if shape[axis] % size if tiled and size else shape[axis] != size:
        relation = "a multiple of" if tiled else "equal to"
        _fail(ShapeError, f"{what}: axis {axis} of {type_of(x)} has size {shape[axis]}, which is "
              f"not {relation} {size}, the number of elements along {axis_name!r}")  # fmt: skip
    if not tiled:
        return move_axis(x, axis, 0)
    count = shape[axis] // size if size else 0
    split = reshape(x, (*shape[:axis], size, count, *shape[axis + 1 :]))
    return move_axis(move_axis(split, axis + 1, 0), axis + 1, 0)


def _merged(x: Any, axis: int) -> Any:
    """`x` with `axis` and the one after it as one."""
    shape = type_of(x).shape
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _position(what: str, axis: Any, ndim: int) -> int:
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        _fail(AxisError, f"{what}: axis {axis} is out of range for {ndim} dimensions")
    return number % ndim


def _check_distinct(what: str, names: Sequence[Hashable]) -> None:
    if len({*names}) != len(names):
        _fail(ArgumentError, f"{what}: an axis is named twice in {tuple(names)}")


def _no_groups(what: str, groups: Groups) -> None:
    if groups is not None:
        _fail(TransformError, f"{what}: axis_index_groups have no meaning under vmap",
              "map two nested axes of their own names, one of them over the groups")  # fmt: skip


def _fail(kind: type[JitmlError], message: str, hint: str = "") -> NoReturn:
    raise kind(message, hint=hint, source=user_source())
