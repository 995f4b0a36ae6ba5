"""Tells the tracer how operations run outside of any trace: through the pipeline.

Whatever module of the API can bind an op imports this one. The pipeline itself comes with the first
operation that runs, and then installs itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.op import Op
from jitml.trace.core import has_evaluator, set_evaluator


def _evaluate_first(op: Op, inputs: Sequence[Any]) -> Sequence[Any]:
    from jitml.pipeline.compile import evaluate

    return evaluate(op, inputs)


if not has_evaluator():
    set_evaluator(_evaluate_first)
