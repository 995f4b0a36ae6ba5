"""jitml: write NumPy, get gradients, batches and machine code.

The names are those of JAX; what is heavy to import is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from jitml_runtime import Array as _ConcreteArray
from jitml_runtime import set_operators as _set_operators

if TYPE_CHECKING:
    from jitml import ad_checkpoint as ad_checkpoint
    from jitml import checkify as checkify
    from jitml import config as config
    from jitml import custom_derivatives as custom_derivatives
    from jitml import debug as debug
    from jitml import display as display
    from jitml import dlpack as dlpack
    from jitml import dtypes as dtypes
    from jitml import errors as errors
    from jitml import experimental as experimental
    from jitml import export as export
    from jitml import ffi as ffi
    from jitml import flatten_util as flatten_util
    from jitml import lax as lax
    from jitml import nn as nn
    from jitml import numpy as numpy
    from jitml import ops as ops
    from jitml import random as random
    from jitml import scipy as scipy
    from jitml import tree as tree
    from jitml import tree_util as tree_util
    from jitml import typing as typing
    from jitml.abstract import ShapeDtypeStruct as ShapeDtypeStruct
    from jitml.ad_checkpoint import checkpoint as checkpoint
    from jitml.ad_checkpoint import checkpoint_policies as checkpoint_policies
    from jitml.ad_checkpoint import remat as remat
    from jitml.ahead_of_time import aot as aot
    from jitml.callbacks import effects_barrier as effects_barrier
    from jitml.callbacks import io_callback as io_callback
    from jitml.callbacks import pure_callback as pure_callback
    from jitml.closures import closure_convert as closure_convert
    from jitml.closures import custom_gradient as custom_gradient
    from jitml.compilation import clear_caches as clear_caches
    from jitml.compilation import eval_shape as eval_shape
    from jitml.compilation import explain as explain
    from jitml.compilation import jit as jit
    from jitml.compilation import make_graph as make_graph
    from jitml.compilation import make_jaxpr as make_jaxpr
    from jitml.config import enable_x64 as enable_x64
    from jitml.config import num_threads as num_threads
    from jitml.custom_derivatives import custom_jvp as custom_jvp
    from jitml.custom_derivatives import custom_vjp as custom_vjp
    from jitml.differentiation import grad as grad
    from jitml.differentiation import jvp as jvp
    from jitml.differentiation import linear_transpose as linear_transpose
    from jitml.differentiation import linearize as linearize
    from jitml.differentiation import value_and_grad as value_and_grad
    from jitml.differentiation import vjp as vjp
    from jitml.display.live import live as live
    from jitml.display.magics import load_ipython_extension as load_ipython_extension
    from jitml.inspection import inspect as inspect
    from jitml.jacobians import hessian as hessian
    from jitml.jacobians import jacfwd as jacfwd
    from jitml.jacobians import jacrev as jacrev
    from jitml.memory import memory_stats as memory_stats
    from jitml.memory import release_memory as release_memory
    from jitml.profiling import profile as profile
    from jitml.scopes import disable_jit as disable_jit
    from jitml.scopes import ensure_compile_time_eval as ensure_compile_time_eval
    from jitml.scopes import named_call as named_call
    from jitml.scopes import named_scope as named_scope
    from jitml.shard_mapping import pmap as pmap
    from jitml.trace.core import checking_leaks as checking_leaks
    from jitml.typing import Array as Array
    from jitml.vectorization import vmap as vmap

__version__ = "0.1.0"


_MODULES = frozenset(
    {
        "ad_checkpoint", "as_jax", "checkify", "config", "core", "custom_derivatives", "debug",
        "display", "dlpack", "dtypes", "errors", "experimental", "export", "ffi", "flatten_util",
        "image", "lax", "nn", "numpy", "ops", "optim", "random", "scipy", "sharding", "stages",
        "test_util", "tree", "tree_util", "typing",
    }
)  # fmt: skip
_OF_DEVICES = (
    "default_backend device_count devices host_count host_id host_ids local_device_count "
    "local_devices print_environment_info process_count process_index process_indices typeof"
)
_OF_TRANSFERS = (
    "copy_to_host_async device_get device_put make_array_from_callback "
    "make_array_from_process_local_data make_array_from_single_device_arrays"
)
_OF_SWITCHES = (
    "allow_f16_reductions array_garbage_collection_guard auto_pcast debug_infs debug_key_reuse "
    "debug_nans default_device default_matmul_precision default_prng_impl enable_checks "
    "enable_custom_prng explain_cache_misses jax2tf_associative_scan_reductions legacy_prng_key "
    "log_compiles no_execution no_tracing numpy_dtype_promotion numpy_rank_promotion "
    "remove_size_one_mesh_axis_from_type softmax_custom_jvp thread_guard threefry_partitionable "
    "transfer_guard transfer_guard_device_to_device transfer_guard_device_to_host "
    "transfer_guard_host_to_device"
)
_FUNCTIONS = {
    "Array": "typing",
    "Device": "hardware",
    "NamedSharding": "sharding",
    "P": "sharding",
    "Shard": "sharding",
    "ShapeDtypeStruct": "abstract",
    "check_tracer_leaks": "scopes",
    "checking_leaks": "trace.core",
    "aot": "ahead_of_time",
    "checkpoint": "ad_checkpoint",
    "checkpoint_policies": "ad_checkpoint",
    "clear_caches": "compilation",
    "live": "display.live",
    "load_ipython_extension": "display.magics",
    "load": "checkpoints",
    "save": "checkpoints",
    "closure_convert": "closures",
    "custom_gradient": "closures",
    "custom_jvp": "custom_derivatives",
    "custom_vjp": "custom_derivatives",
    "disable_jit": "scopes",
    "effects_barrier": "callbacks",
    "enable_x64": "config",
    "ensure_compile_time_eval": "scopes",
    "eval_shape": "compilation",
    "float0": "dtypes",
    "fwd_and_bwd": "forward_backward",
    "explain": "compilation",
    "jit": "compilation",
    "make_graph": "compilation",
    "make_jaxpr": "compilation",
    "io_callback": "callbacks",
    "grad": "differentiation",
    "hessian": "jacobians",
    "inspect": "inspection",
    "jacfwd": "jacobians",
    "jacobian": "jacobians",
    "jacrev": "jacobians",
    "jvp": "differentiation",
    "linear_transpose": "differentiation",
    "linearize": "differentiation",
    "memory_stats": "memory",
    "named_call": "scopes",
    "named_scope": "scopes",
    "num_threads": "config",
    "profile": "profiling",
    "pure_callback": "callbacks",
    "release_memory": "memory",
    "remat": "ad_checkpoint",
    "value_and_grad": "differentiation",
    "vjp": "differentiation",
    "vmap": "vectorization",
    **dict.fromkeys(_OF_DEVICES.split(), "hardware"),
    **dict.fromkeys(_OF_TRANSFERS.split(), "transfers"),
    **dict.fromkeys(["make_mesh", "reshard", "set_mesh"], "sharding"),
    **dict.fromkeys(["pmap", "shard_map", "smap"], "shard_mapping"),
    **dict.fromkeys(_OF_SWITCHES.split(), "switches"),
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
    spans = sys.modules.get("jitml.pipeline.spans")
    if spans is None:
        return x
    with spans.spanning("wait", "block_until_ready"):
        if "jitml.device.device" in sys.modules:
            for leaf in importlib.import_module("jitml.tree").leaves(x):
                if hasattr(leaf, "block_until_ready"):
                    leaf.block_until_ready()
        return x


def _defer_operators() -> None:
    """Let the first operator, method or print of an array bring in what operators need."""
    methods = "jitml.array_methods"

    def deferred(name: str) -> Any:
        return lambda *args: importlib.import_module(methods).OPERATORS[name](*args)

    def attribute(self: Any, name: str) -> Any:
        if methods in sys.modules:
            raise AttributeError(f"'Array' object has no attribute {name!r}")
        importlib.import_module(methods)
        return getattr(self, name)

    def special(name: str) -> Any:
        return lambda self, *args: getattr(importlib.import_module(methods), name)(self, *args)

    target: Any = _ConcreteArray
    for name, by in (("__format__", "array_format"), ("__round__", "array_round")):
        setattr(target, name, special(by))
    target.__getattr__ = attribute
    _set_operators({name: deferred(name) for name in _OPERATORS})


_OPERATORS = frozenset(
    {
        "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "divmod", "power",
        "matmul", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "less",
        "less_equal", "equal", "not_equal", "greater", "greater_equal", "negative", "positive",
        "absolute", "invert", "getitem", "contains", "iter", "repr", "str",
    }
)  # fmt: skip
_defer_operators()


def _show_without_our_frames() -> None:
    """Let errors that end a program show the user's lines alone."""
    show = sys.excepthook

    def shown(kind: Any, error: BaseException, traceback: Any) -> None:
        importlib.import_module("jitml.ir.tracebacks").hide_frames(error)
        show(kind, error, error.__traceback__)

    sys.excepthook = shown


_show_without_our_frames()

__all__ = ["block_until_ready", *sorted(_MODULES), *sorted(_FUNCTIONS)]
