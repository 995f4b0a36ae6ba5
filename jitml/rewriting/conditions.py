"""Conditionals: `if` and `a if c else b`, as rewritten code calls them.

In: a condition and two blocks. Where the condition is known, one of them runs; where it is not,
both are traced, and a conditional is built of what they record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CellType
from typing import Any

from jitml.ir.dtypes import INT32, is_bool
from jitml.ir.errors import ShapeError
from jitml.ir.source import user_source
from jitml.lax.bodies import Body, sharing_captures
from jitml.numpy.operands import settle
from jitml.ops.cond import Cond
from jitml.ops.elementwise import convert, ne
from jitml.rewriting.activity import inside
from jitml.rewriting.iteration import is_unknown
from jitml.rewriting.merging import Merge, trace_side
from jitml.rewriting.state import Variables
from jitml.trace.core import Tracer, bind, type_of
from jitml.tree_structure import flatten

Block = Callable[..., Any]
_NOTHING = flatten(None)[1]


def truth(x: Any) -> Any:
    """`x` as a condition: a bool, or a tracer of one where it is not known."""
    if not is_unknown(x):
        return bool(x)
    type_ = type_of(x)
    if type_.size != 1:
        raise ShapeError(
            f"the truth value of {type_} is asked for, which has {type_.size} elements",
            hint="reduce it with jitml.numpy.all or any",
            source=user_source(),
        )
    scalar = x.reshape(()) if type_.shape else x
    return scalar if is_bool(type_.dtype) else settle(ne(scalar, 0))


def if_(
    test: Any, then: Block, orelse: Block, names: Sequence[str], doubtful: Sequence[str]
) -> None:
    """The statement `if test: then else: orelse`; `names` are the variables read afterwards."""
    holds = truth(test)
    if isinstance(holds, bool):
        (then if holds else orelse)()
    else:
        conditional(holds, (then, orelse), Variables((then, orelse), names, doubtful))


def choose(test: Any, then: Block, orelse: Block) -> Any:
    """The expression `then() if test else orelse()`."""
    holds = truth(test)
    if isinstance(holds, bool):
        return (then if holds else orelse)()
    cell = CellType()

    def evaluated(block: Block) -> Block:
        def run() -> None:
            cell.cell_contents = block()

        return run

    variables = Variables((then, orelse), ["(value)"], cells={"(value)": cell})
    conditional(holds, (then, orelse), variables, tuple(map(evaluated, (then, orelse))))
    return cell.cell_contents


def conditional(
    holds: Tracer,
    blocks: tuple[Any, ...],
    variables: Variables,
    runs: tuple[Block, ...] = (),
) -> None:
    """Build a conditional of two blocks; `runs` are what is called for them."""
    sides, function = [], user_source().function
    for block, run, name in zip(blocks, runs or blocks, (".then", ".else"), strict=True):
        with inside("conditional"):
            sides.append(trace_side(run, variables, function + name, _line_of(block)))
    merge = Merge(variables, sides)
    bodies = [
        Body(graph, list(side.traced.captures), _NOTHING)
        for graph, side in zip(merge.graphs(), sides, strict=True)
    ]
    graphs, captures = sharing_captures(bodies[::-1])
    results = bind(Cond(tuple(graphs)), convert(holds, INT32), *captures)
    merge.assign([settle(x) for x in results])


def _line_of(block: Any) -> int:
    """The line on which a block of the user's begins."""
    source, code = user_source(), block.__code__
    return int(code.co_firstlineno) if code.co_filename == source.file else source.line
