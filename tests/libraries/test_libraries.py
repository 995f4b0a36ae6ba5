"""Libraries that take arrays of any kind take jitml's: SciPy and scikit-learn in processes of
their own (they read their switches when imported), einops and array-api-extra here, where they are
installed (extra `libraries`).
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp

HERE = Path(__file__).parent
X = np.random.default_rng(0).normal(size=(2, 3, 4))
LINE = X[0, 0]
WHOLE = np.array([3, 1, 3, 2])


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("command", "count"),
    [("scipy_program.py", 66), ("scipy_program.py as_jax", 84), ("sklearn_program.py", 33)],
)
def test_functions_give_what_they_give_for_numpy(command: str, count: int) -> None:
    name, *arguments = command.split()
    pytest.importorskip(name.partition("_")[0])
    found = subprocess.run(
        [sys.executable, "-W", "ignore", name, *arguments],
        capture_output=True, text=True, timeout=120, cwd=HERE,
    )  # fmt: skip
    assert (found.stdout, found.stderr) == (f"{count} functions\n", "")


EINOPS: dict[str, tuple[Any, ...]] = {
    "rearrange": ("a b c -> b (a c)",),
    "rearrange, split": ("a b (c d) -> d a c b", {"d": 2}),
    "reduce": ("a b c -> a c", "mean"),
    "reduce, max": ("a b c -> b", "max"),
    "reduce, min": ("a b c -> ()", "min"),
    "reduce, sum": ("a b c -> a b 1", "sum"),
    "reduce, prod": ("a b c -> c", "prod"),
    "repeat": ("a b c -> a (b n) c", {"n": 2}),
    "repeat, axis": ("a b c -> a b c 3",),
    "asnumpy": (),
}


@pytest.mark.parametrize("name", EINOPS)
def test_einops(name: str) -> None:
    pytest.importorskip("einops")
    module = importlib.import_module("einops.array_api")
    plain = importlib.import_module("einops")
    which, given = name.partition(",")[0], list(EINOPS[name])
    options = given.pop() if given and isinstance(given[-1], dict) else {}
    found = getattr(module, which)(jnp.asarray(X), *given, **options)
    expected = getattr(plain, which)(X, *given, **options)
    assert isinstance(found, np.ndarray if which == "asnumpy" else jitml.Array)
    np.testing.assert_allclose(np.asarray(found), expected, 1e-12)


def test_einops_packs() -> None:
    einops = pytest.importorskip("einops")
    module = importlib.import_module("einops.array_api")
    packed, shapes = module.pack([jnp.asarray(X), jnp.asarray(X[0])], "* c")
    expected = einops.pack([X, X[0]], "* c")[0]
    np.testing.assert_array_equal(np.asarray(packed), expected)
    assert [x.shape for x in module.unpack(packed, shapes, "* c")] == [(2, 3, 4), (3, 4)]


EXTRA: dict[str, tuple[Any, ...]] = {
    "argpartition": (LINE, 2),
    "atleast_nd": (LINE, {"ndim": 3}),
    "cov": (X[0],),
    "isin": (WHOLE, WHOLE[:2]),
    "kron": (LINE, LINE),
    "nan_to_num": (np.array([np.nan, 1.0]),),
    "nunique": (WHOLE,),
    "one_hot": (WHOLE, 4),
    "partition": (LINE, 2),
    "setdiff1d": (WHOLE, WHOLE[:1]),
    "sinc": (LINE,),
    "union1d": (WHOLE, WHOLE + 1),
}


@pytest.mark.parametrize("name", EXTRA)
def test_array_api_extra(name: str) -> None:
    function = getattr(pytest.importorskip("array_api_extra"), name)
    given = list(EXTRA[name])
    options = given.pop() if isinstance(given[-1], dict) else {}
    expected = function(*given, **options)
    found = function(
        *[jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in given], **options
    )
    if name in ("argpartition", "partition"):  # the order inside of the parts is free
        found, expected = np.sort(np.asarray(found)), np.sort(expected)
    np.testing.assert_allclose(np.asarray(found), expected, 1e-12, 1e-12)
