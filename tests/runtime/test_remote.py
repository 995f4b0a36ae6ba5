"""Arrays whose elements lie elsewhere, in both executors."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import jitml_runtime
from jitml_runtime import ArraySpec, Plan, reference

RUNTIMES = pytest.mark.parametrize("runtime", [jitml_runtime, reference], ids=["chosen", "python"])
FLOAT = np.dtype(np.float32)


class Elsewhere:
    """Elements that are counted when somebody reads them."""

    def __init__(self, elements: Any) -> None:
        self.elements = elements
        self.reads = 0

    def read(self) -> Any:
        self.reads += 1
        return self.elements


def remote(runtime: Any, shape: tuple[int, ...] = (3, 4)) -> tuple[Any, Elsewhere]:
    elements = np.arange(np.prod(shape, dtype=int), dtype=FLOAT).reshape(shape)
    where = Elsewhere(elements)
    return runtime.remote_array(FLOAT, shape, False, where), where


@RUNTIMES
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 5), (1000,)])
def test_elements_come_once_when_somebody_looks(runtime: Any, shape: tuple[int, ...]) -> None:
    array, where = remote(runtime, shape)
    assert array.shape == shape and array.nbytes == where.elements.nbytes
    assert not runtime.is_at_hand(array) and where.reads == 0
    np.testing.assert_array_equal(np.asarray(array), where.elements)
    np.asarray(array)
    assert runtime.is_at_hand(array) and where.reads == 1


@RUNTIMES
def test_arrays_whose_elements_came_are_listed_once(runtime: Any) -> None:
    arrays = [remote(runtime)[0] for _ in range(3)]
    for array in (arrays[0], arrays[2], arrays[1]):
        np.asarray(array)
    listed = [id(x) for x in runtime.list_stored_arrays()]
    assert len(listed) == len(set(listed))


@RUNTIMES
def test_other_headers_do_not_bring_elements(runtime: Any) -> None:
    array, where = remote(runtime)
    flat, twin = runtime.share(array, (12,), True), copy.copy(array)
    assert where.reads == 0 and runtime.remote_of(flat) is runtime.remote_of(twin) is where
    assert runtime.basic_index(array, 1) is None and where.reads == 0
    assert runtime.basic_transpose(array) is None and runtime.basic_reshape(array, -1) is None
    assert where.reads == 0
    np.testing.assert_array_equal(np.asarray(flat), np.arange(12))
    array.delete()
    np.testing.assert_array_equal(np.asarray(twin), where.elements)


@RUNTIMES
def test_what_is_deleted_lets_go_of_what_has_its_elements(runtime: Any) -> None:
    array, where = remote(runtime)
    array.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        runtime.remote_of(array)
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(array)
    assert where.reads == 0


@RUNTIMES
def test_memory_is_given_by_its_only_owner(runtime: Any) -> None:
    array = remote(runtime)[0]
    twin = copy.copy(array)
    assert runtime.take_remote(array) is None and not array.is_deleted()
    del twin
    gc.collect()
    assert isinstance(runtime.take_remote(array), Elsewhere) and array.is_deleted()


@RUNTIMES
def test_only_own_memory_is_known_elsewhere(runtime: Any) -> None:
    where = Elsewhere(None)
    own = runtime.from_numpy(np.ones(1000, FLOAT))
    assert runtime.attach_remote(own, where) and runtime.is_at_hand(own)
    assert runtime.remote_of(own) is where and not runtime.attach_remote(own, where)
    foreign = runtime.from_numpy(np.ones(1000, FLOAT), copy=False)
    assert not runtime.attach_remote(foreign, where) and runtime.remote_of(foreign) is None


@RUNTIMES
def test_what_fails_to_come_may_be_asked_for_again(runtime: Any) -> None:
    array, where = remote(runtime)
    elements, where.elements = where.elements, np.arange(12)  # of another type
    with pytest.raises(SystemError, match="elements of another type"):
        np.asarray(array)
    where.elements = elements
    assert pickle.loads(pickle.dumps(array)).shape == (3, 4)


@RUNTIMES
def test_a_delegate_runs_a_plan(runtime: Any) -> None:
    spec = ArraySpec(FLOAT, (4,))
    plan = Plan((spec,), (spec,), (), ())
    seen = []

    def run(arguments: Any, explain: Any) -> Any:
        seen.append((arguments, explain))
        return results

    executable = runtime.Executable(plan, (), None, (), run)
    array, where = remote(runtime, (4,))
    results: Any = [remote(runtime, (4,))[0]]
    assert executable.run([array], print)[0] is results[0]
    assert seen == [((array,), print)] and where.reads == 0
    with pytest.raises(TypeError, match="compiled for float32"):
        executable.run([remote(runtime, (5,))[0]])


def test_a_delegate_must_give_what_the_plan_says() -> None:
    spec = ArraySpec(FLOAT, (4,))
    plan = Plan((), (spec,), (), ())
    for found in ([], [np.ones(4)], [remote(jitml_runtime, (5,))[0]]):
        executable = jitml_runtime.Executable(plan, (), None, (), lambda *_, found=found: found)
        if jitml_runtime.EXECUTOR == "native":
            with pytest.raises(SystemError, match="other results than the plan's"):
                executable.run([])
