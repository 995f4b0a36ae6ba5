"""Let every single allocation of many uses of the C core fail, one at a time.

Run by test_allocation_failures.py in a process of its own, with a core that was built with
JITML_FAIL_ALLOCATIONS. Each use is repeated with its first, second, … allocation failing until it
comes through. Whatever fails, nothing but MemoryError may come out, and no array, block or
reference may be left behind.
"""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import programs

import jitml_runtime as runtime
from jitml_runtime import Buffer, Copy, HostCall, KernelFault, Plan, _core
from jitml_runtime.record import replace

core: Any = _core
code = runtime.load_object(Path(sys.argv[1]).read_bytes())
SMALL, LARGE = 8, 5000
FLOAT = np.dtype(np.float32)
small = runtime.from_numpy(np.arange(SMALL, dtype=FLOAT))
large = runtime.from_numpy(np.arange(LARGE, dtype=FLOAT))
sources = {
    "contiguous": np.arange(LARGE, dtype=FLOAT),
    "strided": np.arange(2 * LARGE, dtype=FLOAT)[::2],
    "swapped": np.arange(SMALL, dtype=">f4"),
    "half": np.arange(SMALL, dtype=ml_dtypes.bfloat16),
    "scalar": np.float32(3),
}


def conversions() -> None:
    for source in sources.values():
        for copied in (True, False):
            array = runtime.from_numpy(source, copy=copied)
            assert np.array_equal(runtime.to_numpy(array), source)
    for array in (small, large):
        assert np.asarray(array, dtype=np.float64)[3] == 3
        assert np.array(array, copy=True)[3] == 3
        runtime.empty(runtime.ArraySpec(FLOAT, (3, 5)))
        runtime.share(array, (1, array.size), True)
        runtime.data_pointer(array)


def attributes() -> None:
    for array in (small, large):
        assert array.shape == (array.size,) and array.nbytes == 4 * array.size
        assert (array.ndim, array.itemsize, array.dtype) == (1, 4, FLOAT)
        repr(array), str(array), format(array)
        reference = weakref.ref(array)
        assert reference() is array
    one = runtime.from_numpy(np.float32(3))
    assert (int(one), float(one), complex(one), bool(one), f"{one:.1f}") == (3, 3, 3, True, "3.0")
    runtime.memory_stats()
    runtime.list_stored_arrays()
    runtime.scope_num_threads(runtime.scope_num_threads(1))


def images() -> None:
    handles = [core.register_debug_image(b"object") for _ in range(3)]
    for handle in handles:
        core.unregister_debug_image(handle)


def copies() -> None:
    for array in (small, large):
        copy.copy(array)
        copy.deepcopy(array)
        again = pickle.loads(pickle.dumps(array))
        assert np.array_equal(np.asarray(again), np.asarray(array))


def exchanges() -> None:
    for array in (small, large):
        for options in ({}, {"max_version": (1, 0)}, {"max_version": (1, 0), "copy": True}):
            runtime.from_dlpack(array.__dlpack__(**options))
        array.__dlpack__()  # never consumed
        np.from_dlpack(array)
        runtime.from_dlpack(array)
    runtime.from_dlpack(sources["strided"])
    view = memoryview(small)
    assert view.format == "f"


def double(inputs: Any, outputs: Any) -> None:
    outputs[0][...] = inputs[0] * 2


def every_step() -> Plan:
    kind = programs.spec(FLOAT, LARGE)
    size = 4 * LARGE
    return Plan(
        inputs=(kind, kind),
        outputs=(kind, kind, kind, kind),
        buffers=(
            Buffer("input", 0, 0, size),
            Buffer("output", 0, 0, size),
            Buffer("temp", 0, 0, size),
            Buffer("constant", 0, 0, size),
            Buffer("output", 3, 0, size),
        ),
        instructions=(
            programs.instruction("add_one", (0, 2), LARGE, grain=100, scratch_bytes=64),
            HostCall(0, (2,), (1,), (kind,), (kind,), "double"),
            Copy(3, 4, "copy"),
        ),
        arena_bytes=-(-size // 64) * 64,
        constants=(np.ones(LARGE, FLOAT).tobytes(),),
        forward=(None, 1, None, None),
        duplicates=(None, None, 0, None),
    )


def executables() -> None:
    for plan, arguments in (
        (programs.add_one_plan(SMALL), [small]),
        (programs.add_three_plan(LARGE, 100), (large,)),
    ):
        (result,) = programs.bind(runtime, code, plan).run(arguments)
        assert np.asarray(result)[2] in (3, 5)


def steps() -> None:
    program = programs.bind(runtime, code, every_step(), (double,))
    doubled, given, same, ones = program.run([large, small_twin])
    assert given is small_twin and same is doubled
    assert np.asarray(doubled)[5] == 12 and np.asarray(ones)[5] == 1


rows = runtime.from_numpy(np.linspace(0, 1, 6, dtype=FLOAT).reshape(3, 2))
small_twin = runtime.from_numpy(np.zeros(LARGE, FLOAT))


def donations() -> None:
    for size in (SMALL, LARGE):
        plan = replace(programs.add_one_plan(size), aliases=((0, 0),))
        argument = runtime.from_numpy(np.zeros(size, FLOAT))
        (result,) = programs.bind(runtime, code, plan).run([argument])
        assert argument.is_deleted() and np.asarray(result)[2] == 1


def faults() -> None:
    program = programs.bind(runtime, code, programs.check_plan_of(20, 5, [4]))
    negative = np.arange(20)
    negative[7] = -3
    try:
        program.run([runtime.from_numpy(negative)])
    except KernelFault as fault:
        assert (fault.site, fault.index, fault.value) == (4, 7, -3)
    else:
        raise AssertionError("no fault")


def mistakes() -> None:
    program = programs.bind(runtime, code, programs.add_one_plan(SMALL))
    deleted = runtime.from_numpy(sources["contiguous"])
    deleted.delete()
    attempts: list[Callable[[], Any]] = [
        lambda: program.run([large]),
        lambda: program.run([3]),
        lambda: program.run([]),
        lambda: runtime.to_numpy(deleted),
        lambda: runtime.share(small, (3,), False),
        lambda: runtime.from_numpy("text"),
        lambda: runtime.from_numpy(np.array(["text"])),
        lambda: runtime.set_num_threads(0),
        lambda: runtime.set_operators({"nothing": None}),
        lambda: small + 1,
        lambda: len(runtime.from_numpy(np.float32(1))),
        lambda: small.__dlpack__(stream=1),
        lambda: runtime.from_dlpack(3),
        lambda: memoryview(runtime.from_numpy(sources["half"])),
    ]
    for number, attempt in enumerate(attempts):
        try:
            attempt()
        except (TypeError, ValueError, RuntimeError, BufferError, AttributeError):
            continue
        raise AssertionError(f"attempt {number} raised nothing")


def operators() -> None:
    table: dict[str, Any] = {
        "add": lambda left, right: (left, right),
        "getitem": lambda array, index: index,
        "less": lambda left, right: True,
        "negative": lambda array: array,
        "contains": lambda array, value: True,
        "repr": lambda array: "text",
    }
    before = runtime.set_operators(table)
    try:
        assert (small + 1)[1] == 1 and (2 + small)[0] == 2 and small[3:5] == slice(3, 5)
        assert small < 3 and -small is small and 3 in small and repr(small) == "text"
    finally:
        core.fail_allocation(0)
        runtime.set_operators(before)


def operations() -> None:
    program = programs.bind(runtime, code, programs.add_one_plan(SMALL))
    table = runtime.Operation(lambda *_, **__: "plain", lambda *_: "unknown", keeps_integer=True)
    try:
        assert table(small) == table(sources["contiguous"], 2) == table(2.5) == "unknown"
        assert table(small, "text") == table(small, x=3) == "plain"
        table.install((small,), program)
        table.install((small, 2), program)
        assert np.asarray(table(small))[0] == np.asarray(table(small, 2))[0]
    finally:
        core.fail_allocation(0)
        runtime.forget_operations()


def made(function: Any = None, **options: Any) -> Any:
    """A function compiled by jitml, imported only here: most uses are of the runtime alone."""
    import jitml

    return jitml.jit(function, **options)


def loops(x: Any) -> Any:
    """A loop of arrays with a conditional inside: steps of the plan."""
    from jitml import lax

    halves = [lambda h: lax.sort(h) * 0.5, lambda h: lax.rev(h, (0,)) * 0.5]

    def step(h: Any, row: Any) -> Any:
        return lax.switch(lax.argmax(row, 0, "int32"), halves, h + row), h

    return lax.scan(step, x[0], x)


@functools.cache
def compiled() -> dict[str, Any]:
    return {
        "sum": made(lambda x, y: x + y),
        "tree": made(lambda tree, *, scale: {"a": tree["b"][0] * scale, "c": (tree["b"][1],)}),
        "static": made(lambda x, times: x * times, static_argnums=1),
        "donated": made(lambda x: x + 1, donate_argnums=0),
        "updated": made(lambda x, i: x.at[i].set(3), donate_argnums=0),
        "looping": made(loops),
        "reading": made(lambda x: x * FACTORS["two"]),
        "wrong": made(lambda x, i: x[i]),
    }


FACTORS = {"two": 2}


def calls() -> None:
    use = compiled()
    total = use["sum"](large, small_twin)
    assert np.asarray(total)[7] == 7 and np.asarray(use["sum"](small, 2.5))[0] == 2.5
    assert np.asarray(use["sum"](sources["contiguous"], small_twin))[3] == 3
    tree = use["tree"]({"b": [small, (large,)]}, scale=2)
    assert np.asarray(tree["a"])[3] == 6 and np.asarray(tree["c"][0][0])[4] == 4
    assert np.asarray(use["static"](small, 3))[1] == 3
    given = runtime.from_numpy(sources["contiguous"])
    assert np.asarray(use["donated"](given))[1] == 2 and given.is_deleted()
    given = runtime.from_numpy(np.zeros(LARGE, FLOAT))
    assert np.asarray(use["updated"](given, 1))[1] == 3 and given.is_deleted()
    last, states = use["looping"](rows)
    assert np.asarray(states).shape == (3, 2) and np.isfinite(np.asarray(last)).all()
    assert np.asarray(use["reading"](small))[1] == 2
    try:
        use["wrong"](small, SMALL)
    except IndexError:
        pass
    else:
        raise AssertionError("no error")


def first_calls() -> None:
    for function in compiled().values():
        function.clear_cache()
    calls()


def eager_operators() -> None:
    compiled()
    assert np.asarray(small + small)[3] == 6 and np.asarray(1 - large)[3] == -2
    assert np.asarray(small < 3)[2] and np.asarray(large[4:6])[0] == 4 and int(small[3]) == 3
    assert float(small.sum()) == 28 and np.asarray(small.at[2].set(7))[2] == 7


# The functions of jitml are used last: importing it installs operators.
USES = [
    conversions,
    attributes,
    images,
    copies,
    exchanges,
    executables,
    steps,
    donations,
    faults,
    mistakes,
    operators,
    calls,
    first_calls,
    operations,
    eager_operators,
]
WATCHED: list[Any] = [small, large, small_twin, FLOAT, code, double, *sources.values(), np.ndarray]


def state() -> tuple[Any, ...]:
    gc.collect()
    stats = runtime.memory_stats()
    references = tuple(sys.getrefcount(value) for value in WATCHED)
    return stats["bytes_in_use"], stats["live_arrays"], references


def attempt(use: Callable[[], None], number: int) -> tuple[int, str]:
    """The allocations of one use with the given one failing, and what came out if not all well."""
    core.fail_allocation(number)
    try:
        use()
    except MemoryError:
        return core.fail_allocation(0), ""
    except BaseException as error:
        count = core.fail_allocation(0)
        return count, f"{type(error).__name__}: {error}"
    return core.fail_allocation(0), ""


def check(use: Callable[[], None]) -> int:
    """Let each allocation of a use fail in turn; the number of them."""
    for _ in range(3):  # what is made once and kept is made
        use()
    gc.collect()
    gc.freeze()  # only what comes now needs to be looked through each time
    before, number = state(), 1
    while True:
        print(use.__name__, number, flush=True)
        count, problem = attempt(use, number)
        use()  # it goes on working, and what is kept for later is there again
        after = state()
        if problem or after != before:
            names = [
                f"{type(value).__name__} {new - old:+d}"
                for value, old, new in zip(WATCHED, before[2], after[2], strict=True)
                if old != new
            ]
            raise AssertionError(
                f"{use.__name__} {number}: {problem or 'left behind'} "
                f"{after[0] - before[0]:+d} bytes, "
                f"{after[1] - before[1]:+d} arrays, {names}"
            )
        if count < number:
            return number
        number += 1


if __name__ == "__main__":
    chosen = sys.argv[2:]
    for use in USES:
        if not chosen or use.__name__ in chosen:
            check(use)
    print("all came through")
