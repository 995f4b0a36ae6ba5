"""An error of its own for every public name: what it cannot take is refused in the user's terms,
with the line, as one of jitml's errors (or, for what is Python's own, as Python does)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import names
import numpy as np
import pytest
from every import lax, linalg, nn, numpy, random, scipy

import jitml
import jitml.numpy as jnp
from jitml import tree
from jitml.errors import JitmlError

TABLES = (lax, linalg, nn, numpy, random, scipy)
CALLS = {call.name: call for table in reversed(TABLES) for call in reversed(table.CALLS)}
STRANGE = object()
MIXED = {1: 0, "a": 1}  # keys that cannot be sorted
KEY = jitml.random.key(0)

# What takes anything, or nothing at all: constants, types of keys and results, scopes of switches
# that mean nothing here, functions without arguments.
_ANYTHING = """
    jax.P jax.NamedSharding jax.Shard jax.block_until_ready jax.check_tracer_leaks
    jax.device_get jax.copy_to_host_async jax.disable_jit jax.enable_x64
    jax.print_environment_info jax.reshard jax.set_mesh jax.checking_leaks jax.clear_caches
    jax.default_backend jax.effects_barrier jax.ensure_compile_time_eval jax.Array jax.Device
    jax.enable_checks jax.explain_cache_misses jax.transfer_guard
    jax.transfer_guard_device_to_device jax.transfer_guard_device_to_host
    jax.transfer_guard_host_to_device jax.default_matmul_precision jax.allow_f16_reductions
    jax.array_garbage_collection_guard jax.auto_pcast jax.jax2tf_associative_scan_reductions
    jax.remove_size_one_mesh_axis_from_type jax.softmax_custom_jvp jax.numpy.ComplexWarning
    jax.numpy.character jax.numpy.complexfloating jax.numpy.flexible jax.numpy.floating
    jax.numpy.generic jax.numpy.inexact jax.numpy.integer jax.numpy.number
    jax.numpy.signedinteger jax.numpy.unsignedinteger jax.numpy.object_ jax.numpy.iterable
    jax.numpy.isscalar jax.numpy.get_printoptions jax.numpy.ndarray jax.lax.ConvDimensionNumbers
    jax.lax.DotAlgorithm jax.lax.GatherDimensionNumbers jax.lax.RaggedDotDimensionNumbers
    jax.lax.ScatterDimensionNumbers jax.lax.create_token jax.lax.stop_gradient
    jax.nn.initializers.Initializer jax.tree.static jax.tree_util.DictKey
    jax.tree_util.FlattenedIndexKey jax.tree_util.GetAttrKey jax.tree_util.KeyEntry
    jax.tree_util.PyTreeDef jax.tree_util.SequenceKey jax.tree_util.is_tree_node
    jax.scipy.optimize.OptimizeResults jax.debug.breakpoint jax.dtypes.TypePromotionError
    jax.dtypes.extended jax.dtypes.prng_key jax.export.Exported
    jax.export.default_export_platform jax.sharding.AbstractDevice jax.sharding.NamedSharding
    jax.sharding.PartitionSpec jax.sharding.Sharding jax.sharding.auto_axes
    jax.sharding.explicit_axes jax.sharding.get_abstract_mesh jax.sharding.get_mesh
    jax.sharding.reshard jax.sharding.set_mesh jax.sharding.use_abstract_mesh
    jax.typing.ArrayLike jax.typing.DTypeLike
"""
ANYTHING = frozenset(_ANYTHING.split())

# What Python or NumPy says of itself, in terms that are the user's: enumerations, files, buffers,
# iterables, NumPy's own types.
_OF_PYTHON = """
    jax.numpy.dtype jax.numpy.frombuffer jax.numpy.fromiter jax.numpy.fromstring jax.numpy.load
    jax.numpy.savez jax.numpy.set_printoptions jax.numpy.ufunc jax.numpy.printoptions
    jax.lax.AccuracyMode jax.lax.DotAlgorithmPreset jax.lax.FftType jax.lax.GatherScatterMode
    jax.lax.Precision jax.lax.RandomAlgorithm jax.lax.RoundingMethod
    jax.lax.linalg.EigImplementation jax.lax.linalg.EighImplementation
    jax.lax.linalg.SvdAlgorithm jax.tree_util.Partial jax.tree_util.all_leaves
    jax.tree_util.keystr jax.tree_util.treedef_tuple jax.image.ResizeMethod
    jax.sharding.AxisType jax.export.deserialize jax.test_util.check_jvp jax.test_util.check_vjp
    jax.test_util.check_grads jax.debug.visualize_sharding
"""
OF_PYTHON = frozenset(_OF_PYTHON.split())

# Calls for names that a strange object in place of an argument does not suit.
TREE: dict[str, Callable[[], Any]] = {
    "all": lambda: tree.all(MIXED),
    "broadcast": lambda: tree.broadcast([1, 2], [1]),
    "flatten": lambda: tree.flatten(MIXED),
    "flatten_with_path": lambda: tree.flatten_with_path(MIXED),
    "leaves": lambda: tree.leaves(MIXED),
    "leaves_with_path": lambda: tree.leaves_with_path(MIXED),
    "map": lambda: tree.map(lambda x, y: x, [1], [1, 2]),
    "structure": lambda: tree.structure(MIXED),
    "unflatten": lambda: tree.unflatten(tree.structure([1, 2]), [1]),
}
INITIALIZERS = [
    "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "orthogonal",
    "truncated_normal", "uniform", "xavier_normal", "xavier_uniform",
]  # fmt: skip
OWN: dict[str, Callable[[], Any]] = {
    **{f"jax.tree.{name}": call for name, call in TREE.items()},
    **{f"jax.tree_util.tree_{name}": call for name, call in TREE.items()},
    **{
        f"jax.nn.initializers.{name}": lambda name=name: getattr(jitml.nn.initializers, name)()(
            STRANGE, (2, 2, 2)
        )
        for name in INITIALIZERS
    },
    "jax.nn.initializers.constant": lambda: jitml.nn.initializers.constant(STRANGE)(KEY, (2,)),
    "jax.nn.initializers.variance_scaling": lambda: jitml.nn.initializers.variance_scaling(
        1.0, "fan_middle", "normal"
    )(KEY, (2, 2)),
    "jax.shard_map": lambda: jitml.shard_map(STRANGE, in_specs=None, out_specs=None)(1.0),
    "jax.smap": lambda: jitml.smap(STRANGE, in_axes=0, out_axes=0, axis_name="i")(1.0),
    "jax.lax.Tolerance": lambda: jitml.lax.Tolerance(-1.0),
    "jax.lax.pcast": lambda: jitml.lax.pcast(1.0, "i", to="varying"),
    "jax.lax.precv": lambda: jitml.lax.precv(STRANGE, jnp.ones(2), "i", []),
    "jax.lax.ragged_all_to_all": lambda: jitml.lax.ragged_all_to_all(
        *[jnp.arange(2)] * 6, axis_name="i"
    ),
    "jax.scipy.optimize.minimize": lambda: jitml.scipy.optimize.minimize(
        STRANGE, jnp.ones(2), method="BFGS"
    ),
    "jax.debug.inspect_array_sharding": lambda: jitml.debug.inspect_array_sharding(
        jnp.ones(2), callback=STRANGE
    ),
}


def names_of(module: str) -> list[str]:
    left_out = {name.rpartition(".")[2] for name in names.LEFT_OUT if name.startswith(module)}
    return [name for name in names.wanted()[module] if name not in left_out]


def strange_call(module: str, name: str) -> Any:
    """Call a function of jitml with an object that nothing is known of for an argument."""
    short = module.partition(".")[2]
    function = getattr(importlib.import_module(f"jitml.{short}".rstrip(".")), name)
    if not callable(function):
        return None
    call = CALLS.get(f"{short}.{name}")
    if call is not None and call.arguments:
        places = [n for n, x in enumerate(call.arguments) if isinstance(x, np.ndarray)]
        arguments = list(call.arguments)
        arguments[places[0] if places else 0] = STRANGE
        return function(*arguments, **call.options)
    result = function(*[STRANGE] * max(1, required(function)))
    if hasattr(result, "__enter__"):
        with result:
            pass
    return result(STRANGE) if callable(result) else result


def required(function: Any) -> int:
    """How many arguments it must be given by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 1
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is p.empty and p.kind in by_position for p in parameters)


def complaint(module: str, name: str) -> str:
    """What is wrong with the error for a name; empty if nothing is."""
    whole = f"{module}.{name}"
    short = module.partition(".")[2]
    value = getattr(importlib.import_module(f"jitml.{short}".rstrip(".")), name)
    is_error = isinstance(value, type) and issubclass(value, Exception)
    if whole in ANYTHING or is_error or not callable(value):
        return ""
    try:
        (OWN.get(whole) or (lambda: strange_call(module, name)))()
    except JitmlError as error:
        if __file__ in str(error.source.file) or "test_every_error" in str(error):
            return ""
        return f"no line: {error}"
    except (TypeError, ValueError) as error:
        return "" if whole in OF_PYTHON else f"{type(error).__name__}: {error}"
    return "no error"


@pytest.mark.parametrize("module", names.wanted())
@pytest.mark.filterwarnings("ignore")
def test_what_a_name_cannot_take_is_refused(module: str) -> None:
    found = {name: complaint(module, name) for name in names_of(module)}
    assert not {name: text for name, text in found.items() if text}
