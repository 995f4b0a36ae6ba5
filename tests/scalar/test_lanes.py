"""One lane and many give the same bits, in full vectors and in the tail, at both codegen levels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scalar.accuracy import kernels
from tests.scalar.references import DTYPES, REFERENCES, samples
from tests.scalar.test_accuracy import compiled
from tests.scalar.test_special_values import special_points


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_every_width_gives_the_same_bits(type_: str) -> None:
    bits = np.uint32 if type_ == "f32" else np.uint64
    special = special_points(type_)
    by_width = {lanes: kernels(type_, lanes, level=0) for lanes in (1, 4, 16)}
    by_width[8] = compiled(type_)
    for name, reference in REFERENCES.items():
        operands = samples(name, type_, 30, seed=7)
        extra = [special, special[::-1]][: reference.arity]
        operands = [np.concatenate(pair) for pair in zip(operands, extra, strict=True)]
        assert operands[0].dtype == DTYPES[type_]
        scalar = by_width[1][name](*operands)
        for lanes in (4, 8, 16):
            vector = by_width[lanes][name](*operands)
            same = (vector.view(bits) == scalar.view(bits)) | (np.isnan(vector) & np.isnan(scalar))
            assert same.all(), (name, lanes, [x[~same][:3] for x in operands])
