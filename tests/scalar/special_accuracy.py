"""Measure the largest error of each special function, and write it to ACCURACY.md:
`python -m tests.scalar.special_accuracy [samples]`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from jitml.scalar import math
from tests.scalar.kernels import Kernel
from tests.scalar.references import DTYPES
from tests.scalar.special_references import SPECIAL

TABLE = Path(__file__).with_name("ACCURACY.md")
HEAD = """# Special functions: the largest errors measured, in units in the last place

Against mpmath at 40 digits, at random points (`python -m tests.scalar.special_accuracy`). One half
is what rounding alone gives. `tests/scalar/test_special_accuracy.py` holds the bounds.

| function | f32 | at | f64 | at |
|---|---|---|---|---|
"""


def largest_error(name: str, type_: str, count: int, seed: int = 0) -> tuple[float, Any]:
    """At random points, in ulp, and the arguments where it is."""
    random = np.random.default_rng([seed, len(name), ord(name[-1])])
    samples = [sampler(random, count) for sampler in SPECIAL[name].samplers]
    return largest_error_at(name, type_, samples)


def largest_error_at(name: str, type_: str, points: Sequence[Any]) -> tuple[float, Any]:
    """In ulp, and the arguments where it is."""
    special, dtype = SPECIAL[name], DTYPES[type_]
    operands = [x.astype(dtype) for x in points]
    kernel = Kernel(getattr(math, name), [type_] * len(operands), [type_], 8)
    found = kernel(*operands)
    errors = []
    with mpmath.workdps(40):
        for point, value in zip(zip(*operands, strict=True), found, strict=True):
            exact = special.exact(*(mpmath.mpf(float(x)) for x in point))
            ulp = float(np.spacing(np.abs(dtype(float(exact)))))
            errors.append(float(abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(ulp)))
    worst = int(np.argmax(errors))
    return errors[worst], tuple(float(x[worst]) for x in operands)


def eighths(name: str) -> Any:
    """Arguments, multiples of one eighth, of a function of one argument: there one formula takes
    over from another.
    """
    (sampler,) = SPECIAL[name].samplers
    samples = sampler(np.random.default_rng(0), 1000)
    points = np.arange(-240, 241) / 8
    points = points[(samples.min() <= points) & (points <= samples.max())]
    return points[(points > 0) | (points != np.round(points))]  # not at the poles of gamma


def main(count: int) -> None:
    lines = []
    for name in SPECIAL:
        cells = [name]
        for type_ in ("f32", "f64"):
            error, point = largest_error(name, type_, count)
            cells += [f"{error:.3g}", ", ".join(f"{x:.4g}" for x in point)]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    TABLE.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
