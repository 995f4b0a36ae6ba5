"""JAX's switches: those that mean something here, those that change nothing on one processor, and
those that are refused, for a program that sets them would get less than it asks for.

In: names and values as `jax.config.update` has them. Out: `config.update`, and scopes such as
`jax.numpy_rank_promotion("raise")`. Must not know: what a switch does; who asks has that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.trace.flags import flag, flag_everywhere, scope_flag, scoped_flag, set_everywhere
from jitml_runtime import calling
from jitml_runtime.record import frozen


def _any(value: Any) -> bool:
    return True


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


@frozen
class Switch:
    """A switch: what it is unless set, the values that it may have, and why not others.

    `changes_results`: whether what has been compiled under another value must be forgotten.
    """

    default: Any = None
    takes: Callable[[Any], bool] = _any
    reason: str = ""
    changes_results: bool = False


_STRICT = ("standard", "strict")
_RANKS = ("allow", "warn", "raise")

_WITHOUT_EFFECT = (
    "jax_default_matmul_precision jax_dump_ir_modes jax_compilation_cache_dir jax_logging_level "
    "jax_optimization_level jax_transfer_guard jax_transfer_guard_device_to_device "
    "jax_transfer_guard_device_to_host jax_transfer_guard_host_to_device jax_debug_log_modules "
    "jax_cuda_visible_devices jax_rocm_visible_devices jax_xla_backend jax_backend_target "
    "jax_array_garbage_collection_guard jax_cpu_collectives_implementation "
    "jax_persistent_cache_min_compile_time_secs jax_persistent_cache_min_entry_size_bytes "
    "jax_compilation_cache_max_size jax_traceback_filtering jax_tracer_error_num_traceback_frames"
)
_OFF_WITHOUT_EFFECT = (
    "jax_enable_checks jax_explain_cache_misses jax_allow_f16_reductions jax_auto_pcast "
    "jax2tf_associative_scan_reductions jax_softmax_custom_jvp jax_disable_most_optimizations "
    "jax_remove_size_one_mesh_axis_from_type jax_enable_compilation_cache jax_enable_pgle "
    "jax_use_shardy_partitioner jax_cpu_enable_async_dispatch jax_pprint_use_color "
    "jax_include_full_tracebacks_in_locations jax_raise_persistent_cache_errors"
)


def _is_device(x: Any) -> bool:
    """Whether programs can run there."""
    if x in (None, "cpu"):
        return True
    from jitml.hardware import devices

    return x in devices()


SWITCHES: dict[str, Switch] = {
    # What means something.
    "jax_numpy_dtype_promotion": Switch("standard", _one_of(*_STRICT), "", True),
    "jax_numpy_rank_promotion": Switch("allow", _one_of(*_RANKS), "", True),
    "jax_debug_nans": Switch(False, _one_of(False, True)),
    "jax_debug_infs": Switch(False, _one_of(False, True)),
    "jax_debug_key_reuse": Switch(False, _one_of(False, True), "", True),
    "jax_no_tracing": Switch(False, _one_of(False, True)),
    "jax_log_compiles": Switch(False, _one_of(False, True)),
    # What other values would need something that is not here.
    "jax_default_device": Switch(None, _is_device, "jitml.devices() lists those that there are"),
    "jax_platforms": Switch("cpu", lambda x: not x or "cpu" in str(x).split(","),
                            "programs run on the CPU"),
    "jax_platform_name": Switch("cpu", _one_of("cpu", "", None), "programs run on the CPU"),
    "jax_num_cpu_devices": Switch(1, _one_of(1, -1), "there is one device; threads share its work"),
    "jax_default_prng_impl": Switch("threefry2x32", _one_of("threefry2x32"),
                                    "keys are threefry2x32"),
    "jax_threefry_partitionable": Switch(True, _one_of(True), "bits are those of True"),
    "jax_enable_custom_prng": Switch(False, _one_of(False),
                                     "random.key makes typed keys, random.PRNGKey plain ones"),
    "jax_legacy_prng_key": Switch("allow", _one_of("allow"), "plain keys are not told apart"),
    "jax_no_execution": Switch(False, _one_of(False), "programs always run"),
    "jax_thread_guard": Switch(False, _one_of(False), "threads may call whatever they like"),
    "jax_dump_ir_to": Switch(None, _one_of(None, ""), "JITML_DUMP=all prints every stage"),
    # What changes nothing here: there are no transfers, no lossy products, no XLA.
    **dict.fromkeys(_WITHOUT_EFFECT.split(), Switch()),
    **dict.fromkeys(_OFF_WITHOUT_EFFECT.split(), Switch(False)),
}  # fmt: skip
"""All of them, by JAX's names."""


_LOOKING = ("jax_debug_nans", "jax_debug_infs", "jax_debug_key_reuse")


def read_switch(name: str) -> Any:
    """The value of a switch on this thread."""
    return flag(name, SWITCHES[name].default)


def write_switch(name: str, value: Any) -> None:
    """Set a switch for the process."""
    _check(name, value)
    set_everywhere(name, value)
    _settle(name)


def switch_scope(name: str) -> Callable[..., Any]:
    """The function that gives scopes, on this thread, in which a switch has a value."""

    @contextmanager
    def scope(new_val: Any = True) -> Iterator[None]:
        _check(name, new_val)
        try:
            with scope_flag(name, new_val):
                _settle(name)
                yield
        finally:
            _settle(name)

    scope.__name__ = scope.__qualname__ = name.removeprefix("jax_")
    scope.__doc__ = f"A scope, on this thread, in which the switch `{name}` has a value."
    return scope


def _check(name: str, value: Any) -> None:
    switch = SWITCHES[name]
    if not switch.takes(value):
        raise ArgumentError(
            f"config: {name} cannot be {value!r}" + (f": {switch.reason}" if switch.reason else ""),
            hint=f"it is {switch.default!r} unless set",
            source=user_source(),
        )


def _settle(name: str) -> None:
    """Forget programs that were compiled under other rules; see to it that results are looked
    through where that is wanted.
    """
    calling.is_checked = any(scoped_flag(switch) for switch in _LOOKING)
    calling.checked_everywhere = any(flag_everywhere(switch) for switch in _LOOKING)
    if SWITCHES[name].changes_results:
        from jitml.compilation import clear_caches

        clear_caches()


_SCOPES = [
    "allow_f16_reductions", "array_garbage_collection_guard", "auto_pcast", "debug_infs",
    "debug_key_reuse", "debug_nans", "default_device", "default_matmul_precision",
    "default_prng_impl", "enable_checks", "enable_custom_prng", "explain_cache_misses",
    "jax2tf_associative_scan_reductions", "legacy_prng_key", "log_compiles", "no_execution",
    "no_tracing", "numpy_dtype_promotion", "numpy_rank_promotion",
    "remove_size_one_mesh_axis_from_type", "softmax_custom_jvp", "thread_guard",
    "threefry_partitionable", "transfer_guard", "transfer_guard_device_to_device",
    "transfer_guard_device_to_host", "transfer_guard_host_to_device",
]  # fmt: skip
"""The names under which the scopes are public."""

__all__ = ["Switch", *_SCOPES]


def __getattr__(name: str) -> Any:
    if name not in _SCOPES:
        raise AttributeError(f"module 'jitml.switches' has no attribute {name!r}")
    full = name if name in SWITCHES else f"jax_{name}"
    made = globals()[name] = switch_scope(full)
    return made
