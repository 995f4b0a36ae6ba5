"""Numbers that are rounded to float32 and then to float16: by instructions only."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.scipy import special


@pytest.mark.parametrize("shape", [(), (1,), (100,)])
def test_the_sign_of_what_was_a_float64_is_taken_as_a_float32(shape: tuple[int, ...]) -> None:
    """LLVM took it from the float64, and narrowed that by a function that no kernel has."""
    x = np.linspace(0.25, 0.75, int(np.prod(shape)), dtype=np.float16).reshape(shape)
    found = jitml.jit(lambda x: jitml.lax.round(special.expi(x)))(x)
    assert np.array_equal(found, jitml.lax.round(special.expi(jnp.asarray(x))))
