"""Every call of the driver fails, one at a time: named errors, and everything goes on.

JITML_GPU=all tries all programs; else two.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.device import errors
from jitml.emulation.libcuda import EmulatedCuda
from jitml.pipeline import devices

X = np.arange(12, dtype=np.float32).reshape(3, 4)
BIG = np.full((40, 40), 0.5, np.float32)


def checked(x: Any, i: Any) -> Any:
    return jnp.sort(x[i] + 1), x.sum()


def loop(x: Any) -> Any:
    return jitml.lax.while_loop(lambda s: s[1] < 2, lambda s: (s[0] @ x, s[1] + 1), (x, 0))


def calls_python(x: Any) -> Any:
    return jitml.pure_callback(lambda v: np.asarray(v) + 1, x, x * 2) * 3


def donates(x: Any) -> Any:
    return x * 2 + 1


PROGRAMS: dict[str, tuple[Callable[[], Any], Any]] = {
    "graph with checks": (lambda: jitml.jit(checked), (X, np.array([2, 0]))),
    "loop": (lambda: jitml.jit(loop), (np.full((16, 16), 0.5, np.float32),)),
    "Python": (lambda: jitml.jit(calls_python), (X,)),
    "donation": (lambda: jitml.jit(donates, donate_argnums=0), (BIG,)),
}
CHOSEN = PROGRAMS if os.environ.get("JITML_GPU") == "all" else ["donation", "loop"]
STATUS = (1, 2, 719, 999)


def results(function: Any, arguments: Any) -> list[Any]:
    return [np.asarray(y) for y in jitml.tree.leaves(function(*map(jnp.asarray, arguments)))]


@pytest.mark.parametrize("name", CHOSEN)
def test_every_call_of_the_driver_may_fail(name: str, emulated: EmulatedCuda) -> None:
    make, arguments = PROGRAMS[name]
    expected = results(make(), arguments)
    called = [*emulated.calls]
    assert len(called) > 16  # to open the device as well
    for number, function in enumerate(called):
        jitml.clear_caches()
        devices.device.cache_clear()
        emulated.planted = {function: STATUS[number % len(STATUS)]}
        program = make()
        try:
            found = results(program, arguments)
        except errors.DeviceError as error:
            assert f"{function} gives CUDA error" in str(error), function
            assert "test_every_failure.py" in str(error), function
            assert not emulated.planted
            found = results(program, arguments)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=function)
    del found, program, x, y
    jitml.clear_caches()
    gc.collect()
    device = devices.default_device()
    with device.entered():
        device.collect()
    assert device.bytes_in_use == 0
