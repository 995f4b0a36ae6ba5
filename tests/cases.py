"""One row per op, or per interesting set of an op's parameters; `test_ops.py` derives all checks
from the rows.

A row says how to apply the op to its inputs, what the inputs are, and for which kinds of dtype it
is defined.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, kind
from jitml.ir.types import ArrayType


@dataclass(frozen=True)
class Input:
    """An input: its shape and what numbers it holds.

    `low` to `high` is where numbers are drawn from; `dtype` is fixed, or (None) the one that the
    check runs with; `distinct` numbers keep a distance from each other, so that ties cannot occur;
    `numbers` are given ones.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    dtype: str | None = None
    distinct: bool = False
    numbers: Any = None

    def type(self, dtype: DType) -> ArrayType:
        return ArrayType(FROM_SHORT_NAME[self.dtype] if self.dtype else dtype, self.shape)

    def sample(self, dtype: DType, random: np.random.Generator) -> Any:
        """A NumPy array of this input."""
        dtype = self.type(dtype).dtype
        if self.numbers is not None:
            return np.asarray(self.numbers).astype(dtype).reshape(self.shape)
        low = max(self.low, 0) if kind(dtype) == "u" else self.low
        size = int(np.prod(self.shape))
        if kind(dtype) == "b":
            return random.integers(0, 2, self.shape).astype(bool)
        if kind(dtype) in "iu":
            return random.integers(int(low), int(self.high) + 1, self.shape).astype(dtype)
        if self.distinct:
            numbers = random.permutation(np.linspace(low, self.high, size + 2)[1:-1])
            return numbers.reshape(self.shape).astype(dtype)
        numbers = random.uniform(low, self.high, self.shape)
        if kind(dtype) == "c":
            numbers = numbers + 1j * random.uniform(low, self.high, self.shape)
        return numbers.astype(dtype)


@dataclass(frozen=True)
class Case:
    """A row. `apply` takes tracers and returns an output or several.

    `kinds`: of the dtypes that inputs without one of their own may have (letters of NumPy, bfloat16
    is "f"). `derivative_kinds`: of those, the kinds for which derivatives are compared with
    differences ("" for none). `tolerance`: relative, of derivatives against differences. `second`:
    whether second derivatives exist. `computes`: false for ops that only move elements, so that a
    few dtypes stand for all on the backend. `rounding`: by how many times the dtype's precision the
    backend may differ from the value.
    """

    name: str
    apply: Callable[..., Any]
    inputs: tuple[Input, ...]
    kinds: str = "biufc"
    derivative_kinds: str = "fc"
    tolerance: float = 1e-6
    second: bool = True
    computes: bool = True
    rounding: int = 8

    def dtypes(self) -> list[DType]:
        """The dtypes to run with; one if all inputs have a dtype of their own."""
        if self.inputs and all(x.dtype for x in self.inputs):
            return [FROM_SHORT_NAME["f32"]]
        return [d for d in FROM_SHORT_NAME.values() if kind(d) in self.kinds]

    def derivative_dtypes(self) -> list[DType]:
        """The dtypes to compare derivatives in: float64 and, where the op takes it, complex128."""
        kinds = set(self.kinds) & set(self.derivative_kinds)
        found = [FROM_SHORT_NAME[d] for d, k in (("f64", "f"), ("c128", "c")) if k in kinds]
        return found if any(x.dtype is None for x in self.inputs) else found[:1]

    def types(self, dtype: DType) -> list[ArrayType]:
        return [x.type(dtype) for x in self.inputs]

    def samples(self, dtype: DType, seed: int = 0) -> list[Any]:
        """NumPy arrays for all inputs; the same for the same seed."""
        random = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return [x.sample(dtype, random) for x in self.inputs]


def shapes(*each: Sequence[int], **options: Any) -> tuple[Input, ...]:
    """Inputs of these shapes that are alike otherwise."""
    return tuple(Input(tuple(shape), **options) for shape in each)


def all_cases() -> list[Case]:
    """All rows of all families."""
    families = ("elementwise", "movement", "indexing", "reduction", "contraction", "linalg")
    present = [f"cases_{family}" for family in families if find_spec(f"cases_{family}")]
    rows = [row for module in present for row in import_module(module).CASES]
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    assert not twice, f"names of rows must differ: {twice}"
    return rows
