"""jitml: write NumPy, get gradients, batches and machine code.

The names are those of JAX; what is heavy to import is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jitml import array_methods as _array_methods
from jitml.config import enable_x64
from jitml.trace.core import set_evaluator as _set_evaluator
from jitml.transforms.execute import set_executor as _set_executor
from jitml.typing import Array

if TYPE_CHECKING:
    from jitml import config as config
    from jitml import dlpack as dlpack
    from jitml import dtypes as dtypes
    from jitml import errors as errors
    from jitml import lax as lax
    from jitml import nn as nn
    from jitml import numpy as numpy
    from jitml import random as random
    from jitml import tree as tree
    from jitml import tree_util as tree_util
    from jitml import typing as typing
    from jitml.differentiation import grad as grad
    from jitml.differentiation import jvp as jvp
    from jitml.differentiation import linear_transpose as linear_transpose
    from jitml.differentiation import linearize as linearize
    from jitml.differentiation import value_and_grad as value_and_grad
    from jitml.differentiation import vjp as vjp
    from jitml.explanation import explain as explain
    from jitml.jacobians import hessian as hessian
    from jitml.jacobians import jacfwd as jacfwd
    from jitml.jacobians import jacrev as jacrev
    from jitml.dispatch import ShapeDtypeStruct as ShapeDtypeStruct
    from jitml.dispatch import disable_jit as disable_jit
    from jitml.dispatch import eval_shape as eval_shape
    from jitml.dispatch import jit as jit
    from jitml.dispatch import make_graph as make_graph
    from jitml.dispatch import make_jaxpr as make_jaxpr
    from jitml.vectorization import vmap as vmap

__version__ = "0.1.0"


def _evaluate(op: Any, inputs: Any) -> Any:
    """The first eager operation brings the compiler in, which installs its own evaluator."""
    from jitml.pipeline.compile import evaluate

    return evaluate(op, inputs)


def _run_graph(graph: Any, values: Any) -> Any:
    from jitml.pipeline.compile import run_graph

    return run_graph(graph, values)


_set_evaluator(_evaluate)
_set_executor(_run_graph)

_MODULES = frozenset(
    {
        "config", "dlpack", "dtypes", "errors", "lax", "nn", "numpy", "random", "tree",
        "tree_util", "typing",
    }
)  # fmt: skip
_FUNCTIONS = {
    "ShapeDtypeStruct": "dispatch",
    "disable_jit": "dispatch",
    "eval_shape": "dispatch",
    "explain": "explanation",
    "jit": "dispatch",
    "make_graph": "dispatch",
    "make_jaxpr": "dispatch",
    "grad": "differentiation",
    "hessian": "jacobians",
    "jacfwd": "jacobians",
    "jacobian": "jacobians",
    "jacrev": "jacobians",
    "jvp": "differentiation",
    "linear_transpose": "differentiation",
    "linearize": "differentiation",
    "value_and_grad": "differentiation",
    "vjp": "differentiation",
    "vmap": "vectorization",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"jitml.{name}")
    if name in _FUNCTIONS:
        found = getattr(importlib.import_module(f"jitml.{_FUNCTIONS[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'jitml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_FUNCTIONS})


def block_until_ready(x: Any) -> Any:
    """`x`, once all its arrays are computed.

    >>> block_until_ready(1)
    1
    """
    return x


__all__ = ["Array", "block_until_ready", "enable_x64", *sorted(_MODULES), *sorted(_FUNCTIONS)]
del _array_methods
