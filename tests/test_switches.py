"""JAX's switches: what means something does it, what cannot be had is refused."""

from __future__ import annotations

import logging
import threading
from typing import Any

import names
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import config, switches
from jitml.errors import ArgumentError, ShapeError, TracingForbiddenError, TypePromotionError


def test_strict_promotion_tells_of_dtypes_that_meet() -> None:
    x, i = jnp.ones(2), jnp.arange(2)
    assert (x + i).dtype == jnp.float32  # known to the runtime before
    with jitml.numpy_dtype_promotion("strict"):
        assert (x + 1).dtype == (1.0 + x).dtype == (x + np.float32(1)).dtype == jnp.float32
        assert (i + 1).dtype == jnp.int32
        for other in (i, 1j, jnp.bfloat16(1), jnp.array([True, False])):
            with pytest.raises(TypePromotionError, match="meet, with jax_numpy_dtype_promotion"):
                _ = x + other
        with pytest.raises(TypePromotionError, match="int32, weak float32 meet"):
            jitml.jit(lambda i: i + 1.0)(i)
    assert (x + i).tolist() == [1, 2]


def test_rank_promotion_is_told() -> None:
    matrix, row = jnp.ones((2, 2)), jnp.ones(2)
    assert (matrix + row).shape == (2, 2)
    with jitml.numpy_rank_promotion("raise"):
        assert (matrix + 1).shape == (matrix + jnp.float32(1)).shape == (2, 2)
        with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(2, 2\) broadcast"):
            _ = matrix + row
    with jitml.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="broadcast, with"):
        _ = matrix * row
    assert (matrix + row).shape == (2, 2)


def test_nan_and_infinity_are_told_where_they_are_made() -> None:
    x, jitted = jnp.array([1.0, -1.0]), jitml.jit(lambda x: jnp.log(x) * 0 + 1)
    assert jnp.isnan(jitted(x)).any() and jnp.isnan(jnp.sqrt(x)).any()  # known to the runtime
    with jitml.debug_nans(True):
        for call in (
            lambda: jnp.sqrt(x),
            lambda: jitted(x),
            lambda: jitted(-x),
            lambda: x - jnp.inf + jnp.inf,
            lambda: jitml.grad(lambda x: jnp.sqrt(x) * 0.0)(0.0),
            lambda: jitml.jit(jitml.grad(lambda x: jnp.sqrt(x) * 0.0))(0.0),
            lambda: jitml.vmap(jnp.log)(x),
        ):
            for _ in range(2):
                with pytest.raises(FloatingPointError, match=r"gives NaN(.|\n)*test_switches\.py"):
                    call()
        with pytest.raises(FloatingPointError, match=r"^log gives NaN"):
            jitted(x)
        assert jnp.where(x > -2, x, jnp.nan).shape == jitted(jnp.ones(2)).shape == (2,)
    assert jnp.isnan(jnp.sqrt(x)).any() and jnp.isnan(jitted(x)).any()
    with jitml.debug_infs(True), pytest.raises(FloatingPointError, match="gives infinity"):
        jnp.ones(2) / 0


def test_tracing_can_be_forbidden_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        return x + 1

    f(1.0)
    with jitml.no_tracing():
        assert f(2.0) == 3
        with pytest.raises(TracingForbiddenError, match="jit traces f, with jax_no_tracing set"):
            f(jnp.ones(3))
    with jitml.log_compiles(), caplog.at_level(logging.WARNING, "jitml"):
        f(jnp.ones(4))
        f(jnp.ones(4))
    assert [r.getMessage() for r in caplog.records] == ["Compiling f for (f32[4])"]


def test_leaks_are_found_in_a_scope() -> None:
    kept = []
    with (
        jitml.check_tracer_leaks(),
        pytest.raises(jitml.errors.UnexpectedTracerError, match="outlives the trace"),
    ):
        jitml.jit(lambda x: kept.append(x * 2) or x)(1.0)
    with jitml.check_tracer_leaks(False):
        jitml.jit(lambda x: kept.append(x) or x)(1.0)
    config.update("jax_check_tracer_leaks", True)
    assert config.jax_check_tracer_leaks
    config.update("jax_check_tracer_leaks", False)


def test_jit_can_be_switched_off() -> None:
    config.update("jax_disable_jit", True)
    try:
        assert jitml.jit(lambda x: type(x).__name__ == "Array")(jnp.ones(1)) is True
        assert config.read("jax_disable_jit") is True
    finally:
        config.update("jax_disable_jit", False)


@pytest.mark.parametrize("name", switches._SCOPES)
def test_every_scope_has_its_switch(name: str) -> None:
    full = name if name in switches.SWITCHES else f"jax_{name}"
    before = config.read(full)
    with getattr(jitml, name)(before):
        assert getattr(config, full) == before
    assert name in names.wanted()["jax"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("jax_default_prng_impl", "rbg", "keys are threefry2x32"),
        ("jax_threefry_partitionable", False, "bits are those of True"),
        ("jax_platforms", "cuda", "programs run on the CPU"),
        ("jax_num_cpu_devices", 8, "there is one device"),
        ("jax_default_device", "gpu", "lists those that there are"),
        ("jax_no_execution", True, "programs always run"),
        ("jax_numpy_rank_promotion", "maybe", "it is 'allow' unless set"),
    ],
)
def test_what_a_program_would_not_get_is_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} cannot be {value!r}(.|\n)*{reason}"):
        config.update(name, value)


def test_what_changes_nothing_is_kept() -> None:
    before = config.jax_default_matmul_precision
    config.update("jax_default_matmul_precision", "highest")
    assert config.jax_default_matmul_precision == "highest"
    with jitml.default_matmul_precision("float32"):
        assert config.read("jax_default_matmul_precision") == "float32"
        seen: list[Any] = []
        other = threading.Thread(
            target=lambda: seen.append(config.read("jax_default_matmul_precision"))
        )
        other.start()
        other.join()
        assert seen == ["highest"]
    config.update("jax_default_matmul_precision", before)
    with jitml.default_device(jitml.devices()[0]):
        assert jnp.ones(1).device is jitml.devices()[0]


def test_switches_that_there_are_none_of() -> None:
    with pytest.raises(AttributeError, match="there is no switch 'jax_nothing'"):
        config.update("jax_nothing", 1)
    with pytest.raises(AttributeError, match="there is no switch 'jax_nothing'"):
        _ = config.jax_nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = switches.nothing


def test_the_environment_sets_switches() -> None:
    config.update_from_environment({"JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_LOG_COMPILES": "1"})
    try:
        assert (config.jax_numpy_rank_promotion, config.jax_log_compiles) == ("raise", True)
    finally:
        config.update("jax_numpy_rank_promotion", "allow")
        config.update("jax_log_compiles", False)
    with pytest.raises(ArgumentError, match="jax_no_execution cannot be True"):
        config.update_from_environment({"JAX_NO_EXECUTION": "true"})
