"""Executables: results, memory, donation, host calls, faults, references."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from jitml_runtime import Buffer, Copy, HostCall, KernelFault, Plan
from jitml_runtime.record import replace

Bind = Callable[..., Any]
Script = Callable[[str], "subprocess.CompletedProcess[str]"]


def ramp(runtime: Any, size: int) -> Any:
    return runtime.from_numpy(np.arange(size, dtype=np.float32))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("size", "grain"), [(1, 0), (8, 0), (9, 4), (5000, 64), (100_001, 1000)])
def test_results_do_not_depend_on_threads(
    runtime: Any, programs: ModuleType, bind: Bind, size: int, grain: int, threads: int
) -> None:
    runtime.set_num_threads(threads)
    for plan, added in (
        (programs.add_one_plan(size, grain), 1),
        (programs.add_three_plan(size, grain), 3),
    ):
        (result,) = bind(plan).run([ramp(runtime, size)])
        assert np.array_equal(np.asarray(result), np.arange(size, dtype=np.float32) + added)
        assert runtime.data_pointer(result) % 64 == 0


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_worker_has_scratch_memory_of_its_own(
    runtime: Any, programs: ModuleType, bind: Bind, threads: int
) -> None:
    runtime.set_num_threads(threads)
    plan = programs.work_plan(size=400, grain=3, rounds=300)
    (result,) = bind(plan).run(())
    assert np.array_equal(np.asarray(result), np.arange(400) // 3 * 3)


def test_arguments_are_checked(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    run = bind(programs.add_one_plan(8)).run
    cases: list[tuple[Any, str]] = [
        ([], "takes 1 arguments, not 0"),
        ([ramp(runtime, 8)] * 2, "takes 1 arguments, not 2"),
        ([np.zeros(8, np.float32)], "argument 0 must be an Array, not numpy.ndarray|not ndarray"),
        ([ramp(runtime, 9)], r"argument 0 has type float32\(9,\), but .* for float32\(8,\)"),
        ([runtime.from_numpy(np.zeros(8))], r"has type float64\(8,\)"),
        ([runtime.from_numpy(np.zeros((8, 1), np.float32))], r"has type float32\(8, 1\)"),
    ]
    for arguments, message in cases:
        with pytest.raises(TypeError, match=message):
            run(arguments)
    deleted = ramp(runtime, 8)
    deleted.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        run([deleted])


def test_constants_copies_forwards_and_duplicates(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    kind = programs.spec(np.float32, 3)
    plan = Plan(
        inputs=(kind,),
        outputs=(kind, kind, kind, kind),
        buffers=(
            Buffer("constant", 1, 0, 12),
            Buffer("output", 0, 0, 12),
            Buffer("output", 3, 0, 12),
        ),
        instructions=(Copy(0, 1, "copy"), programs.instruction("add_one", (0, 2), 3)),
        constants=(b"unused", np.array([5, 6, 7], np.float32).tobytes()),
        forward=(None, 0, None, None),
        duplicates=(None, None, 0, None),
    )
    argument = ramp(runtime, 3)
    results = bind(plan).run([argument])
    assert results[1] is argument and results[2] is results[0]
    assert np.asarray(results[0]).tolist() == [5, 6, 7]
    assert np.asarray(results[3]).tolist() == [6, 7, 8]


@pytest.mark.parametrize("size", [6, 6000])
def test_forwards_in_another_shape_share_memory(
    runtime: Any, programs: ModuleType, bind: Bind, size: int
) -> None:
    kind = programs.spec(np.float32, size)
    shapes = (replace(kind, shape=(2, size // 2)), replace(kind, shape=(size, 1)), kind)
    argument = ramp(runtime, size)
    results = bind(Plan((kind,), shapes, (), (), forward=(0, 0, 0))).run([argument])
    assert results[2] is argument
    for result, spec in zip(results[:2], shapes, strict=False):
        assert result.shape == spec.shape
        assert np.array_equal(np.asarray(result).ravel(), np.arange(size, dtype=np.float32))
        if size == 6000:
            assert runtime.data_pointer(result) == runtime.data_pointer(argument)
    argument.delete()
    assert np.asarray(results[0])[1, 0] == size // 2


def test_weak_results(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    plan = programs.add_one_plan(4)
    plan = replace(plan, outputs=(replace(plan.outputs[0], weak=True),))
    assert bind(plan).run([ramp(runtime, 4)])[0].weak_type


def donating(programs: ModuleType, size: int) -> Plan:
    plan: Plan = replace(programs.add_one_plan(size), aliases=((0, 0),))
    return plan


@pytest.mark.parametrize("size", [8, 5000])
def test_donated_arguments_are_deleted(
    runtime: Any, programs: ModuleType, bind: Bind, size: int
) -> None:
    array = ramp(runtime, size)
    place = runtime.data_pointer(array)
    (result,) = bind(donating(programs, size)).run([array])
    assert array.is_deleted()
    assert np.array_equal(np.asarray(result), np.arange(size, dtype=np.float32) + 1)
    if size == 5000:
        assert runtime.data_pointer(result) == place


@pytest.mark.parametrize("size", [8, 5000])
def test_live_views_turn_donation_into_a_copy(
    runtime: Any, programs: ModuleType, bind: Bind, size: int
) -> None:
    run = bind(donating(programs, size)).run
    for look in (
        np.asarray,
        np.from_dlpack,
        lambda array: runtime.share(array, (size,), False),
    ):
        array = ramp(runtime, size)
        view = look(array)
        (result,) = run([array])
        assert array.is_deleted()
        assert np.asarray(view)[0] == 0 and np.asarray(result)[0] == 1


def test_adopted_memory_is_never_written(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    source = np.zeros(5000, np.float32)
    array = runtime.from_numpy(source, copy=False)
    (result,) = bind(donating(programs, 5000)).run([array])
    assert source[0] == 0 and np.asarray(result)[0] == 1 and array.is_deleted()


def test_an_argument_given_twice_is_not_taken(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    plan = donating(programs, 5000)
    second = Buffer("input", 1, 0, 20000)
    plan = replace(
        plan,
        inputs=plan.inputs * 2,
        outputs=plan.outputs * 2,
        buffers=(*plan.buffers, second, Buffer("output", 1, 0, 20000)),
        instructions=(*plan.instructions, programs.instruction("add_one", (2, 3), 5000)),
    )
    array = ramp(runtime, 5000)
    for result in bind(plan).run([array, array]):
        assert np.array_equal(np.asarray(result), np.arange(5000, dtype=np.float32) + 1)
    assert array.is_deleted()


def host_plan(programs: ModuleType, size: int) -> Plan:
    """argument → temp (kernel) → temp (host) → result (kernel)."""
    plan: Plan = programs.add_three_plan(size)
    steps = list(plan.instructions)
    kind = programs.spec(np.float32, size)
    steps[1] = HostCall(0, (2,), (3,), (kind,), (kind,), "double")
    return replace(plan, instructions=tuple(steps))


@pytest.mark.parametrize("size", [6, 300_000])
def test_host_calls_see_and_write_the_plans_memory(
    runtime: Any, programs: ModuleType, bind: Bind, size: int
) -> None:
    def double(inputs: Any, outputs: Any) -> None:
        assert not inputs[0].flags.writeable and outputs[0].dtype == np.float32
        outputs[0][...] = inputs[0] * 2

    (result,) = bind(host_plan(programs, size), [double]).run([ramp(runtime, size)])
    assert np.array_equal(np.asarray(result), (np.arange(size, dtype=np.float32) + 1) * 2 + 1)


@pytest.mark.parametrize("size", [6, 300_000])
def test_errors_of_host_calls_propagate_and_leak_nothing(
    runtime: Any, programs: ModuleType, bind: Bind, size: int
) -> None:
    def fail(inputs: Any, outputs: Any) -> None:
        raise LookupError("from the host")

    executable = bind(host_plan(programs, size), [fail])
    array = ramp(runtime, size)
    gc.collect()
    before = (sys.getrefcount(array), runtime.memory_stats()["bytes_in_use"])
    for _ in range(20):
        with pytest.raises(LookupError, match="from the host"):
            executable.run([array])
    gc.collect()
    assert (sys.getrefcount(array), runtime.memory_stats()["bytes_in_use"]) == before


def test_views_kept_by_host_calls_stay_valid(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    kept: list[Any] = []

    def keep(inputs: Any, outputs: Any) -> None:
        outputs[0][...] = inputs[0]
        kept.extend([*inputs, *outputs])

    size = 3000
    executable = bind(host_plan(programs, size), [keep])
    for _ in range(3):
        executable.run([ramp(runtime, size)])
    del executable
    gc.collect()
    assert all(view[size - 1] == size for view in kept)


def test_kept_views_of_constants_and_donated_arguments_stay_valid(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    size = 3000
    kind = programs.spec(np.float32, size)
    plan = replace(
        donating(programs, size),
        instructions=(HostCall(0, (0, 2), (1,), (kind, kind), (kind,), "keep"),),
        constants=(np.full(size, 7, np.float32).tobytes(),),
    )
    plan = replace(plan, buffers=(*plan.buffers, Buffer("constant", 0, 0, 4 * size)))
    kept: list[Any] = []

    def keep(inputs: Any, outputs: Any) -> None:
        outputs[0][...] = inputs[0] + inputs[1]
        kept.extend(inputs)

    executable = bind(plan, [keep])
    (result,) = executable.run([ramp(runtime, size)])
    assert np.array_equal(np.asarray(result), np.arange(size, dtype=np.float32) + 7)
    del executable, result
    gc.collect()
    fresh = [runtime.from_numpy(np.zeros(size, np.float32)) for _ in range(8)]
    assert kept[0][5] in (5, 12) and kept[1][5] == 7 and len(fresh) == 8


def test_host_calls_may_run_programs(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    inner = bind(programs.add_one_plan(300_000, 1000))

    def through_inner(inputs: Any, outputs: Any) -> None:
        (result,) = inner.run([runtime.from_numpy(inputs[0])])
        outputs[0][...] = np.asarray(result)

    runtime.set_num_threads(2)
    (result,) = bind(host_plan(programs, 300_000), [through_inner]).run([ramp(runtime, 300_000)])
    assert np.asarray(result)[5] == 8


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_fault_wins_whatever_the_threads(
    runtime: Any, programs: ModuleType, bind: Bind, threads: int
) -> None:
    runtime.set_num_threads(threads)
    values = np.arange(10_000)
    values[[9000, 1234, 77, 5000]] = [-9, -8, -7, -6]
    array = runtime.from_numpy(values)
    executable = bind(programs.check_plan_of(10_000, 10, sites=(4, 2)))
    for _ in range(30):
        with pytest.raises(KernelFault) as raised:
            executable.run([array])
        fault = raised.value
        assert (fault.instruction, fault.site, fault.index, fault.value) == (0, 4, 77, -7)
        assert "instruction 0" in str(fault) and "77" in str(fault)


def test_a_fault_leaves_references_and_donated_arguments_alone(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    kind = programs.spec(np.int64, 1000)
    plan = replace(programs.check_plan_of(1000, 0, sites=(0,)), outputs=(kind,), aliases=((0, 0),))
    executable = bind(plan)
    array = runtime.from_numpy(np.full(1000, -1))
    view = np.asarray(array)
    gc.collect()
    before = (sys.getrefcount(array), runtime.memory_stats())
    for _ in range(50):
        with pytest.raises(KernelFault):
            executable.run([array])
    gc.collect()
    after = (sys.getrefcount(array), runtime.memory_stats())
    assert before[0] == after[0] and not array.is_deleted() and view[0] == -1
    for name in ("bytes_in_use", "live_arrays"):
        assert before[1][name] == after[1][name]


def test_a_failure_without_a_check_is_a_system_error(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    step = programs.instruction("fail_silently", (), 3, grain=1)
    with pytest.raises(SystemError, match="without naming a check"):
        bind(Plan((), (), (), (step,))).run([])


def test_no_units_no_call(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    bind(Plan((), (), (), (programs.instruction("fail_silently", (), 0),))).run([])


def test_results_that_do_not_fit_raise_memory_error(run_script: Script) -> None:
    result = run_script(  # what is alive is counted, so nothing else must be
        "import gc\n"
        "from jitml_runtime import Plan\n"
        "kind, huge = programs.spec(np.float32, 8), programs.spec(np.float32, 2**42)\n"
        "array = runtime.from_numpy(np.zeros(8, 'f4'))\n"
        "before = sys.getrefcount(array)\n"
        "for plan in (Plan((kind,), (kind, huge), (), ()),\n"
        "             Plan((kind,), (kind,), (), (), arena_bytes=2**44)):\n"
        "    program = programs.bind(runtime, code, plan)\n"
        "    try: program.run([array])\n"
        "    except MemoryError as error: assert 'cannot allocate' in str(error)\n"
        "    else: raise AssertionError('it fits')\n"
        "gc.collect()\n"
        "assert (sys.getrefcount(array), runtime.memory_stats()['live_arrays']) == (before, 1)\n"
    )
    assert result.returncode == 0, result.stderr


def test_many_calls_leave_memory_flat(
    executor: str, runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    small, large = bind(programs.add_one_plan(8)), bind(programs.add_three_plan(5000))
    arrays = (ramp(runtime, 8), ramp(runtime, 5000))

    def use(times: int) -> tuple[int, ...]:
        for _ in range(times):
            small.run((arrays[0],))
            large.run([arrays[1]])
        gc.collect()
        stats = runtime.memory_stats()
        names = ("bytes_in_use", "cached_bytes", "live_arrays")
        return tuple(map(sys.getrefcount, arrays)) + tuple(stats[name] for name in names)

    before = use(10)
    assert use(10_000 if executor == "native" else 500) == before


def test_executables_keep_their_code_and_end_with_their_cycles(
    runtime: Any, programs: ModuleType, object_code: bytes
) -> None:
    from jitml_runtime import load_object

    code = load_object(object_code)
    executable = programs.bind(runtime, code, programs.add_one_plan(8))
    watch = weakref.ref(code)
    del code
    gc.collect()
    assert watch() is not None and executable.run([ramp(runtime, 8)])
    assert executable.plan == programs.add_one_plan(8)
    del executable
    gc.collect()
    assert watch() is None


def test_cycles_through_host_functions_are_collected(
    runtime: Any, programs: ModuleType, bind: Bind
) -> None:
    class Holder:
        executable: Any = None

        def call(self, inputs: Any, outputs: Any) -> None:
            """Do nothing."""

    holder = Holder()
    holder.executable = bind(host_plan(programs, 4), [holder.call])
    watch = weakref.ref(holder)
    del holder
    gc.collect()
    assert watch() is None


def test_malformed_programs_are_refused(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    plan = programs.add_one_plan(8)
    with pytest.raises(ValueError, match=r"malformed plan: instruction 0 .*no kernel 0"):
        runtime.Executable(plan, [])
    with pytest.raises(ValueError, match="address of kernel 0 is 0"):
        runtime.Executable(plan, [0])
    with pytest.raises(ValueError, match="no host function 0"):
        bind(host_plan(programs, 4))


def test_the_number_of_threads_is_checked(runtime: Any) -> None:
    runtime.set_num_threads(3)
    assert runtime.get_num_threads() == 3
    for count in (0, -1, 5000):
        with pytest.raises(ValueError, match="from 1 to 1024"):
            runtime.set_num_threads(count)
    assert runtime.get_num_threads() == 3


def test_steps_are_measured_when_asked(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    executable = bind(programs.add_three_plan(5000, 64))
    count = len(executable.plan.instructions)
    executable.run([ramp(runtime, 5000)])
    assert executable.step_times == ()
    executable.measure(True)
    begin = time.perf_counter_ns()
    for _ in range(3):
        executable.run([ramp(runtime, 5000)])
    elapsed_ns = time.perf_counter_ns() - begin
    executable.measure(False)
    executable.run([ramp(runtime, 5000)])
    found = executable.step_times
    assert [calls for calls, _ in found] == [3] * count
    assert all(ns > 0 for _, ns in found) and sum(ns for _, ns in found) < elapsed_ns
    executable.measure(True)
    assert executable.step_times == ((0, 0),) * count


def test_short_programs_are_measured(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    executable = bind(programs.add_one_plan(8))
    executable.measure(True)
    (result,) = executable.run([ramp(runtime, 8)])
    assert np.array_equal(np.asarray(result), np.arange(8) + 1)
    ((calls, ns),) = executable.step_times
    assert calls == 1 and ns >= 0


def test_spans_of_runs_and_copies(runtime: Any, programs: ModuleType, bind: Bind) -> None:
    executable = bind(programs.add_one_plan(8))
    argument = ramp(runtime, 8)
    executable.run([argument])
    runtime.record_runs(True)
    executable.run([argument])
    runtime.from_numpy(np.zeros(10))
    runtime.record_runs(False)
    executable.run([argument])
    (run, copy), missing = runtime.recorded_runs()
    assert (run[0], copy[0], missing) == (executable, None, 0)
    assert copy[3] == 80
    assert run[1] <= run[2] <= copy[1] <= copy[2]
    assert run[4] == copy[4] == threading.get_ident()
    assert runtime.recorded_runs() == ([], 0)
