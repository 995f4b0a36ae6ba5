"""Sets whose size is not known while tracing say what to do."""

from __future__ import annotations

import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ConcretizationTypeError


@pytest.mark.parametrize(
    "name", ["unique", "unique_values", "union1d", "setdiff1d", "setxor1d", "intersect1d"]
)
def test_traced_sets_want_a_size(name: str) -> None:
    function, count = getattr(jnp, name), 1 if name.startswith("unique") else 2
    arrays = [jnp.array([3, 1, 3]), jnp.array([4, 1])][:count]
    with pytest.raises(ConcretizationTypeError, match=f"{name}: .*\n.*\n.*pass size= to {name}"):
        jitml.jit(function)(*arrays)
    sized = jitml.jit(lambda *xs: function(*xs, size=2))(*arrays)
    assert sized.shape == (2,)
