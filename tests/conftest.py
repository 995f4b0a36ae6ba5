"""Options and fixtures of the test suite."""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator

# Each of several test processes has a processor, on which further threads would only wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

os.environ.setdefault("JITML_TRACEBACK", "full")  # tests that fail should tell where
os.environ["JITML_CACHE"] = "0"  # no test may find what an earlier run has left
# A shell lets what it runs in the background ignore Ctrl-C; the tests need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what passes make now into the golden files, instead of comparing",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests marked `sampled` (most compile with JAX) leave every sixth case; all of them with
    JITML_GRID set.
    """
    if "JITML_GRID" in os.environ:
        return
    counts: Counter[str] = Counter()
    left_out = []
    for item in items:
        if item.get_closest_marker("sampled"):
            function = item.nodeid.partition("[")[0]
            counts[function] += 1
            if counts[function] % 6 != 1:
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        dropped = set(left_out)
        items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish() -> None:
    """Ten thousand tests are nothing that the garbage collector should look at again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def by_value() -> Iterator[None]:
    """Run ops and derived graphs by the ops' NumPy meaning: for tests of transforms, not of
    backends.
    """
    from oracle import evaluating_by_value

    from jitml.transforms import execute

    before = list(execute._EXECUTOR)
    execute.set_executor(execute.interpret)
    with evaluating_by_value(), np.errstate(all="ignore"):
        yield
    execute._EXECUTOR[:] = before
