"""Arrays in a notebook: their facts are NumPy's, pictures are where they help, cells are small."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import matplotlib.image
import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.display.arrays import array_text
from jitml.display.pictures import heat_map_of, image_of
from jitml.display.statistics import MOST, statistics_of

RANDOM = np.random.default_rng(0)
DTYPES = [bool, "u1", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", ml_dtypes.bfloat16]
CASES: dict[str, Any] = {
    "noise": RANDOM.normal(size=(300, 400)),
    "noise in colours": RANDOM.random((900, 700, 4)),
    "bytes": RANDOM.integers(0, 256, (300, 200, 3), np.uint8),
    "not finite": np.full((60, 70), np.nan),
    "extremes": np.array([1.7e308, -1.7e308] * 40),
    "integers": np.array([-(2**63), 2**63 - 1] * 40),
    "empty": np.zeros((0, 3)),
    "one": np.float32(2.5),
    "many axes": np.zeros((2, 3, 4, 5, 6)),
    "large": np.ones((2100, 2100), np.float32),
}


def shown(text: str) -> str:
    """HTML as its reader sees it."""
    return re.sub(r"<[^>]*>", "", re.sub(r"<style>.*?</style>", "", text))


def pixels_in(text: str) -> Any:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    return found and matplotlib.image.imread(io.BytesIO(base64.b64decode(found[1])), format="png")


@pytest.mark.parametrize("name", CASES)
def test_a_cell_is_small_and_self_contained(name: str) -> None:
    text = jnp.asarray(CASES[name])._repr_html_()
    assert len(text) < 200_000
    assert not re.search(r"https?:|<script|@import|<link", text)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda x: np.dtype(x).name)
def test_text_and_html_have_the_same_facts(dtype: Any) -> None:
    x = jnp.asarray((10 * RANDOM.normal(size=(30, 40))).astype(dtype))
    first, *_, last = array_text(x).splitlines()
    assert first == repr(x).splitlines()[0]
    seen = shown(x._repr_html_())
    facts = last.split(" · ")
    assert facts[0] == f"{x.dtype.name}[30,40]"
    assert len(facts) >= 4
    assert [fact for fact in facts if fact not in seen] == []


def test_facts_are_those_of_numpy() -> None:
    x = RANDOM.normal(size=1000).astype(np.float32)
    x[:7], x[7:9], x[9:20] = np.nan, -np.inf, 0
    found, finite = statistics_of(x), x[20:]
    assert (found.nans, found.infinities, found.zeros, found.every) == (7, 2, 11, 1)
    assert (found.low, found.high) == (finite.min(), finite.max())
    assert found.mean == pytest.approx(x[9:].mean(dtype=float))
    assert found.counts == tuple(np.histogram(x[9:].astype(float), 40)[0])
    assert "NaN 7" in array_text(jnp.asarray(x))
    assert re.search(r'class="bad">7<', jnp.asarray(x)._repr_html_())


def test_extremes_do_not_overflow() -> None:
    assert statistics_of(CASES["extremes"]).mean == 0
    found = statistics_of(CASES["integers"])
    assert (found.low, found.high, found.counts[0]) == (-(2**63), 2**63 - 1, 40)


def test_of_large_arrays_a_part_is_counted_and_said_so() -> None:
    assert MOST < 2100 * 2100
    assert "counted one element in 2" in array_text(jnp.asarray(CASES["large"]))


def test_small_arrays_show_every_number_and_nothing_more_as_text() -> None:
    x = jnp.arange(6.0).reshape(2, 3)
    assert array_text(x) == repr(x)
    assert "[[0. 1. 2.]\n [3. 4. 5.]]" in shown(x._repr_html_())


def test_images() -> None:
    ramp = np.linspace(0, 1, 640, dtype=np.float32).reshape(20, 32)
    colours = np.stack([ramp, ramp[::-1], 0 * ramp], axis=-1)
    for values in (ramp, colours, (ramp * 255).astype(np.uint8)):
        drawn = pixels_in(jnp.asarray(values)._repr_html_())
        wanted = values / 255 if values.dtype == np.uint8 else values
        assert drawn.shape == values.shape
        assert np.abs(drawn - wanted).max() <= 0.503 / 255


def test_a_heat_map_is_blue_below_zero_and_red_above() -> None:
    x = np.where(np.eye(20) > 0, -3.0, 1.0)
    x[0, 1] = np.nan
    pixels = heat_map_of(x, statistics_of(x))
    assert pixels is not None
    negative, positive, missing = pixels[1, 1], pixels[1, 0], pixels[0, 1]
    assert negative[2] > negative[0]
    assert positive[0] > positive[2]
    assert tuple(missing) == (230, 60, 200)


@pytest.mark.parametrize(
    ("values", "is_image"),
    [
        (np.full((20, 20), 0.5), False),  # nothing to see
        (RANDOM.random((20, 20)), True),
        (RANDOM.random((20, 20)) + 1, False),
        (RANDOM.random((20, 20)) / 10, False),
        (RANDOM.random((4, 20)), False),
        (RANDOM.random((20, 20, 2)), False),
        (RANDOM.integers(0, 9, (20, 20)), False),
    ],
)
def test_what_looks_like_an_image(values: Any, is_image: bool) -> None:
    assert (image_of(values, statistics_of(values)) is not None) == is_image


def test_a_deleted_array_says_so() -> None:
    x = jnp.ones(100)
    x.delete()
    assert "deleted" in x._repr_html_()
    assert "deleted" in array_text(x)


def test_ipython_prints_the_facts_of_an_array_alone() -> None:
    pretty = pytest.importorskip("IPython.lib.pretty").pretty
    x = jnp.arange(100)
    assert pretty(x) == array_text(x)
    assert pretty([x]).count("max") == 0


def test_tracers_have_no_html() -> None:
    assert not jitml.jit(lambda x: x + hasattr(x, "_repr_html_"))(0)
