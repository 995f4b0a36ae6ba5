"""`einsum`: sums of products in index notation, contracted pair by pair.

In: a formula and operands. Out: the array it describes. The pairs are chosen greedily: always
the one whose result has the fewest elements relative to its operands; of more than three operands
by the package opt_einsum, if that is installed. Each pair is one `dot_general`.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.linear_algebra import contract
from jitml.numpy.matrices import diagonal
from jitml.numpy.operands import as_dtype, cast, expand_to, fail, no_out, operand, promoted, settle
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.reduction import reduce_or, reduce_sum
from jitml.trace.core import type_of
from jitml.typing import Array, DTypeLike

__all__ = ["einsum", "einsum_path"]

_FEW = 3  # operands, for which the own search is as good as any
_SPARE = string.ascii_letters + "".join(map(chr, range(0x3B1, 0x3C9)))


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """The sum of products that a formula such as "ij,jk->ik" describes.

    >>> import jitml.numpy as jnp
    >>> print(einsum("i,i->", jnp.array([1, 2]), jnp.array([3, 4])))
    11
    """
    no_out("einsum", out)
    formula, factors_given = _formula(subscripts, operands)
    xs = promoted("einsum", *factors_given)
    terms, result = parse_formula(formula, [type_of(x).ndim for x in xs])
    sizes = _sizes(formula, terms, [type_of(x).shape for x in xs])
    factors = [_prepared(x, term, sizes) for x, term in zip(xs, terms, strict=True)]
    path = _path([term for _, term in factors], result, sizes, optimize)
    value, labels = _contract_all(factors, path, result, precision, preferred_element_type)
    value, labels = _with_missing(value, labels, result, sizes)
    value = _summed(value, labels, result)
    labels = "".join(c for c in labels if c in result)
    value = mv.transpose(value, [labels.index(c) for c in result])
    if preferred_element_type is not None:
        value = cast(value, as_dtype(preferred_element_type))
    return settle(value)


def _formula(subscripts: Any, operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The formula and the operands, in whichever of the two forms they are given."""
    if isinstance(subscripts, str):
        return subscripts, list(operands)
    if not operands:
        fail(
            ArgumentError,
            f"einsum: {type(subscripts).__name__} is not a formula",
            'it is one such as "ij,jk->ik", before the operands',
        )
    return _from_lists(subscripts, operands)


def _from_lists(first: Any, rest: Sequence[Any]) -> tuple[str, list[Any]]:
    """The form einsum(x, [0, 1], y, [1, 2], [0, 2]) as a formula."""
    items = [first, *rest]
    pairs = len(items) // 2

    def text(labels: Sequence[Any]) -> str:
        return "".join("..." if c is Ellipsis else _SPARE[c] for c in labels)

    formula = ",".join(text(items[2 * k + 1]) for k in range(pairs))
    if len(items) % 2:
        formula += "->" + text(items[-1])
    return formula, [items[2 * k] for k in range(pairs)]


def parse_formula(formula: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, with labels in the place of dots."""
    plain = formula.replace(" ", "")
    left, arrow, right = plain.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        fail(
            ArgumentError,
            f"einsum: {formula!r} describes {len(terms)} operands, {len(ranks)} are given",
        )
    dots = [_dot_count(formula, term, rank) for term, rank in zip(terms, ranks, strict=True)]
    spare = [c for c in _SPARE if c not in plain][: max(dots, default=0)]
    terms = [
        t.replace("...", "".join(spare[len(spare) - n :])) for t, n in zip(terms, dots, strict=True)
    ]
    if arrow:
        result = right.replace("...", "".join(spare))
    else:
        joined = "".join(terms)
        once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in spare)
        result = "".join(spare) + "".join(once)
    bad = [c for c in "".join(terms) + result if not (c.isalpha())]
    missing = [c for c in result if c not in "".join(terms)]
    if bad or missing or len(set(result)) < len(result):
        fail(
            ArgumentError,
            f"einsum: {formula!r} is not a formula",
            "letters name axes; each letter of the result occurs once there and in some operand",
        )
    return terms, result


def _dot_count(formula: str, term: str, rank: int) -> int:
    """How many axes the dots of a term stand for."""
    named = len(term.replace("...", ""))
    if "..." not in term:
        if named != rank:
            fail(
                ShapeError,
                f"einsum: {term!r} of {formula!r} names {named} axes, the operand has {rank}",
            )
        return 0
    if named > rank:
        fail(
            ShapeError,
            f"einsum: {term!r} of {formula!r} names {named} axes, the operand has {rank}",
        )
    return rank - named


def _sizes(formula: str, terms: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, n in zip(term, shape, strict=True):
            known = sizes.setdefault(label, n)
            if known != n and 1 not in (known, n):
                fail(ShapeError, f"einsum: axis {label!r} of {formula!r} has sizes {known} and {n}")
            sizes[label] = n if known == 1 else known
    return sizes


def _prepared(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """An operand without repeated labels (of which it takes the diagonal) and broadcast axes."""
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            x, term = _diagonal(x, term, label)
    shape = type_of(x).shape
    thin = [k for k, c in enumerate(term) if shape[k] == 1 and sizes[c] != 1]
    x = mv.reshape(x, tuple(n for k, n in enumerate(shape) if k not in thin))
    return x, "".join(c for k, c in enumerate(term) if k not in thin)


def _diagonal(x: Any, term: str, label: str) -> tuple[Any, str]:
    i, j = term.index(label), term.rindex(label)
    shape = type_of(x).shape
    if shape[i] != shape[j]:
        fail(ShapeError, f"einsum: the repeated axis {label!r} has sizes {shape[i]} and {shape[j]}")
    rest = "".join(c for k, c in enumerate(term) if k not in (i, j))
    return operand(diagonal(settle(x), 0, i, j)), rest + label


def _summed(x: Any, labels: str, kept: str) -> Any:
    """The sum over the axes whose labels are not kept."""
    axes = tuple(k for k, c in enumerate(labels) if c not in kept)
    if not axes:
        return x
    return (reduce_or if type_of(x).dtype.kind == "b" else reduce_sum)(x, axes)


def _contract_all(
    factors: list[tuple[Any, str]],
    path: list[tuple[int, ...]],
    result: str,
    precision: Any,
    preferred: DTypeLike | None,
) -> tuple[Any, str]:
    """The factors multiplied in the order of the path; each product is put behind the others."""
    rest = list(factors)
    for step in path:
        product, *more = [rest[k] for k in step]
        rest = [factor for k, factor in enumerate(rest) if k not in step]
        while more:
            others = result + "".join(term for _, term in [*rest, *more[1:]])
            wanted = preferred if not rest and len(more) == 1 else None
            product = _contract_pair(product, more.pop(0), others, precision, wanted)
        rest.append(product)
    return rest[0]


def _path(
    terms: list[str], result: str, sizes: dict[str, int], optimize: Any
) -> list[tuple[int, ...]]:
    """The places of the factors that are multiplied in each step, in NumPy's convention."""
    if isinstance(optimize, (list, tuple)):
        return _checked_path(optimize, len(terms))
    if optimize is False:
        return [tuple(range(len(terms)))] if len(terms) > 1 else []
    if len(terms) > _FEW and (found := _path_of_opt_einsum(terms, result, sizes, optimize)):
        return found
    path: list[tuple[int, ...]] = []
    rest = list(terms)
    while len(rest) > 1:
        i, j = _cheapest(rest, result, sizes)
        others = result + "".join(t for k, t in enumerate(rest) if k not in (i, j))
        joined = "".join(c for c in dict.fromkeys(rest[i] + rest[j]) if c in others)
        rest = [t for k, t in enumerate(rest) if k not in (i, j)] + [joined]
        path.append((i, j))
    return path


def _checked_path(given: Sequence[Any], count: int) -> list[tuple[int, ...]]:
    """A path of the user's, as einsum_path gives it, which must name each factor once."""
    steps = [tuple(step) for step in given if step != "einsum_path"]
    left = count
    for step in steps:
        if not step or len(set(step)) < len(step) or not set(step) <= set(range(left)):
            fail(ArgumentError, f"einsum: {step} of the path does not fit {left} operands")
        left += 1 - len(step)
    return [*steps, tuple(range(left))] if left > 1 else steps


def _path_of_opt_einsum(
    terms: list[str], result: str, sizes: dict[str, int], optimize: Any
) -> list[tuple[int, ...]] | None:
    """The path that the package opt_einsum finds, where that is installed."""
    try:
        import opt_einsum
    except ImportError:
        return None
    method = "auto" if optimize is True else optimize
    shapes = [tuple(sizes[c] for c in term) for term in terms]
    formula = f"{','.join(terms)}->{''.join(c for c in result if c in ''.join(terms))}"
    found, _ = opt_einsum.contract_path(formula, *shapes, shapes=True, optimize=method)
    return [tuple(step) for step in found]


def _cheapest(terms: Sequence[str], result: str, sizes: dict[str, int]) -> tuple[int, int]:
    """The pair of factors to contract next."""

    def cost(pair: tuple[int, int]) -> tuple[int, int]:
        others = result + "".join(t for k, t in enumerate(terms) if k not in pair)
        return _cost(terms[pair[0]], terms[pair[1]], others, sizes)

    return min(((i, j) for j in range(len(terms)) for i in range(j)), key=cost)


def _with_missing(x: Any, labels: str, result: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Axes of the result that every operand had as a broadcast 1."""
    missing = "".join(c for c in result if c not in labels)
    if not missing:
        return x, labels
    return expand_to(x, (*(sizes[c] for c in missing), *type_of(x).shape)), missing + labels


def _cost(a: str, b: str, others: str, sizes: dict[str, int]) -> tuple[int, int]:
    """(growth in elements, multiplications) of contracting two factors."""
    both = set(a) | set(b)
    after = math.prod(sizes[c] for c in both if c in others)
    before = math.prod(sizes[c] for c in a) + math.prod(sizes[c] for c in b)
    return after - before, math.prod(sizes[c] for c in both)


def _contract_pair(
    first: tuple[Any, str],
    second: tuple[Any, str],
    others: str,
    precision: Any,
    preferred: DTypeLike | None,
) -> tuple[Any, str]:
    (x, a), (y, b) = first, second
    # Labels of one factor alone that nothing else wants are summed before the product.
    x, a = _summed(x, a, b + others), "".join(c for c in a if c in b + others)
    y, b = _summed(y, b, a + others), "".join(c for c in b if c in a + others)
    shared = [c for c in a if c in b]
    batch = [c for c in shared if c in others]
    inner = [c for c in shared if c not in others]
    axes = tuple(a.index(c) for c in inner), tuple(b.index(c) for c in inner)
    batches = tuple(a.index(c) for c in batch), tuple(b.index(c) for c in batch)
    rest = [c for c in a if c not in shared], [c for c in b if c not in shared]
    labels = "".join([*batch, *rest[0], *rest[1]])
    if not inner and preferred is None:
        return _product(x, a, y, b, labels), labels
    return contract(x, y, axes, batches, precision, preferred), labels


def _product(x: Any, a: str, y: Any, b: str, labels: str) -> Any:
    """A product without a sum, element by element."""
    sizes = {
        **dict(zip(a, type_of(x).shape, strict=True)),
        **dict(zip(b, type_of(y).shape, strict=True)),
    }
    shape = tuple(sizes[c] for c in labels)

    def placed(z: Any, term: str) -> Any:
        kept = [c for c in labels if c in term]
        turned = mv.transpose(z, [term.index(c) for c in kept])
        return mv.broadcast_in_dim(turned, shape, [labels.index(c) for c in kept])

    op = ew.and_ if type_of(x).dtype.kind == "b" else ew.mul
    return op(placed(x, a), placed(y, b))


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[Any], str]:
    """The order in which `einsum` contracts its operands.

    >>> import jitml.numpy as jnp
    >>> einsum_path("ij,jk->ik", jnp.ones((2, 3)), jnp.ones((3, 4)))[0]
    ['einsum_path', (0, 1)]
    """
    formula, factors = _formula(subscripts, operands)
    types = [type_of(operand(x, "einsum_path")) for x in factors]
    terms, result = parse_formula(formula, [t.ndim for t in types])
    sizes = _sizes(formula, terms, [t.shape for t in types])
    distinct = ["".join(dict.fromkeys(term)) for term in terms]
    path = _path(distinct, result, sizes, optimize)
    lines = [f"{formula}: {len(path)} contractions", *map(str, path)]
    return ["einsum_path", *path], "\n".join(lines)
