"""Print the largest error of each math function: `python -m tests.scalar.accuracy [samples]`."""

from __future__ import annotations

import sys

import numpy as np

from jitml.scalar import math
from tests.scalar.kernels import Kernel, build
from tests.scalar.references import REFERENCES, errors_in_ulp, samples


def kernels(type_: str, lanes: int, level: int = 2) -> dict[str, Kernel]:
    """Every function as a compiled kernel."""
    table = {
        name: Kernel(getattr(math, name), [type_] * reference.arity, [type_], lanes)
        for name, reference in REFERENCES.items()
    }
    build(list(table.values()), level)
    return table


def main(count: int) -> None:
    print(f"{'function':10} {'type':4} {'samples':>8} {'max ulp':>8}  at")
    for type_, per_part in (("f32", 100 * count), ("f64", count)):
        table = kernels(type_, 8)
        for name in REFERENCES:
            operands = samples(name, type_, per_part)
            errors = errors_in_ulp(name, type_, operands, table[name](*operands))
            worst = int(np.argmax(errors))
            point = ", ".join(repr(float(x[worst])) for x in operands)
            size = operands[0].size
            print(f"{name:10} {type_:4} {size:8} {errors[worst]:8.3f}  {point}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
